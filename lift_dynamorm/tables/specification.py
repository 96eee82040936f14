"""What a table should be, as its models say it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from lift_dynamorm.definition import MAX_GLOBAL_INDEXES, MAX_LOCAL_INDEXES
from lift_dynamorm.errors import DefinitionError
from lift_dynamorm.model import Model, schema_of
from lift_dynamorm.table import AWS_MANAGED, AWS_OWNED, OnDemand, Provisioned, TableSettings, Throughput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lift_dynamorm.indexes import Index
    from lift_dynamorm.schema import Schema

KeyNames = tuple[tuple[str, str], ...]
"""Attributes of a key, each with its side: ``(("pk", "HASH"), ("sk", "RANGE"))``."""

Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """A secondary index. projected: the attributes it copies beside all keys, None for every attribute.

    capacity: None for a local index, and where it is not managed. made: those of its keys that templates make, which
    DynamoDB knows nothing of.
    """

    name: str
    keys: KeyNames
    projected: frozenset[str] | None
    capacity: Throughput | None = None
    made: tuple[str, ...] = field(default=(), compare=False)

    def request(self) -> Payload:
        """Write it as CreateTable and UpdateTable take it."""
        return {
            "IndexName": self.name,
            "KeySchema": key_schema(self.keys),
            "Projection": self._projection(),
            **throughput(self.capacity),
        }

    def _projection(self) -> Payload:
        if self.projected is None:
            return {"ProjectionType": "ALL"}
        if not self.projected:
            return {"ProjectionType": "KEYS_ONLY"}
        return {"ProjectionType": "INCLUDE", "NonKeyAttributes": sorted(self.projected)}


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table as it should be, or as it is.

    name: as it is called in DynamoDB. types: of all key attributes, ``S``, ``N`` or ``B``.
    time_to_live: the attribute, None for none. models: the names of those that live in it, for messages.
    """

    name: str
    keys: KeyNames
    types: Mapping[str, str]
    global_indexes: Mapping[str, IndexSpec]
    local_indexes: Mapping[str, IndexSpec]
    time_to_live: str | None
    settings: TableSettings
    models: tuple[str, ...] = ()

    def request(self) -> Payload:
        """Write the CreateTable request."""
        settings = self.settings
        capacity = settings.capacity or OnDemand()
        request: Payload = {
            "TableName": self.name,
            "AttributeDefinitions": definitions(self.types),
            "KeySchema": key_schema(self.keys),
            "BillingMode": billing_mode(capacity),
            **throughput(capacity),
        }
        for title, indexes in (
            ("GlobalSecondaryIndexes", self.global_indexes),
            ("LocalSecondaryIndexes", self.local_indexes),
        ):
            if indexes:
                request[title] = [index.request() for index in indexes.values()]
        if settings.stream:
            request["StreamSpecification"] = stream_specification(settings.stream)
        if settings.table_class is not None:
            request["TableClass"] = settings.table_class
        if settings.encryption not in (None, AWS_OWNED):
            request["SSESpecification"] = encryption_specification(settings.encryption)
        if settings.deletion_protection is not None:
            request["DeletionProtectionEnabled"] = settings.deletion_protection
        if settings.tags:
            request["Tags"] = tag_list(settings.tags)
        if settings.resource_policy:
            request["ResourcePolicy"] = policy_text(settings.resource_policy)
        return request


def specifications(
    models: Iterable[type[Model]],
    table_name: Callable[[str], str] = str,
    settings: Callable[[str], TableSettings] | None = None,
) -> tuple[TableSpec, ...]:
    """Say what the tables of models should be, one for all models that share it, in the order of the models.

    table_name, settings: how a table of the models is called here, and what is said of it over the models.
    Raises DefinitionError, naming the models, where two that share a table do not fit together.
    """
    by_table: dict[str, list[Schema[Any]]] = {}
    for model in models:
        schema = schema_of(model)
        sharing = by_table.setdefault(table_name(schema.table.name), [])
        if schema not in sharing:
            sharing.append(schema)
    return tuple(_merged(name, schemas, settings) for name, schemas in by_table.items())


