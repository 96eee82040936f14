"""The query builder: what is asked of a model, until something asks for the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import orjson

from lift_dynamorm.conditions import Condition, Placeholders, render
from lift_dynamorm.errors import ItemNotFound, QueryError, UsageError
from lift_dynamorm.expressions import Expression, F, Path, explicit
from lift_dynamorm.model import Model, schema_of
from lift_dynamorm.operations.query import pages, position_of, request
from lift_dynamorm.planner import Plan, plan
from lift_dynamorm.resolve import resolve, resolve_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.session import Session

    Item = dict[str, Any]

M = TypeVar("M", bound=Model)

DEFAULT_PAGE = 50


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Some items, and the cursor to the next ones; None where there are none."""

    items: list[M]
    cursor: str | None

    def __iter__(self) -> Iterator[M]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a query will do. `request` is what will be sent first; `rejected` tells why not another index."""

    model: str
    index: str
    request: dict[str, Any]
    local: bool
    warnings: tuple[str, ...]
    rejected: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        lines = [f"query {self.model} by {self.index}"]
        names, values = (
            self.request.get("ExpressionAttributeNames", {}),
            self.request.get("ExpressionAttributeValues", {}),
        )
        for title, part in (("key", "KeyConditionExpression"), ("filter", "FilterExpression")):
            if part in self.request:
                lines.append(f"  {title:8} {_readable(self.request[part], names, values)}")
        lines += [f"  warning  {warning}" for warning in self.warnings]
        lines += [f"  not by   {name}, which {reason}" for name, reason in self.rejected]
        return "\n".join(lines)


def _readable(expression: str, names: dict[str, str], values: dict[str, Any]) -> str:
    for placeholder in sorted((*names, *values), key=len, reverse=True):
        text = names.get(placeholder) or repr(next(iter(values[placeholder].values())))
        expression = expression.replace(placeholder, text)
    return expression


@dataclass(frozen=True, slots=True)
class Asked(Generic[M]):
    """What has been said so far; every call of the builder gives a new one."""

    session: Session
    model: type[M]
    conditions: tuple[Expression, ...] = ()
    order: str | None = None
    most: int | None = None
    chosen: str | None = None
    is_consistent: bool = False

    def where(self, *conditions: Any, **equal: Any) -> Self:
        """Keep items for which all conditions hold.

        Three forms: ``where(F.joined > day)``, ``where(team="core")`` and ``where("joined", ">", day)``.
        """
        if conditions and isinstance(conditions[0], str):
            name, op, *operands = (*conditions, "exists") if len(conditions) == 1 else conditions
            conditions = (explicit(name, op, tuple(operands)),)
        for condition in conditions:
            if not isinstance(condition, Expression):
                msg = (
                    f'where({condition!r}) is no condition; write F.field == value, field=value or "field", "=", value'
                )
                raise QueryError(msg)
        more = (*conditions, *(F[name] == value for name, value in equal.items()))
        return replace(self, conditions=(*self.conditions, *more))

    def order_by(self, field: str | Path) -> Self:
        """Sort by the sort key: ``"joined"``, or ``"-joined"`` for descending."""
        return replace(self, order=str(field))

    def limit(self, most: int) -> Self:
        """Stop after so many items; for `page`, the size of a page."""
        if type(most) is not int or most < 1:
            raise UsageError(f"limit({most!r}): give a whole number from 1")
        return replace(self, most=most)

    def index(self, name: str) -> Self:
        """Use this index and no other; ``"table"`` is the table itself."""
        return replace(self, chosen=name)

    def consistent(self) -> Self:
        """Read what was written last, at twice the cost; not possible on a global index."""
        return replace(self, is_consistent=True)

    def explain(self) -> Explanation:
        """Say what the query will do, without doing it."""
        if callable(self.session.tenant):
            raise UsageError("explain() needs a session whose tenant is known")
        context = self.session.context()
        schema = schema_of(self.model)
        chosen = self._plan(context.prefix)
        warnings = []
        if chosen.filter is not None or chosen.local is not None:
            warnings.append("items that the filter drops are read and paid for")
        if any(schema.by_attribute[a].codec.nullable for a in chosen.index.fields if chosen.index.name is not None):
            warnings.append(
                f"items without {' or '.join(sorted(map(schema.name_of, chosen.index.fields)))} are not in it"
            )
        if chosen.index.kind == "global":
            warnings.append("a global index lags behind the table")
        sent = request(
            context,
            schema_of(self.model),
            chosen,
            consistent=self.is_consistent,
            page_size=self._size(chosen),
            start=None,
        )
        return Explanation(
            self.model.__name__, str(chosen.index), sent, chosen.local is not None, tuple(warnings), chosen.rejected
        )

    def _plan(self, prefix: str) -> Plan:
        schema = schema_of(self.model)
        conditions: list[Condition] = [resolve(schema, condition, prefix) for condition in self.conditions]
        order = None
        if self.order is not None:
            name = self.order.removeprefix("-")
            order = (str(resolve_path(schema, Path((name,))).name.parts[0]), not self.order.startswith("-"))
        return plan(schema, conditions, prefix, order=order, index=self.chosen, consistent=self.is_consistent)

    def _size(self, chosen: Plan) -> int | None:
        """How many items to ask for at once: no limit beside a filter, or it would take a request per item."""
        return None if chosen.filter is not None or chosen.local is not None else self.most


class Query(Asked[M]):
    """A query on a model. Build it with `where`, `order_by`, `limit`; read it with ``async for`` or a verb."""

    __slots__ = ()

    def __aiter__(self) -> AsyncIterator[M]:
        return self._items()

    async def _items(self) -> AsyncIterator[M]:
        async for prefix, items in self._limited():
            for item in items:
                yield schema_of(self.model).decode(item, prefix)

    async def _limited(self) -> AsyncIterator[tuple[str, list[Item]]]:
        left = self.most
        async for context, _, items in self._pages(None, left):
            yield context.prefix, items[:left]
            if left is not None:
                left -= len(items)
                if left <= 0:
                    return

    async def all(self) -> list[M]:
        """Read every item, up to the limit, into a list."""
        decode = schema_of(self.model).decode
        return [decode(item, prefix) async for prefix, items in self._limited() for item in items]

    async def first(self) -> M | None:
        """Read the first item; None where there is none."""
        async for item in self.limit(1):
            return item
        return None

    async def one(self) -> M:
        """Read the only item; `ItemNotFound` where there is none, `QueryError` where there are several."""
        item = await self.one_or_none()
        if item is None:
            raise ItemNotFound(f"one(): no {self.model.__name__} matches; one_or_none() allows that")
        return item

    async def one_or_none(self) -> M | None:
        """Read the only item, None where there is none; `QueryError` where there are several."""
        items = await self.limit(2).all()
        if len(items) > 1:
            raise QueryError(f"one(): several {self.model.__name__} items match; first() takes the first of them")
        return items[0] if items else None

    async def count(self) -> int:
        """Count the items, up to the limit. Reading them is paid for all the same."""
        total = 0
        async for _, _, items in self._pages(None, self.most):
            total += len(items)
            if self.most is not None and total >= self.most:
                return self.most
        return total

    async def page(self, after: str | None = None) -> Page[M]:
        """Read one page of `limit` items (50 by default), with the cursor to the next one.

        after: the cursor of the page before; None or "" for the first. Raises CursorError.
        """
        schema, size = schema_of(self.model), self.most or DEFAULT_PAGE
        collected: list[Item] = []
        async for context, chosen, items in self._pages(after or None, size + 1):
            collected += items
            if len(collected) > size:
                position = position_of(schema, chosen, collected[size - 1])
                cursor = context.cursors.sign(position, query=self._fingerprint(context, chosen), tenant=context.prefix)
                return Page([schema.decode(item, context.prefix) for item in collected[:size]], cursor)
        return Page([schema.decode(item, context.prefix) for item in collected], None)

    async def _pages(self, after: str | None, most: int | None) -> AsyncIterator[tuple[Context, Plan, list[Item]]]:
        context = await self.session.open()
        schema = schema_of(self.model)
        chosen = self._plan(context.prefix)
        start = None
        if after is not None:
            start = context.cursors.open(after, query=self._fingerprint(context, chosen), tenant=context.prefix)
        sized = replace(self, most=most)
        payload = request(
            context, schema, chosen, consistent=self.is_consistent, page_size=sized._size(chosen), start=start
        )
        async for items in pages(context, schema, chosen, payload, self.session.unit_of_work):
            yield context, chosen, items

    def _fingerprint(self, context: Context, chosen: Plan) -> bytes:
        sent = request(context, schema_of(self.model), chosen, consistent=False, page_size=None, start=None)
        local = Placeholders()
        text = render(chosen.local, local) if chosen.local is not None else ""
        return orjson.dumps([self.model.__name__, sent, text, local.names, local.values], option=orjson.OPT_SORT_KEYS)
