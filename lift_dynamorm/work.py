"""The transaction of a session: begun, committed, taken back, over."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from lift_dynamorm.errors import SessionClosed, UsageError
from lift_dynamorm.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Mode = Literal["transactional", "read-only", "immediate"]
"""What becomes of the writes of a request: one transaction, none allowed, or each at once."""

READ_ONLY = "this request only reads, by the mode of its route; a route that writes is transactional or immediate"


class Work:
    """What a session and its sync twin hold back together.

    unit: the writes held back, None outside of a transaction. ended: why no more writes are taken, "" while they are.
    """

    __slots__ = ("_blocks", "_chained", "_decide", "ended", "unit")

    def __init__(self) -> None:
        self._blocks = 0
        self._chained = False
        self._decide: Callable[[], Mode] | None = None
        self.unit: UnitOfWork | None = None
        self.ended: str = ""

    def check_open(self) -> None:
        """Refuse a write after the end."""
        self.settle()
        if self.ended:
            raise SessionClosed(self.ended)

    def begin_as(self, decide: Callable[[], Mode]) -> None:
        """Begin in the mode that `decide` tells when the session is first used; a transaction is chained."""
        self.begin(chain=True)
        self._decide = decide

    def settle(self) -> None:
        """Find out the mode, where that is still open."""
        decide, self._decide = self._decide, None
        if decide is None:
            return
        mode = decide()
        if mode != "transactional":
            self._chained, self.unit = False, None
        if mode == "read-only":
            self.ended = READ_ONLY

    def begin(self, *, chain: bool = False) -> None:
        """Hold back writes from now on; with `chain`, the next ones too once these are committed."""
        self.check_open()
        if self.unit is None:
            self._chained = chain
            self.unit = UnitOfWork()

    def take(self, *, end: str = "") -> UnitOfWork | None:
        """Hand over what is held back and end the transaction; end: take no more writes, for this reason."""
        if self._blocks:
            raise UsageError("a transaction() block commits at its end; to take it back, raise an exception out of it")
        unit = self.unit
        if end:
            self._chained, self.ended = False, end
        self.unit = UnitOfWork() if self._chained else None
        return unit

    def rollback(self) -> None:
        """Forget what is held back, give instances their old values, and end the transaction."""
        unit = self.take()
        if unit is not None:
            unit.rollback()

    def end(self, reason: str) -> None:
        """Roll back, also from inside of a block, and take no more writes."""
        self._chained, self.ended, self._blocks = False, reason, 0
        self.rollback()

    @contextmanager
    def block(self, *, serializable: bool) -> Iterator[bool]:
        """Open a block of writes, of the open transaction or of a new one; tells whether it is a new one.

        An exception out of it takes back its writes.
        """
        self.settle()
        joined = self.unit
        self.begin()
        unit = self.unit
        assert unit is not None
        mark = unit.mark()
        if serializable:
            unit.keep_reads()
        self._blocks += 1
        try:
            yield joined is None
        except BaseException:
            self._leave()
            if joined is None:
                self.rollback()
            else:
                unit.rollback(mark)
            raise
        self._leave()

    def _leave(self) -> None:
        self._blocks = max(0, self._blocks - 1)  # `end` may have left them all
