"""Conditions are evaluated here as the engines evaluate them, and as the documentation reads."""

from __future__ import annotations

import functools
from base64 import b64decode
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lift_dynamorm.conditions import (
    Condition,
    Every,
    Literal,
    Name,
    Negation,
    Operand,
    Placeholders,
    Predicate,
    SizeOf,
    Some,
    evaluate,
    every,
    find,
    render,
    same,
)
from lift_dynamorm.errors import RequestRefused
from lift_dynamorm.operations.concurrency import drive
from tests.conftest import unique_tables
from tests.strategies import attributes, items, scalars, short, wires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lift_dynamorm.transport import Transport
    from tests.conftest import Engines

    Wire = dict[str, Any]

# -- another evaluator, written from the documentation over plain Python values ---------------------------------------


class Tagged:
    """A value and its DynamoDB type: equal to another of both equal."""

    def __init__(self, wire: Wire) -> None:
        ((self.tag, raw),) = wire.items()
        read: dict[str, Callable[[], Any]] = {
            "S": lambda: raw.encode(),
            "N": lambda: Decimal(raw),
            "B": lambda: b64decode(raw),
            "BOOL": lambda: raw,
            "NULL": lambda: None,
            "L": lambda: [Tagged(v) for v in raw],
            "M": lambda: {k: Tagged(v) for k, v in raw.items()},
            "SS": lambda: {v.encode() for v in raw},
            "NS": lambda: {Decimal(v) for v in raw},
            "BS": lambda: {b64decode(v) for v in raw},
        }
        self.value: Any = read[self.tag]()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tagged) and self.tag == other.tag and bool(self.value == other.value)

    __hash__ = None  # type: ignore[assignment]  # never in a set

    def under(self, other: Tagged) -> bool:
        return self.tag == other.tag and self.tag in ("S", "N", "B") and bool(self.value < other.value)


def at(item: Wire, operand: Operand) -> Tagged | None:
    if isinstance(operand, Literal):
        return Tagged(operand.wire)
    path = operand.name.parts if isinstance(operand, SizeOf) else operand.parts
    value = Tagged({"M": item})
    for part in path:
        wanted = "L" if isinstance(part, int) else "M"
        if value.tag != wanted or (part not in value.value if wanted == "M" else part >= len(value.value)):  # type: ignore[operator]  # a position
            return None
        value = value.value[part]
    if isinstance(operand, SizeOf):
        measured = value.value.decode().encode("utf-16-le")[::2] if value.tag == "S" else value.value
        return None if value.tag in ("N", "BOOL", "NULL") else Tagged({"N": str(len(measured))})
    return value


def plainly(condition: Condition, item: Wire) -> bool:
    if isinstance(condition, Every):
        return False not in [plainly(test, item) for test in condition.tests]
    if isinstance(condition, Some):
        return True in [plainly(test, item) for test in condition.tests]
    if isinstance(condition, Negation):
        return plainly(condition.test, item) is False
    left: Any = at(item, condition.left)
    rest: list[Any] = [at(item, operand) for operand in condition.right]
    if condition.op == "attribute_exists":
        return left is not None
    if condition.op == "attribute_not_exists":
        return left is None
    if condition.op == "<>":
        return left is None or rest[0] is None or left != rest[0]
    if condition.op == "in":
        rest = [value for value in rest if value is not None]
    if left is None or None in rest:
        return False
    return bool(compared(condition.op, left, rest))


def compared(op: str, left: Any, others: list[Any]) -> Any:
    match op:
        case "=":
            return left == others[0]
        case "in":
            return left in others
        case "<":
            return left.under(others[0])
        case ">":
            return others[0].under(left)
        case "<=":
            return left.tag in "SNB" and (left.under(others[0]) or left == others[0])
        case ">=":
            return left.tag in "SNB" and (others[0].under(left) or left == others[0])
        case "between":
            low, high = others
            return left.tag in "SNB" and low.tag == left.tag == high.tag and low.value <= left.value <= high.value
        case "begins_with":
            return left.tag in "SB" and left.tag == others[0].tag and left.value.startswith(others[0].value)
        case "attribute_type":
            return left.tag == others[0].value.decode()
        case "contains":
            if left.tag in ("S", "B"):
                return left.tag == others[0].tag and others[0].value in left.value
            if left.tag == "L":
                return others[0] in left.value
            return left.tag in ("SS", "NS", "BS") and left.tag[0] == others[0].tag and others[0].value in left.value
    raise AssertionError(op)


