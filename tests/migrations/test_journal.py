"""The journal's lease: one holder at a time, taken over from the dead, who write nothing more."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm.migrations import LeaseLost, MigrationError, MigrationLocked
from lift_dynamorm.migrations.journal import Journal, Record

if TYPE_CHECKING:
    from lift_dynamorm import Database
    from lift_dynamorm.migrations.journal import Lease
    from lift_dynamorm.transport.retry import RetryTransport

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
    old._ends = time.monotonic() + 99  # it does not know that it slept
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
