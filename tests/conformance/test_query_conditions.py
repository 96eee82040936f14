"""Conditions of queries: odd names, the explicit form, keys of several attributes, what no filter can hold."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from lift_dynamorm import GSI, F, Model, PartitionKey, QueryError, SortKey, UsageError

from .models import DAY, Note, Plain, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Session

    Open = Callable[..., Session]


class Piece(BaseModel):
    sku: str
    count: int = 1


class Box(Model, table="boxes", indexes=[GSI("odd-index", pk=F.proto, sk=F.first)]):
    """Attributes called as no Python name is."""

    model_config = ConfigDict(populate_by_name=True)

    id: PartitionKey[str]
    sort: SortKey[int] = Field(0, alias="a-b")
    proto: str = Field("p", alias="__proto__")
    first: int = Field(0, alias="1st")
    dotted: str = Field("d", alias="x.y")
    bracket: str = Field("b", alias="x[0]")
    status: str = "s"
    upper: str = Field("S", alias="STATUS")
    x: dict[str, Any] = {}
    pieces: list[Piece] = []
    hash: str = Field("h", alias="#h:#0 ")
    sets: set[str] = set()


async def boxes(s: Session) -> None:
    for n in range(4):
        await s.create(
            Box(
                id="1",
                sort=n,
                first=n,
                dotted=f"d{n}",
                bracket=f"b{n}",
                status=f"low{n}",
                upper=f"UP{n}",
                x={"y": f"inside{n}", "a b": n},
                pieces=[Piece(sku=f"k{n}", count=n), Piece(sku="all")],
                hash=f"h{n}",
                sets={"even"} if n % 2 == 0 else set(),
            )
        )


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (F["a-b"] == 2, [2]),
        (F["a-b"] > 1, [2, 3]),
        (F.sort.between(1, 2), [1, 2]),
        (F["1st"] >= 2, [2, 3]),
        (F["__proto__"] == "p", [0, 1, 2, 3]),
        (F["x.y"] == "d1", [1]),
        (F["x[0]"] == "b3", [3]),
        (F.x.y == "inside2", [2]),
        (F.x["a b"] == 1, [1]),
        (F.status == "low1", [1]),
        ((F.STATUS == "UP1") | (F.status == "low3"), [1, 3]),
        ((F.status == "low1") & (F.upper == "UP1"), [1]),
        (F["#h:#0 "] == "h2", [2]),
        (F.pieces[0].sku == "k3", [3]),
        (F.pieces[1].sku == "all", [0, 1, 2, 3]),
        (F.pieces[0].count > 1, [2, 3]),
        (F("pieces[0].sku", "=", "k1"), [1]),
        (F("pieces[0].count", ">=", 2) | F("x.a b", "=", 0), [0, 2, 3]),
        (F("x.y", "=", "d0"), [0]),
        (F("x.yz", "not_exists") & F("x[0]", "=", "b1"), [1]),
        (F("x[0]", "begins_with", "b2"), [2]),
        (F("__proto__", "EXISTS"), [0, 1, 2, 3]),
        (F("1st", "NOT_EXISTS"), []),
        (F("#h:#0 ", "IN", ["h0", "h1"]), [0, 1]),
        (F("size(pieces)", ">", 1), [0, 1, 2, 3]),
        (F("sets", "ATTRIBUTE_TYPE", "SS"), [0, 2]),
        (F("sets", "Contains", "even"), [0, 2]),
        (F("sets", "NOT_CONTAINS", "even"), [1, 3]),
        (~F("sets", "exists") & F("STATUS", "!=", "UP1"), [3]),
        (F("a-b", "BETWEEN", 1, 2), [1, 2]),
    ],
)
async def test_names_of_every_kind(opened: Open, condition: Any, found: list[int]) -> None:
    s = opened(Box)
    await boxes(s)
    assert [box.sort async for box in s.query(Box).where(F.id == "1", condition)] == found
    assert await s.query(Box).where(condition, id="1").count() == len(found)


async def test_the_positional_form_reads_the_same_names(opened: Open) -> None:
    s = opened(Box)
    await boxes(s)
    query = s.query(Box).where("id", "=", "1")
    assert [box.sort async for box in query.where("pieces[0].sku", "=", "k1")] == [1]
    assert [box.sort async for box in query.where("x.y", "=", "d2")] == [2]
    assert [box.sort async for box in query.where("x.a b", "<", 2)] == [0, 1]
    assert [box.sort async for box in query.where("size(pieces)", "GE", 2).where("a-b", ">", 2)] == [3]
    with pytest.raises(QueryError, match="`piece`; did you mean `pieces`"):
        await query.where("piece[0].sku", "=", "k1").all()
    with pytest.raises(QueryError, match="Piece has no field `nope`"):
        await query.where("pieces[0].nope", "=", "k1").all()


async def test_what_is_missing_has_no_size(opened: Open) -> None:
    s = opened(Box)
    await boxes(s)
    assert [box.sort async for box in s.query(Box).where(F("size(sets)", ">=", 0), id="1")] == [0, 2]


async def test_odd_names_are_keys_orders_and_projections(opened: Open) -> None:
    s = opened(Box)
    await boxes(s)
    odd = s.query(Box).where(F["__proto__"] == "p")
    assert [box.first async for box in odd.where(F["1st"] > 1).order_by("-1st")] == [3, 2]
    assert [box.first async for box in odd.order_by(F["1st"]).limit(2)] == [0, 1]
    page = await odd.limit(3).page()
    assert [box.first for box in await odd.limit(3).page(page.cursor)] == [3]
    (box,) = await s.query(Box).where(**{"id": "1", "a-b": 2}).only("hash", "dotted", "upper").all()
    assert (box.sort, box.hash, box.dotted, box.upper) == (2, "h2", "d2", "UP2")


# -- keys of several attributes ----------------------------------------------------------------------------------------


class Match(
    Model,
    table="matches",
    indexes=[GSI("by-place", pk=[F.country, F.city, F.hall, F.mat], sk=[F.sport, F.level, F.day, F.hour])],
):
    id: PartitionKey[str]
    country: str = "it"
    city: str = "rome"
    hall: int = 1
    mat: str = "a"
    sport: str
    level: str
    day: str
    hour: str


async def matches(s: Session) -> list[Match]:
    items = [
        Match(id=f"{sport}{level}{day}{hour}", sport=sport, level=level, day=day, hour=hour)
        for sport in ("box", "judo")
        for level in ("a", "e")
        for day in ("mo", "tu")
        for hour in ("am", "pm")
    ]
    for match in (*items, Match(id="elsewhere", city="milan", sport="judo", level="a", day="mo", hour="am")):
        await s.put(match)
    return items


PLACE: dict[str, Any] = {"country": "it", "city": "rome", "hall": 1, "mat": "a"}


@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_equalities_on_keys_of_eight_attributes(opened: Open, tenant: str | None) -> None:
    s = opened(Match, tenant=tenant)
    items = await matches(s)
    await answers(
        s,
        items,
        [
            ((), lambda m: True),
            ((F.sport == "judo",), lambda m: m.sport == "judo"),
            ((F.sport == "judo", F.level == "e"), lambda m: (m.sport, m.level) == ("judo", "e")),
            ((F.sport == "box", F.level == "a", F.day == "tu"), lambda m: m.id.startswith("boxatu")),
            ((F.sport == "box", F.level == "a", F.day == "tu", F.hour == "pm"), lambda m: m.id == "boxatupm"),
            ((F.sport == "box", F.day == "mo"), lambda m: (m.sport, m.day) == ("box", "mo")),
            ((F.level == "e",), lambda m: m.level == "e"),
        ],
    )
    with pytest.raises(QueryError, match="by-place needs `mat`"):
        await s.query(Match).where(country="it", city="rome", hall=1).all()


@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_ranges_on_keys_of_eight_attributes(opened: Open, tenant: str | None) -> None:
    s = opened(Match, tenant=tenant)
    items = await matches(s)
    await answers(
        s,
        items,
        [
            ((F.sport > "box",), lambda m: m.sport > "box"),
            ((F.sport.begins_with("j"),), lambda m: m.sport == "judo"),
            ((F.sport == "box", F.level.between("b", "z")), lambda m: (m.sport, m.level) == ("box", "e")),
            ((F.sport == "box", F.level > "a", F.level < "e"), lambda m: False),
            ((F.sport == "box", F.level == "a", F.day >= "tu"), lambda m: m.id.startswith("boxatu")),
            ((F.sport == "box", F.level == "a", F.day == "tu", F.hour < "b"), lambda m: m.id == "boxatuam"),
        ],
    )
    assert await s.query(Match).where(**PLACE).order_by("-sport").all() == items[::-1]
    judo = s.query(Match).where(**PLACE, sport="judo")
    assert await judo.order_by("-level").limit(3).all() == items[:12:-1]


async def answers(s: Session, items: list[Match], cases: list[tuple[Any, Callable[[Match], bool]]]) -> None:
    rome = s.query(Match).where(**PLACE)
    for conditions, holds in cases:
        expected = [match for match in items if holds(match)]
        assert await rome.where(*conditions).all() == expected
        assert await rome.where(*conditions).count() == len(expected)


class Bout(Model, table="bouts", indexes=[GSI("by-place", pk=[F.city, F.hall], sk=[F.level, F.weight])]):
    id: PartitionKey[str]
    city: str = "rome"
    hall: int = 1
    level: int
    weight: int = 0


async def test_numbers_in_a_key_of_several_attributes(opened: Open) -> None:
    s = opened(Bout)
    levels = [-10, -9, 0, 2, 10, 100]
    for level in levels:
        await s.put(Bout(id=str(level), level=level, weight=-level))
    rome = s.query(Bout).where(city="rome", hall=1)
    assert [bout.level async for bout in rome] == levels
    assert [bout.level async for bout in rome.where(F.level > -10, F.level <= 10)] == [-9, 0, 2, 10]
    assert [bout.level async for bout in rome.where(F.level == 10, F.weight >= -10)] == [10]


async def test_pages_under_keys_of_eight_attributes(opened: Open) -> None:
    s = opened(Match)
    items = await matches(s)
    rome = s.query(Match).where(**PLACE)
    paged: list[Match] = []
    cursor = None
    while cursor is not None or not paged:
        page = await rome.limit(5).page(cursor)
        paged += page
        cursor = page.cursor
    assert paged == items
    async with s.transaction():
        await s.delete(items[0])
        new = await s.put(Match(id="new", sport="box", level="b", day="zz", hour="x"))
        assert await rome.all() == [*items[1:4], new, *items[4:]]


# -- what an expression cannot hold ------------------------------------------------------------------------------------


async def test_a_filter_of_any_length(opened: Open) -> None:
    s = opened(Note)
    for n in range(6):
        await s.create(Note(owner="ann", written=DAY + timedelta(days=n), text=str(n)))
    ann = s.query(Note).where(owner="ann")
    long = F.text.is_in([str(n) for n in range(0, 4000, 2)])
    assert [note.text async for note in ann.where(long)] == ["0", "2", "4"]
    assert [note.text async for note in ann.where(long, F.text != "2").limit(2)] == ["0", "4"]
    assert await ann.where(~long).count() == 3
    many = F.text == "1"
    for n in range(400):
        many |= F.text == f"no{n}"
    assert [note.text async for note in ann.where(many)] == ["1"]


async def test_a_condition_of_a_write_that_is_too_long_is_refused(opened: Open) -> None:
    s = opened(Plain)
    await s.put(Plain(id="1", name="n"))
    for condition, words in (
        (F.name.is_in([str(n) for n in range(2000)]), "DynamoDB allows 4096"),
        (~F.name.is_in([str(n) for n in range(2000)]), "DynamoDB allows 4096"),
    ):
        with pytest.raises(UsageError, match=f"update: the condition on Plain takes [0-9]+ bytes.*{words}"):
            await s.update(Plain, {"id": "1"}, count=1, if_=condition)
        with pytest.raises(UsageError, match=words):
            await s.delete(Plain, id="1", if_=condition)
    many = F.count == 0
    for n in range(200):
        many |= F.count == n
    with pytest.raises(UsageError, match="operators; DynamoDB allows 300"):
        await s.put(Plain(id="1"), if_=many)
    assert await s.get(Plain, id="1") == Plain(id="1", name="n")
    await s.put(Plain(id="1"), if_=F.name.is_in([str(n) for n in range(600)]) | (F.count == 0))


async def test_conditions_joined_one_by_one(opened: Open) -> None:
    s = opened(User)
    await s.create(User(id="1", name="n", logins=7))
    either = F.logins == 1
    both = F.logins < 100
    for n in range(70):
        either |= F.logins == n
        both &= F.logins != n + 50
    assert await s.query(User).where(F.id == "1", either).count() == 1
    assert await s.query(User).where(F.id == "1", both).count() == 1
    assert await s.query(User).where(F.id == "1", ~either).count() == 0
