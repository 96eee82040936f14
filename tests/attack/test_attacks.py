"""One attack each: what a tenant, or who writes for one, may try at another."""

from __future__ import annotations

import base64
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import (
    GSI,
    ConditionFailed,
    CursorInvalid,
    CursorQueryMismatch,
    CursorTenantMismatch,
    Database,
    DefinitionError,
    F,
    InvalidValue,
    ItemNotFound,
    Key,
    Model,
    QueryError,
    TenantMissing,
    UniqueViolation,
    UsageError,
)
from lift_dynamorm.expressions import Path
from lift_dynamorm.transfer import ImportStopped, export_items, import_items
from tests.conformance.conftest import session_of

from .models import Brief, Half, Loose, Number, Order, Pair, Plain, User, Valued
from .world import prefix, run_async

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from .world import World


def calls(*functions: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
    return functions


def sessions(world: World, way: str) -> tuple[Any, Any]:
    return session_of(world.db, way, "a"), session_of(world.db, way, "b")


# -- indexes -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def poisoned(world: World) -> World:
    """Items of b's that lie in the partitions of a's indexes, in front of a's own and behind them."""
    a, b = world.db.sync.session("a"), world.db.sync.session("b")
    for id in "13":
        a.create(User(id=id, team="red", name=f"n{id}", tag="t"))
        a.create(Order(user=id, number=int(id), team="red"))
    for name, sk in [("0", "n0"), ("2", "n2"), ("4", "n4"), ("o", "ORDER#0002"), ("p", "PROFILE")]:
        forged = {"by_team_pk": "@a#TEAM#red", "by_team_sk": sk, "tag": "@a#t", "team": "red"}
        b.create(Loose(id=name, name=name, **forged))
    keys = [("@b#USER#2", "PROFILE", "n1"), ("@b#USER#2", "ORDER#0002", "ORDER#0002")]
    for pk, sk, place in keys:  # what only a mistake of the library's, or of an operator's, can have written
        texts = {"pk": pk, "sk": sk, "id": "2", "user": "2", "name": "n1", "team": "red", "tag": "@a#t"}
        item = {name: {"S": text} for name, text in {**texts, "by_team_pk": "@a#TEAM#red", "by_team_sk": place}.items()}
        world.send("PutItem", {"TableName": world.named("shared"), "Item": {**item, "number": {"N": "2"}}})
    a.create(Brief(id="1", team="red"))
    for pk in ("@b#BRIEF#2", "BRIEF#3", "@a#@b#BRIEF#4"):
        texts = {"pk": pk, "sk": "-", "id": pk[-1], "by_team_pk": "@a#TEAM#red", "by_team_sk": "2"}
        wires = {name: {"S": text} for name, text in texts.items()}
        world.send("PutItem", {"TableName": world.named("shared"), "Item": wires})
    entry = {"id": "@b#9", "owner": "@a#o", "level": "@a#l", "by-id_pk": "@a#ID#1"}
    for made in (entry, {**entry, "id": "9", "owner": "@b#o"}):
        wires = {name: {"S": text} for name, text in made.items()}
        world.send("PutItem", {"TableName": world.named("plain"), "Item": wires})
    entry = {"pk": "@b#k#9", "sk": "x", "kind": "k", "id": "9", "at": "x", "by_label_pk": "l", "by_label_sk": "x"}
    for made in (entry, {**entry, "pk": "@#k#9"}, {**entry, "pk": "@a#@b#9", "by_label_pk": "@a#l"}):
        wires = {name: {"S": text} for name, text in made.items()}
        world.send("PutItem", {"TableName": world.named("valued"), "Item": wires})
    a.create(Plain(id="1", owner="o", level="l"))
    return world


async def test_entries_of_another_tenant_in_an_index_are_given_to_nobody(poisoned: World, way: str) -> None:
    a, _ = sessions(poisoned, way)
    with poisoned.witness.on_behalf_of("a"):  # which must not even ask for the others' items
        team = a.query(User).where(team="red")
        assert [u.id for u in await team.all()] == ["1", "3"]
        assert [u.id async for u in team.order_by("-name")] == ["3", "1"]
        assert await team.count() == 2
        assert [u.id for u in await team.only("id").all()] == ["1", "3"]
        assert [u.id for u in await team.limit(2).all()] == ["1", "3"]
        first = await team.limit(1).page()
        assert [u.id for u in first] == ["1"]
        assert [u.id for u in await team.limit(1).page(first.cursor)] == ["3"]
        assert (await team.where(F.name > "n1").one()).id == "3"
        assert (await team.first()).id == "1"
        assert {
            type(i).__name__ + str(getattr(i, "number", i.id if isinstance(i, User) else 0))
            for i in await team.including(Order).all()
        } == {"User1", "User3", "Order1", "Order3"}
        assert sorted(u.id for u in await a.query(User).where(tag="t").fetch().all()) == ["1", "3"]
        assert sorted(u.id for u in await a.query(User).where(tag="t").fetch().include_expired().all()) == ["1", "3"]
        assert await a.query(User).where(tag="t").only("id").count() == 2
        async with a.transaction(isolation="serializable"):
            assert len(await team.all()) == 2
            assert len(await team.including(Order).all()) == 4
        assert await a.find(User, id="2") is None
        assert len(await a.scan(User).index("by_team").all()) == 2
        assert [p.id for p in await a.query(Plain).where(owner="o").index("by-owner").all()] == ["1"]
        assert await a.query(Plain).where(owner="o", level="l").index("by-owner").count() == 1
        assert await a.query(Plain).where(level="l").only("id").count() == 1
        for brief in (a.query(Brief).where(team="red"), a.query(Brief).where(team="red").include_expired()):
            assert [b.id for b in await brief.all()] == ["1"]
            assert await brief.count() == 1
        assert await a.query(Valued).where(label="l").all() == []
        assert await a.scan(Valued).all() == []
        assert [p.id for p in await a.query(Plain).where(id="1").index("by-id").all()] == ["1"]
        assert await a.query(Plain).where(id="1").index("by-id").count() == 1
    nobody = session_of(poisoned.db, way)
    assert await nobody.query(Valued).where(label="l").all() == []
    assert await nobody.query(Valued).where(label="l").count() == 0


async def test_a_scan_whose_filter_cannot_hold_the_tenant(world: World, way: str) -> None:
    a, b = sessions(world, way)
    for s in (a, b):
        await s.create(User(id="1", rank=5))
        await s.create(Plain(id="1", name="x"))
    await session_of(world.db, way).create(Plain(id="1", name="x"))
    many = [F.rank >= -n for n in range(310)]
    assert len(await a.scan(User).where(*many).all()) == 1
    assert await a.scan(User).where(*many).count() == 1
    everyone = session_of(world.db, way)
    assert await everyone.scan(User).where(*many).all() == []
    alike = [F.name != f"n{n}" for n in range(310)]
    for s in (a, b, everyone):
        assert len(await s.scan(Plain).where(*alike).all()) == 1


# -- sessions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["", b"a", 1, True, ("a",), "\ud800", "a\udfff"])
def test_what_is_no_tenant(world: World, wrong: Any) -> None:
    world.db.sync.session("a").create(Plain(id="1"))
    for tenant in (wrong, lambda: wrong):
        with pytest.raises((UsageError, TenantMissing)):
            world.db.sync.session(tenant).find(Plain, id="1")
        with pytest.raises((UsageError, TenantMissing)):
            world.db.session(tenant).context()
    with pytest.raises(UsageError):
        world.db.stream(Plain, tenant=wrong)
    assert world.db.session(lambda: "a").sync.get(Plain, id="1").id == "1"


def test_a_function_that_tells_no_tenant(world: World) -> None:
    nothing: Any
    for nothing in (None, ""):
        for session in (world.db.sync.session(lambda: nothing), world.db.session(lambda: nothing).sync):  # noqa: B023
            for verb in calls(
                lambda s: s.find(Plain, id="1"),
                lambda s: s.create(Plain(id="1")),
                lambda s: s.scan(Plain).all(),
                lambda s: s.batch().put(Plain(id="1")),
                lambda s: s.execute("Scan", {"TableName": "plain"}),
            ):
                with pytest.raises(TenantMissing):
                    verb(session)
    assert world.raw("plain") == []


def test_a_database_that_needs_a_tenant(world: World, caplog: pytest.LogCaptureFixture) -> None:
    strict = Database(transport=world.db.transport, table_names=world.named, require_tenant=True, cursor_keys=["k"])
    for open_session in (strict.session, strict.sync.session):
        with pytest.raises(TenantMissing):
            open_session()
        with pytest.raises(TenantMissing):
            open_session(None)
        open_session("a")
    strict.sync.session("a").create(Plain(id="1"))
    for open_unscoped in (strict.unscoped, strict.sync.unscoped):
        with pytest.raises(UsageError):
            open_unscoped("")
        caplog.clear()
        with caplog.at_level(logging.WARNING, "lift_dynamorm"):
            session: Any = open_unscoped("the yearly audit")
        assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
            (logging.WARNING, "unscoped session: the yearly audit")
        ]
        assert getattr(session, "sync", session).scan(Plain).all() == []  # it is nobody's, not everybody's


