"""Carry what changes in a source table over to the target, as its stream tells it."""

from __future__ import annotations

import time
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, Any

import orjson

from lift_dynamorm.capacity import Meter
from lift_dynamorm.errors import MigrationError, RequestRefused
from lift_dynamorm.migrations.conversion import deletion
from lift_dynamorm.operations.batch import write_items
from lift_dynamorm.operations.unique import Claim

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lift_dynamorm.migrations.conversion import Conversion, Places
    from lift_dynamorm.migrations.steps import Work
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.operations.scan import Pace
    from lift_dynamorm.operations.write import Write
    from lift_dynamorm.streams.shards import Shards
    from lift_dynamorm.unit_of_work import Identity

    Item = dict[str, Any]

LAG = 5.0
"""Seconds that the last change carried over may be old, for the target to count as up to date."""
_QUIET_ROUNDS = 2  # an answer without records may come before the end of a shard
_PAUSE = 0.2  # seconds between two rounds that brought nothing
_FULL = 1000, 512 * 1024  # records and bytes; DynamoDB answers with 1000 and 1 MB at most, and no part of a record


class Writer:
    """Write what a conversion makes, as long as the lease is held.

    pace: of the write units, which are reckoned from the sizes of the items.
    """

    def __init__(self, work: Work, pace: Pace | None = None) -> None:
        meter = Meter(work.database.table_name)
        self.meter = meter
        self.context: Context = replace(work.session.context(), meter=meter, table_name=meter.table_name, deadline=None)
        self._work = work
        self._pace = pace

    async def write(self, places: Places, *, paced: bool = False) -> None:
        """Send puts and deletions; a claim is given free only where it is still that owner's."""
        self._work.check()
        freed = [write for write in places.values() if write.kind == "delete" and isinstance(write, Claim)]
        others = [write for write in places.values() if write.kind == "put" or not isinstance(write, Claim)]
        if self._pace is not None and paced:
            await self._pace.wait(None)
            self._pace.spend(sum(map(_units, others)), len(others))
        if others:
            await write_items(self.context, others)
        for claim in freed:
            await self.conditionally(claim)

    async def conditionally(self, write: Write) -> bool:
        """Send one write with its condition; False where that does not hold."""
        self._work.check()
        operation = "PutItem" if write.kind == "put" else "DeleteItem"
        try:
            await self.context.send(operation, write.payload(self.context.table(write.schema)))
        except RequestRefused as error:
            if error.code != "ConditionalCheckFailedException":
                raise
            return False
        return True


def _units(write: Write) -> float:
    return float(max(1, ceil(len(orjson.dumps(write.item)) / 1024))) if write.item else 1.0


class Follower:
    """Replay the changes of a stream in the target, in their order: puts of what is made of new images, deletions of
    what old images had made. To replay some of them again is harmless, once the later ones have followed.

    save: keeps the position. comparing: a comparison is under way, and needs to know what is written meanwhile.
    touched: the places that were written since it was emptied last, while comparing. images: of the places it has keys
    for, what was written there last.
    """

    def __init__(
        self,
        conversion: Conversion[Any, Any],
        writer: Writer,
        shards: Shards,
        save: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.comparing: bool = False
        self.touched: set[Identity] = set()
        self.images: dict[Identity, Item | None] = {}
        self.changes: int = 0
        self.lag: float = 0.0
        self._conversion = conversion
        self._writer = writer
        self._shards = shards
        self._save = save
        self._clock = clock
        self._short = True

    async def catch_up(self) -> None:
        """Replay until what comes is a few seconds old at most, or nothing comes. Raises ChangesLost.

        How old it is, is told by this machine's clock and by DynamoDB's. Where they differ it stays above a few seconds
        for ever: so it is also the end where no shard has a full page to tell, and what comes does not get newer.
        """
        quiet = 0
        while quiet < _QUIET_ROUNDS:
            before, began = self.lag, self._clock()
            last = await self.round()
            self.lag = began - last if last else 0.0
            if last and self.lag > LAG and not (self._short and 0 < before <= self.lag):
                quiet = 0
                continue
            quiet += 1
            if not last and quiet < _QUIET_ROUNDS:
                await self._shards.transport.sleep(_PAUSE)

    async def round(self) -> float:
        """Replay what each shard has to tell at once. Returns the epoch seconds of the oldest of their last changes."""
        lasts = []
        self._short = True
        async for _, records in self._shards.round():
            self._short = self._short and not _full(records)
            # The journal may be kept in the source: its own beats and checkpoints are no reason to go on, or to save.
            own = [record for record in records if self._conversion.prefix(record["dynamodb"]["Keys"]) is not None]
            if own:
                await self.replay(own)
                lasts.append(float(own[-1]["dynamodb"].get("ApproximateCreationDateTime") or 0))
        if lasts:
            await self._save()
        if self._shards.ended:
            raise MigrationError(
                "the stream of the source was turned off, so nobody knows what has changed since; run again, which "
                "turns it on and copies anew"
            )
        return min(lasts, default=0.0)

    async def replay(self, records: list[Item]) -> None:
        """Write what some changes, in order, come to."""
        pending: Places = {}
        for record in records:
            self._add(record, pending)
        if self.comparing:
            self.touched.update(pending)
        for at in self.images.keys() & pending.keys():
            self.images[at] = pending[at].item if pending[at].kind == "put" else None
        if pending:
            await self._writer.write(pending)

    def _add(self, record: Item, pending: Places) -> None:
        old, new = images_of(record, self._conversion, self._writer.context)
        self.changes += 1
        for at, write in old.items():
            if at not in new:
                known = pending.pop(at, None)
                pending[at] = known if known is not None and _anothers(known, write) else deletion(write)
        for at, write in new.items():
            pending.pop(at, None)
            pending[at] = write


def _full(records: list[Item]) -> bool:
    size = sum(record["dynamodb"].get("SizeBytes", 0) for record in records)
    return len(records) >= _FULL[0] or size >= _FULL[1]


def _anothers(known: Write, write: Write) -> bool:
    """Tell whether a claim was taken by another item meanwhile, so that its old owner has nothing to give free."""
    return isinstance(known, Claim) and isinstance(write, Claim) and known.kind == "put" and known.owner != write.owner


def images_of(record: Item, conversion: Conversion[Any, Any], context: Context) -> tuple[Places, Places]:
    """Give what an item of the source had made before a change, and what it makes now."""
    told = record["dynamodb"]
    new = conversion.made(context, told.get("NewImage"))
    if "OldImage" in told or record["eventName"] == "INSERT":
        return conversion.made(context, told.get("OldImage")), new
    return conversion.places_of(context, told["Keys"]), new
