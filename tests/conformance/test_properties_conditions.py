"""Arbitrary conditions hold on an engine, and inside a transaction, where a plain evaluator says so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from pydantic import BaseModel

from lift_dynamorm import ConditionFailed, F, Model, Null, PartitionKey
from tests.evaluator import NOTHING, ORDERS, At, Both, Either, Not, Test, Tree, expression, holds, kinded, leaves, look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lift_dynamorm import Session

    from .conftest import ForAll

    Open = Callable[..., Session]


class Address(BaseModel):
    city: str
    zip: int | None = None
    tags: set[str] = set()


class Line(BaseModel):
    sku: str
    price: Decimal = Decimal(1)


class Thing(Model, table="things"):
    """A field of every kind."""

    id: PartitionKey[str]
    text: str
    note: str | None
    kept: Null[str | None]
    count: int
    price: Decimal | None
    ratio: float
    flag: bool | None
    data: bytes
    made: datetime
    tags: set[str]
    numbers: set[int]
    blobs: set[bytes]
    words: list[str]
    lines: list[Line]
    address: Address | None
    box: dict[str, int]
    anything: Any
    seen: int = 0


# Few values of each kind, so that many are equal and some lie between others.
TEXT = ("", "a", "ab", "b", "\0", "é", "e\u0301", "\uffff", "\U0001f600", "#0 :0")
COUNTS = (-(10**37), -2, 0, 1, 2, 3, 10, 10**37 + 1)
PRICES = tuple(map(Decimal, ("-1.5", "0.1", "1.0", "1.00", "100", "1E+2", "9" * 38)))
RATIOS = (-2.0, 0.0, 0.1, 1.0, 3.0, 1e-130, 1e23)
BYTES = (b"", b"a", b"a\xff", b"\xff", b"\x00a")
DAYS = [datetime(2026, 1, day, microsecond=day, tzinfo=UTC) for day in (1, 2, 3)]
INSTANTS = (*DAYS, *(day.astimezone(timezone(timedelta(hours=9))) for day in DAYS))
WORDS: Sequence[list[str]] = ([], ["a"], ["", "é"], ["b", "a", "ab"])
LINES: Sequence[list[Line]] = ([], [Line(sku="a")], [Line(sku="é", price=Decimal("0.1")), Line(sku="ab")])
SETS: Sequence[set[str]] = (set(), {"a"}, {"a", "é"}, {"ab", "\0", "\U0001f600"})
NUMBER_SETS: Sequence[set[int]] = (set(), {1}, {1, 2}, {-2, 10**37 + 1})
BYTE_SETS: Sequence[set[bytes]] = (set(), {b"a"}, {b"a", b"\xff"})
ADDRESSES = (Address(city="a"), Address(city="", zip=1, tags={"a"}), Address(city="é", zip=-2, tags={"b", "ab"}))
BOXES: Sequence[dict[str, int]] = ({}, {"k": 1}, {"k": -2, "size": 3}, {"a.b": 0})
LOOSE = (None, True, False, "", "a", 1, -2, b"a", *WORDS, *BOXES)

Pools = dict[At, Sequence[Any]]

TEXTS: Pools = {
    At(("text",)): TEXT,
    At(("note",)): TEXT,
    At(("address", "city")): TEXT,
    At(("words", 0)): TEXT,
    At(("lines", 1, "sku")): TEXT,
}
NUMBERS: Pools = {
    At(("count",)): COUNTS,
    At(("price",)): PRICES,
    At(("ratio",)): RATIOS,
    At(("address", "zip")): COUNTS,
    At(("box", "k")): COUNTS,
    At(("lines", 0, "price")): PRICES,
}
ORDERED: list[Pools] = [TEXTS, NUMBERS, {At(("data",)): BYTES}, {At(("made",)): INSTANTS}]
WHOLE: Pools = {
    At(("tags",)): SETS[1:],
    At(("address", "tags")): SETS[1:],
    At(("numbers",)): NUMBER_SETS[1:],
    At(("blobs",)): BYTE_SETS[1:],
    At(("words",)): WORDS,
    At(("address",)): ADDRESSES,
    At(("box",)): BOXES,
}
OTHER: Pools = {
    At(("flag",)): (True, False),
    At(("kept",)): TEXT,
    At(("anything",)): LOOSE,
    At(("anything", "k")): COUNTS,
}
ALL: Pools = {at: pool for pools in (*ORDERED, WHOLE, OTHER) for at, pool in pools.items()}
HOLDERS: Pools = {
    **TEXTS,
    At(("data",)): BYTES,
    At(("tags",)): TEXT[1:],
    At(("address", "tags")): TEXT[1:],
    At(("numbers",)): COUNTS,
    At(("blobs",)): BYTES[1:],
    At(("words",)): TEXT,
}
NULLABLE = [At(path) for path in (("note",), ("kept",), ("price",), ("address",), ("address", "zip"), ("anything",))]
SIZED = [At(at.path, size=True) for at in (*TEXTS, At(("data",)), *WHOLE)]
TYPES = ("S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS")


class Generator:
    """Make an item and conditions on it from a seed; Hypothesis would mostly draw again what it drew before."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.thing = self.make_thing()
        self.trees = [self.tree(depth) for depth in (0, 0, 0, 0, 1, 1, 2, 3)]

    def __repr__(self) -> str:
        return f"{self.thing!r} {self.trees}"

    def few(self, pool: Iterable[Any]) -> Any:
        return self.random.choice(list(pool))

    def make_thing(self) -> Thing:
        return Thing(
            id="",
            text=self.few(TEXT),
            note=self.few((None, *TEXT)),
            kept=self.few((None, None, *TEXT)),
            count=self.few(COUNTS),
            price=self.few((None, *PRICES)),
            ratio=self.few(RATIOS),
            flag=self.few((None, True, False)),
            data=self.few(BYTES),
            made=self.few(INSTANTS),
            tags=self.few(SETS),
            numbers=self.few(NUMBER_SETS),
            blobs=self.few(BYTE_SETS),
            words=self.few(WORDS),
            lines=self.few(LINES),
            address=self.few((None, *ADDRESSES)),
            box=self.few(BOXES),
            anything=self.few(LOOSE),
        )

    def tree(self, depth: int) -> Tree:
        if depth == 0:
            return self.comparison()
        one, other = self.tree(depth - 1), self.tree(self.random.randrange(depth))
        made: Tree = self.few((Both(one, other), Either(one, other), Not(one)))
        return made

    def value(self, at: At, pools: Pools) -> Any:
        """Make what to compare with: another attribute, the attribute's own value or element, or any."""
        others = [other for other in pools if other != at]
        own = held(self.thing, at)
        if pools is HOLDERS and isinstance(own, list | set):
            own = self.few(sorted(own, key=kinded)) if own else None
        choices = [self.few(pools[at]), *([own] * 2 if own else ()), *([self.few(others)] if others else ())]
        return self.few(choices)

    def comparison(self) -> Test:
        op = self.few(("order", "equal", "none", "is_in", "between", "beginning", "part", "size", "type", "exists"))
        match op:
            case "order":
                return self.compared(self.few(ORDERS), self.few(ORDERED))
            case "equal":
                return self.compared(self.few(("=", "<>")), ALL)
            case "beginning":
                return self.compared("begins_with", self.few((ORDERED[0], ORDERED[2])))
            case "part":
                return self.compared(self.few(("contains", "not_contains")), HOLDERS)
            case "none":
                return Test(self.few(("=", "<>")), self.few(NULLABLE), (None,))
            case "size":
                return self.size(self.few(SIZED))
        pools = self.few(ORDERED)
        at = self.few(pools)
        match op:
            case "is_in":
                more = range(150) if pools is NUMBERS else (None, *self.random.sample(pools[at], 2))
                values = [self.value(at, pools), *more]
                return Test(op, at, tuple(self.random.sample(values, len(values))))
            case "between":
                bounds = self.few(pools[at]), self.few((held(self.thing, at) or pools[at][0], *pools[at]))
                return Test(op, at, tuple(sorted(bounds, key=kinded)))
            case "type":
                at = self.few(ALL)
                kind, _ = look(at, self.thing) or ("S", None)
                return Test("is_type", at, (self.few((kind, self.few(TYPES))),))
        return Test(self.few(("exists", "not_exists")), self.few(ALL))

    def compared(self, op: str, pools: Pools) -> Test:
        at = self.few(pools)
        return Test(op, at, (self.value(at, pools),))

    def size(self, at: At) -> Test:
        found = look(at, self.thing)
        own = 1 if found is None else int(found[1])
        low, high = sorted((self.few((0, 1, own)), self.few((1, 2, own))))
        if self.few((True, False)):
            return Test("between", at, (low, high))
        return Test(self.few(("=", "<>", *ORDERS)), at, (self.few((low, own, high, At(("count",)), *SIZED)),))


