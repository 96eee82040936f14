"""create, put, get, find, update and delete: conditions, versions, timestamps."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import Field

from lift_dynamorm import (
    TTL,
    ConditionFailed,
    CreatedAt,
    F,
    InvalidValue,
    ItemExists,
    ItemNotFound,
    Model,
    PartitionKey,
    UsageError,
    VersionConflict,
)

from .models import DAY, Plain, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Database, Session

    Open = Callable[..., Session]


async def test_what_is_created_is_read_back(opened: Open) -> None:
    s = opened(Plain)
    plain = Plain(id="1", name="Ann", count=3, tags={"x", "y"}, lines=["a", "b"], box={"k": 1}, note="n")
    assert await s.create(plain) is plain
    assert await s.get(Plain, id="1") == plain
    assert await s.get(Plain, {"id": "1"}, consistent=True) == plain


async def test_a_missing_item(opened: Open) -> None:
    s = opened(Plain)
    assert await s.find(Plain, id="no") is None
    with pytest.raises(ItemNotFound, match="there is no Plain with id='no'"):
        await s.get(Plain, id="no")
    with pytest.raises(ItemNotFound):
        await s.update(Plain, {"id": "no"}, name="x")
    with pytest.raises(ItemNotFound):
        await s.update(Plain(id="no"), name="x")
    with pytest.raises(ItemNotFound):
        await s.delete(Plain, id="no")
    with pytest.raises(ItemNotFound):
        await s.delete(Plain(id="no"))
    await s.delete(Plain, id="no", missing_ok=True)
    await s.delete(Plain(id="no"), missing_ok=True)
    assert await s.find(Plain, id="no") is None


async def test_create_refuses_an_item_that_exists(opened: Open) -> None:
    s = opened(Plain)
    await s.create(Plain(id="1", name="first"))
    second = Plain(id="1", name="second")
    with pytest.raises(ItemExists) as caught:
        await s.create(second)
    assert caught.value.item == Plain(id="1", name="first")
    assert caught.value.wire_item is not None
    assert caught.value.wire_item["name"] == {"S": "first"}
    assert (await s.get(Plain, id="1")).name == "first"


async def test_put_replaces_the_whole_item(opened: Open) -> None:
    s = opened(Plain)
    await s.put(Plain(id="1", name="first", note="gone after the second"))
    await s.put(Plain(id="1", name="second"))
    assert await s.get(Plain, id="1") == Plain(id="1", name="second")


async def test_put_on_a_condition(opened: Open) -> None:
    s = opened(Plain)
    await s.put(Plain(id="1", count=1))
    with pytest.raises(ConditionFailed) as caught:
        await s.put(Plain(id="1", count=9), if_=F.count > 5)
    assert caught.value.item == Plain(id="1", count=1)
    await s.put(Plain(id="1", count=9), if_=F.count == 1)
    assert (await s.get(Plain, id="1")).count == 9
    with pytest.raises(ConditionFailed) as caught:
        await s.put(Plain(id="new"), if_=F.count > 5)
    assert caught.value.item is None
    assert await s.find(Plain, id="new") is None


async def test_create_on_a_condition_is_still_a_create(opened: Open) -> None:
    s = opened(Plain)
    await s.create(Plain(id="1"), if_=F.count.not_exists())
    with pytest.raises(ItemExists):
        await s.create(Plain(id="1"), if_=F.count.exists())


async def test_update_and_delete_on_a_condition(opened: Open) -> None:
    s = opened(Plain)
    plain = await s.create(Plain(id="1", count=1))
    for attempt in (
        lambda: s.update(plain, name="x", if_=F.count > 5),
        lambda: s.update(Plain, {"id": "1"}, name="x", if_=F.count > 5),
        lambda: s.delete(plain, if_=F.count > 5),
        lambda: s.delete(Plain, id="1", if_=F.count > 5),
        lambda: s.delete(Plain, id="1", if_=F.count > 5, missing_ok=True),
    ):
        with pytest.raises(ConditionFailed) as caught:
            await attempt()
        assert caught.value.item == Plain(id="1", count=1)
        assert type(caught.value) is ConditionFailed
    assert plain == Plain(id="1", count=1)
    await s.update(plain, name="x", if_=F.count == 1)
    await s.delete(plain, if_=F.name == "x")
    assert await s.find(Plain, id="1") is None


async def test_a_deletion_on_a_condition_allows_that_there_is_nothing(opened: Open) -> None:
    s = opened(Plain)
    await s.delete(Plain, id="1", if_=F.count > 5, missing_ok=True)
    with pytest.raises(ItemNotFound):
        await s.delete(Plain, id="1", if_=F.count > 5)


CONDITIONS: list[tuple[Any, bool]] = [
    (F.count == 7, True),
    (F.count != 7, False),
    (F.count < 8, True),
    (F.count.between(7, 9), True),
    (F.count.between(8, 9), False),
    (F.count.is_in([1, 7]), True),
    (F.count.is_in([1, 2]), False),
    (F.count.is_in([]), False),
    (F.count.is_in(range(250)), True),
    (F.count.is_in(range(100, 350)), False),
    (F.name.begins_with("An"), True),
    (F.name.contains("nn"), True),
    (F.name.not_contains("nn"), False),
    (F.tags.contains("x"), True),
    (F.tags.contains("z"), False),
    (F.lines.contains("b"), True),
    (F.lines[1] == "b", True),
    (F.lines[5] == "b", False),
    (F.box.k == 1, True),
    (F.box["k"] > 1, False),
    (F.note == None, True),  # noqa: E711 - a condition, not a comparison
    (F.note != None, False),  # noqa: E711 - a condition, not a comparison
    (F.note.not_exists(), True),
    (F.note.exists(), False),
    (F.name.exists(), True),
    (F.name.is_type("S"), True),
    (F.name.is_type("N"), False),
    (F.name.size() == 3, True),
    (F.lines.size() > 2, False),
    (F.tags.size().between(1, 2), True),
    ((F.count == 7) & (F.name == "Bob"), False),
    ((F.count == 7) | (F.name == "Bob"), True),
    (~(F.count == 7), False),
    (~((F.count == 8) | (F.name == "Bob")) & (F.count == 7), True),
    (((F.count == 8) & (F.name == "Ann")) | (F.count == 7), True),
    (~(F.count.is_in([1, 2]) | F.note.exists()), True),
    (F.name != F.note, True),
    (F.name == F.name, True),
    (F.lines.size() == F.tags.size(), True),
]


@pytest.mark.parametrize(("condition", "holds"), CONDITIONS)
async def test_every_kind_of_condition(opened: Open, condition: Any, holds: bool) -> None:
    s = opened(Plain)
    await s.create(Plain(id="1", name="Ann", count=7, tags={"x", "y"}, lines=["a", "b"], box={"k": 1}))
    if holds:
        await s.update(Plain, {"id": "1"}, name="changed", if_=condition)
    else:
        with pytest.raises(ConditionFailed):
            await s.update(Plain, {"id": "1"}, name="changed", if_=condition)


async def test_an_update_may_be_nothing_but_a_condition(opened: Open) -> None:
    s = opened(Plain)
    plain = await s.create(Plain(id="1", count=1))
    assert await s.update(plain, if_=F.count == 1) is plain
    with pytest.raises(ConditionFailed):
        await s.update(plain, if_=F.count == 2)


# -- versions ----------------------------------------------------------------------------------------------------------


async def test_the_version_counts_the_writes(opened: Open) -> None:
    s = opened(User)
    user = User(id="1")
    await s.create(user)
    assert user.version == 1
    await s.put(user)
    assert user.version == 2
    await s.update(user, name="Ann")
    assert user.version == 3
    assert await s.get(User, id="1") == user
    changed = await s.update(User, {"id": "1"}, logins=F.logins + 1)
    assert (changed.version, changed.logins) == (4, 1)


async def test_zero_is_a_guard(opened: Open) -> None:
    s = opened(User)
    await s.create(User(id="1", name="first"))
    stranger = User(id="1", name="second")
    for attempt in (s.put, s.delete):
        with pytest.raises(VersionConflict) as caught:
            await attempt(stranger)
        assert caught.value.item.name == "first"
    with pytest.raises(VersionConflict):
        await s.update(stranger, name="third")
    assert stranger == User(id="1", name="second")
    assert (await s.get(User, id="1")).name == "first"


async def test_a_stale_instance_never_overwrites_however_often_it_is_retried(opened: Open) -> None:
    s = opened(User)
    fresh = await s.create(User(id="1", name="first"))
    stale = await s.get(User, id="1")
    await s.update(fresh, name="second")
    before = stale.model_copy(deep=True)
    for _ in range(4):
        for attempt in (
            lambda: s.put(stale),
            lambda: s.update(stale, name="stale"),
            lambda: s.update(stale, F.logins.add(1)),
            lambda: s.delete(stale),
        ):
            with pytest.raises(VersionConflict) as caught:
                await attempt()
            assert caught.value.item == fresh
            assert stale == before
        with pytest.raises(ItemExists):
            await s.create(stale)
        assert stale == before
    assert await s.get(User, id="1") == fresh


async def test_a_deleted_item_is_not_resurrected(opened: Open) -> None:
    s = opened(User)
    user = await s.create(User(id="1"))
    other = await s.get(User, id="1")
    await s.delete(user)
    before = other.model_copy(deep=True)
    for attempt in (lambda: s.put(other), lambda: s.update(other, name="x"), lambda: s.delete(other)):
        with pytest.raises(ItemNotFound):
            await attempt()
        assert other == before
    assert await s.find(User, id="1") is None
    with pytest.raises(ItemNotFound):
        await s.update(User, {"id": "1"}, name="x")
    assert await s.find(User, id="1") is None


async def test_a_deleted_instance_can_be_created_again(opened: Open) -> None:
    s = opened(Plain)
    plain = await s.create(Plain(id="1", name="kept"))
    await s.delete(plain)
    await s.create(plain)
    assert await s.get(Plain, id="1") == plain


async def test_after_a_failure_the_instance_is_as_it_was(opened: Open) -> None:
    s = opened(User)
    user = await s.create(User(id="1", tags={"a"}))
    before = user.model_copy(deep=True)
    with pytest.raises(ConditionFailed):
        await s.update(user, name="x", tags=F.tags.add({"b"}), if_=F.logins > 0)
    with pytest.raises(ConditionFailed):
        await s.put(user, if_=F.logins > 0)
    assert user == before
    await s.update(user, name="x")
    assert user.version == before.version + 1


async def test_an_update_of_an_instance_stores_what_was_changed_on_it(opened: Open) -> None:
    s = opened(User)
    user = await s.create(User(id="1", name="Ann", email="a@x"))
    other = await s.get(User, id="1")
    user.name = "Bob"
    user.tags.add("t")
    user.email = None
    await s.update(user)
    stored = await s.get(User, id="1")
    assert stored == user
    assert (stored.name, stored.tags, stored.email, stored.version) == ("Bob", {"t"}, None, 2)
    assert other.name == "Ann"


async def test_an_update_that_changes_nothing_is_no_write(opened: Open) -> None:
    s = opened(User)
    user = await s.create(User(id="1"))
    assert await s.update(user) is user
    assert (await s.get(User, id="1")).version == 1


async def test_a_key_cannot_be_changed(opened: Open) -> None:
    s = opened(User)
    user = await s.create(User(id="1"))
    with pytest.raises(UsageError, match="part of the item's key"):
        await s.update(user, id="2")
    assert user.id == "1"


# -- timestamps --------------------------------------------------------------------------------------------------------


async def test_timestamps_are_kept(opened: Open, db: Database) -> None:
    clock = [DAY]
    db.now = lambda: clock[0]
    s = opened(User)
    user = await s.create(User(id="1"))
    assert (user.created_at, user.updated_at) == (DAY, DAY)
    clock[0] = DAY + timedelta(microseconds=1)
    await s.update(user, name="x")
    assert (user.created_at, user.updated_at) == (DAY, clock[0])
    clock[0] += timedelta(seconds=1)
    by_key = await s.update(User, {"id": "1"}, name="y")
    assert (by_key.created_at, by_key.updated_at) == (DAY, clock[0])
    user = await s.get(User, id="1")
    clock[0] += timedelta(seconds=1)
    await s.put(user)
    assert (user.created_at, user.updated_at) == (DAY, clock[0])
    assert await s.get(User, id="1") == user


class Session_(Model, table="sessions"):
    id: PartitionKey[str]
    expires: TTL = None
    made: CreatedAt = None


async def test_a_time_to_live_is_whole_seconds(opened: Open) -> None:
    s = opened(Session_)
    item = await s.create(Session_(id="1", expires=DAY + timedelta(days=9000, milliseconds=1999)))
    assert item.expires == DAY + timedelta(days=9000, seconds=1)
    assert await s.get(Session_, id="1") == item
    with pytest.raises(ConditionFailed) as caught:
        await s.put(item, if_=F.expires.is_type("S"))
    assert caught.value.wire_item is not None
    assert caught.value.wire_item["expires"] == {"N": str(int((DAY + timedelta(days=9000, seconds=1)).timestamp()))}
    await s.update(item, expires=None)
    assert (await s.get(Session_, id="1")).expires is None
    with pytest.raises(InvalidValue, match="time zone"):
        await s.create(Session_(id="2", expires=datetime(2030, 1, 1)))  # noqa: DTZ001 - naive on purpose


# -- upserts -----------------------------------------------------------------------------------------------------------


async def test_an_upsert_makes_an_item_that_is_read_back(opened: Open) -> None:
    s = opened(User, Plain)
    made = await s.update(User, {"id": "1"}, logins=F.logins.if_not_exists(0) + 1, upsert=True)
    assert (made.id, made.logins, made.version, made.created_at) == ("1", 1, 1, made.updated_at)
    again = await s.update(User, {"id": "1"}, logins=F.logins.if_not_exists(0) + 1, upsert=True)
    assert (again.logins, again.version, again.created_at) == (2, 2, made.created_at)
    assert await s.get(User, id="1") == again
    plain = await s.update(Plain, {"id": "1"}, F.count.add(2), upsert=True)
    assert (plain.id, plain.count) == ("1", 2)


# -- what a stored item may look like ----------------------------------------------------------------------------------


class Old(Model, table="shapes"):
    id: PartitionKey[str]
    name: str
    left: str = "over"


class New(Model, table="shapes"):
    id: PartitionKey[str]
    name: str
    since: int = 7
    more: list[str] = Field(default_factory=list)


class Open_(Model, table="shapes", extra="allow"):
    id: PartitionKey[str]


async def test_items_of_other_shapes_are_read_by_pydantics_rules(opened: Open) -> None:
    s = opened(Old)
    await s.create(Old(id="1", name="n"))
    new = await s.get(New, id="1")
    assert new == New(id="1", name="n", since=7)
    anything = await s.get(Open_, id="1")
    assert anything.model_extra == {"name": "n", "left": "over"}


async def test_an_update_leaves_attributes_alone_that_the_model_does_not_know(opened: Open) -> None:
    s = opened(Old)
    await s.create(Old(id="1", name="n", left="kept"))
    new = await s.get(New, id="1")
    new.more.append("x")
    await s.update(new, name="m")
    assert await s.get(Old, id="1") == Old(id="1", name="m", left="kept")


async def test_extra_attributes_can_be_changed(opened: Open) -> None:
    s = opened(Old)
    await s.create(Open_(id="1", color="red", size=3))
    item = await s.get(Open_, id="1")
    item.color = "blue"  # type: ignore[attr-defined]  # extra="allow"
    del item.size  # type: ignore[attr-defined]  # extra="allow"
    await s.update(item, F.weight.set(2))
    stored = await s.get(Open_, id="1")
    assert stored.model_extra == {"color": "blue", "weight": 2}
    assert item == stored
    with pytest.raises(ConditionFailed):
        await s.delete(item, if_=F.color == "red")
    await s.delete(item, if_=F.color == "blue")
