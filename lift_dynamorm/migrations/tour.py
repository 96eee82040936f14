"""Read a whole table in wire form, in segments at once, from where an earlier run stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lift_dynamorm.operations.concurrency import at_once

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.operations.scan import Pace
    from lift_dynamorm.transport import Payload

    Item = dict[str, Any]
    Take = Callable[[int, list[Item], Item | None], Awaitable[None]]

PAGE = 1000
"""The most items that are read, and checkpointed, at once."""


class Tour:
    """A way through a table, or one of its parts, that comes past every item.

    table: as it is called here. pace: of the read units of all segments together. check: called before each page, and
    raises where there is a reason to stop. limit: items to read in each segment, None for all.
    """

    def __init__(
        self,
        context: Context,
        table: str,
        segments: int,
        *,
        check: Callable[[], None],
        pace: Pace | None = None,
        consistent: bool = False,
        limit: int | None = None,
    ) -> None:
        self._context = context
        self._table = table
        self._segments = segments
        self._check = check
        self._pace = pace
        self._consistent = consistent
        self._limit = limit
        self._halted = False

    async def run(self, take: Take, starts: Sequence[Item | None] | None = None) -> None:
        """Hand over page after page: the number of the segment, its items, and the key behind which it goes on.

        starts: for each segment such a key, {} for its beginning, None where it is done. An error ends all segments.
        """
        given = [{} for _ in range(self._segments)] if starts is None else starts
        jobs = [self._segment(n, start, take) for n, start in enumerate(given) if start is not None]
        if jobs:
            await at_once(jobs, self._segments, blocking=self._context.blocking)

    async def _segment(self, segment: int, start: Item | None, take: Take) -> None:
        payload: Payload = {"TableName": self._table, "Limit": PAGE if self._limit is None else min(PAGE, self._limit)}
        if self._segments > 1:
            payload |= {"TotalSegments": self._segments, "Segment": segment}
        if self._consistent:
            payload["ConsistentRead"] = True
        left = self._limit
        try:
            while start is not None and not self._halted and left != 0:
                self._check()
                if self._pace is not None:
                    await self._pace.wait(None)
                    payload["Limit"] = min(PAGE, self._pace.items(self._segments))
                answer = await self._context.send(
                    "Scan", {**payload, **({"ExclusiveStartKey": start} if start else {})}
                )
                if self._pace is not None:
                    units = (answer.get("ConsumedCapacity") or {}).get("CapacityUnits", 0.0)
                    self._pace.spend(units, answer["ScannedCount"])
                start = answer.get("LastEvaluatedKey")
                if left is not None:
                    left = max(0, left - answer["ScannedCount"])
                await take(segment, answer["Items"], start)
        except BaseException:
            self._halted = True
            raise