def test_a_session_and_its_twin_are_of_one_tenant(world: World) -> None:
    for first in ("session", "twin"):
        told = iter(["a", "b"])
        session = world.db.session(lambda: next(told))  # noqa: B023
        twin = session.sync
        opened = [session.context, twin._session.context]
        if first == "twin":
            opened.reverse()
        assert [context().prefix for context in opened] == ["@a#", "@a#"]
        assert session.tenant == twin.tenant == "a"


# -- past the models ---------------------------------------------------------------------------------------------------


async def test_a_tenant_goes_not_past_the_models(world: World, way: str) -> None:
    await session_of(world.db, way, "b").create(Plain(id="1", name="secret"))
    sent = len(world.witness.requests)
    for tenant in ("a", lambda: "a"):
        s: Any = session_of(world.db, way, tenant)  # type: ignore[arg-type]  # a function will do
        for operation, payload in (
            ("GetItem", {"TableName": "plain", "Key": {"id": {"S": "@b#1"}}}),
            ("PutItem", {"TableName": "plain", "Item": {"id": {"S": "@b#2"}}}),
            ("Query", {"TableName": "plain"}),
            ("Scan", {"TableName": "plain"}),
            ("TransactWriteItems", {"TransactItems": []}),
            ("BatchExecuteStatement", {"Statements": []}),
            ("ListTables", {}),
        ):
            with pytest.raises(UsageError, match="past the tenant"):
                await s.execute(operation, payload)
        for statement in ('SELECT * FROM "plain"', "DELETE FROM \"plain\" WHERE id = '@b#1'"):
            with pytest.raises(UsageError, match="past the tenant"):
                await s.execute_statement(statement)
            with pytest.raises(UsageError, match="past the tenant"):
                await s.execute_statement(statement, model=Plain)
    assert len(world.witness.requests) == sent


