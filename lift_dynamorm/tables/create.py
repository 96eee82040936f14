"""Create the tables that models need."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lift_dynamorm.errors import DeadlineExceeded, DefinitionError, RequestRefused
from lift_dynamorm.model import Model, schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lift_dynamorm.database import Database
    from lift_dynamorm.indexes import Index
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.transport.retry import RetryTransport

_WAIT = 300.0


def table_requests(models: Iterable[type[Model]], table_name: Callable[[str], str] = str) -> list[dict[str, Any]]:
    """Write one CreateTable request per table, on demand, with the indexes of all models that share it.

    Raises DefinitionError, naming the models, where two that share a table do not fit together.
    """
    by_table: dict[str, list[Schema[Any]]] = {}
    for model in models:
        schema = schema_of(model)
        by_table.setdefault(schema.table.name, []).append(schema)
    return [_request(table_name(name), schemas) for name, schemas in by_table.items()]


def _request(name: str, schemas: list[Schema[Any]]) -> dict[str, Any]:
    types: dict[str, str] = {}
    key = _key_schema(schemas[0].key)
    indexes: dict[str, tuple[str, dict[str, Any], str]] = {}
    for schema in schemas:
        if _key_schema(schema.key) != key:
            raise DefinitionError(
                f"{schemas[0].name} and {schema.name} share the table {name!r} but not the names of its key"
            )
        for index in (schema.key, *schema.indexes):
            for attribute in (*index.partition, *index.sort):
                if types.setdefault(attribute.attribute, attribute.tag) != attribute.tag:
                    msg = f"{schema.name}: the key {attribute.attribute!r} of table {name!r} has two types"
                    raise DefinitionError(msg)
            if index.name is not None:
                made = {"IndexName": index.name, "KeySchema": _key_schema(index), "Projection": _projection(index)}
                kind, other, owner = indexes.setdefault(index.name, (index.kind, made, schema.name))
                if (kind, other) != (index.kind, made):
                    msg = f"{owner} and {schema.name} declare the index {index.name!r} of table {name!r} differently"
                    raise DefinitionError(msg)
    request: dict[str, Any] = {
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": n, "AttributeType": t} for n, t in types.items()],
        "KeySchema": key,
        "BillingMode": "PAY_PER_REQUEST",
    }
    for kind, title in (("global", "GlobalSecondaryIndexes"), ("local", "LocalSecondaryIndexes")):
        made_of = [made for index_kind, made, _ in indexes.values() if index_kind == kind]
        if made_of:
            request[title] = made_of
    return request


def _key_schema(index: Index) -> list[dict[str, str]]:
    sides = [*((k, "HASH") for k in index.partition), *((k, "RANGE") for k in index.sort)]
    return [{"AttributeName": key.attribute, "KeyType": side} for key, side in sides]


def _projection(index: Index) -> dict[str, Any]:
    if index.projected is None:
        return {"ProjectionType": "ALL"}
    if not index.projected:
        return {"ProjectionType": "KEYS_ONLY"}
    return {"ProjectionType": "INCLUDE", "NonKeyAttributes": sorted(index.projected)}


async def create_tables(database: Database, transport: RetryTransport, models: Iterable[type[Model]]) -> None:
    """Create the tables that do not exist yet, wait until they are active, and turn on their time to live.

    Tables that exist are left as they are. Raises DefinitionError where one lacks an index, and DeadlineExceeded
    after five minutes.
    """
    models = tuple(models)
    for request in table_requests(models, database.table_name):
        try:
            await transport.send("CreateTable", request)
        except RequestRefused as error:
            if error.code != "ResourceInUseException":
                raise
        _check_indexes(request, await _wait(database, transport, request["TableName"]))
    for schema in map(schema_of, models):
        if schema.roles.time_to_live is not None:
            attribute = schema.fields[schema.roles.time_to_live].attribute
            await _enable_ttl(transport, database.table_name(schema.table.name), attribute)


def _check_indexes(request: Mapping[str, Any], table: Mapping[str, Any]) -> None:
    for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        missing = {i["IndexName"] for i in request.get(kind, ())} - {i["IndexName"] for i in table.get(kind, ())}
        if missing:
            names = ", ".join(sorted(missing))
            msg = f"the table {request['TableName']!r} exists without the index {names}; add it, or delete the table"
            raise DefinitionError(msg)


async def _wait(database: Database, transport: RetryTransport, name: str) -> dict[str, Any]:
    give_up = time.monotonic() + _WAIT
    while True:
        table = (await transport.send("DescribeTable", {"TableName": name}))["Table"]
        states = [table["TableStatus"], *(i.get("IndexStatus") for i in table.get("GlobalSecondaryIndexes", ()))]
        if all(state == "ACTIVE" for state in states):
            return dict(table)
        if time.monotonic() > give_up:
            raise DeadlineExceeded(
                f"the table {name!r} is not active after {_WAIT:.0f} seconds", operation="DescribeTable"
            )
        await transport.sleep(0.2)


async def _enable_ttl(transport: RetryTransport, name: str, attribute: str) -> None:
    state = (await transport.send("DescribeTimeToLive", {"TableName": name}))["TimeToLiveDescription"]
    if state.get("TimeToLiveStatus") in ("ENABLED", "ENABLING"):
        return
    specification = {"Enabled": True, "AttributeName": attribute}
    await transport.send("UpdateTimeToLive", {"TableName": name, "TimeToLiveSpecification": specification})
