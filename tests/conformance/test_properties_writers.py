"""Writers who hold old and new instances of the same items, against a plain account of what must be stored.

A version alone does not tell an item from one that was created in its place: who holds version 1 of the one holds
version 1 of the other. The time of creation does.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

from lift_dynamorm import (
    CreatedAt,
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


class Dated(Locked, table="dated"):
    created_at: CreatedAt = None


def clock(n: int) -> datetime:
    """The time of a step."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=abs(n))


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

    @property
    def reads(self) -> bool:
        """In a transaction it reads the item at once."""
        return self.by_key and self is not VERBS["delete by key"]

    def moved(self, then: Fields | None, now: Fields | None) -> bool:
        """Tell whether what the outcome in a transaction was calculated from has changed before the commit."""
        then, now = then or {}, now or {}
        if "version" in {**then, **now}:
            return self.reads and then.get("version") != now.get("version")
        return any(then.get(name) != now.get(name) for name in self.calculates)

    def shows(self, before: Holder, after: Fields | None, n: int) -> Fields | None:
        """What an instance shows after a transaction: for an update, its own item with the changes."""
        if self.leaves in (put, created, deleted):
            return after
        return self.leaves(before, before.seen or before.mine.model_dump(), n)


def current(stored: Fields | None) -> Fields:
    if stored is None:
        raise ItemNotFound
    return stored


def locked(holder: Holder, stored: Fields | None) -> Fields:
    known, mine = current(stored), holder.mine.model_dump()
    if any(known[name] != mine[name] for name in ("version", "created_at") if name in known):
        raise VersionConflict("stale")
    return known


def written(n: int, fields: Fields) -> Fields:
    """Count the version up, and note the time of the first write."""
    kept: Fields = {"version": fields["version"] + 1} if "version" in fields else {}
    if "created_at" in fields:
        kept["created_at"] = fields["created_at"] or clock(n)
    return {**fields, **kept}


def updated(n: int, holder: Holder, stored: Fields | None, **given: Any) -> Fields:
    return written(n, {**locked(holder, stored), **holder.changed, **given})


def saved(holder: Holder, stored: Fields | None, n: int) -> Fields | None:
    if holder.seen is None:
        raise UsageError("never read")
    return updated(n, holder, stored) if holder.changed else stored


def appended(holder: Holder, stored: Fields | None, n: int) -> Fields:
    if "lines" in holder.changed:
        raise UsageError("changed in place, and by an expression")
    return updated(n, holder, stored, lines=[*locked(holder, stored)["lines"], n])


def put(holder: Holder, stored: Fields | None, n: int) -> Fields:
    mine = holder.mine.model_dump()
    if mine.get("version"):
        locked(holder, stored)
    elif "version" in mine and stored is not None:
        raise VersionConflict("never read")
    return written(n, mine)


def created(holder: Holder, stored: Fields | None, n: int) -> Fields:
    if stored is not None:
        raise ItemExists("there is one")
    return written(n, holder.mine.model_dump())


def deleted(holder: Holder, stored: Fields | None, n: int) -> None:
    locked(holder, stored)


def upserted(holder: Holder, stored: Fields | None, n: int) -> Fields:
    fields = stored or type(holder.mine)(id=holder.mine.id).model_dump()
    return written(n, {**fields, "total": fields["total"] + 1})


def by_key(s: Session, holder: Holder, *, upsert: bool = False, **changes: Any) -> Awaitable[Any]:
    return s.update(type(holder.mine), {"id": holder.mine.id}, upsert=upsert, **changes)


VERBS = {
    "save": Verb(lambda s, h, n: s.update(h.mine), saved),
    "rename": Verb(lambda s, h, n: s.update(h.mine, name=f"{n}"), lambda h, old, n: updated(n, h, old, name=f"{n}")),
    "count": Verb(
        lambda s, h, n: s.update(h.mine, total=F.total + 1),
        lambda h, old, n: updated(n, h, old, total=locked(h, old)["total"] + 1),
        calculates=("total",),
    ),
    "append": Verb(lambda s, h, n: s.update(h.mine, lines=F.lines.append([n])), appended, calculates=("lines",)),
    "put": Verb(lambda s, h, n: s.put(h.mine), put),
    "create": Verb(lambda s, h, n: s.create(h.mine), created),
    "delete": Verb(lambda s, h, n: s.delete(h.mine), deleted),
    "rename by key": Verb(
        lambda s, h, n: by_key(s, h, name=f"{n}"),
        lambda h, old, n: written(n, {**current(old), "name": f"{n}"}),
        by_key=True,
    ),
    "append by key": Verb(
        lambda s, h, n: by_key(s, h, lines=F.lines.append([n])),
        lambda h, old, n: written(n, {**current(old), "lines": [*current(old)["lines"], n]}),
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
        lambda h, old, n: current(old) and None,
        by_key=True,
    ),
}


def outcome(verb: Verb, holder: Holder, stored: Fields | None, n: int) -> DynamORMError | Fields | None:
    """The item after a write, or the error that refuses it."""
    try:
        return verb.leaves(holder, stored, n)
    except DynamORMError as refusal:
        return refusal