@pytest.mark.without("it has no PartiQL", engine=["extenddb"])
async def test_rows_of_a_model_are_nobodys(world: World, way: str, engine: str) -> None:
    a, nobody = session_of(world.db, way, "a"), session_of(world.db, way)
    for s in (a, nobody):
        await s.create(Valued(kind="k", id="1", at="x"))
        await s.create(Plain(id="1"))
    for model, table in ((Valued, "valued"), (Plain, "plain")):
        assert len(await nobody.execute_statement(f'SELECT * FROM "{table}"', model=model)) == 1


async def test_conditions_that_would_compare_with_the_tenant(world: World, way: str) -> None:
    a, _ = sessions(world, way)
    await a.create(Plain(id="@a#", owner="@a#", level="l", name="@a#"))
    for condition in (
        F.owner.contains("a"),
        F.owner.contains("@"),
        F.owner.size() > 3,
        F.owner == F.level,
        F.name == F.owner,
        F.name.size() < F.owner.size(),
        F.id.contains("@a"),
    ):
        with pytest.raises(QueryError, match="carries the tenant"):
            await a.scan(Plain).where(condition).all()
        with pytest.raises(QueryError, match="carries the tenant"):
            await a.update(Plain, {"id": "@a#"}, name="x", if_=condition)
    for change in (F.owner, F.level):
        with pytest.raises(UsageError, match="partition key"):
            await a.update(Plain, {"id": "@a#"}, name=change)
    with pytest.raises(UsageError, match="partition key"):
        await a.update(Plain, {"id": "@a#"}, owner=F.name)
    (found,) = await a.scan(Plain).where(F.owner == "@a#", F.owner.is_in(["@a#"]), F.level < "m").all()
    assert (found.owner, found.name) == ("@a#", "@a#")


# -- keys --------------------------------------------------------------------------------------------------------------


