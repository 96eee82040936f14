"""How a scan goes about it: what it asks for and when, at which pace, and what it leaves behind."""

from __future__ import annotations

import asyncio
import re
import textwrap
import threading
import time
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lift_dynamorm import (
    GSI,
    TTL,
    Database,
    F,
    Model,
    PartitionKey,
    QueryError,
    UsageError,
)
from lift_dynamorm.errors import DeadlineExceeded, RequestRefused, Throttled
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.operations.scan import Pace
from lift_dynamorm.transport.retry import RetryTransport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from lift_dynamorm import SyncSession
    from lift_dynamorm.transport import Payload

    Open = Callable[..., SyncSession]

PATIENCE = 10.0


class Row(Model, table="rows"):
    number: PartitionKey[int]
    text: str = ""


class Leaf(Model, table="tree", pk="LEAF#{id}", sk="LEAF", indexes=[GSI("by_kind", pk="K#{kind}", sk="{size}")]):
    id: str
    kind: str | None = None
    size: int = 0


class Bloom(Model, table="blooms", indexes=[GSI("by_color", pk=F.color, projection="KEYS_ONLY")]):
    id: PartitionKey[str]
    color: str = "red"
    ends: TTL = None


class Rows:
    """A table of numbers that answers scans: number n is in segment n % segments. Up to `page` of them at once.

    held: segments whose answers wait until `release`. broken: segments whose second page is refused.
    """

    def __init__(self, numbers: int, page: int, *, units: float = 1.0, broken: frozenset[int] = frozenset()) -> None:
        self.numbers = numbers
        self.page = page
        self.units = units
        self.broken = broken
        self.log: list[str] = []
        self.requests: list[Payload] = []
        self.answered = 0
        self.deadlines: list[float | None] = []
        self.held: frozenset[int] = frozenset()
        self._released = threading.Event()
        self._lock = threading.Lock()

    @property
    def blocking(self) -> Rows:
        return self

    def release(self) -> None:
        self._released.set()

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        assert operation == "Scan"
        segment, segments = payload.get("Segment", 0), payload.get("TotalSegments", 1)
        with self._lock:
            self.requests.append(payload)
            self.deadlines.append(deadline)
            self.log.append(f"ask {segment}")
        if segment in self.held:
            await self._hold()
        start = int(payload.get("ExclusiveStartKey", {"number": {"N": "-1"}})["number"]["N"])
        with self._lock:
            self.answered += 1
        if segment in self.broken and start >= 0:
            raise RequestRefused("Scan: broken", operation="Scan", code="ValidationException")
        limit = min(payload.get("Limit", self.page), self.page)
        mine = [n for n in range(self.numbers) if n % segments == segment and n > start]
        keys = [{"number": {"N": str(n)}} for n in mine[:limit]]
        answer: Payload = {"Items": keys, "Count": len(keys), "ScannedCount": len(keys)}
        answer["ConsumedCapacity"] = {"TableName": payload["TableName"], "CapacityUnits": self.units}
        return answer | ({"LastEvaluatedKey": keys[-1]} if len(mine) > limit else {})

    async def _hold(self) -> None:
        if threading.current_thread() is threading.main_thread():
            while not self._released.is_set():  # noqa: ASYNC110 - it is released by threads too
                await asyncio.sleep(0)
        else:
            assert self._released.wait(PATIENCE)

    async def aclose(self) -> None:
        return None


def database(rows: Any, **options: Any) -> Database:
    async def sleep(seconds: float) -> None:
        rows.log.append("sleep")
        rows.slept = seconds

    transport = RetryTransport(rows, sleep=sleep, blocking_sleep=lambda seconds: drive(sleep(seconds)))
    return Database(transport=transport, cursor_keys=["secret"], **options)


def scan_of(rows: Rows, way: str, segments: int = 1) -> Any:
    db = database(rows)
    return (db.session() if way == "async" else db.sync.session()).scan(Row).segments(segments)


async def each(things: Any) -> AsyncGenerator[Any, None]:
    """Go through what is asynchronous, or not, and close it when left."""
    if hasattr(things, "__aiter__"):
        async with aclosing(things.__aiter__()) as items:
            async for item in items:
                yield item
    else:
        for item in things:
            yield item


async def value(result: Any) -> Any:
    return await result if asyncio.iscoroutine(result) else result


def left_behind() -> list[Any]:
    """The threads and the tasks that a scan has made and not ended."""
    found: list[Any] = [thread for thread in threading.enumerate() if thread.name.startswith("lift-dynamorm_")]
    try:
        return [*found, *(asyncio.all_tasks() - {asyncio.current_task()})]
    except RuntimeError:
        return found


