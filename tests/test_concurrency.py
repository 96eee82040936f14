"""Several coroutines at once, by tasks and by threads: order, limits, errors, and nothing left behind."""

from __future__ import annotations

import asyncio
import threading
import time
from contextvars import ContextVar
from typing import Any

import pytest

from lift_dynamorm.operations.concurrency import Race, at_once, drive

both_ways = pytest.mark.parametrize("way", ["async", "sync"])

PATIENCE = 10.0


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("lift-dynamorm_")]


class Meeting:
    """Lets jobs go on once so many of them are under way, and counts how many there are."""

    def __init__(self, way: str, size: int) -> None:
        self.most = 0
        self._under_way = 0
        self._lock = threading.Lock()
        self._barrier: Any = threading.Barrier(size, timeout=PATIENCE) if way == "sync" else asyncio.Barrier(size)

    async def attend(self, number: int) -> int:
        with self._lock:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        waiting = self._barrier.wait()
        if asyncio.iscoroutine(waiting):
            await asyncio.wait_for(waiting, PATIENCE)
        with self._lock:
            self._under_way -= 1
        return number


async def pause(way: str) -> None:
    """Let whoever does not wait for the others go on without them."""
    if way == "sync":
        time.sleep(0.05)  # noqa: ASYNC251 - in a thread of its own
    else:
        await asyncio.sleep(0.01)


def test_what_suspends_is_told_so_where_it_does() -> None:
    log: list[str] = []

    async def suspend() -> None:
        try:
            await asyncio.sleep(0)
        except RuntimeError as error:
            log.append(str(error))
            raise

    async def suspend_again() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)

    for job in (suspend, suspend_again):
        with pytest.raises(RuntimeError, match="must not suspend"):
            drive(job())
    assert len(log) == 1


@both_ways
async def test_results_are_in_the_order_of_the_jobs(way: str) -> None:
    meeting = Meeting(way, 3)
    jobs = [meeting.attend(number) for number in range(6)]
    assert await at_once(jobs, 3, blocking=way == "sync") == [0, 1, 2, 3, 4, 5]
    assert meeting.most == 3
    assert threads() == []


@both_ways
async def test_no_jobs_and_one_job(way: str) -> None:
    async def here() -> int:
        return threading.get_ident()

    assert await at_once([], 3, blocking=way == "sync") == []
    assert await at_once([here()], 3, blocking=way == "sync") == [threading.get_ident()]


@both_ways
async def test_an_error_ends_what_has_not_begun_and_waits_for_what_has(way: str) -> None:
    meeting = Meeting(way, 2)
    log: list[str] = []

    async def fail() -> None:
        await meeting.attend(1)
        raise ZeroDivisionError

    async def go_on() -> None:
        await meeting.attend(2)
        await pause(way)
        log.append("ended")

    async def not_begun() -> None:
        log.append("begun")

    with pytest.raises(ZeroDivisionError):
        await at_once([fail(), go_on(), not_begun()], 2, blocking=way == "sync")
    assert log == ["ended"]
    assert threads() == []


@both_ways
async def test_the_end_of_a_race_waits_and_drops_what_nobody_takes(way: str) -> None:
    complaints: list[Any] = []
    if way == "async":
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    log: list[str] = []

    async def quick() -> str:
        return "quick"

    async def fail() -> str:
        await pause(way)
        log.append("failed")
        raise ZeroDivisionError

    try:
        async with Race[str](2, blocking=way == "sync") as race:
            race.start(fail())
            race.start(quick())
            assert len(race) == 2
            assert await race.first() == "quick"
            assert len(race) == 1
        assert log == ["failed"]
        assert threads() == []
        del race
        await pause(way)
        assert complaints == []
    finally:
        if way == "async":
            asyncio.get_running_loop().set_exception_handler(None)


@both_ways
async def test_jobs_see_the_context_of_their_caller(way: str) -> None:
    of_request: ContextVar[str] = ContextVar("of_request", default="none")
    of_request.set("this one")

    async def look() -> str:
        return of_request.get()

    assert await at_once([look(), look()], 2, blocking=way == "sync") == ["this one"] * 2


async def test_only_a_cancelled_caller_cuts_jobs_off() -> None:
    log: list[str] = []
    started = asyncio.Event()

    async def wait() -> None:
        started.set()
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            log.append("cut off")
            raise

    caller = asyncio.ensure_future(at_once([wait(), wait(), wait()], 2, blocking=False))
    await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert log == ["cut off"] * 2
