"""Updates that DynamoDB calculates, and the key attributes that follow them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from lift_dynamorm import GSI, F, InvalidValue, Model, PartitionKey, QueryError, UsageError, VersionConflict

from .models import DAY, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Session

    Open = Callable[..., Session]


class City(BaseModel):
    name: str = ""
    people: int | None = None
    marks: set[int] = set()


class Wide(Model, table="wide"):
    id: PartitionKey[str]
    n: int = 0
    exact: Decimal = Decimal(0)
    words: set[str] = set()
    lines: list[int] = []
    city: City = City()
    cities: list[City] = []
    by_name: dict[str, City] = {}
    free: dict[str, int] = {}


async def test_arithmetic(opened: Open) -> None:
    s = opened(Wide)
    await s.create(Wide(id="1", n=10, exact=Decimal("0.1")))
    one = await s.update(Wide, {"id": "1"}, n=F.n + 5)
    assert one.n == 15
    one = await s.update(Wide, {"id": "1"}, F.n.set(F.n - 20), F.exact.add(Decimal("0.2")))
    assert (one.n, one.exact) == (-5, Decimal("0.3"))
    one = await s.update(one, n=F.n.add(3), exact=F.n - 1)
    assert (one.n, one.exact) == (-2, Decimal(-6))
    one = await s.update(one, n=F.free.total.if_not_exists(40) + 2)
    assert one.n == 42
    assert await s.get(Wide, id="1") == one


async def test_a_version_counts_by_key_too(opened: Open) -> None:
    s = opened(User)
    held = await s.create(User(id="1"))
    for n in range(3):
        changed = await s.update(User, {"id": "1"}, logins=F.logins + 2)
        assert (changed.version, changed.logins) == (n + 2, 2 * n + 2)
    assert held.version == 1


async def test_sets(opened: Open) -> None:
    s = opened(Wide)
    await s.create(Wide(id="1"))
    assert (await s.update(Wide, {"id": "1"}, words=F.words.add({"a", "b"}))).words == {"a", "b"}
    assert (await s.update(Wide, {"id": "1"}, F.words.add(["b", "c"]))).words == {"a", "b", "c"}
    assert (await s.update(Wide, {"id": "1"}, F.words.delete({"a", "zz"}))).words == {"b", "c"}
    assert (await s.update(Wide, {"id": "1"}, F.words.delete({"b", "c"}))).words == set()
    assert (await s.update(Wide, {"id": "1"}, F.words.delete({"b", "c"}), n=1)).words == set()
    with pytest.raises(InvalidValue):
        await s.update(Wide, {"id": "1"}, F.words.add(set()))
    with pytest.raises(UsageError, match="no set"):
        await s.update(Wide, {"id": "1"}, F.lines.add([1]))


async def test_lists(opened: Open) -> None:
    s = opened(Wide)
    await s.create(Wide(id="1"))
    assert (await s.update(Wide, {"id": "1"}, F.lines.append([2, 3]))).lines == [2, 3]
    assert (await s.update(Wide, {"id": "1"}, lines=F.lines.prepend([1]))).lines == [1, 2, 3]
    assert (await s.update(Wide, {"id": "1"}, F.lines[1].set(9))).lines == [1, 9, 3]
    assert (await s.update(Wide, {"id": "1"}, F.lines[0].remove())).lines == [9, 3]
    assert (await s.update(Wide, {"id": "1"}, F.lines[0].set(F.lines[0] - F.lines[1]))).lines == [6, 3]


async def test_a_number_is_added_to_a_list_element(opened: Open) -> None:
    s = opened(Wide)
    await s.create(Wide(id="1", lines=[1]))
    assert (await s.update(Wide, {"id": "1"}, F.lines[0].add(1))).lines == [2]


async def test_an_element_behind_the_end_is_appended(opened: Open) -> None:
    s = opened(Wide)
    await s.create(Wide(id="1", lines=[1]))
    assert (await s.update(Wide, {"id": "1"}, F.lines[7].set(2))).lines == [1, 2]


async def test_list_positions_are_those_before_the_update(opened: Open) -> None:
    s = opened(Wide)
    await s.create(Wide(id="1", lines=[0, 1, 2, 3, 4]))
    one = await s.update(Wide, {"id": "1"}, F.lines[0].remove(), F.lines[2].remove())
    assert one.lines == [1, 3, 4]


async def test_a_missing_list_counts_as_empty(opened: Open) -> None:
    s = opened(Wide)
    made = await s.update(Wide, {"id": "1"}, F.lines.append([1]), F.free.set({}), upsert=True)
    assert made.lines == [1]


async def test_nested_paths(opened: Open) -> None:
    s = opened(Wide)
    await s.create(Wide(id="1", cities=[City(name="Ulm")], by_name={"a.b": City(name="Rom")}))
    one = await s.update(
        Wide,
        {"id": "1"},
        F.city.name.set("Bonn"),
        F.city.people.add(3),
        F.city.marks.add({1}),
        F.cities[0].name.set("Jena"),
        F.by_name["a.b"].name.set("Riga"),
        F.by_name["#new"].set(City(name="Oslo")),
        F.free.k.set(1),
    )
    assert one.city == City(name="Bonn", people=3, marks={1})
    assert one.cities == [City(name="Jena")]
    assert one.by_name == {"a.b": City(name="Riga"), "#new": City(name="Oslo")}
    assert one.free == {"k": 1}
    one = await s.update(one, F.city.people.remove(), F.city.marks.set(None), F.by_name["a.b"].remove())
    assert one.city == City(name="Bonn")
    assert set(one.by_name) == {"#new"}
    assert await s.get(Wide, id="1") == one


async def test_paths_are_checked_against_the_model(opened: Open) -> None:
    s = opened(Wide)
    await s.create(Wide(id="1"))
    for change in (F.cty.set(1), F.city.nme.set("x"), F.n.inside.set(1), F.lines.word.set(1), F.city[0].set(1)):
        with pytest.raises(QueryError):
            await s.update(Wide, {"id": "1"}, change)
    for change in (F.city.name.set(7), F.lines[0].set("x"), F.lines.append(["x"]), F.free.k.set("x"), F.n.set("x")):
        with pytest.raises(InvalidValue):
            await s.update(Wide, {"id": "1"}, change)
    with pytest.raises(UsageError, match="twice"):
        await s.update(Wide, {"id": "1"}, F.city.name.set("x"), F.city.set(City()))


async def test_a_value_is_validated_as_in_its_field(opened: Open) -> None:
    s = opened(User)
    user = await s.create(User(id="1"))
    await s.update(user, joined="2026-05-05T00:00:00Z", logins="7")
    assert (user.joined, user.logins) == (DAY.replace(month=5, day=5), 7)
    with pytest.raises(InvalidValue, match=r"User\.logins"):
        await s.update(user, logins="many")


@pytest.mark.parametrize("name", ["version", "updated_at"])
async def test_what_the_session_keeps_cannot_be_set(opened: Open, name: str) -> None:
    s = opened(User)
    user = await s.create(User(id="1"))
    before = user.model_copy()
    value: Any = {"version": 9, "updated_at": DAY}[name]
    attempts: list[Callable[[], Any]] = [
        lambda: s.update(user, **{name: value}),
        lambda: s.update(User, {"id": "1"}, **{name: value}),
        lambda: s.update(User, {"id": "1"}, F[name].set(value)),
        lambda: s.update(User, {"id": "1"}, F[name].remove()),
    ]
    for attempt in attempts:
        with pytest.raises(UsageError, match=name):
            await attempt()
    assert await s.get(User, id="1") == before == user


# -- keys of indexes ---------------------------------------------------------------------------------------------------


async def ids(s: Session, **equal: str) -> list[str]:
    return [user.id async for user in s.query(User).where(**equal)]


async def test_index_keys_follow_an_update(opened: Open) -> None:
    s = opened(User)
    user = await s.create(User(id="1", email="a", team="red"))
    await s.create(User(id="2", team="red", joined=DAY + timedelta(1)))
    assert await ids(s, team="red") == ["1", "2"]
    await s.update(user, joined=DAY + timedelta(2))
    assert await ids(s, team="red") == ["2", "1"]
    user.team = "blue"
    await s.update(user, email="b")
    assert (await ids(s, team="red"), await ids(s, team="blue")) == (["2"], ["1"])
    assert (await ids(s, email="a"), await ids(s, email="b")) == ([], ["1"])
    await s.update(User, {"id": "1"}, email="c")
    assert (await ids(s, email="b"), await ids(s, email="c")) == ([], ["1"])
    await s.update(User, {"id": "1"}, team="red", joined=DAY)
    assert await ids(s, team="red") == ["1", "2"]


async def test_an_index_is_sparse(opened: Open) -> None:
    s = opened(User)
    user = await s.create(User(id="1"))
    assert (await ids(s, team="red"), await ids(s, email="a")) == ([], [])
    await s.update(user, team="red", email="a")
    assert (await ids(s, team="red"), await ids(s, email="a")) == (["1"], ["1"])
    await s.update(user, team=None)
    user.email = None
    await s.update(user)
    assert (await ids(s, team="red"), await ids(s, email="a")) == ([], [])
    await s.update(user, email="b")
    await s.update(User, {"id": "1"}, email=None)
    assert await ids(s, email="b") == []
    assert await s.get(User, id="1") == user.model_copy(
        update={"email": None, "version": user.version + 1, "updated_at": (await s.get(User, id="1")).updated_at}
    )


class Task(Model, table="tasks", indexes=[GSI("by_rank", pk="TEAM#{team}#{rank}")]):
    id: PartitionKey[str]
    team: str
    rank: int


async def test_half_a_key_of_an_index_is_refused_by_key(opened: Open) -> None:
    s = opened(User, Task)
    await s.create(User(id="1", team="red"))
    with pytest.raises(UsageError, match="must be known before the write"):
        await s.update(User, {"id": "1"}, email=F.name)
    assert await ids(s, team="red") == ["1"]
    await s.create(Task(id="1", team="red", rank=1))
    with pytest.raises(UsageError, match=r"by_rank, whose key also needs team"):
        await s.update(Task, {"id": "1"}, rank=2)
    await s.update(Task, {"id": "1"}, rank=2, team="blue")
    assert [t.rank async for t in s.query(Task).where(team="blue", rank=2)] == [2]


async def test_one_side_of_a_key_may_be_changed_by_key(opened: Open) -> None:
    s = opened(User)
    await s.create(User(id="1", joined=DAY + timedelta(1)))
    await s.create(User(id="2", team="red"))
    await s.update(User, {"id": "1"}, team="red")
    assert await ids(s, team="red") == ["2", "1"]
    await s.update(User, {"id": "2"}, joined=DAY + timedelta(2))
    assert await ids(s, team="red") == ["1", "2"]
    await s.update(User, {"id": "1"}, team=None)
    assert await ids(s, team="red") == ["2"]


class Plainly(
    Model,
    table="plainly",
    indexes=[GSI("by-team", pk=F.team, sk=F.score, projection="KEYS_ONLY"), GSI("by-score", pk=F.score)],
):
    id: PartitionKey[str]
    team: str | None = None
    score: int | None = None


async def test_plain_attributes_as_index_keys(opened: Open) -> None:
    s = opened(Plainly)
    item = await s.create(Plainly(id="1", team="red", score=5))
    await s.create(Plainly(id="2", team="red"))
    await s.create(Plainly(id="3", team="red", score=-40))
    assert [i.id async for i in s.query(Plainly).where(team="red")] == ["3", "1"]
    assert [i.id async for i in s.query(Plainly).where(score=5)] == ["1"]
    await s.update(item, score=-100)
    assert [i.id async for i in s.query(Plainly).where(team="red")] == ["1", "3"]
    await s.update(Plainly, {"id": "1"}, F.score.add(1000))
    assert [i.score async for i in s.query(Plainly).where(F.team == "red", F.score > 0)] == [900]
    await s.update(Plainly, {"id": "1"}, team=None)
    assert [i.id async for i in s.query(Plainly).where(team="red")] == ["3"]


class Shift(
    Model,
    table="shifts",
    pk="SHIFT#{id}",
    indexes=[GSI("by_team", pk="TEAMS", sk="{team}#{day}"), GSI("by_owner", pk=F.owner, sk="{owner}#{day}")],
):
    """No version."""

    id: str
    team: str = "a"
    owner: str = "o"
    day: int = 1


async def test_two_stale_writers_leave_no_key_that_lies(opened: Open) -> None:
    for s in (opened(Shift), opened(Shift, tenant="acme")):
        await s.put(Shift(id="1"))
        one, two = await s.get(Shift, id="1"), await s.get(Shift, id="1")
        await s.update(one, team="b", owner="p")
        with pytest.raises(VersionConflict):
            await s.update(two, day=2)
        two = await s.get(Shift, id="1")
        await s.update(two, day=2)
        assert await s.query(Shift).index("by_team").where(F.team == "b", F.day == 2).all() == [two]
        await s.delete(two)
