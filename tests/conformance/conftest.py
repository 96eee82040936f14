"""Every test of this folder runs on every engine, through the async session and through the sync one.

A test is written once, as a coroutine over a `Session`. The sync way hands it a `SyncSession` behind the same
awaitable face, and drives the coroutine without an event loop: nothing in it may ever suspend.
"""

from __future__ import annotations

import inspect
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from lift_dynamorm import Database
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.transport.retry import RetryTransport
from tests.conftest import unique_tables
from tests.engines import ENGINES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from lift_dynamorm import Model, Session, SyncQuery, SyncSession
    from lift_dynamorm.transport import Transport
    from tests.conftest import Engines

NAMES = [*ENGINES, *(["endpoint"] if os.environ.get("LIFT_DYNAMORM_TEST_ENDPOINT") else [])]

KNOWN_ENGINE_FAULTS: dict[tuple[str, str], str] = {
    ("embedded", "test_list_positions_are_those_before_the_update"): "removes one list element after the other",
    ("dynoxide", "test_list_positions_are_those_before_the_update"): "removes one list element after the other",
    ("extenddb", "test_list_positions_are_those_before_the_update"): "removes one list element after the other",
    ("extenddb", "test_a_number_is_added_to_a_list_element"): "calls the document path invalid",
    ("dynoxide", "test_an_element_behind_the_end_is_appended"): "fills the gap with NULL",
    (
        "dynoxide",
        "test_merged_updates_leave_what_single_ones_leave[set behind the end twice]",
    ): "fills the gap with NULL",
    ("moto", "test_an_update_may_be_nothing_but_a_condition"): "fails with an AttributeError without UpdateExpression",
}
"""What an engine does otherwise than AWS documents, by engine and test; by name."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            engine = str(item.callspec.params.get("engine", ""))
            case = item.name.replace(f"{engine}-", "").replace("async-", "").replace("sync-", "")
            for name in (item.originalname, case):
                reason = KNOWN_ENGINE_FAULTS.get((engine, name))
                if reason is not None:
                    item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


@pytest.fixture(scope="package", params=NAMES)
def engine(request: pytest.FixtureRequest, engines: Engines) -> Iterator[str]:
    """The name of the engine. moto ends with the folder, because it takes over botocore's network meanwhile."""
    yield request.param
    if request.param == "moto":
        engines.stop("moto")


@pytest.fixture(params=["async", "sync"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def transport(engine: str, engines: Engines) -> Transport:
    return engines.transport(engine)


@pytest.fixture
def db(transport: Transport) -> Iterator[Database]:
    """A database whose tables are this test's own."""
    created: set[str] = set()
    named = unique_tables()

    def table_names(name: str) -> str:
        created.add(named(name))
        return named(name)

    yield Database(transport=RetryTransport(transport, max_attempts=3), table_names=table_names, cursor_keys=["secret"])
    for name in created:
        drive(transport.blocking.send("DeleteTable", {"TableName": name}))


@pytest.fixture
def opened(db: Database, way: str) -> Callable[..., Session]:
    """Create the tables of some models, and open a session the way the test goes."""

    def open_session(*models: type[Model], tenant: str | None = None) -> Session:
        db.sync.create_tables(*models)
        return session_of(db, way, tenant)

    return open_session


def session_of(db: Database, way: str, tenant: str | None = None) -> Session:
    """Open a session, async or sync behind an awaitable face."""
    if way == "async":
        return db.session(tenant)
    return cast("Session", AwaitedSession(db.sync.session(tenant)))


class AwaitedSession:
    """A `SyncSession` to be awaited like a `Session`; every call has ended before it is awaited."""

    def __init__(self, session: SyncSession) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return _awaited(getattr(self._session, name))

    def query(self, model: type[Model]) -> AwaitedQuery:
        return AwaitedQuery(self._session.query(model))

    def begin(self) -> None:
        self._session.begin()

    def rollback(self) -> None:
        self._session.rollback()

    async def __aenter__(self) -> AwaitedSession:
        self._session.__enter__()
        return self

    async def __aexit__(self, *exception: Any) -> None:
        self._session.__exit__(*exception)

    @asynccontextmanager
    async def transaction(self, **isolation: Any) -> AsyncIterator[AwaitedSession]:
        with self._session.transaction(**isolation):
            yield self


class AwaitedQuery:
    """A `SyncQuery` behind the face of a `Query`."""

    _BUILDERS = frozenset({"where", "order_by", "limit", "index", "consistent"})

    def __init__(self, query: SyncQuery[Any]) -> None:
        self._query = query

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._query, name)
        if name in self._BUILDERS:
            return lambda *args, **kwargs: AwaitedQuery(method(*args, **kwargs))
        return method if name == "explain" else _awaited(method)

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in self._query:
            yield item


def _awaited(method: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        assert not inspect.isawaitable(result), "the sync twin returned something to await"
        return result

    return call
