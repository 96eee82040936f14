"""Every type round-trips by every path, and is stored as the same DynamoDB type by each."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import AnyUrl, BaseModel, EmailStr, Field, RootModel, SecretStr, create_model

from lift_dynamorm import ConditionFailed, F, InvalidValue, Model, Null, PartitionKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Session

    Open = Callable[..., Session]


class Color(Enum):
    RED = "red"
    BLUE = 2


class Size(IntEnum):
    SMALL = 1


class Mood(StrEnum):
    GOOD = "good"


class City(BaseModel):
    name: str
    since: date | None = None
    tags: set[str] = set()


class Tree(BaseModel):
    label: str
    leaves: list[Tree] = []
    best: Tree | None = None


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    weight: Decimal = Decimal(1)


class Names(RootModel[list[str]]):
    pass


INSTANT = datetime(2026, 2, 28, 23, 59, 59, 999999, UTC)

TYPES: list[tuple[Any, Any, Any, str]] = [
    # annotation, a value, another value, the DynamoDB type
    (str, "", "ü€😀\0\x01#\"'", "S"),
    (int, 0, -(10**37) - 1, "N"),
    (int, 10**38 - 1, 10**40, "N"),
    (float, 0.1, -1.7976931348623157e-100, "N"),
    (float, 1e125, 3.0, "N"),
    (Decimal, Decimal("0.00000000000000000000000000000000000001"), Decimal("9" * 38), "N"),
    (
        Decimal,
        Decimal("-1.2345678901234567890123456789012345678"),
        Decimal("9.9999999999999999999999999999999999999E125"),
        "N",
    ),
    (Decimal, Decimal("1E-130"), Decimal("1.50"), "N"),
    (bool, True, False, "BOOL"),
    (bytes, b"", bytes(range(256)), "B"),
    (datetime, INSTANT, INSTANT.astimezone(timezone(timedelta(hours=5, minutes=30))) + timedelta(1), "S"),
    (datetime, datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59), "S"),  # noqa: DTZ001 - naive on purpose
    (date, date(1, 1, 1), date(9999, 12, 31), "S"),
    (time, time(0), time(23, 59, 59, 999999), "S"),
    (timedelta, timedelta(0), timedelta(days=-3, microseconds=1), "N"),
    (UUID, UUID(int=0), UUID(int=2**128 - 1), "S"),
    (Color, Color.RED, Color.RED, "S"),
    (Color, Color.BLUE, Color.BLUE, "N"),
    (Size, Size.SMALL, Size.SMALL, "N"),
    (Mood, Mood.GOOD, Mood.GOOD, "S"),
    (Literal["a", 2, True], "a", "a", "S"),
    (Literal["a", 2, True], 2, 2, "N"),
    (Literal["a", 2, True], True, True, "BOOL"),
    (City, City(name="Ulm"), City(name="", since=date(2000, 1, 1), tags={"x"}), "M"),
    (Tree, Tree(label="a"), Tree(label="a", leaves=[Tree(label="b", best=Tree(label="c"))]), "M"),
    (list[int], [], [1, 2], "L"),
    (list[str | None], [None], ["a", None], "L"),
    (list[set[int]], [set()], [{1, 2}, set(), {3}], "L"),
    (list[City], [], [City(name="a"), City(name="b", tags={"t"})], "L"),
    (dict[str, int], {}, {"a.b": 2, "#x": 3}, "M"),
    (dict[int, str], {}, {1: "a", -2: "b"}, "M"),
    (dict[UUID, list[date]], {}, {UUID(int=1): [date(2020, 1, 1)]}, "M"),
    (dict[str, set[str]], {"a": set()}, {"a": {"x"}, "b": set()}, "M"),
    (Mapping[str, int], {}, {"a": 1}, "M"),
    (Sequence[int], [], [1], "L"),
    (deque[int], deque(), deque([1, 2]), "L"),
    (tuple[int, str], (1, "a"), (2, "b"), "L"),
    (tuple[int, ...], (), (1, 2, 3), "L"),
    (tuple[set[int], int | None], (set(), None), ({1}, 1), "L"),
    (set[str], {"a"}, {"b", "c"}, "SS"),
    (set[int], {0}, {1, -5, 10**37}, "NS"),
    (set[Decimal], {Decimal("1.5")}, {Decimal("0.1"), Decimal(-3)}, "NS"),
    (set[bytes], {b"a"}, {b"a", b"\0"}, "BS"),
    (frozenset[UUID], frozenset({UUID(int=1)}), frozenset({UUID(int=2), UUID(int=3)}), "SS"),
    (set[date], {date(2020, 1, 1)}, {date(2020, 1, 2), date(1999, 1, 1)}, "SS"),
    (set[Mood], {Mood.GOOD}, {Mood.GOOD}, "SS"),
    (set[bool], {True}, {True, False}, "L"),
    (set[tuple[int, int]], {(1, 2)}, {(1, 2), (3, 4)}, "L"),
    (int | str, 1, 1, "N"),
    (int | str, "1", "1", "S"),
    (bool | int, True, True, "BOOL"),
    (bool | int, 1, 1, "N"),
    (date | datetime, date(2020, 1, 1), date(2020, 1, 1), "S"),
    (date | datetime, INSTANT, INSTANT, "S"),
    (int | float, 1, 2, "N"),
    (int | float, 1.5, 2.5, "N"),
    (str | list[str] | None, ["a"], [], "L"),
    (Cat | Dog, Cat(), Cat(lives=1), "M"),
    (Annotated[Cat | Dog, Field(discriminator="kind")], Dog(weight=Decimal("1.10")), Dog(), "M"),
    (list[Cat | Dog], [Cat(), Dog()], [Dog()], "L"),
    (Any, "text", "text 2", "S"),
    (Any, 1, -2, "N"),
    (Any, 1.5, 2.5, "N"),
    (Any, True, False, "BOOL"),
    (Any, b"x", b"", "B"),
    (Any, [1, "a", None, {"k": [b"x", {1, 2}]}], [], "L"),
    (Any, {"a": {"b": None}}, {}, "M"),
    (Any, {"a", "b"}, {"c"}, "SS"),
    (dict[str, Any], {}, {"a": [1, None]}, "M"),
    (list[Any], [], [None, 1, "a"], "L"),
    (EmailStr, "a@example.com", "b@example.com", "S"),
    (AnyUrl, AnyUrl("https://example.com/a"), AnyUrl("https://example.com/b"), "S"),
    (SecretStr, SecretStr("one"), SecretStr("two"), "S"),
    (Names, Names([]), Names(["a"]), "L"),
    (str | None, "a", "b", "S"),
    (City | None, City(name="a"), City(name="b"), "M"),
    (set[int] | None, {1}, {2}, "NS"),
    (list[int] | None, [1], [], "L"),
]


@pytest.mark.parametrize(
    ("annotation", "one", "two", "tag"), TYPES, ids=[f"{n}-{str(t[0])[:30]}" for n, t in enumerate(TYPES)]
)
async def test_a_type_by_every_path(opened: Open, annotation: Any, one: Any, two: Any, tag: str) -> None:
    model: Any = create_model(
        "Typed", __base__=Model, __cls_kwargs__={"table": "typed"}, id=(PartitionKey[str], ...), value=(annotation, ...)
    )
    s = opened(model)

    async def stored(key: str, expected: Any) -> None:
        found: Any = await s.get(model, id=key)
        assert found.value == expected
        assert type(found.value) is type(expected)
        with pytest.raises(ConditionFailed) as caught:
            await s.delete(found, if_=F.id == "")
        assert caught.value.wire_item is not None
        assert list(caught.value.wire_item["value"]) == [tag]
        await s.put(found, if_=F.value == expected)

    created: Any = await s.create(model(id="create", value=one))
    await stored("create", one)
    await s.update(created, value=two)
    assert created.value == two
    await stored("create", two)
    await s.put(model(id="put", value=one))
    created.value = one
    await s.update(created)
    await stored("create", one)
    by_key: Any = await s.update(model, {"id": "put"}, value=two)
    assert by_key.value == two
    await stored("put", two)
    await s.update(model, {"id": "put"}, F.value.set(one), if_=F.value == two)
    await stored("put", one)
    async with s.transaction():
        await s.create(model(id="transaction", value=two))
        await s.update(created, value=two)
        await s.update(model, {"id": "put"}, value=two, if_=F.value == one)
    for key in ("create", "put", "transaction"):
        await stored(key, two)
    await s.update(model, {"id": "put"}, if_=F.value.is_in([one, two]), value=one)
    await stored("put", one)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (float, float("nan")),
        (float, float("inf")),
        (float, 1e126),
        (float, 1e-131),
        (Decimal, Decimal("NaN")),
        (Decimal, Decimal("-Infinity")),
        (Decimal, Decimal("1E126")),
        (Decimal, Decimal("1E-131")),
        (Decimal, Decimal("1." + "1" * 38)),
        (int, 10**38 + 1),
        (str, "\ud800"),
        (Any, object()),
        (Any, (1, 2)),
        (Any, float("nan")),
        (Any, set()),
        (Any, {1: "a"}),
        (list[float], [1.0, float("nan")]),
        (dict[str, Any], {"a": [{"b": float("inf")}]}),
    ],
)
async def test_what_cannot_be_stored_is_refused_by_name(opened: Open, annotation: Any, value: Any) -> None:
    model: Any = create_model(
        "Typed", __base__=Model, __cls_kwargs__={"table": "typed"}, id=(PartitionKey[str], ...), value=(annotation, ...)
    )
    s = opened(model)
    item = model.model_construct(id="1", value=value)
    for attempt in (
        lambda: s.create(item),
        lambda: s.put(item),
        lambda: s.update(item),
        lambda: s.update(model, {"id": "1"}, value=value),
        lambda: s.update(model, {"id": "1"}, F.value.set(value)),
        lambda: s.delete(model, id="1", if_=F.value == value),
    ):
        with pytest.raises(InvalidValue, match=r"Typed\.value") as caught:
            await attempt()
        assert caught.value.field == "value"
    assert await s.find(model, id="1") is None


class Absent(Model, table="absent"):
    id: PartitionKey[str]
    optional: str | None = None
    defaulted: str | None = "default"
    required: str | None
    null: Null[str | None] = None
    empty: set[str] = set()
    maybe: set[str] | None = None
    inside: list[set[str]] = []
    nested: City | None = None


async def test_none_is_absent_unless_absence_means_something_else(opened: Open) -> None:
    s = opened(Absent)
    item = await s.create(Absent(id="1", defaulted=None, required=None))
    assert await s.get(Absent, id="1") == item
    with pytest.raises(ConditionFailed) as caught:
        await s.delete(item, if_=F.id == "")
    assert caught.value.wire_item == {
        "id": {"S": "1"},
        "defaulted": {"NULL": True},
        "null": {"NULL": True},
        "inside": {"L": []},
    }
    for name in ("optional", "defaulted", "required", "null", "maybe", "nested"):
        await s.put(item, if_=F[name] == None)  # noqa: E711 - a condition, not a comparison
        await s.put(item, if_=F[name].is_in([None, "x"] if name not in ("maybe", "nested") else [None]))
        with pytest.raises(ConditionFailed):
            await s.put(item, if_=F[name] != None)  # noqa: E711 - a condition, not a comparison


async def test_none_in_an_update_removes(opened: Open) -> None:
    s = opened(Absent)
    full = {"optional": "a", "defaulted": "b", "required": "c", "null": "d", "empty": {"e"}, "maybe": {"f"}}
    for number, how in enumerate(("values", "paths", "instance", "transaction")):
        item = await s.create(Absent(id=str(number), nested=City(name="x"), **full))
        none: dict[str, Any] = {**dict.fromkeys(full, None), "empty": set(), "nested": None}
        if how == "values":
            await s.update(item, **none)
        elif how == "paths":
            await s.update(item, *(F[name].remove() for name in none))
        elif how == "instance":
            for name, value in none.items():
                setattr(item, name, value)
            await s.update(item)
        else:
            async with s.transaction():
                await s.update(Absent, {"id": str(number)}, **none)
        found = await s.get(Absent, id=str(number))
        assert found.model_dump() == {"id": str(number), "inside": [], **none}
        with pytest.raises(ConditionFailed) as caught:
            await s.delete(found, if_=F.id == "")
        assert caught.value.wire_item is not None
        assert set(caught.value.wire_item) == {"id", "inside", "defaulted", "null"}
