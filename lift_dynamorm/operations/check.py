"""Require something of an item in a transaction, without writing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lift_dynamorm.conditions import Condition, every
from lift_dynamorm.model import schema_of, stored_item
from lift_dynamorm.operations.write import Write, exists, held

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lift_dynamorm.model import Model
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]


def check_instance(context: Context, instance: Model, condition: Condition | None) -> Write:
    """Require that an item that was read is there, with the version that it had."""
    schema, now = schema_of(type(instance)), context.now()
    schema.check_unmoved(instance, stored_item(instance))
    key = schema.key_of_instance(instance, context.prefix)
    known = held(schema, instance, key, now)
    guard = every((exists(schema, now), known.lock, condition))
    return Write(
        schema, "check", "check", key, now, guard=guard, expected=known.version, seen=known.seen, instance=instance
    )


def check_key(
    context: Context, schema: Schema[Any], key: Item, key_values: Mapping[str, Any], condition: Condition | None
) -> Write:
    """Require that an item is there, and a condition."""
    now = context.now()
    guard = every((exists(schema, now), condition))
    return Write(schema, "check", "check", key, now, guard=guard, key_values=key_values)
