"""Whatever is written between any two requests of a copy, and wherever it dies: in the end both tables are equal."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lift_dynamorm import Database
from lift_dynamorm.migrations import tour
from lift_dynamorm.migrations.copy import Copy
from lift_dynamorm.migrations.switch import Switch
from lift_dynamorm.transport.local import LocalTransport
from lift_dynamorm.transport.retry import RetryTransport
from tests.migrations.copying import Lease, New, Old, raw, run

if TYPE_CHECKING:
    from lift_dynamorm.migrations import Step
    from lift_dynamorm.transport import Payload

IDS = 30
TENANTS = (None, "acme")


class Died(BaseException):
    """The process is no more."""


def renamed(old: Old) -> list[New]:
    """Make an item whose key is not the source's, or two, or none: what is no longer made has to go."""
    return [New(id=f"{old.id}-{part}", email=f"{old.id}-{part}-{old.email}", n=old.n) for part in range(old.n % 3)]


class World(RetryTransport):
    """The way to the engine of a copy that shares it with a writer, and may die before or after any request."""

    def __init__(self, engine: LocalTransport, chance: random.Random, writes: int, life: int | None) -> None:
        super().__init__(engine, max_attempts=1)
        self.sleep = self._wait
        self._chance = chance
        self._sessions = [Database(transport=engine).sync.session(tenant) for tenant in TENANTS]
        self.writes = writes
        self.life = life

    @property
    def blocking(self) -> World:
        return self

    async def _wait(self, _: float) -> None:
        self.write()

    def write(self) -> None:
        if self.writes <= 0:
            return
        self.writes -= 1
        session, id = self._chance.choice(self._sessions), str(self._chance.randrange(IDS))
        if self._chance.random() < 0.35:
            session.delete(Old, id=id, missing_ok=True)
        else:
            session.put(Old(id=id, email=f"{self._chance.randrange(3)}@x", n=self._chance.randrange(6)))

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        while self._chance.random() < 0.4:
            self.write()
        self._live()
        answer = await super().send(operation, payload, deadline=deadline)
        self._live()
        return answer

    def _live(self) -> None:
        if self.life is not None:
            self.life -= 1
            if self.life < 0:
                self.life = None
                raise Died


def until_done(world: World, step: Step, lease: Lease, deaths: list[int]) -> None:
    left = list(deaths)
    while True:
        world.life = left.pop() if left else None
        try:
            run(Database(transport=world), step, lease)
        except Died:
            continue
        return


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, 60), st.lists(st.integers(0, 150), max_size=6), st.integers(1, 6))
def test_both_are_equal_in_the_end(seed: int, writes: int, deaths: list[int], page: int) -> None:
    chance = random.Random(seed)
    engine = LocalTransport()
    db = Database(transport=engine)
    db.sync.create_tables(Old)
    before = World(engine, chance, 2 * IDS, None)
    for _ in range(2 * IDS):
        before.write()
    known = tour.PAGE
    tour.PAGE = page
    try:
        copying = World(engine, chance, writes, None)
        until_done(copying, Copy(Old, New, renamed, segments=1), Lease("new"), deaths)
        copying.writes += 20
        for _ in range(20):
            copying.write()
        copying.writes = 0
        until_done(copying, Switch(Old, New, renamed, quiet=0.01, segments=1), Lease("new"), deaths)
    finally:
        tour.PAGE = known
    total = 0
    for tenant in TENANTS:
        session = db.sync.session(tenant)
        wanted = {item.id: item.email for old in session.scan(Old).all() for item in renamed(old)}
        assert {item.id: item.email for item in session.scan(New).all()} == wanted
        total += len(wanted)
    assert len(claims_of(db)) == total


def claims_of(db: Database) -> list[Any]:
    return [item for item in raw(db, "new") if "@owner" in item]


def test_a_page_counts_as_copied_once_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tour, "PAGE", 4)
    engine = LocalTransport()
    db = Database(transport=engine)
    db.sync.create_tables(Old)
    for n in range(20):
        db.sync.session().put(Old(id=str(n), email="x", n=1))

    class Dying(World):
        batches = 0

        async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
            self.batches += operation == "BatchWriteItem"
            if self.batches == 3:
                raise Died
            return await super().send(operation, payload, deadline=deadline)

    lease, copy = Lease("new"), Copy(Old, New, renamed, segments=1)
    with pytest.raises(Died):
        run(Database(transport=Dying(engine, random.Random(0), 0, None)), copy, lease)
    written = db.sync.session().scan(New).count()
    assert 0 < written < 20
    run(Database(transport=World(engine, random.Random(0), 0, None)), copy, lease)
    assert db.sync.session().scan(New).count() == 20
