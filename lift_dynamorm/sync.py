"""The same for code that cannot await: every call drives the async one over a blocking transport."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from pydantic import BaseModel

from lift_dynamorm.model import Model, schema_of
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.query import AskedByKey, Page, Query
from lift_dynamorm.scan import AskedOfAll, Scan

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence

    from lift_dynamorm.batch import Batch
    from lift_dynamorm.capacity import Capacity
    from lift_dynamorm.database import Database
    from lift_dynamorm.expressions import Assignment, Expression
    from lift_dynamorm.key import Found, Key
    from lift_dynamorm.operations.wire import SyncExecute
    from lift_dynamorm.reader import Tenant
    from lift_dynamorm.session import Isolation, Session
    from lift_dynamorm.streams.stream import Start, SyncStream
    from lift_dynamorm.tables import SyncTables

M = TypeVar("M", bound=Model)
A = TypeVar("A", bound=Model)
B = TypeVar("B", bound=Model)
C = TypeVar("C", bound=Model)
D = TypeVar("D", bound=Model)
E = TypeVar("E", bound=Model)
R = TypeVar("R")
P = TypeVar("P", bound=BaseModel)


class SyncQuery(AskedByKey[R]):
    """A query on a model; see `Query`. Read it with ``for`` or a verb."""

    __slots__ = ()

    @overload
    def only(self, *fields: str) -> Self: ...

    @overload
    def only(self, model: type[P], /) -> SyncQuery[P]: ...

    def only(self, *what: Any) -> Any:
        """Read less of each item; see `Query.only`."""
        return self._only(what)

    @overload
    def including(self, a: type[A], /) -> SyncQuery[R | A]: ...

    @overload
    def including(self, a: type[A], b: type[B], /) -> SyncQuery[R | A | B]: ...

    @overload
    def including(self, a: type[A], b: type[B], c: type[C], /) -> SyncQuery[R | A | B | C]: ...

    @overload
    def including(self, a: type[A], b: type[B], c: type[C], d: type[D], /) -> SyncQuery[R | A | B | C | D]: ...

    def including(self, *models: type[Model]) -> Any:
        """Give the items of other models in the same partition too; see `Query.including`."""
        return self._including(models)

    def _async(self) -> Query[R]:
        return Query(**{field.name: getattr(self, field.name) for field in fields(self)})

    def __iter__(self) -> Iterator[R]:
        items = self._async().__aiter__()
        while True:
            try:
                yield drive(_next(items))
            except StopAsyncIteration:
                return

    def all(self) -> list[R]:
        """Read every item, up to the limit, into a list."""
        return drive(self._async().all())

    def first(self) -> R | None:
        """Read the first item; None where there is none."""
        return drive(self._async().first())

    def one(self) -> R:
        """Read the only item; `ItemNotFound` where there is none, `QueryError` where there are several."""
        return drive(self._async().one())

    def one_or_none(self) -> R | None:
        """Read the only item, None where there is none; `QueryError` where there are several."""
        return drive(self._async().one_or_none())

    def count(self) -> int:
        """Count the items, up to the limit. Reading them is paid for all the same."""
        return drive(self._async().count())

    def page(self, after: str | None = None) -> Page[R]:
        """Read one page of `limit` items (50 by default), with the cursor to the next one."""
        return drive(self._async().page(after))


class SyncScan(AskedOfAll[R]):
    """A scan of a model's table; see `Scan`. Read it with ``for`` or a verb."""

    __slots__ = ()

    @overload
    def only(self, *fields: str) -> Self: ...

    @overload
    def only(self, model: type[P], /) -> SyncScan[P]: ...

    def only(self, *what: Any) -> Any:
        """Give less of each item, for the same price; see `Query.only`."""
        return self._only(what)

    def _async(self) -> Scan[R]:
        return Scan(**{field.name: getattr(self, field.name) for field in fields(self)})

    def __iter__(self) -> Iterator[R]:
        return _each(self._async().__aiter__())

    def pages(self) -> Iterator[Page[R]]:
        """Read page by page, as DynamoDB gives them; see `Scan.pages`."""
        return _each(self._async().pages())

    def all(self) -> list[R]:
        """Read every item, up to the limit, into a list."""
        return drive(self._async().all())

    def first(self) -> R | None:
        """Read any one item; None where there is none."""
        return drive(self._async().first())

    def count(self) -> int:
        """Count the items, up to the limit. Reading them is paid for all the same."""
        return drive(self._async().count())

    def page(self, after: str | None = None) -> Page[R]:
        """Read one page of `limit` items (50 by default), with the cursor to the next one; see `Scan.page`."""
        return drive(self._async().page(after))


async def _next(items: AsyncIterator[R]) -> R:
    return await items.__anext__()


def _each(items: AsyncGenerator[R, None]) -> Iterator[R]:
    try:
        while True:
            try:
                yield drive(_next(items))
            except StopAsyncIteration:
                return
    finally:
        drive(items.aclose())


