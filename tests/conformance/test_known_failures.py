"""What other libraries got wrong, found in their code or their issues, with the right answer here.

Each test names whose failure it was: DynamORM (Go), pydynox, dyntastic, PynamoDB, aiodynamo, pydantic's DynamoDB kin.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, Field

from lift_dynamorm import (
    GSI,
    ConditionFailed,
    Database,
    F,
    ItemNotFound,
    Model,
    PartitionKey,
    QueryError,
    SortKey,
    TransactionCanceled,
    TransactionConditionFailed,
    UsageError,
    Version,
    VersionConflict,
)
from lift_dynamorm.transport.faults import Conflict, FaultTransport, On, RecordingTransport
from lift_dynamorm.transport.retry import RetryTransport

from .conftest import session_of
from .models import Plain, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Session
    from lift_dynamorm.transport import Transport

    Open = Callable[..., Session]


class Line(BaseModel):
    sku: str
    tags: set[str] = set()
    digest: bytes = b""


class Wide(Model, table="wide", indexes=[GSI("by_kind", pk=F.kind, sk=F.rank), GSI("by_rank", pk=F.rank)]):
    """Every type that a library has been seen to change, and attributes with awkward names."""

    owner: PartitionKey[str]
    number: SortKey[int]
    kind: str = "k"
    rank: int = 0
    line: Line = Line(sku="a", tags={"x"}, digest=b"\0\1")
    lines: list[Line] = [Line(sku="b", tags={"y"}, digest=b"\2")]
    words: set[str] = set()
    numbers: set[int] = set()
    decimals: set[Decimal] = set()
    blobs: set[bytes] = set()
    exact: Decimal = Decimal(0)
    status: str = ""
    upper: str = Field("", alias="STATUS")
    dotted: str = Field("", alias="a.b")
    dashed: str = Field("", alias="a-b")
    hashed: str = Field("", alias="#a")
    leading: str = Field("", alias="1st")
    dunder: str = Field("", alias="__proto__")
    reserved: str = Field("", alias="BACKUP")
    text: str = ""
    version: Version = 0


def sent(db: Database, transport: Transport, way: str, *faults: Any) -> tuple[Session, list[tuple[str, Any]]]:
    """A session on the tables of `db`, and the requests that it sends."""
    recorder = RecordingTransport(FaultTransport(transport, faults))
    database = Database(transport=RetryTransport(recorder, base=0.0001), table_names=db.table_name, cursor_keys=["k"])
    return session_of(database, way), recorder.calls


# -- conditions --------------------------------------------------------------------------------------------------------


async def test_groups_do_not_overwrite_each_others_placeholders(opened: Open) -> None:
    """DynamORM: a filter group started counting its placeholders anew, over those of the query around it."""
    s = opened(Wide)
    for number in range(4):
        await s.put(Wide(owner="o", number=number, rank=number, status="ab"[number % 2], text="xy"[number // 2]))
    query = s.query(Wide).where(F.owner == "o", F.number >= 0)
    found = query.where((F.status == "a") & ((F.text == "x") | (F.text == "y")), (F.rank == 0) | (F.rank == 3))
    assert [w.number for w in await found.all()] == [0]
    found = query.where(((F.status == "a") & (F.text == "y")) | ((F.status == "b") & ~(F.text == "y")))
    assert [w.number for w in await found.all()] == [1, 2]


async def test_a_reserved_word_and_its_twin_in_another_case(opened: Open) -> None:
    """DynamORM: `status` and `STATUS` shared the placeholder #STATUS."""
    s = opened(Wide)
    wide = await s.create(Wide(owner="o", number=1, status="low", STATUS="up"))
    await s.update(wide, F.status.set("l"), F.upper.set("u"), if_=(F.status == "low") & (F.upper == "up"))
    assert (wide.status, wide.upper) == ("l", "u")
    found = s.query(Wide).where(F.owner == "o", F.status == "l", F.upper == "u")
    assert await found.all() == [wide]
    assert await s.query(Wide).where(F.owner == "o", F.status == "u").all() == []


async def test_any_name_may_stand_anywhere(opened: Open) -> None:
    s = opened(Wide)
    wide = await s.create(Wide(owner="o", number=1))
    names = ["dotted", "dashed", "hashed", "leading", "dunder", "reserved", "upper"]
    for name in names:
        await s.update(wide, F[name].set(name), if_=F[name] == "")
    await s.update(Wide, {"owner": "o", "number": 1}, *(F[name].set(f"{name}!") for name in names))
    conditions = [F[name] == f"{name}!" for name in names]
    (found,) = await s.query(Wide).where(F.owner == "o", *conditions).all()
    assert [getattr(found, name) for name in names] == [f"{name}!" for name in names]


