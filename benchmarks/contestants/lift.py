"""This package, without an event loop."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from benchmarks.contestants import Contestant
from benchmarks.items import ITEM, TABLE
from lift_dynamorm import Database, Model, PartitionKey, SortKey


class Order(Model, table=TABLE):
    customer: PartitionKey[str]
    number: SortKey[int]
    email: str
    placed: datetime
    total: Decimal
    weight: float
    paid: bool
    tags: set[str]
    lines: list[str]
    revision: int


class Blocking(Contestant):
    title: ClassVar[str] = "lift-dynamorm"
    packages: ClassVar[tuple[str, ...]] = ("pydantic", "orjson", "httptools")

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self._session = Database(endpoint).sync.session()
        self._order = Order(**ITEM)

    def get(self, count: int) -> Order:
        for _ in range(count):
            order = self._session.get(Order, customer="c-10482", number=0)
        return order

    def query(self, count: int) -> list[Order]:
        for _ in range(count):
            orders = self._session.query(Order).where(customer="c-10482").all()
        return orders

    def put(self, count: int) -> None:
        for _ in range(count):
            self._session.put(self._order)

    first = get

    def values(self, item: Order) -> dict[str, Any]:
        return item.model_dump()
