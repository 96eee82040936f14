"""The step that copies a model's items to another table while the old one is still written to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import uuid4

from lift_dynamorm.errors import ChangesLost, CopyDiffers, MigrationError, RequestRefused, UsageError
from lift_dynamorm.migrations.comparison import Comparison
from lift_dynamorm.migrations.conversion import Conversion, Function, Keys
from lift_dynamorm.migrations.follower import Follower, Writer
from lift_dynamorm.migrations.handover import hand_over
from lift_dynamorm.migrations.preview import EXAMPLES
from lift_dynamorm.migrations.progress import Progress
from lift_dynamorm.migrations.tour import Tour
from lift_dynamorm.model import Model
from lift_dynamorm.operations.scan import Pace
from lift_dynamorm.streams.shards import RETENTION, Position, Shards
from lift_dynamorm.tables.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm.migrations.steps import State, Work

    Item = dict[str, Any]

S = TypeVar("S", bound=Model)
T = TypeVar("T", bound=Model)

_MARGIN = 1800.0  # seconds before the stream forgets, at which a copy that is not done gives up
_VIEWS = ("NEW_AND_OLD_IMAGES", "NEW_IMAGE")


class Copy(Generic[S, T]):
    """Copy what a function makes of all items of a model, of all tenants, into another table, and keep up with what is
    written to the old one meanwhile. Nothing in the source is changed or deleted.

    function: gets an instance of `source`, returns one of `target`, several, or None for nothing; equal instances must
    make equal ones. None: items go over as they are. key: see `Conversion`.
    segments: how many parts of the table are read at once. read_units, write_units: how many to take a second, of all
    segments together; None for as many as there are.
    shared: the target has items of this model that are not from the source; then nobody looks for what is too much.
    clock: `time.time()`.

    Ends when the target is what the source makes, item for item. Runs on where it was after a crash. Raises
    CopyDiffers where items stay different, ChangesLost where the stream has forgotten what was not carried over yet;
    both are mended by running again, which then copies anew.
    """

    def __init__(
        self,
        source: type[S],
        target: type[T],
        function: Function[S, T] | None = None,
        *,
        key: Keys | None = None,
        segments: int = 8,
        read_units: float | None = None,
        write_units: float | None = None,
        shared: bool = False,
        name: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if type(segments) is not int or segments < 1:
            raise UsageError(f"Copy(segments={segments!r}): give a whole number from 1")
        for what, units in (("read_units", read_units), ("write_units", write_units)):
            if units is not None and not units > 0:
                raise UsageError(f"Copy({what}={units!r}): give a number above 0, the units a second")
        self.conversion: Conversion[S, T] = Conversion(source, target, function, key)
        self.source = source
        self.target = target
        self.segments = segments
        self.read_units = read_units
        self.write_units = write_units
        self.shared = shared
        self.clock = clock
        self.name: str = name or f"Copy({source.__name__}, {target.__name__})"

    async def run(self, work: Work) -> None:
        await _Run(self, work).run()

    async def preview(self, work: Work) -> str:
        return await _Run(self, work).preview()


class _Run:
    """One run of a copy, until it is done or ends."""

    def __init__(self, copy: Copy[Any, Any], work: Work) -> None:
        sleep = work.transport.sleep
        self._copy = copy
        self._work = work
        self._conversion = copy.conversion
        self._reads = Pace(copy.read_units, sleep) if copy.read_units is not None else None
        self._writer = Writer(work, Pace(copy.write_units, sleep) if copy.write_units is not None else None)
        self._context = self._writer.context
        self._table: str = self._context.table(copy.conversion.source)
        self._began = time.monotonic()
        self._state: State = {}
        self._parts: list[State] = []
        self._scanned_before = 0
        self._total: int | None = None

    async def run(self) -> None:
        await Tables(self._work.database, self._work.transport, (self._copy.target,)).ensure()
        self._state = dict(self._work.state or {})
        try:
            shards = await self._follow()
            if self._state["phase"] == "copy":
                await self._bulk()
                await self._enter("catch up", shards)
            await self._settle(shards)
        except (ChangesLost, CopyDiffers):
            await self._work.save({})  # the next run begins with a position, and a copy, of its own
            raise
        await self._enter("done", shards)

    async def preview(self) -> str:
        name, source, to = self._copy.name, self._conversion.source.name, self._context.table(self._conversion.target)
        described = await _described(self._work, self._table)
        if described is None:
            self._work.failed += 1
            return f"{name}:\n  would fail: the table {self._table!r} of {source} does not exist"
        anew = "" if await _described(self._work, to) is not None else ", which does not exist yet and would be created"
        schema = self._conversion.source
        read = own = failed = 0
        lines: list[str] = []

        async def take(_: int, items: list[Item], __: Item | None) -> None:
            nonlocal read, own, failed
            read += len(items)
            for item in items:
                if self._conversion.prefix(item) is None:
                    continue
                own += 1
                try:
                    self._conversion.check_repeatable(self._context, item)
                except Exception as error:  # the function may raise anything
                    failed += 1
                    key = ", ".join(f"{a}={next(iter(w.values()))}" for a, w in schema.key_of_item(item).items())
                    if failed <= EXAMPLES:
                        lines.append(f"  would fail: the {source} {key}: {type(error).__name__}: {error}")

        limit = self._work.limit
        await Tour(self._context, self._table, 1, check=lambda: None, limit=limit).run(take)
        view = (described.get("StreamSpecification") or {}).get("StreamViewType")
        stream = f"its stream holds {view}" if view else "its stream would be turned on, with NEW_AND_OLD_IMAGES"
        self._work.failed += failed
        can = f"{failed:,} of them cannot be copied" if failed else "all of them can be copied"
        head = (
            f"{name}: copies from {self._table!r} (about {described.get('ItemCount', 0):,} items of all models; "
            f"{stream}) to {to!r}{anew}; of {read:,} items read, {own:,} are of {source}, and {can}"
        )
        return "\n".join([head, *lines])

    # -- the phases ----------------------------------------------------------------------------------------------------

    async def _follow(self) -> Shards:
        """Open the source's stream, at the position that was noted before the first item was read."""
        work, clock = self._work, self._copy.clock
        if "position" in self._state:
            position = Position.parse(self._state["position"])
            return await Shards.begin(work.transport, self._table, position, blocking=work.blocking, clock=clock)
        await turn_on(work, self._table, whole=self._needs_old_images())
        shards = await Shards.begin(work.transport, self._table, "now", blocking=work.blocking, clock=clock)
        self._state = {"run": uuid4().hex, "noted": clock(), "segments": self._copy.segments}
        await self._enter("copy", shards)
        return shards

    def _needs_old_images(self) -> bool:
        conversion = self._conversion
        return bool(conversion.target.uniques) or (conversion.function is not None and conversion.key is None)

    async def _enter(self, phase: str, shards: Shards) -> None:
        self._state |= {"phase": phase, "position": str(shards.position)}
        if phase == "done":
            await hand_over(self._work, self._conversion, shards.position)
        await self._work.save(self._state)

    async def _bulk(self) -> None:
        segments: int = self._state["segments"]
        self._parts = [await self._work.open(self._part(n)) or {"after": {}} for n in range(segments)]
        self._scanned_before = sum(part.get("scanned", 0) for part in self._parts)
        described = (await self._work.transport.send("DescribeTable", {"TableName": self._table}))["Table"]
        self._total = described.get("ItemCount") or None
        tour = Tour(self._context, self._table, segments, check=self._check_age, pace=self._reads, consistent=True)
        await tour.run(self._copied, [part["after"] for part in self._parts])
        self._state |= {name: sum(part.get(name, 0) for part in self._parts) for name in ("scanned", "copied")}

    async def _copied(self, segment: int, items: list[Item], after: Item | None) -> None:
        made = {}
        own = [item for item in items if self._conversion.prefix(item) is not None]
        if own:
            self._conversion.check_repeatable(self._context, own[0])
        for item in own:
            made.update(self._conversion.made(self._context, item))
        await self._writer.write(made, paced=True)
        part = self._parts[segment]
        part["after"] = after
        part["scanned"] = part.get("scanned", 0) + len(items)
        part["copied"] = part.get("copied", 0) + len(own)
        await self._work.save(part, self._part(segment))
        await self._report("copying")

    def _part(self, segment: int) -> str:
        return f"{self._state['run']}.{segment}"

    def _check_age(self) -> None:
        self._work.check()
        age = self._copy.clock() - self._state["noted"]
        if age > RETENTION - _MARGIN:
            raise ChangesLost(
                f"{self._copy.name} has been copying for {age / 3600:.1f} hours, and the stream keeps changes for "
                f"{RETENTION / 3600:.0f}: what was written at its beginning would be forgotten before it is carried "
                "over. Nothing is lost in the source. Give it more: segments, read_units, write_units, capacity of the "
                "tables; then run again, which copies anew"
            )

    async def _settle(self, shards: Shards) -> None:
        """Carry over what has changed, and compare, until both tables are found equal."""

        async def save() -> None:
            self._state["position"] = str(shards.position)
            await self._work.save(self._state)
            await self._report("catching up")

        follower = Follower(self._conversion, self._writer, shards, save, self._copy.clock)
        await follower.catch_up()
        await self._enter("verify", shards)
        follower.comparing = True
        await Comparison(
            self._conversion,
            self._context,
            segments=self._state["segments"],
            check=self._work.check,
            catch_up=follower.catch_up,
            touched=follower.touched,
            images=follower.images,
            pace=self._reads,
            shared=self._copy.shared,
        ).run()

    async def _report(self, phase: str) -> None:
        consumed = self._writer.meter.consumed
        await self._work.report(
            Progress(
                self._work.migration,
                f"{self._copy.name}, {phase}",
                scanned=self._state.get("scanned") or sum(part.get("scanned", 0) for part in self._parts),
                transformed=self._state.get("copied") or sum(part.get("copied", 0) for part in self._parts),
                total=self._total,
                read_units=consumed.read,
                write_units=consumed.write,
                segments=self._state["segments"],
                segments_done=sum(part["after"] is None for part in self._parts),
                scanned_before=self._scanned_before if self._parts else self._state.get("scanned", 0),
                seconds=time.monotonic() - self._began,
            )
        )


