"""Change some attributes of an item, by instance or by key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lift_dynamorm.conditions import Condition, Literal, Name, every, same
from lift_dynamorm.errors import UsageError
from lift_dynamorm.model import schema_of, stored_item
from lift_dynamorm.operations.write import Write, exists, held_version, version_guard
from lift_dynamorm.resolve import key_changes, resolve_changes
from lift_dynamorm.scalars import NULL_WIRE, encode_datetime
from lift_dynamorm.updates import Change, IfNotExists, Sum

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lift_dynamorm.expressions import Assignment
    from lift_dynamorm.model import Model
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.scalars import Wire
    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]


def update_instance(
    context: Context,
    instance: Model,
    assignments: Sequence[Assignment],
    values: Mapping[str, Any],
    condition: Condition | None,
) -> Write | None:
    """Plan an update of an item that was read: what was changed on the instance since, and what is given.

    None where there is nothing to do.
    """
    schema = schema_of(type(instance))
    prefix = context.prefix
    key = schema.key_of_instance(instance, prefix)
    stored = stored_item(instance)
    if stored is not None and any(stored.get(attribute) != wire for attribute, wire in key.items()):
        stored = None
    fields = schema.encode_fields(instance.__dict__, instance.model_extra)
    given = resolve_changes(schema, assignments, values, prefix)
    base = fields if stored is None else schema.without_prefix(dict(stored), prefix)
    changes = [*given, *_changed_fields(schema, fields, base, given, prefix)]
    if not changes and condition is None:
        if stored is None:
            msg = (
                f"update({schema.name}): the instance was not read from the table, so nothing tells what has changed; "
                "give the changes, as in name=..., or store the whole of it with put()"
            )
            raise UsageError(msg)
        return None
    version = held_version(schema, instance)
    changes += key_changes(schema, changes, base, prefix)
    changes += _stamps(schema, version, encode_datetime(context.now()))
    lock = None if version is None else version_guard(schema, version)
    return Write(
        schema,
        "update",
        "update",
        key,
        changes=tuple(changes),
        guard=every((exists(schema), lock, condition)),
        expected=version,
        instance=instance,
        base=dict(stored) if stored is not None and version is not None else None,
    )


def update_key(
    context: Context,
    schema: Schema[Any],
    key: Item,
    key_values: Mapping[str, Any],
    assignments: Sequence[Assignment],
    values: Mapping[str, Any],
    condition: Condition | None,
    *,
    upsert: bool,
) -> Write:
    """Plan an update by key. The item must exist unless `upsert`; the version goes up whatever it is."""
    changes = resolve_changes(schema, assignments, values, context.prefix)
    if not changes:
        raise UsageError(f"update of {schema.name} by key changes nothing; give fields, as in name=... or F.n.add(1)")
    changes += key_changes(schema, changes, None, context.prefix)
    now = encode_datetime(context.now())
    changes += _stamps(schema, None, now)
    if upsert:
        changes += _key_fields(schema, key_values)
        created = schema.roles.created_at
        if created is not None and created not in values:
            name = Name((schema.fields[created].attribute,))
            changes.append(Change("SET", name, IfNotExists(name, Literal(now))))
    guard = condition if upsert else every((exists(schema), condition))
    return Write(schema, "update", "update", key, changes=tuple(changes), guard=guard, key_values=key_values)


def _key_fields(schema: Schema[Any], key_values: Mapping[str, Any]) -> list[Change]:
    """Store the fields that a template key is made of, which an item that is new does not have yet."""
    changes = []
    for name, value in key_values.items():
        field = schema.fields[name]
        if field.attribute not in schema.key.attributes:
            wire = schema.encode_operand(field.codec, value, name)
            changes.append(Change("SET", Name((field.attribute,)), Literal(wire)))
    return changes


def _stamps(schema: Schema[Any], version: int | None, now: Wire) -> list[Change]:
    """Count the version up and note the time. Without a version in hand, DynamoDB counts."""
    changes = []
    if schema.roles.version is not None:
        name = Name((schema.fields[schema.roles.version].attribute,))
        if version is None:
            counted = Sum("+", IfNotExists(name, Literal({"N": "0"})), Literal({"N": "1"}))
            changes.append(Change("SET", name, counted))
        else:
            changes.append(Change("SET", name, Literal({"N": str(version + 1)})))
    if schema.roles.updated_at is not None:
        name = Name((schema.fields[schema.roles.updated_at].attribute,))
        changes.append(Change("SET", name, Literal(now)))
    return changes


def _changed_fields(
    schema: Schema[Any], fields: Item, base: Item, given: Sequence[Change], prefix: str
) -> list[Change]:
    """Find what differs, by value, between an instance and the item it was read from."""
    left_out = schema.kept.union(str(change.target.parts[0]) for change in given)
    changes = []
    for attribute, wire in fields.items():
        if attribute in left_out or (attribute in base and same(wire, base[attribute])):
            continue
        if attribute in schema.key.fields:
            field = schema.name_of(attribute)
            msg = f"{schema.name}: `{field}` is part of the item's key and was changed; delete and create instead"
            raise UsageError(msg)
        if prefix and attribute in schema.prefixed:
            wire = {"S": prefix + wire["S"]}
        changes.append(Change("SET", Name((attribute,)), Literal(wire)))
    for attribute, wire in base.items():
        known = attribute in schema.by_attribute or (schema.keeps_extra and attribute not in schema.hidden)
        if known and attribute not in fields and attribute not in left_out and wire != NULL_WIRE:
            changes.append(Change("REMOVE", Name((attribute,))))
    return changes
