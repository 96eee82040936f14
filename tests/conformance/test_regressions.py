"""What a review found broken, each by what must hold instead."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Any, Self
from uuid import uuid4

import pytest
from pydantic import AfterValidator, Base64Str, BaseModel, Field, field_validator, model_validator

from lift_dynamorm import (
    GSI,
    ConditionFailed,
    Database,
    F,
    InvalidValue,
    ItemExists,
    Model,
    OutcomeUnknown,
    PartitionKey,
    QueryError,
    ServiceError,
    TablesDiffer,
    TenantMissing,
    TransactionConditionFailed,
    Unique,
    UniqueViolation,
    UpdatedAt,
    UsageError,
    Version,
    VersionConflict,
)
from lift_dynamorm.model import schema_of
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.transport.faults import DropAfterSend, FaultTransport, InternalError, On
from lift_dynamorm.transport.retry import RetryTransport

from .conftest import AwaitedSession, session_of
from .models import Plain, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Session
    from lift_dynamorm.transport import Transport
    from lift_dynamorm.transport.faults import Call, Fault

    Open = Callable[..., Session]


class Stock(Model, table="stock", pk="STOCK#{sku}"):
    """Without a version."""

    sku: str
    left: int = 0
    reserved: int = 0
    note: str = ""


class Locked(Model, table="locked", pk="LOCKED#{id}"):
    id: str
    name: str = ""
    last: int = 0
    version: Version = 0


# -- writes of one transaction to one item -----------------------------------------------------------------------------


@pytest.mark.parametrize("second", ["update", "delete"])
@pytest.mark.parametrize("by", ["key", "instance"])
async def test_the_condition_of_a_second_write_reaches_dynamodb(opened: Open, by: str, second: str) -> None:
    a, b = opened(Stock), opened(Stock)
    stock = await a.create(Stock(sku="a", left=1))
    with pytest.raises(TransactionConditionFailed):
        async with a.transaction():
            if by == "key":
                await a.update(Stock, {"sku": "a"}, reserved=1)
            else:
                await a.update(stock, reserved=1)
            if second == "delete":
                await a.delete(Stock, sku="a", if_=F.left > 0)
            else:
                await a.update(Stock, {"sku": "a"}, note="sold", if_=F.left > 0)
            await b.update(Stock, {"sku": "a"}, left=0)
    assert await b.get(Stock, sku="a") == Stock(sku="a", left=0)
    assert stock == Stock(sku="a", left=1)


async def test_a_second_condition_that_holds_lets_both_through(opened: Open) -> None:
    s = opened(Stock)
    await s.create(Stock(sku="a", left=1))
    async with s.transaction():
        await s.update(Stock, {"sku": "a"}, reserved=F.reserved + 1)
        await s.update(Stock, {"sku": "a"}, left=F.left - 1, if_=(F.left > 0) & (F.reserved == 1))
        with pytest.raises(ConditionFailed):
            await s.update(Stock, {"sku": "a"}, note="x", if_=F.left > 0)
    assert await s.get(Stock, sku="a") == Stock(sku="a", left=0, reserved=1)


@pytest.mark.parametrize("second", ["update", "delete"])
async def test_a_condition_on_what_nobody_can_know_is_refused(opened: Open, second: str) -> None:
    s = opened(Stock)
    await s.create(Stock(sku="a", left=2))
    with pytest.raises(UsageError, match="one update"):
        async with s.transaction():
            await s.update(Stock, {"sku": "a"}, left=F.left - 1, returning=False)
            if second == "delete":
                await s.delete(Stock, sku="a", if_=F.left > 0)
            else:
                await s.update(Stock, {"sku": "a"}, note="x", if_=F.left > 0)
    assert await s.get(Stock, sku="a") == Stock(sku="a", left=2)


@pytest.mark.parametrize("model", [Stock, Locked])
async def test_no_two_transactions_hand_out_one_ticket(opened: Open, model: Any) -> None:
    """All have read the counter before the first of them commits, in each of some rounds."""
    plain = opened(model)
    name, key = ("left", {"sku": "a"}) if model is Stock else ("last", {"id": "a"})
    await plain.create(model(**key))
    tickets, rounds = [], 3
    for _ in range(rounds):
        sessions: list[Any] = [opened(model) for _ in range(4)]
        shown = []
        for s in sessions:
            s.begin()
            shown.append(getattr(await s.update(model, key, **{name: F[name] + 1}), name))
        for s, ticket in zip(sessions, shown, strict=True):
            try:
                await s.commit()
            except ConditionFailed as error:
                assert isinstance(error, TransactionConditionFailed)  # noqa: PT017 - some succeed
                assert isinstance(error, VersionConflict) == (model is Locked)  # noqa: PT017
            else:
                tickets.append(ticket)
    assert tickets == list(range(1, rounds + 1))
    assert getattr(await plain.get(model, key), name) == rounds


async def test_counts_that_are_not_shown_are_all_kept(opened: Open) -> None:
    s: Any = opened(Stock, Locked)
    await s.create(Stock(sku="a"))
    await s.create(Locked(id="a"))
    sessions: list[Any] = [opened(Stock) for _ in range(4)]
    for other in sessions:
        other.begin()
        assert await other.update(Stock, {"sku": "a"}, left=F.left + 1, returning=False) is None
        assert await other.update(Stock, {"sku": "a"}, left=F.left + 1, returning=False) is None
        assert await other.update(Locked, {"id": "a"}, last=F.last + 1, returning=False) is None
    for other in sessions:
        await other.commit()
    assert (await s.get(Stock, sku="a")).left == 8
    locked = await s.get(Locked, id="a")
    assert (locked.last, locked.version) == (4, 5)
    assert await s.update(Stock, {"sku": "a"}, left=0, returning=False) is None


async def test_a_block_is_not_committed_or_rolled_back_by_hand(opened: Open) -> None:
    s = opened(Plain)
    async with s.transaction():
        await s.create(Plain(id="1"))
        with pytest.raises(UsageError, match="commits at its end"):
            await s.commit()
        with pytest.raises(UsageError, match="raise an exception"):
            s.rollback()
        assert await opened(Plain).find(Plain, id="1") is None
        await s.create(Plain(id="2"))
    assert await s.find(Plain, id="1")
    assert await s.find(Plain, id="2")
    s.begin()
    s.rollback()


@pytest.mark.parametrize("condition", [None, F.name == "other"])
@pytest.mark.parametrize("model", [Plain, Locked])
@pytest.mark.parametrize("by", ["key", "instance"])
async def test_what_is_missing_may_be_deleted_in_a_transaction(
    opened: Open, by: str, model: Any, condition: Any
) -> None:
    s, other = opened(Plain, Locked), opened(Plain, Locked)
    item = await s.create(model(id="1", name="other"))
    await other.delete(model, id="1")
    async with s.transaction():
        if by == "key":
            await s.delete(model, id="1", missing_ok=True, if_=condition)
        else:
            await s.delete(item, missing_ok=True, if_=condition)
        await s.create(Plain(id="beside it"))
    assert await s.find(Plain, id="beside it")
    item = await s.create(model(id="1", name="x"))
    with pytest.raises(ConditionFailed):
        async with s.transaction():
            await s.delete(item, missing_ok=True, if_=F.name == "other")
    assert await s.get(model, id="1") == item


# -- what counts as a change -------------------------------------------------------------------------------------------


class Before(Model, table="grown"):
    id: PartitionKey[str]
    name: str = ""


class After(Model, table="grown"):
    """The same items, a release later."""

    id: PartitionKey[str]
    name: str = ""
    state: str = "new"
    token: str = Field(default_factory=lambda: uuid4().hex)
    lines: list[str] = []
    box: dict[str, int] = {}
    tags: set[str] = set()


async def test_defaults_that_nobody_changed_are_not_written(opened: Open) -> None:
    s, other = opened(Before), opened(After)
    await s.create(Before(id="1"))
    read = await s.get(After, id="1")
    await other.update(After, {"id": "1"}, state="paid", token="theirs", lines=["theirs"], box={"x": 1}, tags={"t"})
    await s.update(read, name="x")
    expected = After(id="1", name="x", state="paid", token="theirs", lines=["theirs"], box={"x": 1}, tags={"t"})
    assert await s.get(After, id="1") == expected == read


async def test_a_default_that_differs_at_each_read_is_written_when_it_is_assigned(opened: Open) -> None:
    s = opened(Before)
    await s.create(Before(id="1"))
    read = await s.get(After, id="1")
    await s.update(read)
    assert (await s.get(After, id="1")).token != (await s.get(After, id="1")).token
    read.token = "mine"
    await s.update(read)
    assert (await s.get(After, id="1")).token == "mine"


async def test_a_default_that_is_changed_in_place_is_written(opened: Open) -> None:
    s = opened(Before)
    await s.create(Before(id="1"))
    read = await s.get(After, id="1")
    read.lines.append("a")
    read.box["b"] = 1
    read.tags.add("c")
    await s.update(read)
    found = await s.get(After, id="1")
    assert (found.lines, found.box, found.tags, found.state) == (["a"], {"b": 1}, {"c"}, "new")


# -- keys --------------------------------------------------------------------------------------------------------------


async def test_an_instance_under_another_key_is_another_item(opened: Open) -> None:
    s = opened(Locked)
    item = await s.create(Locked(id="1", name="first"))
    await s.update(item, name="second")
    item.id = "2"
    for attempt in (lambda: s.update(item, name="x"), lambda: s.update(item), lambda: s.delete(item)):
        with pytest.raises(UsageError, match="`id` is part of the item's key"):
            await attempt()
    await s.put(item)
    assert item == await s.get(Locked, id="2") == Locked(id="2", name="second", version=1)
    assert (await s.get(Locked, id="1")).version == 2
    item.id = "1"
    with pytest.raises(VersionConflict):
        await s.put(item)
    assert await s.get(Locked, id="1") == Locked(id="1", name="second", version=2)
    await s.create(Locked(id="3"))
    item.id = "3"
    with pytest.raises(VersionConflict):
        await s.put(item)
    with pytest.raises(ItemExists):
        await s.create(item)


class Counted(Model, table="counted", pk="COUNTED#{id}", sk="{number}"):
    id: str
    number: int = 0
    name: str = ""


async def test_an_item_that_has_its_key_but_not_the_field_can_be_changed(
    opened: Open, transport: Transport, db: Database
) -> None:
    s = opened(Counted)
    theirs = {"pk": {"S": "COUNTED#1"}, "sk": {"S": "0"}, "id": {"S": "1"}}
    drive(transport.blocking.send("PutItem", {"TableName": db.table_name("counted"), "Item": theirs}))
    item = await s.get(Counted, id="1", number=0)
    await s.update(item, name="x")
    assert await s.get(Counted, id="1", number=0) == item == Counted(id="1", name="x")
    await s.delete(item)
    assert await s.find(Counted, id="1", number=0) is None


class Member(Model, table="members", indexes=[GSI("by-team", pk=F.team)]):
    id: PartitionKey[str]
    team: str | None = None


async def test_a_key_that_looks_like_a_tenants_is_refused(opened: Open) -> None:
    s, acme = opened(Member), opened(Member, tenant="acme")
    theirs = await acme.create(Member(id="bob", team="core"))
    for attempt in (
        lambda: s.create(Member(id="@acme#bob")),
        lambda: s.put(Member(id="@acme#bob")),
        lambda: s.find(Member, id="@acme#bob"),
        lambda: s.get(Member, id="@acme#bob"),
        lambda: s.update(Member, {"id": "@acme#bob"}, team="x"),
        lambda: s.delete(Member, id="@acme#bob"),
        lambda: s.query(Member).where(id="@acme#bob").all(),
        lambda: s.query(Member).where(team="@acme#core").all(),
        lambda: s.create(Member(id="1", team="@acme#core")),
    ):
        with pytest.raises(InvalidValue, match="looks like a key of a tenant"):
            await attempt()
    mine = await s.create(Member(id="1"))
    for attempt in (
        lambda: s.update(Member, {"id": "1"}, team="@acme#core"),
        lambda: s.update(mine, team="@acme#core"),
        lambda: s.update(Member, {"id": "2"}, team="@acme#core", upsert=True),
    ):
        with pytest.raises(InvalidValue, match="looks like a key of a tenant"):
            await attempt()
    mine.team = "@acme#core"
    with pytest.raises(InvalidValue, match="looks like a key of a tenant"):
        await s.update(mine)
    assert await s.get(Member, id="1") == Member(id="1")
    assert await acme.query(Member).where(team="core").all() == [theirs]


async def test_a_database_may_require_tenants(
    db: Database, way: str, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    opened(Member)
    strict = Database(transport=db.transport, table_names=db.table_name, require_tenant=True)
    with pytest.raises(TenantMissing, match="unscoped"):
        session_of(strict, way)
    assert await session_of(strict, way, "acme").find(Member, id="1") is None
    with caplog.at_level(logging.WARNING, "lift_dynamorm"):
        s: Any = strict.unscoped("a report") if way == "async" else AwaitedSession(strict.sync.unscoped("a report"))
    assert "a report" in caplog.text
    await s.create(Member(id="1"))
    assert await s.get(Member, id="1") == Member(id="1")


async def test_an_attribute_that_carries_the_tenant_is_no_source(opened: Open) -> None:
    class Pair(Model, table="members", indexes=[GSI("by-team", pk=F.team)]):
        id: PartitionKey[str]
        team: str | None = None
        copy_of: str | None = None

    s = opened(Pair, tenant="acme")
    pair = await s.create(Pair(id="1", team="core"))
    for attempt in (
        lambda: s.update(pair, copy_of=F.team),
        lambda: s.update(pair, copy_of=F.id),
        lambda: s.update(Pair, {"id": "1"}, copy_of=F.copy_of.if_not_exists(F.team)),
        lambda: s.update(Pair, {"id": "1"}, copy_of=F.team.if_not_exists("x")),
        lambda: s.update(pair, team=F.copy_of),
        lambda: s.update(pair, copy_of="x", if_=F.copy_of == F.team),
        lambda: s.update(pair, copy_of="x", if_=F.team == F.copy_of),
        lambda: s.update(pair, copy_of="x", if_=F.copy_of.size() == F.team.size()),
        lambda: s.query(Pair).where(F.id == "1", F.copy_of == F.team).all(),
        lambda: s.query(Pair).where(F.id == "1", F.copy_of != F.id).all(),
    ):
        with pytest.raises(UsageError, match="partition key"):
            await attempt()
    assert await s.get(Pair, id="1") == pair == Pair(id="1", team="core")


# -- what the model refuses --------------------------------------------------------------------------------------------


class Address(BaseModel):
    city: Annotated[str, Field(max_length=5)] = "Rome"
    street: str


class Person(Model, table="people", pk="PERSON#{id}"):
    id: str
    name: str = "Ann"
    low: int = 0
    high: int = 10
    title: str
    address: Address = Address(street="s")

    @field_validator("name")
    @classmethod
    def stripped(cls, name: str) -> str:
        if name == "bad":
            raise ValueError("a bad name")
        return name.strip()

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


REFUSED: dict[str, Any] = {
    "field validator": {"name": "bad"},
    "type": {"low": "x"},
    "None for what is required": {"title": None},
    "source of another type": {"name": F.low},
    "source of another type, nested": {"low": F.address.city},
    "nested type": {"address": F.address.city.set(5)},
    "nested removal of what is required": {"address": F.address.street.remove()},
}
REFUSED_OF_AN_INSTANCE: dict[str, Any] = {
    "model validator": {"low": 11},
    "model validator, calculated": {"low": F.low + 11},
    "nested constraint": {"address": F.address.city.set("Constantinople")},
    "field validator on a source": {"name": F.title},
}


@pytest.mark.parametrize("changes", [*REFUSED.values(), *REFUSED_OF_AN_INSTANCE.values()])
async def test_an_update_stores_nothing_that_the_model_refuses(opened: Open, changes: dict[str, Any]) -> None:
    s = opened(Person)
    person = await s.create(Person(id="1", title="bad"))
    before = person.model_copy(deep=True)
    with pytest.raises((InvalidValue, UsageError)):
        await s.update(person, **changes)
    assert await s.get(Person, id="1") == person == before


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("upsert", [False, True])
async def test_an_update_by_key_stores_nothing_that_a_field_refuses(
    opened: Open, changes: dict[str, Any], upsert: bool
) -> None:
    s = opened(Person)
    person = await s.create(Person(id="1", title="Dr"))
    with pytest.raises((InvalidValue, UsageError)):
        await s.update(Person, {"id": "1"}, upsert=upsert, **changes)
    assert await s.get(Person, id="1") == person


async def test_what_was_assigned_is_validated_too(opened: Open) -> None:
    s = opened(Person)
    person = await s.create(Person(id="1", title="Dr"))
    person.name = "bad"
    with pytest.raises(InvalidValue, match="a bad name"):
        await s.update(person)
    assert (await s.get(Person, id="1")).name == "Ann"


async def test_what_a_validator_returns_is_stored(opened: Open) -> None:
    s = opened(Person)
    person = await s.create(Person(id="1", title="Dr"))
    await s.update(person, name="  Bob ")
    assert person.name == (await s.get(Person, id="1")).name == "Bob"
    assert (await s.update(Person, {"id": "1"}, name=" Cid ")).name == "Cid"
    person.name = " Dan "
    await s.update(person)
    assert (await s.get(Person, id="1")).name == "Dan"


class Nicked(Model, table="nicked", indexes=[GSI("by-nick", pk=F.nick)]):
    id: PartitionKey[str]
    nick: str | None = None

    @field_validator("nick")
    @classmethod
    def never_empty(cls, nick: str | None) -> str | None:
        return nick or None


@pytest.mark.parametrize("how", ["key", "upsert", "value", "assigned"])
async def test_a_validator_that_returns_none_removes_the_attribute(opened: Open, how: str) -> None:
    s = opened(Nicked)
    item = await s.create(Nicked(id="1", nick="n"))
    if how in ("key", "upsert"):
        item = await s.update(Nicked, {"id": "1"}, nick="", upsert=how == "upsert")
    elif how == "value":
        await s.update(item, nick="")
    else:
        item.nick = ""
        await s.update(item)
    assert item == await s.get(Nicked, id="1") == Nicked(id="1")
    assert await s.query(Nicked).where(nick="n").all() == []
    with pytest.raises(ConditionFailed) as caught:
        await s.update(Nicked, {"id": "1"}, nick="x", if_=F.nick.exists())
    assert caught.value.wire_item == {"id": {"S": "1"}}


# -- upserts -----------------------------------------------------------------------------------------------------------


class Visit(
    Model,
    table="visits",
    pk="VISIT#{id}",
    indexes=[
        GSI("by_all", pk="VISITS", sk="{id}"),
        GSI("by_state", pk="STATE#{state}", sk="{id}"),
        GSI("by-place", pk=F.place),
    ],
):
    id: str
    state: str = "open"
    place: str = "here"
    hits: int = 0
    title: str


@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_an_upsert_is_in_all_its_indexes(opened: Open, tenant: str | None) -> None:
    s = opened(Visit, tenant=tenant)
    made = await s.update(Visit, {"id": "1"}, title="t", hits=F.hits.if_not_exists(0) + 1, upsert=True)
    assert made == await s.get(Visit, id="1") == Visit(id="1", title="t", hits=1)
    assert await s.query(Visit).index("by_all").all() == [made]
    assert await s.query(Visit).where(state="open").all() == [made]
    assert await s.query(Visit).where(place="here").all() == [made]
    other = await s.update(Visit, {"id": "2"}, title="t", state="done", place="there", upsert=True)
    assert await s.query(Visit).where(state="done").all() == [other]
    assert await s.query(Visit).where(place="there").all() == [other]
    assert await s.query(Visit).index("by_all").all() == [made, other]


async def test_an_upsert_leaves_an_item_that_is_there_as_it_is(opened: Open) -> None:
    s = opened(Visit)
    await s.create(Visit(id="1", state="done", place="there", hits=5, title="old"))
    made = await s.update(Visit, {"id": "1"}, title="new", upsert=True)
    assert made == await s.get(Visit, id="1") == Visit(id="1", state="done", place="there", hits=5, title="new")
    assert await s.query(Visit).where(state="done").all() == [made]
    assert await s.query(Visit).where(state="open").all() == []
    assert await s.query(Visit).where(place="there").all() == [made]


async def test_an_upsert_gives_what_a_new_item_needs(opened: Open) -> None:
    s = opened(Visit)
    with pytest.raises(UsageError, match="title"):
        await s.update(Visit, {"id": "1"}, state="done", upsert=True)
    with pytest.raises(UsageError, match="if_not_exists"):
        await s.update(Visit, {"id": "1"}, title="t", hits=F.hits + 1, upsert=True)
    assert await s.find(Visit, id="1") is None


# -- lost answers ------------------------------------------------------------------------------------------------------


class Stamped(Model, table="stamped"):
    id: PartitionKey[str]
    name: str = ""
    version: Version = 0
    updated_at: UpdatedAt = None


class Unstamped(Model, table="unstamped"):
    id: PartitionKey[str]
    name: str = ""
    version: Version = 0


def broken(transport: Transport, db: Database, way: str, fault: Fault) -> Session:
    """A session whose next write meets a fault."""
    writes = frozenset({"PutItem", "UpdateItem"})
    way_there = RetryTransport(FaultTransport(transport, [On(writes, fault)]), base=0.0001, max_attempts=5)
    return session_of(Database(transport=way_there, table_names=db.table_name, now=db.now), way)


VERBS: dict[str, Callable[[Session, Any], Any]] = {
    "create": lambda s, item: s.create(item),
    "put": lambda s, item: s.put(item),
    "update": lambda s, item: s.update(item, name="mine"),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_lost_answer_is_recognised_by_the_time_of_the_write(
    opened: Open, transport: Transport, db: Database, way: str, verb: str
) -> None:
    s = opened(Stamped, Unstamped)
    for model in (Stamped, Unstamped):
        item: Any = model(id="1", name="mine")
        if verb != "create":
            await s.create(item)
        act = VERBS[verb](broken(transport, db, way, DropAfterSend()), item)
        if model is Stamped:
            await act
            assert await s.get(model, id="1") == item
            assert item.version == (1 if verb == "create" else 2)
        else:
            before = item.model_copy()
            with pytest.raises(OutcomeUnknown) as caught:
                await act
            assert caught.value.maybe_applied
            assert item == before


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("model", [Stamped, Unstamped])
async def test_an_equal_write_of_a_rival_is_never_taken_for_ours(
    opened: Open, transport: Transport, db: Database, way: str, verb: str, model: Any
) -> None:
    """Ours is lost on its way; before it is repeated, someone else writes the very same."""
    s = opened(model)
    mine, theirs = model(id="1", name="mine"), model(id="1", name="mine")
    if verb != "create":
        mine = await s.create(mine)
        theirs = await s.get(model, id="1")
    before = mine.model_copy()

    class Overtaken:
        async def send(self, call: Call) -> Any:
            await VERBS[verb](s, theirs)
            return await InternalError().send(call)

    with pytest.raises((ConditionFailed, OutcomeUnknown)) as refused:
        await VERBS[verb](broken(transport, db, way, Overtaken()), mine)
    assert isinstance(refused.value, ConditionFailed) == (model is Stamped)
    assert mine == before
    assert await s.get(model, id="1") == theirs


# -- calls that come naturally, and are wrong --------------------------------------------------------------------------


async def test_wrong_calls_say_what_to_write(opened: Open) -> None:
    s: Any = opened(User)
    user = await s.create(User(id="1"))
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: s.get(User, "1"), "id=..."),
        (lambda: s.get(user), "model class"),
        (lambda: s.delete(User, "1"), "id=..."),
        (lambda: s.create(User), r"create\(User\(...\)\)"),
        (lambda: s.put(User), r"put\(User\(...\)\)"),
        (lambda: s.update(user, {"name": "x"}), "name=..."),
        (lambda: s.update(User, name="x"), "needs the key"),
        (lambda: s.update(User, "1", name="x"), "needs the key"),
        (lambda: s.update(User, {"id": "1"}, {"name": "x"}), "name=..."),
        (lambda: s.query(user).where(team="a").all(), "model class"),
    ]
    for attempt, words in calls:
        with pytest.raises(UsageError, match=words):
            await attempt()
    assert await s.get(User, id="1") == user


async def test_begins_with_is_for_text(opened: Open) -> None:
    s = opened(User)
    user = await s.create(User(id="1", logins=12))
    with pytest.raises(QueryError, match="begins_with is for text, and `logins` is none"):
        await s.update(user, name="x", if_=F.logins.begins_with("1"))
    with pytest.raises(QueryError, match="begins_with"):
        await s.query(User).where(F.id == "1", F.logins.begins_with("1")).all()


async def test_a_missing_table_is_named_with_the_mend(transport: Transport, way: str) -> None:
    class Nowhere(Model, table="nowhere"):
        id: PartitionKey[str]

    s = session_of(Database(transport=transport, table_names={"nowhere": "never-made"}), way)
    for attempt in (
        lambda: s.find(Nowhere, id="1"),
        lambda: s.create(Nowhere(id="1")),
        lambda: s.query(Nowhere).where(id="1").all(),
    ):
        with pytest.raises(ServiceError, match=r"no table 'never-made'.*create_tables"):
            await attempt()
    s.begin()
    await s.put(Nowhere(id="1"))
    with pytest.raises(ServiceError, match=r"no table 'never-made'.*create_tables"):
        await s.commit()


async def test_a_table_that_lacks_an_index_is_not_taken_for_the_models(db: Database) -> None:
    class Old(Model, table="grown"):
        id: PartitionKey[str]

    class New(Model, table="grown", indexes=[GSI("by-name", pk=F.name)]):
        id: PartitionKey[str]
        name: str = ""

    db.sync.create_tables(Old)
    with pytest.raises(TablesDiffer, match="create index by-name"):
        db.sync.create_tables(New)


# -- conditions --------------------------------------------------------------------------------------------------------


class Player(
    Model,
    table="players",
    pk="P#{id}",
    indexes=[GSI("by_team", pk=F.team), GSI("by_org", pk="ORG#{org}", sk="{team}")],
):
    id: str
    team: str
    org: str = "x"


@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_ranges_on_a_template_of_a_field_that_carries_the_tenant(opened: Open, tenant: str | None) -> None:
    s = opened(Player, tenant=tenant)
    for team in ("alpha", "beta", "gamma"):
        await s.create(Player(id=team, team=team))
    for condition, teams in (
        (F.team.begins_with("a"), ["alpha"]),
        (F.team >= "b", ["beta", "gamma"]),
        (F.team > "alpha", ["beta", "gamma"]),
        (F.team <= "beta", ["alpha", "beta"]),
        (F.team < "beta", ["alpha"]),
        (F.team.between("b", "c"), ["beta"]),
        (F.team == "beta", ["beta"]),
    ):
        assert [each.team async for each in s.query(Player).index("by_org").where(condition, org="x")] == teams


class Round(
    Model,
    table="rounds",
    pk="R#{team}",
    sk="{n}",
    indexes=[GSI("by_team", pk=F.team), GSI("by_kind", pk="K#{kind}", projection="KEYS_ONLY")],
):
    team: str
    n: int
    kind: str = "k"


@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_conditions_on_what_is_read_out_of_a_key(opened: Open, tenant: str | None) -> None:
    s = opened(Round, tenant=tenant)
    for team in ("a", "b"):
        await s.create(Round(team=team, n=-5))
    for condition, team in ((F.team == "a", "a"), (F.team != "a", "b"), (F.team.begins_with("b"), "b")):
        assert [each.team async for each in s.query(Round).index("by_kind").where(condition, kind="k")] == [team]
        assert [each.team async for each in s.scan(Round).index("by_kind").where(condition)] == [team]


class Pure(Model, table="pure", pk="{a}#{b}#{c}"):
    """Nothing stands in front of the values in its key."""

    a: str
    b: str = "b"
    c: str = "c"
    email: Unique[str | None] = None


async def test_rows_of_a_model_are_neither_tenants_nor_claims(opened: Open, db: Database, way: str) -> None:
    s = opened(Plain, Pure)
    acme = session_of(db, way, "acme")
    for each in (s, acme):
        name = "ours" if each is s else "theirs"
        await each.create(Plain(id=name))
        await each.create(Pure(a=name, email="e"))
    for model, most in ((Plain, 2), (Pure, 4)):
        schema: Any = schema_of(model)
        stored = (await s.execute("Scan", {"TableName": schema.table.name})).get("Items", [])
        assert len(stored) == most
        for each, prefix in ((s, ""), (acme, "@acme#")):
            assert len([item for item in stored if schema.owns(item, prefix)]) == 1
            assert len(await each.scan(model).all()) == 1


def _lower(value: str) -> str:
    return value.lower()


_PROBED: list[str] = []


def _noted() -> list[str]:
    _PROBED.append("made")
    return []


class Kept(Model, table="kept", pk="KEPT#{id}", indexes=[GSI("by_mail", pk="M#{mail}")]):
    """`mail` is in a key and `nick` in none; their values are put through the same validator."""

    id: Annotated[str, Field(min_length=1)]
    mail: Annotated[str, AfterValidator(_lower)] = ""
    nick: Annotated[str, AfterValidator(_lower)] = ""
    code: Base64Str = ""
    kind: str = "user"
    made: list[str] = Field(default_factory=_noted)

    @field_validator("kind")
    @classmethod
    def short(cls, value: str) -> str:
        return value[:4]

    @model_validator(mode="after")
    def named(self) -> Self:
        _PROBED.append("named")
        if not self.id.startswith(f"{self.kind}:"):
            self.__dict__["id"] = f"{self.kind}:{self.id}"
        return self


async def test_what_is_looked_for_is_what_the_field_would_store(opened: Open) -> None:
    s = opened(Kept)
    kept = await s.create(Kept(id="1", mail="Ann", nick="Ann", kind="administrator", code="dGVzdA=="))
    assert (kept.id, kept.code) == ("admi:1", "test")
    for field in (F.mail, F.nick):
        query = s.query(Kept).where(id="admi:1")
        assert await query.where(field == "ANN").count() == 1
        assert await query.where(field != "ANN").count() == 0
        assert await query.where(field.is_in(["x", "ANN"])).count() == 1
    assert await s.query(Kept).where(F.nick == "ANN", mail="aNN").count() == 1
    assert await s.query(Kept).where(id=kept.id, kind="administration").count() == 1
    assert await s.query(Kept).where(id=kept.id, code=kept.code).count() == 1


async def test_a_lookup_runs_no_validator_of_the_whole_model(opened: Open) -> None:
    s = opened(Kept)
    await s.create(Kept(id="1", kind="root"))
    _PROBED.clear()
    assert await s.find(Kept, id="1") is None
    assert await s.query(Kept).where(F.mail != "m", id="user:2").all() == []
    assert _PROBED == []
    assert (await s.get(Kept, id="root:1")).kind == "root"


async def test_a_between_that_holds_nothing_is_no_error(opened: Open) -> None:
    s = opened(Plain)
    await s.create(Plain(id="1", count=5))
    query = s.query(Plain).where(id="1")
    assert await query.where(F.count.between(9, 1)).all() == []
    assert await query.where(F.count.between(9, 1) | (F.name == "")).count() == 1
    assert await query.where(~F.count.between(9, 1)).count() == 1
    assert await s.scan(Plain).where(F.count.between(9, 1)).all() == []
    with pytest.raises(ConditionFailed):
        await s.update(Plain, {"id": "1"}, count=6, if_=F.count.between(9, 1))


# -- unique values -----------------------------------------------------------------------------------------------------


class Aliased(Model, table="aliased", pk="A#{id}"):
    id: str
    one: Unique[str | None] = Field(default=None, alias="x")
    two: Unique[str | None] = Field(default=None, alias="x#y")


class Derived(Aliased):
    """Of the same items."""


async def test_claims_of_two_fields_never_meet(opened: Open) -> None:
    s = opened(Aliased)
    await s.create(Aliased(id="1", x="y#v"))
    await s.create(Aliased(id="2", **{"x#y": "v"}))
    assert await s.scan(Aliased).count() == 2


async def test_subclasses_share_the_values_of_their_table(opened: Open) -> None:
    s = opened(Aliased)
    await s.create(Aliased(id="1", x="v"))
    with pytest.raises(UniqueViolation):
        await s.create(Derived(id="2", x="v"))
    derived = await s.get(Derived, id="1")
    await s.update(derived, one="w")
    await s.create(Aliased(id="3", x="v"))
