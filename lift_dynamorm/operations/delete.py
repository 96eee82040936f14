"""Delete an item, by instance or by key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lift_dynamorm.conditions import Condition, every
from lift_dynamorm.model import schema_of
from lift_dynamorm.operations.write import Write, exists, held_version, version_guard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lift_dynamorm.model import Model
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]


def delete_instance(context: Context, instance: Model, condition: Condition | None, *, missing_ok: bool) -> Write:
    """Plan the deletion of an item that was read, unless it changed since."""
    schema = schema_of(type(instance))
    key = schema.key_of_instance(instance, context.prefix)
    version = held_version(schema, instance)
    lock = None if version is None else version_guard(schema, version)
    guard = every((exists(schema), lock, condition))
    return Write(
        schema, "delete", "delete", key, guard=guard, expected=version, instance=instance, missing_ok=missing_ok
    )


def delete_key(
    schema: Schema[Any], key: Item, key_values: Mapping[str, Any], condition: Condition | None, *, missing_ok: bool
) -> Write:
    """Plan the deletion of an item by its key."""
    guard = condition if missing_ok and condition is None else every((exists(schema), condition))
    return Write(schema, "delete", "delete", key, guard=guard, missing_ok=missing_ok, key_values=key_values)
