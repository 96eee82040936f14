"""What a codec writes reads back equal; what would not is refused when the class is defined."""

from __future__ import annotations

import dataclasses
from collections import deque
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NewType, TypeVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.alias_generators import to_camel

from lift_dynamorm import DefinitionError, InvalidItem, InvalidValue, Model, PartitionKey
from lift_dynamorm.annotations import codec_of
from lift_dynamorm.model import schema_of
from lift_dynamorm.scalars import decode_any, encode_any
from tests.strategies import decimals, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import SyncSession

T = TypeVar("T")


def item_model(annotation: Any, **config: Any) -> Any:
    return create_model(
        "Item",
        __base__=Model,
        __cls_kwargs__={"table": "items", **config},
        id=(PartitionKey[str], "1"),
        value=(annotation, ...),
    )


def round_trip(annotation: Any, value: Any) -> Any:
    model = item_model(annotation)
    schema = schema_of(model)
    return schema.decode(schema.encode(model(value=value), ""), "").value


# -- any model, any value ----------------------------------------------------------------------------------------------


class Color(Enum):
    RED = "r"
    ONE = 1


class Point(BaseModel):
    x: int
    y: Decimal | None = None
    labels: set[str] = set()


instants = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone
floats = st.floats(allow_nan=False, allow_infinity=False).filter(lambda f: not f or 1e-130 <= abs(f) < 1e126)
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: text,
    int: st.integers(-(10**38) + 1, 10**38 - 1),
    float: floats,
    Decimal: decimals(),
    bool: st.booleans(),
    bytes: st.binary(max_size=9),
    datetime: instants,
    date: st.dates(),
    time: st.times(),
    timedelta: st.timedeltas(),
    UUID: st.uuids(),
    Color: st.sampled_from(Color),
    Point: st.builds(Point, x=st.integers(-9, 9), y=st.none() | decimals(), labels=st.sets(text, max_size=2)),
    Literal["a", 7]: st.sampled_from(["a", 7]),
}
HASHABLE: list[Any] = [str, int, Decimal, bytes, datetime, date, UUID, bool, Color]


@st.composite
def annotated(draw: st.DrawFn, depth: int = 2) -> tuple[Any, st.SearchStrategy[Any]]:
    """An annotation and a strategy for its values."""
    shape = draw(
        st.sampled_from(["scalar", "scalar", "set", *(["list", "dict", "optional", "tuple"] if depth else [])])
    )
    if shape == "scalar":
        kind: Any = draw(st.sampled_from(list(SCALARS)))
        return kind, SCALARS[kind]
    if shape == "set":
        kind = draw(st.sampled_from(HASHABLE))
        return set[kind], st.sets(SCALARS[kind], max_size=3)
    inner, values = draw(annotated(depth - 1))
    match shape:
        case "list":
            return list[inner], st.lists(values, max_size=3)  # type: ignore[valid-type]  # made here
        case "dict":
            key = draw(st.sampled_from([str, int, UUID]))
            return dict[key, inner], st.dictionaries(SCALARS[key], values, max_size=3)  # type: ignore[valid-type]  # made here
        case "tuple":
            return tuple[int, inner], st.tuples(st.integers(-9, 9), values)  # type: ignore[valid-type]  # made here
    return inner | None, st.none() | values


def equal(one: Any, other: Any) -> bool:
    """Equal, but for an empty set where the type allows None too: it is stored as an absent attribute."""
    return bool(one == other) or (other == set() and one is None)


@given(st.data())
def test_every_type_reads_back_equal(data: st.DataObject) -> None:
    annotation, values = data.draw(annotated())
    value = data.draw(values)
    found = round_trip(annotation, value)
    assert equal(found, value)
    assert type(found) is type(value) or value == set()


@given(data=st.data())
def test_every_type_reads_back_equal_from_an_engine(opened: Callable[..., SyncSession], data: st.DataObject) -> None:
    annotation, values = data.draw(annotated())
    model = item_model(annotation)
    s = opened(model)
    one, two = model(value=data.draw(values)), model(value=data.draw(values))
    s.put(one)
    assert equal(s.get(model, id="1").value, one.value)
    held = s.get(model, id="1")
    held.value = two.value
    s.update(held)
    assert equal(s.get(model, id="1").value, two.value)
    s.update(model, {"id": "1"}, value=one.value)
    assert equal(s.get(model, id="1").value, one.value)


untyped: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | text | st.binary(max_size=3) | st.integers(-(10**30), 10**30) | floats,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)


@given(untyped)
def test_untyped_values_read_back_equal(value: Any) -> None:
    assert decode_any(encode_any(value)) == value
    assert round_trip(Any, {"in": value}) == {"in": value}


@given(decimals())
def test_decimals_are_exact(value: Decimal) -> None:
    assert round_trip(Decimal, value) == value


