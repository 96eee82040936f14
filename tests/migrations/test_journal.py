"""The journal's lease: one holder at a time, taken over from the dead, who write nothing more."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm.errors import DeadlineExceeded, RequestRefused
from lift_dynamorm.migrations import LeaseLost, MigrationError, MigrationLocked
from lift_dynamorm.migrations import journal as journals
from lift_dynamorm.migrations.journal import Journal, Record, stopwatch
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.transport.retry import RetryTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Database
    from lift_dynamorm.migrations.journal import Lease
    from lift_dynamorm.transport import Payload, Transport

RECORD = Record("0001_a", "sum", "2026", "me", "run")


def create(db: Database, name: str, partition: str = "S", sort: str | None = None) -> str:
    types = [("key", partition, "HASH"), *([("at", sort, "RANGE")] if sort else [])]
    request: dict[str, Any] = {
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": n, "AttributeType": t} for n, t, _ in types],
        "KeySchema": [{"AttributeName": n, "KeyType": side} for n, _, side in types],
        "BillingMode": "PAY_PER_REQUEST",
    }
    db.sync.unscoped("a table of no model").execute("CreateTable", request)
    return db.table_name(name)


@pytest.fixture
def way_of(db: Database, way: str) -> RetryTransport:
    return db.transport if way == "async" else db.transport.blocking


async def opened(transport: RetryTransport, table: str) -> Journal:
    journal = Journal(transport, table)
    assert await journal.open()
    return journal


async def paused(journal: Journal, seconds: float = 0.3, *, wait: float = 0.0) -> Lease:
    """Take the lease, and let nobody renew it, as when the process sleeps."""
    lease = await journal.acquire("sleeper", "2026", seconds=seconds, wait=wait)
    lease._stop.set()
    lease._thread.join()
    return lease


@pytest.mark.parametrize("sort", [None, "S", "N", "B"])
async def test_any_table_with_a_partition_key_of_text(db: Database, way_of: RetryTransport, sort: str | None) -> None:
    journal = await opened(way_of, create(db, f"any{sort}", sort=sort))
    lease = await journal.acquire("me", "2026", seconds=30, wait=0)
    await lease.record(3, RECORD)
    lease.begin("0003", "run", "a#step")
    assert await lease.open("") is None
    await lease.save("", {"at": {"pk": {"S": "x"}}, "n": [1, 2.5, None]})
    assert await lease.open("") == {"at": {"pk": {"S": "x"}}, "n": [1, 2.5, None]}
    entries = await journal.read()
    assert entries.records == {3: RECORD}
    assert entries.holder is not None
    assert (entries.holder.owner, entries.holder.seconds) == ("me", 30)
    await lease.clear()
    await lease.forget(3)
    await lease.release()
    entries = await journal.read()
    assert (entries.records, entries.holder) == ({}, None)


@pytest.mark.parametrize(("partition", "said"), [("N", "a number"), ("B", "bytes")])
async def test_other_partition_keys_are_refused(
    db: Database, way_of: RetryTransport, partition: str, said: str
) -> None:
    journal = Journal(way_of, create(db, "other", partition))
    with pytest.raises(MigrationError, match=f"`key` of the table .* is {said}.*keep it in another table"):
        await journal.open()


async def test_a_table_that_is_not_there(way_of: RetryTransport) -> None:
    assert not await Journal(way_of, "there-is-none").open()


async def test_a_lease_is_renewed_while_it_is_held(db: Database, way_of: RetryTransport) -> None:
    journal = await opened(way_of, create(db, "renewed"))
    lease = await journal.acquire("me", "2026", seconds=0.6, wait=0)
    with pytest.raises(MigrationLocked, match=r"me has been running.*since 2026, and still does after 1.3 seconds"):
        await journal.acquire("other", "2026", seconds=0.6, wait=1.3)
    lease.check()
    await lease.release()
    other = await journal.acquire("other", "2026", seconds=30, wait=0)
    await other.release()


async def test_a_waiting_one_takes_a_lease_that_is_released(
    db: Database, way_of: RetryTransport, way: str, engine: str
) -> None:
    if way == "sync" or engine == "moto":
        return
    journal = await opened(way_of, create(db, "waiting"))
    lease = await journal.acquire("me", "2026", seconds=30, wait=0)
    begun = time.monotonic()
    waiting = asyncio.ensure_future(journal.acquire("other", "2026", seconds=30, wait=20))
    await asyncio.sleep(0.1)
    await lease.release()
    await (await waiting).release()
    assert time.monotonic() - begun < 5


async def test_a_lease_is_taken_over_and_the_old_holder_writes_nothing_more(
    db: Database, way_of: RetryTransport
) -> None:
    journal = await opened(way_of, create(db, "over"))
    old = await paused(journal)
    old.begin("0001", "run", "step")
    await old.open("0")
    await old.save("0", {"n": 1})
    with pytest.raises(MigrationLocked):
        await journal.acquire("new", "2026", seconds=30, wait=0)
    new = await journal.acquire("new", "2026", seconds=30, wait=5)
    new.begin("0001", "run", "step")
    old._ends = stopwatch() + 99  # it does not know that it slept
    assert await new.open("0") == {"n": 1}
    before = [await journal.get(), await journal.get("0001", "run", "step", "0")]
    for write in (old.save("0", {"n": 2}), old.record(1, RECORD), old.forget(1), old.open("1")):
        old._lost = False
        with pytest.raises(LeaseLost):
            await write
    for entry in (old.fence(), old.checkpoint("0", {"n": 3})):
        sent = {"TransactItems": [entry]}
        assert not await journal.written("TransactWriteItems", sent)
    await old.clear()
    await old.release()
    assert [await journal.get(), await journal.get("0001", "run", "step", "0")] == before
    await new.save("0", {"n": 4})
    assert await new.open("0") == {"n": 4}
    await new.release()


async def test_a_holder_that_cannot_renew_stops_by_itself(db: Database, way_of: RetryTransport) -> None:
    journal = await opened(way_of, create(db, "alone"))
    lease = await paused(journal, 0.2)
    lease.check()
    time.sleep(0.25)  # noqa: ASYNC251  # nothing else is under way
    with pytest.raises(LeaseLost, match=r"not renewed for 0.2 seconds.*run up\(\) again"):
        lease.check()
    with pytest.raises(LeaseLost):
        await lease.record(1, RECORD)


async def test_of_many_that_wait_for_the_dead_one_takes_over(
    db: Database, way_of: RetryTransport, way: str, engine: str
) -> None:
    if way == "sync" or engine == "moto":
        return
    journal = await opened(way_of, create(db, "many"))
    await paused(journal, 0.2)
    waiting = [journal.acquire(str(n), "2026", seconds=30, wait=1.5) for n in range(5)]
    outcomes: list[Any] = await asyncio.gather(*waiting, return_exceptions=True)
    winners = [outcome for outcome in outcomes if not isinstance(outcome, MigrationLocked)]
    assert len(winners) == 1
    await winners[0].release()


# -- beats that do not get through -------------------------------------------------------------------------------------


class Wire:
    """A way to an engine where something may become of each beat, which is counted from 1."""

    def __init__(self, inner: Transport, beat: Callable[[int, Callable[[], Payload], Payload], Payload]) -> None:
        self.inner = inner
        self.beat = beat
        self.beats = 0

    @property
    def blocking(self) -> Wire:
        return self if self.inner.blocking is self.inner else Wire(self.inner.blocking, self.beat)

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        if not payload.get("UpdateExpression", "").startswith("SET #lock.#beat"):
            return await self.inner.send(operation, payload, deadline=deadline)
        self.beats += 1
        return self.beat(self.beats, lambda: drive(self.inner.send(operation, payload)), payload)

    async def aclose(self) -> None:
        pass


async def test_a_beat_whose_answer_was_lost_is_not_sent_again_as_it_was(db: Database) -> None:
    """What is sent after it extends the time of the holder, so it must be a renewal to who has seen the first."""
    seen: list[str] = []
    enough = threading.Event()
    plain = await opened(db.transport.blocking, create(db, "lost"))

    def beat(number: int, send: Callable[[], Payload], payload: Payload) -> Payload:
        answer = send()
        seen.append(payload["ExpressionAttributeValues"][":beat"]["N"])
        holder = drive(plain.read()).holder
        assert holder is not None
        assert holder.beat == seen[-1]
        if number == 3:
            enough.set()
        if number < 3:
            raise DeadlineExceeded("the answer was lost", operation="UpdateItem")
        return answer

    journal = await opened(RetryTransport(Wire(db.transport.blocking, beat)), plain.table)
    lease = await journal.acquire("me", "2026", seconds=1.0, wait=0)
    assert enough.wait(10)
    lease.check()
    await lease.release()
    assert len(seen) >= 3
    assert len(set(seen)) == len(seen)


async def test_a_beat_that_arrives_late_takes_none_back(db: Database) -> None:
    late: list[Callable[[], Payload]] = []
    enough = threading.Event()

    def beat(number: int, send: Callable[[], Payload], payload: Payload) -> Payload:
        if number == 1:
            late.append(send)
            raise DeadlineExceeded("it is still under way", operation="UpdateItem")
        answer = send()
        enough.set()
        return answer

    journal = await opened(RetryTransport(Wire(db.transport.blocking, beat)), create(db, "late"))
    lease = await journal.acquire("me", "2026", seconds=1.0, wait=0)
    assert enough.wait(10)
    with pytest.raises(RequestRefused, match="ConditionalCheckFailed"):
        late[0]()
    lease.check()
    await lease.release()


@pytest.mark.without("there is no event loop", way=["sync"])
async def test_a_release_keeps_no_event_loop_waiting(db: Database, way: str) -> None:
    under_way, hold = threading.Event(), threading.Event()

    def beat(number: int, send: Callable[[], Payload], payload: Payload) -> Payload:
        under_way.set()
        hold.wait(3)
        return send()

    journal = await opened(RetryTransport(Wire(db.transport, beat)), create(db, "release"))
    lease = await journal.acquire("me", "2026", seconds=0.9, wait=0)
    assert await asyncio.to_thread(under_way.wait, 10)
    begun = time.monotonic()
    releasing = asyncio.ensure_future(lease.release())
    await asyncio.sleep(0.01)
    took = time.monotonic() - begun
    hold.set()
    await releasing
    assert took < 2
    assert (await journal.read()).holder is None


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="Linux only")
async def test_a_lease_runs_out_while_the_machine_is_suspended(
    db: Database, way_of: RetryTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await opened(way_of, create(db, "asleep"))
    slept = 0.0

    def gettime(clock: int) -> float:
        return time.clock_gettime(clock) + (slept if clock == time.CLOCK_BOOTTIME else 0.0)

    clocks = {name: getattr(time, name) for name in ("monotonic", "CLOCK_BOOTTIME", "CLOCK_MONOTONIC")}
    monkeypatch.setattr(journals, "time", SimpleNamespace(**clocks, clock_gettime=gettime))
    lease = await paused(journal, 30)
    lease.check()
    slept = 31.0
    with pytest.raises(LeaseLost):
        lease.check()
    await lease.release()