# -- what is drawn -----------------------------------------------------------------------------------------------------

names = st.one_of(
    attributes.map(lambda a: Name((a,))),
    st.builds(lambda a, b: Name((a, b)), attributes, st.one_of(st.sampled_from(["a", "b", "c.d"]), st.integers(0, 2))),
)
literals = wires.map(Literal)
comparable = st.sampled_from([{"S": "a"}, {"S": "ab"}, {"N": "1"}, {"N": "-1.5"}, {"B": "YQ=="}]).map(Literal)


@st.composite
def predicates(draw: st.DrawFn) -> Predicate:
    op = draw(
        st.sampled_from(
            [
                "=",
                "<>",
                "<",
                "<=",
                ">",
                ">=",
                "between",
                "in",
                "begins_with",
                "contains",
                "attribute_type",
                "attribute_exists",
                "attribute_not_exists",
                "size",
            ]
        )
    )
    name = draw(names)
    if op in ("attribute_exists", "attribute_not_exists"):
        return Predicate(op, name)
    if op == "attribute_type":
        tag = draw(st.sampled_from(["S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"]))
        return Predicate(op, name, (Literal({"S": tag}),))
    if op == "size":
        size = Literal({"N": str(draw(st.integers(0, 4)))})
        return Predicate(draw(st.sampled_from(["=", "<", ">="])), SizeOf(name), (size,))
    if op == "between":
        low, high = sorted((draw(short), draw(short)), key=str.encode)
        return Predicate(op, name, (Literal({"S": low}), Literal({"S": high})))
    if op == "begins_with":
        return Predicate(op, name, (Literal({"S": draw(short)}),))
    if op == "contains":
        return Predicate(op, name, (draw(scalars.map(Literal)),))
    if op == "in":
        return Predicate(op, name, tuple(draw(st.lists(literals | names, min_size=1, max_size=3))))
    if op in ("<", "<=", ">", ">="):
        return Predicate(op, name, (draw(comparable | names),))
    return Predicate(op, name, (draw(literals | names),))


conditions: st.SearchStrategy[Condition] = st.recursive(
    predicates(),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda c: Every(tuple(c))),
        st.lists(inner, min_size=1, max_size=3).map(lambda c: Some(tuple(c))),
        inner.map(Negation),
    ),
    max_leaves=4,
)


def predicates_of(condition: Condition) -> Iterator[Predicate]:
    match condition:
        case Predicate():
            yield condition
        case Every(tests) | Some(tests):
            for test in tests:
                yield from predicates_of(test)
        case Negation(test):
            yield from predicates_of(test)


@settings(max_examples=1000)
@given(conditions, items)
def test_it_evaluates_as_the_documentation_reads(condition: Condition, item: Wire) -> None:
    assert evaluate(condition, item) is plainly(condition, item)


@given(wires, wires)
def test_sameness(one: Wire, other: Wire) -> None:
    assert same(one, one)
    assert same(one, other) == same(other, one) == (Tagged(one) == Tagged(other))


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"N": "1"}, {"N": "1.0"}, True),
        ({"N": "1E+2"}, {"N": "100"}, True),
        ({"NS": ["1", "2.50"]}, {"NS": ["2.5", "1.0"]}, True),
        ({"L": [{"N": "1"}]}, {"L": [{"N": "1.0"}]}, True),
        ({"M": {"a": {"SS": ["x", "y"]}}}, {"M": {"a": {"SS": ["y", "x"]}}}, True),
        ({"N": "1"}, {"S": "1"}, False),
        ({"L": [{"N": "1"}]}, {"L": [{"N": "1"}, {"N": "1"}]}, False),
    ],
)
def test_numbers_are_the_same_by_value_and_sets_without_order(one: Wire, other: Wire, equal: bool) -> None:
    assert same(one, other) is same(other, one) is equal


