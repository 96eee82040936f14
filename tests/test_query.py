"""The builder, pages of any size, and streams that are left early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lift_dynamorm import GSI, Database, F, Model, PartitionKey, QueryError, SortKey, SyncSession
from lift_dynamorm.expressions import OPERATORS
from lift_dynamorm.operations.concurrency import drive
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


@pytest.mark.parametrize("way", ["async", "sync"])
def test_a_page_is_asked_for_when_the_one_before_is_used_up(recorded: Any, way: str) -> None:
    s, calls = recorded
    for n in range(30, 900):
        s.put(Entry(owner="o", n=n, kind="x" * 1000))
    calls.clear()

    def sent() -> list[str]:
        return [operation for operation, _ in calls]

    async def taken(count: int) -> None:
        query: Any = s.query(Entry).where(owner="o")
        items = aiter(query._async()) if way == "async" else iter(query)
        for n in range(count):
            entry = await anext(items) if way == "async" else next(items)
            assert entry.n == n

    drive(taken(400))
    assert sent() == ["Query"]
    calls.clear()
    drive(taken(900))
    assert sent() == ["Query", "Query"]


class Keyed(Model, table="keyed", indexes=[GSI("by-kind", pk=F.kind, projection="KEYS_ONLY")]):
    id: PartitionKey[int]
    kind: str = "k"
    note: str = ""


def test_items_are_loaded_as_they_are_taken() -> None:
    transport = RecordingTransport(ValidatingTransport(LocalTransport()))
    db = Database(transport=transport)
    db.sync.create_tables(Keyed)
    s = db.sync.session()
    for n in range(1000):
        s.put(Keyed(id=n))
    transport.calls.clear()
    items = iter(s.query(Keyed).where(kind="k").fetch())
    seen = {next(items).id}
    assert [operation for operation, _ in transport.calls] == ["Query", *["BatchGetItem"] * 4]
    seen.update(keyed.id for keyed in items)
    assert seen == set(range(1000))
    assert [operation for operation, _ in transport.calls] == ["Query", *["BatchGetItem"] * 10]


def test_the_request_of_a_limited_query_asks_for_no_more_than_needed(recorded: Any) -> None:
    s, calls = recorded
    s.query(Entry).where(owner="o").first()
    s.query(Entry).where(owner="o").limit(4).page()
    s.query(Entry).where(owner="o").limit(7).count()
    s.query(Entry).where(owner="o").all()
    assert [payload.get("Limit") for _, payload in calls] == [1, 5, 7, None]


def test_a_selective_filter_takes_few_requests(recorded: Any) -> None:
    s, calls = recorded
    for n in range(30, 800):
        s.put(Entry(owner="o", n=n, weight=n // 700))
    for query, found in (
        (s.query(Entry).where(F.owner == "o", F.weight > 0), 700),
        (s.query(Entry).where(F.owner == "o", F.n.is_in([700])), 700),  # evaluated here
    ):
        calls.clear()
        assert query.first().n == found
        assert [payload.get("Limit") for _, payload in calls] == [25, 50, 100, 200, 400, 800][: len(calls)]
        assert len(calls) <= 6
    calls.clear()
    assert len(s.query(Entry).where(F.owner == "o", F.kind == "a").limit(60).page().items) == 60
    assert [payload.get("Limit") for _, payload in calls] == [244]


class Owned(Model, table="shared", pk="O#{owner}", sk="{n:04d}#own"):
    owner: str
    n: int


class Stranger(Model, table="shared", pk="O#{owner}", sk="{n:04d}#other"):
    owner: str
    n: int


def test_strangers_in_a_partition_take_few_requests_too() -> None:
    transport = RecordingTransport(ValidatingTransport(LocalTransport()))
    db = Database(transport=transport)
    db.sync.create_tables(Owned)
    s = db.sync.session()
    for n in range(200):
        s.put(Stranger(owner="o", n=n))
    s.put(Owned(owner="o", n=300))
    transport.calls.clear()
    assert s.query(Owned).where(owner="o").first() == Owned(owner="o", n=300)
    assert [payload["Limit"] for _, payload in transport.calls] == [1, 2, 4, 8, 16, 32, 64, 128]
    assert s.query(Owned).where(owner="o").count() == 1


@pytest.mark.parametrize("way", ["plain", "filtered"])
def test_a_count_asks_for_a_number_only(recorded: Any, way: str) -> None:
    s, calls = recorded
    query = s.query(Entry).where(owner="o")
    assert (query.where(weight=0) if way == "filtered" else query).count() == 30
    ((_, payload),) = calls
    assert payload["Select"] == "COUNT"
    assert "ProjectionExpression" not in payload


def test_a_count_that_must_look_at_items_asks_for_their_keys(recorded: Any) -> None:
    s, calls = recorded
    assert s.query(Entry).where(F.owner == "o", F.n.is_in([3, 4])).count() == 2
    assert s.query(Entry).where(F.kind == "x" * 1000).index("by_kind").count() == 30
    with s.transaction():
        s.put(Entry(owner="o", n=99))
        assert s.query(Entry).where(owner="o").count() == 31
    queries = [payload for operation, payload in calls if operation == "Query"]
    assert [sorted(named(payload, "ProjectionExpression")) for payload in queries] == [
        ["n", "owner"],
        ["by_kind_pk", "by_kind_sk", "n", "owner"],
        ["n", "owner"],
    ]


def test_a_count_in_a_global_index_looks_whose_the_items_are() -> None:
    transport = RecordingTransport(ValidatingTransport(LocalTransport()))
    db = Database(transport=transport)
    db.sync.create_tables(Keyless)
    for tenant, select in ((None, None), ("acme", None)):
        s = db.sync.session(tenant)
        s.put(Keyless(id="1"))
        transport.calls.clear()
        assert s.query(Keyless).where(kind="k").count() == 1
        assert s.query(Keyless).where(id="1").count() == 1
        assert [payload.get("Select") for _, payload in transport.calls] == [select, "COUNT"]


class Keyless(Model, table="keyless", indexes=[GSI("by-kind", pk=F.kind)]):
    id: PartitionKey[str]
    kind: str = "k"


def test_a_serializable_transaction_reads_consistently_where_it_can(recorded: Any) -> None:
    s, calls = recorded
    with s.transaction(isolation="serializable"):
        s.query(Entry).where(owner="o").limit(1).all()
        s.query(Entry).where(kind="none").all()
        s.query(Entry).where(owner="o").limit(1).count()
        assert s.query(Entry).where(owner="o").explain().request["ConsistentRead"]
    s.query(Entry).where(owner="o").limit(1).all()
    queries = [payload for operation, payload in calls if operation == "Query"]
    assert [payload.get("ConsistentRead") for payload in queries] == [True, None, True, None]


class Ticket(Model, table="tickets", pk="T#{id}", indexes=[GSI("by_seat", pk="S#{seat}", projection="KEYS_ONLY")]):
    id: str
    seat: str
    note: str = ""


def test_an_index_is_asked_for_what_it_holds(opened: Open) -> None:
    query = opened(Ticket).query(Ticket).where(seat="1")
    held = sorted(named(query.only("id", "seat").explain().request, "ProjectionExpression"))
    assert held == sorted(named(query.fetch().explain().request, "ProjectionExpression")) == ["by_seat_pk", "pk"]


def named(payload: Any, expression: str) -> list[str]:
    names = payload["ExpressionAttributeNames"]
    return [names[placeholder] for placeholder in payload[expression].split(", ")]


def test_only_what_is_needed_is_read(recorded: Any) -> None:
    s, calls = recorded
    entry = s.query(Entry).where(owner="o").only("weight").first()
    assert (entry.owner, entry.n, entry.weight) == ("o", 0, 0)
    s.query(Entry).where(F.owner == "o", F.n != 3, F.kind != "y").only("weight").all()
    assert [sorted(named(payload, "ProjectionExpression")) for _, payload in calls] == [["n", "owner", "weight"]] * 2
    assert len(str(s.query(Entry).where(owner="o").only("weight").explain().request)) < 400


def test_what_cannot_match_is_not_sent(recorded: Any) -> None:
    s, calls = recorded
    assert s.query(Entry).where(F.owner == "o", F.n > 5, F.n < 3).all() == []
    assert s.query(Entry).where(F.owner == "o", F.n.between(5, 3)).count() == 0
    assert s.query(Entry).where(owner="").all() == []
    assert calls == []


def test_explain_names_index_conditions_and_reasons(opened: Open) -> None:
    s = opened(Entry)
    said = s.query(Entry).where(F.kind == "a", F.weight > 3, F.n != 7).limit(5).explain()
    assert (said.index, said.key, said.filter) == (
        "by_kind",
        r"by_kind_pk = 'K#a' AND by_kind_sk BETWEEN '12003' AND '\U0010ffff'",
        "weight > 3 AND n <> 7",
    )
    assert said.local == ""
    assert s.query(Entry).where(F.owner == "o", F.n != 7).explain().local == "n <> 7"
    assert said.request["IndexName"] == "by_kind"
    assert said.request["Limit"] == 25
    assert str(said).splitlines() == [
        "query Entry by by_kind, which is narrowed by `kind` and `weight`",
        r"  key      by_kind_pk = 'K#a' AND by_kind_sk BETWEEN '12003' AND '\U0010ffff'",
        "  filter   weight > 3 AND n <> 7",
        "  cost     12.5 read units for each 100 items read, at 1024 bytes an item",
        "  warning  items that the filter drops are read and paid for",
        "  warning  a global index lags behind the table",
        "  not by   table, which needs `owner` = ...",
    ]


def test_explain_estimates_read_units(opened: Open) -> None:
    s = opened(Entry)
    query = s.query(Entry).where(owner="o")

    def cost(query: Any, **options: Any) -> tuple[float, str]:
        said = query.explain(**options)
        return said.read_units, said.cost

    assert cost(query) == (12.5, "12.5 read units for each 100 items read, at 1024 bytes an item")
    assert cost(query.consistent(), item_size=100) == (
        3.0,
        "3 read units for each 100 items read, at 100 bytes an item",
    )
    assert cost(query.limit(8)) == (1.0, "1 read units for 8 items, at 1024 bytes an item")
    assert cost(query.where(weight=3).limit(8))[0] == 12.5
    assert cost(query.where(n=3), item_size=4097) == (1.0, "1 read units for one item, at 4097 bytes an item")
    assert cost(query.where(F.n > 3, F.n < 2)) == (0.0, "nothing: no item can match, and nothing is sent")


def test_explain_shortens_what_is_long(opened: Open) -> None:
    said = opened(Entry).query(Entry).where(F.owner == "#0 :0", F.kind.is_in([f"k{n}" for n in range(3000)])).explain()
    assert said.key == "owner = '#0 :0'"
    assert max(map(len, str(said).splitlines())) < 350
    assert said.local.endswith("'k2999')")


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
        lambda q: q.where("n", 3),
        lambda q: q.where("n", "in", "ab"),
        lambda q: q.where("n", "in", 3),
        lambda q: q.where("n", "exists", 3),
        lambda q: q.where("kind[x]", "=", 1),
        lambda q: q.where("kind[-1]", "=", 1),
        lambda q: q.where("kind..x", "=", 1),
        lambda q: q.where("", "=", 1),
        lambda q: q.where(nope=3),
        lambda q: q.where(F.n.deep == 3).all(),
        lambda q: q.where(owner="o").order_by("weight").all(),
        lambda q: q.where(owner="o").order_by("nope").all(),
        lambda q: q.where(owner="o").index("nope").all(),
    ],
)
def test_wrong_queries_are_refused(opened: Open, wrong: Any) -> None:
    s = opened(Entry)
    with pytest.raises(QueryError):
        wrong(s.query(Entry)).where(owner="o").all()


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
    assert found("kind", "exists") == [0, 1, 2, 3, 4, 5]
    with pytest.raises(QueryError, match=r'write F\.kind\.exists\(\) or \("kind", "exists"\)'):
        found("kind")
    assert found(F("n", "<", 2) | ~F("n", "<=", 4)) == [0, 1, 5]
    assert found(F("size(kind)", ">=", 1) & F("SIZE(kind)", "<", 2)) == [0, 1, 2, 3, 4, 5]
    assert found("size(kind)", "=", 2) == []


@pytest.mark.parametrize("op", OPERATORS)
def test_operators_in_any_case(op: str) -> None:
    few: dict[str, tuple[Any, ...]] = {"between": ("a", "b"), "in": (["a", "b"],)}
    operands = few.get(op, () if op.endswith("exists") else ("a",))
    shapes = [shape(F("f", each, *operands)) for each in (op, op.upper(), op.title(), op.replace("_", " "))]
    assert all(each == shapes[0] for each in shapes)


def shape(expression: Any) -> Any:
    if hasattr(expression, "condition"):
        return ["not", shape(expression.condition)]
    return [expression.op, str(expression.left), expression.operands]