async def _described(work: Work, table: str) -> Item | None:
    try:
        described: Item = (await work.transport.send("DescribeTable", {"TableName": table}))["Table"]
    except RequestRefused as error:
        if error.code != "ResourceNotFoundException":
            raise
        return None
    return described


async def turn_on(work: Work, table: str, *, whole: bool) -> None:
    """See that a table has a stream that tells what items became, and with `whole` also what they were.

    Raises MigrationError where it has another one: others may read it, and it can only be replaced.
    """
    wanted = _VIEWS[:1] if whole else _VIEWS
    described = (await work.transport.send("DescribeTable", {"TableName": table}))["Table"]
    specified = described.get("StreamSpecification") or {}
    view = specified.get("StreamViewType")
    if specified.get("StreamEnabled"):
        if view not in wanted:
            raise MigrationError(
                f"the stream of {table!r} holds {view}, and the copy needs {' or '.join(wanted)}. A view cannot be "
                "changed: find out who reads the stream, turn it off, and run again, which turns on the one needed"
            )
        return
    specification = {"StreamEnabled": True, "StreamViewType": wanted[0]}
    await work.transport.send("UpdateTable", {"TableName": table, "StreamSpecification": specification})
    for _ in range(600):
        described = (await work.transport.send("DescribeTable", {"TableName": table}))["Table"]
        arn = described.get("LatestStreamArn")
        if described["TableStatus"] == "ACTIVE" and arn is not None:
            stream = (await work.transport.send("DescribeStream", {"StreamArn": arn}))["StreamDescription"]
            if stream["StreamStatus"] == "ENABLED" and stream["Shards"]:
                return
        await work.transport.sleep(0.5)
    raise MigrationError(f"the stream of {table!r} is not on after five minutes; run again")
