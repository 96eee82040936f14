"""Arbitrary items, writers and kills: each item is transformed exactly once, and no write of another is lost."""

from __future__ import annotations

import itertools
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lift_dynamorm import ConditionFailed, Database, F, Model, Unique
from lift_dynamorm.migrations import Migrations, transform
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.transport.local import LocalTransport
from lift_dynamorm.transport.retry import RetryTransport
from tests.wire import ValidatingTransport

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from lift_dynamorm.transport import Payload, Transport


class Number(Model, table="app", pk="NUMBER#{id}", sk="NUMBER"):
    id: str
    n: int
    m: int = 0
    tag: Unique[str | None] = None


class Moved(Model, table="app", pk="MOVED#{id}", sk="MOVED"):
    id: str
    n: int
    m: int


WITHOUT = """
from lift_dynamorm import F
from lift_dynamorm.migrations import Transform
from tests.migrations.test_properties import Moved, Number

def change(item: Number):
    if item.n % 4 == 0:
        return None
    if item.n % 4 == 1:  # twice it is what moves
        item.n *= 2
        item.tag = item.tag and "x" + item.tag
        return item
    return [Moved(id=item.id, n=item.n * 2, m=item.m)] if item.n % 4 == 2 else []

up = [Transform(Number, change, segments=SEGMENTS)]
"""
WITH_WHERE = WITHOUT.replace("item.n *= 2", "item.n += 1000").replace("change,", "change, where=F.n < 1000,")


class Killed(BaseException):
    """The end of a process: no error that anything would catch."""


class Mortal:
    """A way to the engine that ends after so many requests, before the last one or behind it, for ever.

    busy: called before each request, for what others do meanwhile.
    """

    def __init__(self, inner: Transport, life: list[int], busy: Callable[[str, Payload], None], *, after: bool) -> None:
        self.inner = inner
        self.life = life
        self.busy = busy
        self.after = after

    @property
    def blocking(self) -> Mortal:
        return Mortal(self.inner.blocking, self.life, self.busy, after=self.after)

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        self.life[0] -= 1
        if self.life[0] < 0 or (self.life[0] == 0 and not self.after):
            raise Killed
        self.busy(operation, payload)
        answer = await self.inner.send(operation, payload, deadline=deadline)
        if self.life[0] == 0:
            raise Killed
        return answer

    async def aclose(self) -> None:
        await self.inner.aclose()


numbers = st.tuples(st.sampled_from([None, "acme", "a#"]), st.integers(0, 99), st.booleans())
deaths = st.tuples(st.integers(1, 60), st.booleans())


@pytest.mark.parametrize("way", ["async", "with threads"])
@pytest.mark.parametrize("text", [WITH_WHERE, WITHOUT], ids=["where", "without"])
def test_each_item_is_transformed_exactly_once(
    text: str, way: str, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    @settings(max_examples=max(10, settings.default.max_examples // 2))  # type: ignore[union-attr]  # there is one
    @given(
        st.lists(numbers, min_size=1, max_size=25),
        st.lists(deaths, max_size=8),
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 24)), max_size=20),
        st.integers(1, 3),
        st.integers(1, 6),
    )
    def example(
        items: list[tuple[str | None, int, bool]],
        deaths: list[tuple[int, bool]],
        writes: list[tuple[int, int]],
        segments: int,
        page: int,
    ) -> None:
        monkeypatch.setattr(transform, "PAGE", page)
        engine = ValidatingTransport(LocalTransport())
        db = Database(transport=engine, cursor_keys=["secret"])
        db.sync.create_tables(Number)
        sessions = {tenant: db.sync.session(tenant) for tenant in (None, "acme", "a#")}
        for n, (tenant, value, tagged) in enumerate(items):
            sessions[tenant].create(Number(id=str(n), n=value, tag=f"t{n}" if tagged else None))
        written = [0] * len(items)
        pauses = iter(itertools.chain.from_iterable([*[None] * wait, at] for wait, at in writes))

        def busy(operation: str, payload: Payload) -> None:
            at = next(pauses, None)
            if at is None:
                return
            sent = re.findall(r"NUMBER#(\d+)'", repr(payload)) if "Write" in operation or "Update" in operation else ()
            at = int(sent[at % len(sent)]) if sent else at % len(items)  # rather one that is just being written
            for model in (Number, Moved):
                try:
                    sessions[items[at][0]].update(model, {"id": str(at)}, m=F.m + 1, if_=F.n.exists(), returning=False)
                except (ConditionFailed, LookupError):
                    continue
                written[at] += 1

        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "0001_change.py").write_text(text.replace("SEGMENTS", str(segments)))
            for life, after in [*deaths, (10**6, False)]:
                mortal = RetryTransport(Mortal(engine, [life], busy, after=after), max_attempts=1)
                migrations = Migrations(Database(transport=mortal), folder, table="app")
                try:
                    migrations.sync.up() if way != "async" else runner.run(migrations.up())
                except Killed:
                    bury(engine)
        expected: dict[tuple[str | None, str], tuple[str, int, int, str | None]] = {}
        for at, (tenant, value, tagged) in enumerate(items):
            tag, place = f"t{at}" if tagged else None, (tenant, str(at))
            if value % 4 == 0:
                expected[place] = ("Number", value, written[at], tag)
            elif value % 4 == 1:
                new = value + 1000 if text is WITH_WHERE else value * 2
                expected[place] = ("Number", new, written[at], tag and "x" + tag)
            elif value % 4 == 2:
                expected[place] = ("Moved", value * 2, written[at], None)
        found: dict[tuple[str | None, str], tuple[str, int, int, str | None]] = {}
        for tenant, session in sessions.items():
            for item in session.scan(Number):
                assert found.setdefault((tenant, item.id), ("Number", item.n, item.m, item.tag))
            for moved in session.scan(Moved):
                assert (tenant, moved.id) not in found
                found[tenant, moved.id] = ("Moved", moved.n, moved.m, None)
        assert found == expected
        assert claims(engine) == sorted(tag for _, _, _, tag in expected.values() if tag)

    example()


def bury(engine: Transport) -> None:
    """Take the lease of a dead runner away, instead of waiting until it has ended."""
    request = {
        "TableName": "app",
        "Key": {"pk": {"S": "@#migrations"}, "sk": {"S": "@#"}},
        "UpdateExpression": "REMOVE #lock",
        "ExpressionAttributeNames": {"#lock": "@lock"},
    }
    drive(engine.blocking.send("UpdateItem", request))


def claims(engine: Transport) -> list[str]:
    """Name the values that are claimed, of all tenants."""
    keys = [item["pk"]["S"] for item in drive(engine.blocking.send("Scan", {"TableName": "app"}))["Items"]]
    found: list[Any] = [re.search(r"@#Number\.tag#(.*)", key) for key in keys]
    return sorted(match[1] for match in found if match)
