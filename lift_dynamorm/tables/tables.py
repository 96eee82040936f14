"""The tables of some models: planned, made, changed, described, deleted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lift_dynamorm.errors import DeadlineExceeded, RequestRefused, TableError, TablesDiffer, UsageError
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.tables.apply import Apply, look
from lift_dynamorm.tables.live import read_table
from lift_dynamorm.tables.plan import COMPLETING, Plan, plan
from lift_dynamorm.tables.specification import specifications

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from lift_dynamorm.database import Database
    from lift_dynamorm.model import Model
    from lift_dynamorm.tables.apply import ApplyProgress
    from lift_dynamorm.tables.live import LiveTable
    from lift_dynamorm.tables.specification import TableSpec
    from lift_dynamorm.transport.retry import RetryTransport

    Report = Callable[[ApplyProgress], Awaitable[None] | None]


class Tables:
    """The tables that models live in, of one database. Made by `Database.tables`; raises DefinitionError where models
    that share a table do not fit together.

    specs: what each table should be.
    """

    def __init__(self, database: Database, transport: RetryTransport, models: tuple[type[Model], ...]) -> None:
        self._transport = transport
        self.specs: tuple[TableSpec, ...] = specifications(models, database.table_name, database.table_settings)

    async def plan(self, *, drop: Collection[str] = ()) -> Plan:
        """Tell what there is to do for the tables to be as the models say; a plan that is empty is false.

        drop: what may be dropped, by the names that an earlier plan gives: ``app.by_old``.
        """
        return plan([(spec, await look(self._transport, spec)) for spec in self.specs], drop)

    async def apply(
        self,
        approved: Plan | None = None,
        *,
        drop: Collection[str] = (),
        progress: Report | None = None,
        timeout: float | None = None,
    ) -> Plan:
        """Make the tables what the models say, and return what was done.

        Run again after it was cut short, it goes on where the tables are. approved: take the steps of this plan only.
        drop: see `plan`. progress: is told of each step. timeout: seconds for all of it, None for as long as it takes.
        Raises TablesDiffer, before anything is changed, where the tables cannot become what the models say (what can
        never change, what would have to be dropped), or where a step is not in the plan; DeadlineExceeded after the
        timeout.
        """
        now = await self.plan(drop=drop)
        if now.in_the_way:
            raise TablesDiffer("; ".join(map(str, now.in_the_way)), now)
        if approved is not None:
            unknown = [step for step in now.steps if step not in approved.steps]
            if unknown:
                raise TablesDiffer(f"{unknown[0]}: this was not in the plan; the tables have changed. Plan anew", now)
        run = Apply(
            self._transport,
            drop=drop,
            approved=approved.steps if approved is not None else None,
            progress=progress,
            timeout=timeout,
        )
        await run.run(self.specs)
        return Plan(tuple(run.done), now.drops)

    async def ensure(self, *, timeout: float | None = 300.0) -> None:
        """Create the tables that do not exist, and see that the others are as the models say.

        Of a table that is there it turns on, where it is off, what a new table is given behind its creation, for that
        may have been cut short: time to live, point in time recovery, insights, a policy. Any other difference is a
        TablesDiffer, before anything is created; `apply` changes it. An index that is in no model is no difference.
        """
        now = await self.plan()
        made = {step.table for step in now.steps if step.kind == "create table"}
        completing = [step for step in now.steps if step.kind in COMPLETING and step.adds]
        differ = [step for step in now.steps if step.table not in made and step not in completing]
        if now.in_the_way or differ:
            listed = "; ".join(map(str, (*differ, *now.in_the_way)))
            raise TablesDiffer(f"the tables are not as the models say: {listed}. apply() changes what can be", now)
        await Apply(self._transport, approved=now.steps, timeout=timeout).run(self.specs)

    async def create(self, *, timeout: float | None = 300.0) -> None:
        """Create the tables. Raises TableError, before anything is created, where one exists."""
        there = [spec.name for spec in self.specs if await read_table(self._transport, spec.name, ()) is not None]
        if there:
            raise TableError(f"{', '.join(there)}: there already; ensure() creates what is missing")
        await self.ensure(timeout=timeout)

    async def describe(self) -> list[LiveTable]:
        """Read what the tables are, with all settings that DynamoDB tells; those that do not exist are left out."""
        found = [await read_table(self._transport, spec.name) for spec in self.specs]
        return [live for live in found if live is not None]

    async def wait(self, *, timeout: float | None = 300.0) -> None:
        """Wait until every table exists, and it and its indexes can be used. Raises DeadlineExceeded."""

        async def unready() -> list[str]:
            found = [(spec.name, await read_table(self._transport, spec.name, ())) for spec in self.specs]
            waits = [(name, live.busy if live is not None else "there is no such table") for name, live in found]
            return [f"{name}: {why}" for name, why in waits if why]

        await self._until(unready, timeout)

    async def delete(self, *names: str, timeout: float | None = 300.0) -> None:
        """Delete tables with all that is in them, and wait until they are gone; those that do not exist are gone.

        names: which, as DynamoDB calls them. Raises UsageError where one is none of these models', and TableError where
        one is protected against deletion.
        """
        known = [spec.name for spec in self.specs]
        if not names or set(names) - set(known):
            raise UsageError(
                f"delete{names!r}: name the tables to delete; of these models there are {', '.join(known)}"
            )
        live = {name: await read_table(self._transport, name, ()) for name in dict.fromkeys(names)}
        for name, table in live.items():
            if table is not None and table.spec.settings.deletion_protection:
                raise TableError(
                    f"{name}: it is protected against deletion; take the protection off first: "
                    "TableSettings(deletion_protection=False), and apply"
                )
        for name in live:
            try:
                await self._transport.send("DeleteTable", {"TableName": name})
            except RequestRefused as error:
                if error.code != "ResourceNotFoundException":
                    raise

        async def there() -> list[str]:
            return [name for name in live if await read_table(self._transport, name, ()) is not None]

        await self._until(there, timeout)

    async def _until(self, waits: Callable[[], Awaitable[list[str]]], timeout: float | None) -> None:
        give_up = time.monotonic() + timeout if timeout is not None else None
        pause = 0.05
        while reasons := await waits():
            if give_up is not None and time.monotonic() > give_up:
                raise DeadlineExceeded(f"after {timeout:.0f} seconds: {'; '.join(reasons)}", operation="DescribeTable")
            await self._transport.sleep(pause)
            pause = min(pause * 1.5, 5.0)


class SyncTables:
    """The tables that models live in; see `Tables`."""

    __slots__ = ("_tables", "specs")

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.specs: tuple[TableSpec, ...] = tables.specs

    def plan(self, *, drop: Collection[str] = ()) -> Plan:
        """Tell what there is to do; see `Tables.plan`."""
        return drive(self._tables.plan(drop=drop))

    def apply(
        self,
        approved: Plan | None = None,
        *,
        drop: Collection[str] = (),
        progress: Callable[[ApplyProgress], None] | None = None,
        timeout: float | None = None,
    ) -> Plan:
        """Make the tables what the models say; see `Tables.apply`."""
        return drive(self._tables.apply(approved, drop=drop, progress=progress, timeout=timeout))

    def ensure(self, *, timeout: float | None = 300.0) -> None:
        """Create the tables that do not exist, and verify the others; see `Tables.ensure`."""
        drive(self._tables.ensure(timeout=timeout))

    def create(self, *, timeout: float | None = 300.0) -> None:
        """Create the tables; see `Tables.create`."""
        drive(self._tables.create(timeout=timeout))

    def describe(self) -> list[LiveTable]:
        """Read what the tables are; see `Tables.describe`."""
        return drive(self._tables.describe())

    def wait(self, *, timeout: float | None = 300.0) -> None:
        """Wait until the tables can be used; see `Tables.wait`."""
        drive(self._tables.wait(timeout=timeout))

    def delete(self, *names: str, timeout: float | None = 300.0) -> None:
        """Delete tables by name; see `Tables.delete`."""
        drive(self._tables.delete(*names, timeout=timeout))
