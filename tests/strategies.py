"""What Hypothesis draws: values in wire form, as any stored item may hold them, and annotations with their values."""

from __future__ import annotations

import dataclasses
from base64 import encodebytes
from collections import deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from types import GenericAlias
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from hypothesis import strategies as st
from pydantic import AwareDatetime, Base64Bytes, BaseModel, ConfigDict, Field, Json, Secret, TypeAdapter, create_model

Wire = dict[str, Any]

text = st.text(st.characters(codec="utf-8"), max_size=5)
keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)
hostile = st.text(st.sampled_from('#"$@aAé!~ \x01😀'), max_size=5)


@st.composite
def decimals(draw: st.DrawFn) -> Decimal:
    """Every number DynamoDB can store: up to 38 digits, 1e-130 to 9.99e125."""
    digits = draw(st.one_of(st.integers(0, 9), st.integers(0, 10**6), st.integers(0, 10**38 - 1)))
    if not digits:
        return Decimal(0)
    length = len(str(digits))
    exponent = draw(st.one_of(st.integers(-3, 3), st.integers(-130, 125))) - (length - 1)
    adjusted = exponent + length - 1
    assert -130 <= adjusted <= 125
    # A tail that reaches below 1e-130 cannot be stored whatever the magnitude.
    if exponent < -130:
        exponent = -130 if length - 131 <= 125 else 125 - length + 1
    return Decimal((draw(st.integers(0, 1)), tuple(map(int, str(digits))), exponent))


numbers = st.one_of(st.integers(-3, 3).map(str), st.decimals(-5, 5, places=1).map(str), decimals().map(str))
few_numbers = st.sampled_from(["0", "1", "1.0", "2", "-1", "-1.5", "10", "0.1", "1E+1"])
short = st.text(st.sampled_from("abAé#"), max_size=3)

scalars: st.SearchStrategy[Wire] = st.one_of(
    short.map(lambda v: {"S": v}),
    few_numbers.map(lambda v: {"N": v}),
    st.sampled_from(["", "YQ==", "YWI=", "/w=="]).map(lambda v: {"B": v}),
    st.booleans().map(lambda v: {"BOOL": v}),
    st.just({"NULL": True}),
)
sets: st.SearchStrategy[Wire] = st.one_of(
    st.sets(short.filter(bool), min_size=1, max_size=3).map(lambda v: {"SS": sorted(v)}),
    st.sets(st.sampled_from(["0", "1", "2", "-1.5"]), min_size=1, max_size=3).map(lambda v: {"NS": sorted(v)}),
    st.sets(st.sampled_from(["YQ==", "Yg==", "/w=="]), min_size=1, max_size=2).map(lambda v: {"BS": sorted(v)}),
)
wires: st.SearchStrategy[Wire] = st.recursive(
    scalars | sets,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda v: {"L": v}),
        st.dictionaries(st.sampled_from(["a", "b", "c.d"]), inner, max_size=3).map(lambda v: {"M": v}),
    ),
    max_leaves=5,
)
attributes = st.sampled_from(["a", "b", "c"])
items = st.dictionaries(attributes, wires, max_size=3)


# -- annotations, and what pydantic takes for a value of each ---------------------------------------------------------


class Color(Enum):
    RED = "r"
    ONE = 1


class Point(BaseModel, frozen=True):
    x: int
    y: Decimal | None = None
    labels: frozenset[str] = frozenset()


zones: Any = st.sampled_from([None, UTC, timezone(timedelta(hours=-9, minutes=-30))])
instants = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=zones)  # noqa: DTZ001 - Hypothesis adds it
aware = instants.filter(lambda instant: instant.tzinfo is not None)
floats = st.floats(allow_nan=False, allow_infinity=False).filter(lambda f: not f or 1e-130 <= abs(f) < 1e126)
whole = st.integers(-(10**38) + 1, 10**38 - 1)

