"""Key templates are injective, hold no other tenant's prefix, and sort by value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lift_dynamorm.errors import DefinitionError, InvalidValue
from lift_dynamorm.keys import KeyTemplate, escape, ordered_number, plain_number, tenant_prefix
from lift_dynamorm.scalars import encode_datetime, encode_decimal
from tests.strategies import decimals, hostile, text

texts = hostile | text
pairs = st.tuples(texts, texts)
SOURCES = ["USER#{a}#{b}", "{a}#{b}", "X{a}#Y#{b}#END", "{a}##{b}", "#{a}#{b}", "A#{a}#A#{b}"]


def template(source: str, *, ordered: bool = False) -> KeyTemplate:
    return KeyTemplate.parse(source, ordered=ordered, where="Test")


def rendered(source: str, values: tuple[str, str], *, ordered: bool = False) -> str:
    found = template(source, ordered=ordered).render({"a": {"S": values[0]}, "b": {"S": values[1]}})
    assert found is not None
    return found


@given(st.sampled_from(SOURCES), st.booleans(), pairs, pairs)
@example("{a}#{b}", False, ("a#b", "c"), ("a", "b#c"))
@example("{a}#{b}", False, ('a"', "b"), ("a", '"b'))
@example("{a}#{b}", False, ("@a", ""), ('"@a', ""))
@example("{a}#{b}", False, ("@", ""), ('"@', ""))
def test_two_keys_are_equal_only_where_their_values_are(
    source: str, ordered: bool, one: tuple[str, str], other: tuple[str, str]
) -> None:
    same = rendered(source, one, ordered=ordered) == rendered(source, other, ordered=ordered)
    assert same == (one == other)


@given(st.sampled_from(SOURCES), pairs)
def test_the_pattern_matches_every_key_of_the_template(source: str, values: tuple[str, str]) -> None:
    for ordered in (False, True):
        made = template(source, ordered=ordered)
        key = rendered(source, values, ordered=ordered)
        assert made.pattern().fullmatch(key)
        assert not made.pattern().fullmatch(f"{key}#{key}#more")


@given(texts, texts)
def test_text_sorts_as_it_did(one: str, other: str) -> None:
    assert (escape(one).encode() < escape(other).encode()) == (one.encode() < other.encode())
    assert "#" not in escape(one)


@given(texts, texts, texts, texts)
def test_no_tenant_and_key_make_those_of_another(one: str, key: str, other: str, another_key: str) -> None:
    if one and other:
        first = tenant_prefix(one) + rendered("{a}#{b}", (key, ""))
        second = tenant_prefix(other) + rendered("{a}#{b}", (another_key, ""))
        assert (first == second) == ((one, key) == (other, another_key))
        assert first.startswith(tenant_prefix(other)) == (one == other)


@given(texts.filter(bool), texts)
def test_no_key_without_a_tenant_looks_like_one_of_a_tenant(tenant: str, value: str) -> None:
    for source in ("{a}#{b}", "{a}"):
        assert not rendered(source, (value, "")).startswith(tenant_prefix(tenant))


@given(decimals(), decimals())
@example(Decimal("-1"), Decimal("-1.1"))
@example(Decimal("-9.9E125"), Decimal("-1E-130"))
def test_numbers_sort_by_value(one: Decimal, other: Decimal) -> None:
    a, b = (ordered_number(encode_decimal(n)["N"]) for n in (one, other))
    assert (a < b, a == b) == (one < other, one == other)
    # with more text behind, as in the middle of a key
    assert (a + "#z" < b + "#a") == (one < other)


@given(decimals())
def test_a_number_is_written_in_one_way(number: Decimal) -> None:
    assert plain_number(str(number)) == plain_number(format(number, "f")) == plain_number(f"{number:.200E}")
    assert Decimal(plain_number(str(number))) == number


instants = st.datetimes(timezones=st.just(UTC)) | st.datetimes(timezones=st.timezones()).filter(
    lambda instant: 1 < instant.year < 9999
)


@given(instants, instants)
@example(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=1))
def test_instants_sort_by_time(one: datetime, other: datetime) -> None:
    a, b = (encode_datetime(i)["S"] for i in (one, other))
    assert (a < b, a == b) == (one < other, one.astimezone(UTC) == other.astimezone(UTC))


@pytest.mark.parametrize(
    ("source", "mend"),
    [
        ("", "empty"),
        ("{a}{b}", "put '#' between"),
        ("{a}-{b}", "put '#' between"),
        ("{a}x", "begins with '#'"),
        ("@{a}", "marks tenants"),
        ("{a", "cannot be read"),
        ("{a!r}", "a part is"),
        ("{a:>8}", "a part is"),
        ("{a.b}", "a part is"),
        ("{0}", "a part is"),
        ("{}", "a part is"),
    ],
)
def test_a_template_that_cannot_work_names_its_mend(source: str, mend: str) -> None:
    with pytest.raises(DefinitionError, match="Test: ") as caught:
        template(source)
    assert mend in str(caught.value)


def test_padding() -> None:
    padded = template("N#{n:04d}", ordered=True)
    assert padded.render({"n": {"N": "7"}}) == "N#0007"
    assert padded.render({"n": {"N": "7.0"}}) == "N#0007"
    for wrong in ("-1", "10000", "1.5"):
        with pytest.raises(InvalidValue, match="does not fit"):
            padded.render({"n": {"N": wrong}})


@pytest.mark.parametrize("missing", [{}, {"a": {"NULL": True}}])
def test_a_missing_value_makes_no_key(missing: dict[str, Any]) -> None:
    assert template("A#{a}").render(missing) is None
    assert template("A#{a}#{b}").lead({"a": {"S": "x"}})[0] == "A#x#"