# -- unions ------------------------------------------------------------------------------------------------------------


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9
    kin: list[Cat | Dog] = []


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    lives: Decimal = Decimal(1)


class Paid(BaseModel):
    """Told apart by a Literal, and with all that a stored map may lack or name otherwise."""

    kind: Literal["paid", "settled"]
    last_digits: str | None
    marks: set[str]
    paid_at: datetime | None = Field(None, alias="paidAt")
    method: str | None = "card"


class Due(BaseModel):
    kind: Literal["due"]
    days: int | None
    marks: set[int]


class Circle(BaseModel):
    """Told apart by what it always has."""

    radius: int = Field(1, serialization_alias="r")
    label: str = ""


class Square(BaseModel):
    side: int = Field(2, alias="Side")
    label: str = ""


PAID = Paid(kind="paid", last_digits=None, marks=set(), method=None)
SETTLED = Paid(kind="settled", last_digits="", marks={"a"}, paidAt=datetime(2020, 1, 1, tzinfo=UTC))
DUE = [Due(kind="due", days=None, marks=set()), Due(kind="due", days=0, marks={1})]


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (Paid | Due, [PAID, SETTLED, *DUE]),
        (Annotated[Due | Paid, Field(discriminator="kind")], [PAID, SETTLED, *DUE]),
        (Annotated[Due | Paid, Field(discriminator="kind")] | None, [PAID, *DUE, None]),
        (list[Paid | Due | None], [[PAID, None, *DUE], []]),
        (dict[str, Due | Paid], [{"a": PAID, "b": DUE[0]}]),
        (Circle | Square, [Circle(), Square(), Circle(radius=2), Square(Side=1, label="x")]),
        (Square | Circle | int, [Circle(), Square(), 1]),
        (int | str | None, [1, "1", None, ""]),
        (bool | int | str, [True, 1, 0, False, "True"]),
        (int | list[int] | dict[str, int], [1, [1], {"a": 1}, [], {}]),
        (Cat | Dog, [Cat(), Dog(), Cat(kin=[Dog(), Cat()])]),
        (Annotated[Cat | Dog, Field(discriminator="kind")] | None, [Cat(), Dog(), None]),
        (list[int | None] | None, [None, [], [None, 1]]),
        (set[int] | None, [{1}, None]),
        (dict[str, set[int] | None], [{"a": set(), "b": None, "c": {1}}]),
        (list[set[str] | None], [[set(), None, {"a"}]]),
        (tuple[set[int] | None, ...], [(set(), None, {1})]),
        (date | datetime, [date(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC)]),
        (UUID | date, [UUID(int=1), date(2020, 1, 1)]),
        (Literal["a"] | int, ["a", 1]),
        (bytes | str, [b"a", "a"]),
        (set[str] | str, [{"a"}, "a"]),
        (set[str] | dict[str, str], [{"a"}, set(), {}]),
        (int | float, [1, 1.5]),
    ],
)
def test_unions_read_back_as_the_member_they_were(annotation: Any, values: list[Any]) -> None:
    for value in values:
        found = round_trip(annotation, value)
        assert (found, type(found)) == (value, type(value))


class Twin(BaseModel):
    name: str = ""


class OtherTwin(BaseModel):
    name: str = ""


class Maybe(BaseModel):
    one: int | None = None
    ones: set[str] = set()
    any: object = None


class OtherMaybe(BaseModel):
    other: int | None = None
    others: set[str] = set()


class Loosely(BaseModel):
    model_config = ConfigDict(extra="allow")
    other: int = 0


class Renamed(BaseModel):
    """Two names in Python, one on the wire."""

    other: str = Field("", serialization_alias="name")


OptionalInt = NewType("OptionalInt", int | None)  # type: ignore[valid-newtype]  # pydantic allows it


@dataclasses.dataclass
class Mark:
    mark: int = 0


Holder = create_model("Holder", one=(OptionalInt, None))
Held = create_model("Held", other=(OptionalInt, None))


@pytest.mark.parametrize(
    "annotation",
    [
        Color | int,
        str | UUID,
        str | datetime,
        float | Decimal,
        int | timedelta,
        set[str] | set[date],
        set[int] | set[Decimal],
        set[str] | list[str],
        deque[str] | list[int],
        Twin | OtherTwin,
        list[OtherTwin | Twin],
        Maybe | OtherMaybe,
        Loosely | Twin,
        Renamed | Twin,
        Circle | dict[str, int],
        Holder | Held,
        Mark | Twin,
        Mark | dict[str, int],
    ],
)
def test_unions_that_could_read_back_as_another_are_refused(annotation: Any) -> None:
    with pytest.raises(DefinitionError, match=r"Item\.value: .*Literal field"):
        item_model(annotation)


# -- models in models --------------------------------------------------------------------------------------------------


