"""Copies to another table, on every engine: what goes over, what is compared, what is refused."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import TTL, ChangesLost, Database, InvalidItem, Key, Model, PartitionKey, UniqueViolation, UsageError
from lift_dynamorm.errors import CopyDiffers, SwitchConflicts
from lift_dynamorm.migrations import MigrationError, MigrationFailed, Migrations
from lift_dynamorm.migrations.comparison import Comparison
from lift_dynamorm.migrations.copy import Copy
from lift_dynamorm.migrations.copy import _Run as CopyRun
from lift_dynamorm.migrations.follower import Follower, Writer
from lift_dynamorm.migrations.switch import Switch
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.streams.shards import RETENTION
from lift_dynamorm.transport.retry import RetryTransport
from tests.migrations.copying import Lease, Moved, New, Old, claims, expected, found, new, raw, run, work_for
from tests.streams.conftest import db as on_engines
from tests.streams.conftest import engine, transport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lift_dynamorm.transport import Payload

__all__ = ["engine", "on_engines", "transport"]

TENANTS = (None, "acme", 'a#"b')


@pytest.fixture
def local() -> Database:
    return Database("local://")


def fill(db: Database, count: int) -> None:
    db.sync.create_tables(Old)
    for tenant in TENANTS:
        with db.sync.session(tenant).batch() as batch:
            for n in range(count):
                batch.put(Old(id=str(n), email=f"{n}@x", n=n % 7 - 1))


def assert_equal(db: Database) -> None:
    for tenant in TENANTS:
        session = db.sync.session(tenant)
        assert found(session) == expected(session)
    total = sum(len(expected(db.sync.session(tenant))) for tenant in TENANTS)
    own = [item for item in raw(db, "new") if "@owner" not in item]
    assert len(own) == total
    assert len(claims(db)) <= total


class Writing(RetryTransport):
    """Write to the old table before some of the requests of a copy, as its app would: create, change, delete."""

    def __init__(self, inner: Any, write: Callable[[], None], chance: float = 0.5, seed: int = 1) -> None:
        super().__init__(inner, max_attempts=3)
        self._write = write
        self._chance = chance
        self._seeded = random.Random(seed)
        self._writing = False
        self.sleep = self.no_sleep

    @property
    def blocking(self) -> Writing:
        return self

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        if not self._writing and self._seeded.random() < self._chance:
            self._writing = True
            self._write()
            self._writing = False
        return await super().send(operation, payload, deadline=deadline)

    async def no_sleep(self, _: float) -> None:
        pass


def writer(db: Database, ids: int, seed: int = 0, most: int = 400) -> Callable[[], None]:
    chance = random.Random(seed)
    sessions = [db.sync.session(tenant) for tenant in TENANTS]
    left = iter(range(most))

    def write() -> None:
        if next(left, None) is None:
            return
        session, id = chance.choice(sessions), str(chance.randrange(ids))
        if chance.random() < 0.4:
            session.delete(Old, id=id, missing_ok=True)
        else:
            session.put(Old(id=id, email=f"{chance.randrange(5)}@x", n=chance.randrange(-1, 5)))

    return write


def under_writes(db: Database, ids: int, **options: Any) -> Database:
    """The same database for a copy, with a writer who is always at work."""
    moving = Writing(db.transport.blocking._inner, writer(db, ids), **options)
    return Database(transport=moving, table_names=db.table_name)


def test_everything_goes_over(on_engines: Database) -> None:
    db = on_engines
    fill(db, 60)
    before = raw(db, "old")
    reports: list[Any] = []
    run(db, Copy(Old, New, new, segments=2), Lease(db.table_name("new")), reports.append)
    assert_equal(db)
    assert raw(db, "old") == before  # nothing in the source was touched
    assert reports[-1].scanned == 180
    with pytest.raises(UniqueViolation):  # the values of unique fields are claimed in the target
        db.sync.session("acme").create(New(id="other", email="5-5@x"))


def test_what_is_written_meanwhile_goes_over(on_engines: Database, engine: str) -> None:
    db = on_engines
    fill(db, 40)
    run(under_writes(db, 60), Copy(Old, New, new, segments=1), Lease(db.table_name("new")))
    run(db, Switch(Old, New, new, quiet=0.1, segments=1), Lease(db.table_name("new")))
    assert_equal(db)


def test_without_catching_up_the_copy_fails(local: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above: the comparison finds what was not carried over."""

    async def nothing(self: Follower) -> None:
        pass

    monkeypatch.setattr(Follower, "catch_up", nothing)
    fill(local, 40)
    with pytest.raises(CopyDiffers):
        run(under_writes(local, 60), Copy(Old, New, new, segments=1), Lease("new"))


