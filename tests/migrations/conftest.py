"""Migrations of a test: files that it writes, run on every engine, awaited and not."""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING, Any, cast

import pytest

from lift_dynamorm import Database
from lift_dynamorm.migrations import Migrations, Transform
from lift_dynamorm.transport.retry import RetryTransport
from tests.conformance import conftest as conformance

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from lift_dynamorm import Model
    from lift_dynamorm.transport import Payload, Transport

db = conformance.db
engine = conformance.engine
transport = conformance.transport
way = conformance.way

_WRITES = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems")
_HEAD = """
from lift_dynamorm import F, Model
from lift_dynamorm.migrations import ApplyTables, Run, Transform
from tests.migrations.models import *
"""


class Folder:
    """The folder of a test's migrations, and who runs them."""

    def __init__(self, path: Path, db: Database, way: str) -> None:
        self.path = path
        self.db = db
        self.way = way

    def write(self, name: str, text: str) -> Path:
        """Write a migration, with the imports that all of them need."""
        path = self.path / f"{name}.py"
        path.write_text(_HEAD + textwrap.dedent(text))
        return path

    def migrations(self, db: Database | None = None, *, table: Any = "app", **options: Any) -> Migrations:
        """Give the migrations the way the test goes."""
        made = Migrations(db or self.db, self.path, table=table, **options)
        return made if self.way == "async" else cast("Migrations", Awaited(made.sync))

    async def up(self, name: str, text: str, **options: Any) -> list[str]:
        """Write a migration and run it; returns what its steps say."""
        self.write(name, text)
        (outcome,) = await self.migrations(**options).up()
        return list(outcome.said)


class Awaited:
    """What is not to be awaited, to be awaited all the same: every call has ended before."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return method if name == "new" else call


@pytest.fixture
def folder(tmp_path: Path, db: Database, way: str, engine: str, monkeypatch: pytest.MonkeyPatch) -> Folder:
    if engine == "moto":  # it fails where two requests come at once
        defaults = Transform.__init__.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "segments", 1)
    return Folder(tmp_path, db, way)


class Tap:
    """A way to an engine where something may happen before a request goes through."""

    def __init__(self, inner: Transport, before: Callable[[str, Payload], Awaitable[None] | None]) -> None:
        self.inner = inner
        self.before = before

    @property
    def blocking(self) -> Tap:
        return Tap(self.inner.blocking, self.before)

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        happens = self.before(operation, payload)
        if inspect.isawaitable(happens):
            await happens
        return await self.inner.send(operation, payload, deadline=deadline)

    async def aclose(self) -> None:
        await self.inner.aclose()


def tapped(db: Database, transport: Transport, before: Any) -> Database:
    """The same database, behind a tap."""
    return Database(transport=RetryTransport(Tap(transport, before), max_attempts=3), table_names=db.table_name)


def writes_to(operation: str, payload: Payload, key: str) -> bool:
    """Tell whether a request writes the item with a partition key."""
    entries = [entry for part in payload.get("TransactItems", ()) for entry in part.values()] or [payload]
    keys = [entry.get("Key") or entry.get("Item") or {} for entry in entries]
    return operation in _WRITES and any({"S": key} in wires.values() for wires in keys)


def fill(db: Database, *items: Model, tenant: str | None = None) -> None:
    """Create the tables of items, and store them."""
    db.sync.create_tables(*{type(item) for item in items})
    with db.sync.session(tenant).batch(unchecked=True) as batch:
        for item in items:
            batch.put(item)


def stored(db: Database, table: str = "app") -> dict[str, dict[str, Any]]:
    """Read every item of a table in wire form, by its partition key, but for the journal; a checkpoint is shown."""
    request: dict[str, Any] = {"TableName": table, "ConsistentRead": True}
    found: dict[str, dict[str, Any]] = {}
    session = db.sync.unscoped("the test looks at everything")
    while True:
        answer = session.execute("Scan", request)
        for item in answer["Items"]:
            key = item.get("pk") or item["id"]
            if key["S"] != "@#migrations":
                found[key["S"]] = item
        if not answer.get("LastEvaluatedKey"):
            return found
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
