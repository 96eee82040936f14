"""What a codec writes reads back equal; what would not is refused when the class is defined."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypeVar
from uuid import UUID

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pydantic import (
    AwareDatetime,
    Base64Str,
    Base64UrlBytes,
    BaseModel,
    ConfigDict,
    Field,
    FutureDate,
    Json,
    NaiveDatetime,
    RootModel,
    Secret,
    SecretStr,
    create_model,
)
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict  # pydantic's, on Python 3.11

from lift_dynamorm import DefinitionError, F, InvalidItem, InvalidValue, Model, PartitionKey
from lift_dynamorm.annotations import codec_of
from lift_dynamorm.conditions import same
from lift_dynamorm.model import schema_of
from lift_dynamorm.scalars import decode_any, encode_untyped
from tests.strategies import Color, Point, annotated, decimals, untyped

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


@dataclasses.dataclass
class Loosest:
    anything: Any


def round_trip(annotation: Any, value: Any) -> Any:
    model = item_model(annotation)
    schema = schema_of(model)
    return schema.decode(schema.encode(model(value=value), ""), "").value


# -- any model, any value ----------------------------------------------------------------------------------------------


@settings(max_examples=600)
@given(st.data())
def test_every_type_reads_back_equal(data: st.DataObject) -> None:
    annotation, values = data.draw(annotated())
    try:
        model = item_model(annotation)
    except DefinitionError:
        reject()
    item, schema = model(value=data.draw(values)), schema_of(model)
    stored = schema.encode(item, "")
    found = schema.decode(stored, "")
    assert found == item
    assert same({"M": schema.encode(found, "")}, {"M": stored})


@given(untyped)
def test_untyped_values_read_back_equal(value: Any) -> None:
    assert decode_any(encode_untyped(value)) == value
    assert round_trip(Any, {"in": value}) == {"in": value}


@pytest.mark.parametrize("number", [0, -1, 2**53 + 1, 10**38 - 1, 10**45, 0.1, 1.5e-130, 2.0**60, 1e22, 1e23, -1e37])
@pytest.mark.parametrize("written", ["{:f}", "{:e}", "{}"])
def test_an_untyped_number_reads_back_equal_however_it_is_written(number: int | float, written: str) -> None:
    """Most engines write numbers out in digits."""
    (exact,) = encode_untyped(number).values()
    assert decode_any({"N": written.format(Decimal(exact))}) == number
    assert round_trip(int | float, number) == round_trip(float | int, number) == number


@pytest.mark.parametrize(
    "value", [Decimal("0.1"), Decimal("0.5"), Decimal(1), 1e100, datetime(2020, 1, 1, tzinfo=UTC), (1, 2), UUID(int=1)]
)
def test_an_untyped_value_that_would_not_read_back_is_refused_by_name(value: Any) -> None:
    for annotation, held in ((Any, [value]), (dict[str, Any], {"a": value}), (Loosest, Loosest({"a": value}))):
        model = item_model(annotation)
        with pytest.raises(InvalidValue, match=r"^Item\.value: .*would not read back equal here; declare its type"):
            schema_of(model).encode(model.model_construct(id="1", value=held), "")


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
        (set[int] | set[bool], [{1}, {True}, {False}]),
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
        SecretStr | UUID,
        datetime | Secret[date],
        float | Decimal,
        int | timedelta,
        set[str] | set[date],
        set[int] | set[Decimal],
        set[str] | list[str],
        deque[str] | list[int],
        list[set[str]] | list[list[int]],
        dict[str, Any] | dict[str, UUID],
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


class SecretDay(Secret[date]):
    pass


class Trip(NamedTuple):
    day: date
    stops: set[str]


class Row(TypedDict):
    day: date
    stops: NotRequired[set[str]]


@dataclasses.dataclass
class Node:
    """Holds itself, and what a plain dump by pydantic would lose."""

    span: timedelta
    points: set[Point] = dataclasses.field(default_factory=set)
    key: Base64Str = ""
    secret: Secret[int] | None = None
    kin: list[Node] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Derived:
    """Has a part that it is not given, so only pydantic knows how it is read."""

    a: Decimal
    twice: Decimal = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.twice = 2 * self.a


DAY = date(2020, 1, 1)
SPAN = timedelta(days=99421, microseconds=1)  # more digits than a float has


@pytest.mark.parametrize(
    ("annotation", "given", "wire"),
    [
        (Json[dict[str, date]], '{"a": "2020-01-01"}', {"M": {"a": {"S": "2020-01-01"}}}),
        (Json, "[1.5, null]", {"L": [{"N": "1.5"}, {"NULL": True}]}),
        (Json[set[int]], "[]", {"L": []}),
        (Annotated[int | None, Json], "null", {"NULL": True}),
        (list[Json[Point]], ['{"x": 1}'], {"L": [{"M": {"x": {"N": "1"}}}]}),
        (Base64Str, "YWJj", {"S": "abc"}),
        (Base64Str | None, "YWJj", {"S": "abc"}),
        (RootModel[Base64Str], "YWJj", {"S": "abc"}),
        (set[Base64UrlBytes], {b"_w=="}, {"BS": ["/w=="]}),
        (Secret[int], 1, {"N": "1"}),
        (SecretDay, DAY, {"S": "2020-01-01"}),
        (AwareDatetime, "2020-01-01T01:00:00+01:00", {"S": "2020-01-01T00:00:00.000000Z"}),
        (NaiveDatetime, "2020-01-01T01:00:00", {"S": "2020-01-01T01:00:00.000000"}),
        (FutureDate, date(2999, 1, 1), {"S": "2999-01-01"}),
        (Counter[str], Counter("aa"), {"M": {"a": {"N": "2"}}}),
        (set[str | None], {None}, {"L": [{"NULL": True}]}),
        (Trip, Trip(DAY, set()), {"L": [{"S": "2020-01-01"}, {"L": []}]}),
        (Row, {"day": DAY}, {"M": {"day": {"S": "2020-01-01"}}}),
        (Row, {"day": DAY, "stops": {"a"}}, {"M": {"day": {"S": "2020-01-01"}, "stops": {"SS": ["a"]}}}),
        (Derived, Derived(Decimal("1.1")), {"M": {"a": {"N": "1.1"}}}),
    ],
)
def test_what_is_read_otherwise_than_it_is_held(annotation: Any, given: Any, wire: Any) -> None:
    model = item_model(annotation)
    item, schema = model(value=given), schema_of(model)
    stored = schema.encode(item, "")
    assert stored.get("value") == wire
    assert schema.decode(stored, "") == item


def test_a_dataclass_is_stored_by_its_annotations() -> None:
    node = Node(SPAN, {Point(x=1)}, "abc", Secret(7), [Node(SPAN)])
    assert round_trip(Node | None, node) == node
    with pytest.raises(InvalidValue, match=r"Item\.value: kin: key: 1 \(int\) is not text"):
        schema_of(item_model(Node)).encode(item_model(Node)(value=Node(SPAN, kin=[Node(SPAN, key=1)])), "")  # type: ignore[arg-type]  # on purpose


@dataclasses.dataclass
class Price:
    amount: Decimal


def test_a_part_of_a_dataclass_is_changed_by_its_path(opened: Callable[..., SyncSession]) -> None:
    model = item_model(Price)
    s = opened(model)
    s.create(model(value=Price(Decimal("1.1"))))
    s.update(model, {"id": "1"}, F.value.amount.set(Decimal("2.2")), if_=F.value.amount == Decimal("1.1"))
    assert s.get(model, id="1").value == Price(Decimal("2.2"))


class Unclear(BaseModel):
    value: list[str | date]


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Iterable[int], "declare a list"),
        (type[int], "nothing that could be read back"),
        (dict[str | None, int], "the keys of a map"),
        (str | Any, "Any takes every value"),
        (list[Json[int]] | str, "cannot stand in a union"),
        (dict[str, Unclear], r"Unclear\.value: str \| date: several"),
    ],
)
def test_what_cannot_be_stored_is_refused_when_the_class_is_defined(annotation: Any, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        item_model(annotation)


def test_equal_sets_are_stored_alike() -> None:
    """Also those that are lists in DynamoDB: a condition compares them, and so does an update that changes nothing."""
    schema = schema_of(item_model(set[tuple[Decimal, bool]]))
    one, other = {(Decimal(8), True), (Decimal(0), False)}, {(Decimal("0.0"), False), (Decimal("8.0"), True)}
    stored = [schema.encode(schema.model(value=held), "") for held in (one, other)]
    assert same(stored[0]["value"], stored[1]["value"])


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