def held(thing: Thing, at: At) -> Any:
    """The Python value at a path; None where there is none."""
    value: Any = thing
    for part in at.path:
        try:
            value = value[part] if isinstance(part, int) or isinstance(value, dict) else getattr(value, part)
        except (LookupError, AttributeError, TypeError):
            return None
    return value


# -- what engines do otherwise than DynamoDB ---------------------------------------------------------------------------

Found = list[tuple[str, Any] | None]
"""What a test finds in an item: the left operand, then those on the right that are attributes too."""


def compares_two_missing(test: Test, found: Found) -> bool:
    return test.op in ("=", "<>", "is_in") and found[0] is None and any(other is None for other in found[1:])


def compares_missing_or_null(test: Test, found: Found) -> bool:
    left, *others = (value in (None, NOTHING) for value in found)
    return test.op in ("=", "<>", "is_in") and left and any(others)


def seeks_bytes_in_bytes(test: Test, found: Found) -> bool:
    return test.op in ("contains", "not_contains", "begins_with") and found[0] is not None and found[0][0] == "B"


def measures(test: Test, found: Found) -> bool:
    return any(at.size for at in (test.left, *test.right) if isinstance(at, At))


KNOWN_OPERATOR_FAULTS: dict[str, dict[str, Callable[[Test, Found], bool]]] = {
    "embedded": {
        "holds one missing attribute for equal to another": compares_two_missing,
        "finds no bytes in bytes": seeks_bytes_in_bytes,
    },
    "moto": {
        "holds one missing attribute for equal to another, and to NULL": compares_missing_or_null,
        "finds no bytes in bytes": seeks_bytes_in_bytes,
        "refuses the size of what is missing, and counts characters": measures,
    },
}


