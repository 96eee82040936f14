"""What must hold, written without the library: whose a stored item is, what each tenant owns, what each request names.

An item's owner is read off its raw key, and every request is looked at on its way to the engine.
"""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from lift_dynamorm import Database
from lift_dynamorm.transport.retry import RetryTransport
from tests.conftest import unique_tables

from .models import KEYS, PARTITIONS, TABLES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

    from lift_dynamorm.transport import Payload, Transport

    Item = dict[str, Any]
    Tenant = str | None
    Key = tuple[str, tuple[Any, ...]]

_EQUALS = re.compile(r"(#\w+) = (:\w+)")
_BEGINS = re.compile(r"begins_with\((#\w+), (:\w+)\)")


def escaped(text: str) -> str:
    return "".join({'"': '""', "#": '"$'}.get(c, c) for c in text)


def prefix(tenant: Tenant) -> str:
    return "" if tenant is None else f"@{escaped(tenant)}#"


def owner(text: str) -> str:
    """The prefix that a stored partition key carries, "" where it is nobody's."""
    head, mark, _ = text.partition("#")
    return head + mark if mark and head.startswith("@") and head != "@" else ""


def refused(tenant: Tenant, text: str) -> bool:
    """Whether a plain partition key may not be this: a reserved one, or one of a tenant's outside of all of them."""
    return text.startswith("@#") or (tenant is None and bool(owner(text)))


class Witness:
    """A transport that holds each request and answer against the tenant on whose behalf it goes out."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.acting: Tenant | bool = False
        self._blocking: _Blocking | None = None
        self.requests: list[tuple[str, Payload]] = []

    @contextmanager
    def on_behalf_of(self, tenant: Tenant | bool) -> Iterator[None]:
        """Hold what is sent meanwhile to a tenant; False: to nobody."""
        before, self.acting = self.acting, tenant
        try:
            yield
        finally:
            self.acting = before

    @property
    def blocking(self) -> Any:
        if self._blocking is None:
            self._blocking = _Blocking(self)
        return self._blocking

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        return await self.watched(self._inner, operation, payload, deadline)

    async def watched(self, inner: Transport, operation: str, payload: Payload, deadline: float | None) -> Payload:
        self.requests.append((operation, payload))
        if self.acting is False:
            return await inner.send(operation, payload, deadline=deadline)
        assert not isinstance(self.acting, bool)
        self._check_request(operation, payload, prefix(self.acting))
        answer = await inner.send(operation, payload, deadline=deadline)
        self._check_answer(operation, payload, answer, prefix(self.acting))
        return answer

    def _check_request(self, operation: str, payload: Payload, own: str) -> None:
        match operation:
            case "TransactWriteItems" | "TransactGetItems":
                parts = [part for entry in payload["TransactItems"] for part in entry.values()]
            case "BatchGetItem":
                parts = [{"Key": key} for table in payload["RequestItems"].values() for key in table["Keys"]]
            case "BatchWriteItem":
                entries = [e for table in payload["RequestItems"].values() for e in table]
                parts = [part for entry in entries for part in entry.values()]
            case "Query":
                assert self._partition(payload, "KeyConditionExpression", _EQUALS, own), payload
                parts = []
            case "Scan" if own:
                names = (_EQUALS, _BEGINS)
                assert any(self._partition(payload, "FilterExpression", n, own) for n in names), payload
                parts = []
            case "Scan" | "DescribeTable":
                parts = []
            case _:
                parts = [payload]
        for part in parts:
            for item in (part.get("Key"), part.get("Item")):
                assert item is None or _is_of(item, own), f"{operation} on behalf of {own!r} names {item}"

    @staticmethod
    def _partition(payload: Payload, place: str, form: re.Pattern[str], own: str) -> bool:
        """Whether an expression holds a partition key to this tenant."""
        names, values = payload.get("ExpressionAttributeNames", {}), payload.get("ExpressionAttributeValues", {})
        found = [(names[n], values[v]["S"]) for n, v in form.findall(payload.get(place, "")) if "S" in values[v]]
        return any(n in PARTITIONS and v.startswith(own) and (own or not owner(v)) for n, v in found)

    def _check_answer(self, operation: str, payload: Payload, answer: Payload, own: str) -> None:
        if operation == "Scan" or (operation == "Query" and "IndexName" not in payload):
            for item in answer.get("Items", ()):  # an index may give what another tenant has put there
                assert _is_of(item, own), f"{operation} on behalf of {own!r} was given {item}"

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Blocking:
    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self.blocking = self

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        return await self._witness.watched(self._witness._inner.blocking, operation, payload, deadline)

    async def aclose(self) -> None:
        await self._witness._inner.blocking.aclose()


def _is_of(item: Mapping[str, Any], own: str) -> bool:
    return owner(item.get("pk", item.get("id"))["S"]) == own


class World:
    """The tables, the raw state, and of each tenant (and of nobody: None) the items that it must find.

    items: of each tenant the fields of its items, by model and key. poison: index entries that are made by hand.
    """

    def __init__(self, transport: Transport) -> None:
        self.witness = Witness(transport)
        self.created: set[str] = set()
        named = unique_tables()

        def table_name(name: str) -> str:
            self.created.add(named(name))
            return named(name)

        self.named = named
        retrying: Any = RetryTransport(self.witness, max_attempts=3)
        self.db = Database(transport=retrying, table_names=table_name, cursor_keys=["secret"])
        self.tenants: tuple[Tenant, ...] = ()
        self.items: dict[Tenant, dict[Key, Item]] = {}

    def reset(self, *tenants: Tenant) -> None:
        """Begin anew, with empty tables."""
        for table in TABLES:
            for item in self.raw(table):
                names = ("pk", "sk") if "pk" in item else ("id",)
                self.send("DeleteItem", {"TableName": self.named(table), "Key": {n: item[n] for n in names}})
        self.tenants = tenants
        self.items = {tenant: {} for tenant in tenants}

    def send(self, operation: str, payload: Payload) -> Payload:
        """Send a request past the library."""
        from lift_dynamorm.operations.concurrency import drive

        return drive(self.witness._inner.blocking.send(operation, payload))

    def raw(self, table: str) -> list[Item]:
        found: list[Item] = []
        request: Payload = {"TableName": self.named(table), "ConsistentRead": True}
        while True:
            answer = self.send("Scan", request)
            found += answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                return found
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def stored(self) -> dict[str, list[str]]:
        """Everything that is stored, by the prefix of whom it belongs to."""
        found: dict[str, list[str]] = {prefix(tenant): [] for tenant in self.tenants}
        for table in TABLES:
            for item in self.raw(table):
                key = item["pk"]["S"] if "pk" in item else item["id"]["S"]
                found.setdefault(owner(key), []).append(json.dumps(_sorted(item), sort_keys=True))
        return {own: sorted(items) for own, items in found.items()}

    def check(self, before: dict[str, list[str]], acting: Tenant) -> dict[str, list[str]]:
        """Compare what is stored with what it was, and with what the acting tenant must have; gives what is stored."""
        after = self.stored()
        assert after.keys() <= {prefix(tenant) for tenant in self.tenants}, "somebody owns what nobody wrote"
        for tenant in self.tenants:
            if tenant != acting:
                assert after[prefix(tenant)] == before[prefix(tenant)], f"{acting!r} changed what is {tenant!r}'s"
        self.check_keys(acting, [json.loads(item) for item in after[prefix(acting)]])
        return after

    def check_keys(self, tenant: Tenant, stored: list[Item]) -> None:
        """Compare the raw keys of a tenant's items with those that its items must have."""
        own = prefix(tenant)
        expected = sorted(key for at, item in self.items[tenant].items() for key in raw_keys(tenant, at, item))
        partitions = [(i["pk"]["S"], i["sk"]["S"]) if "pk" in i else (i["id"]["S"], "") for i in stored]
        assert sorted(partitions) == expected
        for item in stored:
            if "LOOSE#" not in item.get("pk", {"S": ""})["S"]:  # which puts anything anywhere
                for name in PARTITIONS.intersection(item) - ({"id"} if "pk" in item else set()):
                    assert owner(item[name]["S"]) == own, f"an index would give {item} to another tenant"
        missing = {
            ("id", item["id"]["S"]) for item in stored if "pk" not in item and not item.get("by-id_pk", {}).get("S")
        }
        assert not missing, "an item is not in its index"

    def of(self, tenant: Tenant, model: type[Any], test: Callable[[Item], Any] = lambda _: True) -> list[Item]:
        """The items that a tenant must find."""
        return [item for (name, _), item in self.items[tenant].items() if name == model.__name__ and test(item)]

    def drop(self) -> None:
        for name in self.created:
            self.send("DeleteTable", {"TableName": name})


