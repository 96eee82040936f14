"""Read the items of one partition, page by page."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from lift_dynamorm.conditions import Every, Placeholders, evaluate, render, sort_value
from lift_dynamorm.unit_of_work import identity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.planner import Plan
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.unit_of_work import UnitOfWork

    Item = dict[str, Any]


def request(
    context: Context, schema: Schema[Any], plan: Plan, *, consistent: bool, page_size: int | None, start: Item | None
) -> dict[str, Any]:
    """Write the Query request of a plan. start: the key after which to begin."""
    to = Placeholders()
    payload: dict[str, Any] = {"TableName": context.table(schema), "KeyConditionExpression": _key_expression(plan, to)}
    if plan.index.name is not None:
        payload["IndexName"] = plan.index.name
    if plan.filter is not None:
        payload["FilterExpression"] = render(plan.filter, to)
    if not plan.forward:
        payload["ScanIndexForward"] = False
    if consistent:
        payload["ConsistentRead"] = True
    if page_size is not None:
        payload["Limit"] = page_size
    if start is not None:
        payload["ExclusiveStartKey"] = start
    to.add_to(payload)
    return payload


def _key_expression(plan: Plan, to: Placeholders) -> str:
    tests = plan.key.tests if isinstance(plan.key, Every) else (plan.key,)
    return " AND ".join(render(test, to) for test in tests)


async def pages(
    context: Context, schema: Schema[Any], plan: Plan, payload: dict[str, Any], unit: UnitOfWork | None
) -> AsyncIterator[list[Item]]:
    """Yield the stored items, a page at a time, with the pending writes of a transaction in their places."""
    overlay = _Overlay(schema, plan, context.prefix, unit, payload.get("ExclusiveStartKey"))
    while not plan.empty:
        answer = await context.send("Query", payload)
        items = [
            item for item in answer.get("Items", ()) if schema.owns(item, context.prefix) and evaluate(plan.local, item)
        ]
        yield overlay.merge(items) if overlay.active else items
        last = answer.get("LastEvaluatedKey")
        if last is None:
            break
        payload = {**payload, "ExclusiveStartKey": last}
    if overlay.active:
        yield overlay.rest()


def position_of(schema: Schema[Any], plan: Plan, item: Item) -> Item:
    """Take out of an item the key after which a later request goes on."""
    return {a: item[a] for a in {**dict.fromkeys(schema.key.attributes), **dict.fromkeys(plan.index.attributes)}}


class _Overlay:
    """The pending writes of a transaction, as far as a query would see them had they been stored."""

    __slots__ = ("_forward", "_schema", "_sort", "_touched", "_waiting", "active")

    def __init__(
        self, schema: Schema[Any], plan: Plan, prefix: str, unit: UnitOfWork | None, start: Item | None
    ) -> None:
        self._schema = schema
        self._forward = plan.forward
        self._sort = [key.attribute for key in plan.index.sort]
        self._touched: set[tuple[Any, ...]] = set()
        found: list[tuple[Any, Item]] = []
        for key, pending in unit.touching(schema) if unit is not None else ():
            self._touched.add(key)
            item = pending.after
            if item is not None and self._matches(item, plan, prefix):
                found.append((self._position(item), item))
        found.sort(key=lambda entry: entry[0], reverse=not plan.forward)
        if start is not None and found:
            begin = self._position(start)
            found = [(at, item) for at, item in found if (at > begin if plan.forward else at < begin)]
        self._waiting = deque(found)
        self.active = bool(self._touched)

    def _matches(self, item: Item, plan: Plan, prefix: str) -> bool:
        return (
            all(attribute in item for attribute in plan.index.attributes)
            and self._schema.owns(item, prefix)
            and evaluate(plan.key, item)
            and evaluate(plan.filter, item)
            and evaluate(plan.local, item)
        )

    def _position(self, item: Item) -> tuple[Any, ...]:
        return (*(sort_value(item[a]) for a in self._sort), *identity(self._schema, item)[1:])

    def merge(self, items: Iterable[Item]) -> list[Item]:
        merged: list[Item] = []
        for item in items:
            if identity(self._schema, item) in self._touched:
                continue
            at = self._position(item)
            while self._waiting and (self._waiting[0][0] < at if self._forward else self._waiting[0][0] > at):
                merged.append(self._waiting.popleft()[1])
            merged.append(item)
        return merged

    def rest(self) -> list[Item]:
        left = [item for _, item in self._waiting]
        self._waiting.clear()
        return left
