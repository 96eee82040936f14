"""The stream of a table, as it is read by those who hold a database."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from lift_dynamorm.errors import UsageError
from lift_dynamorm.model import Model, schema_of
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.reader import check_tenant
from lift_dynamorm.streams.change import Change, Decoder
from lift_dynamorm.streams.shards import Position, Shards

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from lift_dynamorm.database import Database

M = TypeVar("M", bound=Model)
T = TypeVar("T")

Start = Literal["oldest", "now"]


class Stream(Generic[M]):
    """Read the changes of a table as they happen: ``async for change in Stream(database, User): ...``.

    models: whose changes are given, those of other items of the table are not; or the name of a table, for the
    changes of all items, in wire form. others: also the changes of items that are of no model given.
    start: ``"now"``, ``"oldest"``, which is up to 24 hours ago, or a `position` that was kept.
    tenant: of this tenant only; without, the stream is of all, and each change tells whose it is.
    follow: go on for ever; False ends once all shards have nothing new.
    poll: seconds to wait where there is nothing new. A shard may have two readers, and be asked five times a second.

    A change is given at least once: what was given since `position` was last kept comes again after a crash. Hooks are
    not called. Raises UsageError where the table has no stream, and ChangesLost where changes are not there any more.
    """

    def __init__(
        self,
        database: Database,
        *models: type[M] | str,
        start: Start | str = "now",
        tenant: str | None = None,
        others: bool = False,
        follow: bool = True,
        poll: float = 1.0,
    ) -> None:
        check_tenant(tenant)
        self._database = database
        self._follow = follow
        self._poll = poll
        self._start = start
        self._shards: Shards | None = None
        table, classes = _split(models)
        self._decoder: Decoder[M] = Decoder(classes, others=others or table is not None, tenant=tenant)
        self._table: str = database.table_name(table if table is not None else schema_of(classes[0]).table.name)

    @property
    def sync(self) -> SyncStream[M]:
        """This stream for code that cannot await; it shares the position."""
        return SyncStream(self)

    @property
    def position(self) -> str | None:
        """Where to go on once the change that was given last is done with; None before the first was asked for.

        A text to be kept anywhere; its length grows with the number of shards, about 80 characters each.
        """
        return None if self._shards is None else str(self._shards.position)

    if not TYPE_CHECKING:  # so that a type checker still refuses it

        def __iter__(self):
            raise UsageError("a stream is read by `async for`; without await: for change in stream.sync")

    async def __aiter__(self) -> AsyncGenerator[Change[M], None]:
        async with aclosing(self._each(blocking=False)) as changes:
            async for change in changes:
                yield change

    async def pages(self) -> AsyncGenerator[list[Change[M]], None]:
        """Read up to 1000 changes at a time, all of one shard; `position` is behind them."""
        async with aclosing(self._pages(blocking=False)) as pages:
            async for _, changes in pages:
                if changes:
                    yield changes

    async def _each(self, *, blocking: bool) -> AsyncGenerator[Change[M], None]:
        async with aclosing(self._pages(blocking=blocking, whole=False)) as pages:
            async for position, changes in pages:
                for change in changes:
                    position.shards[change.shard] = change.sequence
                    yield change

    async def _pages(
        self, *, blocking: bool, whole: bool = True
    ) -> AsyncGenerator[tuple[Position, list[Change[M]]], None]:
        shards = await self._opened(blocking=blocking)
        position = shards.position
        decode = self._decoder.change
        while not shards.ended:
            any_new = False
            async with aclosing(shards.round()) as answers:
                async for shard, records in answers:
                    any_new = any_new or bool(records)
                    changes = [change for record in records if (change := decode(record, shard)) is not None]
                    if whole and records:
                        position.shards[shard] = records[-1]["dynamodb"]["SequenceNumber"]
                    yield position, changes
            if not any_new:
                if not self._follow:
                    return
                await shards.transport.sleep(self._poll)

    async def _opened(self, *, blocking: bool) -> Shards:
        """Go on where this stream has come to, or begin where it was told to."""
        transport = self._database.transport.blocking if blocking else self._database.transport
        if self._shards is None:
            start = self._start if self._start in ("oldest", "now") else Position.parse(self._start)
            self._shards = await Shards.begin(transport, self._table, start, blocking=blocking)
            self._decoder.partition = self._shards.partition
        self._shards.transport, self._shards.blocking = transport, blocking
        return self._shards


class SyncStream(Generic[M]):
    """The changes of a table for code that cannot await; see `Stream`."""

    def __init__(self, stream: Stream[M]) -> None:
        self._stream = stream

    @property
    def position(self) -> str | None:
        """Where to go on once the change that was given last is done with; see `Stream.position`."""
        return self._stream.position

    def __iter__(self) -> Iterator[Change[M]]:
        return _driven(self._stream._each(blocking=True))

    def pages(self) -> Iterator[list[Change[M]]]:
        """Read up to 1000 changes at a time; see `Stream.pages`."""
        return (changes for _, changes in _driven(self._stream._pages(blocking=True)) if changes)


def _driven(items: AsyncGenerator[T, None]) -> Iterator[T]:
    async def following() -> T:
        return await items.__anext__()

    try:
        while True:
            try:
                yield drive(following())
            except StopAsyncIteration:
                return
    finally:
        drive(items.aclose())


def _split(models: tuple[Any, ...]) -> tuple[str | None, list[type[Any]]]:
    """Tell the name of the table from the models."""
    names = [model for model in models if isinstance(model, str)]
    if names and len(models) > 1:
        raise UsageError("a stream takes models of one table, or the name of a table: Stream(database, User, Order)")
    if not models:
        raise UsageError("a stream needs a model, or the name of a table: Stream(database, User)")
    return (names[0] if names else None), cast("list[type[Any]]", [m for m in models if not isinstance(m, str)])
