"""Run an operation without an event loop, and several at once with and without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

T = TypeVar("T")


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and return what it returns."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # what the coroutine returned
    coroutine.close()
    msg = "a sync session cannot wait for an event loop: its transport, hooks and callbacks must not suspend"
    raise RuntimeError(msg)


async def at_once(jobs: Sequence[Coroutine[Any, Any, T]], limit: int, *, blocking: bool) -> list[T]:
    """Run the jobs, at most `limit` of them at a time, and return their results in order.

    blocking: by threads, for a session without an event loop; else by tasks. The first error ends the others that
    have not begun, and is raised once those that have are done.
    """
    if len(jobs) == 1:
        return [await jobs[0]]
    return _by_threads(jobs, limit) if blocking else await _by_tasks(jobs, limit)


def _by_threads(jobs: Sequence[Coroutine[Any, Any, T]], limit: int) -> list[T]:
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    with ThreadPoolExecutor(limit, thread_name_prefix="lift-dynamorm") as pool:
        futures = [pool.submit(drive, job) for job in jobs]
        wait(futures, return_when=FIRST_EXCEPTION)
        pool.shutdown(cancel_futures=True)
    for job, future in zip(jobs, futures, strict=True):
        if future.cancelled():
            job.close()
    for future in futures:
        if not future.cancelled():
            future.result()
    return [future.result() for future in futures]


async def _by_tasks(jobs: Sequence[Coroutine[Any, Any, T]], limit: int) -> list[T]:
    import asyncio

    waiting = iter(enumerate(jobs))
    results: dict[int, T] = {}

    async def work() -> None:
        for at, job in waiting:
            results[at] = await job

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(limit, len(jobs))):
                group.create_task(work())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        for job in jobs:
            job.close()
    return [results[at] for at in range(len(jobs))]
