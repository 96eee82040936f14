"""How many items to ask for at once, where some of those that are read are dropped again."""

from __future__ import annotations

_FIRST = 25
_FACTOR = 4
_MOST = 1000


class PageSize:
    """The Limit of each request of a read that wants some number of items; None where it wants all.

    DynamoDB counts its Limit before the filter: a limit of what is wanted would take a request per item where few
    pass, and none at all would read 1 MB for a single one. So a limit is what is wanted, until an item was dropped;
    then it is what the share that passed so far suggests, but at least twice the last one, and none beyond 1000: the
    number of requests grows as the logarithm of what is read.

    selective: a filter is known to drop items, so the first limit is larger than what is wanted.
    """

    __slots__ = ("_given", "_last", "_left", "_read", "_selective")

    def __init__(self, wanted: int | None, *, selective: bool) -> None:
        self._left = wanted
        self._selective = selective
        self._read = self._given = self._last = 0

    def next(self) -> int | None:
        """Tell the Limit of the next request."""
        if self._left is None:
            return None
        if self._given < self._read:
            suggested = -(-self._left * self._read // self._given) if self._given else 0
            self._last = max(suggested, 2 * self._last)
        elif self._selective and not self._read:
            self._last = max(_FIRST, _FACTOR * self._left)
        else:
            self._last = self._left
            return self._left
        return self._last if self._last <= _MOST else None

    def note(self, *, read: int, given: int) -> None:
        """Learn from an answer: how many items DynamoDB read for it, and how many of them were given."""
        self._read += read
        self._given += given
        if self._left is not None:
            self._left = max(1, self._left - given)
