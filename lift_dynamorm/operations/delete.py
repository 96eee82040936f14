"""Delete an item, by instance or by key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lift_dynamorm.conditions import Condition, Some, every
from lift_dynamorm.model import schema_of, stored_item
from lift_dynamorm.operations.write import Write, exists, held, not_exists

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from lift_dynamorm.model import Model
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]


def delete_instance(context: Context, instance: Model, condition: Condition | None, *, missing_ok: bool) -> Write:
    """Plan the deletion of an item that was read, unless it changed since."""
    schema, now = schema_of(type(instance)), context.now()
    schema.check_unmoved(instance, stored_item(instance))
    key = schema.key_of_instance(instance, context.prefix)
    known = held(schema, instance, key, now)
    return Write(
        schema,
        "delete",
        "delete",
        key,
        now,
        guard=_guard(schema, now, every((known.lock, condition)), missing_ok=missing_ok),
        expected=known.version,
        seen=known.seen,
        instance=instance,
        stamps={} if known.version is None else {str(schema.roles.version): 0},  # as it was before it was ever stored
        missing_ok=missing_ok,
    )


def delete_key(
    context: Context,
    schema: Schema[Any],
    key: Item,
    key_values: Mapping[str, Any],
    condition: Condition | None,
    *,
    missing_ok: bool,
) -> Write:
    """Plan the deletion of an item by its key."""
    now = context.now()
    guard = _guard(schema, now, condition, missing_ok=missing_ok)
    return Write(schema, "delete", "delete", key, now, guard=guard, missing_ok=missing_ok, key_values=key_values)


def _guard(schema: Schema[Any], now: datetime, condition: Condition | None, *, missing_ok: bool) -> Condition | None:
    if not missing_ok:
        return every((exists(schema, now), condition))
    return None if condition is None else Some((not_exists(schema, now), condition))
