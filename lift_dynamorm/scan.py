"""The scan builder: what is asked of a whole table or index, until something asks for the answer."""

from __future__ import annotations

import inspect
from contextlib import aclosing
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from pydantic import BaseModel

from lift_dynamorm.errors import UsageError
from lift_dynamorm.explain import Explanation, explain
from lift_dynamorm.model import schema_of
from lift_dynamorm.operations.scan import Pace, Run, Scanning, plan_scan, read_units_per_second
from lift_dynamorm.query import DEFAULT_PAGE, Asked, Page
from lift_dynamorm.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.operations.scan import ScanProgress

    Item = dict[str, Any]

R = TypeVar("R")
P = TypeVar("P", bound=BaseModel)

MAX_SEGMENTS = 1_000_000


@dataclass(frozen=True, slots=True)
class AskedOfAll(Asked[R]):
    """What has been said so far of a scan."""

    parts: int = 1
    units: float | None = None
    portion: float | None = None
    report: Callable[[ScanProgress], Awaitable[None] | None] | None = None
    start: str | None = None

    def segments(self, count: int) -> Self:
        """Read so many segments of the table at once, by tasks, or by threads in a sync session.

        Each holds a connection and a page of up to 1 MB, and waits until that page is taken.
        """
        if type(count) is not int or not 1 <= count <= MAX_SEGMENTS:
            raise UsageError(f"segments({count!r}): give a whole number from 1 to {MAX_SEGMENTS}")
        return replace(self, parts=count)

    def rate(self, *, read_units: float | None = None, share: float | None = None) -> Self:
        """Take no more than so many read units a second, or than a share of what the table is provisioned with.

        share: more than 0, at most 1. The rate is that of all segments together.
        """
        if (read_units is None) == (share is None):
            raise UsageError("rate() takes read_units=..., the units a second, or share=..., of the provisioned units")
        if read_units is not None and not 0 < read_units < inf:
            raise UsageError(f"rate(read_units={read_units!r}): give a number above 0")
        if share is not None and not 0 < share <= 1:
            raise UsageError(f"rate(share={share!r}): give a number above 0, and at most 1")
        return replace(self, units=read_units, portion=share)

    def progress(self, report: Callable[[ScanProgress], Awaitable[None] | None]) -> Self:
        """Call a function, async or not, each time the items of a page have been taken and the next are asked for."""
        return replace(self, report=report)

    def resume(self, cursor: str | None) -> Self:
        """Begin behind what had been given when the cursor was made; None or "" for the beginning."""
        return replace(self, start=cursor or None)

    def explain(self, *, item_size: int = 1024) -> Explanation:
        """Say what the scan will do, without doing it. item_size: bytes that an item is assumed to take."""
        if callable(self.session.tenant):
            raise UsageError("explain() needs a session whose tenant is known")
        reading = self._reading(self.session.context())
        said = explain(reading, self.most, item_size)
        what = "table" if reading.plan.index.name is None else f"index {said.index}"
        warning = f"all of the {what} is read, with the items of every model and tenant in it"
        return replace(said, verb="scan", warnings=(warning, *said.warnings))

    def _reading(self, context: Context, *, counting: bool = False) -> Scanning[R]:
        schema = schema_of(self.model)
        shape = self._shape((schema,), counting=counting)
        chosen = plan_scan(
            schema,
            [resolve(schema, condition, context.prefix) for condition in self.conditions],
            context.prefix,
            index=self.chosen,
            consistent=self.is_consistent,
            needed=shape.attributes,
        )
        unit = self.session.unit_of_work
        return Scanning(context, unit, shape, chosen, self.is_consistent, self.with_expired, self.parts)


class Scan(AskedOfAll[R]):
    """A scan of a model's table. Build it with `where`, `segments`, `rate`; read it with ``async for`` or a verb."""

    __slots__ = ()

    @overload
    def only(self, *fields: str) -> Self: ...

    @overload
    def only(self, model: type[P], /) -> Scan[P]: ...

    def only(self, *what: Any) -> Any:
        """Give less of each item, for the same price: partial instances, or a smaller model's; see `Query.only`."""
        return self._only(what)

    if not TYPE_CHECKING:  # so that a type checker still refuses it

        def __iter__(self):
            raise UsageError("a scan is read by `async for`; without await: db.sync.session(...)")

    async def __aiter__(self) -> AsyncGenerator[R, None]:
        run = await self._run(self.most)
        async with aclosing(self._pages(run)) as pages:
            async for items in pages:
                for at in range(0, len(items), run.reading.at_once):
                    for given in await run.reading.give(items[at : at + run.reading.at_once]):
                        yield given

    async def pages(self) -> AsyncGenerator[Page[R], None]:
        """Read page by page, as DynamoDB gives them: up to 1 MB of a segment, or less, or nothing.

        The cursor of a page is where to `resume` once its items, and those of the pages before, are done with; None at
        the end.
        """
        run = await self._run(self.most)
        async with aclosing(self._pages(run)) as pages:
            async for items in pages:
                yield Page(await run.reading.give(items), run.cursor)

    async def all(self) -> list[R]:
        """Read every item, up to the limit, into a list."""
        run = await self._run(self.most)
        async with aclosing(self._pages(run)) as pages:
            return [given async for items in pages for given in await run.reading.give(items)]

    async def first(self) -> R | None:
        """Read any one item; None where there is none."""
        items = await self.limit(1).all()
        return items[0] if items else None

    async def count(self) -> int:
        """Count the items, up to the limit. Reading them is paid for all the same."""
        run = await self._run(self.most, counting=True)
        total = 0
        async with aclosing(self._pages(run)) as pages:
            async for items in pages:
                run.reading.note(items)
                total += len(items)
        return total

    async def page(self, after: str | None = None) -> Page[R]:
        """Read one page of `limit` items (50 by default), with the cursor to the next one.

        The last page may have a cursor too, and be followed by an empty one. after: the cursor of the page before;
        None or "" for the first. Raises CursorError.
        """
        run = await self.resume(after)._run(self.most or DEFAULT_PAGE)
        async with aclosing(self._pages(run)) as pages:
            items = [item async for page in pages for item in page]
        return Page(await run.reading.give(items), run.cursor)

    async def _run(self, most: int | None, *, counting: bool = False) -> Run[R]:
        context = await self.session.open()
        reading = self._reading(context, counting=counting)
        await reading.confirm()
        rate = self.units
        if self.portion is not None:
            rate = self.portion * await read_units_per_second(context, schema_of(self.model), reading.plan.index)
        return Run(reading, self.start, most, Pace(rate, context.transport.sleep) if rate is not None else None)

    async def _pages(self, run: Run[R]) -> AsyncGenerator[list[Item], None]:
        async with aclosing(run.pages()) as pages:
            async for items in pages:
                yield items
                if self.report is not None:
                    told = self.report(run.progress)
                    if inspect.isawaitable(told):
                        await told
