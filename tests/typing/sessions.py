"""The verbs of a session, with and without `await`."""

from __future__ import annotations

from typing import assert_type

from lift_dynamorm import Batch, Database, F, Found, Key, Session, SyncBatch, SyncSession
from lift_dynamorm.capacity import Capacity

from .models import Note, Order, User


async def reading(s: Session) -> None:
    assert_type(await s.get(User, id="1"), User)
    assert_type(await s.get(User, {"id": "1"}, consistent=True, include_expired=True), User)
    assert_type(await s.find(User, id="1"), User | None)
    assert_type(await s.find(User, {"id": "1"}), User | None)
    (await s.find(User, id="1")).name  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    await s.get("User", id="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await s.get(User(email="a"), id="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    s.get(User, id="1").name  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    await s.get(User, "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def reading_several(s: Session) -> None:
    assert_type(await s.batch_get(User, [{"id": "1"}]), Found[User])
    assert_type(await s.batch_get([Key(User, id="1")], consistent=True), Found[User])
    found = await s.batch_get(User, [{"id": "1"}], include_expired=True)
    assert_type(found[0], User)
    assert_type(found[:1], tuple[User, ...])
    assert_type(found.missing, tuple[Key[User], ...])
    assert_type(list(found), list[User])
    user, note, order = Key(User, id="1"), Key(Note, {"owner": "o"}), Key(Order, id="1")
    assert_type(user, Key[User])
    assert_type(user.model, type[User])
    assert_type(await s.transact_get(user), tuple[User | None])
    assert_type(await s.transact_get(user, note), tuple[User | None, Note | None])
    assert_type(await s.transact_get(user, note, order), tuple[User | None, Note | None, Order | None])
    four = await s.transact_get(user, note, order, user)
    assert_type(four, tuple[User | None, Note | None, Order | None, User | None])
    five = await s.transact_get(user, note, order, user, note, include_expired=True)
    assert_type(five, tuple[User | None, Note | None, Order | None, User | None, Note | None])
    assert_type(await s.transact_get(*[user, user]), tuple[User | None, ...])
    await s.transact_get(User)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Key("User", id="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def writing(s: Session, user: User) -> None:
    assert_type(await s.create(user), User)
    assert_type(await s.create(user, if_=F.name == "x"), User)
    assert_type(await s.put(user, if_=~F.name.exists()), User)
    await s.create(User)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    await s.create("user")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    await s.put(user, if_="name = x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    s.put(user)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]


async def updating(s: Session, user: User) -> None:
    assert_type(await s.update(user, name="Ann", tags=F.tags.add({"x"}), if_=F.team == "core"), User)
    assert_type(await s.update(user, F.address.city.set("Rome"), F.lines[0].remove()), User)
    assert_type(await s.update(User, {"id": "1"}, logins=F.logins + 1), User)
    assert_type(await s.update(User, {"id": "1"}, F.n.add(1), upsert=True), User)
    assert_type(await s.update(User, {"id": "1"}, name="x", returning=True), User)
    assert_type(await s.update(User, {"id": "1"}, n=1, returning=False), None)
    await s.update(User, name="x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await s.update(user, F.name == "x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def deleting(s: Session, user: User) -> None:
    await s.delete(user)
    await s.delete(User, id="1", missing_ok=True)
    await s.delete(User, {"id": "1"}, if_=F.name == "x")
    await s.delete("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await s.delete(user, missing_ok="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def batches(s: Session, user: User) -> None:
    async with s.batch() as batch:
        assert_type(batch, Batch)
        batch.put(user)
        batch.delete(user)
        batch.delete(Key(User, id="1"))
        assert_type(len(batch), int)
        await batch.flush()
        batch.put(User)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async with s.batch(unchecked=True):
        pass


async def transactions(db: Database, user: User) -> None:
    async with db.session() as s:
        assert_type(s, Session)
        async with s.transaction() as t:
            assert_type(t, Session)
            await t.check(user)
            await t.check(User, {"id": "1"}, if_=F.n > 0)
            await t.check(User, id="1")
        async with s.transaction(isolation="serializable"):
            pass
        s.begin()
        s.begin_as(lambda: "transactional")
        s.begin_as(lambda: "none")  # type: ignore[arg-type,return-value]  # pyright: ignore[reportArgumentType]
        s.on_commit(lambda: None)
        s.on_commit(s.commit)
        await s.commit()
        s.rollback()
        s.end("over")
        async with s.transaction(isolation="none"):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            pass
    with db.session():  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass


def without_await(s: SyncSession, db: Database, user: User) -> None:
    assert_type(s.get(User, id="1"), User)
    assert_type(s.get(User, {"id": "1"}, consistent=True, include_expired=True), User)
    assert_type(s.find(User, {"id": "1"}), User | None)
    assert_type(s.create(user), User)
    assert_type(s.put(user, if_=F.n > 1), User)
    assert_type(s.update(user, name="x"), User)
    assert_type(s.update(User, {"id": "1"}, F.n.add(1), upsert=True), User)
    assert_type(s.update(User, {"id": "1"}, name="x", returning=False), None)
    s.delete(user, if_=F.n > 1)
    s.delete(User, id="1", missing_ok=True)
    assert_type(s.batch_get(User, [{"id": "1"}]), Found[User])
    assert_type(s.batch_get([Key(User, id="1")]), Found[User])
    assert_type(s.transact_get(Key(User, id="1")), tuple[User | None])
    assert_type(s.transact_get(Key(User, id="1"), Key(Note, owner="o")), tuple[User | None, Note | None])
    with s.batch(unchecked=True) as batch:
        assert_type(batch, SyncBatch)
        batch.put(user)
        batch.delete(Key(User, id="1"))
        assert_type(len(batch), int)
        batch.flush()
    with db.sync.session() as own:
        assert_type(own, SyncSession)
    with s.transaction(isolation="serializable") as t:
        assert_type(t, SyncSession)
        t.check(user)
    s.begin()
    s.commit()
    s.rollback()
    s.create("user")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    s.update(User, name="x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    with s.transaction(isolation="none"):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        pass


async def is_no_awaitable(s: SyncSession) -> None:
    await s.get(User, id="1")  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]


def capacity(s: Session, sync: SyncSession) -> None:
    assert_type(s.capacity, Capacity)
    assert_type(sync.capacity - s.capacity, Capacity)
    assert_type(s.capacity + s.capacity, Capacity)
    assert_type(s.capacity.read, float)
    assert_type(s.capacity.tables["app"].indexes["by_team"].write, float)
    assert_type(s.unit_of_work is None, bool)
