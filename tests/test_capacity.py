"""What a session adds up of the capacity that DynamoDB reports."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import GSI, ConditionFailed, Database, F, ItemExists, Model, UsageError
from lift_dynamorm.capacity import METERED, Capacity, Meter
from lift_dynamorm.transport.faults import RecordingTransport
from lift_dynamorm.transport.local import LocalTransport
from tests import wire

if TYPE_CHECKING:
    from collections.abc import Iterator


class Book(Model, table="books", pk="BOOK#{id}", sk="-", indexes=[GSI("by_shelf", pk="SHELF#{shelf}")]):
    id: str
    shelf: str = "a"
    sold: int = 0


@pytest.fixture
def recorded() -> RecordingTransport:
    return RecordingTransport(LocalTransport())


@pytest.fixture
def metered(recorded: RecordingTransport) -> Iterator[Database]:
    db = Database(transport=recorded, consumed_capacity=True, table_names={"books": "books-production"})
    db.sync.create_tables(Book)
    yield db
    db.sync.close()


def test_every_operation_that_reports_it_is_asked() -> None:
    service = wire._service("dynamodb")
    reports = {
        name: service.operation_model(name).output_shape.members["ConsumedCapacity"].name
        for name in service.operation_names
        if "ReturnConsumedCapacity" in service.operation_model(name).input_shape.members
    }
    assert reports.pop("SearchVectors") == "VectorCapacity"  # bytes
    assert set(reports.values()) == {"ConsumedCapacity", "ConsumedCapacityMultiple"}
    assert reports.keys() == METERED


def test_nothing_is_counted_unless_asked_for(recorded: RecordingTransport) -> None:
    db = Database(transport=recorded)
    db.sync.create_tables(Book)
    s = db.sync.session()
    s.create(Book(id="1"))
    assert not any("ReturnConsumedCapacity" in payload for _, payload in recorded.calls)
    with pytest.raises(UsageError, match="consumed_capacity=True"):
        s.capacity
    with pytest.raises(UsageError, match="consumed_capacity=True"):
        db.session().capacity


def test_a_session_counts_by_table_and_index(metered: Database) -> None:
    s = metered.sync.session("acme")
    assert s.capacity == Capacity()
    s.create(Book(id="1"))
    written = s.capacity
    assert (written.read, written.write) == (0.0, 2.0)  # the item, and its copy in the index
    s.get(Book, id="1")
    s.query(Book).where(shelf="a").all()
    assert s.capacity.tables.keys() == {"books"}
    books = s.capacity.tables["books"]
    assert (books.read, books.write) == (1.0, 2.0)
    assert books.indexes == {"by_shelf": Capacity(0.5, 1.0)}
    assert s.capacity - written == Capacity(
        1.0, 0.0, {"books": Capacity(1.0, 0.0, {}, {"by_shelf": Capacity(0.5, 0.0)})}
    )
    assert metered.sync.session("acme").capacity == Capacity()


def test_a_transaction_is_counted_when_it_commits(metered: Database) -> None:
    s = metered.sync.session()
    with s.transaction():
        s.create(Book(id="1"))
        assert s.capacity.write == 0
    assert s.capacity.write > 2


def test_a_session_and_its_twin_count_together(metered: Database) -> None:
    session = metered.session()
    session.sync.create(Book(id="1"))
    assert session.capacity == session.sync.capacity
    assert session.capacity.write == 2.0


async def test_coroutines_with_sessions_of_their_own_share_no_count(metered: Database) -> None:
    async def work(writes: int) -> float:
        s = metered.session()
        for n in range(writes):
            await s.put(Book(id=f"{writes}.{n}", shelf="b"))
            await asyncio.sleep(0)
        return s.capacity.write

    assert list(await asyncio.gather(work(1), work(2), work(3))) == [2.0, 4.0, 6.0]


def test_an_operation_of_the_caller_is_counted_whatever_it_asks_for(
    metered: Database, recorded: RecordingTransport
) -> None:
    s: Any = metered.sync.session()
    key = {"pk": {"S": "BOOK#1"}, "sk": {"S": "-"}}
    s.execute("GetItem", {"TableName": "books", "Key": key, "ReturnConsumedCapacity": "NONE"})
    assert recorded.calls[-1][1]["ReturnConsumedCapacity"] == "INDEXES"
    assert s.capacity.tables["books"].read == 0.5
    s.execute("ListTables", {})
    assert "ReturnConsumedCapacity" not in recorded.calls[-1][1]


def test_a_failure_is_not_counted(metered: Database) -> None:
    s = metered.sync.session()
    s.create(Book(id="1"))
    before = s.capacity
    with pytest.raises(ItemExists):
        s.create(Book(id="1"))
    with pytest.raises(ConditionFailed):
        s.update(Book, {"id": "1"}, sold=1, if_=F.sold > 5)
    assert s.capacity == before


def entry(table: str = "t", **more: Any) -> dict[str, Any]:
    return {"TableName": table, **more}


@pytest.mark.parametrize(
    ("reported", "reading", "expected"),
    [
        (None, True, Capacity()),
        ([], True, Capacity()),
        (entry(), True, Capacity(0, 0, {"t": Capacity()})),
        (entry(CapacityUnits=1.5), True, Capacity(1.5, 0, {"t": Capacity(1.5)})),
        (entry(CapacityUnits=1.5), False, Capacity(0, 1.5, {"t": Capacity(0, 1.5)})),
        (
            entry(CapacityUnits=2.0, Table={"CapacityUnits": 2.0}, GlobalSecondaryIndexes=None),
            False,
            Capacity(0, 2, {"t": Capacity(0, 2)}),
        ),
        (
            entry(
                CapacityUnits=4.0,
                Table={"CapacityUnits": 2.0},
                GlobalSecondaryIndexes={"g": {"CapacityUnits": 1.5}},
                LocalSecondaryIndexes={"l": {"CapacityUnits": 0.5}},
            ),
            False,
            Capacity(0, 4, {"t": Capacity(0, 4, {}, {"g": Capacity(0, 1.5), "l": Capacity(0, 0.5)})}),
        ),
        # A transaction: the kind of unit is named, and a repetition of one that was applied reads.
        ([entry(CapacityUnits=2.0, WriteCapacityUnits=2.0)], False, Capacity(0, 2, {"t": Capacity(0, 2)})),
        ([entry(CapacityUnits=4.0, ReadCapacityUnits=4.0)], False, Capacity(4, 0, {"t": Capacity(4)})),
        ([entry(CapacityUnits=4.0, WriteCapacityUnits=4.0)], True, Capacity(0, 4, {"t": Capacity(0, 4)})),
        (
            [entry(CapacityUnits=5.0, ReadCapacityUnits=2.0, WriteCapacityUnits=3.0)],
            False,
            Capacity(2, 3, {"t": Capacity(2, 3)}),
        ),
        (
            [entry("a", CapacityUnits=1.0), entry("b", CapacityUnits=0.5), entry("a", CapacityUnits=1.0)],
            True,
            Capacity(2.5, 0, {"a": Capacity(2), "b": Capacity(0.5)}),
        ),
    ],
)
def test_the_forms_in_which_it_is_reported(reported: Any, reading: bool, expected: Capacity) -> None:
    meter = Meter(str)
    meter.add({} if reported is None else {"ConsumedCapacity": reported}, reading=reading)
    assert meter.consumed == expected


def test_tables_are_named_as_the_session_has_used_them() -> None:
    meter = Meter(lambda name: f"{name}-production")
    assert meter.table_name("app") == "app-production"
    for name in ("app-production", "unheard-of"):
        meter.add({"ConsumedCapacity": entry(name, CapacityUnits=1.0)}, reading=True)
    assert meter.consumed.tables.keys() == {"app", "unheard-of"}


def test_threads_lose_nothing() -> None:
    meter = Meter(str)

    def add() -> None:
        for _ in range(500):
            meter.add({"ConsumedCapacity": entry(CapacityUnits=1.0)}, reading=True)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert meter.consumed.read == 2000.0


def test_what_a_print_shows() -> None:
    one = Capacity(1234567.5, 2.0, {"b": Capacity(0, 2.0), "a": Capacity(1234567.5, 0, {}, {"i": Capacity(0.5)})})
    assert str(one).splitlines() == [
        "read 1234567.5, write 2",
        "  a: read 1234567.5, write 0",
        "    i: read 0.5, write 0",
        "  b: read 0, write 2",
    ]
    assert str(one - one).splitlines()[0] == "read 0, write 0"
