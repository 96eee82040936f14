"""Streams on the engines: what a change tells, whose it is, where reading goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import ChangesLost, Database, F, InvalidItem, Model, PartitionKey, SortKey, Unique, UsageError
from lift_dynamorm.streams import Change, Position, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable


class User(Model, table="app", pk="USER#{id}", sk="PROFILE"):
    id: str
    email: Unique[str]
    credit: Decimal = Decimal(0)
    tags: set[str] = set()
    raw: bytes = b""


class Order(Model, table="app", pk="USER#{user}", sk="ORDER#{number}"):
    user: str
    number: int


class Note(Model, table="notes"):
    owner: PartitionKey[str]
    number: SortKey[int]
    text: str = ""


async def prepare(db: Database, *models: type[Model], view: str | None = "NEW_AND_OLD_IMAGES") -> None:
    await db.create_tables(*models)
    table = db.table_name(models[0].__dynamorm_schema__.table.name)  # type: ignore[union-attr]  # it is stored
    if view is not None:
        specification = {"StreamEnabled": True, "StreamViewType": view}
        await db.transport.send("UpdateTable", {"TableName": table, "StreamSpecification": specification})


async def read(stream: Stream[Any]) -> list[Change[Any]]:
    return [change async for change in stream]


def oldest(db: Database, *models: type[Model] | str, **options: Any) -> Stream[Any]:
    return Stream(db, *models, start="oldest", follow=False, **options)


def in_order(changes: Iterable[Change[Any]], id: str) -> list[Change[Any]]:
    """Those of one item: only these come in order."""
    return [change for change in changes if change.key["pk"]["S"].endswith(f"USER#{id}")]


async def test_a_change_tells_what_was_and_what_is(db: Database) -> None:
    await prepare(db, User)
    s = db.session()
    before = datetime.now(UTC) - timedelta(seconds=2)
    user = await s.create(User(id="1", email="a@x", credit=Decimal("1.5"), tags={"a"}, raw=b"\0\xff"))
    first = user.model_copy(deep=True)
    await s.update(user, credit=Decimal(2))
    await s.delete(user)
    changes = await read(oldest(db, User))
    assert [change.kind for change in changes] == ["insert", "modify", "remove"]
    assert [(change.before, change.after) for change in changes] == [
        (None, first),
        (first, first.model_copy(update={"credit": Decimal(2)})),
        (first.model_copy(update={"credit": Decimal(2)}), None),
    ]
    assert all(change.key == {"pk": {"S": "USER#1"}, "sk": {"S": "PROFILE"}} for change in changes)
    assert all(before <= change.at <= datetime.now(UTC) + timedelta(seconds=2) for change in changes)
    assert all(change.sequence and change.shard and change.model is User for change in changes)
    assert not any(change.by_ttl or change.tenant for change in changes)
    assert changes[0].after_image is not None
    assert changes[0].after_image["raw"] == {"B": "AP8="}


async def test_the_tenant_of_each_is_found(db: Database) -> None:
    await prepare(db, User)
    for tenant in (None, "acme", '#"@$', "acme#USER"):
        await db.session(tenant).create(User(id="1", email="a@x"))
    changes = await read(oldest(db, User))
    assert sorted(map(str, (change.tenant for change in changes))) == sorted(
        map(str, (None, "acme", '#"@$', "acme#USER"))
    )
    assert all(change.after == User(id="1", email="a@x") for change in changes)
    only = await read(oldest(db, User, tenant="acme"))
    assert [change.tenant for change in only] == ["acme"]


async def test_tenants_of_plain_keys(db: Database) -> None:
    await prepare(db, Note)
    for tenant in (None, "acme"):
        await db.session(tenant).put(Note(owner="x", number=1))
    changes = await read(oldest(db, Note))
    assert {(change.tenant, change.after.owner) for change in changes if change.after} == {(None, "x"), ("acme", "x")}


async def test_items_of_other_models_are_left_out_or_raw(db: Database) -> None:
    await prepare(db, User, Order)
    s = db.session("acme")
    await s.create(User(id="1", email="a@x"))
    await s.create(Order(user="1", number=7))
    assert [change.model for change in await read(oldest(db, User))] == [User]
    both = await read(oldest(db, User, Order))
    assert {change.model for change in both} == {User, Order}
    raw: dict[Any, Any] = {change.model: change for change in await read(oldest(db, User, others=True))}
    assert raw.keys() == {User, None}
    assert raw[None].after is None
    assert raw[None].tenant == "acme"
    assert raw[None].after_image["number"] == {"N": "7"}
    table = await read(oldest(db, "app"))
    assert [(change.model, change.tenant) for change in table] == [(None, "acme")] * 2  # and no claim of the e-mail


async def test_what_sessions_keep_for_themselves_is_never_given(db: Database) -> None:
    await prepare(db, User)
    await db.session("acme").create(User(id="1", email="a@x"))
    await db.session().create(User(id="2", email="a@x"))
    journal = {"pk": {"S": "@#migrations"}, "sk": {"S": "@#"}, "a": {"N": "1"}}
    await db.transport.send("PutItem", {"TableName": db.table_name("app"), "Item": journal})
    keys = {change.key["pk"]["S"] for change in await read(oldest(db, "app"))}
    assert keys == {"@acme#USER#1", "USER#2"}


async def test_reading_goes_on_at_a_position(db: Database) -> None:
    await prepare(db, User)
    s = db.session()
    for n in range(20):
        await s.create(User(id=str(n), email=f"{n}@x"))
    given: list[str] = []
    position = None
    for _ in range(40):
        stream: Stream[User] = Stream(db, User, start=position or "oldest", follow=False)
        async for change in stream:
            assert change.after is not None
            given.append(change.after.id)
            break
        position = stream.position
    assert sorted(given, key=int) == [str(n) for n in range(20)]


async def test_what_was_given_is_not_given_again_by_the_same_stream(db: Database) -> None:
    await prepare(db, User)
    s = db.session()
    stream: Stream[User] = oldest(db, User)
    for n in range(6):
        await s.create(User(id=str(n), email=f"{n}@x"))
    given = []
    async for change in stream:
        given.append(change)
        if len(given) == 3:
            break
    given += await read(stream)
    assert sorted(change.after.id for change in given if change.after) == list("012345")
    await s.update(User, {"id": "3"}, credit=F.credit + 1)
    assert [change.kind for change in await read(stream)] == ["modify"]


async def test_now_leaves_out_what_was_before(db: Database) -> None:
    await prepare(db, User)
    s = db.session()
    await s.create(User(id="1", email="a@x"))
    stream: Stream[User] = Stream(db, User, follow=False)
    assert await read(stream) == []
    await s.create(User(id="2", email="b@x"))
    changes = await read(stream)
    assert [change.after.id for change in changes if change.after] == ["2"]
    # A position that was kept before anything came loses nothing; what shortly preceded it may come again.
    again: Stream[User] = Stream(db, User, follow=False)
    await read(again)
    kept = again.position
    assert kept is not None
    await s.create(User(id="3", email="c@x"))
    assert "3" in {change.after.id for change in await read(Stream(db, User, start=kept, follow=False)) if change.after}


async def test_changes_of_an_item_come_in_their_order(db: Database) -> None:
    await prepare(db, User)
    s = db.session()
    for id in "abc":
        await s.create(User(id=id, email=f"{id}@x"))
    for n in range(1, 8):
        for id in "abc":
            await s.update(User, {"id": id}, credit=Decimal(n))
    changes = await read(oldest(db, User))
    for id in "abc":
        own = in_order(changes, id)
        assert [change.after and change.after.credit for change in own] == [Decimal(n) for n in range(8)]
        assert [change.before and change.before.credit for change in own[1:]] == [Decimal(n) for n in range(7)]


async def test_pages_hold_the_changes_of_one_shard(db: Database) -> None:
    await prepare(db, User)
    async with db.session().transaction() as s:
        for n in range(12):
            await s.create(User(id=str(n), email=f"{n}@x"))
    stream: Stream[User] = oldest(db, User)
    pages = [page async for page in stream.pages()]
    assert all(len({change.shard for change in page}) == 1 for page in pages)
    assert sorted(int(change.after.id) for page in pages for change in page if change.after) == list(range(12))
    assert await read(stream) == []


async def test_batches_transactions_and_deletions_are_changes(db: Database) -> None:
    await prepare(db, Note)
    s = db.session()
    async with s.batch() as batch:
        for n in range(30):
            batch.put(Note(owner="a", number=n))
    async with s.transaction():
        await s.update(Note, {"owner": "a", "number": 1}, text="x")
        await s.delete(Note, owner="a", number=2)
    changes = await read(oldest(db, Note))
    assert sorted(change.kind for change in changes) == ["insert"] * 30 + ["modify", "remove"]


async def test_the_sync_twin(db: Database) -> None:
    await prepare(db, User)
    s = db.sync.session()
    s.create(User(id="1", email="a@x"))
    stream: Stream[User] = Stream(db, User, start="oldest", follow=False)
    changes = list(stream.sync)
    assert [change.after for change in changes] == [User(id="1", email="a@x")]
    s.delete(User, id="1")
    assert [[change.kind for change in page] for page in stream.sync.pages()] == [["remove"]]
    s.create(User(id="2", email="a@x"))
    assert [change.kind for change in await read(stream)] == ["insert"]  # the position is shared
    assert stream.sync.position == stream.position
    with pytest.raises(UsageError, match=r"stream\.sync"):
        list(stream)  # type: ignore[call-overload]  # what is refused


async def test_an_item_that_does_not_fit_can_be_passed_by(db: Database) -> None:
    await prepare(db, User)
    await db.session().create(User(id="1", email="a@x"))
    bad = {"pk": {"S": "USER#2"}, "sk": {"S": "PROFILE"}, "id": {"S": "2"}, "email": {"L": []}}
    await db.transport.send("PutItem", {"TableName": db.table_name("app"), "Item": bad})
    changes = {change.key["pk"]["S"]: change for change in await read(oldest(db, User))}
    assert changes["USER#1"].after == User(id="1", email="a@x")
    with pytest.raises(InvalidItem, match="pk=USER#2"):
        _ = changes["USER#2"].after
    assert changes["USER#2"].after_image == bad


async def test_views_without_images(db: Database) -> None:
    await prepare(db, User, view="KEYS_ONLY")
    s = db.session()
    await s.create(User(id="1", email="a@x"))
    (change,) = await read(oldest(db, User))
    assert (change.kind, change.before, change.after, change.model) == ("insert", None, None, User)


async def test_a_table_without_a_stream_says_how_to_turn_it_on(db: Database) -> None:
    await prepare(db, User, view=None)
    with pytest.raises(UsageError, match="NEW_AND_OLD_IMAGES"):
        await read(oldest(db, User))


async def test_a_position_of_another_stream_is_an_error(db: Database) -> None:
    await prepare(db, User)
    await prepare(db, Note)
    stream: Stream[Note] = oldest(db, Note)
    await read(stream)
    assert stream.position is not None
    with pytest.raises(ChangesLost, match="in neither"):
        await read(Stream(db, User, start=stream.position, follow=False))


async def test_a_position_that_was_trimmed_is_an_error(db: Database) -> None:
    await prepare(db, User)
    s = db.session()
    await s.create(User(id="1", email="a@x"))
    stream: Stream[User] = oldest(db, User)
    await read(stream)
    position = Position.parse(stream.position or "")
    position.shards = dict.fromkeys(position.shards, "0" * 20 + "1")  # before all that is there
    forged = str(position)
    with pytest.raises(ChangesLost, match="24 hours"):
        await read(Stream(db, User, start=forged, follow=False))


async def test_a_stream_that_was_turned_off_ends(db: Database) -> None:
    await prepare(db, User)
    await db.session().create(User(id="1", email="a@x"))
    off = {"TableName": db.table_name("app"), "StreamSpecification": {"StreamEnabled": False}}
    stream: Stream[User] = Stream(db, User, start="oldest")
    given = []
    rounds = iter(range(5))

    async def sleep(_: float) -> None:
        assert next(rounds, None) is not None, "it goes on for ever"

    db.transport.sleep = sleep
    async for change in stream:  # and it follows
        given.append(change.kind)
        await db.transport.send("UpdateTable", off)
    assert given == ["insert"]


async def test_a_put_of_the_same_item_is_no_change(db: Database) -> None:
    await prepare(db, Note)
    s = db.session()
    await s.put(Note(owner="a", number=1))
    await s.put(Note(owner="a", number=1))
    assert [change.kind for change in await read(oldest(db, Note))] == ["insert"]


async def test_an_upsert_is_one_change(db: Database) -> None:
    await prepare(db, Note)
    await db.session().update(Note, {"owner": "a", "number": 1}, text="x", upsert=True)
    assert [change.kind for change in await read(oldest(db, Note))] == ["insert"]


async def test_following_waits_for_what_comes(db: Database) -> None:
    await prepare(db, User)
    waits = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await db.session().create(User(id=str(len(waits)), email=f"{len(waits)}@x"))

    db.transport.sleep = sleep
    given = []
    async for change in Stream(db, User, poll=0.25):
        given.append(change.after.id if change.after else "")
        if len(given) == 3:
            break
    assert sorted(given) == ["1", "2", "3"]
    assert waits == [0.25] * 3


@pytest.mark.parametrize(
    ("models", "options", "complaint"),
    [
        ((), {}, "needs a model"),
        (("app", User), {}, "models of one table"),
        ((User, Note), {}, "not stored in the table"),
        ((User,), {"tenant": ""}, "a tenant is a text"),
        ((User,), {"start": "yesterday"}, "no position of a stream"),
    ],
)
async def test_what_cannot_be_right(
    db: Database, models: tuple[Any, ...], options: dict[str, Any], complaint: str
) -> None:
    await prepare(db, User)
    with pytest.raises(UsageError, match=complaint):
        await read(Stream(db, *models, **options))
