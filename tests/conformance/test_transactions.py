"""Transactions: all or nothing, seen by their own reads, two writes to one item made one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import (
    ConditionFailed,
    F,
    ItemExists,
    ItemNotFound,
    TransactionConditionFailed,
    TransactionTooLarge,
    UsageError,
    VersionConflict,
)

from .models import DAY, Counter, Note, Order, Plain, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Session

    Open = Callable[..., Session]


async def test_everything_is_written_at_the_end(opened: Open) -> None:
    s = opened(User, Plain)
    changed, gone = await s.create(User(id="changed")), await s.create(User(id="gone"))
    other = opened(User)
    async with s.transaction():
        await s.create(User(id="new"))
        await s.put(Plain(id="put"))
        await s.update(changed, name="x")
        await s.delete(gone)
        assert await other.find(User, id="new") is None
        assert await other.find(User, id="gone")
    assert (await other.get(User, id="new")).version == 1
    assert await other.get(User, id="changed") == changed
    assert (changed.name, changed.version) == ("x", 2)
    assert await other.find(User, id="gone") is None
    assert await other.find(Plain, id="put") == Plain(id="put")


async def test_an_exception_writes_nothing_and_gives_instances_back(opened: Open) -> None:
    s = opened(User)
    kept = await s.create(User(id="kept", tags={"a"}))
    before = kept.model_copy(deep=True)
    new = User(id="new")
    with pytest.raises(ZeroDivisionError):
        async with s.transaction():
            await s.create(new)
            await s.update(kept, name="x", tags=F.tags.add({"b"}))
            await s.update(kept, logins=5)
            assert (kept.version, kept.tags, new.version) == (3, {"a", "b"}, 1)
            raise ZeroDivisionError
    assert (kept, new) == (before, User(id="new"))
    assert await s.find(User, id="new") is None
    assert await s.get(User, id="kept") == kept
    await s.update(kept, name="y")
    await s.create(new)


async def test_reads_see_the_writes(opened: Open) -> None:
    s = opened(User)
    old = await s.create(User(id="old", team="red", joined=DAY))
    await s.create(User(id="gone", team="red", joined=DAY + timedelta(1)))
    async with s.transaction():
        assert await s.get(User, id="old") == old
        await s.create(User(id="new", team="red", joined=DAY - timedelta(1)))
        await s.delete(User, id="gone")
        await s.update(old, joined=DAY - timedelta(2))
        assert await s.get(User, id="old") == old
        assert (await s.get(User, id="new")).version == 1
        assert await s.find(User, id="gone") is None
        inside = await s.query(User).where(team="red").all()
        assert [u.id for u in inside] == ["old", "new"]
        assert [u.id async for u in s.query(User).where(team="red").order_by("-joined")] == ["new", "old"]
        assert await s.query(User).where(team="red").count() == 2
        page = await s.query(User).where(team="red").limit(1).page()
        assert [u.id for u in page] == ["old"]
        assert [u.id for u in await s.query(User).where(team="red").limit(1).page(page.cursor)] == ["new"]
    assert await s.query(User).where(team="red").all() == inside


async def test_two_writes_to_one_item_become_one(opened: Open) -> None:
    s = opened(User, Plain)
    plain = await s.create(Plain(id="1", count=1, tags={"a"}))
    async with s.transaction():
        user = await s.create(User(id="1"))
        await s.update(user, name="x")
        await s.update(user, logins=F.logins + 1)
        await s.put(user)
        assert user.version == 4
        await s.update(plain, count=F.count + 1)
        await s.update(Plain, {"id": "1"}, count=F.count + 2)
        await s.update(Plain, {"id": "1"}, F.tags.add({"b"}))
        await s.update(Plain, {"id": "1"}, name="n")
        await s.update(Plain, {"id": "1"}, name="m", note="x")
        await s.update(Plain, {"id": "1"}, note=None)
        await s.create(Plain(id="2"))
        await s.delete(Plain, id="2")
        with pytest.raises(ItemExists):
            await s.create(Plain(id="1"))
        with pytest.raises(ItemNotFound):
            await s.update(Plain, {"id": "2"}, name="x")
    assert await s.get(User, id="1") == user
    assert (user.name, user.logins) == ("x", 1)
    assert await s.get(Plain, id="1") == Plain(id="1", count=4, tags={"a", "b"}, name="m")
    assert await s.find(Plain, id="2") is None


async def test_a_stale_instance_cancels(opened: Open) -> None:
    s = opened(User)
    fresh = await s.create(User(id="1"))
    stale = await s.get(User, id="1")
    await s.update(fresh, name="fresh")
    before = stale.model_copy(deep=True)
    new = User(id="2")
    for attempt in (lambda: s.update(stale, name="x"), lambda: s.put(stale), lambda: s.delete(stale)):
        with pytest.raises(TransactionConditionFailed) as caught:
            async with s.transaction():
                await s.create(new)
                await attempt()
        assert isinstance(caught.value.reasons[1], VersionConflict)
        assert caught.value.reasons[0] is None
        assert caught.value.item == fresh
        assert (stale, new) == (before, User(id="2"))
    assert await s.get(User, id="1") == fresh
    assert await s.find(User, id="2") is None


async def test_reasons_come_in_the_callers_order(opened: Open) -> None:
    s = opened(User, Plain, Counter)
    await s.create(Plain(id="1", count=1))
    gone = await s.create(User(id="gone"))
    await s.delete(User, id="gone")
    await s.create(Counter(number=5))
    with pytest.raises(TransactionConditionFailed) as caught:
        async with s.transaction():
            await s.create(Counter(number=6))
            await s.create(Counter(number=5))
            await s.delete(Plain, id="1", if_=F.count > 5)
            await s.put(Plain(id="fine"))
            await s.update(gone, name="x")
    first, second, third, fourth, fifth = caught.value.reasons
    assert (first, fourth) == (None, None)
    assert isinstance(second, ItemExists)
    assert second.item == Counter(number=5)
    assert type(third) is ConditionFailed
    assert third.item == Plain(id="1", count=1)
    assert isinstance(fifth, ItemNotFound)
    assert isinstance(caught.value, ConditionFailed)
    assert caught.value.item == Counter(number=5)
    assert await s.find(Counter, number=6) is None
    assert await s.find(Plain, id="fine") is None


async def test_a_hundred_operations_and_no_more(opened: Open) -> None:
    s = opened(Counter)
    async with s.transaction():
        for number in range(100):
            await s.put(Counter(number=number))
        await s.update(Counter, {"number": 99}, hits=1)
        with pytest.raises(TransactionTooLarge, match="101"):
            await s.put(Counter(number=100))
    assert (await s.get(Counter, number=99)).hits == 1
    assert await s.find(Counter, number=0)
    assert await s.find(Counter, number=100) is None


async def test_more_than_four_megabytes_are_refused(opened: Open) -> None:
    s = opened(Note)
    with pytest.raises(TransactionTooLarge, match="bytes"):
        async with s.transaction():
            for n in range(12):
                await s.put(Note(owner="a", written=DAY + timedelta(n), text="x" * 380_000))
    assert await s.query(Note).where(owner="a").count() == 0


async def test_a_block_inside_a_block_takes_back_its_own(opened: Open) -> None:
    s = opened(User)
    user = await s.create(User(id="1"))
    async with s.transaction():
        await s.update(user, name="outer")
        with pytest.raises(ZeroDivisionError):
            async with s.transaction():
                await s.update(user, name="inner")
                await s.create(User(id="2"))
                raise ZeroDivisionError
        assert (user.name, user.version) == ("outer", 2)
        assert await s.find(User, id="2") is None
        async with s.transaction():
            await s.create(User(id="3"))
    assert await s.get(User, id="1") == user
    assert user.name == "outer"
    assert await s.find(User, id="2") is None
    assert await s.find(User, id="3")


async def test_begin_commit_rollback(opened: Open) -> None:
    s = opened(Plain)
    s.begin()
    await s.create(Plain(id="1"))
    s.rollback()
    assert await s.find(Plain, id="1") is None
    s.begin()
    await s.create(Plain(id="1"))
    await s.commit()
    assert await s.find(Plain, id="1")
    await s.commit()


async def test_the_end_of_the_session_commits(opened: Open) -> None:
    s = opened(Plain)
    async with s:
        s.begin()
        await s.create(Plain(id="1"))
    assert await s.find(Plain, id="1")
    with pytest.raises(ZeroDivisionError):
        async with s:
            s.begin()
            await s.create(Plain(id="2"))
            raise ZeroDivisionError
    assert await s.find(Plain, id="2") is None


MERGES: list[tuple[str, list[Any]]] = [
    ("set after set", [{"count": 5}, {"count": 7}]),
    ("sum after sum", [{"count": F.count + 5}, {"count": F.count - 2}, {"count": F.count + 1}]),
    ("sum after set", [{"count": 5}, {"count": F.count + 2}]),
    ("set after sum", [{"count": F.count + 5}, {"count": 2}]),
    ("add after add", [{"count": F.count.add(5)}, {"count": F.count.add(-2)}]),
    ("add to a set twice", [{"tags": F.tags.add({"b"})}, {"tags": F.tags.add({"c"})}]),
    ("take out after set", [{"tags": {"x", "y"}}, {"tags": F.tags.delete({"x"})}]),
    ("append after set", [{"lines": ["x"]}, {"lines": F.lines.append(["y"])}]),
    ("append twice", [{"lines": F.lines.append(["x"])}, {"lines": F.lines.append(["y"])}]),
    ("remove after set", [{"note": "x"}, {"note": None}]),
    ("set after remove", [{"note": None}, {"note": "x"}]),
    ("nested side by side", [{"box": F.box.a.set(1)}, {"box": F.box.b.set(2)}]),
    ("nested after the whole", [{"box": {"k": 1, "a": 2}}, {"box": F.box.k.set(9)}]),
    ("the whole after nested", [{"box": F.box.k.set(9)}, {"box": {"a": 2}}]),
    ("copy of what was set", [{"name": "new"}, {"note": F.name}]),
    ("set of what was copied", [{"note": F.name}, {"name": "new"}]),
    ("copy of what was calculated", [{"count": F.count + 1}, {"count": F.count}]),
    ("delete from a set after add", [{"tags": F.tags.add({"b"})}, {"tags": F.tags.delete({"a", "b"})}]),
    ("default after remove", [{"note": None}, {"note": F.note.if_not_exists("d")}]),
    ("twice into a list", [{"lines": F.lines[0].set("x")}, {"lines": F.lines[0].set("y")}]),
    ("remove an element, then set one", [{"lines": F.lines[0].remove()}, {"lines": F.lines[1].set("y")}]),
    ("set behind the end twice", [{"lines": F.lines[9].set("x")}, {"lines": F.lines[9].set("y")}]),
    ("remove an element twice", [{"lines": F.lines[0].remove()}, {"lines": F.lines[0].remove()}]),
]


@pytest.mark.parametrize("changes", [m[1] for m in MERGES], ids=[m[0] for m in MERGES])
async def test_merged_updates_leave_what_single_ones_leave(opened: Open, changes: list[dict[str, Any]]) -> None:
    """Either refused, or the item is the one that the same updates leave one by one."""
    s = opened(Plain)
    start = {"count": 10, "tags": {"a"}, "lines": ["l", "m", "n"], "box": {"k": 0}, "name": "old", "note": "n"}
    for key in ("1", "2"):
        await s.create(Plain(id=key, **start))
    for change in changes:
        await s.update(Plain, {"id": "1"}, **change)
    one_by_one = (await s.get(Plain, id="1")).model_copy(update={"id": "2"})
    try:
        async with s.transaction():
            for change in changes:
                shown = await s.update(Plain, {"id": "2"}, **change)
    except UsageError as error:
        assert "cannot be made one operation" in str(error)  # noqa: PT017 - refused or done, both are allowed
        assert await s.get(Plain, id="2") == Plain(id="2", **start)
    else:
        assert await s.get(Plain, id="2") == one_by_one == shown


async def test_an_order_across_models(opened: Open) -> None:
    s = opened(User, Order)
    user = await s.create(User(id="u"))
    async with s.transaction():
        await s.create(Order(user="u", number=1, amount=2.0))
        await s.update(user, logins=F.logins + 1, if_=F.logins < 5)
        assert await s.query(Order).where(user="u").count() == 1
    assert user.logins == 1
    with pytest.raises(TransactionConditionFailed):
        async with s.transaction():
            await s.create(Order(user="u", number=1, amount=2.0))
            await s.update(user, logins=F.logins + 1)
    assert user.logins == 1
    assert await s.get(User, id="u") == user


async def test_two_upserts_of_one_item(opened: Open) -> None:
    s = opened(User)
    async with s.transaction():
        await s.update(User, {"id": "1"}, name="a", upsert=True)
        user = await s.update(User, {"id": "1"}, F.tags.add({"x"}), upsert=True)
        assert (user.name, user.tags, user.version) == ("a", {"x"}, 2)
    assert await s.get(User, id="1") == user
    assert user.created_at is not None
