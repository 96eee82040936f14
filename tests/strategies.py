"""What Hypothesis draws: values in wire form, as any stored item may hold them."""

from __future__ import annotations

from base64 import b64encode
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

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
binary = st.binary(max_size=3).map(lambda b: b64encode(b).decode())
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