def raw_keys(tenant: Tenant, at: Key, item: Item) -> list[tuple[str, str]]:
    """The keys of what is stored of an item, with the claim of its unique value."""
    name, key = at
    own = prefix(tenant)
    match name:
        case "User":
            claim = [] if item["email"] is None else [(f"{own}@#User.email#{item['email']}", "@#")]
            return [(f"{own}USER#{escaped(key[0])}", "PROFILE"), *claim]
        case "Order":
            return [(f"{own}USER#{escaped(key[0])}", f"ORDER#{key[1]:04d}")]
        case "Loose":
            return [(f"{own}LOOSE#{escaped(key[0])}", "-")]
        case "Plain":
            return [(own + key[0], "")]
    first = escaped(key[0])
    guard = '"' if first.startswith("@") else ""
    return [(f"{own}{guard}{first}#{escaped(key[1])}", escaped(key[2]))]


def key_of(item: Any) -> Key:
    """Where an instance, or a dict of a model's fields, is kept in a `World`."""
    name = type(item).__name__
    return name, tuple(getattr(item, field) for field in KEYS[name])


def fields(instance: Any) -> Item:
    """What a tenant sees of an instance; its version is the library's own."""
    shown: Item = {**instance.__dict__, **(instance.model_extra or {})}
    shown.pop("version", None)
    return shown


def _sorted(wire: Any) -> Any:
    """Write sets in one order."""
    if isinstance(wire, dict):
        return {k: sorted(v) if k in ("SS", "NS", "BS") else _sorted(v) for k, v in wire.items()}
    return [_sorted(part) for part in wire] if isinstance(wire, list) else wire


@asynccontextmanager
async def run_async(engine: str, world: World) -> AsyncIterator[tuple[Database, Callable[[str], Awaitable[object]]]]:
    """Give a database, and a way to turn on the streams of its tables, for which moto has a client of its own."""
    transport: Any = world.witness._inner
    clients: tuple[Any, ...] = ()
    if engine == "moto":
        from lift_dynamorm.transport.boto import BotoTransport
        from tests.streams.conftest import moto_clients

        clients = moto_clients()
        transport = BotoTransport(clients[0], streams=clients[1])
    named = unique_tables()
    db = Database(transport=RetryTransport(transport, max_attempts=3), table_names=named)
    made: list[str] = []

    async def enable(table: str) -> None:
        made.append(named(table))
        specification = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        await db.transport.send("UpdateTable", {"TableName": named(table), "StreamSpecification": specification})

    yield db, enable
    for name in made:
        await db.transport.send("DeleteTable", {"TableName": name})
    for client in clients:
        client.close()
