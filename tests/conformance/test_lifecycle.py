"""Clock, ids, hooks, and items whose time is over."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import (
    TTL,
    ConditionFailed,
    CreatedAt,
    Database,
    F,
    Generated,
    ItemExists,
    ItemNotFound,
    Model,
    PartitionKey,
    ServiceError,
    SortKey,
    UpdatedAt,
    Version,
    VersionConflict,
    WriteEvent,
    new_id,
)
from lift_dynamorm.transport.faults import DropAfterSend, FaultTransport, Script
from lift_dynamorm.transport.retry import RetryTransport

from .conftest import session_of
from .models import DAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Session
    from lift_dynamorm.transport import Transport

    Open = Callable[..., Session]


class Pass(Model, table="passes"):
    """Goes out of date."""

    holder: PartitionKey[str]
    number: SortKey[int] = 0
    name: str = ""
    expires_at: TTL = None


class Lease(Model, table="leases", pk="LEASE#{id}"):
    id: str
    holder: str = ""
    version: Version = 0
    created_at: CreatedAt = None
    updated_at: UpdatedAt = None
    expires_at: TTL = None


class Entry(Model, table="entries", pk="ENTRY#{id}"):
    id: Generated = ""
    title: str = ""
    slug: str = ""
    shown: str = ""
    version: Version = 0


class Special(Entry, table="entries", pk="SPECIAL#{id}"):
    pass


class Clock:
    def __init__(self) -> None:
        self.time = DAY

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def db(db: Database, transport: Transport, clock: Clock) -> Database:
    """The conformance database with a clock and ids of the test's."""
    numbers = iter(range(1, 1000))
    return Database(
        transport=RetryTransport(transport, max_attempts=3),
        table_names=db.table_name,
        cursor_keys=["secret"],
        now=clock,
        new_id=lambda: f"id-{next(numbers)}",
    )


async def test_the_clock_is_the_databases(opened: Open, clock: Clock) -> None:
    s = opened(Lease)
    lease = await s.create(Lease(id="1"))
    clock.time += timedelta(hours=1)
    await s.update(lease, holder="x")
    assert (lease.created_at, lease.updated_at) == (DAY, DAY + timedelta(hours=1))
    assert await s.get(Lease, id="1") == lease


# -- ids ---------------------------------------------------------------------------------------------------------------


async def test_ids_are_made_when_an_item_is_first_stored(opened: Open) -> None:
    s = opened(Entry)
    one = await s.create(Entry(title="a"))
    two = await s.put(Entry(title="b"))
    own = await s.create(Entry(id="mine"))
    assert (one.id, two.id, own.id) == ("id-1", "id-2", "mine")
    await s.put(one)
    assert (await s.get(Entry, id="id-1")).version == 2
    async with s.transaction():
        three = await s.create(Entry())
        assert await s.get(Entry, id="id-3") == three


async def test_an_id_is_taken_back_with_the_transaction(opened: Open) -> None:
    s = opened(Entry)
    entry = Entry()
    with pytest.raises(ZeroDivisionError):
        async with s.transaction():
            await s.create(entry)
            assert entry.id == "id-1"
            raise ZeroDivisionError
    assert entry.id == ""
    await s.create(entry)
    assert entry.id == "id-2"


