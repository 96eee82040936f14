"""Read the items of one partition, page by page."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import orjson

from lift_dynamorm.conditions import Name, Placeholders, attributes, conjuncts, evaluate, render, sort_value
from lift_dynamorm.operations.batch import CONCURRENCY, MAX_KEYS, get_items
from lift_dynamorm.operations.get import confirm
from lift_dynamorm.operations.read import note_read
from lift_dynamorm.paging import PageSize
from lift_dynamorm.restore import restore
from lift_dynamorm.unit_of_work import identity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Sequence

    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.operations.shape import Shape
    from lift_dynamorm.planner import Plan
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.unit_of_work import UnitOfWork

    Item = dict[str, Any]

R = TypeVar("R")

_AT_ONCE = 32
_LOADED = MAX_KEYS * CONCURRENCY


class Chunk(NamedTuple):
    """Stored items, and of each what holds its place in the index: the item itself, or the entry it was loaded by."""

    items: Sequence[Item]
    places: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Reading(Generic[R]):
    """A query as it is carried out; raises what `Context.send` raises.

    unit: the open transaction. is_consistent: the caller said so. expired: give items whose time to live is over, too.
    """

    context: Context
    unit: UnitOfWork | None
    shape: Shape[R]
    plan: Plan
    is_consistent: bool
    expired: bool

    # -- the request ---------------------------------------------------------------------------------------------------

    def request(self, *, count: bool = False) -> dict[str, Any]:
        """Write the request, without what differs from page to page. count: ask for a number only."""
        payload, to = self._asked()
        needed = self._needed()
        if self.plan.fetch:
            needed = {*self._schema.key.attributes, *self.plan.index.attributes}
        if count:
            payload["Select"] = "COUNT"
        elif needed is not None:
            stored = needed if self.plan.stored is None else needed & self.plan.stored
            payload["ProjectionExpression"] = _projection(stored, to)
        if self.consistent:
            payload["ConsistentRead"] = True
        to.add_to(payload)
        return payload

    def _asked(self) -> tuple[dict[str, Any], Placeholders]:
        plan, to = self.plan, Placeholders()
        payload: dict[str, Any] = {
            "TableName": self.context.table(self._schema),
            "KeyConditionExpression": " AND ".join(render(test, to) for test in conjuncts(plan.key)),
        }
        if plan.index.name is not None:
            payload["IndexName"] = plan.index.name
        if plan.filter is not None:
            payload["FilterExpression"] = render(plan.filter, to)
        if not plan.forward:
            payload["ScanIndexForward"] = False
        return payload, to

    def _needed(self) -> set[str] | None:
        """Name the attributes that are given, that tell whose an item is, and that conditions here look at."""
        wanted, plan = self.shape.attributes, self.plan
        if wanted is None:
            return None
        needed = {*wanted, *self._schema.key.attributes, *plan.index.attributes}
        if plan.local is not None:
            needed.update(attributes(plan.local))
        if plan.filter is not None and (plan.fetch or self._notes_reads):
            needed.update(attributes(plan.filter))
        if self._notes_reads:
            needed.update(self._schema.kept)
        return needed

    @property
    def consistent(self) -> bool:
        """Read what was written last: where that was said, or reads are conditions of the commit and the index can."""
        return self.is_consistent or (self._notes_reads and self.plan.index.kind != "global")

    @property
    def fingerprint(self) -> bytes:
        """What a cursor is bound to: models, index, conditions and order, whatever is read of the items."""
        payload, to = self._asked()
        to.add_to(payload)
        local = Placeholders()
        text = render(self.plan.local, local) if self.plan.local is not None else ""
        models = [schema.name for schema in self.shape.schemas]
        return orjson.dumps([models, payload, text, local.names, local.values], option=orjson.OPT_SORT_KEYS)

    @property
    def _schema(self) -> Schema[Any]:
        """Any of the models: they share the table and the names of its key."""
        return self.shape.schemas[0]

    # -- the answers ---------------------------------------------------------------------------------------------------

    async def pages(self, wanted: int | None, start: Item | None = None) -> AsyncIterator[Chunk]:
        """Yield what is stored, a page or as much as is loaded at once, with what the transaction writes in its place.

        wanted: how many items the caller will take. start: the place after which to begin.
        """
        await self.confirm()
        overlay = _Overlay(self, start)
        size = self.page_size(wanted)
        async for answer in self._answers(self.request(), size, start):
            items, given = answer["Items"], 0
            if overlay.touched:
                items = [item for item in items if identity(self._schema, item) not in overlay.touched]
            step = _LOADED if self.plan.fetch else max(1, len(items))
            for at in range(0, len(items), step):
                part = items[at : at + step]
                found = await self._loaded(part) if self.plan.fetch else self._kept(part)
                if overlay.touched:
                    found = overlay.merge(found)
                given += len(found.items)
                yield found
            size.note(read=answer["ScannedCount"], given=given)
        if overlay.touched:
            yield overlay.rest()

    async def confirm(self) -> None:
        """Read what is stored where the transaction's own writes, which are to be given, are not sure of it."""
        if self.unit is not None:
            await confirm(self.context, self.unit, *(pending for _, pending in self.unit.touching(self._schema)))

    async def give(self, items: Sequence[Item]) -> list[R]:
        """Make of stored items what the caller is given."""
        self.note(items)
        return await self.shape.load(self.context, items)

    @property
    def at_once(self) -> int:
        """How many items of a stream to give at once: only what is taken, where someone takes note of each."""
        return 1 if self.context.after_read or self._notes_reads else _AT_ONCE

    async def count(self, most: int | None) -> int:
        """Count the items, up to so many."""
        total = 0
        if self._dynamodb_counts:
            size = self.page_size(most)
            async for answer in self._answers(self.request(count=True), size, None):
                size.note(read=answer["ScannedCount"], given=answer["Count"])
                total += answer["Count"]
                if most is not None and total >= most:
                    return most
            return total
        async for found in self.pages(most):
            items = found.items if most is None else found.items[: most - total]
            self.note(items)
            total += len(items)
            if total == most:
                break
        return total

    def page_size(self, wanted: int | None) -> PageSize:
        """Start to tell how many items to ask for."""
        return PageSize(wanted, selective=self.plan.filter is not None or self.plan.local is not None)

    def position_of(self, place: Item) -> Item:
        """Take out of an item, or an entry of an index, the key after which a later request goes on."""
        return {a: place[a] for a in dict.fromkeys((*self._schema.key.attributes, *self.plan.index.attributes))}

    async def _answers(
        self, payload: dict[str, Any], size: PageSize, start: Item | None
    ) -> AsyncIterator[dict[str, Any]]:
        while not self.plan.empty:
            limit = size.next()
            paged = payload if limit is None else {**payload, "Limit": limit}
            answer = await self.context.send("Query", paged if start is None else {**paged, "ExclusiveStartKey": start})
            yield answer
            start = answer.get("LastEvaluatedKey")
            if start is None:
                return

    def _kept(self, items: Iterable[Item]) -> Chunk:
        """Keep the items that are there and meet the conditions that DynamoDB has not looked at."""
        kept = self.shape.visible(self.context, items, expired=self.expired)
        if self.plan.stored is not None and not self._schema.by_attribute.keys() <= self.plan.stored:
            kept = [restore(self._schema, self.plan.index, item, self.context.prefix) for item in kept]
        if self.plan.local is not None:
            kept = [item for item in kept if evaluate(self.plan.local, item)]
        return Chunk(kept, kept)

    async def _loaded(self, entries: Iterable[Item]) -> Chunk:
        """Load the items of an index by their keys; it may lag behind, so that some are gone or match no more."""
        schema, to = self._schema, Placeholders()
        entries = self.shape.visible(self.context, entries, expired=True)
        needed = self._needed()
        stored = await get_items(
            self.context,
            [(schema, schema.key_of_item(entry)) for entry in entries],
            consistent=self.consistent or self._notes_reads,
            projection=None if needed is None else (_projection(needed, to), to.names),
        )
        places = {at: entry for entry in entries if (at := identity(schema, entry)) in stored}
        there = self.shape.visible(self.context, (stored[at] for at in places), expired=self.expired)
        kept = [item for item in there if self.matches(item)]
        return Chunk(kept, [places[identity(schema, item)] for item in kept])

    def matches(self, item: Item) -> bool:
        """Tell whether an item, as it is, meets every condition."""
        plan = self.plan
        return (
            all(attribute in item for attribute in plan.index.attributes)
            and evaluate(plan.key, item)
            and evaluate(plan.filter, item)
            and evaluate(plan.local, item)
        )

    @property
    def _notes_reads(self) -> bool:
        return self.unit is not None and self.unit.keeps_reads

    def note(self, items: Iterable[Item]) -> None:
        """Make what is read a condition of the commit, where the transaction wants that."""
        unit, plan = self.unit, self.plan
        if unit is None or not unit.keeps_reads:
            return
        read: Collection[str] | None = self._needed()
        if plan.stored is not None and not plan.fetch:
            read = plan.stored.intersection(self._schema.by_attribute if read is None else read)
        for item in items:
            schema = self.shape.schema_of(item, self.context.prefix)
            key = schema.key_of_item(item)
            if unit.find(schema, key) is None:
                seen = item if plan.stored is None or plan.fetch else {a: item[a] for a in item if a in plan.stored}
                note_read(self.context, unit, schema, key, seen, read=read)

    @property
    def _dynamodb_counts(self) -> bool:
        """Tell whether every item that DynamoDB would count is one to be counted."""
        plan, schema = self.plan, self._schema
        pinned = plan.index.kind != "global"
        return (
            len(self.shape.schemas) == 1
            and plan.local is None
            and not plan.fetch
            and (self.expired or schema.expiry is None)
            and schema.owns_all(self.context.prefix, pinned=pinned)
            and not self._notes_reads
            and (self.unit is None or not any(self.unit.touching(schema)))
        )


