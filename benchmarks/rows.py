"""What is measured. A contestant takes part in a row by having a method of its name."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.items import PAGE


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work.

    per: operations in one call. fresh: one call is the whole life of a process.
    difference: what counts is how much the first contestant takes more than the second.
    """

    name: str
    title: str
    unit: str = "us"
    per: int = 1
    fresh: bool = False
    difference: bool = False

    @property
    def scale(self) -> float:
        """How many units are in a second of one call."""
        return {"us": 1e6, "ms": 1e3}[self.unit] / self.per


ROWS = (
    Row("get", "GetItem, one after the other"),
    Row("get_async", "GetItem, 16 at once on an event loop"),
    Row("query", f"Query, a page of {PAGE} items, per item", per=PAGE),
    Row("put", "PutItem, one after the other"),
    Row("first", "A fresh process: imports and the first GetItem", "ms", fresh=True),
    Row("middleware", "A request that leaves the database alone", difference=True),
)
