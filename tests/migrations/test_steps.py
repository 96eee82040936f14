"""What a step can be, and what it is told when it is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import F, UsageError
from lift_dynamorm.migrations import ApplyTables, MigrationError, MigrationFailed, Migrations, Progress, Transform

from .conftest import fill
from .models import Counter

if TYPE_CHECKING:
    from lift_dynamorm import Database

    from .conftest import Folder


def same(counter: Counter) -> Counter:
    return counter


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ApplyTables(), "takes the models whose tables"),
        (lambda: Transform(Counter, same, segments=0), r"segments=0\): give a whole number from 1"),
        (lambda: Transform(Counter, same, read_units=0), r"read_units=0\): give a number above 0"),
        (lambda: Transform(Counter, same, write_units=-1), r"write_units=-1\): give a number above 0"),
        (lambda: Transform(Counter, same, claim=True, where=F.n > 0), "so no `where` tells what is done"),
    ],
)
def test_steps_that_cannot_be(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_a_lease_lasts() -> None:
    from lift_dynamorm import Database

    with pytest.raises(MigrationError, match="a number of seconds above 0"):
        Migrations(Database("local://"), "migrations", table="app", lease=0)


def test_names_tell_what_a_step_does() -> None:
    assert ApplyTables(Counter).name == "ApplyTables(Counter)"
    assert Transform(Counter, same).name == "Transform(Counter, same)"
    assert Transform(Counter, same, name="x").name == "x"


def test_progress_tells_rate_and_time() -> None:
    progress = Progress("0001_a", "T", scanned=600, transformed=5, total=1100, scanned_before=100, seconds=5.0)
    assert (progress.rate, progress.remaining) == (100, 5)
    assert str(progress) == "0001_a T: 600 of about 1,100 scanned, 5 transformed, 100/s, 5 s to go"
    assert Progress("0001_a", "T").remaining is None
    assert str(Progress("0001_a", "T", sweep=1)) == "0001_a T: 0 scanned, 0 transformed, sweep 1"


async def test_a_step_of_ones_own(folder: Folder, db: Database) -> None:
    fill(db, Counter(id="1", n=0))
    text = """
        class Own:
            name = "own"
            async def run(self, work):
                assert (work.migration, work.step, work.limit) == ("0001_own", "own", None)
                await work.session.update(Counter, {"id": "1"}, n=5)
            async def preview(self, work):
                await work.save({})
        up = [Own()]
    """
    folder.write("0001_own", text)
    with pytest.raises(UsageError, match="0001_own: own: a dry run saves nothing"):
        await folder.migrations().up(dry_run=True)
    await folder.migrations().up()
    assert db.sync.session().get(Counter, id="1").n == 5


async def test_where_is_held_against_the_model(folder: Folder, db: Database) -> None:
    fill(db, Counter(id="1", n=0))
    folder.write("0001_a", "up = [Transform(Counter, lambda c: c, where=F.m > 0)]")
    with pytest.raises(MigrationFailed, match="Counter has no field `m`"):
        await folder.migrations().up()
