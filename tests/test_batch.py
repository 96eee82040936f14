"""What a batch sends: how it is cut, how much at once, how long it waits, and what it says of what is left."""

from __future__ import annotations

import asyncio
import re
import textwrap
import threading
import time
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from lift_dynamorm import (
    Batch,
    BatchIncomplete,
    CredentialsError,
    Database,
    Generated,
    InvalidValue,
    Key,
    Model,
    PartitionKey,
    SessionClosed,
    SortKey,
    SyncBatch,
    Throttled,
    UsageError,
    Version,
    WriteEvent,
)
from lift_dynamorm.errors import RequestRefused, service_error
from lift_dynamorm.model import schema_of, stored_item
from lift_dynamorm.operations.batch import get_items
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.transport.faults import (
    DropAfterSend,
    FaultTransport,
    RecordingTransport,
    Script,
    Throttle,
    Unprocessed,
)
from lift_dynamorm.transport.local import LocalTransport
from lift_dynamorm.transport.retry import RetryTransport

from .wire import ValidatingTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lift_dynamorm.transport import Payload
    from lift_dynamorm.transport.faults import Call, Fault


DOCS = Path(__file__).parent.parent / "docs"
WRONG: Any = 7  # what the types do not allow


class Row(Model, table="rows"):
    id: PartitionKey[int]
    text: str = ""


class Line(Model, table="lines"):
    doc: PartitionKey[str]
    n: SortKey[int]
    text: str = ""


class Locked(Model, table="app", pk="LOCKED#{id}"):
    id: str
    version: Version = 0


class Free(Model, table="other", pk="FREE#{id}"):
    id: Generated = ""
    name: str = ""


class Hooked(Row):
    """Stored as rows are."""


class Stand:
    """A database on the embedded engine, with faults that its requests meet and a clock that only waiting moves."""

    def __init__(self, *faults: Fault | None, **retries: Any) -> None:
        self.faults: list[Fault | None] = []
        self.slept: list[float] = []
        self.now = self.began = time.monotonic() + 1e6  # past every deadline that the engine itself looks at
        self.sent = RecordingTransport(ValidatingTransport(LocalTransport()))
        failing = FaultTransport(self.sent, Script.of(self._next()))
        clock: dict[str, Any] = {"clock": lambda: self.now, "sleep": self._sleep, "blocking_sleep": self._wait}
        self.db = Database(
            transport=RetryTransport(failing, random=lambda: 1.0, **clock, **retries),
            table_names={"app": "shared", "other": "shared"},
        )
        self.db.sync.create_tables(Row, Line, Locked, Free)
        self.session = self.db.sync.session()
        self.sent.calls.clear()
        self.faults.extend(faults)

    def _next(self) -> Iterator[Fault | None]:
        while True:
            yield self.faults.pop(0) if self.faults else None

    def _wait(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def _sleep(self, seconds: float) -> None:
        self._wait(seconds)

    def requests(self) -> list[dict[str, Any]]:
        """What reached the engine of batches."""
        return [payload["RequestItems"] for _, payload in self.sent.calls if "RequestItems" in payload]

    def rows(self) -> list[int]:
        """The ids of the rows that are stored."""
        items = drive(self.sent.blocking.send("Scan", {"TableName": "rows"}))["Items"]
        return sorted(int(item["id"]["N"]) for item in items)


class Refused:
    """Refuse the request for what is in it."""

    async def send(self, call: Call) -> Payload:
        raise service_error(call.operation, status=400, answer={"__type": "ValidationException", "message": "no"})


class Lapsed:
    """Have no credentials any more."""

    async def send(self, call: Call) -> Payload:
        raise CredentialsError("expired")


class About:
    """Meet only the requests that put one row with a fault."""

    def __init__(self, id: int, fault: Fault) -> None:
        self.id = {"N": str(id)}
        self.fault = fault

    async def send(self, call: Call) -> Payload:
        entries = call.payload["RequestItems"].get("rows", ())
        met = any(entry["PutRequest"]["Item"]["id"] == self.id for entry in entries)
        return await (self.fault.send(call) if met else call.forward())


@pytest.fixture
def stand() -> Stand:
    return Stand()


def rows(*ids: int) -> list[Key[Row]]:
    return [Key(Row, id=id) for id in ids]


# -- keys --------------------------------------------------------------------------------------------------------------


def test_a_key_is_a_value() -> None:
    key = Key(Line, {"doc": "a"}, n=1)
    assert key == Key(Line, doc="a", n=1)
    assert {key, Key(Line, n=1, doc="a")} == {key}
    assert key != Key(Line, doc="a", n=2)
    assert Key(Hooked, id=1) != Key(Row, id=1)
    assert repr(key) == "Key(Line, doc='a', n=1)"
    with pytest.raises(FrozenInstanceError):
        key.values = {}  # type: ignore[misc]  # on purpose


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Key(Line, doc="a"), "also needs n="),
        (lambda: Key(Line, doc="a", n=1, text=""), "`text` is not part of it"),
        (lambda: Key(Row, WRONG), r"given by name: id=\.\.\."),
        (lambda: Key(WRONG, id=1), "a model class is wanted"),
        (lambda: Key(Row, id="x"), r"Row\.id"),
    ],
)
def test_a_wrong_key_is_refused_where_it_is_made(make: Any, words: str) -> None:
    with pytest.raises((UsageError, InvalidValue), match=words):
        make()


