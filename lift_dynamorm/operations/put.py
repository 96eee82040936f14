"""Write a whole item: `create` where there is none, `put` whether or not there is one."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lift_dynamorm.conditions import Condition, every
from lift_dynamorm.errors import UsageError
from lift_dynamorm.model import schema_of
from lift_dynamorm.operations.write import Held, Write, exists, held, held_version, not_exists, where_live

if TYPE_CHECKING:
    from lift_dynamorm.model import Model
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema


def create(context: Context, instance: Model, condition: Condition | None) -> Write:
    """Plan the write of a new item."""
    schema, now = _schema(instance, "create"), context.now()
    guard = every((not_exists(schema, now), where_live(schema, condition, now)))
    return _put(context, schema, instance, "create", now, guard)


def put(context: Context, instance: Model, condition: Condition | None) -> Write:
    """Plan the write of a whole item over what may be there, unless that changed since it was read."""
    schema, now = _schema(instance, "put"), context.now()
    fresh = schema.roles.generated is not None and not instance.__dict__[schema.roles.generated]
    key = {} if fresh else schema.key_of_instance(instance, context.prefix)
    known = held(schema, instance, key, now)
    there = exists(schema, now) if known.version is not None and (known.version or known.stored) else None
    guard = every((there, known.lock, where_live(schema, condition, now)))
    return _put(context, schema, instance, "put", now, guard, known)


def _schema(instance: Any, verb: str) -> Schema[Any]:
    if isinstance(instance, type):
        raise UsageError(f"{verb} takes an instance: {verb}({instance.__name__}(...))")
    return schema_of(type(instance))


def _put(
    context: Context,
    schema: Schema[Any],
    instance: Model,
    verb: str,
    now: datetime,
    guard: Condition | None,
    known: Held | None = None,
) -> Write:
    version = held_version(schema, instance) if known is None else known.version
    stamps = _stamps(context, schema, instance, version, now)
    item = schema.encode_fields({**instance.__dict__, **stamps}, instance.model_extra)
    schema.add_keys(item, context.prefix)
    return Write(
        schema,
        "put",
        verb,
        schema.key_of_item(item),
        now,
        item=item,
        guard=guard,
        expected=None if known is None else known.version,
        seen=None if known is None else known.seen,
        instance=instance,
        stamps=stamps,
    )


def _stamps(
    context: Context, schema: Schema[Any], instance: Model, version: int | None, now: datetime
) -> dict[str, Any]:
    """Give the values that storing an instance changes: version, timestamps, and what is kept in another form."""
    roles = schema.roles
    values = instance.__dict__
    stamps: dict[str, Any] = {name: None for name in schema.optional_sets if not values[name]}
    if roles.generated is not None and not values[roles.generated]:
        stamps[roles.generated] = context.new_id()
    if roles.version is not None:
        stamps[roles.version] = (version or 0) + 1
    if roles.created_at is not None and values[roles.created_at] is None:
        stamps[roles.created_at] = now
    if roles.updated_at is not None:
        stamps[roles.updated_at] = now
    if roles.time_to_live is not None:
        expires = values[roles.time_to_live]
        if isinstance(expires, datetime) and expires.tzinfo is not None:
            stamps[roles.time_to_live] = datetime.fromtimestamp(math.floor(expires.timestamp()), expires.tzinfo)
    return stamps
