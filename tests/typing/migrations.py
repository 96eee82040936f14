"""Migrations: steps fit their models, and what comes of them is known."""

from typing import assert_type

from lift_dynamorm import Database, F, Model
from lift_dynamorm.migrations import ApplyTables, Migrations, Outcome, Progress, Run, Status, Step, Transform, Work


class OldUser(Model, table="app", pk="USER#{id}"):
    id: str
    first: str


class User(Model, table="app", pk="USER#{id}"):
    id: str
    full_name: str


def full_name(user: OldUser) -> User:
    return User(id=user.id, full_name=user.first)


async def split(user: OldUser) -> list[User] | None:
    return [full_name(user)] if user.first else None


def show(progress: Progress) -> None:
    assert_type(progress.remaining, float | None)


async def note(work: Work) -> None:
    await work.session.create(User(id="1", full_name=work.migration))
    await work.save({"done": True})


steps: list[Step] = [
    ApplyTables(OldUser, User),
    Transform(OldUser, full_name, where=~F.full_name.exists()),
    Transform(OldUser, split),
    Transform(User, lambda user: user, claim=True),
    Run(note),
    Run(lambda work: None),
]
Transform(User, full_name)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Transform(OldUser, str)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def run(db: Database) -> None:
    migrations = Migrations(db, "migrations", table=User, progress=show)
    assert_type(await migrations.up(3, dry_run=True, limit=10), list[Outcome])
    assert_type(await migrations.down("0001_a", unfinished=True), list[Outcome])
    assert_type(await migrations.status(), Status)
    assert_type(migrations.sync.up(wait=60), list[Outcome])
    assert_type(migrations.sync.status().migrations[0].state == "pending", bool)
