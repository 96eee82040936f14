"""From what DynamoDB answers to what the caller sees: whose items, which of them are there, as instances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from lift_dynamorm import model
from lift_dynamorm.conditions import every
from lift_dynamorm.model import Model
from lift_dynamorm.operations.write import Write, not_exists, unchanged

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lift_dynamorm.conditions import Condition
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.unit_of_work import UnitOfWork

    Item = dict[str, Any]

M = TypeVar("M", bound=Model)


def visible(context: Context, schema: Schema[Any], item: Item, *, expired: bool = False) -> bool:
    """Tell whether a stored item is one of this model's and this tenant's, and is there.

    An item whose time to live is over is not there, though DynamoDB may take days to delete it; expired: it is.
    """
    there = expired or schema.expiry is None or not schema.has_expired(item, context.now())
    return there and schema.owns(item, context.prefix)


def note_read(
    context: Context,
    unit: UnitOfWork | None,
    schema: Schema[Any],
    key: Item,
    item: Item | None,
    *,
    read: Iterable[str] | None = None,
) -> None:
    """Make an item as it was read a condition of the commit, where the open transaction wants that.

    By its version and the time of its last write, where the model has a version, else by every attribute. read: the
    attributes that were asked for, None for all of them: what the item lacks of these it must still lack.
    """
    if unit is None or not unit.keeps_reads:
        return
    now, roles = context.now(), schema.roles
    if item is None or schema.has_expired(item, now):
        seen: Condition | None = not_exists(schema, now)
    else:
        names = [schema.fields[name].attribute for name in (roles.version, roles.updated_at) if name is not None]
        if roles.version is None or names[0] not in item:
            names = sorted({*item, *(schema.by_attribute if read is None else read)})
        seen = every(unchanged(name, item.get(name)) for name in names if read is None or name in item or name in read)
    unit.note_read(Write(schema, "check", "read", key, now, guard=seen, seen=seen))


async def load(context: Context, schema: Schema[M], items: Sequence[Item]) -> list[M]:
    """Make instances of stored items, and call the hooks for what is read."""
    prefix, decode = context.prefix, schema.decode
    instances = [decode(item, prefix) for item in items]
    if context.after_read:
        for instance in instances:
            await note_shown(context, schema, instance)
    return instances


async def note_shown(context: Context, schema: Schema[Any], instance: Model) -> None:
    """Call the hooks for what is read, and note what they make of it: that is no change by the caller."""
    if context.after_read.of(schema.model):
        await context.after_read.run(schema.model, instance)
        model.note_shown(instance, schema.encode_fields(instance.__dict__, instance.model_extra))


async def load_one(context: Context, schema: Schema[M], item: Item) -> M:
    """Make the instance of a stored item, and call the hooks for what is read."""
    if context.after_read:
        return (await load(context, schema, [item]))[0]
    return schema.decode(item, context.prefix)