def test_ids_sort_by_time() -> None:
    ids = [new_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert [i[:13] for i in ids] == sorted(i[:13] for i in ids)
    assert {(i[14], i[19] in "89ab") for i in ids} == {("7", True)}


# -- hooks -------------------------------------------------------------------------------------------------------------


async def test_a_hook_sees_every_write(opened: Open, db: Database) -> None:
    events: list[WriteEvent[Any]] = []
    s = opened(Entry)

    @db.before_write(Entry)
    def note(event: WriteEvent[Entry]) -> None:
        events.append(event)

    entry = await s.create(Entry(title="a"))
    await s.put(entry)
    await s.update(entry, title="b")
    await s.update(Entry, {"id": "id-1"}, title="c")
    await s.delete(Entry, id="id-1")
    special = await s.create(Special())
    await s.delete(special)
    assert [(e.verb, e.model, e.instance is not None, dict(e.key)) for e in events] == [
        ("create", Entry, True, {}),
        ("put", Entry, True, {}),
        ("update", Entry, True, {}),
        ("update", Entry, False, {"id": "id-1"}),
        ("delete", Entry, False, {"id": "id-1"}),
        ("create", Special, True, {}),
        ("delete", Special, True, {}),
    ]


async def test_a_hook_may_change_the_instance_or_refuse(opened: Open, db: Database) -> None:
    s = opened(Entry)

    @db.before_write(Entry)
    async def slug(event: WriteEvent[Entry]) -> None:
        if event.verb == "delete":
            raise PermissionError("kept")
        if event.instance is not None:
            event.instance.slug = event.instance.title.lower()

    entry = await s.create(Entry(title="One"))
    assert (await s.get(Entry, id=entry.id)).slug == "one"
    entry.title = "Two"
    await s.update(entry)
    assert (await s.get(Entry, id=entry.id)).slug == "two"
    with pytest.raises(PermissionError):
        await s.delete(entry)
    assert await s.find(Entry, id=entry.id)


async def test_a_hook_sees_every_read_and_what_it_sets_is_no_change(opened: Open, db: Database) -> None:
    s = opened(Entry)
    await s.create(Entry(id="1", title="a"))

    @db.after_read(Entry)
    async def show(entry: Entry) -> None:
        entry.shown = f"<{entry.title}>"

    entry = await s.get(Entry, id="1")
    assert entry.shown == "<a>"
    assert await s.update(entry) is entry
    assert entry.version == 1
    await s.update(entry, title="b")
    assert (entry.shown, entry.version) == ("<b>", 2)
    assert (await s.update(Entry, {"id": "1"}, slug="s")).shown == "<b>"
    entry = await s.get(Entry, id="1")
    async with s.transaction():
        await s.update(entry, title="c")
        assert entry.shown == "<c>"
        assert (await s.get(Entry, id="1")).shown == "<c>"
    plain = session_of(Database(transport=db.transport, table_names=db.table_name), "async")
    if not isinstance(s, type(plain)):
        return
    assert (await plain.get(Entry, id="1")).shown == ""
    entry.shown = "kept"
    await s.update(entry)
    assert (await plain.get(Entry, id="1")).shown == "kept"


# -- time to live ------------------------------------------------------------------------------------------------------


async def test_what_has_expired_is_absent_unless_asked_for(opened: Open, clock: Clock) -> None:
    s = opened(Pass, Lease)
    clock.time = datetime.now(UTC) + timedelta(days=1)  # ahead of the engine, which would delete it else
    soon = clock.time + timedelta(hours=1)
    await s.put(Pass(holder="a", number=1, expires_at=soon))
    await s.put(Pass(holder="a", number=2))
    assert await s.find(Pass, holder="a", number=1)
    assert await s.query(Pass).where(holder="a").count() == 2
    clock.time += timedelta(hours=1)
    assert await s.find(Pass, holder="a", number=1) is None
    with pytest.raises(ItemNotFound):
        await s.get(Pass, holder="a", number=1)
    assert (await s.get(Pass, holder="a", number=1, include_expired=True)).number == 1
    assert [p.number for p in await s.query(Pass).where(holder="a").all()] == [2]
    assert await s.query(Pass).where(holder="a").count() == 1
    assert [p.number for p in await s.query(Pass).where(holder="a").limit(1).page()] == [2]
    assert await s.query(Pass).where(holder="a").include_expired().count() == 2
    async with s.transaction():
        await s.put(Pass(holder="b", expires_at=clock.time))
        assert await s.find(Pass, holder="b", number=0) is None
        assert await s.query(Pass).where(holder="b").all() == []


async def test_what_has_expired_is_absent_for_writes(opened: Open, clock: Clock) -> None:
    s = opened(Pass, Lease)
    clock.time = datetime.now(UTC) + timedelta(days=1)
    old = await s.create(Lease(id="1", holder="old", expires_at=clock.time + timedelta(hours=1)))
    with pytest.raises(ItemExists):
        await s.create(Lease(id="1"))
    clock.time += timedelta(hours=2)
    for attempt in (s.update(old, holder="x"), s.update(Lease, {"id": "1"}, holder="x"), s.delete(Lease, id="1")):
        with pytest.raises(ItemNotFound):
            await attempt
    with pytest.raises(ItemNotFound):
        async with s.transaction():
            await s.check(Lease, id="1")
    new = await s.create(Lease(id="1", holder="new"))
    assert new.version == 1
    assert await s.get(Lease, id="1") == new
    await s.delete(new)
    await s.put(Lease(id="1", holder="old", expires_at=clock.time + timedelta(hours=1)))
    clock.time += timedelta(hours=2)
    assert (await s.put(Lease(id="1", holder="put"))).version == 1
    await s.put(Pass(holder="a", expires_at=clock.time))
    await s.delete(Pass, holder="a", number=0, missing_ok=True)


# -- what a review found -----------------------------------------------------------------------------------------------


async def test_an_upsert_takes_the_place_of_what_has_expired(opened: Open, clock: Clock) -> None:
    s = opened(Lease, Pass)
    for block in (False, True):
        clock.time = datetime.now(UTC) + timedelta(days=1)
        soon = clock.time + timedelta(hours=1)
        await s.put(Lease(id="1", holder="old", expires_at=soon))
        clock.time += timedelta(hours=2)
        if block:
            async with s.transaction():
                shown = await s.update(Lease, {"id": "1"}, F.holder.set("new"), upsert=True)
        else:
            shown = await s.update(Lease, {"id": "1"}, holder="new", upsert=True, if_=F.id.not_exists())
        assert (shown.holder, shown.version, shown.expires_at) == ("new", 1, None)
        assert await s.get(Lease, id="1") == shown
        await s.delete(shown)


async def test_conditions_of_a_put_do_not_see_what_has_expired(opened: Open, clock: Clock) -> None:
    s = opened(Pass, Lease)
    clock.time = datetime.now(UTC) + timedelta(days=1)
    old = await s.put(Lease(id="1", holder="old", expires_at=clock.time + timedelta(hours=1)))
    await s.put(Pass(holder="a", name="old", expires_at=clock.time + timedelta(hours=1)))
    clock.time += timedelta(hours=2)
    with pytest.raises(ConditionFailed):
        await s.put(Pass(holder="a"), if_=F.name == "old")
    await s.put(Pass(holder="a", name="new"), if_=F.holder.not_exists())
    with pytest.raises(ItemNotFound):
        await s.put(old)


async def test_a_lease_that_another_holds_by_now_is_left_alone(opened: Open, clock: Clock) -> None:
    s = opened(Lease)
    clock.time = datetime.now(UTC) + timedelta(days=1)
    mine = await s.create(Lease(id="1", holder="me", expires_at=clock.time + timedelta(hours=1)))
    clock.time += timedelta(hours=2)
    other = await s.create(Lease(id="1", holder="other", expires_at=clock.time + timedelta(hours=1)))
    assert other.version == mine.version
    for attempt in (s.delete(mine), s.update(mine, holder="me"), s.put(mine)):
        with pytest.raises(VersionConflict):
            await attempt
    assert await s.get(Lease, id="1") == other


async def test_an_id_is_named_and_kept_where_it_may_be_stored(
    opened: Open, db: Database, transport: Transport, way: str
) -> None:
    opened(Entry)
    lost = FaultTransport(transport, Script.of(itertools.repeat(DropAfterSend())))
    s = session_of(Database(transport=RetryTransport(lost, max_attempts=2), table_names=db.table_name), way)
    entry = Entry()
    with pytest.raises(ServiceError):
        await s.create(entry)
    assert entry.id != ""


async def test_what_hooks_made_is_taken_back_with_the_transaction(opened: Open, db: Database) -> None:
    s = opened(Entry)
    await s.create(Entry(id="1", title="a"))

    @db.after_read(Entry)
    def show(entry: Entry) -> None:
        entry.shown = f"<{entry.title}>"

    entry = await s.get(Entry, id="1")
    with pytest.raises(ZeroDivisionError):
        async with s.transaction():
            await s.update(entry, title="b")
            raise ZeroDivisionError
    assert (entry.title, entry.shown) == ("a", "<a>")
    assert await s.update(entry) is entry
    assert entry.version == 1
