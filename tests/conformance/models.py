"""The models that the conformance tests share."""

from __future__ import annotations

from datetime import UTC, datetime

from lift_dynamorm import GSI, LSI, TTL, CreatedAt, Model, PartitionKey, SortKey, UpdatedAt, Version

DAY = datetime(2026, 1, 1, tzinfo=UTC)


class Plain(Model, table="plain"):
    """Nothing but a key and values: no version, no timestamps."""

    id: PartitionKey[str]
    name: str = ""
    count: int = 0
    tags: set[str] = set()
    lines: list[str] = []
    box: dict[str, int] = {}
    note: str | None = None


class Note(Model, table="notes"):
    owner: PartitionKey[str]
    written: SortKey[datetime]
    text: str = ""


class Reading(Model, table="readings", indexes=[LSI("by_place", sk="{place}")]):
    sensor: PartitionKey[str]
    value: SortKey[int]
    place: str | None = None


class Counter(Model, table="counters"):
    number: PartitionKey[int]
    hits: int = 0


class Blob(Model, table="blobs"):
    digest: PartitionKey[bytes]
    size: int = 0


class User(
    Model,
    table="app",
    pk="USER#{id}",
    sk="PROFILE",
    indexes=[GSI("by_email", pk="EMAIL#{email}"), GSI("by_team", pk="TEAM#{team}", sk="{joined}")],
):
    id: str
    email: str | None = None
    team: str | None = None
    name: str = ""
    logins: int = 0
    joined: datetime = DAY
    tags: set[str] = set()
    version: Version = 0
    created_at: CreatedAt = None
    updated_at: UpdatedAt = None
    expires_at: TTL = None


class Order(
    Model,
    table="app",
    pk="USER#{user}",
    sk="ORDER#{amount}#{number}",
    indexes=[GSI("by_state", pk="STATE#{state}", sk="{placed}", projection="ALL")],
):
    """Lives in the table of `User`, in the same partitions."""

    user: str
    number: int
    amount: float
    state: str = "open"
    placed: datetime = DAY
    version: Version = 0
