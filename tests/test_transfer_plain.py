"""Stored values as plain JSON: whatever is stored reads back the same, and other tools can read and write it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lift_dynamorm.conditions import same
from lift_dynamorm.errors import InvalidValue
from lift_dynamorm.transfer.plain import from_plain, item_from_plain, to_plain
from tests.strategies import numbers, wires


def read(text: bytes | str) -> Any:
    return json.loads(text, parse_float=Decimal)


@given(wires | numbers.map(lambda text: {"N": text}))
def test_whatever_is_stored_reads_back(wire: dict[str, Any]) -> None:
    assert same(from_plain(read(orjson.dumps(to_plain(wire)))), wire)


@given(wires)
def test_so_does_dynamodbs_own_form(wire: dict[str, Any]) -> None:
    assert from_plain(read(json.dumps(wire))) == wire


@given(
    st.recursive(
        st.sampled_from(["S", "x"]).map(lambda v: {"S": v}),
        lambda inner: st.builds(
            lambda name, value: {"M": {name: value}}, st.sampled_from(["S", "M", "N", "SS", "other"]), inner
        ),
        max_leaves=4,
    )
)
def test_maps_are_not_taken_for_types(wire: dict[str, Any]) -> None:
    assert from_plain(to_plain(wire)) == wire


@pytest.mark.parametrize(
    ("wire", "plain"),
    [
        ({"S": "a"}, "a"),
        ({"N": "3"}, 3),
        ({"N": "1.50"}, 1.5),
        ({"N": "1E+2"}, 100),
        ({"N": "9007199254740991"}, 9007199254740991),
        ({"N": "9007199254740992"}, {"N": "9007199254740992"}),
        ({"N": "0.1000000000000000055"}, {"N": "0.1000000000000000055"}),
        ({"B": "AA=="}, {"B": "AA=="}),
        ({"SS": ["b", "a"]}, {"SS": ["a", "b"]}),
        ({"M": {"a": {"N": "1"}, "b": {"NULL": True}}}, {"a": 1, "b": None}),
        ({"M": {"S": {"S": "x"}}}, {"M": {"S": "x"}}),
        ({"L": [{"BOOL": True}, {"L": []}]}, [True, []]),
    ],
)
def test_what_is_written(wire: dict[str, Any], plain: Any) -> None:
    assert to_plain(wire) == plain
    assert type(to_plain(wire)) is type(plain)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"N": 5}', "is text"),
        ('{"N": "five"}', "no number"),
        ('{"N": "1E+200"}', "DynamoDB can store"),
        ('{"B": "!"}', "base64"),
        ('{"B": 5}', "base64"),
        ('{"SS": []}', "stands for"),
        ('{"SS": ["a", "a"]}', "stands for"),
        ('{"NS": ["1", "1.0"]}', "stands for"),
        ('{"BOOL": "yes"}', "stands for"),
        ('{"NULL": false}', "stands for"),
        ('{"M": []}', "stands for"),
        ('{"S": 5}', "not text"),
        ("1E+200", "DynamoDB can store"),
        ('"\\ud800"', "surrogate"),
        ('{"\\ud800": 1}', "surrogate"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        from_plain(read(text))


def test_an_item_names_the_attribute() -> None:
    with pytest.raises(InvalidValue, match=r"name: .*1E") as caught:
        item_from_plain(read('{"id": 1, "name": 1E+200}'))
    assert caught.value.field == "name"


@pytest.mark.parametrize("value", ["1", '"a"', '{"a": 1}', '{"L": [1]}'])
def test_an_item_in_dynamodbs_own_form_has_types_everywhere(value: str) -> None:
    with pytest.raises(InvalidValue, match="own form"):
        item_from_plain(read(f'{{"id": {value}}}'), typed=True)
