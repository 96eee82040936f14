"""Bring tables to what their models say, one change after the other."""

from __future__ import annotations

import inspect
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lift_dynamorm.errors import DeadlineExceeded, RequestRefused, TableError, TablesDiffer
from lift_dynamorm.tables.live import read_table
from lift_dynamorm.tables.plan import asked_settings, next_step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from lift_dynamorm.tables.live import LiveTable
    from lift_dynamorm.tables.plan import Step
    from lift_dynamorm.tables.specification import TableSpec
    from lift_dynamorm.transport.retry import RetryTransport

_PATIENCE = 60.0
"""Seconds after which a change that was accepted has to show."""

_HOUR = 4000.0
"""Seconds, a little more than an hour: the time for which DynamoDB may refuse a second change of the time to live."""

_BACKUPS = 600.0
"""Seconds for which a new table may refuse point in time recovery, while its backups are being made possible."""

_WITH_CREATION = ("tags", "resource policy")
"""What a table is created with, and may show some seconds later, or on an emulator not at all."""

_AGAIN = 1.0
"""Seconds for which an invalid change is looked at again: somebody else may have made it just now."""

_LOST = ("INACCESSIBLE_ENCRYPTION_CREDENTIALS", "ARCHIVING", "ARCHIVED", "REPLICATION_NOT_AUTHORIZED")


@dataclass(frozen=True, slots=True)
class ApplyProgress:
    """What `apply` is about: a step that is `sent`, is waited for (`waiting`, for what in `detail`), is `done`."""

    step: Step
    state: str
    detail: str = ""


class Apply:
    """One run of a plan: it looks anew at a table before each step, so a run that was cut short is simply run again.

    timeout: seconds for all of it, None for as long as it takes; an index of a large table takes hours.
    approved: the steps that may be taken, None for all.
    """

    def __init__(
        self,
        transport: RetryTransport,
        *,
        drop: Collection[str] = (),
        approved: Sequence[Step] | None = None,
        progress: Callable[[ApplyProgress], Awaitable[None] | None] | None = None,
        timeout: float | None = None,
    ) -> None:
        self._transport = transport
        self._drop = drop
        self._approved = approved
        self._progress = progress
        self._give_up = time.monotonic() + timeout if timeout is not None else None
        self._timeout = timeout
        self.done: list[Step] = []

    async def run(self, specs: Sequence[TableSpec]) -> None:
        """Take every step of every table; several tables are changed at a time.

        Raises DeadlineExceeded after the timeout, TableError where a change was accepted but does not come, and what
        DynamoDB refuses.
        """
        under_way = [_Table(spec) for spec in specs]
        pause = 0.05
        while under_way:
            moved = False
            for table in list(under_way):
                before = table.sent
                if await self._advance(table):
                    under_way.remove(table)
                moved = moved or table.sent is not before
            if not under_way:
                return
            if self._give_up is not None and time.monotonic() > self._give_up:
                waits = "; ".join(
                    f"{table.spec.name}: {table.busy or table.waits or 'more to do'}" for table in under_way
                )
                raise DeadlineExceeded(
                    f"the tables are not ready after {self._timeout:.0f} seconds ({waits}); run it again, it goes on "
                    "where it is",
                    operation="UpdateTable",
                )
            if not moved:
                await self._transport.sleep(pause)
            pause = 0.05 if moved else min(pause * 1.5, 5.0)

    async def _advance(self, table: _Table) -> bool:
        """Take a table one step further; True where it has arrived."""
        spec = table.spec
        live = await look(self._transport, spec)
        if live is not None and live.status in _LOST:
            raise TableError(f"the table {spec.name!r} is {live.status}, and cannot be changed")
        if live is not None and live.busy:
            table.busy = live.busy
            if table.sent is not None:
                await self._tell(table.sent, "waiting", table.busy)
            return False
        table.busy = ""
        step = self._next(table, live)
        if table.sent is not None and step != table.sent:
            self.done.append(table.sent)
            await self._tell(table.sent, "done")
            table.sent = None
        if step is None:
            return True
        if step != table.refused:
            table.refused, table.waits = None, ""
        if table.sent is not None:
            if time.monotonic() > table.sent_at + _PATIENCE:
                raise TableError(
                    f"{step}: DynamoDB accepted this, and after {_PATIENCE:.0f} seconds the table does not show it"
                )
            return False
        await self._take(table, step)
        return False

    def _next(self, table: _Table, live: LiveTable | None) -> Step | None:
        step = next_step(table.spec, live, self._drop)
        if step is None or self._approved is None or step in self._approved:
            return step
        if table.created and step.kind in _WITH_CREATION:
            return step
        raise TablesDiffer(f"{step}: this was not in the plan; the table has changed since. Plan anew")

    async def _take(self, table: _Table, step: Step) -> None:
        if not table.waits:
            await self._tell(step, "sent")
        try:
            for operation, payload in step.requests:
                await self._transport.send(operation, payload)
        except RequestRefused as error:
            if not error.maybe_applied:  # else the next look at the table tells
                await self._refused(table, step, error)
                return
        table.waits, table.sent, table.sent_at = "", step, time.monotonic()
        table.created = table.created or step.kind == "create table"

    async def _refused(self, table: _Table, step: Step, error: RequestRefused) -> None:
        """Take a refusal that passes with time for a reason to wait, and raise any other."""
        passes = _passes(step, error)
        if table.refused is None:
            table.refused, table.sent_at = step, time.monotonic()
        if time.monotonic() >= table.sent_at + passes:
            for note in step.notes:
                error.add_note(note)
            raise error
        table.waits = str(error)
        await self._tell(step, "waiting", table.waits)

    async def _tell(self, step: Step, state: str, detail: str = "") -> None:
        if self._progress is not None:
            told = self._progress(ApplyProgress(step, state, detail))
            if inspect.isawaitable(told):
                await told


class _Table:
    """A table on its way.

    sent: the step that was accepted last, None once it shows. sent_at: when, or since when it is refused.
    busy: what the table is about. refused, waits: the step that is refused for now, and why.
    created: it was made in this run.
    """

    def __init__(self, spec: TableSpec) -> None:
        self.spec = spec
        self.sent: Step | None = None
        self.sent_at = 0.0
        self.busy = ""
        self.refused: Step | None = None
        self.waits = ""
        self.created = False


async def look(transport: RetryTransport, spec: TableSpec) -> LiveTable | None:
    """Read what a table is, as far as `spec` says something of it."""
    return await read_table(transport, spec.name, frozenset(asked_settings(spec)))


def _passes(step: Step, error: RequestRefused) -> float:
    """Tell for how many seconds a refusal is worth waiting for to pass; 0 for one that stays."""
    if step.kind == "time to live" and "multiple times" in str(error):
        return _HOUR
    if error.code == "ResourceInUseException":
        return _PATIENCE
    if error.code == "ValidationException":
        return _AGAIN
    if error.code == "ContinuousBackupsUnavailableException":
        return _BACKUPS
    if error.code == "LimitExceededException" and step.kind in ("create table", "create index", "drop index"):
        return _HOUR  # so many tables and indexes can be made at a time
    return 0.0