async def until(condition: Callable[[], bool]) -> None:
    """Let the tasks go on, as often as that may take them."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)


both_ways = pytest.mark.parametrize("way", ["async", "sync"])


# -- segments ----------------------------------------------------------------------------------------------------------


@both_ways
async def test_segments_wait_for_the_caller(way: str) -> None:
    rows = Rows(60, page=5)
    taken = 0
    async with aclosing(each(scan_of(rows, way, 3).pages())) as pages:
        async for page in pages:
            taken += 1
            # Those taken before this one have been followed by another; beside them there is one of each segment.
            assert len(rows.requests) <= taken + 2
            assert len(page) == 5
    assert taken == len(rows.requests) == 12
    assert left_behind() == []


@both_ways
@pytest.mark.parametrize("what", ["items", "pages"])
async def test_a_scan_left_early_asks_for_no_more(way: str, what: str) -> None:
    rows = Rows(60, page=5)
    rows.held = frozenset({1, 2})
    scan = scan_of(rows, way, 3)
    async with aclosing(each(scan if what == "items" else scan.pages())) as things:
        async for _ in things:
            assert len(left_behind()) >= 2
            rows.release()
            break
    assert len(rows.requests) == rows.answered == 3
    assert left_behind() == []


async def test_a_loop_left_early_leaves_no_tasks() -> None:
    rows = Rows(60, page=5)
    rows.held = frozenset({1, 2})
    async for _ in scan_of(rows, "async", 3):
        break
    assert len(left_behind()) >= 2
    rows.release()
    await until(lambda: not left_behind())
    assert left_behind() == []
    assert len(rows.requests) == rows.answered == 3


@both_ways
async def test_a_scan_in_one_segment_needs_no_tasks_and_no_threads(way: str) -> None:
    rows = Rows(60, page=5)
    async for _ in each(scan_of(rows, way)):
        assert left_behind() == []
        break
    assert len(rows.requests) == 1
    assert not {"Segment", "TotalSegments"} & rows.requests[0].keys()


@both_ways
async def test_pages_come_as_they_are_read(way: str) -> None:
    rows = Rows(60, page=5)
    rows.held = frozenset({1})
    came = []
    async for page in each(scan_of(rows, way, 3).pages()):
        came.append(page.items[0].number % 3)
        if len(came) == 8:  # all there is of the others
            rows.release()
    assert sorted(came[:8]) == [0] * 4 + [2] * 4
    assert came[8:] == [1] * 4


@both_ways
async def test_an_error_in_a_segment_ends_the_others(way: str) -> None:
    rows = Rows(600, page=5, broken=frozenset({1}))
    with pytest.raises(RequestRefused, match="broken"):
        await value(scan_of(rows, way, 3).all())
    assert rows.answered == len(rows.requests) < 12
    assert left_behind() == []


@both_ways
async def test_a_page_is_asked_for_again_where_that_may_help(way: str) -> None:
    class Busy(Rows):
        refusals = 2

        async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
            if self.refusals and payload.get("Segment") == 1:
                self.refusals -= 1
                raise Throttled("Scan: slow down", operation="Scan")
            return await super().send(operation, payload, deadline=deadline)

    assert await value(scan_of(Busy(40, page=5), way, 2).count()) == 40


@both_ways
async def test_segments_are_read_at_once(way: str) -> None:
    rows = Rows(8, page=1)
    rows.held = frozenset(range(4))
    asked: list[int] = []

    def release() -> None:
        end = time.monotonic() + PATIENCE
        while len(rows.requests) < 4 and time.monotonic() < end:
            time.sleep(0.001)
        asked.append(len(rows.requests))
        rows.release()

    other = threading.Thread(target=release)
    other.start()
    assert await value(scan_of(rows, way, 4).count()) == 8
    other.join()
    assert asked == [4]  # before there was any answer


async def test_a_cancelled_scan_leaves_no_tasks() -> None:
    rows = Rows(60, page=5)
    rows.held = frozenset({0, 1, 2})
    caller = asyncio.ensure_future(scan_of(rows, "async", 3).all())
    await until(lambda: len(rows.requests) == 3)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert left_behind() == []
    assert rows.answered == 0


# -- what is asked for -------------------------------------------------------------------------------------------------


def test_a_page_has_no_limit_unless_one_is_wanted() -> None:
    rows = Rows(10, page=100)
    scan = scan_of(rows, "sync")
    scan.all()
    scan.limit(4).all()
    scan.first()
    scan.limit(4).page()
    scan.where(text="x").limit(4).all()
    limits = [request.get("Limit") for request in rows.requests]
    assert limits == [None, 4, 1, 4, 25]
    assert {request["ReturnConsumedCapacity"] for request in rows.requests} == {"TOTAL"}


def test_a_page_is_of_fifty_items() -> None:
    assert len(scan_of(Rows(60, page=100), "sync").page()) == 50


def test_what_a_serializable_transaction_scans_it_reads_consistently(opened: Open) -> None:
    s = opened(Leaf)
    assert "ConsistentRead" not in s.scan(Leaf).explain().request
    with s.transaction(isolation="serializable"):
        assert s.scan(Leaf).explain().request["ConsistentRead"] is True
        assert "ConsistentRead" not in s.scan(Leaf).index("by_kind").explain().request


def test_an_index_must_tell_when_the_time_of_an_item_is_over(opened: Open) -> None:
    scan = opened(Bloom).scan(Bloom).index("by_color").only("id")
    with pytest.raises(QueryError, match="does not hold `ends`"):
        scan.all()
    assert scan.include_expired().all() == []


def test_a_filter_that_drops_much_does_not_take_a_request_an_item() -> None:
    class Picky(Rows):
        async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
            answer = await super().send(operation, payload, deadline=deadline)
            return answer | {"Items": [item for item in answer["Items"] if item["number"] == {"N": "2999"}]}

    rows = Picky(3000, page=10_000)
    found = scan_of(rows, "sync").where(text="x").first()
    assert found.number == 2999
    assert len(rows.requests) < 10


def test_each_page_has_the_time_of_an_operation_and_the_session_has_the_last_word() -> None:
    rows = Rows(10, page=5)
    db = database(rows)
    db.sync.session().scan(Row).all()
    first, second = rows.deadlines
    assert first is not None
    assert second is not None
    assert first < second
    end = time.monotonic() + 5.0
    db.sync.session(deadline=end).scan(Row).all()
    assert rows.deadlines[2:] == [end, end]


def test_the_filter_tells_models_and_tenants_apart(opened: Open) -> None:
    assert opened(Leaf).scan(Leaf).explain().filter == "begins_with(pk, 'LEAF#') AND sk = 'LEAF'"
    said = opened(Leaf, tenant="a#b").scan(Leaf).where(F.size > 3).explain()
    assert said.filter == "begins_with(pk, '@a\"$b#LEAF#') AND sk = 'LEAF' AND size > 3"


def test_explain_says_that_everything_is_paid_for(opened: Open) -> None:
    scan = opened(Leaf).scan(Leaf)
    assert str(scan.segments(2).explain()).splitlines()[0] == "scan Leaf by table, which is read from end to end"
    assert "warning  all of the table is read, with the items of every model and tenant" in str(scan.explain())
    assert "12.5 read units for each 100 items read, at 1024 bytes an item" in str(scan.explain())
    assert scan.consistent().explain(item_size=4096).read_units == 100
    by_kind = scan.index("by_kind").explain()
    assert by_kind.request["IndexName"] == "by_kind"
    assert "all of the index by_kind is read" in str(by_kind)
    assert "items without kind are not in the index" in str(by_kind)
    assert "lags behind" in str(by_kind)
    long = scan.where(F.size.is_in(range(2000))).explain()
    assert long.local.startswith("size IN (0, 1")
    assert "size" not in long.filter
    with pytest.raises(UsageError, match="whose tenant is known"):
        Database("local://").session(lambda: "a").scan(Leaf).explain()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda scan: scan.segments(0),
        lambda scan: scan.segments(1_000_001),
        lambda scan: scan.segments(True),
        lambda scan: scan.segments("2"),
        lambda scan: scan.rate(),
        lambda scan: scan.rate(read_units=1, share=0.5),
        lambda scan: scan.rate(read_units=0),
        lambda scan: scan.rate(read_units=-1),
        lambda scan: scan.rate(read_units=float("nan")),
        lambda scan: scan.rate(read_units=float("inf")),
        lambda scan: scan.rate(share=0),
        lambda scan: scan.rate(share=1.01),
        lambda scan: scan.limit(0),
        lambda scan: scan.where(nope=1).all(),
        lambda scan: scan.index("nope").all(),
        lambda scan: scan.index("by_kind").consistent().all(),
        lambda scan: scan.resume("nope").all(),
        lambda scan: scan.page("nope"),
    ],
)
def test_wrong_scans_are_refused(opened: Open, wrong: Any) -> None:
    with pytest.raises(UsageError):
        wrong(opened(Leaf).scan(Leaf))


def test_the_builder_leaves_what_it_was_made_from(opened: Open) -> None:
    base = opened(Leaf).scan(Leaf)
    base.where(F.size > 3).limit(2).segments(4).rate(read_units=1).progress(print).resume("x")
    assert base == opened(Leaf).scan(Leaf).__class__(base.session, Leaf)


def test_a_sync_scan_does_not_wait_for_an_event_loop() -> None:
    async def report(progress: object) -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="must not suspend"):
        scan_of(Rows(10, page=5), "sync").progress(report).all()


# -- pace --------------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_a_pace_lets_pages_be_paid_off() -> None:
    clock = Clock()
    pace = Pace(10.0, clock.sleep, clock)
    drive(pace.wait(None))
    assert clock.slept == []
    pace.spend(25.0, 100)
    pace.spend(5.0, 100)
    assert pace.debt == 3.0
    drive(pace.wait(None))
    drive(pace.wait(None))
    assert clock.slept == [3.0]
    pace.spend(10.0, 100)
    clock.now += 0.5
    drive(pace.wait(None))
    clock.now += 60.0  # time in which nothing was read is not saved up
    pace.spend(10.0, 100)
    drive(pace.wait(None))
    assert clock.slept == [3.0, 0.5, 1.0]


def test_a_pace_does_not_wait_past_the_deadline() -> None:
    clock = Clock()
    pace = Pace(10.0, clock.sleep, clock)
    pace.spend(20.0, 100)
    for deadline in (1001.0, 1002.0):
        with pytest.raises(DeadlineExceeded, match=r"no page for 2\.0 seconds"):
            drive(pace.wait(deadline))
    assert clock.slept == []
    drive(pace.wait(1002.5))
    assert clock.slept == [2.0]


def test_a_pace_makes_pages_of_about_a_second() -> None:
    clock = Clock()
    pace = Pace(100.0, clock.sleep, clock)
    assert (pace.items(1), pace.items(4), pace.items(1000)) == (100, 25, 1)
    pace.spend(9.0, 899)  # with the guess, 90 items a unit
    assert (pace.items(1), pace.items(3)) == (9000, 3000)
    assert Pace(0.001, clock.sleep, clock).items(1) == 1
    assert Pace(1e300, clock.sleep, clock).items(1) == 1_000_000


@both_ways
async def test_no_segment_goes_out_before_the_pages_are_paid_for(way: str) -> None:
    rows = Rows(24, page=3, units=2.0)
    await value(scan_of(rows, way, 4).rate(read_units=1e-6).all())
    asked = [entry.split()[0] for entry in rows.log]
    assert asked[:6] == ["ask"] * 4 + ["sleep", "ask"]
    assert asked[4:] == ["sleep", "ask"] * 20
    # The clock of this sleep stands still, so the last one is for all the pages but the last.
    assert rows.slept == pytest.approx(23 * 2.0 / 1e-6, rel=0.01)  # type: ignore[attr-defined]  # set by `database`
    assert {request["Limit"] for request in rows.requests} == {1}


@both_ways
async def test_a_rate_that_is_not_reached_holds_nothing_up(way: str) -> None:
    rows = Rows(24, page=3, units=2.0)
    await value(scan_of(rows, way, 2).rate(read_units=1e9).all())
    assert "sleep" not in rows.log
    assert len(rows.requests) == 8


def test_the_deadline_of_the_session_ends_a_scan_that_would_wait() -> None:
    rows = Rows(24, page=3, units=2.0)
    s = database(rows).sync.session(deadline=time.monotonic() + 60)
    taken = []
    with pytest.raises(DeadlineExceeded, match="the rate of the scan"):
        for page in s.scan(Row).rate(read_units=0.001).pages():
            taken += page.items
    assert len(taken) == len(rows.requests) == 1
    assert "sleep" not in rows.log


# -- from where it stopped ---------------------------------------------------------------------------------------------

stops = st.lists(st.tuples(st.sampled_from(["pages", "limit", "page"]), st.integers(1, 5)), max_size=12)


@settings(max_examples=200)
@given(
    numbers=st.integers(0, 40),
    page=st.integers(1, 9),
    segments=st.integers(1, 5),
    stops=stops,
    held=st.frozensets(st.integers(0, 4)),
    pending=st.frozensets(st.integers(0, 45), max_size=5),
)
def test_a_scan_in_pieces_gives_every_item_once(
    numbers: int, page: int, segments: int, stops: list[tuple[str, int]], held: frozenset[int], pending: frozenset[int]
) -> None:
    async def run() -> list[int]:
        rows = Rows(numbers, page)
        s = database(rows).session()
        s.begin()
        for number in pending:
            await s.put(Row(number=number, text="pending"))
        given: list[int] = []
        cursor = None
        for how, most in [*stops, ("pages", 10_000)]:
            rows.held = held
            rows._released.clear()
            asyncio.get_running_loop().call_soon(rows.release)
            scan = s.scan(Row).segments(segments)
            if how == "page":
                got = await scan.limit(most).page(cursor)
                assert len(got) <= most
                given += [row.number for row in got]
                cursor = got.cursor
            else:
                taken = 0
                limited = scan.resume(cursor) if how == "pages" else scan.resume(cursor).limit(most)
                async with aclosing(limited.pages()) as pages:
                    async for got in pages:
                        given += [row.number for row in got]
                        cursor = got.cursor
                        taken += 1
                        if how == "pages" and taken == most:
                            break
            if cursor is None:
                break
        assert cursor is None
        return given

    given = asyncio.run(run())
    assert sorted(given) == sorted({*range(numbers), *pending})


def test_progress_inside_of_a_transaction() -> None:
    told: list[Any] = []
    s = database(Rows(9, page=3)).sync.session()
    with pytest.raises(ZeroDivisionError), s.transaction():
        s.put(Row(number=3))
        s.put(Row(number=30))
        assert s.scan(Row).progress(told.append).count() == 10
        raise ZeroDivisionError
    assert [progress.items for progress in told] == [3, 5, 8, 10]
    assert [progress.scanned for progress in told] == [3, 6, 9, 9]
    assert [progress.segments_done for progress in told] == [0, 0, 1, 1]
    assert [progress.cursor is None for progress in told] == [False, False, False, True]


def test_a_page_says_where_it_ended_also_where_it_is_empty() -> None:
    class Empty(Rows):
        async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
            answer = await super().send(operation, payload, deadline=deadline)
            return answer | {"Items": [], "Count": 0}

    rows = Empty(9, page=3)
    pages = list(database(rows).sync.session().scan(Row).pages())
    assert [len(page) for page in pages] == [0, 0, 0]
    assert [page.cursor is None for page in pages] == [False, False, True]
    rows.requests.clear()
    assert list(database(rows).sync.session().scan(Row).resume(pages[0].cursor)) == []
    assert rows.requests[0]["ExclusiveStartKey"] == {"number": {"N": "2"}}


def test_a_limit_that_ends_where_a_page_does_goes_on_behind_the_page() -> None:
    rows = Rows(9, page=3)
    s = database(rows).sync.session()
    first = s.scan(Row).limit(3).page()
    assert [row.number for row in first] == [0, 1, 2]
    last = s.scan(Row).limit(6).page(first.cursor)
    assert [row.number for row in last] == [3, 4, 5, 6, 7, 8]
    assert last.cursor is None


# -- the page about it -------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parent.parent / "docs" / "scans.md").read_text()


def test_the_program_of_the_page_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```(\w*)\n(.*?)```", PAGE, re.DOTALL)
    program = textwrap.indent("".join(text for kind, text in blocks if kind == "python"), "    ")
    names: dict[str, object] = {}
    exec(f"async def main():\n{program}", names)
    main = names["main"]
    assert callable(main)
    asyncio.run(main())
    (printed,) = [text for kind, text in blocks if not kind]
    assert capsys.readouterr().out == printed


# -- the twins ---------------------------------------------------------------------------------------------------------


def test_a_sync_stream_may_be_left_and_begun_again() -> None:
    scan = scan_of(Rows(30, page=5), "sync", 2)
    one, other = iter(scan), iter(scan)
    assert next(one).number % 2 == next(one).number % 2
    assert next(other).number >= 0
    del one, other
    assert left_behind() == []
    assert sorted(row.number for row in scan) == list(range(30))


async def test_a_sync_scan_works_inside_of_a_running_loop() -> None:
    scan = scan_of(Rows(30, page=5), "sync", 3)
    for _ in scan:
        break
    assert left_behind() == []
    assert scan.count() == 30


def test_unread_scans_send_nothing() -> None:
    rows = Rows(30, page=5)
    scan = scan_of(rows, "sync", 3)
    scan.pages()
    iter(scan)
    assert rows.requests == []
