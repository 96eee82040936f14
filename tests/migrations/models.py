"""What the migrations of the tests change."""

from __future__ import annotations

from lift_dynamorm import Model, PartitionKey, Unique, UpdatedAt, Version


class OldUser(Model, table="app", pk="USER#{id}", sk="PROFILE"):
    id: str
    first: str
    last: str


class User(Model, table="app", pk="USER#{id}", sk="PROFILE"):
    id: str
    full_name: str


class Counter(Model, table="app", pk="COUNTER#{id}", sk="COUNTER"):
    id: str
    n: int


class Person(Model, table="app", pk="PERSON#{id}", sk="PERSON"):
    """Where a counter moves to."""

    id: str
    n: int
    version: Version = 0


class Document(Model, table="app", pk="DOC#{id}", sk="DOC"):
    id: str
    n: int
    version: Version = 0
    updated_at: UpdatedAt = None


class Note(Model, table="app", pk="NOTE#{id}", sk="NOTE"):
    id: str
    n: int
    said: str = ""
    done: bool = False
    version: Version = 0


class OldMember(Model, table="app", pk="MEMBER#{id}", sk="MEMBER"):
    """A member as it was before its email was unique."""

    id: str
    email: str


class Member(Model, table="app", pk="MEMBER#{id}", sk="MEMBER"):
    id: str
    email: Unique[str]


class Plain(Model, table="plain"):
    id: PartitionKey[str]
    n: int
    done: bool | None = None
