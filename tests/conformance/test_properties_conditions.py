"""Arbitrary conditions hold on an engine, and inside a transaction, where a plain evaluator says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from pydantic import BaseModel

from lift_dynamorm import ConditionFailed, F, Model, Null, PartitionKey
from tests.evaluator import NOTHING, ORDERS, At, Both, Either, Not, Test, Tree, expression, holds, kinded, leaves, look

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

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


def few(*values: Any) -> SearchStrategy[Any]:
    """Few values, so that some are equal and some lie between others."""
    return st.sampled_from(values)


texts = few("", "a", "ab", "b", "\0", "é", "e\u0301", "\uffff", "\U0001f600", "#0 :0")
counts = few(-(10**37), -2, 0, 1, 2, 3, 10, 10**37 + 1)
prices = few(*map(Decimal, ("-1.5", "0.1", "1.0", "1.00", "100", "1E+2", "9" * 38)))
ratios = few(-2.0, 0.0, 0.1, 1.0, 3.0, 1e-130, 1e23)
blobs = few(b"", b"a", b"a\xff", b"\xff", b"\x00a")
instants = st.builds(
    lambda days, zone: (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days, microseconds=days)).astimezone(zone),
    st.integers(0, 3),
    few(UTC, timezone(timedelta(hours=9))),
)
words = st.lists(texts, max_size=3)
lines = st.lists(st.builds(Line, sku=texts, price=prices), max_size=2)
addresses = st.builds(Address, city=texts, zip=st.none() | counts, tags=st.sets(texts.filter(bool), max_size=2))
boxes = st.dictionaries(few("k", "size", "a.b"), counts, max_size=2)
loose = st.one_of(st.none(), few(True, False), texts, counts, blobs, words, boxes)

things = st.builds(
    Thing,
    id=st.just(""),
    text=texts,
    note=st.none() | texts,
    kept=st.none() | texts,
    count=counts,
    price=st.none() | prices,
    ratio=ratios,
    flag=few(None, True, False),
    data=blobs,
    made=instants,
    tags=st.sets(texts.filter(bool), max_size=2),
    numbers=st.sets(counts, max_size=2),
    blobs=st.sets(blobs.filter(bool), max_size=2),
    words=words,
    lines=lines,
    address=st.none() | addresses,
    box=boxes,
    anything=loose,
)

TEXTS = {At((name,)): texts for name in ("text", "note")} | {
    At(("address", "city")): texts,
    At(("words", 0)): texts,
    At(("lines", 1, "sku")): texts,
}
NUMBERS = {
    At(("count",)): counts,
    At(("price",)): prices,
    At(("ratio",)): ratios,
    At(("address", "zip")): counts,
    At(("box", "k")): counts,
    At(("lines", 0, "price")): prices,
}
BYTES = {At(("data",)): blobs}
ORDERED = (TEXTS, NUMBERS, BYTES, {At(("made",)): instants})
SETS = {
    At(("tags",)): texts.filter(bool),
    At(("address", "tags")): texts.filter(bool),
    At(("numbers",)): counts,
    At(("blobs",)): blobs.filter(bool),
}
WHOLE = {at: st.sets(values, min_size=1, max_size=2) for at, values in SETS.items()} | {
    At(("flag",)): few(True, False),
    At(("kept",)): texts,
    At(("words",)): words,
    At(("address",)): addresses,
    At(("box",)): boxes,
    At(("anything",)): loose,
    At(("anything", "k")): counts,
}
ALL = {at: values for group in (*ORDERED, WHOLE) for at, values in group.items()}
SIZED = [At(at.path, size=True) for at in (*TEXTS, *BYTES, *WHOLE) if at.path[0] not in ("flag", "kept", "anything")]
HOLDERS = {**TEXTS, **BYTES, **SETS, At(("words",)): texts}
NULLABLE = few(("note",), ("kept",), ("price",), ("address",), ("address", "zip"), ("anything",))
TAGS = few("S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS")


def held(thing: Thing, at: At) -> Any:
    """The Python value at a path; None where there is none."""
    value: Any = thing
    for part in at.path:
        try:
            value = value[part] if isinstance(part, int) or isinstance(value, dict) else getattr(value, part)
        except (LookupError, AttributeError, TypeError):
            return None
    return value


@st.composite
def comparisons(draw: st.DrawFn, thing: Thing) -> Test:
    """Draw one comparison, of an attribute with values, often its own, or with another attribute."""

    def value_for(at: At, group: Any) -> Any:
        own = held(thing, at)
        if group is HOLDERS and isinstance(own, list | set):
            own = draw(st.sampled_from(sorted(own, key=kinded))) if own else None
        return draw(group[at]) if own in (None, set()) or draw(st.booleans()) else own

    def operands(group: Any) -> tuple[At, Any]:
        at = draw(st.sampled_from(list(group)))
        others = [other for other in group if other != at]
        return at, draw(st.sampled_from(others)) if others and draw(st.integers(0, 3)) == 0 else value_for(at, group)

    ops = ("order", "equal", "is_in", "between", "begins_with", "contains", "not_contains", "size", "is_type", "exists")
    op = draw(few(*ops))
    match op:
        case "order":
            at, value = operands(draw(few(*ORDERED)))
            return Test(draw(few(*ORDERS)), at, (value,))
        case "equal":
            at, value = draw(st.builds(At, NULLABLE)), None
            if draw(st.integers(0, 3)):
                at, value = operands(ALL)
            return Test(draw(few("=", "<>")), at, (value,))
        case "is_in":
            at, value = operands(draw(few(*ORDERED, ALL)))
            many = range(150) if at in NUMBERS else ()
            more = draw(st.just(many) | st.lists(ALL[at] | st.none(), max_size=2))
            return Test(op, at, draw(few((value, *more), (*more, value))))
        case "between":
            group = draw(few(*ORDERED))
            at = draw(few(*group))
            return Test(op, at, tuple(sorted((value_for(at, group), value_for(at, group)), key=kinded)))
        case "begins_with" | "contains" | "not_contains":
            at, value = operands(draw(few(TEXTS, BYTES)) if op == "begins_with" else HOLDERS)
            return Test(op, at, (value,))
        case "size":
            at = draw(few(*SIZED))
            own = look(at, thing)
            sizes = st.integers(0, 4) if own is None else st.integers(0, 4) | st.just(int(own[1]))
            if draw(st.booleans()):
                return Test("between", at, tuple(sorted((draw(sizes), draw(sizes)))))
            return Test(draw(few("=", "<>", *ORDERS)), at, (draw(sizes | sizes | few(At(("count",)), *SIZED)),))
        case "is_type":
            return Test(op, draw(few(*ALL)), (draw(TAGS),))
    return Test(draw(few("exists", "not_exists")), draw(few(*ALL)))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Thing, list[Tree]]:
    """Draw an item, and conditions on it."""
    thing = draw(things)
    leaf = comparisons(thing)
    tree: SearchStrategy[Tree] = st.recursive(
        leaf,
        lambda inner: st.one_of(st.builds(Both, inner, inner), st.builds(Either, inner, inner), st.builds(Not, inner)),
        max_leaves=5,
    )
    return thing, draw(st.lists(leaf | tree, min_size=3, max_size=8))


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

    async def agree(case: tuple[Thing, list[Tree]]) -> None:
        drawn, trees = case
        thing = drawn.model_copy(update={"id": f"{next(numbers)}"}, deep=True)
        expected = [holds(tree, thing) for tree in trees]
        query = s.query(Thing).where(F.id == thing.id)
        async with s.transaction():
            await s.put(thing)
            assert [await query.where(expression(tree)).count() for tree in trees] == expected
        for tree, verdict in zip(trees, expected, strict=True):
            if is_known_fault(engine, tree, thing):
                continue
            assert await query.where(expression(tree)).count() == verdict
            try:
                await s.update(Thing, {"id": thing.id}, seen=F.seen + 1, if_=expression(tree))
            except ConditionFailed:
                assert not verdict
            else:
                assert verdict

    for_all(agree, cases(), examples=150)