async def test_keys_that_cannot_carry_a_tenant(world: World, way: str) -> None:
    await world_with_numbers(world)
    a, _ = sessions(world, way)
    for attempt in calls(
        lambda: a.create(Number(n=1)),
        lambda: a.put(Number(n=1)),
        lambda: a.find(Number, n=1),
        lambda: a.batch_get([Key(Number, n=1)]),
        lambda: a.transact_get(Key(Number, n=1)),
        lambda: a.delete(Number, n=1),
        lambda: a.delete(Number(n=1)),
        lambda: a.query(Number).where(n=1).all(),
        lambda: a.query(Half).where(id="1").all(),
        lambda: a.find(Half, id="1"),
        lambda: a.scan(Half).all(),
        lambda: a.scan(Number).all(),
        lambda: a.scan(Number).count(),
    ):
        with pytest.raises(UsageError, match="cannot carry a tenant"):
            await attempt()


def made_of(name: str, **arguments: Any) -> None:
    metaclass: Any = type(Model)
    metaclass(name, (Model,), {"__annotations__": {"id": str}}, **arguments)


@pytest.mark.parametrize("template", ["@{id}", "@a#{id}", "@"])
def test_no_template_makes_a_tenants_key(template: str) -> None:
    with pytest.raises(DefinitionError, match="marks tenants"):
        made_of("WRONG", table="wrong", pk=template)
    with pytest.raises(DefinitionError, match="marks tenants"):
        made_of("WRONG", table="wrong", pk="WRONG#{id}", indexes=[GSI("index", pk=template)])


async def world_with_numbers(world: World) -> None:
    if world.named("numbers") not in world.created:
        world.db.sync.create_tables(Number)


@pytest.mark.parametrize("key", ["@#", "@#User.email#x", "@#Plain.x#1", "@#migrations"])
async def test_reserved_keys_are_nobodys(world: World, way: str, key: str) -> None:
    for tenant in (None, "a"):
        s = session_of(world.db, way, tenant)
        for attempt in calls(
            lambda: s.create(Plain(id=key)),  # noqa: B023
            lambda: s.put(Plain(id="1", owner=key)),  # noqa: B023
            lambda: s.update(Plain, {"id": key}, upsert=True, name="x"),  # noqa: B023
            lambda: s.update(Plain, {"id": "1"}, upsert=True, owner=key),  # noqa: B023
            lambda: s.find(Plain, id=key),  # noqa: B023
            lambda: s.delete(Plain, id=key),  # noqa: B023
        ):
            with pytest.raises(InvalidValue):
                await attempt()
        own = prefix(tenant)
        for table, item in (
            ("plain", {"id": {"S": own + key}}),
            ("valued", {"pk": {"S": own + key}, "sk": {"S": "x"}}),
        ):
            world.send("PutItem", {"TableName": world.named(table), "Item": item})
        assert await s.scan(Plain).all() == []
        assert await s.scan(Valued).all() == []
        await s.create(Valued(kind=key, id="1", at="x"))
        assert [v.kind for v in await s.scan(Valued).all()] == [key]


@pytest.mark.parametrize("key", ["@b#1", "@b#USER#1", "@#", "@b#@#User.email#e"])
async def test_outside_of_the_tenants_nobody_is_one(world: World, way: str, key: str) -> None:
    b, nobody = session_of(world.db, way, "b"), session_of(world.db, way)
    await b.create(Plain(id="1", owner="o", level="l"))
    await b.create(Valued(kind="k", id="1", at="x", label="l"))
    there = await nobody.create(Plain(id="there"))
    for attempt in calls(
        lambda: nobody.put(Plain(id=key)),
        lambda: nobody.put(Plain(id="1", owner=key)),
        lambda: nobody.update(Plain, {"id": "1"}, owner=key, upsert=True),
        lambda: nobody.update(Plain, {"id": "there"}, owner=key),
        lambda: nobody.update(there, owner=key),
        lambda: nobody.find(Plain, id=key),
        lambda: nobody.delete(Plain, id=key, missing_ok=True),
        lambda: nobody.batch_get(Plain, [{"id": key}]),
        lambda: nobody.transact_get(Key(Plain, id=key)),
    ):
        with pytest.raises(InvalidValue):
            await attempt()
    with pytest.raises((InvalidValue, AssertionError)):
        assert await nobody.query(Plain).where(owner="@b#o").count() < 0
    mine = await nobody.create(Valued(kind=key, id="1", at="x", label=key))
    assert await nobody.query(Valued).where(label=key).all() == [mine]
    assert await nobody.scan(Valued).all() == [mine]
    assert await nobody.scan(Plain).all() == [Plain(id="there")]
    assert await nobody.query(Valued).where(kind="@b", id="1").all() == []


