"""Less than whole items: partial instances, smaller models, indexes that hold only a part."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from lift_dynamorm import (
    GSI,
    LSI,
    TTL,
    Database,
    F,
    Model,
    PartitionKey,
    QueryError,
    SortKey,
    UpdatedAt,
    UsageError,
    Version,
    VersionConflict,
)

from .conftest import session_of
from .models import DAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Session

    Open = Callable[..., Session]


class Address(BaseModel):
    street: str
    city: str


class Member(
    Model,
    table="app",
    pk="MEMBER#{id}",
    sk="PROFILE",
    indexes=[
        GSI("by_email", pk="EMAIL#{email}", projection="KEYS_ONLY"),
        GSI("by_team", pk="TEAM#{team}", sk="{joined}", projection=["name", "version"]),
    ],
):
    id: str
    email: str | None = None
    team: str | None = None
    name: str = ""
    logins: int = 0
    joined: datetime = DAY
    address: Address | None = None
    version: Version = 0
    updated_at: UpdatedAt = None


class Stock(
    Model,
    table="stock",
    indexes=[
        GSI("by-shelf", pk=F.shelf, sk=F.left, projection="KEYS_ONLY"),
        LSI("by-left", sk=F.left, projection=["sku"]),
    ],
):
    shop: PartitionKey[str]
    sku: SortKey[str]
    shelf: str
    left: int
    note: str = ""
    expires_at: TTL = None


async def members(s: Session, count: int = 7) -> list[Member]:
    home = Address(street="s", city="c")
    return [
        await s.create(
            Member(
                id=f"{n}#", email=f"e{n % 3}", team="red", name=f"n{n}", joined=DAY + timedelta(days=n), address=home
            )
        )
        for n in range(count)
    ]


async def stock(s: Session, count: int = 8, **values: Any) -> list[Stock]:
    items = [Stock(shop="s", sku=f"k{n}", shelf="x", left=count - n, **values) for n in range(count)]
    return [await s.put(item) for item in items]


# -- partial instances and smaller models ------------------------------------------------------------------------------


async def test_partial_instances(opened: Open) -> None:
    s = opened(Member)
    one, *_ = await members(s)
    found = await s.query(Member).where(id=one.id).only("name", "address").one()
    assert found.model_fields_set == {"id", "name", "address"}
    assert (found.id, found.name, found.address) == ("0#", "n0", one.address)
    with pytest.raises(AttributeError, match="`email` of this Member was not read"):
        _ = found.email
    with pytest.raises(UsageError, match="partial"):
        await s.update(found, name="x")
    streamed = [member.name async for member in s.query(Member).where(id=one.id).only("name")]
    assert streamed == ["n0"]


async def test_a_smaller_model(opened: Open) -> None:
    class Place(BaseModel):
        city: str

    class Small(BaseModel):
        name: str
        address: Place | None

    s = opened(Member)
    await members(s, 2)
    small = Small(name="n1", address=Place(city="c"))
    query = s.query(Member).where(id="1#").only(Small)
    assert await query.all() == [small]
    assert await query.one() == small
    assert (await query.page()).items == [small]
    assert [each async for each in query] == [small]


async def test_conditions_look_at_what_is_not_given(opened: Open) -> None:
    s = opened(Stock)
    await stock(s)
    query = (
        s.query(Stock)
        .where(F.shop == "s", F.sku != "k0", F.left > 3, F.note.not_exists() | (F.note == ""))
        .only("shelf")
    )
    found = await query.all()
    assert [each.sku for each in found] == ["k1", "k2", "k3", "k4"]
    assert found[0].model_fields_set == {"shop", "sku", "shelf"}


async def test_pages_of_partial_instances(opened: Open) -> None:
    s = opened(Stock)
    items = await stock(s)
    query = s.query(Stock).where(F.shop == "s", F.left != 5).order_by("-sku")
    paged: list[str] = []
    cursor = None
    while True:
        page = await query.only("left").limit(2).page(cursor)
        paged += [f"{each.sku}:{each.left}" for each in page]
        cursor = page.cursor
        if cursor is None:
            break
        # A cursor goes on where it stands, whatever is asked of the items.
        assert [each.sku for each in await query.limit(2).page(cursor)] == [
            each.sku for each in await query.only("shelf").limit(2).page(cursor)
        ]
    assert paged == [f"{each.sku}:{each.left}" for each in reversed(items) if each.left != 5]


async def test_partial_instances_of_an_open_transaction(opened: Open) -> None:
    s = opened(Stock)
    await stock(s, 3)
    async with s.transaction():
        await s.put(Stock(shop="s", sku="k0a", shelf="y", left=9, note="new"))
        await s.update(Stock, {"shop": "s", "sku": "k1"}, shelf="z", returning=False)
        await s.delete(Stock, shop="s", sku="k2")
        found = await s.query(Stock).where(shop="s").only("shelf").all()
        assert [(each.sku, each.shelf) for each in found] == [("k0", "x"), ("k0a", "y"), ("k1", "z")]
        assert all(each.model_fields_set == {"shop", "sku", "shelf"} for each in found)
        assert await s.query(Stock).where(shop="s").only("shelf").count() == 3


# -- indexes that hold less --------------------------------------------------------------------------------------------


async def test_an_index_that_holds_what_is_asked_for(opened: Open) -> None:
    s = opened(Member, tenant="acme")
    await members(s)
    found = await s.query(Member).where(email="e1").only("id", "email").all()
    assert sorted((each.id, each.email) for each in found) == [("1#", "e1"), ("4#", "e1")]  # read out of the keys
    named = (
        await s.query(Member).where(F.team == "red", F.joined > DAY + timedelta(days=4)).only("name", "joined").all()
    )
    assert [(each.id, each.name, each.joined.day) for each in named] == [("5#", "n5", 6), ("6#", "n6", 7)]
    with pytest.raises(QueryError, match="by_email does not hold `name`"):
        await s.query(Member).where(email="e1").only("name").all()
    with pytest.raises(QueryError, match=r"by_team does not hold `address` .*\.only\(\.\.\.\).*\.fetch\(\)"):
        await s.query(Member).where(team="red").all()


async def test_what_was_read_of_an_index_is_a_condition_of_the_commit(opened: Open, db: Database, way: str) -> None:
    s, other = opened(Member, Stock), session_of(db, way)
    await members(s, 2)
    for changes, names in ((False, ("name",)), (True, ("name",)), (True, ("joined",))):
        with pytest.raises(VersionConflict) if changes else nullcontext():
            async with s.transaction(isolation="serializable"):
                assert len(await s.query(Member).where(team="red").only(*names).all()) == 2
                await s.put(Stock(shop="s", sku="k", shelf="x", left=1))
                if changes:
                    await other.update(Member, {"id": "1#"}, logins=F.logins + 1)


async def test_a_count_needs_no_more_than_the_keys(opened: Open) -> None:
    s = opened(Member, Stock)
    await members(s)
    for item in await stock(s, 4, expires_at=datetime(2020, 1, 1, tzinfo=UTC)):
        if item.left > 2:
            await s.put(item.model_copy(update={"expires_at": None}))
    assert await s.query(Stock).where(shop="s").count() == 2
    assert await s.query(Stock).where(shop="s").include_expired().count() == 4
    assert await s.query(Member).where(email="e0").count() == 3
    assert await s.query(Member).where(team="red", name="n3").count() == 1
    with pytest.raises(QueryError, match="does not hold `logins`"):
        await s.query(Member).where(email="e0", logins=0).count()
    assert await s.query(Member).where(email="e0", logins=0).fetch().count() == 3


@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_fetched_items_are_whole_and_in_order(opened: Open, tenant: str | None) -> None:
    s = opened(Member, Stock, tenant=tenant)
    everyone = await members(s)
    assert await s.query(Member).where(team="red").fetch().all() == everyone
    assert await s.query(Member).where(team="red").order_by("-joined").fetch().limit(3).all() == everyone[:3:-1]
    assert await s.query(Member).where(F.team == "red", F.logins == 0, F.id > "3").fetch().all() == everyone[3:]
    one = await s.query(Member).where(F.team == "red", F.name == "n2").fetch().one()
    await s.update(one, name="written")
    assert (await s.get(Member, id="2#")).name == "written"
    items = await stock(s)
    assert await s.query(Stock).where(shelf="x").fetch().all() == items[::-1]
    few = s.query(Stock).where(F.shop == "s", F.left < 4).index("by-left").fetch()
    assert [each.sku async for each in few] == ["k7", "k6", "k5"]
    assert await few.consistent().all() == [each async for each in few]
    partial = await s.query(Stock).where(shelf="x").only("note").fetch().first()
    assert partial is not None
    assert partial.model_fields_set == {"shop", "sku", "note"}


async def test_pages_of_fetched_items(opened: Open) -> None:
    s = opened(Stock)
    items = await stock(s)
    query = s.query(Stock).where(F.shelf == "x", F.note == "").fetch().limit(3)
    first = await query.page()
    second = await query.page(first.cursor)
    third = await query.page(second.cursor)
    assert [*first, *second, *third] == items[::-1]
    assert third.cursor is None


async def test_fetched_items_of_an_open_transaction(opened: Open) -> None:
    s = opened(Stock)
    await stock(s, 4)
    async with s.transaction():
        await s.put(Stock(shop="s", sku="new", shelf="x", left=2, note="n"))
        await s.update(Stock, {"shop": "s", "sku": "k0"}, left=0, returning=False)
        await s.update(Stock, {"shop": "s", "sku": "k1"}, shelf="elsewhere", returning=False)
        await s.delete(Stock, shop="s", sku="k2")
        found = await s.query(Stock).where(shelf="x").fetch().all()
        assert [(each.sku, each.left) for each in found] == [("k0", 0), ("k3", 1), ("new", 2)]
        assert await s.query(Stock).where(shelf="x", note="n").fetch().count() == 1


async def test_what_an_index_still_says_of_items_that_changed(db: Database, way: str, opened: Open) -> None:
    """Between the index and the items others write: what is gone or matches no more is left out."""
    s = opened(Stock)
    items = await stock(s, 6)
    await s.delete(items[1])
    await s.update(Stock, {"shop": "s", "sku": "k2"}, shelf="elsewhere")
    await s.put(Stock(shop="s", sku="k3", shelf="x", left=3, note="other"))
    await s.put(Stock(shop="s", sku="k4", shelf="x", left=2, expires_at=datetime(2020, 1, 1, tzinfo=UTC)))
    behind = Lagging(db.transport, {"k1": 5, "k2": 4})
    late = Database(transport=behind, table_names=db.table_name, cursor_keys=["secret"])
    query = session_of(late, way).query(Stock).where(F.shelf == "x", F.note != "other").fetch()
    assert [each.sku for each in await query.all()] == ["k5", "k0"]
    assert await query.count() == 2


class Lagging:
    """A transport whose index `by-shelf` still holds some entries that it should not."""

    def __init__(self, inner: Any, entries: dict[str, int]) -> None:
        self._inner = inner
        self._entries = entries
        self.blocking = self if inner is getattr(inner, "blocking", None) else Lagging(inner.blocking, entries)

    async def send(self, operation: str, payload: Any, *, deadline: float | None = None) -> Any:
        answer = await self._inner.send(operation, payload, deadline=deadline)
        if operation == "Query":
            for sku, left in self._entries.items():
                key = {"shop": {"S": "s"}, "sku": {"S": sku}, "shelf": {"S": "x"}, "left": {"N": str(left)}}
                answer["Items"].append(key)
            answer["Items"].sort(key=lambda item: int(item["left"]["N"]))
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()
