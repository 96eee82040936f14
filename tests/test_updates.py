"""Changes are applied here as the engines apply them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lift_dynamorm.conditions import Literal, Name, Placeholders, same
from lift_dynamorm.errors import RequestRefused, UsageError
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.updates import Append, Change, IfNotExists, Source, Sum, apply, render_update
from tests.conftest import unique_tables
from tests.strategies import attributes, few_numbers, items, sets, wires

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm.transport import Transport
    from tests.conftest import Engines

    Wire = dict[str, Any]

names = attributes.map(lambda a: Name((a,)))
inner = st.builds(lambda a, b: Name((a, b)), attributes, st.one_of(st.sampled_from(["a", "c.d"]), st.integers(0, 2)))
literals = wires.map(Literal)
numbers = few_numbers.map(lambda n: Literal({"N": n}))
lists = st.lists(wires, max_size=2).map(lambda v: Literal({"L": v}))
counted = st.one_of(numbers, names, st.builds(IfNotExists, names, numbers))
listed = st.one_of(lists, names, st.builds(IfNotExists, names, lists))
sources: st.SearchStrategy[Source] = st.one_of(
    literals,
    names,
    st.builds(IfNotExists, names, literals | names),
    st.builds(Sum, st.sampled_from("+-"), counted, counted),
    st.builds(Append, listed, listed),
)
changes = st.one_of(
    st.builds(Change, st.just("SET"), names | inner, sources),
    st.builds(Change, st.just("REMOVE"), names | inner),
    st.builds(Change, st.just("ADD"), names, (sets | few_numbers.map(lambda n: {"N": n})).map(Literal)),
    st.builds(Change, st.just("DELETE"), names, sets.map(Literal)),
)


def do_not_overlap(several: list[Change]) -> bool:
    """No path in another, and at most one position of a list: there no two engines agree."""
    firsts = [change.target.parts[0] for change in several]
    return len(set(firsts)) == len(firsts)


several = st.lists(changes, min_size=1, max_size=3).filter(do_not_overlap)


@pytest.fixture(scope="module")
def updated_on(engines: Engines) -> Callable[[str], Callable[[list[Change], Wire], Wire | None]]:
    """Let an engine update an item; None where it refuses."""

    @functools.cache
    def table(engine: str) -> tuple[Transport, str]:
        transport, name = engines.transport(engine).blocking, unique_tables()("updates")
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

    def asking(engine: str) -> Callable[[list[Change], Wire], Wire | None]:
        transport, name = table(engine)

        def update(several: list[Change], item: Wire) -> Wire | None:
            key = {"id": {"S": "1"}}
            drive(transport.send("PutItem", {"TableName": name, "Item": {**item, **key}}))
            to = Placeholders()
            payload: dict[str, Any] = {"TableName": name, "Key": key, "ReturnValues": "ALL_NEW"}
            payload["UpdateExpression"] = render_update(several, to)
            to.add_to(payload)
            try:
                answer = drive(transport.send("UpdateItem", payload))
            except RequestRefused:
                return None
            return {name: wire for name, wire in answer["Attributes"].items() if name != "id"}

        return update

    return asking


def check(
    update: Callable[[list[Change], Wire], Wire | None], several: list[Change], item: Wire, *, lenient: bool = False
) -> None:
    """Compare; `lenient` is for an engine that writes into what is no container instead of refusing."""
    try:
        ours: Wire | None = apply(several, item)
    except UsageError:
        ours = None
    theirs = update(several, item)
    if ours is None:
        assert theirs is None or lenient
    else:
        assert theirs is not None
        assert same({"M": ours}, {"M": theirs})


@settings(max_examples=600)
@given(several=several, item=items)
def test_the_embedded_engine_agrees(updated_on: Any, several: list[Change], item: Wire) -> None:
    check(updated_on("embedded"), several, item, lenient=True)


@settings(max_examples=200)
@given(several=several, item=items)
def test_dynoxide_agrees(updated_on: Any, several: list[Change], item: Wire) -> None:
    check(updated_on("dynoxide"), several, item)


@given(several=several, item=items)
def test_the_item_itself_is_left_alone(several: list[Change], item: Wire) -> None:
    import copy

    before = copy.deepcopy(item)
    try:
        apply(several, item)
    except UsageError:
        pass
    assert item == before


def numbered(*values: int) -> Wire:
    return {"l": {"L": [{"N": str(value)} for value in values]}}


def element(index: int, value: int | None = None) -> Change:
    name = Name(("l", index))
    return Change("REMOVE", name) if value is None else Change("SET", name, Literal({"N": str(value)}))


@pytest.mark.parametrize(
    ("several", "left"),
    [
        ([element(0), element(2)], [1, 3, 4]),
        ([element(2), element(0)], [1, 3, 4]),
        ([element(1), element(2), element(3)], [0, 4]),
        ([element(0), element(3, 33)], [1, 2, 33, 4]),
        ([element(9, 8), element(7, 6)], [0, 1, 2, 3, 4, 6, 8]),
        ([element(7)], [0, 1, 2, 3, 4]),
    ],
)
def test_positions_are_those_before_the_update(several: list[Change], left: list[int]) -> None:
    """AWS: Expressions.UpdateExpressions, "Removing elements from a list" and "Adding elements to a list"."""
    assert apply(several, numbered(0, 1, 2, 3, 4)) == numbered(*left)


def test_values_are_those_before_the_update() -> None:
    swap = [Change("SET", Name(("a",)), Name(("b",))), Change("SET", Name(("b",)), Name(("a",)))]
    assert apply(swap, {"a": {"S": "1"}, "b": {"S": "2"}}) == {"a": {"S": "2"}, "b": {"S": "1"}}


def test_sums_keep_38_digits() -> None:
    one = Change("SET", Name(("n",)), Sum("+", Name(("n",)), Literal({"N": "1"})))
    assert apply([one], {"n": {"N": "9" * 37 + "8"}}) == {"n": {"N": "9" * 38}}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (Sum("+", Name(("title",)), Literal({"N": "1"})), "counts on `title`, which is no number"),
        (Sum("-", Literal({"N": "1"}), IfNotExists(Name(("title",)), Literal({"N": "1"}))), "counts on `title`"),
        (Sum("+", Literal({"S": "x"}), Literal({"N": "1"})), "counts on a value, which is no number"),
        (Append(Name(("title",)), Literal({"L": []})), "appends to `title`, which is no list"),
        (Name(("box", "x")), "reads `box.x`, which the item does not have"),
    ],
)
def test_messages_name_the_attribute(source: Source, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        apply([Change("SET", Name(("n",)), source)], {"title": {"S": "x"}})


def test_rendering_groups_by_clause() -> None:
    to = Placeholders()
    text = render_update(
        [
            Change("SET", Name(("a",)), Sum("+", IfNotExists(Name(("a",)), Literal({"N": "0"})), Literal({"N": "1"}))),
            Change("REMOVE", Name(("b", 0))),
            Change("SET", Name(("c",)), Append(Name(("c",)), Literal({"L": []}))),
            Change("ADD", Name(("d",)), Literal({"N": "1"})),
        ],
        to,
    )
    assert text == "SET #0 = if_not_exists(#0, :0) + :1, #2 = list_append(#2, :2) REMOVE #1[0] ADD #3 :3"
