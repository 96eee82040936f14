"""Run an operation without an event loop, and several at once with and without one."""

from __future__ import annotations

from contextvars import copy_context
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and return what it returns; one that does gets a RuntimeError there."""
    msg = "a sync session cannot wait for an event loop: its transport, hooks and callbacks must not suspend"
    try:
        coroutine.send(None)
        coroutine.throw(RuntimeError(msg))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # what the coroutine returned
    coroutine.close()
    raise RuntimeError(msg)


class Race(Generic[T]):
    """Coroutines under way at once, whose results are taken as they come.

    limit: the most that are. blocking: by threads, for a session without an event loop; else by tasks.

    The end of its block waits for those that are still under way, and drops what comes of them: a request that is
    cut off costs its connection. Only a caller who is cancelled while it waits cuts them off.
    """

    __slots__ = ("_pool", "_under_way")

    def __init__(self, limit: int, *, blocking: bool) -> None:
        self._under_way: list[Any] = []  # tasks, or the futures of threads: both are used alike
        self._pool: ThreadPoolExecutor | None = None
        if blocking:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(limit, thread_name_prefix="lift-dynamorm")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wait("ALL_COMPLETED")
        for future in self._under_way:
            if not future.cancelled():
                future.exception()  # or asyncio complains that nobody has looked
        if self._pool is not None:
            self._pool.shutdown()

    def __len__(self) -> int:
        return len(self._under_way)

    def start(self, job: Coroutine[Any, Any, T]) -> Any:
        """Set a coroutine under way. Returns its future, a task's or a thread's."""
        if self._pool is not None:
            future: Any = self._pool.submit(copy_context().run, drive, job)
        else:
            from asyncio import ensure_future

            future = ensure_future(job)
        self._under_way.append(future)
        return future

    async def first(self) -> T:
        """Wait for the first that is done, and return its result or raise its error."""
        await self._wait("FIRST_COMPLETED")
        done = next(future for future in self._under_way if future.done())
        self._under_way.remove(done)
        return done.result()  # type: ignore[no-any-return]  # what the coroutine returned

    async def _wait(self, until: str) -> None:
        if self._pool is not None:
            from concurrent.futures import wait

            wait(self._under_way, return_when=until)
        elif self._under_way:
            import asyncio

            try:
                await asyncio.wait(self._under_way, return_when=until)
            except asyncio.CancelledError:
                for task in self._under_way:
                    task.cancel()
                raise


async def at_once(jobs: Sequence[Coroutine[Any, Any, T]], limit: int, *, blocking: bool) -> list[T]:
    """Run the jobs, at most `limit` of them at a time, and return their results in order.

    The first error ends those that have not begun, and is raised once those that have are done.
    """
    if len(jobs) == 1:
        return [await jobs[0]]
    waiting = iter(jobs)
    futures: list[Any] = []
    try:
        async with Race[T](limit, blocking=blocking) as race:
            futures += map(race.start, islice(waiting, limit))
            while race:
                await race.first()
                futures += map(race.start, islice(waiting, 1))
    finally:
        for job in waiting:
            job.close()
    return [future.result() for future in futures]
