"""Make a planned write: at once, or as part of the open transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lift_dynamorm.errors import InvalidItem, InvalidValue
from lift_dynamorm.operations.get import current_item, get_item
from lift_dynamorm.operations.read import note_shown
from lift_dynamorm.operations.transact import commit_one
from lift_dynamorm.operations.unique import claims, pin, touched
from lift_dynamorm.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.operations.write import Write

    Item = dict[str, Any]


async def store(context: Context, unit: UnitOfWork | None, write: Write, before: Item | None = None) -> Item | None:
    """Send a write, or enroll it where a transaction is open. Returns the item as it is then.

    before: the item as the instance that is updated was read.
    """
    if unit is not None:
        return await _enroll(context, unit, write, before)
    if write.schema.uniques and touched(write):
        return await _store_with_claims(context, write)
    item = await write.send(context)
    write.settle(item, context.prefix)
    await _show(context, write)
    return item


async def _enroll(context: Context, unit: UnitOfWork, write: Write, before: Item | None) -> Item | None:
    """Make a write part of a transaction, with its sibling items and its hooks: all of it, or nothing."""
    mark = unit.mark()
    try:
        unique = write.schema.uniques and touched(write)
        by_key = write.kind == "update" and write.instance is None
        if by_key or (unique and write.verb != "create"):
            before = await current_item(context, unit, write.schema, write.key, consistent=True)
            write = write.renewed(before)
            write.check(before, context.prefix)
            pin(write, before)
        after = unit.add(write, before, context.prefix)
        for claim in claims(context, write, before, after) if unique else ():
            unit.add(claim, None, context.prefix)
        await _show(context, write)
        unit.note_changes()
        if write.kind == "update" and after is not None:
            _check_fits(write, after, context.prefix)
    except BaseException:
        unit.rollback(mark)
        raise
    return after


async def _store_with_claims(context: Context, write: Write) -> Item | None:
    """Write an item with the sibling items of its unique fields, in a transaction of its own."""
    unit = UnitOfWork()
    after = await _enroll(context, unit, write, None)
    await commit_one(context, unit)
    if write.kind == "update" and write.expected is None and write.returning:  # others may have changed the rest
        return await get_item(context, write.schema, write.key, consistent=True)
    return after


async def _show(context: Context, write: Write) -> None:
    if write.kind == "update" and write.instance is not None:
        await note_shown(context, write.schema, write.instance)


def _check_fits(write: Write, after: Item, prefix: str) -> None:
    """Refuse an outcome that the model would refuse to read."""
    try:
        write.schema.decode(after, prefix)
    except InvalidItem as error:
        raise InvalidValue(f"update: {error}") from None
