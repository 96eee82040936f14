"""What DynamoDB allows of one expression, counted before it is sent."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from lift_dynamorm.conditions import Every, Literal, Name, Negation, Placeholders, Predicate, SizeOf, Some, render
from lift_dynamorm.limits import MAX_BYTES, MAX_OPERATORS, operators, too_long, within_limits

if TYPE_CHECKING:
    from lift_dynamorm.conditions import Condition


def equal(name: str, value: str = "v") -> Condition:
    return Predicate("=", Name((name,)), (Literal({"S": value}),))


def one_of(count: int, name: str = "a") -> Condition:
    return Predicate("in", Name((name,)), tuple(Literal({"N": str(n)}) for n in range(count)))


A, B, C = (equal(name) for name in "abc")


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        (A, 1),
        (Every((A, B)), 3),
        (Some((A, B, C)), 5),
        (Negation(A), 2),
        (Negation(Every((A, Some((B, C))))), 6),
        (one_of(100), 1),
        (one_of(101), 3),
        (Predicate("attribute_exists", Name(("a",))), 1),
        (Predicate("between", Name(("a",)), (Literal({"N": "1"}), Literal({"N": "2"}))), 1),
        (Predicate(">", SizeOf(Name(("a",))), (SizeOf(Name(("b",))),)), 3),
        (Every(()), 0),
    ],
)
def test_operators_are_counted(condition: Condition, count: int) -> None:
    assert operators(condition) == count


def test_both_limits_are_named() -> None:
    long, many = one_of(1000), Every(tuple(equal("a") for _ in range(151)))
    assert too_long(render(A, Placeholders()), A) == ""
    assert f"DynamoDB allows {MAX_BYTES}" in too_long(render(long, Placeholders()), long)
    assert len(render(many, Placeholders())) < MAX_BYTES
    assert too_long(render(many, Placeholders()), many) == f"has 301 operators; DynamoDB allows {MAX_OPERATORS}"


def test_what_fits_is_taken_and_the_longest_left_out() -> None:
    assert within_limits([]) == []
    assert within_limits([A, B]) == [A, B]
    assert within_limits([A, one_of(2000), B]) == [A, B]
    assert within_limits([one_of(500), A, one_of(400, "b")]) == [A, one_of(400, "b")]
    many = [Every((A, B))] * 100
    assert len(within_limits(many)) == 75  # four operators each, but for the first


def test_the_choice_does_not_depend_on_the_order() -> None:
    tests = [A, one_of(300), one_of(301), one_of(300, "b"), B]
    chosen = [set(map(repr, within_limits(order))) for order in itertools.permutations(tests)]
    assert all(each == chosen[0] for each in chosen)
    assert 0 < len(chosen[0]) < len(tests)


def test_the_placeholders_of_the_key_condition_are_allowed_for() -> None:
    fitting = max(n for n in range(1000) if within_limits([one_of(n)]))
    to = Placeholders()
    for n in range(8):
        to.value({"S": str(n)})
        to.name(Name((f"key{n}",)))
    assert len(render(one_of(fitting), to)) <= MAX_BYTES
