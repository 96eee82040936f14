"""What a fresh process takes before any library is chosen: Python alone, and with a pydantic model."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.contestants import Contestant


class Python(Contestant):
    title: ClassVar[str] = "Python alone"

    def first(self, count: int) -> None:
        pass


class Pydantic(Contestant):
    title: ClassVar[str] = "the same model in pydantic alone"
    packages: ClassVar[tuple[str, ...]] = ("pydantic", "pydantic-core")

    def first(self, count: int) -> None:
        from benchmarks.contestants.orders import Order
        from benchmarks.items import ITEM

        Order(**ITEM)