async def test_the_hidden_keys_of_a_model_are_not_written_by_name(world: World, way: str) -> None:
    a, b = sessions(world, way)
    await b.create(User(id="1", team="red", name="n"))
    loose = await a.create(Loose(id="1"))
    for name in ("pk", "sk", "by_name_pk"):
        for attempt in calls(
            lambda: a.update(Loose, {"id": "1"}, **{name: "@b#USER#1"}),  # noqa: B023
            lambda: a.update(loose, **{name: "@b#USER#1"}),  # noqa: B023
            lambda: a.update(loose, Path((name,)).set("@b#USER#1")),  # noqa: B023
            lambda: a.create(Loose(id="2", **{name: "@b#USER#1"})),  # noqa: B023
        ):
            with pytest.raises(InvalidValue, match="taken by a key"):
                await attempt()


async def test_values_that_begin_with_ones_own_prefix(world: World, way: str) -> None:
    a, _ = sessions(world, way)
    for verb in ("create", "upsert"):
        id = f"@a#{verb}"
        if verb == "create":
            await a.create(Plain(id=id, owner="@a#o", level="@a#@a#"))
        else:
            await a.update(Plain, {"id": id}, owner="@a#o", level="@a#@a#", upsert=True)
        expected = Plain(id=id, owner="@a#o", level="@a#@a#")
        assert await a.get(Plain, id=id) == expected
        assert await a.query(Plain).where(id=id).index("by-id").all() == [expected]
        found = await a.get(Plain, id=id)
        await a.update(found, name="@a#")
        assert await a.get(Plain, id=id) == found == expected.model_copy(update={"name": "@a#"})


async def test_updates_of_instances_carry_the_tenant(world: World, way: str) -> None:
    a, _ = sessions(world, way)
    one = await a.create(Plain(id="1", owner="o", level="l", name="n"))
    stale = await a.get(Plain, id="1")
    for value in ("p", "@b#o", "@a#o", "@a#", "@b#@#x"):
        with world.witness.on_behalf_of("a"):
            await a.update(one, owner=value)  # as it is given
            assert one.owner == value
            assert await a.query(Plain).where(owner=value).index("by-owner").all() == [one]
            assert await a.query(Plain).where(owner=value).index("by-both").all() == [one]
            (part,) = await a.query(Plain).where(owner=value).index("by-both").only("id", "owner", "level").all()
            assert (part.id, part.owner, part.level) == ("1", one.owner, one.level)
            assert [p.id for p in await a.scan(Plain).only("id").all()] == ["1"]
            one.level = value  # as it was changed
            await a.update(one)
            assert await a.query(Plain).where(level=value).index("by-level").fetch().all() == [one]
            async with a.transaction():  # as the transaction shows it
                await a.update(one, F.owner.set("q"), level="m")
                assert await a.query(Plain).where(owner="q").all() == [one]
                await a.update(Plain, {"id": "1"}, owner=value, level=value)
                assert await a.query(Plain).where(owner=value).index("by-both").all() == [await a.get(Plain, id="1")]
            one = await a.get(Plain, id="1")
            assert (one.owner, one.level) == (value, value)
        (stored,) = world.raw("plain")
        assert (stored["owner"], stored["level"]) == ({"S": f"@a#{value}"}, {"S": f"@a#{value}"})
        assert stored["by-both_pk"]["S"].startswith("@a#BOTH#")
        order = await a.put(Order(user="1", number=1, team="red"))
        await a.update(order, team=value)
        assert await a.query(Order).where(team=value).all() == [order]
        assert {item["by_team_pk"]["S"][:8] for item in world.raw("shared")} == {"@a#TEAM#"}
    await a.update(stale, name="m")  # and nothing else of what it was
    assert await a.get(Plain, id="1") == one.model_copy(update={"name": "m"})


async def test_a_key_made_of_a_key(world: World, way: str) -> None:
    if world.named("pairs") not in world.created:
        world.db.sync.create_tables(Pair)
    a, b = sessions(world, way)
    for s in (a, b):
        pair = await s.put(Pair(id="1", a="x", b="y"))
        await s.update(pair, b="z")
        assert await s.query(Pair).where(a="x", b="z").index("by-ab").all() == [pair]
        await s.update(pair, a="w")
        await s.update(Pair, {"id": "1"}, a="v", b="u")
        found = await s.query(Pair).where(a="v", b="u").index("by-ab").all()
        assert found == [await s.get(Pair, id="1")] == [Pair(id="1", a="v", b="u")]
    keys = {(item["id"]["S"], item["a"]["S"], item["by-ab_pk"]["S"]) for item in world.raw("pairs")}
    assert keys == {("@a#1", "@a#v", "@a#AB#v#u"), ("@b#1", "@b#v", "@b#AB#v#u")}