@pytest.mark.parametrize("skew", [7.0, -7.0])
def test_catching_up_ends_though_the_clocks_differ(
    local: Database, monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    """Somebody writes before each round, and always will."""
    fill(local, 3)
    turned = Follower.round
    rounds: list[float] = []

    async def round(self: Follower) -> float:
        assert len(rounds) < 500
        local.sync.session("acme").put(Old(id="0", email=f"{len(rounds)}@z"))
        rounds.append(await turned(self))
        return rounds[-1]

    monkeypatch.setattr(Follower, "round", round)
    run(local, Copy(Old, New, new, segments=1, clock=lambda: time.time() + skew), Lease("new"))
    assert all(rounds)


@pytest.mark.parametrize(
    ("lags", "short", "taken"),
    [
        ([3600, 3000, 2000, 1000, 4, 3], True, 6),
        ([3600, 3000, 2000, 1000, 1000, 999, 8, 8, 8], True, 9),
        ([3600, 3600, 3600, 3600, 0, 0], False, 6),
        ([9, 8, 9, 9], True, 4),
        ([9, 0, 0], True, 3),
    ],
)
def test_catching_up_goes_on_while_there_is_more(
    monkeypatch: pytest.MonkeyPatch, lags: list[float], short: bool, taken: int
) -> None:
    nothing: Any = None
    shards: Any = SimpleNamespace(transport=RetryTransport(nothing, sleep=lambda _: asyncio.sleep(0)))
    follower = Follower(nothing, nothing, shards, nothing, lambda: 10_000.0)
    rounds = 0

    async def round(self: Follower) -> float:
        nonlocal rounds
        lag, self._short = lags[rounds], short
        rounds += 1
        return 10_000.0 - lag if lag else 0.0

    monkeypatch.setattr(Follower, "round", round)
    asyncio.run(follower.catch_up())
    assert rounds == taken


@pytest.mark.parametrize("step", ["copy", "switch"])
def test_what_is_carried_over_before_the_comparison_is_not_kept_in_memory(
    local: Database, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    compare, kept = Comparison.run, []

    async def compared(self: Comparison) -> None:
        kept.append(len(self._touched))
        local.sync.session("acme").put(Old(id="1", email="meanwhile@x", n=1))
        await self._catch_up()
        kept.append(len(self._touched))
        await compare(self)

    def write() -> None:
        for n in range(50):
            local.sync.session("acme").put(Old(id=str(n), email=f"{n}@y", n=1))

    def writing(self: Any) -> Any:
        write()
        return enter(self)

    fill(local, 60)
    if step == "switch":
        run(local, Copy(Old, New, new), Lease("new"))
        write()
    else:
        enter = CopyRun._bulk
        monkeypatch.setattr(CopyRun, "_bulk", writing)
    monkeypatch.setattr(Comparison, "run", compared)
    switch = Switch(Old, New, new, quiet=0.05)
    run(local, Copy(Old, New, new, segments=1) if step == "copy" else switch, Lease("new"))
    assert kept[0] == 0
    assert kept[1] > 0
    assert_equal(local)


def test_items_go_over_as_they_are(on_engines: Database) -> None:
    db = on_engines
    fill(db, 20)
    strange = {"id": {"S": "strange"}, "email": {"S": "s@x"}, "n": {"N": "1"}, "unknown": {"M": {"b": {"B": "AA=="}}}}
    drive(db.transport.blocking.send("PutItem", {"TableName": db.table_name("old"), "Item": strange}))
    run(db, Copy(Old, Moved, segments=2), Lease(db.table_name("moved")))
    assert strange in raw(db, "moved")
    assert raw(db, "moved") == raw(db, "old")


def test_what_differs_is_named_and_the_next_run_mends_it(local: Database) -> None:
    fill(local, 10)
    lease = Lease("new")
    copy = Copy(Old, New, new)
    run(local, copy, lease)
    s = local.sync.session("acme")
    s.update(New, {"id": "3"}, n=99)
    s.delete(New, id="4")
    s.create(New(id="no one's", email="z@x"))
    lease.states[""] = lease.states[""].replace('"done"', '"verify"')
    with pytest.raises(CopyDiffers, match=r"2 items of Old.*@acme#3.*1 items of New.*no one's") as raised:
        run(local, copy, lease)
    assert sorted(key["id"]["S"] for key in raised.value.differing) == ["@acme#3", "@acme#4"]
    assert [key["pk"]["S"] for key in raised.value.surplus] == ["@acme#USER#no one's"]
    s.delete(New, id="no one's")
    run(local, copy, lease)
    assert_equal(local)


def test_a_shared_target_keeps_what_is_of_other_origin(local: Database) -> None:
    fill(local, 10)
    local.sync.create_tables(New)
    local.sync.session("acme").create(New(id="other", email="z@x"))
    with pytest.raises(CopyDiffers, match="other"):
        run(local, Copy(Old, New, new), Lease("new"))
    run(local, Copy(Old, New, new, shared=True), Lease("new"))
    assert local.sync.session("acme").get(New, id="other").email == "z@x"


def test_a_copy_that_takes_longer_than_the_stream_keeps_fails(local: Database) -> None:
    fill(local, 10)
    lease = Lease("new")
    ticks = iter([0.0] * 6)

    def clock() -> float:
        return 1_800_000_000 + next(ticks, RETENTION)

    with pytest.raises(ChangesLost, match="keeps changes for 24") as raised:
        run(local, Copy(Old, New, new, clock=clock), lease)
    assert "run again" in str(raised.value)
    run(local, Copy(Old, New, new), lease)
    assert_equal(local)


@pytest.mark.parametrize("view", ["KEYS_ONLY", "OLD_IMAGE", "NEW_IMAGE"])
def test_a_stream_that_does_not_tell_enough_is_refused(local: Database, view: str) -> None:
    fill(local, 1)
    specification = {"StreamEnabled": True, "StreamViewType": view}
    drive(local.transport.send("UpdateTable", {"TableName": "old", "StreamSpecification": specification}))
    with pytest.raises(MigrationError, match=f"holds {view}, and the copy needs NEW_AND_OLD_IMAGES"):
        run(local, Copy(Old, New, new), Lease("new"))
    if view != "NEW_IMAGE":
        with pytest.raises(MigrationError, match="NEW_AND_OLD_IMAGES or NEW_IMAGE"):
            run(local, Copy(Old, Moved), Lease("moved"))


def test_new_images_are_enough_for_items_as_they_are(local: Database) -> None:
    fill(local, 30)
    specification = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    drive(local.transport.send("UpdateTable", {"TableName": "old", "StreamSpecification": specification}))
    lease = Lease("moved")
    run(under_writes(local, 40), Copy(Old, Moved, segments=1), lease)
    lease.states[""] = lease.states[""].replace('"done"', '"verify"')
    run(local, Copy(Old, Moved, segments=1), lease)
    assert raw(local, "moved") == raw(local, "old")


def test_new_images_are_enough_with_a_function_of_keys(local: Database) -> None:
    fill(local, 30)
    specification = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    drive(local.transport.send("UpdateTable", {"TableName": "old", "StreamSpecification": specification}))

    def renamed(old: Old) -> Moved:
        return Moved(id=f"new-{old.id}", email=old.email, n=old.n)

    lease = Lease("moved")
    copy = Copy(Old, Moved, renamed, key=lambda fields: Key(Moved, id=f"new-{fields['id']}"), segments=1)
    run(under_writes(local, 40), copy, lease)
    lease.states[""] = lease.states[""].replace('"done"', '"verify"')
    run(local, copy, lease)
    for tenant in TENANTS:
        session = local.sync.session(tenant)
        ids = {f"new-{old.id}" for old in session.scan(Old).all()}
        assert {item.id for item in session.scan(Moved).all()} == ids


def test_functions_that_cannot_be_right(local: Database) -> None:
    fill(local, 2)
    counter = iter(range(1000))
    bad: list[tuple[Any, str]] = [
        (lambda old: New(id=old.id, email=str(next(counter))), "each time it is called"),
        (lambda old: old, "not Old"),
        (lambda old: [new(Old(id=old.id, email="x"))] * 2, "two items with the key"),
    ]
    for function, complaint in bad:
        with pytest.raises(UsageError, match=complaint):
            run(local, Copy(Old, New, function), Lease("new"))
    with pytest.raises(UsageError, match="give a function"):
        Copy(Old, New)
    with pytest.raises(UsageError, match="use Transform"):
        Copy(Old, Old)
    with pytest.raises(UsageError, match="segments"):
        Copy(Old, New, new, segments=0)


def test_an_item_that_does_not_fit_stops_the_copy(local: Database) -> None:
    fill(local, 2)
    bad = {"id": {"S": "bad"}, "n": {"S": "x"}}
    drive(local.transport.send("PutItem", {"TableName": "old", "Item": bad}))
    with pytest.raises(InvalidItem, match="id=bad"):
        run(local, Copy(Old, New, new), Lease("new"))


def test_items_whose_time_is_over_may_be_gone_from_the_target(local: Database) -> None:
    """DynamoDB deletes them within days, in each table when it likes."""

    class Session(Model, table="sessions"):
        id: PartitionKey[str]
        ends: TTL
        n: int = 0

    class Moved(Session, table="moved-sessions"):
        pass

    local.sync.create_tables(Session)
    s = local.sync.session()
    past, future = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    s.put(Session(id="over", ends=past))
    s.put(Session(id="live", ends=future))
    lease = Lease("moved-sessions")
    copy = Copy(Session, Moved)
    run(local, copy, lease)
    lease.states[""] = lease.states[""].replace('"done"', '"verify"')
    s.delete(Moved, id="over", missing_ok=True)
    drive(local.transport.send("DeleteItem", {"TableName": "moved-sessions", "Key": {"id": {"S": "over"}}}))
    run(local, copy, lease)
    s.put(Session(id="over", ends=past, n=1))
    run(local, Switch(Session, Moved, quiet=0.05), Lease("moved-sessions"))
    s.delete(Moved, id="live")
    lease.states[""] = lease.states[""].replace('"done"', '"verify"')
    with pytest.raises(CopyDiffers, match="id=live"):
        run(local, copy, lease)


def test_a_preview_writes_nothing(local: Database) -> None:
    fill(local, 12)
    work = work_for(local, Lease("new"))
    said = drive(Copy(Old, New, new).preview(work))
    assert "of 36 items read, 36 are of Old" in said
    assert "turned on" in said
    assert drive(local.transport.send("ListTables", {}))["TableNames"] == ["old"]


MOVES = """
from lift_dynamorm.migrations import Copy, Switch
from tests.migrations.copying import New, Old, new
up = [{}]
"""


def test_a_dry_run_before_the_first_run_says_what_comes_first(local: Database, tmp_path: Path) -> None:
    fill(local, 4)
    (tmp_path / "0001_copy.py").write_text(MOVES.format("Copy(Old, New, new)"))
    (tmp_path / "0002_switch.py").write_text(MOVES.format("Switch(Old, New, new)"))
    migrations = Migrations(local, tmp_path, table=Old).sync
    copy, switch = migrations.up(dry_run=True)
    assert "to 'new', which does not exist yet and would be created; of 12 items read" in copy.said[0]
    assert switch.said[0].startswith("Switch(Old, New): the table of New does not exist yet: the copy comes first")
    local.sync.create_tables(New)
    copy, switch = migrations.up(dry_run=True)
    assert "which does not exist" not in copy.said[0]
    assert switch.said[0].startswith("Switch(Old, New): nothing was copied to New yet: the copy comes first")
    assert copy.failed == switch.failed == 0


def test_a_dry_run_tells_what_cannot_be_copied(local: Database) -> None:
    work = work_for(local, Lease("new"))
    assert "would fail: the table 'old' of Old does not exist" in drive(Copy(Old, New, new).preview(work))
    assert work.failed == 1
    fill(local, 4)
    work = work_for(local, Lease("new"))

    def strict(old: Old) -> New:
        assert old.id != "2"
        return New(id=old.id, email=old.email)

    said = drive(Copy(Old, New, strict).preview(work))
    assert "3 of them cannot be copied\n  would fail: the Old id=" in said
    assert "AssertionError" in said
    assert work.failed == 3


def test_the_embedded_engine_begins_streams_anew_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "moves"
    folder.mkdir()

    def up() -> None:
        db = Database(f"local://{tmp_path / 'data.db'}")
        try:
            Migrations(db, folder, table=Old).sync.up()
        finally:
            db.sync.close()

    db = Database(f"local://{tmp_path / 'data.db'}")
    fill(db, 4)
    db.sync.close()
    (folder / "0001_copy.py").write_text(MOVES.format("Copy(Old, New, new)"))
    up()
    (folder / "0002_switch.py").write_text(MOVES.format("Switch(Old, New, new, quiet=0.05)"))
    with pytest.raises(MigrationFailed, match=r"begins its streams anew whenever its file is opened.*Copy anew: put"):
        up()
    both = 'Copy(Old, New, new, name="copy anew"), Switch(Old, New, new, quiet=0.05, name="switch anew")'
    (folder / "0002_switch.py").write_text(MOVES.format(both))
    up()
    db = Database(f"local://{tmp_path / 'data.db'}")
    assert_equal(db)
    db.sync.close()


def test_a_unique_value_that_moves_from_one_item_to_another_stays_claimed(local: Database) -> None:
    fill(local, 4)
    lease = Lease("new")

    def same(old: Old) -> New:
        return New(id=old.id, email=old.email, version=1)

    s = local.sync.session("acme")
    moves = iter([("1", "free@x"), ("2", "1@x"), ("1", "2@x"), ("3", "free@x")])

    def move() -> None:
        step = next(moves, None)
        if step is not None:
            s.put(Old(id=step[0], email=step[1]))

    moving = Writing(local.transport.blocking._inner, move, chance=0.3)
    run(Database(transport=moving), Copy(Old, New, same, segments=1), lease)
    run(local, Switch(Old, New, same, quiet=0.05, segments=1), Lease("new"))
    owners = {item["pk"]["S"]: item["@owner"]["M"]["pk"]["S"] for item in raw(local, "new") if "@owner" in item}
    acme = {key.split("#")[-1]: owner for key, owner in owners.items() if key.startswith("@acme#")}
    assert acme == {old.email: f"@acme#USER#{old.id}" for old in s.scan(Old).all()}


@pytest.mark.parametrize("together", [True, False])
def test_a_claim_is_given_free_by_its_owner_only(local: Database, together: bool) -> None:
    """Shards do not wait for each other: that 2 takes a value may come before that 1 gives it free."""

    def same(old: Old) -> New:
        return New(id=old.id, email=old.email, version=1)

    def change(id: str, before: str, after: str) -> dict[str, Any]:
        images = [{"id": {"S": id}, "email": {"S": email}, "n": {"N": "0"}} for email in (before, after)]
        told = {"Keys": {"id": {"S": id}}, "OldImage": images[0], "NewImage": images[1]}
        return {"eventName": "MODIFY", "dynamodb": told}

    local.sync.create_tables(Old)
    s = local.sync.session()
    for id in "12":
        s.put(Old(id=id, email=f"{id}@x"))
    run(local, Copy(Old, New, same), Lease("new"))
    writer = Writer(work_for(local, Lease("new")))
    shards: Any = None
    follower = Follower(Copy(Old, New, same).conversion, writer, shards, shards)
    takes, frees = change("2", "2@x", "1@x"), change("1", "1@x", "free@x")
    for page in [[takes, frees]] if together else [[takes], [frees]]:
        drive(follower.replay(page))
    assert {key.split("#")[-1]: owner for key, owner in claims(local).items()} == {
        "1@x": "USER#2",
        "free@x": "USER#1",
    }


class TestTheSwitch:
    @pytest.fixture
    def copied(self, local: Database) -> Database:
        fill(local, 20)
        run(local, Copy(Old, New, new), Lease("new"))
        return local

    def test_late_writes_go_over(self, copied: Database) -> None:
        write = writer(copied, 30)
        for _ in range(200):
            write()
        run(copied, Switch(Old, New, new, quiet=0.05), Lease("new"))
        assert_equal(copied)

    def test_what_new_code_has_written_stays(self, copied: Database) -> None:
        s = copied.sync.session("acme")
        for id in ("3", "4"):
            s.update(New, {"id": id}, n=1000)
        s.delete(New, id="5")
        s.create(New(id="fresh", email="fresh@x", n=1))
        for id in ("3", "5", "6"):
            s.update(Old, {"id": id}, email="late@x")
        s.delete(Old, id="4")
        s.put(Old(id="fresh", email="old@x", n=7))
        s.put(Old(id="late", email="l@x", n=7))
        lease = Lease("new")
        step = Switch(Old, New, new, quiet=0.05, compare=False)
        with pytest.raises(SwitchConflicts, match="run again") as raised:
            run(copied, step, lease)
        names = sorted(key["pk"]["S"] for key in raised.value.keys)
        assert names == [f"@acme#USER#{id}" for id in ("3", "4", "5", "fresh")]
        assert (s.get(New, id="3").n, s.get(New, id="4").n, s.get(New, id="fresh").n) == (1000, 1000, 1)
        assert s.find(New, id="5") is None
        assert s.get(New, id="6").email == "6-late@x"
        assert s.get(New, id="late").n == 7
        run(copied, step, lease)  # and goes on behind them

    def test_a_write_of_new_code_between_look_and_write_stays(self, copied: Database) -> None:
        s = copied.sync.session("acme")
        s.update(Old, {"id": "6"}, email="late@x")

        class Sneaking(Writing):
            async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
                if operation == "PutItem" and payload["Item"].get("pk") == {"S": "@acme#USER#6"}:
                    s.update(New, {"id": "6"}, n=500)
                return await super().send(operation, payload, deadline=deadline)

        sneaking = Database(transport=Sneaking(copied.transport.blocking._inner, lambda: None))
        with pytest.raises(SwitchConflicts):
            run(sneaking, Switch(Old, New, new, quiet=0.05, compare=False), Lease("new"))
        assert s.get(New, id="6").n == 500

    def test_with_a_comparison_new_writes_are_an_error(self, copied: Database) -> None:
        copied.sync.session("acme").update(New, {"id": "4"}, n=1000)
        with pytest.raises(CopyDiffers, match="@acme#4"):
            run(copied, Switch(Old, New, new, quiet=0.05), Lease("new"))

    def test_it_can_be_run_again_and_again(self, copied: Database) -> None:
        s = copied.sync.session("acme")
        for n in range(3):
            s.update(Old, {"id": "6"}, n=n)
            run(copied, Switch(Old, New, new, quiet=0.05), Lease("new"))
            assert_equal(copied)

    def test_without_a_copy_there_is_nothing_to_switch(self, local: Database) -> None:
        fill(local, 1)
        local.sync.create_tables(New)
        with pytest.raises(MigrationError, match=r"comes after Copy\(Old, New"):
            run(local, Switch(Old, New, new), Lease("new"))

    def test_a_preview(self, copied: Database) -> None:
        said = drive(Switch(Old, New, new).preview(work_for(copied, Lease("new"))))
        assert "until nothing comes for 10 seconds; then compares both tables" in said