class Box(BaseModel, Generic[T]):
    value: T
    more: list[T] = []


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    first_name: str
    best_friend: Camel | None = None
    nick_names: set[str] = set()


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int = 1


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)
    a: int = 1


@dataclasses.dataclass
class Data:
    a: int
    when: date | None = None


UserId = NewType("UserId", str)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Box[int], Box[int](value=1, more=[2])),
        (Box[set[str]], Box[set[str]](value=set(), more=[set(), {"a"}])),
        (Box[Decimal | None], Box[Decimal | None](value=None, more=[Decimal("1.1"), None])),
        (Camel, Camel(first_name="A", best_friend=Camel(first_name="B", nick_names={"x"}))),
        (Loose, Loose.model_validate({"a": 2, "b": [1, {"c": None}]})),
        (dict[str, Frozen], {"x": Frozen(a=3)}),
        (set[Frozen], {Frozen(a=1), Frozen(a=2)}),
        (frozenset[Frozen], frozenset({Frozen(a=1)})),
        (Data, Data(1, date(2020, 1, 1))),
        (list[Data], [Data(1), Data(2)]),
        (UserId, UserId("u")),
        (object, {"a": 1}),
        (list, [1, "a", None]),
        (dict, {"a": [1]}),
        (set, {1, 2}),
        (tuple, (1, 2)),
    ],
)
def test_models_in_models(annotation: Any, value: Any) -> None:
    found = round_trip(annotation, value)
    assert (found, type(found)) == (value, type(value))


def test_names_on_the_wire_are_aliases() -> None:
    codec = codec_of(Camel, "x")
    assert codec.encode(Camel(first_name="A", nick_names={"x"})) == {
        "M": {"firstName": {"S": "A"}, "nickNames": {"SS": ["x"]}}
    }


def test_a_subclass_is_not_stored_as_its_base() -> None:
    class Puppy(Dog):
        age: int = 1

    model = item_model(Dog)
    with pytest.raises(InvalidValue, match=r"Item\.value: .*subclass"):
        schema_of(model).encode(model.model_construct(id="1", value=Puppy()), "")


# -- items of other shapes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "wire", "value"),
    [
        (int, {"S": "7"}, 7),
        (str | None, {"NULL": True}, None),
        (datetime, {"N": "0"}, datetime(1970, 1, 1, tzinfo=UTC)),
        (datetime, {"S": "2020-01-01T00:00:00+02:00"}, datetime(2019, 12, 31, 22, tzinfo=UTC)),
        (set[str], {"L": [{"S": "a"}]}, {"a"}),
        (list[str], {"SS": ["a"]}, ["a"]),
        (float, {"N": "1E+2"}, 100.0),
        (int, {"N": "1E+2"}, 100),
        (Decimal, {"N": "1.10"}, Decimal("1.1")),
        (Point, {"M": {"x": {"S": "1"}, "else": {"S": ""}}}, Point(x=1)),
        (Color, {"S": "r"}, Color.RED),
    ],
)
def test_what_others_wrote_is_read_by_pydantics_rules(annotation: Any, wire: Any, value: Any) -> None:
    schema = schema_of(item_model(annotation))
    found = schema.decode({"id": {"S": "1"}, "value": wire}, "").value
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("annotation", "wire"),
    [(int, {"S": "x"}), (int, {"NULL": True}), (int, {"N": "1.5"}), (date, {"S": ""}), (Color, {"S": "no"}),
     (Point, {"M": {}}), (UUID, {"S": "x"}), (bool, {"S": "perhaps"}), (list[int], {"L": [{"S": "x"}]})],
)  # fmt: skip
def test_what_does_not_fit_is_an_invalid_item(annotation: Any, wire: Any) -> None:
    schema = schema_of(item_model(annotation))
    with pytest.raises(InvalidItem, match="the item id=1 does not fit Item: value") as caught:
        schema.decode({"id": {"S": "1"}, "value": wire}, "")
    assert caught.value.key == {"id": {"S": "1"}}


def test_extra_attributes() -> None:
    stored = {"id": {"S": "1"}, "value": {"N": "1"}, "more": {"S": "x"}}
    assert schema_of(item_model(int)).decode(stored, "").model_extra is None
    assert schema_of(item_model(int, extra="allow")).decode(stored, "").model_extra == {"more": "x"}
    with pytest.raises(InvalidItem, match="more"):
        schema_of(item_model(int, extra="forbid")).decode(stored, "")


def test_template_keys_are_no_extra_attributes() -> None:
    model: Any = create_model(
        "Item", __base__=Model, __cls_kwargs__={"table": "ttt", "pk": "A#{id}", "extra": "forbid"}, id=(str, ...)
    )
    schema = schema_of(model)
    assert schema.decode(schema.encode(model(id="1"), ""), "") == model(id="1")
