"""Every test of this folder runs on every engine, through the async session and through the sync one.

A test is written once, as a coroutine over a `Session`. The sync way hands it a `SyncSession` behind the same
awaitable face, and drives the coroutine without an event loop: nothing in it may ever suspend.
"""

from __future__ import annotations

import inspect
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lift_dynamorm import Database
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.transport.retry import RetryTransport
from tests.conftest import engine_fixture, mark_engine_faults, unique_tables

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from hypothesis.strategies import SearchStrategy

    from lift_dynamorm import Model, Session, SyncBatch, SyncSession
    from lift_dynamorm.capacity import Capacity
    from lift_dynamorm.transport import Transport
    from tests.conftest import Engines

    ForAll = Callable[..., None]

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
    ("moto", "test_a_snapshot_holds_a_hundred_items"): "takes 25 items in a TransactGetItems, as DynamoDB once did",
}
"""What an engine does otherwise than AWS documents, by engine and test; by name."""

_PARTIQL = (
    "test_rows_are_plain_values",
    "test_parameters_are_stored_as_fields_of_their_types_are",
    "test_rows_of_a_model",
    "test_rows_of_an_index",
    "test_statements_that_write",
    "test_an_insert_of_what_is_there",
    "test_a_statement_whose_condition_fails",
    "test_a_statement_whose_condition_fails_has_the_item",
    "test_an_update_by_statement_of_what_is_missing",
    "test_a_statement_goes_on_past_its_first_page",
    "test_a_limit_counts_rows_and_not_what_is_read",
    "test_statements_in_batches_and_transactions",
)
KNOWN_ENGINE_FAULTS |= {("extenddb", name): "has no PartiQL" for name in _PARTIQL}
KNOWN_ENGINE_FAULTS |= {
    ("dynoxide", "test_a_statement_whose_condition_fails_has_the_item"): "gives no item for a statement",
    ("moto", "test_parameters_are_stored_as_fields_of_their_types_are"): "takes no parameters in INSERT",
    ("moto", "test_statements_that_write"): "takes no parameters in INSERT",
    ("moto", "test_statements_in_batches_and_transactions"): "takes no parameters in INSERT",
    ("moto", "test_rows_of_an_index"): "knows no index in a statement",
    ("moto", "test_an_insert_of_what_is_there"): "replaces the item",
    ("moto", "test_a_statement_whose_condition_fails"): "updates nothing without an error",
    ("moto", "test_a_statement_whose_condition_fails_has_the_item"): "updates nothing without an error",
    ("moto", "test_an_update_by_statement_of_what_is_missing"): "updates nothing without an error",
}
KNOWN_ENGINE_FAULTS |= {
    ("embedded", "test_units_of_a_batch_of_reads"): "reports nothing of BatchGetItem",
    ("extenddb", "test_units_of_statements"): "has no PartiQL",
    ("moto", "test_units_of_the_copies_in_indexes"): "reports no indexes of a write",
    ("moto", "test_units_of_a_transaction_of_writes"): "reports nothing of TransactWriteItems",
    ("moto", "test_units_of_a_transaction_that_was_applied_before"): "reports nothing of TransactWriteItems",
    ("moto", "test_units_of_statements"): "reports nothing of statements",
}
KNOWN_ENGINE_FAULTS |= {
    ("dynoxide", "test_equalities_on_keys_of_eight_attributes"): "takes no key of several attributes",
    ("dynoxide", "test_ranges_on_keys_of_eight_attributes"): "takes no key of several attributes",
    ("dynoxide", "test_numbers_in_a_key_of_several_attributes"): "takes no key of several attributes",
    ("dynoxide", "test_pages_under_keys_of_eight_attributes"): "takes no key of several attributes",
    ("extenddb", "test_ranges_on_keys_of_eight_attributes"): "ignores a range behind an equality, and the order",
    ("extenddb", "test_numbers_in_a_key_of_several_attributes"): "fails on a range of numbers",
    ("moto", "test_what_is_missing_has_no_size"): "refuses the name",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_engine_faults(items, KNOWN_ENGINE_FAULTS)


engine = engine_fixture()


@pytest.fixture(params=["async", "sync"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def for_all(engine: str, way: str, runner: asyncio.Runner) -> ForAll:
    """Hold a property, a coroutine function, on what Hypothesis draws: fewer examples where each costs a request.

    examples: how many on the embedded engine, in a profile that asks for 100.
    """

    def check(holds: Callable[..., Coroutine[Any, Any, None]], *drawn: SearchStrategy[Any], examples: int) -> None:
        most = examples * settings.default.max_examples // 100  # type: ignore[union-attr]  # there is a profile
        run = drive if way == "sync" else runner.run

        @settings(max_examples=most if engine == "embedded" else max(1, most // 8))
        @given(st.tuples(*drawn))
        def example(values: tuple[Any, ...]) -> None:
            run(holds(*values))

        example()

    return check


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

    def scan(self, model: type[Model]) -> AwaitedQuery:
        return AwaitedQuery(self._session.scan(model))

    @property
    def capacity(self) -> Capacity:
        return self._session.capacity

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

    @asynccontextmanager
    async def batch(self, **options: Any) -> AsyncIterator[AwaitedBatch]:
        with self._session.batch(**options) as batch:
            yield AwaitedBatch(batch)


class AwaitedBatch:
    """A `SyncBatch` behind the face of a `Batch`."""

    def __init__(self, batch: SyncBatch) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __len__(self) -> int:
        return len(self._batch)

    async def flush(self) -> None:
        self._batch.flush()


class AwaitedQuery:
    """A `SyncQuery` behind the face of a `Query`, or a `SyncScan` behind that of a `Scan`."""

    _BUILDERS = frozenset(
        {"where", "order_by", "limit", "index", "consistent", "only", "fetch", "including", "include_expired"}
        | {"segments", "rate", "progress", "resume"}
    )

    def __init__(self, query: Any) -> None:
        self._query = query

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._query, name)
        if name in self._BUILDERS:
            return lambda *args, **kwargs: AwaitedQuery(method(*args, **kwargs))
        return method if name == "explain" else _awaited(method)

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in self._query:
            yield item

    async def pages(self) -> AsyncIterator[Any]:
        for page in self._query.pages():
            yield page


def _awaited(method: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        assert not inspect.isawaitable(result), "the sync twin returned something to await"
        return result

    return call
