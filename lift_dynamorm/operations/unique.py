"""Keep the values of `Unique` fields: each is claimed by a sibling item, written in the transaction of its owner.

The key of the sibling is the value, so two items cannot claim the same one. It lies in the table of its owner, and
under the tenant's prefix; `@#` in front keeps it apart from every key of a model.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lift_dynamorm.conditions import Literal, Name, Predicate, Some, every, joined
from lift_dynamorm.errors import InvalidValue, UniqueViolation
from lift_dynamorm.indexes import MAX_PARTITION_BYTES
from lift_dynamorm.keys import RESERVED, escape, plain_number
from lift_dynamorm.operations.write import Write, unchanged
from lift_dynamorm.unit_of_work import identity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lift_dynamorm.annotations import FieldSchema
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]

_OWNER = "@owner"
_SORT = {"S": {"S": RESERVED}, "N": {"N": "0"}, "B": {"B": b64encode(RESERVED.encode()).decode()}}


@dataclass(slots=True)
class Claim(Write):
    """The write of a sibling item; owner: the item whose value it keeps. field_name, value: for messages."""

    owner: tuple[Any, ...] = ()
    field_name: str = ""
    value: str = ""

    def failure(self, current: Item | None, prefix: str) -> UniqueViolation:
        msg = f"another {self.schema.name} has the {self.field_name} {self.value!r}"
        if self.kind == "delete":
            msg = f"the {self.field_name} {self.value!r} of this {self.schema.name} is kept for another one"
        violation = UniqueViolation(f"{self.verb}: {msg}")
        violation.field = self.field_name
        return violation


def touched(write: Write) -> list[FieldSchema]:
    """Tell which unique fields a write may change."""
    if write.kind == "check":
        return []
    if write.kind != "update":
        return list(write.schema.uniques)
    may_change = {change.target.parts[0] for change in write.changes}
    if write.upsert:
        may_change.update(write.schema.key.attributes)
    return [field for field in write.schema.uniques if field.attribute in may_change]


def pin(write: Write, before: Item | None) -> None:
    """Make a write depend on the unique values that it replaces."""
    pins = every(unchanged(f.attribute, (before or {}).get(f.attribute)) for f in touched(write))
    write.guard = joined(write.guard, pins)
    write.seen = joined(write.seen, pins)


def claims(context: Context, write: Write, before: Item | None, after: Item | None) -> Iterator[Claim]:
    """Give the writes of sibling items that go with a write: old values are given free, new ones claimed."""
    schema, prefix = write.schema, context.prefix
    owner = identity(schema, write.key)
    old, new = (schema.without_prefix(dict(item or {}), prefix) for item in (before, after))
    for field in touched(write):
        freed, taken = _text(old, field), _text(new, field)
        if freed == taken:
            continue
        mine = Predicate("=", Name((_OWNER,)), (Literal({"M": write.key}),))
        free = Predicate("attribute_not_exists", Name((schema.partition.attribute,)))
        guard = Some((free, mine))

        def claim(kind: str, value: str, *, field: FieldSchema = field, guard: Some = guard) -> Claim:
            key = _key(schema, field, value, prefix)
            item = {**key, _OWNER: {"M": write.key}} if kind == "put" else None
            return Claim(
                schema,
                kind,
                write.verb,
                key,
                write.now,
                item,
                guard=guard,
                owner=owner,
                field_name=field.name,
                value=value,
            )

        if freed is not None:
            yield claim("delete", freed)
        if taken is not None:
            yield claim("put", taken)


def _text(item: Mapping[str, Any], field: FieldSchema) -> str | None:
    wire = item.get(field.attribute, {})
    return plain_number(wire["N"]) if "N" in wire else wire.get("S")


def _key(schema: Schema[Any], field: FieldSchema, value: str, prefix: str) -> Item:
    owner = next(c for c in schema.model.__mro__ if c.__dict__.get("__dynamorm_definition__") is not None)
    text = f"{RESERVED}{owner.__name__}.{escape(field.attribute)}#{value}"  # subclasses without a table share the items
    size = len((prefix + text).encode())
    if size > MAX_PARTITION_BYTES:
        msg = f"the key that keeps a unique value takes {size} bytes; DynamoDB allows {MAX_PARTITION_BYTES}"
        raise schema.invalid(field.name, InvalidValue(msg))
    key = {schema.partition.attribute: {"S": prefix + text}}
    if schema.sort is not None:
        key[schema.sort.attribute] = _SORT[schema.sort.tag]
    return key
