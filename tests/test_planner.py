"""Plans do not depend on the order of conditions, and what they find is what a filtered scan finds."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lift_dynamorm import GSI, LSI, Database, F, Model, PartitionKey, QueryError, SortKey, SyncSession
from lift_dynamorm.expressions import Expression, Path
from lift_dynamorm.model import schema_of
from lift_dynamorm.planner import Wanted, plan
from lift_dynamorm.resolve import resolve
from lift_dynamorm.transport.local import LocalTransport
from tests.wire import ValidatingTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INDEXES = [
    GSI("by_red", pk="R#{red}", sk="{size}#{name}"),
    GSI("by-name", pk=F.name, sk=F.size),
    GSI("by_both", pk="B#{red}#{name}"),
]


class Templated(
    Model, table="templated", pk="T#{group}", sk="S#{size}#{name}", indexes=[*INDEXES, LSI("by_l", sk="{red}")]
):
    group: str
    name: str
    size: int
    red: bool | None = None


class Plainly(Model, table="plainly", indexes=[*INDEXES, LSI("by-l", sk=F.red_text)]):
    group: PartitionKey[str]
    size: SortKey[int]
    name: str
    red: bool | None = None
    red_text: str | None = None


NAMES = ["a", "ab", "a#", "A", "é", "b", '"', "ab#b"]
SIZES = [-10, -9, -1, 0, 1, 9, 10, 100]
ROWS = [
    {"group": group, "name": name, "size": size, "red": red}
    for n, (group, name, size) in enumerate(itertools.product(["g", "h"], NAMES, SIZES))
    for red in [(True, False, None)[n % 3]]
]
WORDS = st.sampled_from([*NAMES, "", "z"])
NUMBERS = st.sampled_from([*SIZES, 5, -100])

Test = tuple[Expression, "Callable[[Any], bool]"]


@st.composite
def drawn_on(draw: st.DrawFn, field: str, values: st.SearchStrategy[Any]) -> Test:
    path, op = Path((field,)), draw(st.sampled_from(["=", "<", "<=", ">", ">=", "between", "in", "<>", "begins_with"]))
    a, b = draw(values), draw(values)

    def key(value: Any) -> Any:
        return value.encode() if isinstance(value, str) else value

    def of(item: Any) -> Any:
        return key(getattr(item, field))

    if op == "begins_with" and field != "name":
        op = ">="
    match op:
        case "=":
            return path == a, lambda i: of(i) == key(a)
        case "<":
            return path < a, lambda i: of(i) < key(a)
        case "<=":
            return path <= a, lambda i: of(i) <= key(a)
        case ">":
            return path > a, lambda i: of(i) > key(a)
        case ">=":
            return path >= a, lambda i: of(i) >= key(a)
        case "between":
            a, b = sorted((a, b), key=key)
            return path.between(a, b), lambda i: key(a) <= of(i) <= key(b)
        case "in":
            return path.is_in([a, b]), lambda i: of(i) in (key(a), key(b))
        case "<>":
            return path != a, lambda i: of(i) != key(a)
    return path.begins_with(a), lambda i: bool(of(i).startswith(key(a)))


def together(first: Test, more: list[Test]) -> list[Test]:
    return [first, *more]


BOUND: st.SearchStrategy[Test] = st.sampled_from(
    [
        (F.group == "g", lambda i: i.group == "g"),
        (F.red == True, lambda i: i.red is True),  # noqa: E712 - a condition, not a comparison
        (F.name == "ab", lambda i: i.name == "ab"),
        (F.name == "a#", lambda i: i.name == "a#"),
    ]
)
queries = st.builds(together, BOUND, st.lists(drawn_on("name", WORDS) | drawn_on("size", NUMBERS) | BOUND, max_size=4))


@pytest.fixture(scope="module", params=[None, "acme"])
def session(request: pytest.FixtureRequest) -> Iterator[SyncSession]:
    db = Database(transport=ValidatingTransport(LocalTransport()))
    db.sync.create_tables(Templated, Plainly)
    other = db.sync.session("other" if request.param else None)
    s = db.sync.session(request.param)
    seen = set()
    for row in ROWS:
        s.put(Templated(**row))
        if (row["group"], row["size"]) not in seen:
            seen.add((row["group"], row["size"]))
            s.put(Plainly(**row))
        if request.param:
            other.put(Templated(**row))
            other.put(Plainly(**row))
    yield s
    db.sync.close()


def everything(s: SyncSession, model: Any) -> list[Any]:
    return [item for group in ("g", "h") for item in s.query(model).where(group=group).index("table")]


@settings(max_examples=300)
@given(tests=queries, backwards=st.booleans(), model=st.sampled_from([Templated, Plainly]))
def test_a_query_finds_what_a_filtered_scan_finds(
    session: SyncSession, tests: list[Test], backwards: bool, model: Any
) -> None:
    expected = [item for item in everything(session, model) if all(holds(item) for _, holds in tests)]
    query = session.query(model).where(*(expression for expression, _ in tests))
    found = query.all()
    by_key = repr
    assert sorted(found, key=by_key) == sorted(expected, key=by_key)
    assert query.count() == len(expected)
    if "size" in str(query.explain()):
        try:
            ordered = query.order_by("-size" if backwards else "size").all()
        except QueryError:
            return
        assert [i.size for i in ordered] == sorted((i.size for i in expected), reverse=backwards)


@settings(max_examples=300)
@given(tests=queries, seed=st.randoms(use_true_random=False), model=st.sampled_from([Templated, Plainly]))
def test_the_order_of_conditions_changes_nothing(tests: list[Test], seed: Any, model: Any) -> None:
    schema = schema_of(model)
    conditions = [resolve(schema, expression, "@t#") for expression, _ in tests]
    shuffled = conditions[:]
    seed.shuffle(shuffled)
    one, other = (plan(schema, c, "@t#") for c in (conditions, shuffled))
    assert one.index == other.index
    assert (one.key, one.empty) == (other.key, other.empty)
    assert set(flat(one.filter)) == set(flat(other.filter))
    assert set(flat(one.local)) == set(flat(other.local))


def flat(condition: Any) -> list[str]:
    return sorted(map(repr, getattr(condition, "tests", None) or [condition]))


def chosen(model: Any, *conditions: Expression, **options: Any) -> str:
    schema = schema_of(model)
    return str(plan(schema, [resolve(schema, c, "") for c in conditions], "", Wanted(**options)).index)


def test_the_preferred_index() -> None:
    group, red, name = F.group == "g", F.red == True, F.name == "ab"  # noqa: E712 - conditions
    assert chosen(Templated, group) == "table"
    assert chosen(Templated, group, red, name) == "by_l"
    assert chosen(Templated, red) == "by_red"
    assert chosen(Templated, red, name) == "by_both"
    assert chosen(Templated, red, name, F.size > 3) in ("by-name", "by_both")
    assert chosen(Templated, name) == "by-name"
    assert chosen(Templated, group, name, index="by-name") == "by-name"
    assert chosen(Templated, red, order=("size", True)) == "by_red"
    assert chosen(Templated, group, red, order=("size", True)) == "table"
    assert chosen(Templated, group, consistent=True) == "table"


@pytest.mark.parametrize(
    ("conditions", "options", "words"),
    [
        ([], {}, "no index answers"),
        ([F.size > 3], {}, "`group`"),
        ([F.group > "a"], {}, "`group`"),
        ([(F.group == "g") | (F.group == "h")], {}, "`group`"),
        ([~(F.group == "g")], {}, "`group`"),
        ([F.group == "g"], {"order": ("name", True)}, "not sorted by `name`"),
        ([F.group == "g"], {"index": "nope"}, "no index 'nope'"),
        ([F.group == "g"], {"index": "by_red"}, "`red`"),
        ([F.red == True], {"consistent": True}, "consistently"),  # noqa: E712 - a condition
        ([F.size > 3], {}, "To read the whole table say scan(Templated)"),
    ],
)
def test_what_no_index_answers_is_refused(conditions: Any, options: Any, words: str) -> None:
    with pytest.raises(QueryError) as caught:
        chosen(Templated, *conditions, **options)
    assert words in str(caught.value)


# -- indexes that hold less --------------------------------------------------------------------------------------------


class Task(Model, table="tasks", pk="P#{project}", sk="T#{id}", indexes=[LSI("by_due", sk="{status}#{due}")]):
    project: str
    id: str
    status: str
    due: int | None = None


class Player(
    Model,
    table="players",
    indexes=[
        GSI("a_sparse", pk="T#{team}#{name}", sk="{nick}"),
        GSI("b_whole", pk="T#{team}#{name}"),
        GSI("c_optional", pk="N#{nick}"),
    ],
):
    id: PartitionKey[str]
    team: str
    name: str
    nick: str | None = None


def test_a_sparse_index_is_not_preferred_to_a_complete_one(opened: Callable[..., SyncSession]) -> None:
    s = opened(Task, Player)
    tasks = [
        s.create(Task(project="p", id="1", status="open", due=3)),
        s.create(Task(project="p", id="2", status="open")),
    ]
    players = [s.create(Player(id=n, team="x", name="y", nick=k)) for n, k in (("1", "k"), ("2", None))]
    open_tasks = s.query(Task).where(project="p", status="open")
    assert open_tasks.all() == tasks
    assert open_tasks.explain().index == "table"
    team = s.query(Player).where(team="x", name="y")
    assert sorted(team.all(), key=lambda player: player.id) == players
    assert team.explain().index == "b_whole"


def test_a_sparse_index_is_taken_where_it_holds_all_that_match(opened: Callable[..., SyncSession]) -> None:
    s = opened(Task, Player)
    due = s.create(Task(project="p", id="1", status="open", due=3))
    s.create(Task(project="p", id="2", status="open"))
    query = s.query(Task).where(F.project == "p", F.status == "open", F.due > 1)
    assert (query.all(), query.explain().index) == ([due], "by_due")
    assert chosen(Player, F.nick == "k") == "c_optional"
    assert chosen(Player, F.team == "x", F.name == "y", F.nick >= "k") == "a_sparse"
    assert "due" in str(s.query(Task).where(project="p", status="open").index("by_due").explain().warnings)


class Partial(
    Model,
    table="partials",
    indexes=[
        GSI("by-email", pk=F.email, projection="KEYS_ONLY"),
        GSI("by-nick", pk=F.nick, projection=["team"]),
        GSI("by-team", pk=F.team, sk=F.nick, projection=["email"]),
    ],
):
    id: PartitionKey[str]
    email: str
    nick: str = "n"
    team: str = "t"


@pytest.mark.parametrize("index", [None, "by-email"])
def test_an_index_that_lacks_attributes_of_the_model_is_refused(index: str | None) -> None:
    with pytest.raises(QueryError, match="by-email does not hold `nick` and `team`"):
        chosen(Partial, F.email == "e", index=index)
    with pytest.raises(QueryError, match="by-nick does not hold `email`"):
        chosen(Partial, F.nick == "n", index=index and "by-nick")


def needing(*attributes: str) -> dict[str, Any]:
    return {"attributes": frozenset(attributes)}


def test_an_index_is_taken_that_holds_what_is_needed_of_each_item() -> None:
    assert chosen(Partial, F.email == "e", **needing("id", "email")) == "by-email"
    assert chosen(Partial, F.nick == "n", **needing("id", "team")) == "by-nick"
    with pytest.raises(QueryError, match="by-email does not hold `team`") as caught:
        chosen(Partial, F.email == "e", **needing("id", "team"))
    assert "by .only(...), or load the items by the keys in the index: .fetch()" in str(caught.value)
    with pytest.raises(QueryError, match="by-email does not hold `team`"):
        chosen(Partial, F.email == "e", F.team == "t", index="by-email", **needing("id"))


def test_an_index_that_holds_less_is_taken_where_the_items_are_fetched() -> None:
    schema = schema_of(Partial)
    found = plan(
        schema, [resolve(schema, F.email == "e", ""), resolve(schema, F.team == "t", "")], "", Wanted(fetch=True)
    )
    assert (str(found.index), found.fetch, found.filter) == ("by-team", False, every_of(F.email == "e"))
    found = plan(schema, [resolve(schema, c, "") for c in (F.email == "e", F.nick == "k")], "", Wanted(fetch=True))
    assert (str(found.index), found.fetch, found.filter) == ("by-email", True, None)
    assert found.local == every_of(F.nick == "k")


def every_of(expression: Expression) -> Any:
    return resolve(schema_of(Partial), expression, "")


class Open(Model, table="opens", indexes=[GSI("by-kind", pk=F.kind, projection=["size"])]):
    model_config = {"extra": "allow"}

    id: PartitionKey[str]
    kind: str
    size: int = 0


def test_an_index_without_what_is_no_field_is_no_whole_item() -> None:
    with pytest.raises(QueryError, match="by-kind does not hold what is no field"):
        chosen(Open, F.kind == "k")
    assert chosen(Open, F.kind == "k", **needing("id", "kind", "size")) == "by-kind"


def test_an_index_that_holds_every_attribute_in_all_is_taken(opened: Callable[..., SyncSession]) -> None:
    s = opened(Partial)
    item = s.create(Partial(id="1", email="e"))
    assert s.query(Partial).where(team="t").all() == [item]
    assert s.query(Partial).where(id="1", email="e").all() == [item]


class Shelf(Model, table="shelves", pk="S#{id}", sk="{name}#{number}#{last}"):
    id: str
    name: str
    number: int
    last: str


def test_text_in_front_of_other_text_is_no_order(opened: Callable[..., SyncSession]) -> None:
    s = opened(Shelf)
    for name in ("Ann", "Ann Lee", "Anna"):
        s.create(Shelf(id="1", name=name, number=1, last="x"))
    with pytest.raises(QueryError, match="not sorted by `name`"):
        s.query(Shelf).where(id="1").order_by("name").all()
    with pytest.raises(QueryError, match="not sorted by `name`"):
        s.query(Shelf).where(F.id == "1", F.name >= "Ann").order_by("-name").all()
    assert chosen(Shelf, F.id == "1", F.name == "Ann", order=("number", True)) == "table"
    assert chosen(Shelf, F.id == "1", F.name == "Ann", F.number == 1, order=("last", False)) == "table"
    found = s.query(Shelf).where(F.id == "1", F.name >= "Ann", F.name < "Anna").all()
    assert sorted(shelf.name for shelf in found) == ["Ann", "Ann Lee"]


def test_a_sort_key_attribute_is_a_name_for_the_order(opened: Callable[..., SyncSession]) -> None:
    s = opened(Shelf)
    for name in ("b", "a", "a b"):
        s.create(Shelf(id="1", name=name, number=1, last="x"))
    assert [shelf.name for shelf in s.query(Shelf).where(id="1").order_by("-sk")] == ["b", "a", "a b"]
    assert chosen(Templated, F.red == True, order=("by_red_sk", True)) == "by_red"  # noqa: E712 - a condition
    with pytest.raises(QueryError, match="table is not sorted by `by_red_sk`, but by `size` or `sk`; ") as caught:
        chosen(Templated, F.group == "g", order=("by_red_sk", True))
    assert "needs an equality" not in str(caught.value)
    with pytest.raises(QueryError, match=r'table is not sorted by `name`, for .* follows it .* order_by\("sk"\)'):
        chosen(Shelf, F.id == "1", order=("name", True))
    with pytest.raises(QueryError, match="by_both is not sorted by `size`, for it has no sort key"):
        chosen(Templated, F.red == True, F.name == "a", index="by_both", order=("size", True))  # noqa: E712


def test_an_index_that_was_asked_for_is_the_only_one_spoken_of() -> None:
    with pytest.raises(QueryError, match=r"^that index does not answer .* Templated: by_red needs `red` = \.\.\.\.$"):
        chosen(Templated, F.group == "g", index="by_red")


def test_what_can_never_hold_is_not_asked_for() -> None:
    schema = schema_of(Templated)
    for never in (F.size.between(2, 1), F.red.is_in([])):
        assert plan(schema, [resolve(schema, F.group == "g", ""), resolve(schema, never, "")], "").empty
        either = resolve(schema, never | (F.size == 1), "")
        assert not plan(schema, [resolve(schema, F.group == "g", ""), either], "").empty


@pytest.mark.parametrize("field", ["size", "red"])
def test_begins_with_on_what_is_no_text_is_refused(field: str) -> None:
    with pytest.raises(QueryError, match=f"begins_with is for text, and `{field}` is none"):
        chosen(Templated, F.group == "g", F[field].begins_with("1"))


class Sealed(Model, table="sealed", indexes=[GSI("by-digest", pk=F.digest)]):
    id: PartitionKey[str]
    digest: bytes = b"x"


def test_an_empty_key_finds_nothing(opened: Callable[..., SyncSession]) -> None:
    s = opened(Sealed, Partial)
    s.create(Sealed(id="1"))
    with s.transaction():
        s.create(Sealed(id="2"))
        s.create(Partial(id="1", email="e"))
        assert s.query(Sealed).where(digest=b"").all() == []
        assert s.query(Partial).where(team="").all() == []
        assert s.query(Partial).where(F.team == "t", F.nick <= "").all() == []


# -- what a filter cannot hold -----------------------------------------------------------------------------------------


def test_what_is_too_long_for_a_filter_is_evaluated_here(opened: Callable[..., SyncSession]) -> None:
    s = opened(Templated)
    for n in range(30):
        s.put(Templated(group="g", name=f"n{n}", size=n, red=True))
    names = [f"n{n}" for n in range(0, 4000, 2)]
    schema = schema_of(Templated)
    long, short = F.name.is_in(names), F.red.exists()
    found = plan(schema, [resolve(schema, c, "") for c in (F.group == "g", long, short)], "")
    assert (found.filter, found.local) == tuple(resolve(schema, c, "") for c in (short, long))
    query = s.query(Templated).where(F.group == "g", long, short)
    assert [item.name for item in query] == [f"n{n}" for n in range(0, 30, 2)]
    assert query.count() == 15
    first = query.first()
    assert first is not None
    assert first.name == "n0"
    many = [F.red.is_in([True]) | F.red.not_exists() for _ in range(200)]
    assert s.query(Templated).where(F.group == "g", *many).count() == 30


def test_a_key_condition_is_never_too_long(opened: Callable[..., SyncSession]) -> None:
    s = opened(Templated)
    item = s.put(Templated(group="g" * 1500, name="n" * 900, size=1))
    assert s.query(Templated).where(group=item.group, size=1, name=item.name).all() == [item]


# -- the reasons -------------------------------------------------------------------------------------------------------


def test_every_index_is_considered_with_a_reason() -> None:
    schema = schema_of(Templated)
    conditions = [F.group == "g", F.red == True, F.name == "ab"]  # noqa: E712 - a condition
    found = plan(schema, [resolve(schema, c, "") for c in conditions], "")
    assert [(each.index, each.taken, each.reason) for each in found.considered] == [
        ("by_l", True, "is narrowed by `group` and `red`"),
        ("table", False, "is narrowed by fewer conditions than by_l"),
        ("by_red", False, "lags behind by_l"),
        ("by-name", False, "lags behind by_l"),
        ("by_both", False, "lags behind by_l"),
    ]
    players = schema_of(Player)
    team = [resolve(players, c, "") for c in (F.team == "x", F.name == "y")]
    assert [each.reason for each in plan(players, team, "").considered] == [
        "is narrowed by `name` and `team`",
        "needs `id` = ...",
        "needs `nick` = ...",
        "may lack items that match",
    ]
