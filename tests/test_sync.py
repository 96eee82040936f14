"""The sync twin: no event loop, one transaction with its session, streams that may be left early."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import (
    Database,
    Model,
    PartitionKey,
    Query,
    Scan,
    Session,
    SortKey,
    SyncQuery,
    SyncScan,
    SyncSession,
)
from lift_dynamorm.operations.concurrency import drive

if TYPE_CHECKING:
    from collections.abc import Callable

    Open = Callable[..., SyncSession]


class Line(Model, table="lines"):
    doc: PartitionKey[str]
    n: SortKey[int]


@pytest.mark.parametrize(("one", "twin"), [(Session, SyncSession), (Query, SyncQuery), (Scan, SyncScan)])
def test_the_twins_have_the_same_verbs(one: Any, twin: Any) -> None:
    # What the middleware and the operations need of a session, and code that cannot await does not.
    internal = {"begin", "begin_as", "context", "deadline", "end", "open", "sync", "unit_of_work"}
    verbs = {name for name, _ in inspect.getmembers(one) if not name.startswith("_")} - internal
    twins = {name for name, _ in inspect.getmembers(twin) if not name.startswith("_")} - internal
    assert verbs <= twins
    for name in verbs & twins:
        ours, theirs = getattr(one, name), getattr(twin, name)
        if inspect.isfunction(ours) and name not in ("update", "transaction", "commit"):
            assert inspect.signature(ours).parameters.keys() == inspect.signature(theirs).parameters.keys(), name
            assert not inspect.iscoroutinefunction(theirs)


def test_what_suspends_is_refused() -> None:
    async def suspends() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="must not suspend"):
        drive(suspends())


def test_a_session_and_its_twin_share_one_transaction(db: Database) -> None:
    db.sync.create_tables(Line)
    session = db.session("acme")
    twin = session.sync
    assert twin is session.sync
    session.begin()
    twin.create(Line(doc="a", n=1))
    assert twin.find(Line, doc="a", n=1)
    assert db.sync.session("acme").find(Line, doc="a", n=1) is None
    drive(session.commit())
    assert db.sync.session("acme").find(Line, doc="a", n=1)
    assert db.sync.session().find(Line, doc="a", n=1) is None


def test_streams_may_be_left_early_and_interleaved(opened: Open) -> None:
    s = opened(Line)
    for n in range(5):
        s.put(Line(doc="a", n=n))
    query = s.query(Line).where(doc="a")
    one, other = iter(query), iter(query)
    assert [next(one).n, next(one).n, next(other).n, next(one).n] == [0, 1, 0, 2]
    del one, other
    with pytest.raises(ZeroDivisionError):
        for _ in query:
            raise ZeroDivisionError
    assert [line.n for line in query] == [0, 1, 2, 3, 4]


def test_a_session_block_commits_or_rolls_back(opened: Open) -> None:
    s = opened(Line)
    with s, s.transaction():
        s.create(Line(doc="a", n=1))
    with pytest.raises(ZeroDivisionError), s:
        s.begin()
        s.create(Line(doc="a", n=2))
        raise ZeroDivisionError
    assert [line.n for line in s.query(Line).where(doc="a")] == [1]


def test_it_works_inside_a_running_loop(db: Database) -> None:
    async def main() -> list[int]:
        db.sync.create_tables(Line)
        s = db.sync.session()
        s.create(Line(doc="a", n=1))
        return [line.n for line in s.query(Line).where(doc="a")]

    assert asyncio.run(main()) == [1]
