"""Many items at a time: all of them, in the end or in the error."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import (
    TTL,
    BatchIncomplete,
    CreatedAt,
    Database,
    F,
    Key,
    Model,
    PartitionKey,
    ServiceError,
    TransactionCanceled,
    TransactionConditionFailed,
    TransactionConflict,
    TransactionTooLarge,
    Unique,
    UpdatedAt,
    UsageError,
    VersionConflict,
)
from lift_dynamorm.model import stored_item
from lift_dynamorm.transport.faults import (
    BadAnswer,
    Chaos,
    Conflict,
    DropAfterSend,
    DropBeforeSend,
    FaultTransport,
    InternalError,
    On,
    Script,
    Throttle,
    Unprocessed,
)
from lift_dynamorm.transport.retry import RetryTransport

from .conftest import session_of
from .models import DAY, Blob, Counter, Note, Order, Plain, User

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lift_dynamorm import Batch, Session
    from lift_dynamorm.transport import Transport
    from lift_dynamorm.transport.faults import Fault, Plan

    Open = Callable[..., Session]
    Broken = Callable[..., Session]

BATCHES = frozenset({"BatchGetItem", "BatchWriteItem"})
EVERY_MODEL = (Plain, Note, Counter, Blob, User, Order)


class Stamped(Model, table="stamped"):
    id: PartitionKey[str]
    tags: set[str] | None = None
    created_at: CreatedAt = None
    updated_at: UpdatedAt = None
    expires_at: TTL = None


class Named(Model, table="named", pk="NAMED#{id}", sk="-"):
    id: str
    name: Unique[str]


@pytest.fixture
def broken(transport: Transport, db: Database, way: str) -> Broken:
    """Open a session whose batches meet these faults, one after the other, or as a plan says."""

    def open_session(*faults: Fault | None, plan: Plan | None = None, attempts: int | None = None) -> Session:
        plan = plan or Script(*(On(BATCHES | {"TransactGetItems"}, fault) for fault in faults))
        way_there = RetryTransport(FaultTransport(transport, plan), base=0.0001, max_attempts=attempts)
        return session_of(Database(transport=way_there, table_names=db.table_name), way)

    return open_session


def counters(count: int) -> list[Counter]:
    return [Counter(number=n, hits=n % 7) for n in range(count)]


def keys(count: int) -> list[Key[Counter]]:
    return [Key(Counter, number=n) for n in range(count)]


def mixed(count: int) -> list[Model]:
    """Items of every kind of key, in five tables."""
    items: list[Model] = []
    for n in range(0, count, 6):
        items += [
            Plain(id=str(n), tags={"a", str(n)}),
            Note(owner="ann", written=DAY + timedelta(n), text="x" * n),
            Counter(number=n - 50, hits=n),
            Blob(digest=bytes([n]), size=n),
            User(id=str(n), email=f"{n}@example.com", team="core"),
            Order(user=str(n), number=n, amount=n / 2),
        ]
    return items[:count]


def key_of(item: Model) -> Key[Any]:
    names = {Plain: ["id"], Note: ["owner", "written"], Counter: ["number"], Blob: ["digest"], User: ["id"]}
    return Key(type(item), {name: getattr(item, name) for name in names.get(type(item), ["user", "number", "amount"])})


async def write(s: Session, items: Sequence[Model]) -> None:
    async with s.batch(unchecked=True) as batch:
        for item in items:
            batch.put(item)


# -- reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
async def test_any_number_of_items_in_the_order_of_their_keys(opened: Open, count: int) -> None:
    s = opened(Counter)
    items = counters(count)
    await write(s, items)
    backwards = items[::-1]
    found = await s.batch_get(Counter, ({"number": item.number} for item in backwards))
    assert list(found) == backwards
    assert found.missing == ()
    twice = [*keys(count + 2), *keys(count)]
    found = await s.batch_get(twice, consistent=True)
    assert list(found) == items
    assert found.missing == (Key(Counter, number=count), Key(Counter, number=count + 1))


async def test_models_and_tables_are_mixed(opened: Open) -> None:
    s = opened(*EVERY_MODEL)
    items = mixed(150)
    await write(s, items)
    found = await s.batch_get([key_of(item) for item in items])
    assert list(found) == items
    assert [type(item) for item in found] == [type(item) for item in items]
    assert await s.transact_get(*map(key_of, items[:18])) == tuple(items[:18])
    async with s.batch() as batch:
        for item in items:
            batch.delete(key_of(item))
    assert len(await s.batch_get([key_of(item) for item in items])) == 0


async def test_more_than_an_answer_holds(opened: Open) -> None:
    s = opened(Note)
    notes = [Note(owner="a", written=DAY + timedelta(n), text="x" * 390_000) for n in range(45)]
    await write(s, notes)
    assert list(await s.batch_get([key_of(note) for note in notes])) == notes


async def test_each_tenant_has_its_own(opened: Open) -> None:
    one, other = opened(User, tenant="one"), opened(User, tenant="other")
    await write(one, [User(id="1", name="one"), User(id="2")])
    await write(other, [User(id="1", name="other")])
    wanted = [Key(User, id="1"), Key(User, id="2")]
    found = await other.batch_get(wanted)
    assert [user.name for user in found] == ["other"]
    assert found.missing == (Key(User, id="2"),)
    first, second = await other.transact_get(*wanted)
    assert first is not None
    assert (first.name, second) == ("other", None)
    async with other.batch() as batch:
        batch.delete(Key(User, id="1"))
        batch.delete(Key(User, id="2"))
    assert [user.name for user in await one.batch_get(wanted)] == ["one", ""]


async def test_what_has_expired_is_missing(opened: Open) -> None:
    s = opened(Stamped)
    over, there = Stamped(id="1", expires_at=datetime(2020, 1, 1, tzinfo=UTC)), Stamped(id="2")
    await write(s, [over, there])
    wanted = [Key(Stamped, id="1"), Key(Stamped, id="2")]
    found = await s.batch_get(wanted)
    assert (list(found), found.missing) == ([there], (Key(Stamped, id="1"),))
    assert list(await s.batch_get(wanted, include_expired=True)) == [over, there]
    assert await s.transact_get(*wanted) == (None, there)
    assert await s.transact_get(*wanted, include_expired=True) == (over, there)


async def test_a_transaction_sees_its_own_writes(opened: Open) -> None:
    s = opened(User, Plain)
    await write(s, [User(id="1"), User(id="2"), User(id="3")])
    wanted = [Key(User, id=id) for id in "1234"]
    async with s.transaction():
        await s.update(User, {"id": "1"}, name="new")
        await s.delete(User, id="2")
        await s.create(User(id="4", name="newer"))
        found = await s.batch_get(wanted)
        assert [(user.id, user.name) for user in found] == [("1", "new"), ("3", ""), ("4", "newer")]
        assert found.missing == (Key(User, id="2"),)
        one, two, three, four = await s.transact_get(*wanted)
        assert (one, two, three, four) == (found[0], None, found[1], found[2])


async def test_what_a_serializable_transaction_reads_must_stay(opened: Open) -> None:
    s, other = opened(Plain), opened(Plain)
    await write(s, [Plain(id="1"), Plain(id="2")])
    for read in (
        lambda id: s.batch_get([Key(Plain, id=id)]),
        lambda id: s.transact_get(Key(Plain, id=id)),
    ):
        for id in ("1", "missing"):
            await other.delete(Plain, id="missing", missing_ok=True)
            with pytest.raises(TransactionConditionFailed) as caught:
                async with s.transaction(isolation="serializable"):
                    await read(id)
                    await s.put(Plain(id="3"))
                    await other.update(Plain, {"id": id}, count=F.count.add(1), upsert=True)
            assert isinstance(caught.value, VersionConflict)
    assert await s.find(Plain, id="3") is None


async def test_hooks_see_what_is_read(opened: Open, db: Database) -> None:
    s = opened(Plain, Counter)
    await write(s, [Plain(id="1"), Counter(number=1)])
    seen: list[Model] = []
    db.after_read(Plain)(seen.append)
    wanted: list[Key[Any]] = [Key(Plain, id="1"), Key(Counter, number=1), Key(Plain, id="2")]
    await s.batch_get(wanted)
    await s.transact_get(*wanted)
    assert seen == [Plain(id="1")] * 2


# -- reading at one moment ---------------------------------------------------------------------------------------------


async def test_a_snapshot_is_in_the_order_of_its_keys(opened: Open) -> None:
    s = opened(User, Counter)
    user, counter = await s.create(User(id="1")), await s.create(Counter(number=1))
    assert await s.transact_get(Key(Counter, number=1), Key(User, id="2"), Key(User, id="1")) == (counter, None, user)
    again = await s.transact_get(Key(User, id="1"), Key(Counter, number=1), Key(User, id="1"))
    assert again == (user, counter, user)
    assert await s.transact_get() == ()


async def test_a_snapshot_holds_a_hundred_items(opened: Open) -> None:
    s = opened(Counter)
    items = counters(101)
    await write(s, items)
    assert await s.transact_get(*keys(100), *keys(100)) == (*items[:100], *items[:100])
    with pytest.raises(TransactionTooLarge, match=r"101 .* batch_get"):
        await s.transact_get(*keys(101))


async def test_a_snapshot_waits_for_other_transactions(opened: Open, broken: Broken) -> None:
    s = opened(Counter)
    item = await s.create(Counter(number=1))
    assert await broken(Conflict(), Throttle(), DropAfterSend()).transact_get(*keys(2)) == (None, item)
    with pytest.raises(TransactionConflict) as caught:
        await broken(*[Conflict(frozenset({1}))] * 9, attempts=3).transact_get(*keys(2), *keys(1))
    first, second, again = caught.value.reasons
    assert (first, again) == (None, None)
    assert isinstance(second, ServiceError)
    assert (second.code, second.operation) == ("TransactionConflict", "TransactGetItems")
    async with s.transaction():
        await s.put(Counter(number=0))
        failing = broken(*[Conflict(frozenset({0}))] * 9, attempts=3)
        failing.begin()
        await failing.put(Counter(number=0))
        with pytest.raises(TransactionConflict, match="key 2: ") as caught:
            await failing.transact_get(*keys(2))
        failing.rollback()
    assert [reason is None for reason in caught.value.reasons] == [True, False]


# -- writing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 24, 25, 26, 100])
async def test_any_number_of_writes(opened: Open, count: int) -> None:
    s = opened(*EVERY_MODEL)
    items = mixed(count)
    await write(s, items)
    assert list(await s.batch_get([key_of(item) for item in items], consistent=True)) == items
    for item in items:
        assert stored_item(item)
    async with s.batch(unchecked=True) as batch:
        for n, item in enumerate(items):
            batch.delete(item if n % 2 else key_of(item))
        batch.delete(Key(Plain, id="was never there"))
        batch.put(Plain(id="new"))
    assert len(await s.batch_get([key_of(item) for item in items])) == 0
    assert await s.get(Plain, id="new") == Plain(id="new")


async def test_a_block_that_raises_writes_nothing(opened: Open) -> None:
    s = opened(Counter)
    items = counters(60)
    with pytest.raises(ZeroDivisionError):
        async with s.batch() as batch:
            for item in items:
                batch.put(item)
            raise ZeroDivisionError
    assert len(await s.batch_get(keys(60))) == 0
    assert [stored_item(item) for item in items] == [None] * 60


async def test_many_items_in_little_memory(opened: Open) -> None:
    s = opened(Counter)
    items = counters(70)
    async with s.batch() as batch:
        for item in items:
            batch.put(item)
            if len(batch) == 30:
                await batch.flush()
        assert [stored_item(item) is not None for item in items] == [True] * 60 + [False] * 10
    assert list(await s.batch_get(keys(70))) == items


async def test_instances_show_what_is_stored(opened: Open) -> None:
    s = opened(Stamped, User)
    stamped = Stamped(id="1", tags=set(), expires_at=datetime(2999, 1, 1, 0, 0, 0, 7, tzinfo=UTC))
    old = await s.create(User(id="old"))
    old.name = "changed"
    new = User(id="new")
    await write(s, [stamped, old, new])
    assert (old.version, new.version) == (2, 1)
    assert stamped.tags is None
    assert stamped.created_at == stamped.updated_at is not None
    assert await s.get(Stamped, id="1") == stamped
    assert await s.get(User, id="old") == old
    assert await s.get(User, id="new") == new
    new.name = "then"
    await s.update(new)
    assert (await s.get(User, id="new")).name == "then"
    async with s.batch(unchecked=True) as batch:
        batch.delete(new)
    await s.create(new.model_copy(update={"version": 0}))


async def test_unchecked_writes_over_whatever_is_there(opened: Open) -> None:
    s = opened(User)
    stale = await s.create(User(id="1"))
    for name in ("a", "b"):
        await s.update(User, {"id": "1"}, name=name)
    stale.name = "stale"
    acts: list[Callable[[Batch], None]] = [
        lambda batch: batch.put(stale),
        lambda batch: batch.delete(stale),
        lambda batch: batch.put(User(id="2")),
    ]
    for refused in acts:
        with pytest.raises(UsageError, match=r"version of a User.*put\(\).*unchecked=True"):
            async with s.batch() as batch:
                refused(batch)
    assert (await s.get(User, id="1")).name == "b"
    await write(s, [stale])
    assert await s.get(User, id="1") == stale
    assert (stale.name, stale.version) == ("stale", 2)
    async with s.batch() as batch:
        batch.delete(Key(User, id="1"))
    assert await s.find(User, id="1") is None


async def test_unique_fields_are_not_for_batches(opened: Open) -> None:
    s = opened(Named)
    item = await s.create(Named(id="1", name="ann"))
    acts: list[Callable[[Batch], None]] = [
        lambda batch: batch.put(item),
        lambda batch: batch.delete(item),
        lambda batch: batch.delete(Key(Named, id="1")),
    ]
    for refused in acts:
        with pytest.raises(UsageError, match=r"`name` of Named unique.*put\(\)"):
            async with s.batch(unchecked=True) as batch:
                refused(batch)
    assert await s.get(Named, id="1") == item


# -- faults ------------------------------------------------------------------------------------------------------------

FAULTS: list[Fault] = [
    Unprocessed(0.01),
    Unprocessed(0.5),
    Unprocessed(1.0),
    Throttle(),
    DropBeforeSend(),
    DropAfterSend(),
    BadAnswer(),
    InternalError(applied=True),
    InternalError(applied=False),
]
ODDS: dict[Any, float] = dict.fromkeys(FAULTS, 0.06)


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_nothing_is_lost_to_a_fault(opened: Open, broken: Broken, fault: Fault) -> None:
    s = opened(*EVERY_MODEL)
    items = mixed(60)
    await write(broken(*[fault, None, fault] * 3), items)
    wanted = [key_of(item) for item in items]
    assert list(await s.batch_get(wanted)) == items
    failing = broken(*[fault, None, fault] * 3)
    assert list(await failing.batch_get([*wanted, *keys(60)])) == items
    async with failing.batch() as batch:
        for key in wanted:
            batch.delete(key)
    assert len(await s.batch_get(wanted)) == 0


@pytest.mark.parametrize("count", [25, 101, 250])
async def test_nothing_is_lost_in_chaos(opened: Open, broken: Broken, count: int) -> None:
    s = opened(Counter)
    items = counters(count)
    for seed in range(3):
        failing = broken(plan=Chaos(seed, ODDS, operations=BATCHES))
        await write(failing, items[: count // 2])
        found = await failing.batch_get(keys(count))
        assert list(found) == items[: count // 2]
        assert list(found.missing) == keys(count)[count // 2 :]
        async with failing.batch() as batch:
            for key in keys(count):
                batch.delete(key)
        assert len(await s.batch_get(keys(count))) == 0


async def test_the_error_tells_all_that_is_left(opened: Open, broken: Broken) -> None:
    """With few attempts much fails: what is found, missing and left is everything, and none of it is wrong."""
    s = opened(Counter)
    failures = 0
    for seed in range(30):
        items = counters(130)
        left: Sequence[Any] = ()
        try:
            await write(broken(plan=Chaos(seed, ODDS, operations=BATCHES), attempts=2), items)
        except BatchIncomplete as error:
            left = error.unprocessed
            failures += 1
        assert [item for item in items if item in left] == list(left)
        assert [stored_item(item) is None for item in items] == [item in left for item in items]
        stored = {item.number for item in await s.batch_get(keys(130))}
        assert stored >= {item.number for item in items if item not in left}

        wanted = keys(131)
        unread: Sequence[Any] = ()
        try:
            found = await broken(plan=Chaos(seed, ODDS, operations=BATCHES), attempts=2).batch_get(wanted)
        except BatchIncomplete as error:
            found, unread = error.found, error.unprocessed
            failures += 1
        assert [key for key in wanted if key in unread] == list(unread)
        seen = [key for key in wanted if key not in unread]
        assert [item.number for item in found] == [
            key.values["number"] for key in seen if key.values["number"] in stored
        ]
        assert list(found.missing) == [key for key in seen if key.values["number"] not in stored]
        async with s.batch() as batch:
            for key in wanted:
                batch.delete(key)
    assert 10 < failures < 60


async def test_a_snapshot_that_is_refused_says_why(opened: Open, broken: Broken) -> None:
    class Forbidden:
        async def send(self, call: Any) -> Any:
            try:
                return await Conflict().send(call)
            except ServiceError as error:
                for reason in error.answer["CancellationReasons"]:
                    reason["Code"] = "AccessDenied"
                raise

    opened(Counter)
    with pytest.raises(TransactionCanceled, match="AccessDenied") as caught:
        await broken(Forbidden()).transact_get(*keys(1))
    assert not isinstance(caught.value, TransactionConflict)