class Account:
    """What must be stored, what the writers hold, and that both are so after each step."""

    def __init__(self, model: type[Plain], calls: list[Any]) -> None:
        self.model = model
        self.calls = calls
        self.stored: dict[str, Fields | None] = {"a": None, "b": None}
        self.holders = {(id, writer): Holder(model(id=id, note="first")) for id in self.stored for writer in range(3)}

    async def check(self, s: Session) -> None:
        for id, stored in self.stored.items():
            found = await s.find(self.model, id=id)
            assert (None if found is None else found.model_dump()) == stored

    async def prepare(self, s: Session, holder: Holder, how: str, n: int) -> None:
        if how == "edit":
            holder.mine.lines.append(n)
            holder.mine.note = None if holder.mine.note else f"{n}"
        elif how == "forget":
            holder.mine, holder.seen = self.model(id=holder.mine.id), None
        elif (found := await s.find(self.model, id=holder.mine.id)) is not None:
            holder.mine, holder.seen = found, found.model_dump()

    async def write(self, s: Session, holder: Holder, verb: Verb, n: int) -> None:
        before, id = copy.deepcopy(holder), holder.mine.id
        after = outcome(verb, holder, self.stored[id], n)
        self.calls.clear()
        if isinstance(after, DynamORMError):
            with pytest.raises(type(after)) as caught:
                await verb.act(s, holder, n)
            assert type(caught.value) is type(after)
            assert holder == before
        else:
            shown = await verb.act(s, holder, n)
            assert self.calls or after is self.stored[id]
            assert not self.calls or verb.leaves is not saved or before.changed
            self.stored[id] = after
            if not verb.by_key:
                self.settle(holder, before, verb, after)
            elif shown is not None:
                assert shown.model_dump() == after

    def settle(self, holder: Holder, before: Holder, verb: Verb, shown: Fields | None) -> None:
        """Hold an instance against what it must show after its write."""
        if verb.leaves is saved and not before.changed:
            assert holder == before
        elif verb.leaves is deleted:
            never_stored = {"version": 0} if "version" in self.model.model_fields else {}
            assert holder.mine == before.mine.model_copy(update=never_stored)
            holder.seen = None
        else:
            assert holder.mine.model_dump() == shown
            holder.seen = shown

    async def write_together(
        self, s: Session, moves: list[tuple[Holder, Verb]], n: int, overtaking: Callable[[], Awaitable[None]]
    ) -> None:
        """Write in one transaction, which another writer overtakes after the last write and before the commit."""
        then = dict(self.stored)
        befores = [copy.deepcopy(holder) for holder, _ in moves]
        enrolled: list[tuple[Holder, Holder, Verb]] = []
        afters: list[Any] = []
        refused = False
        try:
            async with s.transaction():
                for (holder, verb), before in zip(moves, befores, strict=True):
                    early = outcome(verb, before, then[holder.mine.id], n)
                    if isinstance(early, UsageError) or (isinstance(early, ItemNotFound) and verb.reads):
                        with pytest.raises(type(early)):
                            await verb.act(s, holder, n)
                    else:
                        await verb.act(s, holder, n)
                        enrolled.append((holder, before, verb))
                await overtaking()
                for _, before, verb in enrolled:
                    id = before.mine.id
                    pinned = then[id] if verb.by_key else before.seen or before.mine.model_dump()
                    afters.append(outcome(verb, before, self.stored[id], n))
                    refused |= isinstance(afters[-1], DynamORMError) or verb.moved(pinned, self.stored[id])
        except TransactionConditionFailed:
            assert refused
            assert [holder for holder, _ in moves] == befores
        else:
            assert not refused
            for (holder, before, verb), after in zip(enrolled, afters, strict=True):
                if not (verb.leaves is saved and not before.changed):
                    self.stored[holder.mine.id] = after
                if not verb.by_key:
                    self.settle(holder, before, verb, verb.shows(before, after, n))


ids, writers = st.sampled_from("ab"), st.integers(0, 2)
verbs = st.sampled_from(["save", "save", "rename", "count", "append", *VERBS])
by_keys = st.sampled_from([name for name, verb in VERBS.items() if verb.by_key])
steps = st.one_of(
    st.tuples(st.sampled_from(["read", "edit", "edit", "forget"]), ids, writers),
    st.tuples(verbs, ids, writers),
    st.tuples(st.just("together"), verbs, writers, verbs, writers, st.none() | st.tuples(by_keys, ids)),
)


@pytest.mark.parametrize("model", [Plain, Locked, Dated])
def test_no_interleaving_loses_an_update(
    for_all: ForAll, transport: Transport, db: Database, way: str, model: type[Plain]
) -> None:
    recording = RecordingTransport(transport)
    step = [0]
    database = Database(transport=RetryTransport(recording), table_names=db.table_name, now=lambda: clock(step[0]))
    database.sync.create_tables(model)
    s, rival = session_of(database, way), session_of(database, way)

    async def overtake(account: Account, move: tuple[str, str] | None, n: int) -> None:
        if move is not None:
            await account.write(rival, Holder(model(id=move[1])), VERBS[move[0]], n)

    async def holds(steps: list[Any]) -> None:
        account, step[0] = Account(model, recording.calls), 0
        for (id, writer), holder in account.holders.items():
            if writer == 0:
                await s.delete(model, id=id, missing_ok=True)
                await account.write(s, holder, VERBS["create"], 0)
            await account.prepare(s, holder, "read", 0)
        for n, (action, *rest) in enumerate(steps, 1):
            step[0] = n
            if action == "together":
                verb_a, writer_a, verb_b, writer_b, move = rest
                moves = [
                    (account.holders["a", writer_a], VERBS[verb_a]),
                    (account.holders["b", writer_b], VERBS[verb_b]),
                ]
                await account.write_together(s, moves, n, partial(overtake, account, move, -n))
            elif action in VERBS:
                await account.write(s, account.holders[*rest], VERBS[action], n)
            else:
                await account.prepare(s, account.holders[*rest], action, n)
            await account.check(rival)

    for_all(holds, st.lists(steps, min_size=3, max_size=20), examples=200)