# -- reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (99, [99]), (100, [100]), (101, [100, 1]), (250, [100, 100, 50])]
)
def test_a_request_takes_a_hundred_keys(stand: Stand, count: int, sizes: list[int]) -> None:
    assert stand.session.batch_get(rows(*range(count))).missing == tuple(rows(*range(count)))
    assert sorted((len(request["rows"]["Keys"]) for request in stand.requests()), reverse=True) == sizes


@pytest.mark.parametrize("consistent", [True, False])
def test_each_key_is_sent_once_and_tables_share_a_request(stand: Stand, consistent: bool) -> None:
    keys = [Key(Row, id=1), Key(Line, doc="a", n=1), Key(Row, id=2), Key(Row, id=1), Key(Row, {"id": 2})]
    found = stand.session.batch_get(keys, consistent=consistent)
    assert found.missing == (Key(Row, id=1), Key(Line, doc="a", n=1), Key(Row, id=2))
    (request,) = stand.requests()
    assert request["rows"]["Keys"] == [{"id": {"N": "1"}}, {"id": {"N": "2"}}]
    assert request["lines"]["Keys"] == [{"doc": {"S": "a"}, "n": {"N": "1"}}]
    assert [table.get("ConsistentRead", False) for table in request.values()] == [consistent] * 2


def test_a_serializable_transaction_reads_consistently(stand: Stand) -> None:
    with stand.session.transaction(isolation="serializable"):
        stand.session.batch_get(rows(1))
    with stand.session.transaction():
        stand.session.batch_get(rows(1))
    assert ["ConsistentRead" in request["rows"] for request in stand.requests()] == [True, False]


def test_models_may_share_a_table_under_two_names(stand: Stand) -> None:
    with stand.session.batch(unchecked=True) as batch:
        batch.put(Locked(id="1"))
        batch.put(Free(id="1"))
    found = stand.session.batch_get([Key(Free, id="1"), Key(Locked, id="1"), Key(Free, id="2")])
    assert list(found) == [Free(id="1"), Locked(id="1", version=1)]
    assert found.missing == (Key(Free, id="2"),)
    assert [list(request) for request in stand.requests()] == [["shared"], ["shared"]]


def test_a_projection_goes_with_every_request() -> None:
    stand = Stand(None, Unprocessed(0.5))
    stand.session.put(Row(id=1, text="x"))
    context = stand.db.session().sync._session.context()
    keys = [(schema_of(Row), {"id": {"N": str(n)}}) for n in range(2)]
    found = drive(get_items(context, keys, consistent=False, projection=("#i", {"#i": "id"})))
    assert list(found.values()) == [{"id": {"N": "1"}}]
    assert [request["rows"]["ProjectionExpression"] for request in stand.requests()] == ["#i", "#i"]


