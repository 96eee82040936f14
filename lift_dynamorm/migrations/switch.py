"""The step that ends a copy: what was still written to the old table goes over, and nothing newer is lost."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lift_dynamorm.conditions import Name, Predicate, every
from lift_dynamorm.errors import MigrationError, RequestRefused, SwitchConflicts, UsageError
from lift_dynamorm.migrations.comparison import Comparison, as_made
from lift_dynamorm.migrations.conversion import Conversion, Function, deletion, equal, error_of, is_claim
from lift_dynamorm.migrations.follower import Writer, images_of
from lift_dynamorm.migrations.handover import hand_over, handed_over
from lift_dynamorm.migrations.progress import Progress
from lift_dynamorm.model import Model
from lift_dynamorm.operations.batch import get_items
from lift_dynamorm.operations.scan import Pace
from lift_dynamorm.operations.unique import Claim
from lift_dynamorm.operations.write import unchanged
from lift_dynamorm.streams.shards import Position, Shards
from lift_dynamorm.unit_of_work import identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm.conditions import Condition
    from lift_dynamorm.migrations.conversion import Places
    from lift_dynamorm.migrations.steps import Work
    from lift_dynamorm.operations.write import Write
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.unit_of_work import Identity

    Item = dict[str, Any]

S = TypeVar("S", bound=Model)
T = TypeVar("T", bound=Model)

_BEFORE = "the copy comes first, and then what was written since is carried over"
_PAUSE = 0.5  # seconds between two looks at a stream that is quiet


class Switch(Generic[S, T]):
    """Carry over what was written to the old table since `Copy` was done, until it has been quiet for some seconds.

    source, target, function: as of the copy. quiet: for how many seconds no change may come from the stream.
    compare: compare both tables completely then; for a target that nobody writes to yet. False where the new code is
    at work already, and the old code may be too, as in a rolling deployment.

    A target item is written only while it is what the old table had made of it: what new code has written stays, and
    raises SwitchConflicts at the end, once all else is carried over. Run again, it goes on behind these. As a step of a
    later migration it carries over what still came late: within 24 hours, or ChangesLost.
    """

    def __init__(
        self,
        source: type[S],
        target: type[T],
        function: Function[S, T] | None = None,
        *,
        quiet: float = 10.0,
        compare: bool = True,
        segments: int = 8,
        read_units: float | None = None,
        shared: bool = False,
        name: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not quiet > 0:
            raise UsageError(f"Switch(quiet={quiet!r}): give a number of seconds above 0")
        self.conversion: Conversion[S, T] = Conversion(source, target, function, None)
        self.quiet = quiet
        self.compare = compare
        self.segments = segments
        self.read_units = read_units
        self.shared = shared
        self.clock = clock
        self.name: str = name or f"Switch({source.__name__}, {target.__name__})"

    async def run(self, work: Work) -> None:
        await _Run(self, work).run()

    async def preview(self, work: Work) -> str:
        target = self.conversion.target.name
        try:
            position = await handed_over(work, self.conversion)
        except RequestRefused as error:
            if error.code != "ResourceNotFoundException":
                raise
            return f"{self.name}: the table of {target} does not exist yet: {_BEFORE}"
        except MigrationError as error:
            if self.conversion.target.partition.tag == "S":
                return f"{self.name}: nothing was copied to {target} yet: {_BEFORE}"
            work.failed += 1
            return f"{self.name}:\n  would fail: {error}"
        return (
            f"{self.name}: carries over what was written since the copy ({len(position.shards)} shards to read), until "
            f"nothing comes for {self.quiet:g} seconds{'; then compares both tables' if self.compare else ''}"
        )


class _Run:
    """One run of a switch."""

    def __init__(self, switch: Switch[Any, Any], work: Work) -> None:
        self._switch = switch
        self._work = work
        self._conversion = switch.conversion
        self._writer = Writer(work)
        self._context = self._writer.context
        self._doubts: list[dict[str, Item]] = list((work.state or {}).get("doubts", []))
        self.touched: set[Identity] = set()
        self._comparing = False
        self._carried = 0
        self._began = time.monotonic()
        self._shards: Shards

    async def run(self) -> None:
        work, switch = self._work, self._switch
        kept = (work.state or {}).get("position")
        position = Position.parse(kept) if kept else await handed_over(work, self._conversion)
        table = self._context.table(self._conversion.source)
        self._shards = await Shards.begin(work.transport, table, position, blocking=work.blocking, clock=switch.clock)
        await self._drain(switch.quiet)
        conflicts = await self._conflicts()
        await hand_over(work, self._conversion, self._shards.position)
        self._doubts = []
        await self._save()
        if conflicts:
            msg = error_of(
                f"{len(conflicts)} items of {self._conversion.target.name} were written by new code, and after that by "
                "old code too, which is not carried over. Look at both, mend the new ones by hand, and run again",
                conflicts,
            )
            raise SwitchConflicts(msg, keys=conflicts)
        if switch.compare:
            await self._compare()
            await hand_over(work, self._conversion, self._shards.position)

    async def _drain(self, quiet: float) -> None:
        """Carry over until nothing has come for so many seconds."""
        since = time.monotonic()
        while True:
            came = False
            async for _, records in self._shards.round():
                own = [record for record in records if self._conversion.prefix(record["dynamodb"]["Keys"]) is not None]
                if own:
                    came = True
                    await self._carry(own)
            if came:
                await self._save()
                await self._report()
                since = time.monotonic()
            if self._shards.ended or time.monotonic() - since >= quiet:
                return
            self._work.check()
            await self._work.transport.sleep(min(_PAUSE, quiet / 2))

    async def _save(self) -> None:
        await self._work.save({"position": str(self._shards.position), "doubts": self._doubts})

    async def _carry(self, records: list[Item]) -> None:
        """Bring what some changes are about to what the source is now, where nobody else has written the target."""
        conversion, context = self._conversion, self._context
        known: dict[Identity, list[Item | None]] = {}
        writes: Places = {}
        origins: dict[Identity, Item] = {}
        keys: dict[Identity, Item] = {}
        for record in records:
            told = record["dynamodb"]
            old, new = images_of(record, conversion, context)
            keys[identity(conversion.source, told["Keys"])] = told["Keys"]
            for at in {**old, **new}:
                writes[at], origins[at] = old.get(at) or new[at], told["Keys"]
                known.setdefault(at, []).extend(places[at].item if at in places else None for places in (old, new))
        expected: Places = {}
        for item in (await self._stored(conversion.source, list(keys.values()))).values():
            made = conversion.made(context, item)
            expected.update(made)
            origins.update(dict.fromkeys(made, conversion.source.key_of_item(item)))
        writes = {**writes, **expected}
        stored = await self._stored(conversion.target, [write.key for write in writes.values()])
        if self._comparing:
            self.touched.update(writes)
        self._carried += len(records)
        refused: set[Any] = set()
        for at, write in sorted(writes.items(), key=lambda entry: is_claim(entry[1])):  # claims after their owners
            wish = expected.get(at) or deletion(write)
            if isinstance(wish, Claim) and wish.owner in refused:
                continue
            if not await self._settled(wish, stored.get(at), known.get(at, [])):
                refused.add(at)
                self._doubts.append({"source": origins[at], "target": wish.key})

    async def _settled(self, wish: Write, stored: Item | None, known: list[Item | None]) -> bool:
        """Bring one item to what it should be; False where somebody else has written it."""
        item = wish.item if wish.kind == "put" else None
        if equal(item, stored) or (item is not None and as_made(wish, stored, self._context.now())):
            return True
        if isinstance(wish, Claim):
            return await self._writer.conditionally(wish) or wish.kind == "delete"
        if not any(equal(stored, image) for image in known):
            return False
        if stored is None:
            guard: Condition | None = Predicate("attribute_not_exists", Name((wish.schema.partition.attribute,)))
        else:
            guard = every(unchanged(name, stored.get(name)) for name in sorted({*stored, *(item or {})}))
        return await self._writer.conditionally(replace(wish, guard=guard))

    async def _conflicts(self) -> list[Item]:
        """Look at what was in doubt once more: give the keys of target items that are not what the source makes."""
        conversion = self._conversion
        items = await self._stored(conversion.source, [doubt["source"] for doubt in self._doubts])
        expected: Places = {}
        for item in items.values():
            expected.update(conversion.made(self._context, item))
        stored = await self._stored(conversion.target, [doubt["target"] for doubt in self._doubts])
        conflicts: dict[Identity, Item] = {}
        for doubt in self._doubts:
            at = identity(conversion.target, doubt["target"])
            if at in expected and as_made(expected[at], stored.get(at), self._context.now()):
                continue
            if not equal(expected[at].item if at in expected else None, stored.get(at)):
                conflicts[at] = doubt["target"]
        return list(conflicts.values())

    async def _stored(self, schema: Schema[Any], keys: list[Item]) -> dict[Identity, Item]:
        return await get_items(self._context, [(schema, key) for key in keys], consistent=True)

    async def _compare(self) -> None:
        reads = self._switch.read_units
        self._comparing = True
        await Comparison(
            self._conversion,
            self._context,
            segments=self._switch.segments,
            check=self._work.check,
            catch_up=lambda: self._drain(_PAUSE),
            touched=self.touched,
            images={},
            pace=Pace(reads, self._work.transport.sleep) if reads is not None else None,
            shared=self._switch.shared,
        ).run()

    async def _report(self) -> None:
        consumed = self._writer.meter.consumed
        progress = Progress(
            self._work.migration,
            self._switch.name,
            transformed=self._carried,
            read_units=consumed.read,
            write_units=consumed.write,
            seconds=time.monotonic() - self._began,
        )
        await self._work.report(progress)
