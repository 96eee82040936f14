"""`Unique` fields: no two items with the same value, however it came there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import (
    Database,
    F,
    ItemExists,
    ItemNotFound,
    Model,
    PartitionKey,
    SortKey,
    TransactionConditionFailed,
    Unique,
    UniqueViolation,
    Version,
    VersionConflict,
)
from lift_dynamorm.transport.faults import (
    Conflict,
    DropAfterSend,
    DropBeforeSend,
    FaultTransport,
    InternalError,
    On,
    Throttle,
)
from lift_dynamorm.transport.retry import RetryTransport

from .conftest import session_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Session
    from lift_dynamorm.transport import Transport
    from lift_dynamorm.transport.faults import Call, Fault

    Open = Callable[..., Session]


class Member(Model, table="members", pk="MEMBER#{id}", sk="PROFILE"):
    id: str
    email: Unique[str]
    number: Unique[int | None] = None
    name: str = ""
    version: Version = 0


class Free(Model, table="free"):
    """No version, plain keys, a sort key that is a number."""

    id: PartitionKey[str]
    at: SortKey[int] = 0
    slug: Unique[str | None] = None
    name: str = ""


async def test_a_value_is_taken_once(opened: Open) -> None:
    s = opened(Member)
    await s.create(Member(id="1", email="a@x", number=7))
    for other in (Member(id="2", email="a@x"), Member(id="2", email="b@x", number=7)):
        with pytest.raises(UniqueViolation) as error:
            await s.create(other)
        assert error.value.field == ("email" if other.number is None else "number")
        assert other.version == 0
    assert await s.find(Member, id="2") is None
    await s.create(Member(id="2", email="b@x", number=8))
    await s.create(Member(id="3", email="c@x"))
    await s.create(Member(id="4", email="d@x"))


async def test_a_create_that_finds_its_item_says_so(opened: Open) -> None:
    s = opened(Member)
    ann = await s.create(Member(id="1", email="a@x"))
    for email in ("a@x", "b@x"):
        with pytest.raises(ItemExists) as error:
            await s.create(Member(id="1", email=email))
        assert error.value.item == ann
    await s.create(Member(id="2", email="b@x"))
    with pytest.raises(ItemExists):
        await s.create(Member(id="1", email="b@x"))


async def test_a_changed_value_is_given_free(opened: Open) -> None:
    s = opened(Member)
    ann = await s.create(Member(id="1", email="a@x"))
    await s.update(ann, email="b@x", name="Ann")
    assert (ann.email, ann.version) == ("b@x", 2)
    bob = await s.create(Member(id="2", email="a@x"))
    with pytest.raises(UniqueViolation):
        await s.update(ann, email="a@x")
    assert (ann.email, ann.version) == ("b@x", 2)
    await s.update(ann, name="Anna")
    bob.email = "c@x"
    await s.put(bob)
    await s.update(Member, {"id": "1"}, email="a@x")
    assert (await s.get(Member, id="1")).email == "a@x"
    await s.create(Member(id="3", email="b@x"))
    with pytest.raises(UniqueViolation):
        await s.update(Member, {"id": "1"}, email="c@x", name="no")
    assert (await s.get(Member, id="1")).name == "Anna"
    with pytest.raises(ItemNotFound):
        await s.update(Member, {"id": "9"}, email="z@x")
    await s.create(Member(id="9", email="z@x"))


async def test_a_value_goes_with_its_item(opened: Open) -> None:
    s = opened(Member, Free)
    ann = await s.create(Member(id="1", email="a@x", number=1))
    await s.delete(ann)
    await s.create(Member(id="2", email="a@x", number=1))
    await s.delete(Member, id="2")
    bob = await s.create(Member(id="3", email="a@x", number=1))
    await s.update(bob, number=None)
    await s.create(Member(id="4", email="b@x", number=1))
    free = await s.put(Free(id="1", slug="s"))
    await s.put(Free(id="1", slug="t"))
    with pytest.raises(UniqueViolation):
        await s.put(Free(id="2", slug="t"))
    await s.put(Free(id="2", slug="s"))
    await s.delete(free)
    await s.put(Free(id="3", slug="t"))
    await s.update(Free, {"id": "4", "at": 2}, slug="u", upsert=True)
    with pytest.raises(UniqueViolation):
        await s.update(Free, {"id": "5", "at": 2}, slug="u", upsert=True)
    assert await s.find(Free, id="5", at=2) is None
    await s.update(Free, {"id": "4", "at": 2}, slug="v", returning=False)
    await s.put(Free(id="5", slug="u"))


async def test_a_stale_instance_frees_nothing(opened: Open) -> None:
    s = opened(Member, Free)
    await s.create(Member(id="1", email="a@x"))
    stale = await s.get(Member, id="1")
    await s.update(Member, {"id": "1"}, email="b@x")
    for attempt in (s.update(stale, email="c@x"), s.put(stale), s.delete(stale)):
        with pytest.raises(VersionConflict):
            await attempt
    with pytest.raises(UniqueViolation):
        await s.create(Member(id="2", email="b@x"))
    await s.create(Member(id="2", email="a@x"))
    await s.put(Free(id="1", slug="a"))
    loose = await s.get(Free, id="1", at=0)
    await s.update(Free, {"id": "1", "at": 0}, slug="b")
    await s.update(loose, slug="c", name="n")
    await s.put(Free(id="2", slug="b"))
    await s.put(Free(id="3", slug="a"))
    with pytest.raises(UniqueViolation):
        await s.put(Free(id="4", slug="c"))


async def test_a_value_that_changes_meanwhile_is_not_left_taken(
    opened: Open, db: Database, transport: Transport, way: str
) -> None:
    s = opened(Free)
    await s.put(Free(id="1", slug="a"))

    class Meanwhile:
        async def send(self, call: Call) -> dict[str, Any]:
            await s.put(Free(id="1", slug="b"))
            return await call.forward()

    faulty = FaultTransport(transport, [On("TransactWriteItems", Meanwhile())])
    slow = session_of(Database(transport=RetryTransport(faulty), table_names=db.table_name), way)
    with pytest.raises(VersionConflict):
        await slow.update(Free, {"id": "1", "at": 0}, slug="c")
    await slow.update(Free, {"id": "1", "at": 0}, slug="c")
    for number, free in enumerate("ab"):
        await s.put(Free(id="2", at=number, slug=free))


async def test_values_in_a_transaction(opened: Open) -> None:
    s = opened(Member)
    ann, bob = await s.create(Member(id="1", email="a@x")), await s.create(Member(id="2", email="b@x"))
    async with s.transaction():
        await s.create(Member(id="3", email="c@x"))
        with pytest.raises(UniqueViolation):
            await s.create(Member(id="4", email="c@x"))
        await s.delete(ann)
        await s.create(Member(id="5", email="a@x"))
        await s.update(bob, email="d@x")
        await s.update(bob, email="e@x")
    assert await s.find(Member, id="4") is None
    for taken in ("a@x", "c@x", "e@x"):
        with pytest.raises(UniqueViolation):
            await s.create(Member(id="6", email=taken))
    for number, free in enumerate(("b@x", "d@x")):
        await s.create(Member(id=f"7{number}", email=free))
    with pytest.raises(UniqueViolation) as error:
        async with s.transaction():
            await s.create(Member(id="8", email="f@x"))
            await s.create(Member(id="9", email="e@x"))
    assert isinstance(error.value, TransactionConditionFailed)
    assert [type(reason) for reason in error.value.reasons] == [type(None), UniqueViolation]
    assert error.value.field == "email"
    await s.create(Member(id="8", email="f@x"))


async def test_two_items_may_swap_their_values(opened: Open) -> None:
    s = opened(Member)
    ann, bob = await s.create(Member(id="1", email="a@x")), await s.create(Member(id="2", email="b@x"))
    async with s.transaction():
        await s.update(ann, email="tmp")
        await s.update(bob, email="a@x")
        await s.update(ann, email="b@x")
    assert (await s.get(Member, id="1")).email == "b@x"
    assert (await s.get(Member, id="2")).email == "a@x"
    for taken in ("a@x", "b@x"):
        with pytest.raises(UniqueViolation):
            await s.create(Member(id="3", email=taken))
    await s.create(Member(id="3", email="tmp"))


async def test_values_are_no_items(opened: Open) -> None:
    for s in (opened(Free), opened(Free, tenant="acme")):
        free = await s.put(Free(id="1", slug="s"))
        assert [item async for item in s.scan(Free)] == [free]


async def test_tenants_do_not_share_values(opened: Open) -> None:
    one, other, none = opened(Free, tenant="one"), opened(Free, tenant="other"), opened(Free)
    for s in (one, other, none):
        await s.put(Free(id="1", slug="s"))
        with pytest.raises(UniqueViolation):
            await s.put(Free(id="2", slug="s"))


@pytest.mark.parametrize("prefix", ["@#Free.slug#s", "@#", "@#x"])
async def test_no_item_can_stand_in_the_place_of_a_value(opened: Open, prefix: str) -> None:
    from lift_dynamorm import InvalidValue

    for tenant in (None, "acme"):
        s = opened(Free, tenant=tenant)
        with pytest.raises(InvalidValue, match="no partition key begins with @#"):
            await s.put(Free(id=prefix))


async def test_many_at_once_and_one_wins(opened: Open, way: str, engine: str) -> None:
    s = opened(Member)
    if way == "sync" or engine in ("moto", "embedded"):  # in process: they take turns
        outcomes: list[Any] = []
        for n in range(5):
            try:
                outcomes.append(await s.create(Member(id=str(n), email="a@x")))
            except UniqueViolation as error:
                outcomes.append(error)
    else:
        outcomes = await asyncio.gather(
            *(s.create(Member(id=str(n), email="a@x")) for n in range(20)), return_exceptions=True
        )
    winners = [outcome for outcome in outcomes if isinstance(outcome, Member)]
    assert len(winners) == 1
    assert all(isinstance(outcome, UniqueViolation) for outcome in outcomes if outcome not in winners)


async def test_a_counted_unique_number(opened: Open) -> None:
    s = opened(Member)
    await s.create(Member(id="1", email="a@x", number=1))
    await s.create(Member(id="2", email="b@x", number=2))
    with pytest.raises(UniqueViolation):
        await s.update(Member, {"id": "1"}, number=F.number + 1)
    await s.update(Member, {"id": "2"}, number=F.number + 1)
    await s.update(Member, {"id": "1"}, number=F.number + 1)


FAULTS = [DropBeforeSend(), Throttle(), Conflict(), InternalError(), InternalError(applied=True), DropAfterSend()]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_a_broken_connection_leaves_item_and_value_together(
    request: pytest.FixtureRequest,
    opened: Open,
    db: Database,
    transport: Transport,
    way: str,
    engine: str,
    fault: Fault,
) -> None:
    if engine == "moto" and fault in (InternalError(applied=True), DropAfterSend()):
        request.applymarker(pytest.mark.xfail(reason="moto ignores ClientRequestToken", strict=True))
    s = opened(Member)

    def broken() -> Session:
        faulty = FaultTransport(transport, [On("TransactWriteItems", fault)])
        return session_of(Database(transport=RetryTransport(faulty, base=0.0001), table_names=db.table_name), way)

    member = await broken().create(Member(id="1", email="a@x"))
    await broken().update(member, email="b@x")
    assert await s.get(Member, id="1") == member
    with pytest.raises(UniqueViolation):
        await broken().create(Member(id="2", email="b@x"))
    await broken().create(Member(id="2", email="a@x"))
    await broken().delete(member)
    await s.create(Member(id="3", email="b@x"))


# -- what a review found -----------------------------------------------------------------------------------------------


async def test_a_copy_under_another_key_claims_its_value(opened: Open) -> None:
    s = opened(Member)
    await s.create(Member(id="1", email="a@x"))
    copy = await s.get(Member, id="1")
    copy.id = "2"
    with pytest.raises(UniqueViolation):
        await s.put(copy)
    copy.email = "b@x"
    await s.put(copy)
    with pytest.raises(UniqueViolation):
        await s.create(Member(id="3", email="b@x"))


async def test_another_tenants_instance_claims_its_value(opened: Open, db: Database, way: str) -> None:
    a, b = opened(Member, tenant="a"), session_of(db, way, tenant="b")
    await b.create(Member(id="1", email="b@x"))
    strange = await a.create(Member(id="1", email="a@x"))
    for attempt in (b.put(strange), b.update(strange, email="c@x"), b.delete(strange)):
        with pytest.raises(VersionConflict):
            await attempt
    assert (await b.get(Member, id="1")).email == "b@x"
    strange.id = "2"
    await b.put(strange)
    with pytest.raises(UniqueViolation):
        await b.create(Member(id="3", email="a@x"))


async def test_an_item_that_was_created_again_keeps_its_value(opened: Open) -> None:
    s = opened(Member)
    await s.create(Member(id="1", email="a@x"))
    stale = await s.get(Member, id="1")
    await s.delete(Member, id="1")
    await s.create(Member(id="1", email="b@x"))
    with pytest.raises(VersionConflict):
        await s.put(stale)
    await s.update(Member, {"id": "1"}, email="c@x")
    for number, free in enumerate(("a@x", "b@x")):
        await s.create(Member(id=f"1{number}", email=free))


class Seat(Model, table="seats"):
    room: PartitionKey[str]
    email: Unique[SortKey[str]]
    name: str = ""


async def test_an_upsert_claims_values_of_its_key(opened: Open) -> None:
    s = opened(Seat)
    await s.put(Seat(room="1", email="a@x"))
    with pytest.raises(UniqueViolation):
        await s.update(Seat, {"room": "2", "email": "a@x"}, name="x", upsert=True)


async def test_what_is_gone_may_be_deleted_though_its_value_is_anothers(opened: Open) -> None:
    s = opened(Member)
    ann = await s.create(Member(id="1", email="a@x"))
    await s.delete(Member, id="1")
    await s.create(Member(id="2", email="a@x"))
    await s.delete(ann, missing_ok=True)
    with pytest.raises(UniqueViolation):
        await s.create(Member(id="3", email="a@x"))


async def test_an_update_of_what_is_missing_says_so(opened: Open) -> None:
    s = opened(Member)
    with pytest.raises(ItemNotFound):
        await s.update(Member, {"id": "none"}, email="x", number=F.number + 1)
