"""Read a whole table or index: page by page, in segments at once, at a pace, from where an earlier run stopped."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lift_dynamorm.conditions import (
    Condition,
    Every,
    Literal,
    Name,
    Negation,
    Placeholders,
    Predicate,
    attributes,
    conjuncts,
    every,
    render,
)
from lift_dynamorm.errors import DeadlineExceeded, QueryError, UsageError
from lift_dynamorm.keys import SEPARATOR, TENANT_MARK
from lift_dynamorm.limits import within_limits
from lift_dynamorm.operations.concurrency import Race
from lift_dynamorm.operations.query import Reading
from lift_dynamorm.planner import Considered, Plan, unknown_index
from lift_dynamorm.restore import restorable
from lift_dynamorm.unit_of_work import identity

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence

    from lift_dynamorm.indexes import Index
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.paging import PageSize
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.transport import Payload

    Item = dict[str, Any]

Answer = tuple[int, dict[str, Any]]
"""Of a segment, by its number."""
_MOST = 1_000_000
"""More items than a page of 1 MB can hold."""

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Scanning(Reading[R]):
    """A scan as it is carried out, in so many segments."""

    segments: int = 1

    def _asked(self) -> tuple[dict[str, Any], Placeholders]:
        plan, to = self.plan, Placeholders()
        payload: dict[str, Any] = {"TableName": self.context.table(self._schema)}
        if plan.index.name is not None:
            payload["IndexName"] = plan.index.name
        if plan.filter is not None:
            payload["FilterExpression"] = render(plan.filter, to)
        if self.segments > 1:
            payload["TotalSegments"] = self.segments
        return payload, to

    def kept(self, items: Iterable[Item]) -> list[Item]:
        """Keep the items that are there, this model's and this tenant's, and meet the conditions."""
        return list(self._kept(items).items)


# -- what is asked -----------------------------------------------------------------------------------------------------


def plan_scan(
    schema: Schema[Any],
    conditions: Sequence[Condition],
    prefix: str,
    *,
    index: str | None,
    consistent: bool,
    needed: frozenset[str] | None,
) -> Plan:
    """Plan a scan: of the table or of one index, with all conditions in the filter that fit into it.

    needed: the attributes that are needed of each item, None for all of it. Raises QueryError.
    """
    schema.check_tenant(prefix)
    chosen = _index(schema, index)
    if consistent and chosen.kind == "global":
        raise QueryError(f"{chosen} is a global index, and cannot be read consistently; scan the table instead")
    tests = conjuncts(every(conditions))
    stored = None
    if chosen.projected is not None:
        stored = chosen.projected.union(schema.key.attributes, chosen.attributes)
        _check_holds(schema, chosen, stored | restorable(schema, chosen), needed, tests)
    possible = [test for test in tests if stored is None or attributes(test) <= stored]
    filters = within_limits([*_whose(schema, prefix), *possible])
    local = every(test for test in tests if not any(test is sent for sent in filters))
    nullable = (a for a in chosen.fields if chosen.name is not None and schema.by_attribute[a].codec.nullable)
    return Plan(
        chosen,
        key=Every(()),
        filter=every(filters),
        local=local,
        forward=True,
        empty=False,
        stored=stored,
        fetch=False,
        missing=tuple(sorted(nullable)),
        considered=(Considered(str(chosen), True, "is read from end to end"),),
    )


def _index(schema: Schema[Any], name: str | None) -> Index:
    if name is None:
        return schema.key
    for index in (schema.key, *schema.indexes):
        if name == str(index):
            return index
    raise unknown_index(schema, name)


def _check_holds(
    schema: Schema[Any], index: Index, held: frozenset[str], needed: frozenset[str] | None, tests: Sequence[Condition]
) -> None:
    wanted = frozenset(schema.by_attribute) if needed is None else needed
    lacking = sorted(schema.name_of(a) for a in wanted.union(*map(attributes, tests)) - held)
    if lacking:
        names = " and ".join(f"`{name}`" for name in lacking)
        raise QueryError(
            f"the index {index} of {schema.name} does not hold {names}; name what is needed by .only(...), or scan the "
            "table"
        )


def _whose(schema: Schema[Any], prefix: str) -> list[Condition]:
    """Keep what is this model's and this tenant's, as far as the beginnings of its keys tell."""
    tests: list[Condition] = []
    for key, lead in ((schema.partition, prefix), (schema.sort, "")):
        if key is None or key.tag != "S":
            continue
        name, template = Name((key.attribute,)), key.template
        own = template.prefix if template is not None else ""
        if lead + own:
            whole = template is not None and not template.parts
            tests.append(Predicate("=" if whole else "begins_with", name, (_text(lead + own),)))
        if key is schema.partition and not own and (template is not None or not prefix):
            # Any text may be a key of the model, but for what is marked: it is a tenant's, or keeps a unique value.
            marked = Predicate("begins_with", name, (_text(lead + TENANT_MARK),))
            tests.append(Negation(Every((marked, Predicate("contains", name, (_text(SEPARATOR),))))))
    return tests


def _text(text: str) -> Literal:
    return Literal({"S": text})


# -- how fast ----------------------------------------------------------------------------------------------------------


class Pace:
    """A bucket of read units that fills at a steady rate: a page goes out once those before it are paid off.

    rate: read units a second. sleep, clock: how to wait, and `time.monotonic()`.
    """

    __slots__ = ("_clock", "_items", "_paid_at", "_rate", "_sleep", "_units")

    def __init__(
        self, rate: float, sleep: Callable[[float], Awaitable[object]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._sleep = sleep
        self._clock = clock
        self._paid_at = clock()
        self._items = self._units = 1.0  # an item takes a unit, until there is an answer that tells

    @property
    def debt(self) -> float:
        """Tell in how many seconds all is paid off; 0 or less where it is."""
        return self._paid_at - self._clock()

    def spend(self, units: float, items: int) -> None:
        """Note what a page of so many items took."""
        self._paid_at = max(self._paid_at, self._clock()) + units / self._rate
        self._units += units
        self._items += items

    def items(self, segments: int) -> int:
        """Tell how many items each of the segments may ask for: about what a second pays for, so that none bursts."""
        return max(1, int(min(self._rate / segments * self._items / self._units, _MOST)))

    async def wait(self, deadline: float | None) -> None:
        """Wait until all is paid off; raises DeadlineExceeded at once where that would be too late."""
        debt = self.debt
        if debt <= 0:
            return
        if deadline is not None and self._clock() + debt >= deadline:
            msg = f"the rate of the scan allows no page for {debt:.1f} seconds, and the deadline comes before that"
            raise DeadlineExceeded(msg, operation="Scan")
        await self._sleep(debt)


async def read_units_per_second(context: Context, schema: Schema[Any], index: Index) -> float:
    """Ask how many read units a second a table, or a global index, is provisioned with."""
    table = (await context.send("DescribeTable", {"TableName": context.table(schema)}))["Table"]
    owner = table
    if index.kind == "global":
        owner = next(described for described in table["GlobalSecondaryIndexes"] if described["IndexName"] == index.name)
    units: float = owner.get("ProvisionedThroughput", {}).get("ReadCapacityUnits", 0)
    if not units:
        msg = (
            f"the table {table['TableName']!r} is on demand: there are no provisioned read units to take a share of. "
            "Say .rate(read_units=...), the units a second"
        )
        raise UsageError(msg)
    return units


# -- what comes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far a scan has come; counts are of this run, since its beginning or the cursor it resumed from.

    items: given to the caller. scanned: read by DynamoDB for that. read_units: what that took. segments_done: of how
    many segments the end is reached. cursor: where to resume, once all has been done with the items; None at the end.
    """

    items: int
    scanned: int
    read_units: float
    segments: int
    segments_done: int
    cursor: str | None