async def test_a_failed_condition_is_raised(opened: Open) -> None:
    """dyntastic: swallowed by default."""
    s = opened(Plain)
    plain = await s.put(Plain(id="1", count=1))
    for attempt in (
        s.put(Plain(id="1", count=9), if_=F.count == 2),
        s.update(plain, name="x", if_=F.count == 2),
        s.update(Plain, {"id": "1"}, name="x", if_=F.count == 2),
        s.delete(plain, if_=F.count == 2),
        s.delete(Plain, id="1", if_=F.count == 2),
    ):
        with pytest.raises(ConditionFailed) as error:
            await attempt
        assert error.value.item == Plain(id="1", count=1)
    assert await s.get(Plain, id="1") == Plain(id="1", count=1)


# -- values ------------------------------------------------------------------------------------------------------------


async def test_every_path_writes_the_same_types(db: Database, transport: Transport, way: str) -> None:
    """DynamORM: nested models, sets, bytes and sets of numbers had other types in updates and transactions."""
    db.sync.create_tables(Wide)
    s, calls = sent(db, transport, way)
    values: dict[str, Any] = {
        "line": Line(sku="c", tags={"t"}, digest=b"\3"),
        "lines": [Line(sku="d", tags={"u"}, digest=b"\4")],
        "words": {"a"},
        "numbers": {1},
        "decimals": {Decimal("1.5")},
        "blobs": {b"\5"},
    }
    await s.create(Wide(owner="create", number=1, **values))
    await s.put(Wide(owner="put", number=1, **values))
    await s.update(await s.create(Wide(owner="instance", number=1)), **values)
    await s.create(Wide(owner="key", number=1))
    await s.update(Wide, {"owner": "key", "number": 1}, **values)
    changed = await s.create(Wide(owner="changed", number=1))
    for name, value in values.items():
        setattr(changed, name, value)
    await s.update(changed)
    async with s.transaction():
        await s.create(Wide(owner="transaction", number=1, **values))
    stored = []
    for owner in ("create", "put", "instance", "key", "changed", "transaction"):
        calls.clear()
        await s.get(Wide, owner=owner, number=1)
        item = (await (transport.blocking if way == "sync" else transport).send(*calls[0]))["Item"]
        stored.append({name: item[name] for name in values})
    assert all(item == stored[0] for item in stored)
    assert {name: next(iter(wire)) for name, wire in stored[0].items()} == {
        "line": "M", "lines": "L", "words": "SS", "numbers": "NS", "decimals": "NS", "blobs": "BS",
    }  # fmt: skip
    assert stored[0]["line"]["M"]["tags"] == {"SS": ["t"]}
    assert "B" in stored[0]["lines"]["L"][0]["M"]["digest"]


@pytest.mark.parametrize(
    "text", ["see docs -- later", "a; DROP TABLE x", "/* c */ ' OR 1=1", "SET #a = :b", "${x} {y} %s", "\0\x7f\u2028"]
)
async def test_any_text_may_be_stored(opened: Open, text: str) -> None:
    """DynamORM: `Update` refused text that looked like SQL."""
    s = opened(Plain)
    plain = await s.put(Plain(id="1"))
    await s.update(plain, name=text)
    await s.update(Plain, {"id": "1"}, F.lines.append([text]), if_=F.name == text)
    assert await s.get(Plain, id="1") == Plain(id="1", name=text, lines=[text])


async def test_long_lists_may_be_stored(opened: Open) -> None:
    """DynamORM: `Update` refused lists of more than 100 elements."""
    s = opened(Plain)
    lines = [f"line {n}" for n in range(500)]
    await s.update(await s.put(Plain(id="1")), lines=lines)
    await s.update(Plain, {"id": "1"}, F.lines.append(lines))
    assert (await s.get(Plain, id="1")).lines == [*lines, *lines]