class SyncBatch:
    """Puts and deletions of any models, collected in a block and sent at its end; see `Batch`."""

    __slots__ = ("_batch",)

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def __enter__(self) -> Self:
        drive(self._batch.__aenter__())
        return self

    def __exit__(self, *exception: Any) -> None:
        drive(self._batch.__aexit__(*exception))

    def __len__(self) -> int:
        return len(self._batch)

    def put(self, item: Model, /) -> None:
        """Store a whole item as it is now, new or in place of the one that is there."""
        self._batch.put(item)

    def delete(self, target: Model | Key[Any], /) -> None:
        """Delete an item if it is there, by instance or by key."""
        self._batch.delete(target)

    def flush(self) -> None:
        """Write what has been collected so far, which an exception then does not take back."""
        drive(self._batch.flush())


class SyncSession:
    """Read and write models, on behalf of one tenant; see `Session`."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        drive(self._session.__aexit__(*exception))

    @property
    def tenant(self) -> Tenant:
        return self._session.tenant

    @property
    def capacity(self) -> Capacity:
        """What the calls of this session and its async twin have consumed so far; see `Session.capacity`."""
        return self._session.capacity

    def get(
        self,
        model: type[M],
        key: Mapping[str, Any] | None = None,
        /,
        *,
        consistent: bool = False,
        include_expired: bool = False,
        **fields: Any,
    ) -> M:
        """Read an item by the fields of its key; `ItemNotFound` where there is none."""
        return drive(self._session.get(model, key, consistent=consistent, include_expired=include_expired, **fields))

    def find(
        self,
        model: type[M],
        key: Mapping[str, Any] | None = None,
        /,
        *,
        consistent: bool = False,
        include_expired: bool = False,
        **fields: Any,
    ) -> M | None:
        """Read an item by the fields of its key; None where there is none."""
        return drive(self._session.find(model, key, consistent=consistent, include_expired=include_expired, **fields))

    @overload
    def batch_get(
        self, keys: Iterable[Key[M]], /, *, consistent: bool = False, include_expired: bool = False
    ) -> Found[M]: ...

    @overload
    def batch_get(
        self,
        model: type[M],
        keys: Iterable[Mapping[str, Any]],
        /,
        *,
        consistent: bool = False,
        include_expired: bool = False,
    ) -> Found[M]: ...

    def batch_get(
        self, target: Any, keys: Any = None, /, *, consistent: bool = False, include_expired: bool = False
    ) -> Found[Any]:
        """Read any number of items by their keys; see `Session.batch_get`."""
        return drive(self._session.batch_get(target, keys, consistent=consistent, include_expired=include_expired))

    @overload
    def transact_get(self, a: Key[A], /, *, include_expired: bool = False) -> tuple[A | None]: ...

    @overload
    def transact_get(self, a: Key[A], b: Key[B], /, *, include_expired: bool = False) -> tuple[A | None, B | None]: ...

    @overload
    def transact_get(
        self, a: Key[A], b: Key[B], c: Key[C], /, *, include_expired: bool = False
    ) -> tuple[A | None, B | None, C | None]: ...

    @overload
    def transact_get(
        self, a: Key[A], b: Key[B], c: Key[C], d: Key[D], /, *, include_expired: bool = False
    ) -> tuple[A | None, B | None, C | None, D | None]: ...

    @overload
    def transact_get(
        self, a: Key[A], b: Key[B], c: Key[C], d: Key[D], e: Key[E], /, *, include_expired: bool = False
    ) -> tuple[A | None, B | None, C | None, D | None, E | None]: ...

    @overload
    def transact_get(self, *keys: Key[M], include_expired: bool = False) -> tuple[M | None, ...]: ...

    def transact_get(self, *keys: Key[Any], include_expired: bool = False) -> tuple[Any, ...]:
        """Read up to 100 items as they are at one moment; None for each that is not there."""
        return drive(self._session.transact_get(*keys, include_expired=include_expired))

    def query(self, model: type[M]) -> SyncQuery[M]:
        """Ask for items by a partition key."""
        schema_of(model)
        return SyncQuery(self._session, model)

    def scan(self, model: type[M]) -> SyncScan[M]:
        """Read a model's whole table, in no order."""
        schema_of(model)
        return SyncScan(self._session, model)

    def create(self, item: M, /, *, if_: Expression | None = None) -> M:
        """Store a new item; `ItemExists` where there is one with its key."""
        return drive(self._session.create(item, if_=if_))

    def put(self, item: M, /, *, if_: Expression | None = None) -> M:
        """Store a whole item, new or in place of the one that is there."""
        return drive(self._session.put(item, if_=if_))

    @overload
    def update(self, item: M, /, *changes: Assignment, if_: Expression | None = None, **values: Any) -> M: ...

    @overload
    def update(
        self,
        model: type[M],
        key: Mapping[str, Any],
        /,
        *changes: Assignment,
        if_: Expression | None = None,
        upsert: bool = False,
        returning: Literal[True] = True,
        **values: Any,
    ) -> M: ...

    @overload
    def update(
        self,
        model: type[M],
        key: Mapping[str, Any],
        /,
        *changes: Assignment,
        if_: Expression | None = None,
        upsert: bool = False,
        returning: Literal[False],
        **values: Any,
    ) -> None: ...

    def update(self, target: Any, /, *changes: Any, **values: Any) -> Any:
        """Change some fields of an item, by instance or by key; see `Session.update`."""
        return drive(self._session.update(target, *changes, **values))

    def delete(
        self,
        target: Model | type[Model],
        key: Mapping[str, Any] | None = None,
        /,
        *,
        if_: Expression | None = None,
        missing_ok: bool = False,
        **fields: Any,
    ) -> None:
        """Delete an item, by instance or by key."""
        drive(self._session.delete(target, key, if_=if_, missing_ok=missing_ok, **fields))

    @property
    def execute(self) -> SyncExecute:
        """Send an operation in DynamoDB's own form; see `Session.execute`."""
        return self._execute

    def _execute(self, operation: str, payload: Mapping[str, Any]) -> Any:
        return drive(self._session._execute(operation, payload))

    @overload
    def execute_statement(
        self,
        statement: str,
        parameters: Sequence[Any] = (),
        *,
        model: None = None,
        consistent: bool = False,
        limit: int | None = None,
    ) -> list[dict[str, Any]]: ...

    @overload
    def execute_statement(
        self,
        statement: str,
        parameters: Sequence[Any] = (),
        *,
        model: type[M],
        consistent: bool = False,
        limit: int | None = None,
    ) -> list[M]: ...

    def execute_statement(
        self,
        statement: str,
        parameters: Sequence[Any] = (),
        *,
        model: Any = None,
        consistent: bool = False,
        limit: int | None = None,
    ) -> list[Any]:
        """Run a PartiQL statement; see `Session.execute_statement`."""
        return drive(
            self._session.execute_statement(statement, parameters, model=model, consistent=consistent, limit=limit)
        )

    def check(
        self,
        target: Model | type[Model],
        key: Mapping[str, Any] | None = None,
        /,
        *,
        if_: Expression | None = None,
        **fields: Any,
    ) -> None:
        """Require, in a transaction, that an item is there and that a condition holds when it commits."""
        drive(self._session.check(target, key, if_=if_, **fields))

    def batch(self, *, unchecked: bool = False) -> SyncBatch:
        """Collect writes in a block, and send them at its end; see `Session.batch`."""
        return SyncBatch(self._session.batch(unchecked=unchecked))

    @contextmanager
    def transaction(self, *, isolation: Isolation = "read-committed") -> Iterator[Self]:
        """Hold back the writes of the block, and commit them as one DynamoDB transaction at its end."""
        block = self._session.transaction(isolation=isolation)
        drive(block.__aenter__())
        try:
            yield self
        except BaseException as error:
            if not drive(block.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            drive(block.__aexit__(None, None, None))

    def begin(self) -> None:
        """Hold back writes from now on, until `commit` or `rollback`."""
        self._session.begin()

    def on_commit(self, function: Callable[[], None]) -> None:
        """Call a function once the open transaction is stored; see `Session.on_commit`."""
        self._session.on_commit(function)

    def commit(self) -> None:
        """Write what was held back as one transaction, and end it."""
        drive(self._session.commit())

    def rollback(self) -> None:
        """Forget what was held back, and end the transaction."""
        self._session.rollback()


class SyncDatabase:
    """A database for code that cannot await; made by `Database.sync`."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    def session(self, tenant: Tenant = None, *, deadline: float | None = None) -> SyncSession:
        """Open a session; see `Database.session`."""
        return self._database.session(tenant, deadline=deadline).sync

    def unscoped(self, reason: str) -> SyncSession:
        """Open a session outside of every tenant; see `Database.unscoped`."""
        return self._database.unscoped(reason).sync

    def tables(self, *models: type[Model]) -> SyncTables:
        """Give the tables of models; see `Database.tables`."""
        from lift_dynamorm.tables import SyncTables, Tables

        return SyncTables(Tables(self._database, self._database.transport.blocking, models))

    def stream(
        self,
        *models: type[M] | str,
        start: Start | str = "now",
        tenant: str | None = None,
        others: bool = False,
        follow: bool = True,
        poll: float = 1.0,
    ) -> SyncStream[M]:
        """Read the changes of a table as they happen; see `Database.stream`."""
        found = self._database.stream(*models, start=start, tenant=tenant, others=others, follow=follow, poll=poll)
        return found.sync

    def create_tables(self, *models: type[Model]) -> None:
        """Create the tables of models that do not exist yet; see `Database.create_tables`."""
        self.tables(*models).ensure()

    def close(self) -> None:
        """Close the connections."""
        drive(self._database.transport.blocking.aclose())
