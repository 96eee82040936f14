"""The step that changes data: every item of a model, of all tenants, once, while the app goes on writing."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from lift_dynamorm.errors import MigrationFailed, RequestRefused, UsageError
from lift_dynamorm.migrations.journal import failed_at
from lift_dynamorm.migrations.preview import preview
from lift_dynamorm.migrations.progress import Progress
from lift_dynamorm.migrations.rewrite import MOST_WRITES, Rewriter
from lift_dynamorm.model import Model
from lift_dynamorm.operations.concurrency import Race
from lift_dynamorm.operations.scan import Pace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from lift_dynamorm.expressions import Expression
    from lift_dynamorm.migrations.rewrite import Rewrite
    from lift_dynamorm.migrations.steps import State, Work
    from lift_dynamorm.operations.write import Write
    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]

M = TypeVar("M", bound=Model)

MAX_SWEEPS = 10
PAGE = 1000
"""How many items a segment reads at once, transforms, and then tells of."""
_SAVE_EVERY = 1.0
_MAX_BYTES = 3_000_000  # of the 4 MB of a transaction; the rest is for names and conditions
_MOST_FAILURES = 20  # in a row, of an item that has not changed
_OPERATIONS = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}


class Transform:
    """Put what a function makes of them in the place of a model's items, of all tenants.

    function: gets an instance of `source`, and returns what stands in its place: a model, of this class or another;
    None to leave the item as it is; a list of models, [] to delete it. It may be async. Hooks are not called. It may be
    called more than once for an item, as when somebody writes the item meanwhile: only what it returned last is stored.
    where: which items are still to be transformed; the function makes it false. Then each item is one conditional
    write, and at the end the table is swept until no such item is found, for those that old code stored meanwhile;
    sweep=False leaves that out. Without `where` the items are written in transactions that hold the checkpoint too.
    claim: claim the values of `Unique` fields also where they do not change, for items stored before they were unique.
    segments: how many parts of the table are worked on at once. read_units, write_units: how many to take a second.
    """

    def __init__(
        self,
        source: type[M],
        function: Callable[[M], Model | Sequence[Model] | Awaitable[Model | Sequence[Model] | None] | None],
        *,
        where: Expression | None = None,
        sweep: bool = True,
        claim: bool = False,
        segments: int = 8,
        read_units: float | None = None,
        write_units: float | None = None,
        name: str | None = None,
    ) -> None:
        if type(segments) is not int or segments < 1:
            raise UsageError(f"Transform(segments={segments!r}): give a whole number from 1")
        for what, units in (("read_units", read_units), ("write_units", write_units)):
            if units is not None and not units > 0:
                raise UsageError(f"Transform({what}={units!r}): give a number above 0, the units a second")
        if claim and where is not None:
            raise UsageError(
                "Transform(claim=True) changes no attribute, so no `where` tells what is done: leave it out"
            )
        self.source = source
        self.function = function
        self.where = where
        self.sweep = sweep
        self.claim = claim
        self.segments = segments
        self.read_units = read_units
        self.write_units = write_units
        self.name: str = name or f"Transform({source.__name__}, {getattr(function, '__name__', 'function')})"

    async def run(self, work: Work) -> None:
        await _Run(self, work).run()

    async def preview(self, work: Work) -> str:
        return await preview(self.name, self.rewriter(work), work)

    def rewriter(self, work: Work) -> Rewriter:
        """Make the one who transforms items for this step."""
        context = work.session.context()
        return Rewriter(context, self.source, self.function, self.where, claim=self.claim, migration=work.migration)


@dataclass(slots=True)
class _Counts:
    scanned: int = 0
    transformed: int = 0
    left: int = 0
    retried: int = 0


@dataclass(slots=True)
class _Segment:
    """How far a segment has come. at: the key after which it goes on, {} at its beginning, None at its end.

    found: something was transformed in this sweep, or is about to be: it is saved before that.
    """

    number: int
    sweep: int = 0
    at: Item | None = field(default_factory=dict)
    found: bool = False
    counts: _Counts = field(default_factory=_Counts)
    saved: float = 0.0
    most: int = MOST_WRITES

    @property
    def part(self) -> str:
        return str(self.number)

    def state(self, at: Item | None) -> State:
        counts = [self.counts.scanned, self.counts.transformed, self.counts.left, self.counts.retried]
        return {"sweep": self.sweep, "at": at, "found": self.found, "counts": counts}

    def again(self, sweep: int) -> _Segment:
        """Begin a new sweep of it."""
        return _Segment(self.number, sweep, counts=self.counts, most=self.most)


@dataclass(slots=True)
class _Waiting:
    """An item whose turn is to come. rewrite: what is to be done about it, once that is known."""

    key: Item
    item: Item | None
    rewrite: Rewrite | None = None
    known: bool = False
    failures: int = 0


class _Run:
    """One run of a transform, of its first or, after a crash, of what is left."""

    def __init__(self, step: Transform, work: Work) -> None:
        self.step = step
        self.work = work
        self.context = work.session.context()
        self.rewriter = step.rewriter(work)
        self.schema: Schema[Any] = self.rewriter.source
        self.table = self.context.table(self.schema)
        self.segments: list[_Segment] = []
        sleep = work.transport.sleep
        self.read_pace = Pace(step.read_units, sleep) if step.read_units is not None else None
        self.write_pace = Pace(step.write_units, sleep) if step.write_units is not None else None
        self.read = self.written = 0.0
        self.total: int | None = None
        self.begun = time.monotonic()
        self.before = 0
        self.sweep = 0

    async def run(self) -> None:
        await self._open()
        first = self.sweep
        while True:
            await self._pass()
            if self.step.where is None or not self.step.sweep or not any(s.found for s in self.segments):
                return
            self.sweep += 1
            if self.sweep > first + MAX_SWEEPS:
                raise MigrationFailed(
                    f"{self.work.migration}: {self.step.name}: each of {MAX_SWEEPS} sweeps found items that were "
                    "stored meanwhile in the old form. First deploy code that stores the new one, then run up() again"
                )
            self.segments = [segment.again(self.sweep) for segment in self.segments]

    async def _open(self) -> None:
        work = self.work
        count = (work.state or {}).get("segments", self.step.segments)
        if work.state is None:
            await work.save({"segments": count})
        for number in range(count):
            state = await work.open(str(number))
            segment = _Segment(number)
            if state is not None:
                counts = _Counts(*state["counts"])
                segment = _Segment(number, state["sweep"], state["at"], state["found"], counts)
            self.segments.append(segment)
        self.sweep = max(segment.sweep for segment in self.segments)
        self.segments = [s if s.sweep == self.sweep else s.again(self.sweep) for s in self.segments]
        self.before = sum(segment.counts.scanned for segment in self.segments)
        described = await self.context.send("DescribeTable", {"TableName": self.table})
        self.total = described["Table"].get("ItemCount")

    async def _pass(self) -> None:
        """Work through what is left of every segment, as many at once as there are."""
        waiting = deque(segment for segment in self.segments if segment.at is not None)
        async with Race[_Segment](len(self.segments), blocking=self.work.blocking) as race:
            while waiting or race:
                if self.read_pace is not None and not race:
                    await self.read_pace.wait(None)
                while waiting and (not race or self.read_pace is None or self.read_pace.debt <= 0):
                    race.start(self._page(waiting.popleft()))
                segment = await race.first()
                if segment.at is not None:
                    waiting.append(segment)
                await self.work.report(self._progress())

    def _progress(self) -> Progress:
        counts = [segment.counts for segment in self.segments]
        return Progress(
            self.work.migration,
            self.step.name,
            scanned=sum(c.scanned for c in counts),
            transformed=sum(c.transformed for c in counts),
            left=sum(c.left for c in counts),
            retried=sum(c.retried for c in counts),
            total=self.total,
            read_units=self.read,
            write_units=self.written,
            segments=len(self.segments),
            segments_done=sum(segment.at is None for segment in self.segments),
            sweep=self.sweep,
            scanned_before=self.before,
            seconds=time.monotonic() - self.begun,
        )

    # -- a page --------------------------------------------------------------------------------------------------------

    async def _page(self, segment: _Segment) -> _Segment:
        """Read a page of a segment, and transform what is on it."""
        self.work.check()
        request = {**self.rewriter.request(self.table), "Limit": PAGE}
        request["ConsistentRead"] = self.step.where is None or self.sweep > 0 or not self.step.sweep
        if len(self.segments) > 1:
            request |= {"Segment": segment.number, "TotalSegments": len(self.segments)}
        if segment.at:
            request["ExclusiveStartKey"] = segment.at
        if self.read_pace is not None:
            request["Limit"] = min(PAGE, self.read_pace.items(len(self.segments)))
        answer = await self.context.send("Scan", request)
        units = _units(answer)
        self.read += units
        if self.read_pace is not None:
            self.read_pace.spend(units, answer["ScannedCount"])
        mine = [item for item in answer["Items"] if self.rewriter.prefix_of(item) is not None]
        segment.counts.scanned += answer["ScannedCount"]
        waiting = deque(_Waiting(self.schema.key_of_item(item), item) for item in mine)
        last = answer.get("LastEvaluatedKey")
        if self.step.where is not None:
            await self._one_by_one(segment, waiting)
        elif waiting:
            await self._together(segment, waiting, last)
        ended = last is None and segment.at is not None
        segment.at = last
        if ended or time.monotonic() - segment.saved >= _SAVE_EVERY:
            await self._save(segment, last)
        return segment

    async def _save(self, segment: _Segment, at: Item | None) -> None:
        await self.work.save(segment.state(at), segment.part)
        segment.at, segment.saved = at, time.monotonic()

    async def _read_again(self, waiting: _Waiting) -> None:
        """Look at an item again that was written by somebody since it was read."""
        request = {"TableName": self.table, "Key": waiting.key, "ConsistentRead": True}
        request["ReturnConsumedCapacity"] = "TOTAL"
        answer = await self.context.send("GetItem", request)
        self.read += _units(answer)
        item = answer.get("Item")
        waiting.failures = waiting.failures + 1 if item == waiting.item else 0
        if waiting.failures > _MOST_FAILURES:
            raise MigrationFailed(
                f"{self.work.migration}: the condition on the {self.schema.name} {waiting.key} does not hold, though "
                "the item is what was read; please report this"
            )
        waiting.item, waiting.rewrite, waiting.known = item, None, False

    async def _plan(self, waiting: _Waiting) -> Rewrite | None:
        if not waiting.known:
            waiting.rewrite = await self.rewriter.rewrite(waiting.item) if waiting.item else None
            waiting.known = True
        return waiting.rewrite

    async def _write(self, operation: str, payload: dict[str, Any]) -> None:
        self.work.check()
        if self.write_pace is not None:
            await self.write_pace.wait(None)
        answer = await self.context.send(operation, {**payload, "ReturnConsumedCapacity": "TOTAL"})
        units = _units(answer)
        self.written += units
        if self.write_pace is not None:
            self.write_pace.spend(units, 1)

    # -- with `where`: an item at a time -------------------------------------------------------------------------------

    async def _one_by_one(self, segment: _Segment, items: deque[_Waiting]) -> None:
        counts = segment.counts
        for waiting in items:
            maybe = False  # an answer was lost, and the item may be written
            while (rewrite := await self._plan(waiting)) is not None:
                if not segment.found:
                    segment.found = True
                    await self._save(segment, segment.at)
                try:
                    await self._send(rewrite)
                except RequestRefused as error:
                    failed = failed_at(error)
                    if failed is None and not _conflicts(error):
                        raise
                    maybe = maybe or error.maybe_applied
                    self._check_refused(waiting, rewrite.writes, error, 0)
                    counts.retried += 1
                    await self._read_again(waiting)
                else:
                    maybe = True
                    break
            counts.transformed += maybe
            counts.left += not maybe
            if time.monotonic() - segment.saved >= _SAVE_EVERY:
                await self._save(segment, waiting.key)

    async def _send(self, rewrite: Rewrite) -> None:
        if len(rewrite.entries) == 1:
            ((action, payload),) = rewrite.entries[0].items()
            await self._write(_OPERATIONS[action], payload)
        else:
            await self._transact(rewrite.entries)

    async def _transact(self, entries: Sequence[dict[str, Any]]) -> None:
        await self._write("TransactWriteItems", {"TransactItems": list(entries), "ClientRequestToken": str(uuid4())})

    def _check_refused(self, waiting: _Waiting, writes: Sequence[Write], error: RequestRefused, first: int) -> None:
        """Raise where an item is what was read, but what goes with it is refused: its new place, or a unique value."""
        failed = failed_at(error) or set()
        if first in failed:
            return
        for number, write in enumerate(writes, first):
            if number in failed and waiting.item is not None:
                current = error.answer["CancellationReasons"][number].get("Item")
                raise self.rewriter.refused(waiting.item, write, current)

    # -- without: together with the checkpoint -------------------------------------------------------------------------

    async def _together(self, segment: _Segment, items: deque[_Waiting], last: Item | None) -> None:
        conflicts = 0
        while items:
            chunk = await self._chunk(segment, items)
            at = chunk[-1].key if items else last
            rewrites = [waiting.rewrite for waiting in chunk if waiting.rewrite is not None]
            counts = replace(segment.counts, left=segment.counts.left + len(chunk) - len(rewrites))
            counts.transformed += len(rewrites)
            if rewrites:
                entries = [self.work.checkpoint(replace(segment, counts=counts).state(at), segment.part)]
                entries += [entry for rewrite in rewrites for entry in rewrite.entries]
                try:
                    await self._transact(entries)
                except RequestRefused as error:
                    conflicts += 1
                    if failed_at(error) is None and (not _conflicts(error) or conflicts > _MOST_FAILURES):
                        raise
                    await self._look_again(segment, chunk, error)
                    items.extendleft(reversed(chunk))
                    continue
                conflicts = 0
                segment.at, segment.saved = at, time.monotonic()
                segment.most = min(MOST_WRITES, segment.most * 2)
            segment.counts = counts

    async def _chunk(self, segment: _Segment, items: deque[_Waiting]) -> list[_Waiting]:
        """Take as many items as one transaction can write."""
        chunk: list[_Waiting] = []
        touched: set[Any] = set()
        size = 0
        while items:
            rewrite = await self._plan(items[0])
            if rewrite is not None:
                fits = len(touched) + len(rewrite.writes) <= segment.most and size + rewrite.size <= _MAX_BYTES
                if touched and (not fits or touched & rewrite.touches):
                    break
                touched |= rewrite.touches
                size += rewrite.size
            chunk.append(items.popleft())
        return chunk

    async def _look_again(self, segment: _Segment, chunk: Sequence[_Waiting], error: RequestRefused) -> None:
        """Read those items again that somebody has written; fewer at once make it less likely."""
        failed = failed_at(error) or set()
        if 0 in failed:
            raise self.work.lost()
        first = 1
        for waiting in chunk:
            writes = waiting.rewrite.writes if waiting.rewrite is not None else ()
            if not failed.isdisjoint(range(first, first + len(writes))):
                self._check_refused(waiting, writes, error, first)
                segment.counts.retried += 1
                await self._read_again(waiting)
            first += len(writes)
        segment.most = max(1, segment.most // 2)


def _units(answer: Mapping[str, Any]) -> float:
    reported: Any = answer.get("ConsumedCapacity") or []
    entries = reported if isinstance(reported, list) else [reported]
    return float(sum(entry.get("CapacityUnits", 0.0) for entry in entries))


def _conflicts(error: RequestRefused) -> bool:
    """Tell whether another transaction was writing one of the items."""
    reasons = error.answer.get("CancellationReasons") or ()
    return error.code == "TransactionConflictException" or any(
        reason.get("Code") == "TransactionConflict" for reason in reasons
    )