async def test_numbers_keep_every_digit(opened: Open) -> None:
    """aiodynamo: numbers went through float."""
    s = opened(Wide)
    exact = Decimal("0.12345678901234567890123")
    wide = await s.create(Wide(owner="o", number=1, exact=exact))
    assert (await s.get(Wide, owner="o", number=1)).exact == exact
    summed = await s.update(Wide, {"owner": "o", "number": 1}, exact=F.exact + Decimal("0.5"))
    assert summed.exact == exact + Decimal("0.5")
    await s.update(await s.get(Wide, owner="o", number=1), decimals={exact})
    (found,) = await s.query(Wide).where(F.owner == "o", F.exact > exact, F.decimals.contains(exact)).all()
    assert found.decimals == {exact}
    assert wide.exact == exact


# -- queries -----------------------------------------------------------------------------------------------------------


async def test_the_order_of_conditions_chooses_no_index(opened: Open) -> None:
    """DynamORM: the first condition did; and a global index was preferred to the table's own key."""
    s = opened(Wide)
    conditions = [F.kind == "k", F.rank == 1, F.owner == "o", F.number > 0]
    for order in (conditions, conditions[::-1], conditions[2:] + conditions[:2]):
        assert s.query(Wide).where(*order).explain().index == "table"
    by_index = [F.rank == 1, F.kind == "k"]
    assert {s.query(Wide).where(*order).explain().index for order in (by_index, by_index[::-1])} == {"by_kind"}


async def test_a_consistent_read_is_made_or_refused(opened: Open) -> None:
    """DynamORM: dropped without a word on a global index."""
    s = opened(Wide)
    with pytest.raises(QueryError, match="consistently"):
        await s.query(Wide).where(kind="k").consistent().all()
    assert s.query(Wide).where(owner="o").consistent().explain().request["ConsistentRead"] is True


async def test_no_page_is_fetched_after_the_caller_has_left(db: Database, transport: Transport, way: str) -> None:
    """aiodynamo: the next page was under way already."""
    db.sync.create_tables(Wide)
    s, calls = sent(db, transport, way)
    for number in range(6):
        await s.put(Wide(owner="o", number=number, text="x" * 200_000))
    calls.clear()
    async for wide in s.query(Wide).where(owner="o"):
        if wide.number == 1:
            break
    assert [operation for operation, _ in calls] == ["Query"]


async def test_first_with_a_filter_takes_few_round_trips(db: Database, transport: Transport, way: str) -> None:
    """DynamORM: one round trip per row that the filter dropped."""
    db.sync.create_tables(Wide)
    s, calls = sent(db, transport, way)
    for number in range(200):
        await s.put(Wide(owner="o", number=number))
    await s.put(Wide(owner="o", number=999, text="this"))
    calls.clear()
    found = await s.query(Wide).where(owner="o", text="this").first()
    assert found is not None
    assert found.number == 999
    assert len(calls) <= 4


# -- versions ----------------------------------------------------------------------------------------------------------


async def test_a_refused_save_stays_refused(opened: Open) -> None:
    """pydynox: the version went up before the write, so the stale save won when it was repeated."""
    s = opened(User)
    fresh = await s.create(User(id="1"))
    stale = await s.get(User, id="1")
    await s.update(fresh, name="fresh")
    stale.name = "stale"
    for _ in range(3):
        for save in (s.put, s.update):
            with pytest.raises(VersionConflict):
                await save(stale)
        with pytest.raises(VersionConflict):
            async with s.transaction():
                await s.put(stale)
        assert stale.version == 1
    assert (await s.get(User, id="1")).name == "fresh"


async def test_an_update_does_not_walk_past_the_lock(opened: Open) -> None:
    """pydynox: `update()` looked at no version."""
    s = opened(User)
    fresh = await s.create(User(id="1"))
    stale = await s.get(User, id="1")
    await s.update(User, {"id": "1"}, name="by key")
    for holder in (fresh, stale):
        with pytest.raises(VersionConflict):
            await s.update(holder, logins=F.logins + 1)


async def test_a_save_without_changes_writes_nothing(db: Database, transport: Transport, way: str) -> None:
    """pydynox: it put the whole stale item back."""
    db.sync.create_tables(Plain)
    s, calls = sent(db, transport, way)
    stale = await s.put(Plain(id="1"))
    await s.update(Plain, {"id": "1"}, name="changed")
    calls.clear()
    await s.update(stale)
    assert calls == []
    stale.count = 5
    await s.update(stale)
    assert await s.get(Plain, id="1") == Plain(id="1", name="changed", count=5)


