"""What each call consumes, as each engine reports it: read or write units, of which table and index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from .models import Note, Plain, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Database, Session
    from lift_dynamorm.capacity import Capacity

    Open = Callable[..., Session]


def session(opened: Open, db: Database, *models: Any) -> Any:
    db.consumed_capacity = True
    return opened(*models)


async def consumed(s: Any, job: Any) -> Capacity:
    before = s.capacity
    await job
    used: Capacity = s.capacity - before
    assert used.read == sum(table.read for table in used.tables.values())
    assert used.write == sum(table.write for table in used.tables.values())
    return used


def reads(capacity: Capacity) -> bool:
    return capacity.read > 0 and capacity.write == 0


def writes(capacity: Capacity) -> bool:
    return capacity.write > 0 and capacity.read == 0


async def test_units_of_single_operations(opened: Open, db: Database) -> None:
    s = session(opened, db, Plain)
    assert writes(await consumed(s, s.create(Plain(id="1"))))
    assert writes(await consumed(s, s.update(Plain, {"id": "1"}, count=1)))
    assert reads(await consumed(s, s.get(Plain, id="1")))
    assert reads(await consumed(s, s.find(Plain, id="none")))
    assert reads(await consumed(s, s.query(Plain).where(id="1").all()))
    assert reads(await consumed(s, s.execute("Scan", {"TableName": "plain"})))
    assert writes(await consumed(s, s.delete(Plain, id="1")))
    assert s.capacity.tables.keys() == {"plain"}
    assert s.capacity.tables["plain"].read == s.capacity.read
    assert s.capacity.tables["plain"].write == s.capacity.write


async def test_units_of_an_index(opened: Open, db: Database) -> None:
    s = session(opened, db, User)
    await s.create(User(id="1", team="a"))
    used = await consumed(s, s.query(User).where(team="a").all())
    (index,) = used.tables["app"].indexes.items()
    assert index[0] == "by_team"
    assert index[1].read == used.tables["app"].read == used.read > 0


async def test_units_of_the_copies_in_indexes(opened: Open, db: Database) -> None:
    s = session(opened, db, User)
    used = (await consumed(s, s.create(User(id="1", team="a", email="a@b.c")))).tables["app"]
    assert used.indexes.keys() == {"by_team", "by_email"}
    assert used.write > sum(index.write for index in used.indexes.values()) > 0


async def test_units_of_several_tables(opened: Open, db: Database) -> None:
    s = session(opened, db, Plain, Note)
    item = {"id": {"S": "1"}, "name": {"S": "a"}}
    note = {"owner": {"S": "o"}, "written": {"S": "2026-01-01T00:00:00.000000Z"}}
    puts = {"plain": [{"PutRequest": {"Item": item}}], "notes": [{"PutRequest": {"Item": note}}]}
    used = await consumed(s, s.execute("BatchWriteItem", {"RequestItems": puts}))
    assert used.tables.keys() == {"plain", "notes"}
    assert writes(used.tables["plain"])
    assert writes(used.tables["notes"])


async def test_units_of_a_batch_of_reads(opened: Open, db: Database) -> None:
    s = session(opened, db, Plain)
    await s.create(Plain(id="1"))
    used = await consumed(s, s.execute("BatchGetItem", {"RequestItems": {"plain": {"Keys": [{"id": {"S": "1"}}]}}}))
    assert reads(used.tables["plain"])


async def test_units_of_a_transaction_of_reads(opened: Open, db: Database) -> None:
    s = session(opened, db, Plain)
    await s.create(Plain(id="1"))
    get = {"Get": {"TableName": "plain", "Key": {"id": {"S": "1"}}}}
    assert reads((await consumed(s, s.execute("TransactGetItems", {"TransactItems": [get]}))).tables["plain"])


async def test_units_of_a_transaction_of_writes(opened: Open, db: Database) -> None:
    s = session(opened, db, Plain)
    async with s.transaction():
        await s.create(Plain(id="1"))
        await s.create(Plain(id="2"))
        assert s.capacity.write == 0
    assert s.capacity.tables["plain"].write == s.capacity.write >= 4
    assert s.capacity.read == 0


async def test_units_of_a_transaction_that_was_applied_before(opened: Open, db: Database) -> None:
    s = session(opened, db, Plain)
    put = {"Put": {"TableName": "plain", "Item": {"id": {"S": "1"}}}}
    request = {"TransactItems": [put], "ClientRequestToken": str(uuid4())}
    assert writes(await consumed(s, s.execute("TransactWriteItems", request)))
    assert reads(await consumed(s, s.execute("TransactWriteItems", request)))


async def test_units_of_statements(opened: Open, db: Database) -> None:
    s = session(opened, db, Plain)
    assert writes(await consumed(s, s.execute_statement("INSERT INTO plain VALUE {'id': '1'}")))
    assert reads(await consumed(s, s.execute_statement("SELECT * FROM plain WHERE id = '1'")))
    assert s.capacity.tables.keys() == {"plain"}
