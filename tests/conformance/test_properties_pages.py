"""Pages of any size hold what one query holds: on the table, on indexes, and among the writes of a transaction."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from lift_dynamorm import GSI, LSI, Database, F, Model, PartitionKey, SortKey
from lift_dynamorm.transport.faults import FaultTransport
from lift_dynamorm.transport.retry import RetryTransport
from tests.evaluator import At, Both, Either, Not, Test, Tree, expression, holds, kinded

from .conftest import session_of

if TYPE_CHECKING:
    from lift_dynamorm.transport import Payload, Transport
    from lift_dynamorm.transport.faults import Call

    from .conftest import ForAll

    Rows = dict[int, "Row"]


class Row(Model, table="rows", indexes=[LSI("by_place", sk=F.place), GSI("by_kind", pk="K#{kind}", sk="{weight}")]):
    group: PartitionKey[str]
    n: SortKey[int]
    kind: str | None = None
    weight: int = 0
    place: str | None = None
    text: str = ""


KEYS = {"table": ("group", "n"), "by_place": ("group", "place"), "by_kind": ("kind", "weight")}


@dataclass
class ShortPages:
    """A plan that lets the engine end each page early, as DynamoDB does at a megabyte."""

    most: int = 1000

    def next(self, operation: str) -> ShortPages | None:
        return self if operation == "Query" else None

    async def send(self, call: Call) -> Payload:
        payload = {**call.payload, "Limit": min(self.most, call.payload.get("Limit", self.most))}
        return await call.inner.send(call.operation, payload, deadline=call.deadline)


@dataclass(frozen=True)
class Asked:
    """A query: the value of its partition key, and what must hold beside that."""

    index: str
    partition: str
    conditions: tuple[Tree, ...]
    descending: bool

    async def check(self, s: Any, rows: Rows, example: str, sizes: list[int]) -> None:
        """Hold the answer, and its pages, against the rows that must be in it; rows of one key have no order."""
        partition, sort = KEYS[self.index]
        query = s.query(Row).index(self.index).where(F[partition] == example + self.partition)
        query = query.where(*map(expression, self.conditions)).order_by(f"-{sort}" if self.descending else sort)
        expected = [
            row
            for row in rows.values()
            if getattr(row, partition) == example + self.partition and getattr(row, sort) is not None
            if all(holds(condition, row) for condition in self.conditions)
        ]
        everything = await query.all()
        assert sorted(everything, key=lambda row: row.n) == sorted(expected, key=lambda row: row.n)
        keys = [kinded(getattr(row, sort)) for row in everything]
        assert keys == sorted(keys, reverse=self.descending)
        assert await query.count() == len(everything)
        for size in sizes:
            assert await query.limit(size).all() == everything[:size]
            pages = [await query.limit(size).page()]
            while pages[-1].cursor is not None and len(pages) <= len(everything):
                pages.append(await query.limit(size).page(pages[-1].cursor))
            assert [row for page in pages for row in page] == everything
            assert pages[-1].cursor is None
            assert all(len(page) == size for page in pages[:-1])


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "n": st.integers(-3, 9),
    "weight": st.integers(0, 3),
    "place": st.sampled_from(["a", "ab", "b", "é"]),
    "text": st.sampled_from(["", "a", "b"]),
}
rows = st.fixed_dictionaries(
    {"n": VALUES["n"], "kind": st.sampled_from([None, "k", "k", "l"])},
    optional={name: VALUES[name] for name in ("weight", "place", "text")},
)


@st.composite
def ranges(draw: st.DrawFn, name: str) -> Test:
    op = draw(st.sampled_from(["<", "<=", ">", ">=", "between", "begins_with" if name == "place" else "between"]))
    values = sorted((draw(VALUES[name]), draw(VALUES[name])), key=kinded)
    return Test(op, At((name,)), tuple(values if op == "between" else values[:1]))


@st.composite
def comparisons(draw: st.DrawFn) -> Test:
    name = draw(st.sampled_from(list(VALUES)))
    return Test(draw(st.sampled_from(["=", "<>"])), At((name,)), (draw(VALUES[name]),))


filters: st.SearchStrategy[Tree] = st.recursive(
    comparisons(),
    lambda inner: st.one_of(st.builds(Both, inner, inner), st.builds(Either, inner, inner), st.builds(Not, inner)),
    max_leaves=3,
)


@st.composite
def queries(draw: st.DrawFn) -> Asked:
    index = draw(st.sampled_from(list(KEYS)))
    partition, sort = KEYS[index]
    conditions = (*draw(st.lists(ranges(sort), max_size=2)), *draw(st.lists(filters, max_size=1)))
    return Asked(index, draw(st.sampled_from("kl")) if partition == "kind" else "", conditions, draw(st.booleans()))


actions = st.sampled_from(["put", "put", "delete", "update"])
writes = st.lists(st.tuples(actions, rows), max_size=5, unique_by=lambda write: write[1]["n"])


def test_pages_of_any_size(for_all: ForAll, transport: Transport, db: Database, way: str) -> None:
    plan, numbers = ShortPages(), count()
    database = Database(transport=RetryTransport(FaultTransport(transport, plan)), table_names=db.table_name)
    database.sync.create_tables(Row)
    s = session_of(database, way)

    async def agree(
        drawn: list[dict[str, Any]], writes: list[Any], queries: list[Asked], sizes: list[int], short: int
    ) -> None:
        example = f"{next(numbers)}-"
        stored: Rows = {}

        def row(values: dict[str, Any]) -> Row:
            kind = values["kind"] and example + values["kind"]
            return Row(**{**values, "group": example, "kind": kind})

        async def check_all() -> None:
            for asked in queries:
                await asked.check(s, stored, example, sizes)

        for values in drawn:
            stored[values["n"]] = await s.put(row(values))
        plan.most = short
        await check_all()
        async with s.transaction():
            for action, values in writes:
                key = {"group": example, "n": values["n"]}
                if action == "put":
                    stored[values["n"]] = await s.put(row(values))
                elif values["n"] not in stored:
                    continue
                elif action == "delete":
                    await s.delete(Row, key)
                    del stored[values["n"]]
                else:
                    changes = row(values).model_dump(exclude={*key})
                    stored[values["n"]] = await s.update(Row, key, **changes)
            await check_all()
        await check_all()

    drawn = st.lists(rows, max_size=12, unique_by=lambda row: row["n"])
    asked = st.lists(queries(), min_size=1, max_size=3)
    sizes = st.lists(st.integers(1, 13), min_size=1, max_size=2, unique=True)
    for_all(agree, drawn, writes, asked, sizes, st.sampled_from([1, 2, 3, 1000]), examples=100)