def _merged(name: str, schemas: list[Schema[Any]], over: Callable[[str], TableSettings] | None) -> TableSpec:
    first = schemas[0]
    keys = _keys(first.key)
    types: dict[str, str] = {}
    declared: dict[str, tuple[str, IndexSpec, str]] = {}
    settings, said_by = TableSettings(), first.name
    ttl: tuple[str, str] | None = None
    for schema in schemas:
        if _keys(schema.key) != keys:
            raise DefinitionError(
                f"{first.name} and {schema.name} share the table {name!r} but not the names of its key: "
                f"{_listed(keys)} and {_listed(_keys(schema.key))}"
            )
        for index in (schema.key, *schema.indexes):
            for attribute in (*index.partition, *index.sort):
                tag = types.setdefault(attribute.attribute, attribute.tag)
                if tag != attribute.tag:
                    raise DefinitionError(
                        f"{schema.name}: the key {attribute.attribute!r} of table {name!r} has two types, {tag} and "
                        f"{attribute.tag}"
                    )
            if index.name is not None:
                made = tuple(key.attribute for key in (*index.partition, *index.sort) if key.template is not None)
                spec = IndexSpec(index.name, _keys(index), index.projected, made=made)
                kind, other, owner = declared.setdefault(index.name, (index.kind, spec, schema.name))
                if (kind, other) != (index.kind, spec):
                    raise DefinitionError(
                        f"{owner} and {schema.name} declare the index {index.name!r} of table {name!r} differently: "
                        f"{_described(kind, other)}, and {_described(index.kind, spec)}"
                    )
        if schema.expiry is not None:
            if ttl is not None and ttl[0] != schema.expiry:
                raise DefinitionError(
                    f"{ttl[1]} and {schema.name} share the table {name!r} and keep their time to live in "
                    f"{ttl[0]!r} and {schema.expiry!r}; a table has one: give both the same name or alias"
                )
            ttl = (schema.expiry, schema.name)
        said = schema.table.settings
        settings = _joined(settings, said, said_by, schema.name)
        said_by = schema.name if said != TableSettings() else said_by
    if over is not None:
        for said_as in dict.fromkeys(schema.table.name for schema in schemas):
            settings = _over(settings, over(said_as))
    of_indexes = settings.index_capacity or {}
    unknown = of_indexes.keys() - {i for i, (kind, *_) in declared.items() if kind == "global"}
    if unknown:
        raise DefinitionError(f"index_capacity of table {name!r} names no global index of it: {_listed(unknown)}")
    of_kind: dict[str, dict[str, IndexSpec]] = {"global": {}, "local": {}}
    for_all = settings.capacity if not isinstance(settings.capacity, OnDemand) else OnDemand()
    for index_name, (kind, spec, _) in declared.items():
        capacity = of_indexes.get(index_name, for_all) if kind == "global" else None
        of_kind[kind][index_name] = replace(spec, capacity=capacity)
    for kind, most in (("global", MAX_GLOBAL_INDEXES), ("local", MAX_LOCAL_INDEXES)):
        if len(of_kind[kind]) > most:
            raise DefinitionError(
                f"the models of table {name!r} have {len(of_kind[kind])} {kind} indexes; DynamoDB allows {most}: share "
                "them among the models, by the same name"
            )
    names = tuple(schema.name for schema in schemas)
    return TableSpec(name, keys, types, of_kind["global"], of_kind["local"], ttl[0] if ttl else None, settings, names)


def _joined(settings: TableSettings, more: TableSettings, mine: str, theirs: str) -> TableSettings:
    """Join what two models say of one table; DefinitionError, naming both, where they contradict each other."""
    said = {}
    for setting in fields(settings):
        a, b = getattr(settings, setting.name), getattr(more, setting.name)
        if a is not None and b is not None and a != b:
            raise DefinitionError(
                f"{mine} and {theirs} share a table, but not its {setting.name}: {a!r} and {b!r}; say it once"
            )
        said[setting.name] = b if a is None else a
    return TableSettings(**said)


def _over(settings: TableSettings, over: TableSettings) -> TableSettings:
    """Put what `over` says in the place of what the models say; its capacity goes with that of the indexes."""
    said = {setting.name: getattr(over, setting.name) for setting in fields(over)}
    said = {name: value for name, value in said.items() if value is not None}
    if over.capacity is not None:
        said["index_capacity"] = over.index_capacity
    return replace(settings, **said)


def _keys(index: Index) -> KeyNames:
    return (*((k.attribute, "HASH") for k in index.partition), *((k.attribute, "RANGE") for k in index.sort))


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(name if isinstance(name, str) else name[0] for name in names)


def _described(kind: str, index: IndexSpec) -> str:
    copies = "all" if index.projected is None else _listed(sorted(index.projected)) or "keys only"
    return f"{kind} on {_listed(index.keys)} ({copies})"


# -- as DynamoDB writes it ---------------------------------------------------------------------------------------------


def key_schema(keys: KeyNames) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": side} for name, side in keys]


def definitions(types: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "AttributeType": tag} for name, tag in types.items()]


def billing_mode(capacity: Throughput) -> str:
    return "PROVISIONED" if isinstance(capacity, Provisioned) else "PAY_PER_REQUEST"


def throughput(capacity: Throughput | None) -> Payload:
    """Write the units of a table or an index; nothing where there are none to write."""
    if isinstance(capacity, Provisioned):
        units = {"ReadCapacityUnits": capacity.read, "WriteCapacityUnits": capacity.write}
        return {"ProvisionedThroughput": units}
    if capacity is None or capacity == OnDemand():
        return {}
    most = {"MaxReadRequestUnits": capacity.max_read, "MaxWriteRequestUnits": capacity.max_write}
    return {"OnDemandThroughput": {name: units for name, units in most.items() if units is not None}}


def stream_specification(stream: str | bool) -> Payload:
    return {"StreamEnabled": True, "StreamViewType": stream} if stream else {"StreamEnabled": False}


def encryption_specification(key: str | None) -> Payload:
    if key == AWS_OWNED:
        return {"Enabled": False}
    if key == AWS_MANAGED:
        return {"Enabled": True, "SSEType": "KMS"}
    return {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def policy_text(policy: Mapping[str, Any]) -> str:
    return json.dumps(policy, sort_keys=True)
