"""Fields are read back out of keys as they went in."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from lift_dynamorm import GSI, Model
from lift_dynamorm.model import schema_of
from lift_dynamorm.restore import restorable, restore
from tests.strategies import hostile, keys


class Colour(Enum):
    RED = "red#1"
    BLUE = '"blue'


class Keyed(
    Model,
    table="keyed",
    pk="{name}#x{number}",
    sk="S#{amount}#{flag}#{colour}#end",
    indexes=[GSI("by_pad", pk="P#{padded:06d}#{either}", sk="{uid}"), GSI("plain", pk="{name}", sk="{padded:06d}")],
):
    name: str
    number: int
    amount: Decimal
    flag: bool
    colour: Colour
    padded: int
    either: int | str
    uid: UUID


instances = st.builds(
    Keyed,
    name=keys | hostile.filter(bool),
    number=st.integers(-(10**20), 10**20),
    amount=st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=6),
    flag=st.booleans(),
    colour=st.sampled_from(Colour),
    padded=st.integers(0, 999_999),
    either=st.integers(0, 9) | st.text("a#", max_size=3),
    uid=st.uuids(),
)


@given(instances, st.sampled_from(["", "@acme#"]))
def test_fields_are_read_back_out_of_keys(instance: Keyed, prefix: str) -> None:
    schema = schema_of(Keyed)
    item = schema.encode(instance, prefix)
    for index in (schema.key, *schema.indexes):
        entry = {a: item[a] for a in {*schema.key.attributes, *index.attributes}}
        restored = restore(schema, index, entry, prefix)
        there = {a: wire for a, wire in restored.items() if a in schema.by_attribute}
        assert there.keys() == restorable(schema, index)
        for attribute, wire in there.items():
            field = schema.by_attribute[attribute]
            assert field.codec.decode(wire) == getattr(instance, field.name)


def test_what_can_be_read_out_of_which_key() -> None:
    schema = schema_of(Keyed)
    table = {"name", "number", "amount", "flag", "colour"}
    by_pad, plain = schema.indexes
    assert restorable(schema, schema.key) == table
    assert restorable(schema, by_pad) == {*table, "padded", "uid"}  # a number or text: the key does not tell which
    assert restorable(schema, plain) == {*table, "padded"}


def test_what_the_item_has_stays() -> None:
    schema = schema_of(Keyed)
    item = {"pk": {"S": "ann#x1"}, "sk": {"S": "S#0#true#red#end"}, "name": {"S": "stored"}, "more": {"S": "m"}}
    restored = restore(schema, schema.key, item, "")
    assert (restored["name"], restored["more"], restored["number"]) == ({"S": "stored"}, {"S": "m"}, {"N": "1"})
    assert "number" not in item
