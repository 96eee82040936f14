"""A tenant's items are the tenant's: prefixed on the wire, invisible to everyone else."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import GSI, ConditionFailed, F, ItemNotFound, Model, PartitionKey, UsageError

from .conftest import session_of
from .models import DAY, Blob, Counter, Note, Plain, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Database, Session

    Open = Callable[..., Session]


async def wire_of(s: Session, item: Any) -> dict[str, Any]:
    with pytest.raises(ConditionFailed) as caught:
        await s.put(item, if_=F.never.exists() if type(item).model_config.get("extra") else ~F.id.exists())
    assert caught.value.wire_item is not None
    return dict(caught.value.wire_item)


@pytest.mark.parametrize("tenant", ["acme", "a#b", '"', "@", "ü", "a b"])
async def test_every_partition_key_is_prefixed(opened: Open, tenant: str) -> None:
    s = opened(User, tenant=tenant)
    user = await s.create(User(id="1", email="e", team="red"))
    prefix = "@" + tenant.replace('"', '""').replace("#", '"$') + "#"
    wire = await wire_of(s, user)
    assert wire["pk"] == {"S": f"{prefix}USER#1"}
    assert wire["by_email_pk"] == {"S": f"{prefix}EMAIL#e"}
    assert wire["by_team_pk"] == {"S": f"{prefix}TEAM#red"}
    assert wire["sk"] == {"S": "PROFILE"}
    assert await s.get(User, id="1") == user
    assert await s.query(User).where(team="red").all() == [user]
    assert await s.query(User).where(email="e").one() == user
    await s.update(user, team="blue")
    await s.update(User, {"id": "1"}, email="f")
    assert (await s.query(User).where(team="blue").one()).email == "f"
    assert await s.query(User).where(email="e").all() == []


async def test_another_tenants_item_is_a_missing_one(opened: Open, db: Database, way: str) -> None:
    a, b = opened(User, Plain, tenant="a"), session_of(db, way, tenant="b")
    user = await a.create(User(id="1", email="e", team="red"))
    plain = await a.create(Plain(id="1"))
    for model in (User, Plain):
        assert await b.find(model, id="1") is None
        messages = []
        for key in ("1", "never"):
            with pytest.raises(ItemNotFound) as caught:
                await b.get(model, id=key)
            messages.append(str(caught.value).replace(key, "?"))
            with pytest.raises(ItemNotFound) as caught:
                await b.update(model, {"id": key}, name="x")
            messages.append(str(caught.value).replace(key, "?"))
        assert messages[:2] == messages[2:]
    assert await b.query(User).where(team="red").all() == []
    assert await b.query(User).where(email="e").all() == []
    assert await b.query(Plain).where(id="1").all() == []
    mine = await b.create(User(id="1", email="e", team="red", name="b's"))
    assert await a.get(User, id="1") == user
    assert await b.query(User).where(team="red").all() == [mine]
    await b.delete(User, id="1")
    assert await a.get(User, id="1") == user
    assert await a.get(Plain, id="1") == plain
    with pytest.raises(ItemNotFound):
        await b.delete(plain)


async def test_no_tenants_name_or_key_reaches_into_another(opened: Open, db: Database, way: str) -> None:
    opened(Plain)
    names = ["a", "a#", "a#x", '"', "@a", "@a#", "a@", '""', '"$']
    sessions = {name: session_of(db, way, tenant=name) for name in names}
    for name, s in sessions.items():
        for key in ("1", "#1", "x#1", "@a#1"):
            await s.create(Plain(id=key, name=name + key))
    for name, s in sessions.items():
        for key in ("1", "#1", "x#1", "@a#1"):
            assert (await s.get(Plain, id=key)).name == name + key


class Badge(Model, table="badges", indexes=[GSI("by-owner", pk=F.owner, sk=F.level), GSI("by-level", pk=F.level)]):
    id: PartitionKey[str]
    owner: str | None = None
    level: str | None = None


async def test_plain_index_keys_under_a_tenant(opened: Open, db: Database, way: str) -> None:
    a, b = opened(Badge, tenant="a"), session_of(db, way, tenant="b")
    one = await a.create(Badge(id="1", owner="ann", level="x"))
    await a.create(Badge(id="2", owner="ann"))
    await b.create(Badge(id="1", owner="ann", level="x"))
    assert await wire_of(a, one) == {
        "id": {"S": "@a#1"},
        "owner": {"S": "@a#ann"},
        "level": {"S": "@a#x"},
    }
    assert await a.get(Badge, id="1") == one == Badge(id="1", owner="ann", level="x")
    assert await a.query(Badge).where(owner="ann").all() == [one]
    assert await a.query(Badge).where(F.owner == "ann", F.level >= "x").all() == [one]
    assert await a.query(Badge).where(F.owner == "ann", F.level.begins_with("x")).all() == [one]
    assert await a.query(Badge).where(F.owner == "ann", F.level.between("a", "z")).order_by("-level").all() == [one]
    assert await a.query(Badge).where(level="x").all() == [one]
    assert await a.query(Badge).where(F.id == "1", F.owner == "ann", F.level.is_in(["x", "y"])).all() == [one]
    await a.update(one, owner="bob", if_=(F.owner == "ann") & (F.level != "y") & F.owner.begins_with("a"))
    one.level = "y"
    await a.update(one)
    assert one == Badge(id="1", owner="bob", level="y")
    assert await a.query(Badge).where(owner="bob", level="y").all() == [one]
    await a.update(Badge, {"id": "1"}, level="z", owner="eve", if_=F.owner == "bob")
    assert (await a.query(Badge).where(owner="eve").one()).level == "z"
    with pytest.raises(ConditionFailed) as caught:
        await a.update(Badge, {"id": "1"}, level="x", if_=F.owner == "bob")
    assert caught.value.item == Badge(id="1", owner="eve", level="z")
    async with a.transaction():
        await a.update(Badge, {"id": "1"}, owner=None)
        await a.update(Badge, {"id": "2"}, level="n")
        assert [x.id async for x in a.query(Badge).where(owner="ann")] == ["2"]
        assert await a.query(Badge).where(owner="eve").all() == []
    assert await a.get(Badge, id="1") == Badge(id="1", level="z")
    assert [x.id async for x in a.query(Badge).where(owner="ann")] == ["2"]
    for condition in (F.owner.contains("a"), F.owner.size() > 3, F.owner == F.level):
        with pytest.raises(ConditionFailed.__mro__[1]):
            await a.update(Badge, {"id": "1"}, level="q", if_=condition)


async def test_a_key_that_cannot_carry_a_tenant(opened: Open) -> None:
    s = opened(Counter, Blob, tenant="a")
    for attempt in (
        lambda: s.create(Counter(number=1)),
        lambda: s.find(Counter, number=1),
        lambda: s.update(Counter, {"number": 1}, hits=1),
        lambda: s.delete(Counter, number=1),
        lambda: s.query(Counter).where(number=1).all(),
        lambda: s.find(Blob, digest=b"x"),
    ):
        with pytest.raises(UsageError, match="cannot carry a tenant"):
            await attempt()


async def test_an_instance_read_for_one_tenant_is_a_stranger_to_another(opened: Open, db: Database, way: str) -> None:
    a, b = opened(Badge, User, tenant="a"), session_of(db, way, tenant="b")
    badge = await a.create(Badge(id="1", owner="ann", level="x"))
    await b.create(badge)
    assert await b.get(Badge, id="1") == badge
    badge.owner = "bob"
    await b.update(badge, level="y")
    assert badge == Badge(id="1", owner="bob", level="y") == await b.get(Badge, id="1")
    assert await a.get(Badge, id="1") == Badge(id="1", owner="ann", level="x")
    await a.update(badge, level="z")
    assert (await a.get(Badge, id="1")).level == "z"
    assert (await b.get(Badge, id="1")).level == "y"


async def test_cursors_of_tenants(opened: Open, db: Database, way: str) -> None:
    a, b = opened(Note, tenant="a"), session_of(db, way, tenant="b")
    for s in (a, b):
        for n in range(3):
            await s.create(Note(owner="ann", written=DAY + timedelta(n), text=str(n)))
    page = await a.query(Note).where(owner="ann").limit(2).page()
    assert [n.text for n in page] == ["0", "1"]
    assert [n.text for n in await a.query(Note).where(owner="ann").limit(2).page(page.cursor)] == ["2"]


async def test_an_update_of_anothers_instance_shows_nothing_of_the_other(opened: Open, db: Database, way: str) -> None:
    a, b = opened(Note, tenant="a"), session_of(db, way, tenant="b")
    await b.put(Note(owner="ann", written=DAY, text="b's"))
    strange = await a.put(Note(owner="ann", written=DAY, text="a's"))
    async with b.transaction():
        await b.update(strange, text="new")
        assert (await b.get(Note, owner="ann", written=DAY)).text == "new"
    assert strange == Note(owner="ann", written=DAY, text="new") == await b.get(Note, owner="ann", written=DAY)
    assert (await a.get(Note, owner="ann", written=DAY)).text == "a's"
