"""The compiled form of a model: what its items look like in DynamoDB, and how to get there and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from lift_dynamorm.annotations import ABSENT, REQUIRED, FieldSchema
from lift_dynamorm.codec import Codec, decode_lenient
from lift_dynamorm.conditions import same
from lift_dynamorm.errors import InvalidItem, InvalidValue, UsageError
from lift_dynamorm.keys import RESERVED, TENANT_MARK, looks_like_tenant, without_tenant
from lift_dynamorm.scalars import NULL_WIRE, decode_any, encode_any
from lift_dynamorm.validation import normalized, normalizes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from lift_dynamorm.indexes import Index, KeyAttribute
    from lift_dynamorm.table import Table

    Wire = dict[str, Any]
    Item = dict[str, Wire]

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Roles:
    """The names of the fields that the session keeps up to date, None where the model has none."""

    version: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    time_to_live: str | None = None
    generated: str | None = None


class Schema(Generic[M]):
    """Everything a session needs to know of a model.

    `prefix` in its methods is what stands in front of partition keys: ``""``, or a tenant's ``@acme#``.
    """

    def __init__(
        self,
        model: type[M],
        *,
        table: Table,
        fields: Mapping[str, FieldSchema],
        key: Index,
        indexes: tuple[Index, ...],
        roles: Roles,
        uniques: tuple[FieldSchema, ...] = (),
    ) -> None:
        self.model = model
        self.name: str = model.__name__
        self.table = table
        self.fields = fields
        self.key = key
        self.indexes = indexes
        self.roles = roles
        self.uniques = uniques
        self.by_attribute: Mapping[str, FieldSchema] = {field.attribute: field for field in fields.values()}
        self.partition: KeyAttribute = key.partition[0]
        self.sort: KeyAttribute | None = key.sort[0] if key.sort else None
        keys = [k for index in (key, *indexes) for k in (*index.partition, *index.sort)]
        self.hidden: frozenset[str] = frozenset(k.attribute for k in keys if k.template is not None)
        self.prefixed: frozenset[str] = frozenset(k.attribute for k in keys if k.prefixed and k.template is None)
        self.kept: frozenset[str] = frozenset(
            fields[name].attribute for name in (roles.version, roles.updated_at) if name is not None
        )
        self.expiry: str | None = fields[roles.time_to_live].attribute if roles.time_to_live is not None else None
        self.keeps_extra: bool = model.model_config.get("extra") in ("allow", "forbid")
        self.normalizing: frozenset[str] = frozenset(name for name in fields if normalizes(model, name))
        own = {k.attribute for k in (*key.partition, *key.sort)}
        self._index_keys = tuple(
            {
                k.attribute: (side, k)
                for index in indexes
                for side, side_keys in (("partition", index.partition), ("sort", index.sort))
                for k in side_keys
                if k.attribute not in own
            }.values()
        )
        self._untenable = next((k for k in keys if k.prefixed and k.tag != "S"), None)
        self._key_patterns = tuple(
            (k.attribute, k.template.pattern()) for k in (*key.partition, *key.sort) if k.template is not None
        )
        template = self.partition.template
        self._is_plain = template is None and self.partition.tag == "S"
        self._begins_with_value = self._is_plain or (template is not None and not template.literals[0])
        self._encoders = tuple(
            (f.name, f.attribute, f.codec.encode, f.null, f.codec.nullable, f.codec.is_set) for f in fields.values()
        )
        self._decoders: dict[str, tuple[str, Callable[[Wire], Any]]] = {
            f.attribute: (f.key, f.codec.decode) for f in fields.values()
        }
        self.optional_sets: tuple[str, ...] = tuple(
            f.name for f in fields.values() if f.codec.is_set and f.codec.nullable
        )
        self._absent = tuple((f.key, f.absent) for f in fields.values() if f.absent not in (ABSENT, REQUIRED))

    # -- to DynamoDB ---------------------------------------------------------------------------------------------------

    def encode_fields(self, values: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> Item:
        """Encode field values by name, without keys that templates make and without the tenant."""
        item: Item = {}
        name = ""
        try:
            for name, attribute, encode, null, nullable, is_set in self._encoders:
                value = values[name]
                if value is None and nullable:
                    if null:
                        item[attribute] = NULL_WIRE
                elif value or not is_set:
                    item[attribute] = encode(value)
            if extra:
                for name, value in extra.items():
                    if name in self.hidden:
                        raise InvalidValue("the name is taken by a key of the table or of an index")
                    item[name] = encode_any(value)
        except InvalidValue as error:
            raise self.invalid(name, error) from None
        except KeyError:
            raise InvalidValue(f"{self.name}.{name} has no value", field=name) from None
        return item

    def encode(self, instance: M, prefix: str) -> Item:
        """Make the whole item of an instance."""
        item = self.encode_fields(instance.__dict__, instance.model_extra)
        self.add_keys(item, prefix)
        return item

    def add_keys(self, item: Item, prefix: str) -> None:
        """Add what templates make, and put the tenant in front of partition keys.

        Each key attribute stands for itself, also where the item lacks the other one and is not in the index: an
        update of one side then needs to know nothing of the other.
        """
        made = dict(self._table_key(item, prefix))
        for side, key in self._index_keys:
            try:
                wire = key.render(item, prefix, side)
            except InvalidValue as error:
                raise self.invalid(self.name_of(error.field), error) from None
            if wire is not None:
                made[key.attribute] = wire
        item.update(made)

    def _table_key(self, item: Mapping[str, Wire], prefix: str) -> Item:
        self.check_tenant(prefix)
        try:
            key = self.key.keys(item, prefix)
        except InvalidValue as error:
            raise self.invalid(self.name_of(error.field), error) from None
        if key is None:
            missing = " and ".join(f"`{name}`" for name in sorted(self.key.fields) if name not in item)
            msg = f"{self.name} has no {missing or 'value'}, which its key is made of"
            raise InvalidValue(msg, field=missing.strip("`"))
        return key

    def check_tenant(self, prefix: str) -> None:
        """Refuse a tenant where a partition key cannot carry one."""
        key = self._untenable
        if not prefix or key is None:
            return
        msg = (
            f"{self.name}: the partition key `{key.attribute}` is of type {key.tag} and cannot carry a tenant. "
            f'Use a key template (pk="{self.name.upper()}#{{{key.attribute}}}"), or a table per tenant'
        )
        raise UsageError(msg)

    def invalid(self, field: str, error: InvalidValue) -> InvalidValue:
        """Name model and field in front of what is wrong with the value."""
        return InvalidValue(f"{self.name}.{field}: {error}", field=field)

    def key_from(self, values: Mapping[str, Any], prefix: str) -> Item:
        """Make the table key from field values by name, converted and checked as pydantic would."""
        return self._table_key(self.encode_key_fields(values), prefix)

    def encode_key_fields(self, values: Mapping[str, Any]) -> Item:
        """Encode the fields of the key, by attribute; raises UsageError where some are missing or are none."""
        wires: Item = {}
        for name, value in values.items():
            field = self.fields.get(name)
            if field is None or field.attribute not in self.key.fields:
                wanted = (
                    ", ".join(f"{self.name_of(a)}=..." for a in sorted(self.key.fields)) or "no value: it is constant"
                )
                raise UsageError(f"the key of {self.name} takes {wanted}; `{name}` is not part of it")
            if name in self.normalizing:
                value = normalized(self.model, field, value)
            wires[field.attribute] = self.encode_operand(field.codec, value, name)
        if len(wires) < len(self.key.fields):
            missing = [self.name_of(a) for a in sorted(self.key.fields) if a not in wires]
            raise UsageError(f"the key of {self.name} also needs {', '.join(f'{name}=...' for name in missing)}")
        return wires

    def check_whole(self, instance: M) -> None:
        """Refuse to write an instance of which only a part was read."""
        if not self.fields.keys() <= instance.__dict__.keys():
            names = [f"`{name}`" for name in self.fields if name not in instance.__dict__]
            lacking, were = ", ".join(names), "was" if len(names) == 1 else "were"
            raise UsageError(
                f"this {self.name} is partial and cannot be written: {lacking} {were} not read. Use the key form, as "
                f"in update({self.name}, {{...}}, ...) and delete({self.name}, ...), or read all of it, without .only()"
            )

    def key_of_instance(self, instance: M, prefix: str) -> Item:
        """Make the table key of an instance."""
        self.check_whole(instance)
        values: Item = {}
        for attribute in self.key.fields:
            field = self.by_attribute[attribute]
            value = instance.__dict__[field.name]
            if value is not None:
                try:
                    values[attribute] = field.codec.encode(value)
                except InvalidValue as error:
                    raise self.invalid(field.name, error) from None
        return self._table_key(values, prefix)

    def check_unmoved(self, instance: M, stored: Mapping[str, Wire] | None) -> None:
        """Refuse an instance whose key was assigned since it was read: its writes would go to another item."""
        name = self.moved(instance, stored)
        if name is not None:
            msg = f"{self.name}: `{name}` is part of the item's key and was changed; delete the item and create another"
            raise UsageError(msg)

    def moved(self, instance: M, stored: Mapping[str, Wire] | None) -> str | None:
        """Name a key field that was assigned since the instance was read; None where its key is the same."""
        for attribute in self.key.fields if stored is not None else ():
            assert stored is not None
            wire = stored.get(attribute)
            if wire is None:  # the key is there, by its template, but not the field
                continue
            if attribute in self.prefixed and "S" in wire:
                wire = {"S": without_tenant(wire["S"])}
            field = self.by_attribute[attribute]
            if not same(field.codec.encode(instance.__dict__[field.name]), wire):
                return field.name
        return None

    def key_of_item(self, item: Mapping[str, Wire]) -> Item:
        """Take the table key out of a stored item."""
        return {attribute: item[attribute] for attribute in self.key.attributes}

    def name_of(self, attribute: str) -> str:
        field = self.by_attribute.get(attribute)
        return field.name if field is not None else attribute

    def encode_operand(self, codec: Codec, value: Any, name: str) -> Wire:
        """Encode a value that stands beside a field in a key or a condition.

        What the field would take from a stored item is accepted too: the text of a datetime or UUID, the value
        of an Enum, any number beside a number.
        """
        try:
            return codec.encode(value)
        except InvalidValue as error:
            try:
                wire = encode_any(value)
                if codec.tags == {"N"} and "N" in wire:
                    return wire
                return codec.encode(codec.decode(wire))
            except (InvalidValue, KeyError, ValueError, TypeError, ArithmeticError):
                raise self.invalid(name, error) from None

    # -- from DynamoDB -------------------------------------------------------------------------------------------------

    def owns(self, item: Mapping[str, Wire], prefix: str) -> bool:
        """Tell whether a stored item is one of this model's, and of this tenant's."""
        partition = item[self.partition.attribute].get("S", "")
        if prefix and not partition.startswith(prefix):
            return False
        if self._begins_with_value and partition.startswith(TENANT_MARK, len(prefix)):
            # No template makes such a key; a plain one may be, where it is no claim's and no tenant's.
            marked = partition.startswith(RESERVED, len(prefix)) or (not prefix and looks_like_tenant(partition))
            if marked or not self._is_plain:
                return False
        for attribute, pattern in self._key_patterns:
            start = len(prefix) if attribute == self.partition.attribute else 0
            if pattern.fullmatch(item[attribute].get("S", ""), start) is None:
                return False
        return True

    def owns_all(self, prefix: str, *, pinned: bool) -> bool:
        """Tell whether nothing but this model's and this tenant's can be found; pinned: under one partition key."""
        return not self._key_patterns and (pinned or not (prefix or self._is_plain))

    def has_expired(self, item: Mapping[str, Wire], now: datetime) -> bool:
        """Tell whether an item's time to live is over, though DynamoDB may still hold it."""
        if self.expiry is None:
            return False
        ends = item.get(self.expiry, NULL_WIRE).get("N")
        return ends is not None and float(ends) <= now.timestamp()

    def decode(self, item: Item, prefix: str, part: type[BaseModel] | None = None) -> M:
        """Make an instance from a stored item; `InvalidItem` where it does not fit the model.

        part: the class to make one of instead, of some of the model's fields.
        """
        data: dict[str, Any] = {}
        decoders = self._decoders
        fields = self.without_prefix(item, prefix) if prefix and self.prefixed else item
        try:
            for attribute, wire in fields.items():
                known = decoders.get(attribute)
                if known is not None:
                    data[known[0]] = known[1](wire)
                elif self.keeps_extra and attribute not in self.hidden:
                    data[attribute] = decode_any(wire)
        except (KeyError, ValueError, TypeError, ArithmeticError):
            data = self._decode_leniently(fields)
        for key, absent in self._absent:
            if key not in data:
                data[key] = absent
        try:
            instance: Any = (part or self.model).model_validate(data)
        except ValidationError as error:
            raise self._invalid_item(item, error) from None
        object.__setattr__(instance, "_stored", item)
        return instance  # type: ignore[no-any-return]  # `part` is known to the one caller that gives it

    def _decode_leniently(self, item: Item) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for attribute, wire in item.items():
            field = self.by_attribute.get(attribute)
            if field is not None:
                data[field.key] = decode_lenient(field.codec, wire)
            elif self.keeps_extra and attribute not in self.hidden:
                data[attribute] = decode_any(wire)
        return data

    def without_prefix(self, item: Item, prefix: str) -> Item:
        """Take the tenant off the attributes that are both a field and a partition key."""
        own = {a: {"S": item[a]["S"].removeprefix(prefix)} for a in self.prefixed.intersection(item) if "S" in item[a]}
        return {**item, **own} if prefix else item

    def _invalid_item(self, item: Item, error: ValidationError) -> InvalidItem:
        key = {a: item[a] for a in self.key.attributes if a in item}
        where = ", ".join(f"{a}={next(iter(wire.values()))}" for a, wire in key.items())
        said = f"the item {where}" if where else "it"
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False, include_context=False)
        )
        return InvalidItem(f"{said} does not fit {self.name}: {faults}", key=key)
