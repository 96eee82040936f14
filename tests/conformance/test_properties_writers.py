"""Writers who hold old and new instances of the same items, against a plain account of what must be stored.

A version counts writes and does not tell incarnations apart: who holds version 1 of an item that was deleted and
created anew holds version 1 of the new one.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

from lift_dynamorm import (
    Database,
    DynamORMError,
    F,
    ItemExists,
    ItemNotFound,
    Model,
    PartitionKey,
    TransactionConditionFailed,
    UsageError,
    Version,
    VersionConflict,
)
from lift_dynamorm.transport.faults import RecordingTransport
from lift_dynamorm.transport.retry import RetryTransport

from .conftest import session_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lift_dynamorm import Session
    from lift_dynamorm.transport import Transport

    from .conftest import ForAll

    Fields = dict[str, Any]


class Plain(Model, table="entries"):
    id: PartitionKey[str]
    name: str = ""
    total: int = 0
    lines: list[int] = []
    note: str | None = None


class Locked(Plain, table="locked"):
    version: Version = 0


@dataclass
class Holder:
    """A writer's instance, and the item as the writer knows it: None for one that was never stored."""

    mine: Plain
    seen: Fields | None = None

    @property
    def changed(self) -> Fields:
        """What the writer changed on the instance."""
        return {} if self.seen is None else {n: v for n, v in self.mine.model_dump().items() if v != self.seen[n]}


@dataclass
class Verb:
    """One write: how it is done, and what it makes of the stored item, or why it must be refused.

    calculates: the field whose new value depends on the old one. by_key: it needs no instance.
    """

    act: Callable[[Session, Holder, int], Awaitable[Any]]
    leaves: Callable[[Holder, Fields | None, int], Fields | None]
    calculates: tuple[str, ...] = ()
    by_key: bool = False


def current(stored: Fields | None) -> Fields:
    if stored is None:
        raise ItemNotFound
    return stored


def locked(holder: Holder, stored: Fields | None) -> Fields:
    if current(stored).get("version") != getattr(holder.mine, "version", None):
        raise VersionConflict("stale")
    return current(stored)


def counted(fields: Fields) -> Fields:
    return {**fields, "version": fields["version"] + 1} if "version" in fields else fields


def updated(holder: Holder, stored: Fields | None, **given: Any) -> Fields:
    return counted({**locked(holder, stored), **holder.changed, **given})


def saved(holder: Holder, stored: Fields | None, n: int) -> Fields | None:
    if holder.seen is None:
        raise UsageError("never read")
    return updated(holder, stored) if holder.changed else stored


def appended(holder: Holder, stored: Fields | None, n: int) -> Fields:
    if "lines" in holder.changed:
        raise UsageError("changed in place, and by an expression")
    return updated(holder, stored, lines=[*locked(holder, stored)["lines"], n])


def put(holder: Holder, stored: Fields | None, n: int) -> Fields:
    mine = holder.mine.model_dump()
    if mine.get("version") and stored is None:
        raise ItemNotFound
    if mine.get("version", 0) != (stored or {}).get("version", 0):
        raise VersionConflict("stale")
    return counted(mine)


def created(holder: Holder, stored: Fields | None, n: int) -> Fields:
    if stored is not None:
        raise ItemExists("there is one")
    return counted(holder.mine.model_dump())


def deleted(holder: Holder, stored: Fields | None, n: int) -> None:
    locked(holder, stored)


def upserted(holder: Holder, stored: Fields | None, n: int) -> Fields:
    fields = stored or type(holder.mine)(id=holder.mine.id).model_dump()
    return counted({**fields, "total": fields["total"] + 1})


def by_key(s: Session, holder: Holder, *, upsert: bool = False, **changes: Any) -> Awaitable[Any]:
    return s.update(type(holder.mine), {"id": holder.mine.id}, upsert=upsert, **changes)


VERBS = {
    "save": Verb(lambda s, h, n: s.update(h.mine), saved),
    "rename": Verb(lambda s, h, n: s.update(h.mine, name=f"{n}"), lambda h, old, n: updated(h, old, name=f"{n}")),
    "count": Verb(
        lambda s, h, n: s.update(h.mine, total=F.total + 1),
        lambda h, old, n: updated(h, old, total=locked(h, old)["total"] + 1),
        calculates=("total",),
    ),
    "append": Verb(lambda s, h, n: s.update(h.mine, lines=F.lines.append([n])), appended, calculates=("lines",)),
    "put": Verb(lambda s, h, n: s.put(h.mine), put),
    "create": Verb(lambda s, h, n: s.create(h.mine), created),
    "delete": Verb(lambda s, h, n: s.delete(h.mine), deleted),
    "rename by key": Verb(
        lambda s, h, n: by_key(s, h, name=f"{n}"),
        lambda h, old, n: counted({**current(old), "name": f"{n}"}),
        by_key=True,
    ),
    "append by key": Verb(
        lambda s, h, n: by_key(s, h, lines=F.lines.append([n])),
        lambda h, old, n: counted({**current(old), "lines": [*current(old)["lines"], n]}),
        calculates=("lines",),
        by_key=True,
    ),
    "upsert": Verb(
        lambda s, h, n: by_key(s, h, upsert=True, total=F.total.if_not_exists(0) + 1),
        upserted,
        calculates=("name", "total", "lines"),
        by_key=True,
    ),
    "delete by key": Verb(
        lambda s, h, n: s.delete(type(h.mine), id=h.mine.id),
        lambda h, old, n: None if current(old) else None,
        by_key=True,
    ),
}


class Account:
    """What must be stored, and what the writers hold."""

    def __init__(self, model: type[Plain]) -> None:
        self.model = model
        self.stored: dict[str, Fields | None] = {}
        self.holders: dict[tuple[str, int], Holder] = {}

    def holder(self, id: str, writer: int) -> Holder:
        return self.holders.setdefault((id, writer), Holder(self.model(id=id)))

    def prepare(self, holder: Holder, how: str, found: Plain | None, n: int) -> None:
        match how:
            case "read" if found is not None:
                holder.mine, holder.seen = found, found.model_dump()
            case "forget":
                holder.mine, holder.seen = self.model(id=holder.mine.id), None
            case "edit":
                holder.mine.lines.append(n)
                holder.mine.note = f"{n}" if n % 2 else None
