"""A step of a migration, what it is handed to work with, and the steps that bring no machinery of their own."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Protocol

from lift_dynamorm.errors import UsageError
from lift_dynamorm.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from lift_dynamorm.database import Database
    from lift_dynamorm.errors import LeaseLost
    from lift_dynamorm.migrations.journal import Lease
    from lift_dynamorm.migrations.progress import Progress
    from lift_dynamorm.model import Model
    from lift_dynamorm.session import Session
    from lift_dynamorm.transport.retry import RetryTransport

State = dict[str, Any]
"""A checkpoint: what JSON can hold; items and keys in wire form are."""


class Step(Protocol):
    """One thing a migration does.

    name: unique within its migration; the checkpoints are kept under it.
    """

    @property
    def name(self) -> str: ...

    async def run(self, work: Work) -> None:
        """Do it. May be called again after a crash, with the state last saved; not again once it has returned."""
        ...

    async def preview(self, work: Work) -> str:
        """Say what `run` would do, and write nothing. What it would fail with is counted: ``work.failed += 1``."""
        ...


class Work:
    """What a step works with.

    transport: for requests in wire form. session: outside of every tenant; await its verbs, also in a sync migration,
    where they never suspend; `session.sync` is for code that cannot await. blocking: there may be no event loop.
    migration: number and name, ``0003_full_names``. state: this step's checkpoint, None at its first run.
    limit: about how many items a preview may read, None for all. failed: at how many items, or otherwise, `run` would
    fail, as far as its preview has found; refused: that is because tables cannot become what the models say.
    """

    def __init__(
        self,
        database: Database,
        session: Session,
        *,
        blocking: bool,
        migration: str,
        step: str,
        lease: Lease | None = None,
        report: Callable[[Progress], Awaitable[None] | None] | None = None,
        limit: int | None = None,
        saved: Callable[[str], Awaitable[State | None]] | None = None,
    ) -> None:
        self.database = database
        self.session = session
        self.transport: RetryTransport = database.transport.blocking if blocking else database.transport
        self.blocking = blocking
        self.migration = migration
        self.step = step
        self.limit = limit
        self.failed = 0
        self.refused = False
        self.state: State | None = None
        self._saved = saved
        self._lease = lease
        self._report = report

    async def open(self, part: str) -> State | None:
        """Take over the checkpoint of a part of the step, such as a segment. Returns its state, None for a new one.

        From then on nobody who had the lease before can write it. Once for each part and run, before `save`.
        """
        return await self._held().open(part)

    async def save(self, state: State, part: str = "") -> None:
        """Keep a state for when the step is resumed; `LeaseLost` where another runner has taken over.

        part: of an opened part; "" is the step's own, `state`.
        """
        await self._held().save(part, state)
        if not part:
            self.state = state

    async def saved(self, part: str) -> State | None:
        """Read, in a preview, what the run that was cut short has saved for a part; None where it has saved nothing."""
        return await self._saved(part) if self._saved is not None else None

    def checkpoint(self, state: State, part: str = "") -> dict[str, Any]:
        """Give the entry of a TransactWriteItems that saves a state, and fails the transaction once the lease is lost.

        Each part is an item of its own, so transactions of several parts do not conflict. Where this entry's condition
        fails, raise `lost()`.
        """
        return self._held().checkpoint(part, state)

    def fence(self) -> dict[str, Any]:
        """Give the entry of a TransactWriteItems that fails the transaction once the lease is lost.

        There is one lease: transactions under way at once that all hold this entry conflict. Prefer `checkpoint`.
        """
        return self._held().fence()

    def check(self) -> None:
        """Raise `LeaseLost` where the lease is known to be lost, or could not be renewed in time."""
        self._held().check()

    async def report(self, progress: Progress) -> None:
        """Tell how far the step has come."""
        if self._report is not None:
            told = self._report(progress)
            if inspect.isawaitable(told):
                await told

    def lost(self) -> LeaseLost:
        """Give the error to raise where `checkpoint` or `fence` made a transaction fail; write nothing more."""
        return self._held().lost()

    def _held(self) -> Lease:
        if self._lease is None:
            raise UsageError(f"{self.migration}: {self.step}: a dry run saves nothing, and holds no lease")
        return self._lease


class ApplyTables:
    """Make the tables of models what the models say: tables, indexes, times to live.

    drop: what may be dropped, by the names that a dry run gives: ``app.by_old``. Nothing else is taken away.
    """

    def __init__(self, *models: type[Model], drop: Collection[str] = (), name: str | None = None) -> None:
        if not models:
            raise UsageError("ApplyTables() takes the models whose tables it applies: ApplyTables(User, Order)")
        self.models = models
        self.drop = drop
        self.name: str = name or f"ApplyTables({', '.join(model.__name__ for model in models)})"

    async def run(self, work: Work) -> None:
        await self._tables(work).apply(drop=self.drop, progress=lambda _: work.check())

    async def preview(self, work: Work) -> str:
        plan = await self._tables(work).plan(drop=self.drop)
        if plan.in_the_way:
            work.failed, work.refused = len(plan.in_the_way), True
            would = "\n".join(f"  would fail: {one}" for one in plan.in_the_way)
            return f"{self.name}: nothing would be done\n{would}"
        return f"{self.name}: {plan}"

    def _tables(self, work: Work) -> Tables:
        return Tables(work.database, work.transport, self.models)


class Run:
    """Call a function of `Work`, async or not.

    It must be idempotent: after a crash it is called again. To go on from where it was, it reads ``work.state`` and
    calls ``await work.save({...})``; what must not happen twice, it sends in one transaction with
    ``work.checkpoint({...})``.
    """

    def __init__(self, function: Callable[[Work], Awaitable[None] | None], *, name: str | None = None) -> None:
        self.function = function
        self.name: str = name or f"Run({getattr(function, '__name__', type(function).__name__)})"

    async def run(self, work: Work) -> None:
        done = self.function(work)
        if inspect.isawaitable(done):
            await done

    async def preview(self, work: Work) -> str:
        about = (inspect.getdoc(self.function) or "what it does is not known").splitlines()[0]
        return f"{self.name}: {about}"