@pytest.mark.parametrize(("text", "size"), [("", 0), ("ab", 2), ("é", 1), ("e\u0301", 2), ("a\U0001f600", 3)])
def test_the_size_of_text_is_counted_as_java_counts(text: str, size: int) -> None:
    test = Predicate("=", SizeOf(Name(("a",))), (Literal({"N": str(size)}),))
    assert evaluate(test, {"a": {"S": text}})


@pytest.fixture(scope="module")
def holds_on(engines: Engines) -> Callable[[str], Callable[[Condition, Wire], bool]]:
    """Ask an engine whether a condition holds for an item."""

    @functools.cache
    def table(engine: str) -> tuple[Transport, str]:
        transport, name = engines.transport(engine).blocking, unique_tables()("conditions")
        drive(
            transport.send(
                "CreateTable",
                {
                    "TableName": name,
                    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                    "BillingMode": "PAY_PER_REQUEST",
                },
            )
        )
        return transport, name

    def asking(engine: str) -> Callable[[Condition, Wire], bool]:
        transport, name = table(engine)

        def holds(condition: Condition, item: Wire) -> bool:
            key = {"id": {"S": "1"}}
            drive(transport.send("PutItem", {"TableName": name, "Item": {**item, **key}}))
            to = Placeholders()
            payload: dict[str, Any] = {"TableName": name, "Key": key, "ConditionExpression": render(condition, to)}
            to.add_to(payload)
            try:
                drive(transport.send("DeleteItem", payload))
            except RequestRefused as error:
                if error.code == "ConditionalCheckFailedException":
                    return False
                assume(error.code != "ValidationException")  # operands of a type the operator never takes
                raise
            return True

        return holds

    return asking


def is_in_order(condition: Condition, item: Wire) -> bool:
    """Leave out what the engines get wrong: `=` and `<>` beside missing attributes, parts of bytes."""
    for test in predicates_of(condition):
        left, rest = at(item, test.left), [at(item, operand) for operand in test.right]
        if test.op == "<>" and (left is None or rest[0] is None):
            return False
        if left is None and None in rest:
            return False
        if test.op in ("contains", "begins_with") and "B" in {left and left.tag, rest[0] and rest[0].tag}:
            return False
    return True


@settings(max_examples=400)
@given(condition=conditions, item=items)
def test_the_embedded_engine_agrees(holds_on: Any, condition: Condition, item: Wire) -> None:
    assume(is_in_order(condition, item))
    assert holds_on("embedded")(condition, item) is evaluate(condition, item)


@settings(max_examples=200)
@given(condition=conditions, item=items)
def test_dynoxide_agrees(holds_on: Any, condition: Condition, item: Wire) -> None:
    assume(is_in_order(condition, item))
    assert holds_on("dynoxide")(condition, item) is evaluate(condition, item)


# -- rendering ---------------------------------------------------------------------------------------------------------


def test_more_than_a_hundred_values_are_split() -> None:
    to = Placeholders()
    many = Predicate("in", Name(("a",)), tuple(Literal({"N": str(n)}) for n in range(201)))
    text = render(Every((many, Predicate("attribute_exists", Name(("b",))))), to)
    assert text.count(" IN (") == 3
    assert text.startswith("(#0 IN (")
    assert text.endswith(")) AND attribute_exists(#1)")


def test_every_name_is_a_placeholder_once() -> None:
    to = Placeholders()
    text = render(Every((Predicate("=", Name(("a", 0, "a.b")), (Name(("a",)),)),)), to)
    assert text == "#0[0].#1 = #0"
    assert to.names == {"#0": "a", "#1": "a.b"}


def test_joining() -> None:
    test = Predicate("attribute_exists", Name(("a",)))
    assert every([]) is None
    assert every([None, test]) is test
    assert every([test, Every((test, test)), None]) == Every((test, test, test))
    assert evaluate(None, {})
    assert evaluate(Every(()), {})
    assert not evaluate(Some(()), {})


def test_a_path_that_leads_nowhere() -> None:
    item: Wire = {"a": {"L": [{"M": {"b": {"S": "x"}}}]}}
    assert find(item, Name(("a", 0, "b"))) == {"S": "x"}
    for path in (("b",), ("a", 1), ("a", "b"), ("a", 0, 0), ("a", 0, "b", "c"), ("a", 0, "b", 0)):
        assert find(item, Name(path)) is None
