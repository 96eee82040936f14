"""Change some attributes of an item, by instance or by key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from lift_dynamorm import updates
from lift_dynamorm.conditions import Condition, Literal, Name, every, same
from lift_dynamorm.errors import InvalidItem, InvalidValue, UsageError
from lift_dynamorm.model import assign, schema_of, shown_fields, stored_item
from lift_dynamorm.operations.write import Write, exists, held, not_expired, unchanged
from lift_dynamorm.resolve import key_changes, resolve_changes, with_tenant
from lift_dynamorm.scalars import NULL_WIRE, encode_datetime
from lift_dynamorm.updates import Change, IfNotExists, Sum, is_plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from lift_dynamorm.expressions import Assignment
    from lift_dynamorm.model import Model
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.scalars import Wire
    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]

_MUTABLE = (list, dict, set, BaseModel)


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
    schema.check_unmoved(instance, stored_item(instance))
    now = context.now()
    known = held(schema, instance, key, now)
    stored = known.stored
    fields = schema.encode_fields(instance.__dict__, instance.model_extra)
    given = resolve_changes(schema, assignments, values, prefix)
    base = fields if stored is None else schema.without_prefix(stored, prefix)
    changed = _changed_fields(schema, fields, base, given, prefix)
    mixed = _changed_inside(fields, base, given)
    if (changed or mixed) and stored is not None:
        as_read = shown_fields(instance) or _as_read(schema, instance, stored, base, fields, prefix)
        changed = _changed_fields(schema, fields, as_read, given, prefix)
        _check_unmixed(schema, _changed_inside(fields, as_read, given))
    if not given and not changed and condition is None:
        if stored is None:
            msg = (
                f"update({schema.name}): the instance was not read from the table, so nothing tells what has changed; "
                "give the changes, as in name=..., or store the whole of it with put()"
            )
            raise UsageError(msg)
        return None
    changes = _validated(schema, [*given, *changed], base, prefix)
    seen = known.seen
    if known.version is None:  # what the keys of indexes are made of must not have changed, or they would lie
        sources = sorted(_index_sources(schema, changes))
        stated = {a: with_tenant(schema, a, base[a], prefix) for a in sources if a in base}
        seen = every(unchanged(a, stated.get(a)) for a in sources)
    changes += key_changes(schema, changes, base, prefix)
    changes += _stamps(schema, known.version, encode_datetime(now))
    return Write(
        schema,
        "update",
        "update",
        key,
        now,
        changes=tuple(changes),
        guard=every((exists(schema, now), known.lock or seen, condition)),
        expected=known.version,
        seen=seen,
        instance=instance,
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
    prefix = context.prefix
    changes = resolve_changes(schema, assignments, values, prefix)
    if not changes:
        raise UsageError(f"update of {schema.name} by key changes nothing; give fields, as in name=... or F.n.add(1)")
    known = schema.encode_key_fields(key_values)
    now = context.now()
    first = _where_missing(schema, changes, known, prefix, now) if upsert else []
    changes += key_changes(schema, changes, None, prefix, known)
    done = {change.target.parts for change in changes}
    changes += [change for change in first if change.target.parts not in done]
    changes += _stamps(schema, None, encode_datetime(now))
    there = not_expired(schema, now) if upsert else exists(schema, now)
    return Write(
        schema,
        "update",
        "update",
        key,
        now,
        changes=tuple(changes),
        guard=every((there, condition)),
        key_values=key_values,
        upsert=upsert,
    )


def _where_missing(
    schema: Schema[Any], changes: Sequence[Change], known: Item, prefix: str, now: datetime
) -> list[Change]:
    """Give what a new item has beside the changes: key fields, defaults, index keys. What is there already stays."""
    try:
        item = updates.apply(changes, known)
        instance = schema.decode(_bare(schema, item, changes, prefix), "")
    except UsageError as error:
        msg = f"upsert of {schema.name}: {error}, where there is none yet; write F.n.if_not_exists(0) + 1"
        raise UsageError(msg) from None
    except InvalidItem as error:
        raise UsageError(f"upsert of {schema.name}: a new item would not fit the model: {error}") from None
    if schema.roles.created_at is not None and instance.__dict__[schema.roles.created_at] is None:
        assign(instance, {schema.roles.created_at: now})
    written = schema.kept.union(str(change.target.parts[0]) for change in changes)
    more = []
    for attribute, wire in schema.encode(instance, prefix).items():
        if attribute not in written and attribute not in schema.key.attributes:
            name = Name((attribute,))
            more.append(Change("SET", name, IfNotExists(name, Literal(wire))))
    return more


def _validated(schema: Schema[Any], changes: Sequence[Change], base: Item, prefix: str) -> list[Change]:
    """Hold the outcome against the model before it is sent, and take over what its validators make of a value."""
    try:
        outcome = schema.decode(_bare(schema, updates.apply(changes, base), changes, prefix), "")
    except InvalidItem as error:
        raise InvalidValue(f"update: {error}") from None
    fields = schema.encode_fields(outcome.__dict__, outcome.model_extra)
    return [_as_validated(schema, change, fields, prefix) for change in changes]


def _bare(schema: Schema[Any], item: Item, changes: Sequence[Change], prefix: str) -> Item:
    """Take the tenant off what changes have set; the rest has none, though its values may look so."""
    changed = item.keys() & {str(change.target.parts[0]) for change in changes}
    return {**item, **schema.without_prefix({attribute: item[attribute] for attribute in changed}, prefix)}


def _as_validated(schema: Schema[Any], change: Change, fields: Item, prefix: str) -> Change:
    attribute = str(change.target.parts[0])
    if change.action != "SET" or not isinstance(change.value, Literal) or len(change.target.parts) > 1:
        return change
    wire = fields.get(attribute)
    if wire is None:
        return Change("REMOVE", change.target)
    return Change("SET", change.target, Literal(with_tenant(schema, attribute, wire, prefix)))


def _as_read(schema: Schema[Any], instance: Model, stored: Item, base: Item, fields: Item, prefix: str) -> Item:
    """Encode what the instance showed when it was read: defaults that the item lacks are no changes.

    A default that is another one at each call tells nothing; it counts as changed only if it was assigned.
    """
    fresh = schema.decode(stored, prefix)
    as_read = schema.encode_fields(fresh.__dict__, fresh.model_extra)
    for field in schema.fields.values():
        assigned = field.name in instance.model_fields_set
        if field.attribute in base or assigned or isinstance(instance.__dict__[field.name], _MUTABLE):
            continue
        as_read.pop(field.attribute, None)
        if field.attribute in fields:
            as_read[field.attribute] = fields[field.attribute]
    return as_read


def _index_sources(schema: Schema[Any], changes: Sequence[Change]) -> set[str]:
    """Name what the changed keys of indexes are made of besides the changes."""
    changed = {str(change.target.parts[0]) for change in changes}
    keys = [key for index in schema.indexes for key in (*index.partition, *index.sort) if key.template is not None]
    touched = {attribute for key in keys if not changed.isdisjoint(key.fields) for attribute in key.fields}
    return touched - changed - schema.key.fields


def _changed_inside(fields: Item, base: Mapping[str, Any], given: Sequence[Change]) -> list[str]:
    """Name attributes that differ on the instance, and of which the given changes are about a part."""
    parts = {str(change.target.parts[0]) for change in given if not is_plain(change)}
    return sorted(a for a in parts if not same(fields.get(a, NULL_WIRE), base.get(a, NULL_WIRE)))


def _check_unmixed(schema: Schema[Any], attributes: Sequence[str]) -> None:
    if attributes:
        names = " and ".join(f"`{schema.name_of(attribute)}`" for attribute in attributes)
        msg = f"update({schema.name}): {names} was changed on the instance and by an expression; give one of them"
        raise UsageError(msg)


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
    schema: Schema[Any], fields: Item, base: Mapping[str, Any], given: Sequence[Change], prefix: str
) -> list[Change]:
    """Find what differs, by value, between an instance and the item it was read from."""
    left_out = schema.kept.union(str(change.target.parts[0]) for change in given)
    changes = []
    for attribute, wire in fields.items():
        if attribute in left_out or (attribute in base and same(wire, base[attribute])):
            continue
        wire = with_tenant(schema, attribute, wire, prefix)
        changes.append(Change("SET", Name((attribute,)), Literal(wire)))
    for attribute, wire in base.items():
        known = attribute in schema.by_attribute or (schema.keeps_extra and attribute not in schema.hidden)
        if known and attribute not in fields and attribute not in left_out and wire != NULL_WIRE:
            changes.append(Change("REMOVE", Name((attribute,))))
    return changes
