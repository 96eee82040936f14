"""A pool of asyncio connections, one pool for each event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, cast

from ..errors import ConnectionFailed
from .exchange import READ_SIZE, AnswerParser, PoolStats, StaleConnection, all_in_use, timed_out, too_slow, unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ..errors import ServiceError
    from .endpoint import Settings
    from .exchange import Answer

_SOONEST = 0.001
"""Seconds; uvloop counts in milliseconds, and a timer may ring a little early."""


class Connection(asyncio.BufferedProtocol):
    """One connection to the endpoint, with at most one exchange in progress.

    One timer serves both the answer's time limit and the idle time: it rings, looks at what is due, and is set again.
    So a request sets no timer of its own, unless its deadline is nearer than the timer.
    """

    __slots__ = (
        "_buffer",
        "_deadline",
        "_give_up",
        "_operation",
        "_parser",
        "_pool",
        "_rings_at",
        "_timer",
        "_transport",
        "_waiter",
        "idle_since",
        "used",
    )

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parser = AnswerParser()
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._operation = ""
        self._deadline: float | None = None
        self._give_up = 0.0
        self._rings_at = float("inf")
        self._timer: asyncio.TimerHandle | None = None
        self.idle_since: float = 0.0
        self.used: bool = False

    def begin(self, operation: str, message: bytes, deadline: float | None, now: float) -> asyncio.Future[Answer]:
        """Send a request; the future gets its answer, or a ServiceError."""
        transport = self._transport
        assert transport is not None and self._waiter is None
        give_up = now + self._pool.settings.read_timeout
        if deadline is not None and deadline < give_up:
            give_up = deadline
        self._operation = operation
        self._deadline = deadline
        self._give_up = give_up
        if give_up < self._rings_at:
            self._set_timer(give_up, now)
        self._waiter = waiter = self._pool.loop.create_future()
        transport.write(message)
        return waiter

    @property
    def alive(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def forsake(self, waiter: asyncio.Future[Answer]) -> None:
        """Close the connection if the answer that `waiter` no longer waits for is still to come."""
        if self._waiter is waiter:
            self._pool.discard(self)
        elif waiter.done() and not waiter.cancelled():
            waiter.exception()

    def abort(self) -> None:
        """Close at once, without waiting for what is under way."""
        self._waiter = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            with suppress(RuntimeError):  # the loop is closed: there is nothing left to do
                self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        waiter = self._waiter
        if waiter is None:
            self._pool.discard(self)
            return
        try:
            answer = self._parser.feed(self._buffer[:nbytes])
        except ValueError as error:
            self._fail(error)
            return
        now = monotonic()
        if answer is not None:
            self._finish(waiter, answer, now)
        else:
            limit = now + self._pool.settings.read_timeout
            self._give_up = limit if self._deadline is None else min(limit, self._deadline)

    def eof_received(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        waiter = self._waiter
        if waiter is None:
            self._pool.discard(self)
        elif exc is None and (answer := self._parser.end()) is not None:
            self._finish(waiter, answer, monotonic())
        else:
            self._fail(exc or ConnectionResetError("the server closed the connection"))

    def _finish(self, waiter: asyncio.Future[Answer], answer: Answer, now: float) -> None:
        self._waiter = None
        self.idle_since = now
        self.used = True
        if self._parser.reusable:
            self._pool.release(self)
        else:
            self._pool.discard(self)
        if not waiter.done():
            waiter.set_result(answer)

    def _fail(self, problem: Exception) -> None:
        kind = StaleConnection if self.used and not self._parser.began else ConnectionFailed
        self._fail_with(
            kind(f"{self._operation}: the connection broke: {problem}", operation=self._operation, sent=True), problem
        )

    def _fail_with(self, error: ServiceError, cause: Exception | None = None) -> None:
        error.__cause__ = cause
        waiter, self._waiter = self._waiter, None
        self._pool.discard(self)
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _set_timer(self, rings_at: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = rings_at
        self._timer = self._pool.loop.call_later(max(rings_at - now, _SOONEST), self._ring)

    def _ring(self) -> None:
        now = monotonic()
        due = self.idle_since + self._pool.settings.keepalive if self._waiter is None else self._give_up
        if now < due:
            self._set_timer(due, now)
        elif self._waiter is None:
            self._pool.discard(self)
        elif self._deadline is not None and now >= self._deadline:
            self._fail_with(timed_out(self._operation, sent=True, waited="and no answer has come"))
        else:
            self._fail_with(too_slow(self._operation, self._pool.settings.read_timeout))


class Pool:
    """Up to `max_connections` connections on one event loop; the one used last is used next.

    Callers queue in order. The pool closes with its loop: `asyncio.run` and its like end asynchronous generators
    before they close the loop, and the pool keeps one for that purpose.
    """

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self.loop = loop
        self.closed: bool = False
        self._idle: list[Connection] = []
        self._connections: set[Connection] = set()
        self._opening = 0
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._farewell: AsyncGenerator[None] | None = None

    @property
    def stats(self) -> PoolStats:
        return PoolStats(len(self._connections) + self._opening, len(self._idle), len(self._waiters))

    async def exchange(self, operation: str, message: bytes, deadline: float | None, *, fresh: bool = False) -> Answer:
        """Send a request and return its answer; `fresh` takes a new connection."""
        now = monotonic()
        connection = None if fresh or self._waiters else self._take(now)
        if connection is None:
            connection = await self._acquire(operation, deadline, fresh=fresh)
            now = monotonic()
        if deadline is not None and deadline <= now:
            self.release(connection)
            raise timed_out(operation, sent=False, waited="and nothing was sent")
        waiter = connection.begin(operation, message, deadline, now)
        try:
            return await waiter
        except BaseException:
            connection.forsake(waiter)
            raise

    def release(self, connection: Connection) -> None:
        """Take back a connection whose exchange is complete."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if self.closed:
            self.discard(connection)
        else:
            self._idle.append(connection)

    def discard(self, connection: Connection) -> None:
        """Close a connection, and let the first in the queue open another."""
        if connection not in self._connections:
            return
        self._connections.remove(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        connection.abort()
        self._offer_room()

    async def close(self) -> None:
        """Close what is idle now, and what is in use as soon as it is done."""
        self.closed = True
        for connection in self._idle[:]:
            self.discard(connection)
        if self._farewell is not None and not self._connections:
            await self._farewell.aclose()
        await asyncio.sleep(0)

    def _take(self, now: float) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if now - connection.idle_since < self.settings.keepalive and connection.alive:
                return connection
            self.discard(connection)
        return None

    async def _acquire(self, operation: str, deadline: float | None, *, fresh: bool) -> Connection:
        if len(self._connections) + self._opening < self.settings.max_connections:
            self._opening += 1
        else:
            connection = await self._queue(operation, deadline)
            if connection is not None:
                if connection.alive and not fresh:
                    return connection
                self._opening += 1
                self._connections.discard(connection)
                connection.abort()
        try:
            return await self._connect(operation, deadline)
        finally:
            self._opening -= 1
            self._offer_room()

    async def _queue(self, operation: str, deadline: float | None) -> Connection | None:
        """Wait for a connection, or for None: room to open one, already counted in `_opening`."""
        waiter: asyncio.Future[Connection | None] = self.loop.create_future()
        self._waiters.append(waiter)
        if self._idle:
            self.release(self._idle.pop())
        timer = None
        if deadline is not None:
            late = all_in_use(operation, self.settings)
            timer = self.loop.call_later(max(deadline - monotonic(), 0), _expire, waiter, late)
        try:
            return await waiter
        except BaseException:
            self._leave(waiter)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _leave(self, waiter: asyncio.Future[Connection | None]) -> None:
        """Give up a place in the queue, and pass on what was already given to it."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if waiter.cancelled() or not waiter.done() or waiter.exception() is not None:
            return
        connection = waiter.result()
        if connection is None:
            self._opening -= 1
            self._offer_room()
        elif connection in self._connections:
            self.release(connection)

    def _offer_room(self) -> None:
        while self._waiters and len(self._connections) + self._opening < self.settings.max_connections:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._opening += 1
                waiter.set_result(None)

    async def _connect(self, operation: str, deadline: float | None) -> Connection:
        settings = self.settings
        endpoint = settings.endpoint
        give_up = self.loop.time() + settings.connect_timeout
        if deadline is not None:
            give_up = min(give_up, self.loop.time() + deadline - monotonic())
        if self._farewell is None:
            self._farewell = self._until_the_loop_ends()
            await anext(self._farewell)
        try:
            async with asyncio.timeout_at(give_up):
                _, connection = await self.loop.create_connection(
                    lambda: Connection(self),
                    endpoint.host,
                    endpoint.port,
                    ssl=settings.tls(),
                    server_hostname=endpoint.host if endpoint.secure else None,
                )
        except OSError as error:
            raise unreachable(operation, settings, error, deadline) from error
        self._connections.add(connection)
        return connection

    async def _until_the_loop_ends(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self.closed = True
            for connection in list(self._connections):
                self.discard(connection)
            await asyncio.sleep(0)


class Pools:
    """The pool of each event loop: one loop in a server; under Mangum or pytest they come and go."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pools: dict[asyncio.AbstractEventLoop, Pool] = {}
        self._last: Pool | None = None

    @property
    def stats(self) -> PoolStats:
        every = [pool.stats for loop, pool in self._pools.items() if not loop.is_closed()]
        return PoolStats(*map(sum, zip(*every, strict=True))) if every else PoolStats(0, 0, 0)

    def here(self) -> Pool:
        """Return the pool of the running loop. Those of loops that have been closed are dropped."""
        loop = asyncio.get_running_loop()
        pool = self._last
        if pool is None or pool.loop is not loop or pool.closed:
            self._pools = {other: kept for other, kept in self._pools.items() if not (other.is_closed() or kept.closed)}
            pool = self._last = self._pools.setdefault(loop, Pool(self._settings, loop))
        return pool

    async def close(self) -> None:
        """Close the pool of the running loop."""
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        self._last = None
        if pool is not None:
            await pool.close()


def _expire(waiter: asyncio.Future[Connection | None], error: ServiceError) -> None:
    if not waiter.done():
        waiter.set_exception(error)
