"""Up, down, status, and what is refused, on every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import GSI, Model
from lift_dynamorm.migrations import MigrationChanged, MigrationError, MigrationFailed, MigrationLocked, Progress
from lift_dynamorm.migrations.journal import Journal
from lift_dynamorm.migrations.runner import _counted
from lift_dynamorm.operations.concurrency import drive

from .conftest import fill, stored, tapped
from .models import Counter, OldUser, User

if TYPE_CHECKING:
    from lift_dynamorm import Database
    from lift_dynamorm.transport import Payload, Transport

    from .conftest import Folder

ADD = """
def add(work):
    counter = work.session.sync.get(Counter, id="1")
    work.session.sync.update(counter, n=counter.n + {n})
def take(work):
    counter = work.session.sync.get(Counter, id="1")
    work.session.sync.update(counter, n=counter.n - {n})
up = [Run(add)]
down = [Run(take)]
"""


def counted(db: Database) -> int:
    return db.sync.session().get(Counter, id="1").n


async def states(folder: Folder) -> list[str]:
    return [one.state for one in (await folder.migrations().status()).migrations]


async def test_up_and_down_in_order(folder: Folder, db: Database) -> None:
    fill(db, Counter(id="1", n=0))
    for number in (1, 2, 10):
        folder.write(f"{number:04d}_add", ADD.format(n=number))
    m = folder.migrations()
    assert [outcome.name for outcome in await m.up(2)] == ["0001_add", "0002_add"]
    assert (counted(db), await states(folder)) == (3, ["applied", "applied", "pending"])
    assert [outcome.name for outcome in await m.up()] == ["0010_add"]
    assert await m.up() == []
    assert counted(db) == 13
    assert [outcome.name for outcome in await m.down()] == ["0010_add"]
    assert [outcome.name for outcome in await m.down(dry_run=True, to=0)] == ["0002_add", "0001_add"]
    assert counted(db) == 3
    assert [outcome.name for outcome in await m.down("0001_add")] == ["0002_add"]
    assert [outcome.name for outcome in await m.down(0)] == ["0001_add"]
    assert (counted(db), await states(folder)) == (0, ["pending"] * 3)
    await m.up()
    assert counted(db) == 13
    with pytest.raises(MigrationError, match="no migration 7; there are: 0001_add, 0002_add, 0010_add"):
        await m.up(7)


async def test_the_journal_tells_who_and_when(folder: Folder, db: Database) -> None:
    fill(db, OldUser(id="1", first="a", last="b"))
    folder.write("0001_nothing", '"""Do nothing."""\nup = [Run(lambda work: None)]')
    await folder.migrations(owner="deploy 7").up()
    status = await folder.migrations().status()
    (one,) = status.migrations
    assert one.record is not None
    assert (one.number, one.name, one.record.by, status.holder) == (1, "0001_nothing", "deploy 7", None)
    assert one.record.finished >= one.record.started > "2"
    assert str(status).startswith("0001_nothing  applied  20")
    assert [user.id for user in db.sync.session().scan(OldUser)] == ["1"]


async def test_a_changed_file_is_told(folder: Folder, db: Database) -> None:
    fill(db, Counter(id="1", n=0))
    path = folder.write("0001_add", ADD.format(n=1))
    m = folder.migrations()
    await m.up()
    path.write_text(path.read_text() + "# changed\n")
    assert await states(folder) == ["changed"]
    for attempt in (m.up(), m.down(), m.up(dry_run=True)):
        with pytest.raises(MigrationChanged, match=r"0001_add was changed after it was applied on 20.*accept\(1\)"):
            await attempt
    await m.accept(1)
    assert await states(folder) == ["applied"]
    await m.up()
    renamed = path.rename(path.with_name("0001_other.py"))
    with pytest.raises(
        MigrationChanged,
        match=r"migration 1 was applied on 20\S+ as 0001_add, and its file has been renamed to 0001_other",
    ):
        await m.up()
    renamed.unlink()
    assert await states(folder) == ["missing"]
    with pytest.raises(MigrationError, match="0001_add was applied, and its file is gone"):
        await m.up()


async def test_a_number_below_the_last_one(folder: Folder, db: Database) -> None:
    fill(db, Counter(id="1", n=0))
    folder.write("0002_add", ADD.format(n=1))
    m = folder.migrations()
    await m.up()
    folder.write("0001_add", ADD.format(n=1))
    with pytest.raises(MigrationError, match="0001_add comes before 0002_add, which was applied"):
        await m.up()
    with pytest.raises(MigrationError, match="was not applied, so there is nothing to accept"):
        await m.accept(1)


async def test_what_has_no_down_is_not_begun_to_be_taken_back(folder: Folder, db: Database) -> None:
    fill(db, Counter(id="1", n=0))
    folder.write("0001_add", ADD.format(n=1).replace("down =", "other ="))
    folder.write("0002_add", ADD.format(n=2))
    m = folder.migrations()
    await m.up()
    with pytest.raises(MigrationError, match="0001_add has no `down`, so it cannot be taken back"):
        await m.down(0)
    assert counted(db) == 3


async def test_steps_that_are_done_are_not_run_again(folder: Folder, db: Database) -> None:
    fill(db, Counter(id="1", n=0))
    failing = ADD.format(n=1) + "def fail(work): raise ValueError('no')\nup = [Run(add), Run(fail), Run(add, name='2')]"
    path = folder.write("0001_add", failing)
    m = folder.migrations()
    for _ in range(2):
        with pytest.raises(MigrationFailed, match=r"0001_add: Run\(fail\): ValueError: no. .*run up\(\) again"):
            await m.up()
    assert (counted(db), await states(folder)) == (1, ["unfinished"])
    with pytest.raises(MigrationError, match=r"0001_add was begun and has not ended; .*unfinished=True"):
        await m.down()
    dry = await m.up(dry_run=True)
    assert dry[0].said[0].startswith("Run(fail)")
    path.write_text(path.read_text().replace("raise ValueError('no')", "pass"))
    await m.up()
    assert (counted(db), await states(folder)) == (2, ["applied"])


async def test_what_is_unfinished_may_be_taken_back(folder: Folder, db: Database) -> None:
    fill(db, Counter(id="1", n=0))
    failing = ADD.format(n=1) + "def fail(work): raise ValueError('no')\nup = [Run(add), Run(fail)]"
    folder.write("0001_add", failing)
    m = folder.migrations()
    with pytest.raises(MigrationFailed):
        await m.up()
    await m.down(unfinished=True)
    assert (counted(db), await states(folder)) == (0, ["pending"])
    with pytest.raises(MigrationFailed):
        await m.up()
    assert counted(db) == 1


async def test_a_down_that_fails_is_gone_on_with(folder: Folder, db: Database) -> None:
    fill(db, Counter(id="1", n=0))
    text = ADD.format(n=1) + "import os\ndef fail(work):\n    assert work.database.fine\ndown = [Run(take), Run(fail)]"
    folder.write("0001_add", text)
    m = folder.migrations()
    await m.up()
    db.fine = False  # type: ignore[attr-defined]  # for the step
    with pytest.raises(MigrationFailed, match=r"run down\(\) again"):
        await m.down()
    assert await states(folder) == ["being taken back"]
    with pytest.raises(MigrationError, match=r"is being taken back, and that has not ended; run down\(\)"):
        await m.up()
    db.fine = True  # type: ignore[attr-defined]  # for the step
    await m.down()
    assert (counted(db), await states(folder)) == (0, ["pending"])


async def test_a_run_goes_on_from_its_state(folder: Folder, db: Database) -> None:
    fill(db, Counter(id="1", n=0))
    text = """
        async def steps(work):
            for n in range((work.state or {"n": 0})["n"], 4):
                counter = await work.session.get(Counter, id="1")
                await work.session.update(counter, n=counter.n + 10 ** n)
                await work.save({"n": n + 1})
                work.check()
                if n == 1 and not hasattr(work.database, "fine"):
                    work.database.fine = True
                    raise ValueError("later")
        up = [Run(steps)]
    """
    folder.write("0001_steps", text)
    m = folder.migrations()
    with pytest.raises(MigrationFailed, match="later"):
        await m.up()
    assert counted(db) == 11
    await m.up()
    assert counted(db) == 1111
    assert set(stored(db)) == {"COUNTER#1"}


async def test_two_at_once_and_one_runs(folder: Folder, db: Database, transport: Transport) -> None:
    fill(db, Counter(id="1", n=0))
    folder.write("0001_add", ADD.format(n=1))
    said: list[Any] = []

    def meanwhile(operation: str, payload: Payload) -> None:
        if operation == "UpdateItem" and payload["Key"].get("pk") == {"S": "COUNTER#1"}:
            other = type(folder)(folder.path, db, "sync").migrations(owner="the other")
            with pytest.raises(MigrationLocked, match=r"^deploy 1 has been running the migrations of .* since 20") as e:
                other_up(other)
            said.append(e.value.holder)

    def other_up(other: Any) -> None:
        drive(other.up())

    await folder.migrations(tapped(db, transport, meanwhile), owner="deploy 1").up()
    assert said == ["deploy 1"]
    assert counted(db) == 1


class Indexed(Model, table="app", pk="INDEXED#{id}", sk="I", indexes=[GSI("by_team", pk="TEAM#{team}")]):
    id: str
    team: str = "core"


async def test_tables_are_applied(folder: Folder, db: Database) -> None:
    text = """
        from tests.migrations.test_runner import Indexed
        async def fill(work):
            await work.session.create(Indexed(id="1"))
        def same(item: Indexed) -> Indexed:
            return item
        up = [ApplyTables(User, Indexed), Run(fill), Transform(Indexed, same)]
    """
    folder.write("0001_tables", text)
    with pytest.raises(MigrationError, match=r"there is no table .* for the journal"):
        await folder.migrations().up()
    assert await states(folder) == ["pending"]
    m = folder.migrations(table=User)
    (outcome,) = await m.up(dry_run=True)
    assert outcome.said[0].startswith("ApplyTables(User, Indexed): ")
    assert "create table" in outcome.said[0]
    assert "there is no table yet" in outcome.said[2]
    await m.up()
    assert [one.id for one in db.sync.session().query(Indexed).where(team="core")] == ["1"]
    assert list(db.sync.session().scan(User)) == []


async def test_a_step_is_told_of_from_its_first_moment(folder: Folder, db: Database) -> None:
    fill(db, Counter(id="1", n=0))
    folder.write("0001_add", ADD.format(n=1))
    told: list[Any] = []
    await folder.migrations(progress=told.append).up()
    assert [(one.migration, one.step, one.scanned) for one in told] == [("0001_add", "Run(add)", 0)]


async def test_who_is_waited_for_is_told(folder: Folder, db: Database) -> None:
    fill(db, Counter(id="1", n=0))
    folder.write("0001_add", ADD.format(n=1))
    journal = Journal(db.transport.blocking, db.table_name("app"))
    drive(journal.open())
    lease = drive(journal.acquire("deploy 1", "2026", seconds=30.0, wait=0))
    told: list[Any] = []
    with pytest.raises(MigrationLocked):
        await folder.migrations(progress=told.append).up(wait=0.05)
    assert [str(one) for one in told] == ["waiting for deploy 1"]
    drive(lease.release())


async def test_one_line_of_log_for_a_migration(
    folder: Folder, db: Database, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    quiet = tapped(db, transport, lambda *_: None)
    fill(db, Counter(id="1", n=0))
    folder.write("0001_add", ADD.format(n=1) + "up = [Run(add), Run(add, name='2')]")
    with caplog.at_level("INFO", logger="lift_dynamorm"):
        await folder.migrations(quiet).up()
    lines = [record for record in caplog.records if "0001_add" in record.getMessage()]
    assert [(line.name, line.levelname) for line in lines] == [("lift_dynamorm.migrations", "INFO")]


async def test_counts_of_sweeps_are_said_to_be_of_several_passes(folder: Folder, db: Database) -> None:
    fill(db, *(Counter(id=str(n), n=n) for n in range(20)))
    said = await folder.up(
        "0001_a",
        "def f(c):\n    c.n = -1 - c.n\n    return c\nup = [Transform(Counter, f, where=F.n >= 0, segments=1)]",
    )
    assert said == ["Transform(Counter, f): 46 scanned in 2 passes, 20 transformed, 0 left, 0 retried"]


def test_counts_can_be_read() -> None:
    assert _counted(Progress("0001_a", "T", scanned=12345)).startswith("T: 12,345 scanned, 0 transformed")


async def test_a_question_keeps_its_mark(folder: Folder, db: Database) -> None:
    fill(db, Counter(id="1", n=0))
    folder.write("0001_a", "def f(work):\n    raise ValueError('did you mean `n`?')\nup = [Run(f)]")
    with pytest.raises(MigrationFailed, match=r"`n`\? What was done"):
        await folder.migrations().up()
