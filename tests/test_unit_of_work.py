"""A transaction shows, before it commits, what will be stored after."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lift_dynamorm import (
    GSI,
    ConditionFailed,
    F,
    ItemNotFound,
    Model,
    SyncSession,
    TransactionConditionFailed,
    UsageError,
    Version,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Open = Callable[..., SyncSession]

DAY = datetime(2026, 1, 1, tzinfo=UTC)


class Row(Model, table="rows", pk="P#{group}", sk="{n}", indexes=[GSI("by_color", pk="C#{color}", sk="{at}#{text}")]):
    group: str
    n: int
    color: str | None = None
    at: datetime = DAY
    text: str = ""
    hits: int = 0
    tags: set[str] = set()
    lines: list[str] = []


class Locked(
    Row, table="locked", pk="P#{group}", sk="{n}", indexes=[GSI("by_color", pk="C#{color}", sk="{at}#{text}")]
):
    version: Version = 0


ns = st.integers(-2, 3)
colors = st.sampled_from([None, "red", "blue"])
days = st.integers(0, 3).map(lambda n: DAY + timedelta(days=n))
texts = st.sampled_from(["", "a", "b#"])
rows = st.fixed_dictionaries({"group": st.just("g"), "n": ns, "color": colors, "at": days, "text": texts})
key_changes = st.fixed_dictionaries({}, optional={"color": colors, "at": days, "text": texts})
plain_changes = st.fixed_dictionaries(
    {},
    optional={
        "hits": st.one_of(st.integers(0, 3), st.sampled_from([F.hits + 1, F.hits - 2, F.hits.add(5)])),
        "tags": st.sampled_from([{"a"}, set(), F.tags.add({"b"}), F.tags.delete({"a"})]),
        "lines": st.sampled_from([["x"], F.lines.append(["y"]), F.lines.prepend(["z"])]),
    },
)
writes = st.lists(
    st.one_of(
        st.tuples(st.just("put"), rows),
        st.tuples(st.just("create"), rows),
        st.tuples(st.just("delete"), ns),
        st.tuples(st.just("update"), st.tuples(ns, plain_changes)),
        st.tuples(st.just("instance"), st.tuples(ns, key_changes)),
    ),
    max_size=8,
)


def run(s: SyncSession, model: Any, action: str, argument: Any) -> None:
    match action:
        case "put" | "create":
            getattr(s, action)(model(**argument))
        case "delete":
            s.delete(model, group="g", n=argument)
        case "update":
            number, changes = argument
            s.update(model, {"group": "g", "n": number}, **changes)
        case "instance":
            number, changes = argument
            s.update(s.get(model, group="g", n=number), **changes)


QUERIES: list[Callable[[SyncSession, Any], Any]] = [
    lambda s, m: s.query(m).where(group="g"),
    lambda s, m: s.query(m).where(group="g").order_by("-n"),
    lambda s, m: s.query(m).where(F.group == "g", F.n > -1, F.n <= 2),
    lambda s, m: s.query(m).where(F.group == "g", F.hits > 0),
    lambda s, m: s.query(m).where(color="red"),
    lambda s, m: s.query(m).where(color="red").order_by("-at"),
    lambda s, m: s.query(m).where(F.color == "red", F.at > DAY),
    lambda s, m: s.query(m).where(F.color == "red", F.at == DAY, F.text.begins_with("")),
    lambda s, m: s.query(m).where(F.color == "red", F.tags.contains("a")),
]


def shown(s: SyncSession, model: Any) -> list[Any]:
    answers: list[Any] = [s.find(model, group="g", n=n) for n in range(-2, 4)]
    for query in QUERIES:
        asked = query(s, model)
        everything = asked.all()
        # Items of one index key have no order that DynamoDB promises, so these are compared as a set.
        answers.append(sorted(map(repr, everything)))
        answers.append([(i.n if "n" in str(asked.explain()).split("filter")[0] else i.at) for i in everything])
        answers.append(asked.count())
        for size in (1, 3):
            paged, cursor = [], None
            for _ in range(20):
                page = asked.limit(size).page(cursor)
                paged += page.items
                cursor = page.cursor
                if cursor is None:
                    break
            assert cursor is None
            assert paged == everything
    return answers


@pytest.mark.parametrize("model", [Row, Locked])
@pytest.mark.parametrize("tenant", [None, "acme"])
@settings(max_examples=40)
@given(before=st.lists(rows, max_size=5, unique_by=lambda row: row["n"]), during=writes)
def test_what_a_transaction_shows_is_what_it_stores(
    opened: Open, model: Any, tenant: str | None, before: list[dict[str, Any]], during: list[tuple[str, Any]]
) -> None:
    s = opened(Row, Locked, tenant=tenant)
    for item in s.query(model).where(group="g").all():
        s.delete(item)
    for row in before:
        s.create(model(**row))
    outside = shown(s, model)
    try:
        with s.transaction():
            for action, argument in during:
                try:
                    run(s, model, action, argument)
                except (ConditionFailed, ItemNotFound, UsageError):
                    continue  # refused at once; nothing of it may be left
            inside = shown(s, model)
    except TransactionConditionFailed:
        inside = outside
    assert shown(s, model) == inside


@given(before=st.lists(rows, max_size=3, unique_by=lambda row: row["n"]), during=writes)
def test_a_transaction_stores_what_single_writes_store(
    opened: Open, before: list[dict[str, Any]], during: list[tuple[str, Any]]
) -> None:
    s = opened(Row, Locked)
    left: list[list[str]] = []
    refused: set[int] = set()
    for together in (True, False):
        for item in s.query(Locked).where(group="g").all():
            s.delete(item)
        for row in before:
            s.create(Locked(**row))
        if together:
            try:
                with s.transaction():
                    for number, (action, argument) in enumerate(during):
                        try:
                            run(s, Locked, action, argument)
                        except (ConditionFailed, ItemNotFound, UsageError):
                            refused.add(number)
            except TransactionConditionFailed:
                return
        else:
            for number, (action, argument) in enumerate(during):
                if number not in refused:
                    run(s, Locked, action, argument)
        left.append([repr(item) for item in s.query(Locked).where(group="g")])
    assert left[0] == left[1]


@given(during=writes)
def test_a_rollback_leaves_no_trace(opened: Open, during: list[tuple[str, Any]]) -> None:
    s = opened(Row, Locked)
    s.put(Row(group="g", n=0, color="red"))
    held = s.get(Row, group="g", n=0)
    copy = held.model_copy(deep=True)
    before = shown(s, Row)
    with pytest.raises(ZeroDivisionError), s.transaction():
        s.update(held, hits=F.hits + 1, color="blue")
        for action, argument in during:
            try:
                run(s, Row, action, argument)
            except (ConditionFailed, ItemNotFound, UsageError):
                continue
        raise ZeroDivisionError
    assert held == copy
    assert shown(s, Row) == before
