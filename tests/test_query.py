"""The builder, pages of any size, and streams that are left early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lift_dynamorm import GSI, Database, F, Model, PartitionKey, QueryError, SortKey, SyncSession
from lift_dynamorm.transport.faults import RecordingTransport
from lift_dynamorm.transport.local import LocalTransport
from tests.wire import ValidatingTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    Open = Callable[..., SyncSession]


class Entry(Model, table="entries", indexes=[GSI("by_kind", pk="K#{kind}", sk="{weight}")]):
    owner: PartitionKey[str]
    n: SortKey[int]
    kind: str = "a"
    weight: int = 0


@settings(max_examples=60)
@given(
    entries=st.lists(
        st.tuples(st.integers(-50, 50), st.sampled_from("ab"), st.integers(0, 3)), unique_by=lambda e: e[0], max_size=25
    ),
    size=st.integers(1, 26),
    how=st.sampled_from(["table", "index", "filter", "local", "backwards"]),
)
def test_pages_of_any_size_hold_what_the_stream_holds(
    opened: Open, entries: list[tuple[int, str, int]], size: int, how: str
) -> None:
    s = opened(Entry)
    for entry in s.query(Entry).where(owner="o").all():
        s.delete(entry)
    for n, kind, weight in entries:
        s.put(Entry(owner="o", n=n, kind=kind, weight=weight))
    query: Any = {
        "table": lambda: s.query(Entry).where(owner="o"),
        "index": lambda: s.query(Entry).where(kind="a"),
        "filter": lambda: s.query(Entry).where(owner="o", weight=2),
        "local": lambda: s.query(Entry).where(F.kind == "a", (F.weight > 1) | (F.weight == 0)),
        "backwards": lambda: s.query(Entry).where(kind="a").order_by("-weight"),
    }[how]()
    everything = query.all()
    paged: list[Entry] = []
    cursor = None
    for _ in range(30):
        page = query.limit(size).page(cursor)
        paged += page
        cursor = page.cursor
        if cursor is None:
            break
        assert len(page) == size
    assert cursor is None
    assert paged == everything
    assert query.limit(size).all() == everything[:size]
    assert query.limit(size).count() == min(size, len(everything))


@pytest.fixture
def recorded() -> Any:
    transport = RecordingTransport(ValidatingTransport(LocalTransport()))
    db = Database(transport=transport)
    db.sync.create_tables(Entry)
    s = db.sync.session()
    for n in range(30):
        s.put(Entry(owner="o", n=n, kind="x" * 1000))
    transport.calls.clear()
    return s, transport.calls


def test_a_stream_that_is_left_early_asks_for_no_more(recorded: Any) -> None:
    s, calls = recorded
    for entry in s.query(Entry).where(owner="o").limit(10):
        if entry.n == 3:
            break
    assert [operation for operation, _ in calls] == ["Query"]
    assert calls[0][1]["Limit"] == 10


def test_the_request_of_a_limited_query_asks_for_no_more_than_needed(recorded: Any) -> None:
    s, calls = recorded
    s.query(Entry).where(owner="o").first()
    s.query(Entry).where(owner="o").limit(4).page()
    s.query(Entry).where(F.owner == "o", F.weight > 0).first()
    assert [payload.get("Limit") for _, payload in calls] == [1, 5, None]


def test_what_cannot_match_is_not_sent(recorded: Any) -> None:
    s, calls = recorded
    assert s.query(Entry).where(F.owner == "o", F.n > 5, F.n < 3).all() == []
    assert s.query(Entry).where(F.owner == "o", F.n.between(5, 3)).count() == 0
    assert s.query(Entry).where(owner="").all() == []
    assert calls == []


def test_explain_names_index_conditions_and_reasons(opened: Open) -> None:
    s = opened(Entry)
    said = s.query(Entry).where(F.kind == "a", F.weight != 3, F.n != 7).explain()
    assert (said.index, said.local) == ("by_kind", False)
    assert s.query(Entry).where(F.owner == "o", F.n != 7).explain().local
    assert said.request["IndexName"] == "by_kind"
    text = str(said)
    assert "query Entry by by_kind" in text
    assert "not by   table, which needs `owner` = ..." in text
    assert "read and paid for" in text


def test_the_builder_leaves_what_it_was_made_from(opened: Open) -> None:
    s = opened(Entry)
    base = s.query(Entry).where(owner="o")
    base.where(F.n > 3).limit(2).order_by("-n")
    assert base.most is None
    assert len(base.conditions) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda q: q.where(True),
        lambda q: q.where("n", "~", 3),
        lambda q: q.where("n", "between", 3),
        lambda q: q.where(nope=3),
        lambda q: q.where(F.n.deep == 3).all(),
        lambda q: q.where(owner="o").order_by("weight").all(),
        lambda q: q.where(owner="o").order_by("nope").all(),
        lambda q: q.where(owner="o").index("nope").all(),
    ],
)
def test_wrong_queries_are_refused(opened: Open, wrong: Any) -> None:
    s = opened(Entry)
    with pytest.raises((QueryError, TypeError)):
        wrong(s.query(Entry)).all()


def test_conditions_have_no_truth() -> None:
    with pytest.raises(TypeError, match="join conditions with"):
        bool(F.a == 1)


def test_the_explicit_form_means_the_same(opened: Open) -> None:
    s = opened(Entry)
    for n in range(6):
        s.put(Entry(owner="o", n=n, kind="ab"[n % 2]))
    query = s.query(Entry).where(owner="o")

    def found(*condition: Any) -> list[int]:
        return [entry.n for entry in query.where(*condition)]

    assert found("n", "eq", 3) == [3]
    assert found("n", "in", [1, 2, 9]) == [1, 2]
    assert found("n", "BETWEEN", 1, 2) == [1, 2]
    assert found("n", "between", [1, 2]) == [1, 2]
    assert found("kind", "begins_with", "b") == [1, 3, 5]
    assert found("kind", "ne", "b") == [0, 2, 4]
    assert found("kind", "not contains", "b") == [0, 2, 4]
    assert found("kind", "attribute_not_exists") == []
    assert found("kind", "attribute_type", "S") == [0, 1, 2, 3, 4, 5]
    assert found("kind") == [0, 1, 2, 3, 4, 5]
