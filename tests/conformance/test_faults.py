"""A connection that breaks at each step of a write loses nothing and applies nothing twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import (
    Database,
    F,
    ItemExists,
    ItemNotFound,
    Model,
    OutcomeUnknown,
    PartitionKey,
    ServiceError,
    TransactionCanceled,
    TransactionConditionFailed,
    Version,
    VersionConflict,
)
from lift_dynamorm.transport.faults import (
    BadAnswer,
    Call,
    Conflict,
    DropAfterSend,
    DropBeforeSend,
    FaultTransport,
    InternalError,
    On,
    Script,
    Throttle,
)
from lift_dynamorm.transport.retry import RetryTransport

from .conftest import session_of
from .models import Plain, User

if TYPE_CHECKING:
    from lift_dynamorm import Session
    from lift_dynamorm.transport import Transport
    from lift_dynamorm.transport.faults import Fault

    Open = Callable[..., Session]
    Broken = Callable[..., Session]

SAFE: list[Fault] = [DropBeforeSend(), Throttle(), InternalError(applied=False), Conflict()]
LOST: list[Fault] = [DropAfterSend(), BadAnswer(), InternalError(applied=True)]
UNCLEAR = [*LOST, InternalError(applied=False)]  # what happened cannot be told from the error
WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"})


def name_of(fault: Any) -> str:
    return repr(fault).replace("()", "")


@pytest.fixture
def broken(transport: Transport, db: Database, way: str) -> Broken:
    """Open a session whose writes meet these faults, one after the other."""

    def open_session(*faults: Fault | None, tenant: str | None = None) -> Session:
        script = Script(*(On(WRITES, fault) for fault in faults))
        way_there = RetryTransport(FaultTransport(transport, script), base=0.0001, max_attempts=5)
        return session_of(Database(transport=way_there, table_names=db.table_name), way, tenant)

    return open_session


async def versioned(s: Session) -> None:
    await s.create(User(id="old", name="old", logins=1, tags={"a"}))


Verb = Callable[["Session", User], Awaitable[Any]]

VERBS: dict[str, tuple[Verb, dict[str, Any] | None]] = {
    # what is done with the instance, and what is stored then
    "put": (lambda s, u: s.put(u), {"version": 2, "name": "old", "logins": 1}),
    "update": (lambda s, u: s.update(u, name="new"), {"version": 2, "name": "new", "logins": 1}),
    "count": (lambda s, u: s.update(u, logins=F.logins + 1), {"version": 2, "name": "old", "logins": 2}),
    "delete": (lambda s, u: s.delete(u), None),
}


@pytest.mark.parametrize("fault", [*SAFE, *LOST], ids=name_of)
@pytest.mark.parametrize("verb", VERBS)
async def test_a_versioned_write_applies_once(opened: Open, broken: Broken, verb: str, fault: Fault) -> None:
    act, expected = VERBS[verb]
    s = opened(User)
    await versioned(s)
    user = await s.get(User, id="old")
    before = user.model_copy(deep=True)
    try:
        await act(broken(fault), user)
    except OutcomeUnknown:
        assert fault in LOST
        assert verb == "count"
        assert user == before
    else:
        if expected is not None:
            assert {name: getattr(user, name) for name in expected} == expected
            assert user == await s.get(User, id="old")
    found = await s.find(User, id="old")
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert {name: getattr(found, name) for name in expected} == expected


def stamps(item: Any) -> dict[str, Any]:
    kept = ("version", "created_at", "updated_at")
    return {name: getattr(item, name) for name in kept if name in type(item).model_fields}


@pytest.mark.parametrize("fault", [*SAFE, *LOST], ids=name_of)
@pytest.mark.parametrize("model", [User, Plain], ids=["versioned", "plain"])
async def test_a_create_applies_once(opened: Open, broken: Broken, model: Any, fault: Fault) -> None:
    s = opened(User, Plain)
    try:
        made = await broken(fault).create(model(id="1", name="mine"))
    except OutcomeUnknown:
        assert model is Plain, "a model with UpdatedAt knows its own writes"
        assert fault in LOST
        made = await s.get(model, id="1")
    assert await s.get(model, id="1") == made == model(id="1", name="mine", **stamps(made))
    with pytest.raises((ItemExists, OutcomeUnknown)) as caught:
        await broken(fault).create(model(id="1", name="other"))
    assert fault in UNCLEAR or isinstance(caught.value, ItemExists)
    assert await s.get(model, id="1") == made


@pytest.mark.parametrize("fault", [*SAFE, *LOST], ids=name_of)
async def test_someone_elses_write_is_told_apart(opened: Open, broken: Broken, fault: Fault) -> None:
    """The condition fails because of another write, not because of our own whose answer was lost."""
    s = opened(User)
    await versioned(s)
    stale, user = await s.get(User, id="old"), await s.get(User, id="old")
    await s.update(user, name="theirs")
    before = stale.model_copy(deep=True)
    for act in (
        lambda: broken(fault).put(stale),
        lambda: broken(fault).update(stale, name="mine"),
        lambda: broken(fault).update(stale, logins=F.logins + 1),
        lambda: broken(fault).delete(stale),
    ):
        with pytest.raises((VersionConflict, OutcomeUnknown)) as caught:
            await act()
        assert fault in UNCLEAR or isinstance(caught.value, VersionConflict)
        assert stale == before
        assert await s.get(User, id="old") == user


@pytest.mark.parametrize("fault", SAFE, ids=name_of)
async def test_a_count_by_key_applies_once(opened: Open, broken: Broken, fault: Fault) -> None:
    s = opened(Plain)
    await s.create(Plain(id="1", lines=["a"]))
    if isinstance(fault, InternalError):
        with pytest.raises(OutcomeUnknown):
            await broken(fault).update(Plain, {"id": "1"}, count=F.count + 1)
        assert (await s.get(Plain, id="1")).count == 0
        return
    assert (await broken(fault).update(Plain, {"id": "1"}, count=F.count + 1)).count == 1
    assert (await broken(fault).update(Plain, {"id": "1"}, F.lines.append(["b"]))).lines == ["a", "b"]
    found = await s.get(Plain, id="1")
    assert (found.count, found.lines) == (1, ["a", "b"])


@pytest.mark.parametrize("fault", LOST, ids=name_of)
async def test_what_cannot_be_known_is_said_and_not_repeated(opened: Open, broken: Broken, fault: Fault) -> None:
    s = opened(Plain)
    await s.create(Plain(id="1", lines=["a"]))
    for change in (F.count.set(F.count + 1), F.count.add(1), F.lines.append(["b"]), F.lines[0].remove()):
        with pytest.raises(OutcomeUnknown) as caught:
            await broken(fault).update(Plain, {"id": "1"}, change)
        assert caught.value.maybe_applied
    found = await s.get(Plain, id="1")
    assert (found.count, found.lines) == (2, ["b"])


@pytest.mark.parametrize("fault", LOST, ids=name_of)
async def test_what_may_be_repeated_is(opened: Open, broken: Broken, fault: Fault) -> None:
    s = opened(Plain)
    plain = await s.create(Plain(id="1", count=5))
    await broken(fault).update(plain, name="x", tags=F.tags.add({"t"}))
    await broken(fault).update(Plain, {"id": "1"}, note="n", tags=F.tags.delete({"zz"}))
    await broken(fault).put(Plain(id="2"))
    assert await s.get(Plain, id="1") == Plain(id="1", count=5, name="x", tags={"t"}, note="n")
    assert await s.get(Plain, id="2") == Plain(id="2")
    await broken(fault).delete(Plain, id="2")
    assert await s.find(Plain, id="2") is None


@pytest.mark.parametrize("fault", [*SAFE, *LOST], ids=name_of)
async def test_a_transaction_applies_once(
    request: pytest.FixtureRequest, engine: str, opened: Open, broken: Broken, fault: Fault
) -> None:
    if engine == "moto" and fault in LOST:
        request.applymarker(pytest.mark.xfail(reason="moto ignores ClientRequestToken", strict=True))
    s = opened(User, Plain)
    await versioned(s)
    user = await s.get(User, id="old")
    await s.create(Plain(id="1"))
    b = broken(fault)
    async with b.transaction():
        await b.create(Plain(id="2"))
        await b.update(user, logins=F.logins + 1)
        await b.update(Plain, {"id": "1"}, count=F.count + 1)
    assert await s.get(User, id="old") == user
    assert (user.version, user.logins) == (2, 2)
    assert (await s.get(Plain, id="1")).count == 1
    with pytest.raises(TransactionConditionFailed):
        async with b.transaction():
            await b.create(Plain(id="2"))


@pytest.mark.parametrize("fault", [*SAFE, *LOST], ids=name_of)
async def test_when_it_never_succeeds_the_instance_is_as_it_was(opened: Open, broken: Broken, fault: Fault) -> None:
    s = opened(User)
    await versioned(s)
    user = await s.get(User, id="old")
    before, new = user.model_copy(deep=True), User(id="new")
    acts: list[Callable[[Session], Awaitable[Any]]] = [
        lambda b: b.create(new),
        lambda b: b.put(user),
        lambda b: b.update(user, logins=F.logins + 1),
        lambda b: b.delete(user),
    ]
    for act in acts:
        with pytest.raises(ServiceError):
            await act(broken(*[fault] * 9))
        assert (user, new) == (before, User(id="new"))
        if fault in LOST:
            return
    b = broken(*[fault] * 9)
    with pytest.raises((ServiceError, TransactionCanceled)):
        async with b.transaction():
            await b.create(new)
            await b.update(user, name="x")
    assert (user, new) == (before, User(id="new"))
    assert await s.get(User, id="old") == before
    assert await s.find(User, id="new") is None


@pytest.mark.parametrize("fault", LOST, ids=name_of)
async def test_a_deletion_whose_answer_was_lost_has_deleted(opened: Open, broken: Broken, fault: Fault) -> None:
    s = opened(User, Plain)
    await versioned(s)
    await s.create(Plain(id="1"))
    await broken(fault).delete(await s.get(User, id="old"))
    await broken(fault).delete(Plain, id="1", if_=F.count == 0)
    assert await s.find(User, id="old") is None
    assert await s.find(Plain, id="1") is None
    with pytest.raises(ItemNotFound):
        await broken(DropBeforeSend()).delete(Plain, id="1")


class Tally(Model, table="tallies"):
    """Locked, and with nothing in it that tells one writer's count from another's."""

    id: PartitionKey[str]
    hits: int = 0
    version: Version = 0


async def test_an_equal_count_by_someone_else_is_not_taken_for_ours(opened: Open, broken: Broken) -> None:
    """Our first attempt is lost on the way there, and meanwhile another writer counts as we would have."""
    s = opened(Tally)
    mine = await s.create(Tally(id="1"))
    theirs = await s.get(Tally, id="1")

    class Overtaken:
        async def send(self, call: Call) -> Any:
            await s.update(theirs, hits=F.hits + 1)
            return await InternalError().send(call)

    with pytest.raises(OutcomeUnknown):
        await broken(Overtaken()).update(mine, hits=F.hits + 1)
    assert (mine.hits, mine.version) == (0, 1)
    assert await s.get(Tally, id="1") == theirs == Tally(id="1", hits=1, version=2)
