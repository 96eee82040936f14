"""Consumed capacity: what the calls of a session took of tables and indexes, as DynamoDB reports it."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

METERED = frozenset(
    {
        "BatchExecuteStatement",
        "BatchGetItem",
        "BatchWriteItem",
        "DeleteItem",
        "ExecuteStatement",
        "ExecuteTransaction",
        "GetItem",
        "PutItem",
        "Query",
        "Scan",
        "TransactGetItems",
        "TransactWriteItems",
        "UpdateItem",
    }
)
"""The operations that report capacity units; a vector search reports bytes."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Read and write capacity units: of a session, with those of each of its tables; of a table, with its indexes.

    The units of a table include those of its indexes. The difference of two is what was consumed in between.
    """

    read: float = 0.0
    write: float = 0.0
    tables: Mapping[str, Capacity] = field(default_factory=dict)
    indexes: Mapping[str, Capacity] = field(default_factory=dict)

    def __add__(self, other: Capacity) -> Capacity:
        return self._plus(other, 1)

    def __sub__(self, other: Capacity) -> Capacity:
        return self._plus(other, -1)

    def _plus(self, other: Capacity, sign: int) -> Capacity:
        def parts(mine: Mapping[str, Capacity], theirs: Mapping[str, Capacity]) -> dict[str, Capacity]:
            return {n: mine.get(n, _NOTHING)._plus(theirs.get(n, _NOTHING), sign) for n in {**mine, **theirs}}

        return Capacity(
            self.read + sign * other.read,
            self.write + sign * other.write,
            parts(self.tables, other.tables),
            parts(self.indexes, other.indexes),
        )

    def __str__(self) -> str:
        lines = [f"read {self.read:.12g}, write {self.write:.12g}"]
        for name, part in sorted({**self.tables, **self.indexes}.items()):
            lines.append(f"  {name}: {part}".replace("\n", "\n  "))
        return "\n".join(lines)


_NOTHING = Capacity()


class Meter:
    """Add up what a session consumes, also by several threads at once.

    table_name: how a table of the models is called here. Tables are counted under their names in the models, as far
    as the session has used these.
    """

    __slots__ = ("_in_the_models", "_lock", "_table_name", "consumed")

    def __init__(self, table_name: Callable[[str], str]) -> None:
        self._table_name = table_name
        self._in_the_models: dict[str, str] = {}
        self._lock = Lock()
        self.consumed: Capacity = _NOTHING

    def table_name(self, name: str) -> str:
        """Tell how a table of the models is called here, and remember it."""
        here = self._table_name(name)
        self._in_the_models[here] = name
        return here

    def add(self, answer: Mapping[str, Any], *, reading: bool) -> None:
        """Count an answer. reading: its units are read units, where it does not say which they are."""
        reported: Any = answer.get("ConsumedCapacity") or []
        for entry in reported if isinstance(reported, list) else [reported]:
            read, write = _units(entry, reading=reading)
            indexes = {
                name: Capacity(*_units(part, reading=reading))
                for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
                for name, part in (entry.get(kind) or {}).items()
            }
            table = self._in_the_models.get(entry["TableName"], entry["TableName"])
            consumed = Capacity(read, write, {table: Capacity(read, write, {}, indexes)})
            with self._lock:
                self.consumed += consumed


def _units(part: Mapping[str, Any], *, reading: bool) -> tuple[float, float]:
    """Take read and write units out of a Capacity or ConsumedCapacity.

    Only transactions tell the two apart; they report read units where a token shows that they were applied before.
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ConsumedCapacity.html
    """
    read, write = part.get("ReadCapacityUnits"), part.get("WriteCapacityUnits")
    if read is not None and write is not None:
        return read, write
    total = part.get("CapacityUnits", 0.0)
    if read is not None or (reading and write is None):
        return total, 0.0
    return 0.0, total
