"""What a line of an import says: an item, where it is to be stored, and on whose behalf."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from lift_dynamorm.conditions import same
from lift_dynamorm.errors import InvalidValue, UsageError, did_you_mean
from lift_dynamorm.keys import tenant_prefix
from lift_dynamorm.operations.write import held_version
from lift_dynamorm.reader import check_tenant
from lift_dynamorm.transfer.owners import EVERY_TENANT, owner_of, prefix_of
from lift_dynamorm.transfer.plain import item_from_plain

if TYPE_CHECKING:
    from lift_dynamorm.model import Model
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.transfer.owners import EveryTenant

    Item = dict[str, Any]

Outcome = Literal["written", "skipped", "unchanged"]

_TYPED_LINE = ("model", "tenant", "item")
_RAW_LINE = ("table", "item")


class LeftOut(Exception):
    """A line is not one of those that were asked for."""


@dataclass(slots=True)
class Row:
    """A line as an item to be stored. here: its table in DynamoDB. stamped: attributes that the file does not say."""

    line: int
    here: str
    key: tuple[str, ...]
    item: Item
    prefix: str = ""
    schema: Schema[Any] | None = None
    instance: Model | None = None
    stamped: frozenset[str] = frozenset()
    outcome: Outcome | None = None

    @property
    def place(self) -> tuple[Any, ...]:
        """Where it is stored, alike for numbers that are the same."""
        tagged = (next(iter(self.item[name].items())) for name in self.key)
        return (self.here, *((tag, Decimal(value) if tag == "N" else value) for tag, value in tagged))

    @property
    def has_claims(self) -> bool:
        return self.schema is not None and bool(self.schema.uniques)

    def is_stored_as(self, current: Item) -> bool:
        """Tell whether the item that is there is just what the file has."""
        names = (self.item.keys() | current.keys()) - self.stamped
        return all(name in self.item and name in current and same(self.item[name], current[name]) for name in names)


@dataclass(slots=True)
class RowReader:
    """Makes rows of lines."""

    context: Context
    models: dict[str, Schema[Any]]
    tenant: str | EveryTenant | None
    others: Literal["refuse", "skip"]
    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)

    async def row(self, number: int, line: bytes) -> Row:
        """Read a line; raises a DynamORMError that does not say which line."""
        try:
            said = json.loads(line, parse_float=Decimal, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise InvalidValue(f"it is no JSON: {error}") from None
        if not isinstance(said, dict) or not isinstance(said.get("item"), dict):
            raise UsageError('a line is an object like {"model": "User", "tenant": null, "item": {...}}')
        known = _RAW_LINE if "table" in said else _TYPED_LINE
        for name in said:
            if name not in known:
                mend = did_you_mean(name, known, "a line has")
                raise UsageError(f"a line like this has no `{name}` beside its item; {mend}")
        if "table" in said:
            return await self._raw(number, said)
        return self._typed(number, said)

    async def _raw(self, number: int, said: Item) -> Row:
        table = said["table"]
        if not isinstance(table, str) or not table:
            raise UsageError(f"the table is {table!r}; give its name")
        if self.others == "skip" and not self._has_owner(table, said["item"]):
            raise LeftOut
        here = self.context.table_name(table)
        if here not in self.keys:
            described = (await self.context.send("DescribeTable", {"TableName": here}))["Table"]
            sides = {key["KeyType"]: key["AttributeName"] for key in described["KeySchema"]}
            self.keys[here] = tuple(sides[side] for side in ("HASH", "RANGE") if side in sides)
        item = item_from_plain(said["item"], typed=True)
        key = self.keys[here]
        missing = [name for name in key if name not in item]
        if missing:
            raise UsageError(f"the item has no {' and no '.join(missing)}, the key of the table {here!r}")
        if not self._is_wanted(prefix_of(item, key[0])):
            raise LeftOut
        return Row(number, here, key, item)

    def _typed(self, number: int, said: Item) -> Row:
        name, tenant = said.get("model"), said.get("tenant")
        schema = self.models.get(name) if isinstance(name, str) else None
        if schema is None:
            if self.others == "skip" and isinstance(name, str):
                raise LeftOut
            mend = did_you_mean(str(name), self.models, "the models are") if self.models else "no models are given"
            raise UsageError(f"there is no model {name!r}; {mend}")
        check_tenant(tenant)
        prefix = tenant_prefix(tenant) if tenant is not None else ""
        if not self._is_wanted(prefix):
            raise LeftOut
        wires = item_from_plain(said["item"])
        for attribute in wires:
            if attribute not in schema.by_attribute and (not schema.keeps_extra or attribute in schema.hidden):
                mend = did_you_mean(attribute, schema.by_attribute, "its attributes are")
                raise UsageError(f"{schema.name} has no attribute `{attribute}`; {mend}")
        instance: Any = schema.decode(wires, "")
        _check_key_said(schema, wires, instance)
        stamps = _stamps(self.context, schema, instance)
        item = schema.encode_fields({**instance.__dict__, **stamps}, instance.model_extra)
        schema.add_keys(item, prefix)
        stamped = frozenset(schema.fields[field_name].attribute for field_name in stamps)
        here, key = self.context.table(schema), schema.key.attributes
        return Row(number, here, tuple(key), item, prefix, schema, instance, stamped)

    def _has_owner(self, table: str, item: Item) -> bool:
        """Tell whether a whole item is one of the models that were asked for, by its key, as an export does."""
        sharing = [schema for schema in self.models.values() if schema.table.name == table]
        wires = item_from_plain(item, typed=True) if sharing else {}
        if not all(name in wires for schema in sharing for name in schema.key.attributes):
            return bool(sharing)  # it has no key, which is said of it later
        return bool(sharing) and owner_of(sharing, wires, prefix_of(wires, sharing[0].partition.attribute)) is not None

    def _is_wanted(self, prefix: str) -> bool:
        if not isinstance(self.tenant, str):
            return self.tenant is EVERY_TENANT or not prefix
        return prefix == tenant_prefix(self.tenant)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number that can be stored")


def _check_key_said(schema: Schema[Any], wires: Item, instance: Model) -> None:
    """Refuse a line whose key would be another one each time that it is read, and so a new item."""
    roles = schema.roles
    for attribute in sorted(schema.key.fields):
        name = schema.by_attribute[attribute].name
        made = name == roles.generated and not instance.__dict__[name]
        made = made or (name in (roles.created_at, roles.updated_at) and instance.__dict__[name] is None)
        info = schema.model.model_fields[name]
        if made or (attribute not in wires and info.default_factory is not None):
            one = "an id" if attribute == "id" else "one"
            msg = f"{schema.name}: the line has no `{attribute}`, and a new one at each import would make another item"
            raise UsageError(f"{msg}; give it {one}")


def _stamps(context: Context, schema: Schema[Any], instance: Model) -> dict[str, Any]:
    """Give the fields that sessions keep, and of which the file says nothing, what `create` gives them."""
    roles, values = schema.roles, instance.__dict__
    stamps: dict[str, Any] = {}
    if roles.version is not None and not held_version(schema, instance):
        stamps[roles.version] = 1
    for name in (roles.created_at, roles.updated_at):
        if name is not None and values[name] is None:
            stamps[name] = context.now()
    if roles.generated is not None and not values[roles.generated]:
        stamps[roles.generated] = context.new_id()
    return stamps