async def test_checks_are_of_ones_own_items(world: World, way: str) -> None:
    a, b = sessions(world, way)
    for s, rank in ((a, 1), (b, 2)):
        await s.create(User(id="1", rank=rank))
        await s.create(Plain(id="1", owner=str(rank)))
    own = [await a.get(User, id="1"), await a.get(Plain, id="1")]
    with world.witness.on_behalf_of("a"):
        async with a.transaction():
            for instance in own:
                await a.check(instance)
            await a.put(Order(user="1", number=1))
        async with a.transaction():
            await a.check(User, {"id": "1"}, if_=F.rank == 1)
            await a.check(Plain, {"id": "1"}, if_=(F.owner == "1") & F.owner.begins_with("1"))
            await a.put(Order(user="1", number=2))
        with pytest.raises(ConditionFailed):
            async with a.transaction():
                await a.check(Plain, {"id": "1"}, if_=F.owner == "2")
                await a.put(Order(user="1", number=3))
    assert [o.number for o in await a.query(Order).where(user="1").all()] == [1, 2]


# -- unique values -----------------------------------------------------------------------------------------------------


async def test_unique_values_are_each_tenants_own(world: World, way: str) -> None:
    a, b = sessions(world, way)
    nobody = session_of(world.db, way)
    for s in (a, b, nobody):
        await s.create(User(id="1", email="e"))
        with pytest.raises(UniqueViolation):
            await s.create(User(id="2", email="e"))
    await b.update(User, {"id": "1"}, email="f")
    await b.create(User(id="2", email="e"))
    with pytest.raises(UniqueViolation):
        await a.create(User(id="2", email="e"))
    await a.delete(User, id="1")
    await a.create(User(id="2", email="e"))
    with pytest.raises(UniqueViolation):
        await nobody.create(User(id="2", email="e"))
    claims = sorted(i["pk"]["S"] for i in world.raw("shared") if "@owner" in i)
    assert claims == ["@#User.email#e", "@a#@#User.email#e", "@b#@#User.email#e", "@b#@#User.email#f"]


# -- instances of others -----------------------------------------------------------------------------------------------


async def test_an_instance_of_another_tenants_tells_nothing(world: World, way: str) -> None:
    a, b = sessions(world, way)
    secret = await b.create(Plain(id="1", owner="o", level="l", name="b's"))
    user = await b.create(User(id="1", email="b@b", name="b's"))
    for refused in calls(lambda: a.update(secret, name="x"), lambda: a.delete(secret)):
        with pytest.raises(ItemNotFound) as caught:
            await refused()
        assert "b's" not in str(caught.value)
    mine = await a.create(Plain(id="1", name="a's"))
    await a.update(secret, level="m")
    assert secret == await a.get(Plain, id="1") == mine.model_copy(update={"level": "m"})
    assert await b.get(Plain, id="1") == Plain(id="1", owner="o", level="l", name="b's")
    await a.create(User(id="1", name="a's"))
    for attempt in calls(lambda: a.put(user), lambda: a.update(user, name="x"), lambda: a.delete(user)):
        with pytest.raises(ConditionFailed) as failed:
            await attempt()
        assert failed.value.item.name == "a's"
        assert "b's" not in repr(failed.value.wire_item)
    with pytest.raises(ConditionFailed):
        async with a.transaction():
            await a.check(user)
    assert (await b.get(User, id="1")).name == "b's"


# -- cursors -----------------------------------------------------------------------------------------------------------