def test_what_was_found_is_a_sequence(stand: Stand) -> None:
    for id in (1, 2, 3):
        stand.session.put(Row(id=id))
    found = stand.session.batch_get(Row, ({"id": id} for id in (3, 9, 1)))
    assert (len(found), found[0].id, found[-1].id, [row.id for row in found]) == (2, 3, 1, [3, 1])
    assert found[:1] == (Row(id=3),)
    assert Row(id=1) in found
    assert found.missing == (Key(Row, id=9),)


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.batch_get([{"id": 1}]),
        lambda s: s.batch_get([Row(id=1)]),
        lambda s: s.batch_get(Row, [1]),
        lambda s: s.batch_get(Row(id=1), [{"id": 1}]),
        lambda s: s.batch_get(Row),
        lambda s: s.batch_get(Key(Row, id=1)),
        lambda s: s.transact_get({"id": 1}),
    ],
)
def test_what_is_no_key_is_refused(stand: Stand, call: Any) -> None:
    with pytest.raises(UsageError):
        call(stand.session)


# -- writing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (24, [24]), (25, [25]), (26, [25, 1]), (100, [25, 25, 25, 25])]
)
def test_a_request_takes_25_writes(stand: Stand, count: int, sizes: list[int]) -> None:
    with stand.session.batch() as batch:
        for id in range(count):
            batch.put(Row(id=id))
        assert len(batch) == count
        assert stand.requests() == []
    assert sorted((len(request["rows"]) for request in stand.requests()), reverse=True) == sizes
    assert stand.rows() == list(range(count))


