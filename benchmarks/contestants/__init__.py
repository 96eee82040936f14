"""Who is measured. A new one is a class like these, and its name in the list."""

from __future__ import annotations

from typing import Any, ClassVar

CONTESTANTS = (
    "lift:Blocking",
    "lift_async:Async",
    "lift_async:Uvloop",
    "boto_client:Client",
    "boto_threads:Threads",
    "boto_resource:Resource",
    "raw:Raw",
    "imports:Pydantic",
    "imports:Python",
    "web:WithMiddleware",
    "web:Bare",
)
"""``module:Class``, in the order of the table; the first in a row is what the others are compared with."""

AT_ONCE = 16


class Contestant:
    """One way to do the work, in a process of its own.

    Its methods are named after rows (`benchmarks.rows`): each does the work `count` times and returns the last
    answer. packages: the distributions whose versions matter.
    """

    title: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ()

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def check(self, row: str, answer: Any) -> None:
        """Raise where the answer is not what the work is about. What was put, the server has checked."""
        from benchmarks.items import ITEM, PAGE

        if row in ("get", "get_async"):
            self._expect(ITEM, self.values(answer))
        elif row == "query":
            for number, item in enumerate(answer):
                self._expect({**ITEM, "number": number}, self.values(item))
            self._expect(PAGE, len(answer))

    def values(self, item: Any) -> Any:
        """Give the fields of what was read as `ITEM` has them."""
        raise NotImplementedError

    def _expect(self, wanted: object, got: object) -> None:
        if got != wanted:
            raise SystemExit(f"{self.title} is out of the contest: it gave {got!r} for {wanted!r}")
