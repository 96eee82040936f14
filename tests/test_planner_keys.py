"""Plans over keys of padded numbers, and over keys of several attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lift_dynamorm import GSI, Database, F, Model, PartitionKey, QueryError, SyncSession
from lift_dynamorm.conditions import attributes
from lift_dynamorm.expressions import Expression
from lift_dynamorm.model import schema_of
from lift_dynamorm.planner import Plan, Wanted, plan
from lift_dynamorm.resolve import resolve
from lift_dynamorm.transport.local import LocalTransport
from tests.wire import ValidatingTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Test = tuple[Expression, "Callable[[Any], bool]"]


# -- padded numbers ----------------------------------------------------------------------------------------------------


class Page(Model, table="pages", pk="B#{book}", sk="{number:03d}#{part}"):
    book: str
    number: int
    part: str = "x"


class Line(Model, table="lines", pk="P#{page:02d}", sk="{number:03d}"):
    page: int
    number: int


BOUNDS = (
    st.integers(-2000, 2000) | st.sampled_from([-1, 0, 1, 998, 999, 1000]) | st.integers(-8, 48).map(lambda n: n / 4)
)
RANGES: st.SearchStrategy[Test] = st.one_of(
    st.builds(lambda n: (F.number > n, lambda i: i.number > n), BOUNDS),
    st.builds(lambda n: (F.number >= n, lambda i: i.number >= n), BOUNDS),
    st.builds(lambda n: (F.number < n, lambda i: i.number < n), BOUNDS),
    st.builds(lambda n: (F.number <= n, lambda i: i.number <= n), BOUNDS),
    st.builds(lambda n: (F.number == n, lambda i: i.number == n), BOUNDS),
    st.builds(lambda a, b: (F.number.between(a, b), lambda i: a <= i.number <= b), BOUNDS, BOUNDS),
)


@pytest.fixture(scope="module")
def padded() -> Iterator[SyncSession]:
    db = Database(transport=ValidatingTransport(LocalTransport()))
    db.sync.create_tables(Page, Line)
    s = db.sync.session("acme")
    for number in (0, 1, 2, 9, 10, 99, 500, 998, 999):
        s.put(Page(book="b", number=number))
        s.put(Line(page=1, number=number))
    yield s
    db.sync.close()


@given(tests=st.lists(RANGES, min_size=1, max_size=3), backwards=st.booleans())
def test_bounds_that_a_padded_number_cannot_reach(padded: SyncSession, tests: list[Test], backwards: bool) -> None:
    for query in (padded.query(Page).where(book="b"), padded.query(Line).where(page=1)):
        expected = [item for item in query if all(holds(item) for _, holds in tests)]
        found = query.where(*(expression for expression, _ in tests)).order_by("-sk" if backwards else "sk")
        assert found.all() == (expected[::-1] if backwards else expected)
        assert found.count() == len(expected)


def test_no_item_is_in_a_partition_that_a_padded_number_cannot_name(padded: SyncSession) -> None:
    assert padded.query(Line).where(page=100).all() == []
    with padded.transaction():
        padded.put(Line(page=2, number=7))
        assert padded.query(Line).where(page=200).all() == []
        assert padded.query(Line).where(F.page == 2, F.number > 1000).all() == []
        assert padded.query(Line).where(F.page == 2, F.number == 7000).all() == []
        assert len(padded.query(Line).where(F.page == 2, F.number < 7000).all()) == 1


# -- keys of several attributes ----------------------------------------------------------------------------------------


class Match(
    Model,
    table="matches",
    indexes=[
        GSI("by-place", pk=[F.country, F.city], sk=[F.sport, F.level, F.day]),
        GSI("by-four", pk=[F.country, F.city, F.sport, F.level], sk=[F.day]),
    ],
):
    id: PartitionKey[str]
    country: str
    city: str
    sport: str
    level: int
    day: str


PLACE = (F.country == "it", F.city == "rome")


def planned(*conditions: Expression, **wanted: Any) -> Plan:
    schema = schema_of(Match)
    return plan(schema, [resolve(schema, c, "") for c in conditions], "", Wanted(**wanted))


@pytest.mark.parametrize(
    ("conditions", "key", "filter"),
    [
        (PLACE, {"country", "city"}, set()),
        ((*PLACE, F.sport == "judo"), {"country", "city", "sport"}, set()),
        ((*PLACE, F.sport > "a"), {"country", "city", "sport"}, set()),
        ((*PLACE, F.sport == "judo", F.level >= 3), {"country", "city", "sport", "level"}, set()),
        ((*PLACE, F.sport == "judo", F.level > 1, F.level < 9), {"country", "city", "sport", "level"}, {"level"}),
        ((*PLACE, F.sport > "a", F.level == 3), {"country", "city", "sport"}, {"level"}),
        ((*PLACE, F.level == 3), {"country", "city"}, {"level"}),
        ((*PLACE, F.sport == "judo", F.day > "2026"), {"country", "city", "sport"}, {"day"}),
    ],
)
def test_sort_attributes_are_used_from_left_to_right(conditions: Any, key: set[str], filter: set[str]) -> None:
    found = planned(*conditions, index="by-place")
    assert attributes(found.key) == key
    assert (attributes(found.local) if found.local else set()) == filter  # DynamoDB allows no filter on a key
    assert found.filter is None


def test_every_partition_attribute_is_needed() -> None:
    with pytest.raises(QueryError, match=r"by-place needs `city` = .*; by-four needs `city` and `level` and `sport`"):
        planned(F.country == "it")
    with pytest.raises(QueryError, match="by-place needs `city`"):
        planned(F.country == "it", F.city > "r")
    level = F.level == 3
    assert str(planned(*PLACE, F.sport == "judo", level, F.day > "2026", index="by-four").index) == "by-four"
    assert str(planned(*PLACE, F.sport == "judo", order=("level", True)).index) == "by-place"
    assert str(planned(*PLACE, F.sport == "judo", level, order=("day", False)).index) == "by-place"
    with pytest.raises(QueryError, match="by-place is not sorted by `level`"):
        planned(*PLACE, order=("level", True))
