"""Tables: their settings, plans, and what changes them."""

from __future__ import annotations

from typing import Any, assert_type

from lift_dynamorm import Database, OnDemand, Provisioned, Table, TableSettings
from lift_dynamorm.tables import ApplyProgress, Drop, LiveTable, Plan, Refusal, Step, SyncTables, Tables, TableSpec

from .models import Note, User


def settings() -> None:
    said = TableSettings(
        capacity=Provisioned(5, 5),
        index_capacity={"by_team": Provisioned(read=1, write=2)},
        table_class="STANDARD",
        stream="NEW_AND_OLD_IMAGES",
        point_in_time_recovery=7,
        encryption="AWS_MANAGED",
        deletion_protection=True,
        tags={"team": "core"},
        contributor_insights=False,
        resource_policy={"Version": "2012-10-17", "Statement": []},
    )
    assert_type(TableSettings(capacity=OnDemand(max_read=5, max_write=None), stream=False), TableSettings)
    assert_type(Table("app", settings=said), Table)
    assert_type(Database("local://", table_settings=said), Database)
    assert_type(Database("local://", table_settings={"app": said}), Database)
    TableSettings(stream="ALL")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TableSettings(capacity=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Database(table_settings="app")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def tables(db: Database) -> None:
    async def tell(progress: ApplyProgress) -> None:
        assert_type(progress.step, Step)
        assert_type(progress.state, str)

    found = db.tables(User, Note)
    assert_type(found, Tables)
    assert_type(found.specs, tuple[TableSpec, ...])
    plan = await found.plan(drop=["app.by_team"])
    assert_type(plan, Plan)
    assert_type(plan.steps, tuple[Step, ...])
    assert_type(plan.drops, tuple[Drop, ...])
    assert_type(plan.refused, tuple[Refusal, ...])
    assert_type(plan.in_the_way, tuple[Drop | Refusal, ...])
    assert_type(plan.as_json(), dict[str, Any])
    assert_type(await found.apply(plan, drop=["app.by_team"], progress=tell, timeout=1.5), Plan)
    assert_type(await found.describe(), list[LiveTable])
    await found.ensure(timeout=None)
    await found.create(timeout=5)
    await found.wait(timeout=5)
    await found.delete("app", timeout=5)
    db.tables(str)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def sync_tables(db: Database) -> None:
    found = db.sync.tables(User)
    assert_type(found, SyncTables)
    assert_type(found.plan(drop=()), Plan)
    assert_type(found.apply(progress=lambda progress: None), Plan)
    assert_type(found.describe()[0].spec, TableSpec)
    found.ensure()
    found.create()
    found.wait()
    found.delete("app")