def is_known_fault(engine: str, tree: Tree, item: Thing) -> bool:
    faults = KNOWN_OPERATOR_FAULTS.get(engine, {}).values()
    return any(
        fault(test, [look(at, item) for at in (test.left, *test.right) if isinstance(at, At)])
        for test in leaves(tree)
        for fault in faults
    )


def test_arbitrary_conditions(for_all: ForAll, opened: Open, engine: str) -> None:
    s, numbers = opened(Thing), count()

    async def agree(made: Generator) -> None:
        thing = made.thing.model_copy(update={"id": f"{next(numbers)}"}, deep=True)
        query = s.query(Thing).where(F.id == thing.id)
        async with s.transaction():
            await s.put(thing)
            for tree in made.trees:
                assert await query.where(expression(tree)).count() == holds(tree, thing), (tree, thing)
        for tree in made.trees:
            if is_known_fault(engine, tree, thing):
                continue
            assert await query.where(expression(tree)).count() == holds(tree, thing), (tree, thing)
            try:
                await s.update(Thing, {"id": thing.id}, seen=F.seen + 1, if_=expression(tree))
            except ConditionFailed:
                assert not holds(tree, thing), (tree, thing)
            else:
                assert holds(tree, thing), (tree, thing)

    for_all(agree, st.builds(Generator, st.integers(0, 2**64)), examples=300)