async def test_an_in_place_change_is_a_change(opened: Open) -> None:
    """pydynox: dropped, for the list was the same object."""
    s = opened(Plain, Wide)
    plain = await s.put(Plain(id="1", lines=["a"], tags={"x"}, box={"k": 1}))
    plain.lines.append("b")
    plain.tags.add("y")
    plain.box["l"] = 2
    await s.update(plain)
    assert await s.get(Plain, id="1") == Plain(id="1", lines=["a", "b"], tags={"x", "y"}, box={"k": 1, "l": 2})
    wide = await s.create(Wide(owner="o", number=1))
    wide.lines[0].tags.add("deep")
    await s.update(wide)
    assert (await s.get(Wide, owner="o", number=1)).lines[0].tags == {"y", "deep"}


async def test_a_change_in_place_beside_one_by_expression_is_not_lost(opened: Open) -> None:
    s = opened(Plain)
    plain = await s.put(Plain(id="1", lines=["a"], tags={"x"}, box={"k": 1}))
    plain.lines.append("b")
    plain.tags.add("y")
    for change in (F.lines[0].set("z"), F.lines.append(["c"]), F.tags.add({"z"})):
        with pytest.raises(UsageError, match="changed on the instance and by an expression"):
            await s.update(plain, change)
    await s.update(plain, F.box.k.set(2), lines=["z"])
    assert await s.get(Plain, id="1") == Plain(id="1", lines=["z"], tags={"x", "y"}, box={"k": 2})


async def test_a_lock_does_not_resurrect(opened: Open) -> None:
    """A lock that allows a missing version brings a deleted item back."""
    s = opened(User)
    holder = await s.create(User(id="1"))
    await s.delete(User, id="1")
    holder.name = "ghost"
    for attempt in (s.update(holder), s.put(holder), s.update(User, {"id": "1"}, name="ghost")):
        with pytest.raises((ItemNotFound, VersionConflict, ConditionFailed)):
            await attempt
    assert await s.find(User, id="1") is None


# -- transactions and batches ------------------------------------------------------------------------------------------


async def test_reasons_belong_to_the_operations_of_the_caller(opened: Open) -> None:
    """DynamORM, PynamoDB: reasons of `None` were skipped, or operations regrouped, so another call was blamed."""
    s = opened(User, Plain)
    await s.put(Plain(id="1"))
    with pytest.raises(TransactionConditionFailed) as error:
        async with s.transaction():
            await s.delete(Plain, id="1")
            await s.put(Plain(id="2"))
            await s.check(User, id="nobody")
            await s.delete(User, id="none")
            await s.create(User(id="2"))
    assert [type(reason).__name__ for reason in error.value.reasons] == [
        "NoneType", "NoneType", "ItemNotFound", "ItemNotFound", "NoneType",
    ]  # fmt: skip
    assert "nobody" in str(error.value.reasons[2])
    assert "none" in str(error.value.reasons[3])
    assert await s.find(Plain, id="2") is None


async def test_a_conflict_is_sent_again(db: Database, transport: Transport, way: str) -> None:
    """DynamORM: a conflict among reasons of `None` was taken for something else, and given up."""
    db.sync.create_tables(Plain)
    faults = [On("TransactWriteItems", Conflict(frozenset({1}))), On("TransactWriteItems", Conflict())]
    s, calls = sent(db, transport, way, *faults)
    async with s.transaction():
        await s.put(Plain(id="1"))
        await s.put(Plain(id="2"))
    assert [operation for operation, _ in calls] == ["TransactWriteItems"] * 3
    assert len({payload["ClientRequestToken"] for _, payload in calls}) == 1
    assert (await s.get(Plain, id="2")).id == "2"


async def test_a_batch_whose_block_raised_has_written_nothing(db: Database, transport: Transport, way: str) -> None:
    """PynamoDB: what the block had collected was committed all the same."""
    db.sync.create_tables(Plain)
    s, calls = sent(db, transport, way)
    with pytest.raises(ZeroDivisionError):
        async with s.batch() as batch:
            for number in range(60):
                batch.put(Plain(id=str(number)))
            raise ZeroDivisionError
    assert calls == []


async def test_a_transaction_whose_block_raised_has_written_nothing(
    db: Database, transport: Transport, way: str
) -> None:
    db.sync.create_tables(Plain)
    s, calls = sent(db, transport, way)
    with pytest.raises(TransactionCanceled):
        async with s.transaction():
            await s.put(Plain(id="1"))
            raise TransactionCanceled("by the caller")
    assert calls == []