def _projection(names: Iterable[str], to: Placeholders) -> str:
    return ", ".join(to.name(Name((attribute,))) for attribute in sorted(names))


class _Overlay:
    """The pending writes of a transaction, as far as a query would see them had they been stored.

    touched: the items that they write, whatever becomes of them.
    """

    __slots__ = ("_forward", "_schema", "_sort", "_waiting", "touched")

    def __init__(self, reading: Reading[Any], start: Item | None) -> None:
        plan = reading.plan
        self._schema = schema = reading.shape.schemas[0]
        self._forward = plan.forward
        self._sort = [key.attribute for key in plan.index.sort]
        self._waiting: deque[tuple[Any, Item]] = deque()
        self.touched: set[tuple[Any, ...]] = set()
        if reading.unit is None or plan.empty:
            return
        pending = dict(reading.unit.touching(schema))
        self.touched.update(pending)
        after = [write.after for write in pending.values() if write.after is not None]
        there = reading.shape.visible(reading.context, after, expired=reading.expired)
        found = [(self._position(item), item) for item in there if reading.matches(item)]
        found.sort(key=lambda entry: entry[0], reverse=not plan.forward)
        if start is not None and found:
            begin = self._position(start)
            found = [(at, item) for at, item in found if (at > begin if plan.forward else at < begin)]
        self._waiting.extend(found)

    def _position(self, item: Item) -> tuple[Any, ...]:
        return (*(sort_value(item[a]) for a in self._sort), *identity(self._schema, item)[1:])

    def merge(self, found: Chunk) -> Chunk:
        """Put the pending items that come in front of what was read last in their places."""
        items: list[Item] = []
        places: list[Item] = []
        for item, place in zip(found.items, found.places, strict=True):
            at = self._position(place)
            while self._waiting and (self._waiting[0][0] < at if self._forward else self._waiting[0][0] > at):
                pending = self._waiting.popleft()[1]
                items.append(pending)
                places.append(pending)
            items.append(item)
            places.append(place)
        return Chunk(items, places)

    def rest(self) -> Chunk:
        """Give the pending items behind everything that was read."""
        left = [item for _, item in self._waiting]
        self._waiting.clear()
        return Chunk(left, left)
