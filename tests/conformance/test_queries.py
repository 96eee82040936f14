"""Queries on tables and indexes: conditions, order, limits, pages."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import (
    CursorInvalid,
    CursorQueryMismatch,
    CursorTenantMismatch,
    F,
    ItemNotFound,
    QueryError,
    TransactionConditionFailed,
    UsageError,
    VersionConflict,
)

from .conftest import session_of
from .models import DAY, Note, Order, Plain, Reading, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Database, Session

    Open = Callable[..., Session]


async def texts(query: Any) -> list[str]:
    return [item.text async for item in query]


async def notes(s: Session, count: int = 5) -> None:
    for n in range(count):
        await s.create(Note(owner="ann", written=DAY + timedelta(days=n), text=str(n)))
    await s.create(Note(owner="bob", written=DAY, text="bob's"))


async def test_conditions_on_the_sort_key(opened: Open) -> None:
    s = opened(Note)
    await notes(s)
    ann = s.query(Note).where(owner="ann")
    day = [DAY + timedelta(days=n) for n in range(5)]
    assert await texts(ann) == ["0", "1", "2", "3", "4"]
    assert await texts(ann.order_by("-written")) == ["4", "3", "2", "1", "0"]
    assert await texts(ann.where(F.written == day[2])) == ["2"]
    assert await texts(ann.where(F.written > day[2])) == ["3", "4"]
    assert await texts(ann.where(F.written >= day[2])) == ["2", "3", "4"]
    assert await texts(ann.where(F.written < day[2])) == ["0", "1"]
    assert await texts(ann.where(F.written <= day[2])) == ["0", "1", "2"]
    assert await texts(ann.where(F.written.between(day[1], day[3]))) == ["1", "2", "3"]
    assert await texts(ann.where(F.written > day[0], F.written < day[3])) == ["1", "2"]
    assert await texts(ann.where(F.written > day[0]).where(F.written >= day[2], F.written <= day[3])) == ["2", "3"]
    assert await texts(ann.where(F.written.between(day[3], day[1]))) == []
    assert await texts(ann.where(F.written > day[3], F.written < day[1])) == []
    assert await texts(ann.where(F.written != day[2])) == ["0", "1", "3", "4"]
    assert await texts(ann.where(F.written.is_in([day[0], day[4]]))) == ["0", "4"]
    assert await texts(ann.where("written", ">", day[3])) == ["4"]
    assert await texts(ann.where("written", "between", [day[0], day[1]])) == ["0", "1"]
    assert await texts(ann.where(F.text > "2")) == ["3", "4"]
    assert await texts(ann.where((F.text == "1") | (F.written == day[4]))) == ["1", "4"]
    assert await texts(ann.where(F.written.begins_with("2026-01-0"), F.text != "0").limit(2)) == ["1", "2"]
    assert await texts(s.query(Note).where(owner="nobody")) == []


async def test_ranges_of_numbers(opened: Open) -> None:
    s = opened(Reading)
    values = [-100, -20, -3, 0, 4, 50, 600]
    for value in values:
        await s.create(Reading(sensor="s", value=value, place=f"p{value % 2}"))
    asked = s.query(Reading).where(sensor="s")
    for low in (-21, -20, 0, 5):
        assert [r.value async for r in asked.where(F.value > low)] == [v for v in values if v > low]
        assert [r.value async for r in asked.where(F.value <= low)] == [v for v in values if v <= low]
        assert [r.value async for r in asked.where(F.value.between(low, 50))] == [v for v in values if low <= v <= 50]
    assert [r.value async for r in asked.where(F.value > 0, place="p0")] == [4, 50, 600]


async def test_a_range_on_a_part_of_a_template(opened: Open) -> None:
    s = opened(Order)
    amounts = [-10.5, -1.0, 0.0, 0.25, 1.0, 10.0, 10.5, 200.0]
    for n, amount in enumerate(amounts):
        await s.create(Order(user="u", number=n, amount=amount))
        await s.create(Order(user="u", number=n + 100, amount=amount))
    asked = s.query(Order).where(user="u")
    for low in (-1.0, 0.0, 0.25, 10.0, 11.0):
        cases: list[tuple[Any, Any]] = [
            (F.amount > low, lambda a, low=low: a > low),
            (F.amount >= low, lambda a, low=low: a >= low),
            (F.amount < low, lambda a, low=low: a < low),
            (F.amount <= low, lambda a, low=low: a <= low),
            (F.amount == low, lambda a, low=low: a == low),
            (F.amount.between(low, 10.25), lambda a, low=low: low <= a <= 10.25),
        ]
        for test, holds in cases:
            expected = [a for a in amounts if holds(a) for _ in range(2)]
            assert [o.amount async for o in asked.where(test)] == expected
    assert [o.number async for o in asked.where(F.amount == 10.0, F.number > 50)] == [105]


async def test_one_table_holds_several_models(opened: Open) -> None:
    s = opened(User, Order)
    user = await s.create(User(id="u"))
    order = await s.create(Order(user="u", number=1, amount=5.0))
    assert await s.query(User).where(id="u").all() == [user]
    assert await s.query(Order).where(user="u").all() == [order]
    assert await s.query(Order).where(user="u").count() == 1


async def team(s: Session, count: int = 12) -> list[User]:
    users = [User(id=f"{n:02}", team="red", joined=DAY + timedelta(days=n // 3), logins=n % 4) for n in range(count)]
    shuffled = users[:]
    random.Random(7).shuffle(shuffled)
    for user in shuffled:
        await s.create(user)
    await s.create(User(id="other", team="blue"))
    return users


async def test_a_global_index(opened: Open) -> None:
    s = opened(User)
    users = await team(s)
    found = await s.query(User).where(team="red").all()
    assert sorted(u.id for u in found) == [u.id for u in users]
    assert [u.joined for u in found] == sorted(u.joined for u in users)
    late = await s.query(User).where(F.team == "red", F.joined >= DAY + timedelta(days=2)).order_by("-joined").all()
    assert [u.joined for u in late] == sorted((u.joined for u in users[6:]), reverse=True)
    assert {u.id for u in late} == {u.id for u in users[6:]}
    assert await s.query(User).where(team="red", logins=3).count() == 3
    assert found[0] in users
    with pytest.raises(QueryError, match="consistently"):
        await s.query(User).where(team="red").consistent().all()
    with pytest.raises(QueryError, match="no index answers"):
        await s.query(User).where(F.logins > 1).all()


async def test_limits_and_verbs(opened: Open) -> None:
    s = opened(Note)
    await notes(s)
    ann = s.query(Note).where(owner="ann")
    assert await texts(ann.limit(2)) == ["0", "1"]
    assert await texts(ann.limit(99)) == ["0", "1", "2", "3", "4"]
    assert await texts(ann.where(F.text > "1").limit(2)) == ["2", "3"]
    first = await ann.order_by("-written").first()
    assert first is not None
    assert first.text == "4"
    assert (await ann.count(), await ann.limit(3).count(), await ann.where(F.text > "2").count()) == (5, 3, 2)
    assert (await ann.where(text="3").one()).text == "3"
    nobody = s.query(Note).where(owner="nobody")
    assert await nobody.first() is None
    assert await nobody.one_or_none() is None
    assert await nobody.count() == 0
    with pytest.raises(ItemNotFound):
        await nobody.one()
    with pytest.raises(QueryError, match=r"^one\(\): several"):
        await ann.one()
    with pytest.raises(QueryError, match=r"^one_or_none\(\): several"):
        await ann.one_or_none()
    for wrong in (0, -1, True, "3"):
        with pytest.raises(UsageError):
            ann.limit(wrong)  # type: ignore[arg-type]  # on purpose


async def test_a_query_left_early_can_be_asked_again(opened: Open) -> None:
    s = opened(Note)
    await notes(s)
    asked = s.query(Note).where(owner="ann").limit(4)
    seen = []
    async for note in asked:
        seen.append(note.text)
        if len(seen) == 2:
            break
    assert seen == ["0", "1"]
    assert await texts(asked) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 11, 12, 13])
@pytest.mark.parametrize("which", ["table", "index", "filter", "descending"])
async def test_pages_hold_every_item_once(opened: Open, size: int, which: str) -> None:
    s = opened(User, Note)
    query: Any
    if which == "table":
        await notes(s, 12)
        query = s.query(Note).where(owner="ann")
    else:
        await team(s)
        query = s.query(User).where(team="red")
        query = query.where(F.logins > 0) if which == "filter" else query
        query = query.order_by("-joined") if which == "descending" else query
    everything = await query.all()
    paged: list[Any] = []
    cursor = None
    for _ in range(20):
        page = await query.limit(size).page(cursor)
        paged += page
        cursor = page.cursor
        if cursor is None:
            break
        assert len(page) == size
        assert cursor.replace("-", "").replace("_", "").isalnum()
    assert paged == everything


async def test_a_cursor_is_bound_to_its_query_and_tenant(opened: Open, db: Database, way: str) -> None:
    s = opened(Note, User, tenant="a")
    await notes(s)
    ann = s.query(Note).where(owner="ann").limit(2)
    cursor = (await ann.page()).cursor
    assert cursor is not None
    assert [n.text for n in await ann.page(cursor)] == ["2", "3"]
    assert [n.text for n in await ann.limit(3).page(cursor)] == ["2", "3", "4"]
    other = session_of(db, way, tenant="b")
    for foreign in (
        s.query(Note).where(owner="bob"),
        ann.order_by("-written"),
        ann.where(F.text > "0"),
        ann.where(F.written > DAY),
        ann.where(F.text.is_in([str(n) for n in range(2000)])),
        s.query(User).where(id="ann"),
    ):
        with pytest.raises(CursorQueryMismatch):
            await foreign.page(cursor)
    with pytest.raises(CursorTenantMismatch):
        await other.query(Note).where(owner="ann").page(cursor)
    for damaged in (cursor[:-1], cursor + "A", "A" + cursor[1:], "x", "ä", "=", cursor[::-1]):
        with pytest.raises(CursorInvalid):
            await ann.page(damaged)
    assert [n.text for n in await ann.page("")] == ["0", "1"]


async def test_a_query_reads_more_than_one_megabyte(opened: Open) -> None:
    s = opened(Note)
    for n in range(9):
        await s.create(Note(owner="ann", written=DAY + timedelta(days=n), text=str(n) * 200_000))
    asked = s.query(Note).where(owner="ann")
    assert [note.text[0] async for note in asked] == [str(n) for n in range(9)]
    assert await asked.count() == 9
    assert [note.text[0] async for note in asked.where(F.text.begins_with("8"))] == ["8"]
    assert [note.text[0] for note in await asked.limit(8).page()] == [str(n) for n in range(8)]


async def test_a_table_without_a_sort_key(opened: Open) -> None:
    s = opened(Plain)
    await s.create(Plain(id="1", count=1))
    assert await s.query(Plain).where(id="1").count() == 1
    assert await s.query(Plain).where(F.id == "1", F.count > 1).all() == []


# -- what is over, hooks, transactions ---------------------------------------------------------------------------------


async def test_an_item_whose_time_is_over_is_absent(opened: Open) -> None:
    s = opened(User)
    for n in range(6):
        expires = DAY - timedelta(days=3000) if n % 2 else None
        await s.put(User(id=f"{n}", team="red", joined=DAY + timedelta(days=n), expires_at=expires))
    red = s.query(User).where(team="red")
    assert [user.id async for user in red] == ["0", "2", "4"]
    assert [user.id async for user in red.only("logins")] == ["0", "2", "4"]
    assert await red.count() == 3
    first = await red.order_by("-joined").first()
    assert first is not None
    assert first.id == "4"
    page = await red.limit(2).page()
    assert [user.id for user in page] == ["0", "2"]
    assert [user.id for user in await red.limit(2).page(page.cursor)] == ["4"]
    assert (await red.limit(3).page()).cursor is None
    everyone = red.include_expired()
    assert [user.id async for user in everyone] == [str(n) for n in range(6)]
    assert [user.id async for user in everyone.only("logins")] == [str(n) for n in range(6)]
    assert await everyone.count() == 6
    assert len(await everyone.limit(9).page()) == 6
    assert await s.query(User).where(id="1").one_or_none() is None
    async with s.transaction():
        await s.put(User(id="7", team="red", expires_at=DAY - timedelta(days=3000)))
        assert await red.count() == 3
        assert await everyone.count() == 7


async def test_hooks_see_what_a_query_gives_and_nothing_else(opened: Open, db: Database) -> None:
    seen: list[str] = []

    @db.after_read(Note)
    def mark(note: Note) -> None:
        seen.append(note.text)
        note.text += "!"

    s = opened(Note)
    await notes(s)
    ann = s.query(Note).where(owner="ann")
    assert await texts(ann.limit(2)) == ["0!", "1!"]
    async for note in ann:
        assert note.text == "0!"
        break
    first = await ann.first()
    assert first is not None
    assert first.text == "0!"
    assert [note.text for note in await ann.where(F.text > "0").limit(2).page()] == ["1!", "2!"]
    assert await ann.count() == 5
    assert await texts(ann.where(F.text > "2").only("text")) == ["3!", "4!"]
    assert seen == ["0", "1", "0", "0", "1", "2", "3", "4"]
    await s.update(first)
    assert (await s.find(Note, owner="ann", written=DAY)) == first


@pytest.mark.parametrize(
    "read",
    [
        lambda q: q.all(),
        lambda q: q.page(),
        lambda q: q.count(),
        lambda q: q.only("logins").all(),
        lambda q: q.only("name").where(F.logins == 0).all(),
        lambda q: q.where(F.logins == 0).count(),
    ],
)
async def test_what_a_serializable_transaction_has_queried_must_stay(
    opened: Open, db: Database, way: str, read: Any
) -> None:
    s, other = opened(User, Plain), session_of(db, way)
    await s.put(User(id="1"))
    with pytest.raises((VersionConflict, TransactionConditionFailed)):
        async with s.transaction(isolation="serializable"):
            await read(s.query(User).where(id="1"))
            await s.put(Plain(id="1"))
            await other.update(User, {"id": "1"}, logins=7)
    assert await s.find(Plain, id="1") is None
    async with s.transaction(isolation="serializable"):
        await read(s.query(User).where(id="1"))
        await s.put(Plain(id="1"))
    async with s.transaction():
        await read(s.query(User).where(id="1"))
        await s.put(Plain(id="2"))
        await other.update(User, {"id": "1"}, logins=8)
    assert await s.find(Plain, id="2") is not None


async def test_a_serializable_transaction_notes_what_it_was_given_and_no_more(
    opened: Open, db: Database, way: str
) -> None:
    s, other = opened(Note, Plain), session_of(db, way)
    await notes(s)
    async with s.transaction(isolation="serializable"):
        assert await texts(s.query(Note).where(owner="ann").limit(2)) == ["0", "1"]
        async for note in s.query(Note).where(owner="ann").order_by("-written"):
            assert note.text == "4"
            break
        await s.put(Plain(id="1"))
        await other.put(Note(owner="ann", written=DAY + timedelta(days=2), text="changed"))
    with pytest.raises(VersionConflict):
        async with s.transaction(isolation="serializable"):
            async for _ in s.query(Note).where(owner="ann").order_by("-written"):
                break
            await s.put(Plain(id="2"))
            await other.put(Note(owner="ann", written=DAY + timedelta(days=4), text="changed"))


async def test_conditions_that_a_serializable_transaction_has_queried_by_must_stay(
    opened: Open, db: Database, way: str
) -> None:
    """Without a version it is the attributes that tell, also those that are not given."""
    s, other = opened(Note, Plain), session_of(db, way)
    await notes(s)
    ann = s.query(Note).where(owner="ann")
    day = [DAY + timedelta(days=n) for n in range(3)]
    cases: list[tuple[Any, Any]] = [
        (lambda: ann.where(text="0").only("written").all(), lambda: other.put(Note(owner="ann", written=day[0]))),
        (lambda: ann.where(text="1").count(), lambda: other.put(Note(owner="ann", written=day[1]))),
        (lambda: ann.where(F.written <= day[2]).count(), lambda: other.delete(Note, owner="ann", written=day[2])),
    ]
    for n, (read, write) in enumerate(cases):
        with pytest.raises(VersionConflict):
            async with s.transaction(isolation="serializable"):
                await read()
                await s.put(Plain(id=f"{n}"))
                await write()
        assert await s.find(Plain, id=f"{n}") is None


async def test_own_writes_are_no_reads_of_a_serializable_transaction(opened: Open) -> None:
    s = opened(User, Note)
    await s.put(User(id="1", team="red"))
    async with s.transaction(isolation="serializable"):
        await s.put(Note(owner="ann", written=DAY, text="new"))
        assert await texts(s.query(Note).where(owner="ann")) == ["new"]
        await s.update(User, {"id": "1"}, logins=F.logins + 1)
        await s.put(User(id="2", team="red"))
        assert {user.id: user.logins async for user in s.query(User).where(team="red")} == {"1": 1, "2": 0}
        assert await s.query(User).where(team="red").only("name").count() == 2
    assert (await s.get(User, id="1")).logins == 1