def test_a_request_takes_sixteen_megabytes(stand: Stand) -> None:
    """Some texts are six times as long on the way there as DynamoDB counts them."""
    items = [Row(id=id, text="\1" * 390_000) for id in range(8)]
    with stand.session.batch() as batch:
        for item in items:
            batch.put(item)
    sizes = sorted(len(orjson.dumps({"RequestItems": request})) // 2**20 for request in stand.requests())
    assert sizes == [2, 15]
    assert stand.session.batch_get(rows(*range(8))).items == tuple(items)


def test_the_last_write_to_an_item_counts(stand: Stand) -> None:
    stand.session.put(Row(id=1))
    first, last = Row(id=2, text="first"), Row(id=2, text="last")
    with stand.session.batch() as batch:
        batch.put(first)
        batch.put(Row(id=1, text="x"))
        batch.put(last)
        batch.delete(Key(Row, id=1))
        batch.delete(Key(Row, id=3))
        batch.put(Row(id=3))
        assert len(batch) == 3
    assert [len(request["rows"]) for request in stand.requests()] == [3]
    assert list(stand.session.batch_get(rows(1, 2, 3))) == [last, Row(id=3)]
    assert stored_item(first) is None
    assert stored_item(last)


def test_an_item_is_stored_as_it_was_put(stand: Stand) -> None:
    row = Row(id=0)
    with stand.session.batch() as batch:
        for id in range(3):
            row.id, row.text = id, str(id)
            batch.put(row)
    assert list(stand.session.batch_get(rows(0, 1, 2))) == [Row(id=n, text=str(n)) for n in range(3)]


def test_a_block_that_raises_writes_nothing_but_what_was_flushed(stand: Stand) -> None:
    with pytest.raises(ZeroDivisionError), stand.session.batch() as batch:
        for id in range(10):
            batch.put(Row(id=id))
            if len(batch) == 4:
                batch.flush()
                assert len(batch) == 0
        raise ZeroDivisionError
    assert stand.rows() == list(range(8))


def test_a_batch_is_filled_inside_of_its_block(stand: Stand) -> None:
    batch = stand.session.batch()
    with pytest.raises(UsageError, match="inside of its block"):
        batch.put(Row(id=1))
    with batch:
        batch.put(Row(id=1))
    late_calls: list[Callable[[], None]] = [
        lambda: batch.put(Row(id=2)),
        lambda: batch.delete(Key(Row, id=1)),
        batch.flush,
    ]
    for late in late_calls:
        with pytest.raises(UsageError, match="inside of its block"):
            late()
    assert stand.rows() == [1]


def test_a_batch_is_no_part_of_a_transaction(stand: Stand) -> None:
    session = stand.session
    with session.transaction(), pytest.raises(UsageError, match=r"database\.session"):
        session.batch()
    with session.batch() as batch, session.transaction(), pytest.raises(UsageError, match="open transaction"):
        batch.put(Row(id=1))
    with pytest.raises(UsageError, match="open transaction"), session.batch() as batch:
        batch.put(Row(id=1))
        session.begin()
    session.rollback()
    assert stand.requests() == []


def test_a_batch_needs_an_open_session(stand: Stand) -> None:
    session = stand.db.session()
    session.end("it is over")
    with pytest.raises(SessionClosed, match="it is over"):
        session.batch()
    ending = stand.db.session()
    with pytest.raises(SessionClosed, match="it is over"), ending.sync.batch() as batch:
        batch.put(Row(id=1))
        ending.end("it is over")
    assert stand.rows() == []


def test_hooks_are_called_before_anything_is_sent(stand: Stand) -> None:
    seen: list[tuple[str, Any, Any, int]] = []

    @stand.db.before_write(Hooked)
    async def shout(event: WriteEvent[Hooked]) -> None:
        seen.append((event.verb, event.instance, dict(event.key), len(stand.requests())))
        if event.instance is not None:
            event.instance.text = event.instance.text.upper()

    item, gone = Hooked(id=1, text="a"), Hooked(id=2)
    with stand.session.batch() as batch:
        batch.put(item)
        batch.delete(gone)
        batch.delete(Key(Hooked, id=3))
        batch.put(Row(id=4, text="a"))
    assert seen == [("put", item, {}, 0), ("delete", gone, {}, 0), ("delete", None, {"id": 3}, 0)]
    assert stand.session.get(Hooked, id=1) == item == Hooked(id=1, text="A")
    assert stand.session.get(Row, id=4).text == "a"


def test_a_hook_that_raises_leaves_the_batch_as_it_was(stand: Stand) -> None:
    allowed = False

    @stand.db.before_write(Hooked)
    def refuse(event: WriteEvent[Hooked]) -> None:
        if not allowed:
            raise ZeroDivisionError

    with stand.session.batch() as batch:
        batch.put(Row(id=1))
        batch.put(Hooked(id=2))
        with pytest.raises(ZeroDivisionError):
            batch.flush()
        assert (len(batch), stand.rows()) == (2, [])
        allowed = True
    assert stand.rows() == [1, 2]


def test_a_key_may_not_change_before_the_hooks_are_called(stand: Stand) -> None:
    stand.db.before_write(Hooked)(lambda event: None)
    item = Hooked(id=1)
    with pytest.raises(UsageError, match="key of a Hooked was changed"), stand.session.batch() as batch:
        batch.put(item)
        item.id = 2
        batch.put(item)
    assert stand.rows() == []


def test_a_generated_id_is_there_at_once_and_stays() -> None:
    stand = Stand(DropAfterSend(), max_attempts=1)
    stand.db.before_write(Free)(lambda event: None)
    item = Free(name="x")
    with pytest.raises(BatchIncomplete), stand.session.batch() as batch:
        batch.put(item)
        made = item.id
    assert made
    with stand.session.batch() as batch:
        batch.put(item)
        batch.put(item)
    assert item.id == made
    assert len(drive(stand.sent.blocking.send("Scan", {"TableName": "shared"}))["Items"]) == 1


def test_wrong_writes_are_refused_at_the_call(stand: Stand) -> None:
    with stand.session.batch() as batch:
        with pytest.raises(UsageError, match="put takes an instance"):
            batch.put(Row)  # type: ignore[arg-type]  # on purpose
        with pytest.raises(UsageError, match="an instance or a key"):
            batch.delete(WRONG)
        with pytest.raises(InvalidValue):
            batch.put(Row(id=1, text="\ud800"))
        with pytest.raises(UsageError, match=r"version of a Locked.*unchecked=True"):
            batch.put(Locked(id="1"))
        with pytest.raises(UsageError, match=r"version of a Locked.*unchecked=True"):
            batch.delete(Locked(id="1"))
        assert len(batch) == 0


# -- several at once ---------------------------------------------------------------------------------------------------


class Four:
    """Hold requests back until four are under way, and note the most that are."""

    def __init__(self, *, blocking: bool) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self._threads = threading.Barrier(4, timeout=30) if blocking else None
        self._tasks = asyncio.Barrier(4)
        self.most = 0

    async def send(self, call: Call) -> Payload:
        with self._lock:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        if self._threads is not None:
            self._threads.wait()
        else:
            async with asyncio.timeout(30):
                await self._tasks.wait()
        with self._lock:
            self._under_way -= 1
        return await call.forward()


def test_four_requests_are_under_way_in_threads() -> None:
    four = Four(blocking=True)
    stand = Stand(*[four] * 8)
    with stand.session.batch() as batch:
        for id in range(200):
            batch.put(Row(id=id))
    stand.faults = [four] * 8
    assert [row.id for row in stand.session.batch_get(rows(*range(800)))] == list(range(200))
    assert four.most == 4


async def test_four_requests_are_under_way_in_tasks() -> None:
    four = Four(blocking=False)
    stand = Stand(*[four] * 8)
    session = stand.db.session()
    async with session.batch() as batch:
        for id in range(200):
            batch.put(Row(id=id))
    stand.faults = [four] * 8
    assert [row.id for row in await session.batch_get(rows(*range(800)))] == list(range(200))
    assert four.most == 4


async def test_requests_under_way_are_finished_when_one_fails() -> None:
    class Last:
        """Answer the other requests only when the refused one is over."""

        def __init__(self) -> None:
            self.refused = asyncio.Event()

        async def send(self, call: Call) -> Payload:
            await self.refused.wait()
            for _ in range(20):
                await asyncio.sleep(0)
            return await call.forward()

    class First(Refused):
        async def send(self, call: Call) -> Payload:
            last.refused.set()
            return await super().send(call)

    last = Last()
    stand = Stand(last, First(), last, last)
    items = [Row(id=id) for id in range(200)]
    with pytest.raises(BatchIncomplete) as caught:
        async with stand.db.session().batch() as batch:
            for item in items:
                batch.put(item)
    assert stand.rows() == [*range(25), *range(50, 100)]
    assert list(caught.value.unprocessed) == [*items[25:50], *items[100:]]


# -- what is left ------------------------------------------------------------------------------------------------------


def test_it_waits_longer_each_time_until_the_timeout() -> None:
    class Sparing:
        deadlines: set[float | None] = set()

        async def send(self, call: Call) -> Payload:
            self.deadlines.add(call.deadline)
            return await Unprocessed(0.9).send(call)

    sparing = Sparing()
    stand = Stand(*[sparing] * 99)
    with pytest.raises(BatchIncomplete, match="no time for another") as caught:
        stand.db.sync.session(deadline=stand.began + 1000.0).batch_get(rows(*range(100)))
    assert stand.slept == [0.025, 0.05, 0.1, 0.2, 0.4, 0.8, *[1.0] * 8]
    done = [len(request["rows"]["Keys"]) for request in stand.requests()]
    assert len(done) == 15
    assert sparing.deadlines == {stand.began + 10.0}
    assert list(caught.value.unprocessed) == rows(*range(sum(done), 100))
    assert isinstance(caught.value.__cause__, Throttled)


def test_each_request_has_the_whole_timeout(stand: Stand) -> None:
    class Slow:
        deadlines: list[float | None] = []

        async def send(self, call: Call) -> Payload:
            self.deadlines.append(call.deadline)
            stand.now += 4.0
            return await call.forward()

    slow = Slow()
    stand.faults = [slow] * 20
    with stand.session.batch() as batch:
        for id in range(500):
            batch.put(Row(id=id))
    assert slow.deadlines[0] == pytest.approx(stand.began + 10.0, abs=16.0)
    assert slow.deadlines[-1] == pytest.approx(stand.now + 6.0, abs=16.0)


def test_the_deadline_of_the_session_counts() -> None:
    stand = Stand(*[Unprocessed()] * 99)
    session = stand.db.sync.session(deadline=stand.began + 0.1)
    with pytest.raises(BatchIncomplete), session.batch() as batch:
        for id in range(25):
            batch.put(Row(id=id))
    assert stand.slept == [0.025, 0.05]


def test_so_many_attempts_and_no_more() -> None:
    stand = Stand(*[Unprocessed(0.9)] * 99, max_attempts=3)
    with pytest.raises(BatchIncomplete, match="left 73 unprocessed at attempt 3"):
        stand.session.batch_get(rows(*range(100)))


def test_the_keys_that_were_not_read_are_told() -> None:
    stand = Stand()
    for id in range(0, 150, 2):
        stand.session.put(Row(id=id))
    stand.faults = [Unprocessed(0.3), Unprocessed(0.3)]
    with pytest.raises(BatchIncomplete, match="45 of 150 keys were not read") as caught:
        stand.db.sync.session(deadline=stand.began + 0.01).batch_get(rows(*range(150)))
    error = caught.value
    assert list(error.unprocessed) == rows(*range(70, 100), *range(135, 150))
    read = [*range(70), *range(100, 135)]
    assert [row.id for row in error.found] == [id for id in read if not id % 2]
    assert list(error.found.missing) == rows(*(id for id in read if id % 2))


def test_a_read_that_is_refused_is_refused_as_a_whole(stand: Stand) -> None:
    stand.faults = [Refused()]
    with pytest.raises(RequestRefused, match="no"):
        stand.session.batch_get(rows(1))
    for call in (
        lambda: stand.session.batch_get(Nowhere, [{"id": "1"}]),
        lambda: stand.session.transact_get(Key(Nowhere, id="1")),
    ):
        with pytest.raises(RequestRefused, match=r"no table 'nowhere' .*create_tables"):
            call()


@pytest.mark.parametrize(
    ("fault", "applied"),
    [(Refused(), False), (Lapsed(), False), (Throttle(), False), (DropAfterSend(), True)],
    ids=lambda value: type(value).__name__,
)
def test_the_writes_that_were_not_made_are_told(fault: Fault, applied: bool) -> None:
    stand = Stand(max_attempts=1)
    gone = Line(doc="gone", n=1)
    stand.session.put(gone)
    stand.faults = [About(30, fault)] * 9
    items = [Row(id=id) for id in range(110)]
    with pytest.raises(BatchIncomplete) as caught, stand.session.batch() as batch:
        for item in items:
            batch.put(item)
        batch.delete(gone)
        batch.delete(Key(Line, doc="gone", n=2))
    asked = [*items, Key(Line, doc="gone", n=1), Key(Line, doc="gone", n=2)]
    left = list(caught.value.unprocessed)
    assert [one for one in asked if one in left] == left
    assert items[25:50] == [one for one in left if isinstance(one, Row) and one.id < 100]
    assert [stored_item(item) is None for item in items] == [item in left for item in items]
    stored = [item.id for item in items if item not in left]
    assert stand.rows() == sorted([*stored, *range(25, 50)] if applied else stored)

    stand.faults.clear()
    with stand.session.batch() as batch:
        for one in left:
            batch.put(one) if isinstance(one, Model) else batch.delete(one)
    assert stand.rows() == list(range(110))
    assert stand.session.find(Line, doc="gone", n=1) is None


def test_what_is_left_says_what_was_to_be_done() -> None:
    stand = Stand(Refused())
    row, line = Row(id=1), Line(doc="a", n=1)
    with pytest.raises(BatchIncomplete, match="2 of 2 writes were not made") as caught, stand.session.batch() as batch:
        batch.put(row)
        batch.delete(line)
    put, deleted = caught.value.unprocessed
    assert put is row
    assert deleted == Key(Line, doc="a", n=1)


def test_what_is_left_is_sent_again_and_nothing_else() -> None:
    stand = Stand(Unprocessed(0.5), Unprocessed(0.5))
    with stand.session.batch() as batch:
        for id in range(20):
            batch.put(Row(id=id))
        batch.delete(Key(Line, doc="a", n=1))
    sent = [
        (table, entry.get("PutRequest", {}).get("Item", {}).get("id"))
        for request in stand.requests()
        for table, entries in request.items()
        for entry in entries
    ]
    assert sent == [*(("rows", {"N": str(id)}) for id in range(20)), ("lines", None)]


class Nowhere(Model, table="nowhere"):
    id: PartitionKey[str]


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_the_twins_have_the_same_verbs() -> None:
    assert {name for name in vars(Batch) if name[0] != "_"} == {name for name in vars(SyncBatch) if name[0] != "_"}


def test_the_examples_of_the_documentation_run(capsys: pytest.CaptureFixture[str]) -> None:
    models, *blocks = re.findall(r"```python\n(.*?)```", (DOCS / "batches.md").read_text(), re.DOTALL)
    main = "async def main(s):\n" + textwrap.indent("\n".join(blocks), "    ")
    names: dict[str, Any] = {}
    exec(compile(f"from lift_dynamorm import *\n{models}\n{main}", "batches.md", "exec", dont_inherit=True), names)
    db = Database("local://")
    db.sync.create_tables(names["Note"], names["User"])
    asyncio.run(names["main"](db.session()))
    assert capsys.readouterr().out.startswith("(Key(User, id='1'), Key(Note, owner='ann', number=2))\n")
    assert len(db.sync.session().query(names["Note"]).where(owner="ann").all()) == 999
