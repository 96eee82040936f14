"""This package on an event loop: asyncio's own, and uvloop's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.contestants import AT_ONCE, Contestant
from benchmarks.contestants.lift import Order
from lift_dynamorm import Database

if TYPE_CHECKING:
    from collections.abc import Callable


class Async(Contestant):
    title: ClassVar[str] = "lift-dynamorm, asyncio"
    packages: ClassVar[tuple[str, ...]] = ()

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self._session = Database(endpoint).session()
        self._runner = asyncio.Runner(loop_factory=self._loop_factory())

    def _loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop]:
        return asyncio.new_event_loop

    def get_async(self, count: int) -> Order:
        async def some(count: int) -> None:
            for _ in range(count):
                await self._session.get(Order, customer="c-10482", number=0)

        async def all_of_them() -> Order:
            each, more = divmod(count - 1, AT_ONCE)
            await asyncio.gather(*(some(each + (task < more)) for task in range(AT_ONCE)))
            return await self._session.get(Order, customer="c-10482", number=0)

        return self._runner.run(all_of_them())

    def query(self, count: int) -> list[Order]:
        async def queries() -> list[Order]:
            for _ in range(count):
                orders = await self._session.query(Order).where(customer="c-10482").all()
            return orders

        return self._runner.run(queries())

    def values(self, item: Order) -> dict[str, Any]:
        return item.model_dump()


class Uvloop(Async):
    title: ClassVar[str] = "lift-dynamorm, uvloop"
    packages: ClassVar[tuple[str, ...]] = ("uvloop",)

    def _loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop]:
        import uvloop

        return uvloop.new_event_loop