async def test_cursors_of_others(world: World, way: str) -> None:
    spaces = [session_of(world.db, way, tenant) for tenant in (None, "a", "b", "a#")]
    asked: list[Callable[[Any], Any]] = [
        lambda s: s.query(Valued).where(label="l").limit(1),
        lambda s: s.query(Order).where(user="u").limit(1),
        lambda s: s.scan(Valued).limit(1),
    ]
    for s in spaces:
        for n in range(3):
            await s.create(Valued(kind="k", id=str(n), at=str(n), label="l"))
            await s.create(Order(user="u", number=n))
    for ask in asked:
        cursors = [(await ask(s).page()).cursor for s in spaces]
        for whose, cursor in zip(spaces, cursors, strict=True):
            for s in spaces:
                if s is whose:
                    assert len(await ask(s).page(cursor)) == 1
                    continue
                with pytest.raises(CursorTenantMismatch):
                    await ask(s).page(cursor)
            for other in asked:
                if other is not ask:
                    with pytest.raises(CursorQueryMismatch):
                        await other(whose).page(cursor)
            for at in range(0, len(cursor), 5):
                with pytest.raises(CursorInvalid):
                    await ask(whose).page(cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :])
    with pytest.raises(CursorTenantMismatch):
        await spaces[2].scan(Valued).resume((await spaces[1].scan(Valued).limit(1).page()).cursor).all()


async def test_a_cursor_shows_no_key_of_another_tenant(world: World, way: str) -> None:
    a, b = sessions(world, way)
    for s, name, count in ((b, "secret", 110), (a, "mine", 20), (b, "secrets", 110)):
        async with s.batch() as batch:
            for n in range(count):
                batch.put(Valued(kind=f"{name}{n}", id="1", at="x"))
    cursors: list[str] = []
    for limit in (1, 2, 5):
        cursor = None
        while True:
            page = await a.scan(Valued).limit(limit).page(cursor)
            cursor = page.cursor
            if cursor is None:
                break
            cursors.append(cursor)
    await a.scan(Valued).segments(2).limit(15).progress(lambda p: cursors.append(p.cursor or "")).all()
    shown = [base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)) for cursor in cursors]
    assert len(shown) > 30
    assert not [text for text in shown if b"secret" in text or b"mine" in text]


# -- exports, imports and streams --------------------------------------------------------------------------------------


async def test_an_import_for_one_tenant_stores_nothing_of_others(world: World) -> None:
    tenants = (None, "a", "b", "a#", 'a"', "a#@b")
    for tenant in tenants:
        await world.db.session(tenant).create(Plain(id="1", owner="o"))
        await world.db.session(tenant).create(User(id="1", email="e"))
    exports: list[list[bytes]] = []
    for raw in (False, True):
        every: list[bytes] = []
        exports.append(every)
        await export_items(world.db, [Plain, User], every.append, raw=raw)
        for tenant in tenants:
            own: list[bytes] = []
            await export_items(world.db, [Plain, User], own.append, tenant=tenant, raw=raw)
            assert len(own) == (3 if raw else 2)
            if raw:
                keys = [
                    next(iter(json.loads(x)["item"][k]["S"] for k in ("pk", "id") if k in json.loads(x)["item"]))
                    for x in own
                ]
                assert all(key.startswith(prefix(tenant) or ("1", "USER", "@#")) for key in keys)
            else:
                assert {json.loads(line)["tenant"] for line in own} == {tenant}
            assert all(json.loads(line) in map(json.loads, every) for line in own)
            done = await import_items(world.db, [Plain, User], every, mode="put", tenant=tenant)
            assert (done.written, done.left_out) == (len(own), len(every) - len(own))
    for every in exports:
        world.reset(None)
        await import_items(world.db, [Plain, User], every, mode="put", tenant="a")
        stored = [(item.get("pk") or item["id"])["S"] for table in ("plain", "shared") for item in world.raw(table)]
        assert sorted(stored) == ["@a#1", "@a#@#User.email#e", "@a#USER#1"]
    for wrong in ("", 5, ["a"]):
        line = json.dumps({"model": "Plain", "tenant": wrong, "item": {"id": "2"}}).encode()
        with pytest.raises(ImportStopped, match="a tenant is a text"):
            await import_items(world.db, [Plain], [line])
    assert len(world.raw("plain")) == 1


async def test_what_reads_all_tenants_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "lift_dynamorm"):
        await export_items(world.db, [Plain], lambda _: None)
        await import_items(world.db, [Plain], [])
    assert [record.getMessage() for record in caplog.records] == [
        "unscoped session: export",
        "unscoped session: import",
    ]


