"""What a field of a model may be besides a value: a key, a version, a timestamp, an expiry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Role:
    """Mark a field in `Annotated`; `name` is the role it plays in its model."""

    name: str


PARTITION_KEY = Role("partition key")
SORT_KEY = Role("sort key")
VERSION = Role("version")
CREATED_AT = Role("created at")
UPDATED_AT = Role("updated at")
TIME_TO_LIVE = Role("time to live")
NULL = Role("null")
UNIQUE = Role("unique")
GENERATED = Role("generated")

PartitionKey = Annotated[T, PARTITION_KEY]
"""The field is the table's partition key: ``owner: PartitionKey[str]``."""

SortKey = Annotated[T, SORT_KEY]
"""The field is the table's sort key: ``written: SortKey[datetime]``. Datetimes sort by instant."""

Version = Annotated[int, VERSION]
"""Count the writes of the item, and refuse a write from a stale instance: ``version: Version = 0``.

0 means "never stored". The instance's value goes up once the write has succeeded.
"""

CreatedAt = Annotated[datetime | None, CREATED_AT]
"""The instant of the first write, UTC: ``created_at: CreatedAt = None``."""

UpdatedAt = Annotated[datetime | None, UPDATED_AT]
"""The instant of the last write, UTC: ``updated_at: UpdatedAt = None``."""

TTL = Annotated[datetime | None, TIME_TO_LIVE]
"""The instant after which DynamoDB may delete the item: ``expires_at: TTL = None``.

Stored as whole seconds since 1970, cut off, as DynamoDB's Time to Live wants it. ``Annotated[int | None,
TIME_TO_LIVE]`` keeps the seconds themselves.
"""

Unique = Annotated[T, UNIQUE]
"""No two items of the model have the same value: ``email: Unique[str]``. `UniqueViolation` where one has it already.

A sibling item in the same table keeps each value, written in the same transaction as the item. None is no value.
"""

Generated = Annotated[str, GENERATED]
"""An id that the database makes when the item is first stored: ``id: Generated = ""``. See ``Database(new_id=...)``."""

Null = Annotated[T, NULL]
"""None is stored as NULL instead of leaving the attribute out: ``ended: Null[datetime | None] = None``."""
