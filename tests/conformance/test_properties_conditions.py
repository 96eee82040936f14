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


texts = few("", "a", "ab", "b", "A", "é", "e\u0301", "\U0001f600", "\uffff", "\0", "#0", ":0", "a b")
counts = few(-(10**37), -2, 0, 1, 2, 3, 10, 10**37 + 1)
prices = few(
    Decimal("-1.5"), Decimal(0), Decimal("0.1"), Decimal("1.0"), Decimal(2), Decimal("1E+2"), Decimal("9" * 38)
)
ratios = few(-2.0, 0.0, 0.1, 1.0, 1e-130, 1e23)
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
TAGS = few("S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS")


@st.composite
def comparisons(draw: st.DrawFn) -> Test:
    """Draw one comparison, of an attribute with values or with another attribute."""

    def one_of(group: Any) -> Any:
        at = draw(st.sampled_from(list(group)))
        others = [other for other in group if other != at]
        return at, draw(st.sampled_from(others)) if others and draw(st.integers(0, 3)) == 0 else draw(group[at])

    op = draw(
        few("order", "equal", "is_in", "between", "begins_with", "contains", "not_contains", "size", "is", "type")
    )
    match op:
        case "order":
            at, value = one_of(draw(st.sampled_from(ORDERED)))
            return Test(draw(st.sampled_from(list(ORDERS))), at, (value,))
        case "equal":
            at, value = one_of(ALL)
            return Test(draw(few("=", "<>")), at, (draw(few(value, value, value, None)),))
        case "is_in":
            at, value = one_of(draw(few(*ORDERED, ALL)))
            more = (
                range(150) if at in NUMBERS and draw(st.booleans()) else draw(st.lists(ALL[at] | st.none(), max_size=2))
            )
            return Test(op, at, (value, *more))
        case "between":
            at = draw(st.sampled_from([at for group in ORDERED for at in group]))
            return Test(op, at, tuple(sorted((draw(ALL[at]), draw(ALL[at])), key=kinded)))
        case "begins_with" | "contains" | "not_contains":
            at, value = one_of(draw(few(TEXTS, BYTES)) if op == "begins_with" else HOLDERS)
            return Test(op, at, (value,))
        case "size":
            at, size = draw(st.sampled_from(SIZED)), draw(st.integers(0, 4) | few(At(("count",)), *SIZED))
            if draw(st.booleans()):
                return Test("between", at, (draw(st.integers(0, 2)), draw(st.integers(2, 9))))
            return Test(draw(few("=", "<>", *ORDERS)), at, (size,))
        case "type":
            return Test("is_type", draw(st.sampled_from(list(ALL))), (draw(TAGS),))
    return Test(draw(few("exists", "not_exists")), draw(st.sampled_from(list(ALL))))


trees: SearchStrategy[Tree] = st.recursive(
    comparisons(),
    lambda inner: st.one_of(st.builds(Both, inner, inner), st.builds(Either, inner, inner), st.builds(Not, inner)),
    max_leaves=5,
)


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

    async def agree(drawn: Thing, trees: list[Tree]) -> None:
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

    for_all(agree, things, st.lists(trees, min_size=1, max_size=3), examples=100)