async def test_what_is_put_under_anothers_instance(world: World, way: str) -> None:
    a, b = sessions(world, way)
    strange = await b.create(User(id="1", name="b's"))
    fresh = await a.put(strange)  # a has none: it is new there
    assert (fresh.version, (await a.get(User, id="1")).name) == (1, "b's")
    fresh.name = "a's"
    await a.put(fresh)
    assert (fresh.version, (await b.get(User, id="1")).version) == (2, 1)
    with pytest.raises(ConditionFailed):
        await b.put(fresh)


def test_a_stream_of_one_tenant(engine: str, world: World, runner: asyncio.Runner) -> None:
    tenants = ("a", "b", "a#", 'a"', "a#@b", "@a")

    async def main() -> None:
        async with run_async(engine, world) as (db, enable):
            await db.create_tables(Plain, User)
            for table in ("plain", "shared"):
                await enable(table)
            for tenant in (None, *tenants):
                s = db.session(tenant)
                await s.create(Plain(id="1", name=str(tenant)))
                await s.create(User(id="1", email="e", name=str(tenant)))
            for tenant in tenants:
                for models in ((Plain,), (User, Order)):
                    stream = db.stream(*models, tenant=tenant, start="oldest", follow=False)
                    changes: list[Any] = [change async for change in stream]
                    assert [(c.tenant, c.after.name) for c in changes] == [(tenant, tenant)]
                shared: Any = db.stream("shared", tenant=tenant, start="oldest", follow=False)
                raw = [change async for change in shared]
                assert [c.key["pk"]["S"] for c in raw] == [f"{prefix(tenant)}USER#1"]
            shared = db.stream("shared", start="oldest", follow=False)
            raw = [change async for change in shared]
            assert {change.key["pk"]["S"] for change in raw} == {f"{prefix(t)}USER#1" for t in (None, *tenants)}
            every: list[Any] = [c async for c in db.stream(Plain, start="oldest", follow=False)]
            assert {(c.tenant, c.after.name if c.after else "") for c in every} == {
                (tenant, str(tenant)) for tenant in (None, *tenants)
            }

    runner.run(main())


class Copied(Model, table="copied", pk="COPY#{id}", sk="-"):
    id: str


def test_copies_and_transforms_know_whose_an_item_is(world: World) -> None:
    from lift_dynamorm.migrations.conversion import Conversion
    from lift_dynamorm.migrations.rewrite import Rewriter

    context = world.db.session().context()
    conversion = Conversion(User, Copied, lambda user: Copied(id=user.id), None)
    rewriter = Rewriter(context, User, lambda user: user, None, claim=False, migration="m")
    nobodys = [("@a#@#User.email#e", "@#"), ("@#User.email#e", "@#"), ("@#USER#1", "PROFILE"), ("@a#LOOSE#1", "-")]
    for tenant in (None, "a", "a#", 'a"', "@a"):
        key = {"pk": {"S": f"{prefix(tenant)}USER#1"}, "sk": {"S": "PROFILE"}}
        assert conversion.prefix(key) == rewriter.prefix_of(key) == prefix(tenant)
        (write,) = conversion.made(context, {**key, "id": {"S": "1"}}).values()
        assert write.key["pk"] == {"S": f"{prefix(tenant)}COPY#1"}
        nobodys.append((f"{prefix(tenant)}@b#USER#1", "PROFILE"))
    for pk, sk in nobodys:
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        assert (conversion.prefix(key), rewriter.prefix_of(key)) == (None, None) or pk == "@b#USER#1"


def test_the_witness_sees_what_is_wrong(world: World) -> None:
    """The negative control of the suite: a request or an answer of another tenant's does not pass."""
    world.db.sync.session("b").create(User(id="1", team="red", name="n"))
    for name, send in (
        ("GetItem", lambda: world.db.sync.session("b").find(User, id="1")),
        ("Query", lambda: world.db.sync.session("b").query(User).where(team="red").all()),
        ("Scan", lambda: world.db.sync.session("b").scan(User).all()),
        ("PutItem", lambda: world.db.sync.session("b").create(Plain(id="1"))),
        ("TransactGetItems", lambda: world.db.sync.session("b").transact_get(Key(User, id="1"))),
        ("BatchGetItem", lambda: world.db.sync.session().batch_get([Key(User, id="1")])),
    ):
        with world.witness.on_behalf_of("a"), pytest.raises(AssertionError):
            send()
        assert world.witness.requests[-1][0] == name
    before = world.stored()
    world.db.sync.session("b").update(User, {"id": "1"}, name="m")
    with pytest.raises(AssertionError, match="changed what is"):
        world.check(before, "a")