HASHABLE: dict[Any, st.SearchStrategy[Any]] = {
    str: text,
    int: whole,
    Decimal: decimals(),
    bytes: st.binary(max_size=3),
    bool: st.booleans(),
    datetime: instants,
    date: st.dates(),
    time: st.times(),
    timedelta: st.timedeltas(),
    UUID: st.uuids(),
    Color: st.sampled_from(Color),
    Point: st.builds(Point, x=whole, y=st.none() | decimals(), labels=st.frozensets(text, max_size=2)),
    Literal["a", 7, None]: st.sampled_from(["a", 7, None]),
    tuple[int, str]: st.tuples(whole, text),
}
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    **HASHABLE,
    float: floats,
    AwareDatetime: aware,
    Base64Bytes: st.binary(max_size=9).map(encodebytes),
    Secret[date]: st.dates(),
    Json[list[Decimal]]: st.lists(decimals().map(str), max_size=2).map(TypeAdapter(list[str]).dump_json),
}
KEYS: dict[Any, st.SearchStrategy[Any]] = {
    str: keys,
    **{kind: HASHABLE[kind] for kind in (int, Decimal, datetime, UUID)},
    Literal["a", "b"]: st.sampled_from(["a", "b"]),
}
untyped: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | text | st.binary(max_size=3) | whole | floats.filter(lambda f: abs(f) < 1e38),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)

Drawn = tuple[Any, st.SearchStrategy[Any]]
"""An annotation, and a strategy for what pydantic takes for its values."""


@st.composite
def annotated(draw: st.DrawFn, depth: int = 2) -> Drawn:
    """Draw an annotation; not each of them can be stored, for unions may be ambiguous."""
    deep = ["union", "union", "optional", "list", "dict", "tuple", "deque", "annotated", "model", "dataclass"]
    shape = draw(st.sampled_from(["scalar", "scalar", "scalar", "set", "any", *(deep if depth else [])]))
    if shape in ("scalar", "set"):
        kinds = SCALARS if shape == "scalar" else HASHABLE
        kind = draw(st.sampled_from(list(kinds)))
        return (kind, kinds[kind]) if shape == "scalar" else (GenericAlias(set, kind), st.sets(kinds[kind], max_size=3))
    if shape == "any":
        return Any, untyped
    if shape in ("model", "dataclass"):
        return draw(nested(depth - 1, plain=shape == "dataclass"))
    inner, values = draw(annotated(depth - 1))
    match shape:
        case "list":
            return GenericAlias(list, inner), st.lists(values, max_size=3)
        case "deque":
            return GenericAlias(deque, inner), st.lists(values, max_size=3).map(deque)
        case "dict":
            key = draw(st.sampled_from(list(KEYS)))
            return GenericAlias(dict, (key, inner)), st.dictionaries(KEYS[key], values, max_size=3)
        case "tuple" if draw(st.booleans()):
            return GenericAlias(tuple, (inner, ...)), st.lists(values, max_size=3).map(tuple)
        case "tuple":
            return GenericAlias(tuple, (int, inner)), st.tuples(whole, values)
        case "annotated":
            return Annotated[inner, Field(description="as it is")], values
        case "union":
            other, more = draw(annotated(depth - 1))
        case _:
            other, more = None, st.none()
    either = inner | other
    if type(None) in get_args(either):  # an empty set is absent, as None is: where both may be they read back alike
        return either, (values | more).filter(lambda value: value not in (set(), frozenset()))
    return either, values | more


@dataclasses.dataclass(frozen=True)
class Part:
    """A drawn field: its annotation and default for `create_model`, and its values."""

    definition: tuple[Any, Any]
    values: st.SearchStrategy[Any]
    required: bool


@st.composite
def parts(draw: st.DrawFn, name: str, depth: int) -> Part:
    annotation, values = draw(annotated(depth))
    alias = draw(st.sampled_from([None, f"{name} #.alias"]))
    default: Any = ...
    if draw(st.booleans()):
        default = TypeAdapter(annotation).validate_python(draw(values))
    return Part((annotation, Field(default, alias=alias)), values, required=default is ...)


def given_to(drawn: dict[str, Part]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw values by field; those that have a default may be missing."""
    return st.fixed_dictionaries(
        {name: part.values for name, part in drawn.items() if part.required},
        optional={name: part.values for name, part in drawn.items() if not part.required},
    )


@st.composite
def nested(draw: st.DrawFn, depth: int, *, plain: bool) -> Drawn:
    """Draw a model to stand inside of another, or a plain dataclass."""
    if plain:
        annotation, values = draw(annotated(depth))
        made: Any = dataclasses.make_dataclass("Data", [("value", annotation)])
        return made, values.map(lambda value: TypeAdapter(made).validate_python({"value": value}))
    drawn = {name: draw(parts(name, depth)) for name in draw(st.sampled_from(["a", "ab"]))}
    fields: Any = {name: part.definition for name, part in drawn.items()}
    config = ConfigDict(frozen=draw(st.booleans()), populate_by_name=True)
    made = create_model("Nested", __config__=config, **fields)
    return made, given_to(drawn).map(made.model_validate)