class Run(Generic[R]):
    """One run of a scan, and how far it has come: the items of a page count as given once it is yielded.

    cursor: where to begin; None for the beginning. most: how many items to give. pace: how fast; None for at once.
    """

    __slots__ = ("_items", "_left", "_pace", "_pending", "_positions", "_read_units", "_scanned", "_touched", "reading")

    def __init__(self, reading: Scanning[R], cursor: str | None, most: int | None, pace: Pace | None) -> None:
        self.reading: Scanning[R] = reading
        self._left = most
        self._pace = pace
        self._items = self._scanned = 0
        self._read_units = 0.0
        # Of each segment the key after which it goes on: {} at its beginning, None at its end. The last one is that of
        # the transaction's own items, which come as if they were one more segment.
        self._positions: list[Item | None] = [{} for _ in range(reading.segments + 1)]
        if cursor is not None:
            context = reading.context
            opened = context.cursors.open(cursor, query=reading.fingerprint, tenant=context.prefix)
            self._positions = opened["segments"]
        self._touched, self._pending = self._overlay()

    def _overlay(self) -> tuple[frozenset[Any], list[Item]]:
        """Tell which items the open transaction writes, and those of them that this run has to give."""
        reading, schema = self.reading, self.reading.shape.schemas[0]
        pending = dict(reading.unit.touching(schema)) if reading.unit is not None else {}
        after = [write.after for write in pending.values() if write.after is not None]
        there = reading.shape.visible(reading.context, after, expired=reading.expired)
        found = {identity(schema, item): item for item in there if reading.matches(item)}
        begin = identity(schema, self._positions[-1]) if self._positions[-1] else ()
        return frozenset(pending), [found[at] for at in sorted(found) if at > begin]

    async def pages(self) -> AsyncGenerator[list[Item], None]:
        """Yield what is found, a page of one segment at a time; a page may be empty."""
        reading, schema = self.reading, self.reading.shape.schemas[0]
        payload = {**reading.request(), "ReturnConsumedCapacity": "TOTAL"}
        size = reading.page_size(self._left)
        waiting = deque(n for n, at in enumerate(self._positions[:-1]) if at is not None)
        async with Race[Answer](reading.segments, blocking=reading.context.blocking) as race:
            while (waiting or race) and self._left != 0:
                segment, answer = await self._next(race, waiting, payload, size)
                read, last = answer["ScannedCount"], answer.get("LastEvaluatedKey")
                items = reading.kept(i for i in answer["Items"] if identity(schema, i) not in self._touched)
                self._note(read, (answer.get("ConsumedCapacity") or {}).get("CapacityUnits", 0.0))
                size.note(read=read, given=len(items))
                yield self._take(segment, items, last)
                if last is not None:
                    waiting.append(segment)
        if self._pending and self._left != 0:
            pending = self._pending
            self._pending = [] if self._left is None else pending[self._left :]
            yield self._take(-1, pending, None)

    async def _next(self, race: Race[Answer], waiting: deque[int], payload: Payload, size: PageSize) -> Answer:
        """Set the segments that wait under way, as far as the pace allows, and take the first page that comes."""
        pace = self._pace
        if pace is not None and not race:
            await pace.wait(self.reading.context.deadline)
        if len(waiting) == 1 and not race:
            return await self._ask(waiting.popleft(), payload, size)
        while waiting and (not race or pace is None or pace.debt <= 0):
            race.start(self._ask(waiting.popleft(), payload, size))
        return await race.first()

    def _ask(self, segment: int, payload: Payload, size: PageSize) -> Coroutine[Any, Any, Answer]:
        request = dict(payload)
        if self.reading.segments > 1:
            request["Segment"] = segment
        if self._positions[segment]:
            request["ExclusiveStartKey"] = self._positions[segment]
        limits = [size.next(), self._pace.items(self.reading.segments) if self._pace is not None else None]
        if any(limits):
            request["Limit"] = min(limit for limit in limits if limit is not None)
        return self._send(segment, request)

    async def _send(self, segment: int, request: Payload) -> Answer:
        return segment, await self.reading.context.send("Scan", request)

    def _note(self, scanned: int, units: float) -> None:
        self._scanned += scanned
        self._read_units += units
        if self._pace is not None:
            self._pace.spend(units, scanned)

    def _take(self, segment: int, items: list[Item], last: Item | None) -> list[Item]:
        """Take of a page what is still wanted, and note where its segment goes on."""
        taken = items[: self._left]
        self._positions[segment] = last if len(taken) == len(items) else self.reading.position_of(taken[-1])
        self._items += len(taken)
        if self._left is not None:
            self._left -= len(taken)
        return taken

    @property
    def cursor(self) -> str | None:
        """Where to resume, behind all that was given; None where that was everything."""
        if not self._pending and all(at is None for at in self._positions[:-1]):
            return None
        reading, context = self.reading, self.reading.context
        position = {"segments": self._positions}
        return context.cursors.sign(position, query=reading.fingerprint, tenant=context.prefix)

    @property
    def progress(self) -> ScanProgress:
        done = sum(at is None for at in self._positions[:-1])
        return ScanProgress(self._items, self._scanned, self._read_units, self.reading.segments, done, self.cursor)
