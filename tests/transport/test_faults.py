from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lift_dynamorm.errors import ConnectionFailed, OutcomeUnknown, RequestRefused, ServerError, ServiceError, Throttled
from lift_dynamorm.transport import Transport
from lift_dynamorm.transport.faults import (
    BadAnswer,
    Chaos,
    Conflict,
    Delay,
    DropAfterSend,
    DropBeforeSend,
    FaultTransport,
    InternalError,
    On,
    RecordingTransport,
    Script,
    Throttle,
    Unprocessed,
)
from lift_dynamorm.transport.retry import RetryTransport

if TYPE_CHECKING:
    from lift_dynamorm.transport import Payload
    from lift_dynamorm.transport.faults import Fault

PUT: Payload = {"TableName": "notes", "Item": {"pk": {"S": "1"}}}
COUNT: Payload = {
    "TableName": "notes",
    "Key": {"pk": {"S": "1"}},
    "UpdateExpression": "ADD n :one",
    "ExpressionAttributeValues": {":one": {"N": "1"}},
}


class Engine:
    """Keep what arrives, and answer an empty object, or raise."""

    def __init__(self, error: Exception | None = None, answer: Payload | None = None) -> None:
        self.arrived: list[tuple[str, Payload]] = []
        self.error = error
        self.answer = answer or {}

    @property
    def blocking(self) -> Engine:
        return self

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        self.arrived.append((operation, payload))
        if self.error is not None:
            raise self.error
        return dict(self.answer)

    async def aclose(self) -> None:
        self.arrived.append(("aclose", {}))


def send(transport: Transport, operation: str = "PutItem", payload: Payload = PUT) -> Payload:
    return asyncio.run(transport.send(operation, payload))


@pytest.mark.parametrize(
    ("fault", "kind", "arrives"),
    [
        (Throttle(), Throttled, False),
        (Throttle("ThrottlingException"), Throttled, False),
        (DropBeforeSend(), ConnectionFailed, False),
        (DropAfterSend(), ConnectionFailed, True),
        (InternalError(), ServerError, False),
        (InternalError(applied=True), ServerError, True),
        (BadAnswer(), ServerError, True),
        (Conflict(), RequestRefused, False),
    ],
)
def test_each_fault_raises_its_error_and_is_applied_or_not(
    fault: Fault, kind: type[ServiceError], arrives: bool
) -> None:
    engine = Engine()
    with pytest.raises(kind) as raised:
        send(FaultTransport(engine, [fault]))
    assert raised.value.operation == "PutItem"
    assert engine.arrived == ([("PutItem", PUT)] if arrives else [])


def test_a_dropped_connection_says_whether_the_request_was_sent() -> None:
    for fault, sent in ((DropBeforeSend(), False), (DropAfterSend(), True)):
        with pytest.raises(ConnectionFailed) as raised:
            send(FaultTransport(Engine(), [fault]))
        assert raised.value.sent is sent


@pytest.mark.parametrize("fault", [DropAfterSend(), InternalError(applied=True), BadAnswer()])
def test_a_lost_answer_may_have_been_a_refusal(fault: Fault) -> None:
    engine = Engine(RequestRefused("no", code="ConditionalCheckFailedException"))
    with pytest.raises((ConnectionFailed, ServerError)):
        send(FaultTransport(engine, [fault]))
    assert len(engine.arrived) == 1


def test_a_request_that_never_arrives_is_not_reported_as_sent() -> None:
    engine = Engine(ConnectionFailed("down", sent=False))
    with pytest.raises(ConnectionFailed) as raised:
        send(FaultTransport(engine, [DropAfterSend()]))
    assert not raised.value.sent


def test_a_conflict_cancels_a_transaction_with_a_reason_for_each_operation() -> None:
    transaction: Payload = {"TransactItems": [{"Put": {}}, {"Delete": {}}, {"Update": {}}]}
    transport = FaultTransport(Engine(), [Conflict(), Conflict(frozenset({1}))])
    with pytest.raises(RequestRefused) as raised:
        send(transport, "TransactWriteItems", transaction)
    assert raised.value.code == "TransactionCanceledException"
    assert [reason["Code"] for reason in raised.value.answer["CancellationReasons"]] == ["TransactionConflict"] * 3
    with pytest.raises(RequestRefused, match=r"\[None, TransactionConflict, None\]") as raised:
        send(transport, "TransactWriteItems", transaction)
    assert [reason["Code"] for reason in raised.value.answer["CancellationReasons"]] == [
        "None",
        "TransactionConflict",
        "None",
    ]


def test_a_conflict_of_a_single_write_has_its_own_code_and_reads_pass() -> None:
    engine = Engine()
    transport = FaultTransport(engine, itertools.repeat(Conflict()))
    for operation in ("PutItem", "UpdateItem", "DeleteItem"):
        with pytest.raises(RequestRefused) as raised:
            send(transport, operation)
        assert raised.value.code == "TransactionConflictException"
    send(transport, "GetItem")
    assert [operation for operation, _ in engine.arrived] == ["GetItem"]


def puts(count: int) -> list[dict[str, Any]]:
    return [{"PutRequest": {"Item": {"pk": {"S": str(index)}}}} for index in range(count)]


def test_unprocessed_items_are_kept_back_and_returned() -> None:
    engine = Engine(answer={"UnprocessedItems": {}})
    batch: Payload = {"RequestItems": {"a": puts(3), "b": puts(3)}, "ReturnConsumedCapacity": "TOTAL"}
    answer = send(FaultTransport(engine, [Unprocessed(0.5)]), "BatchWriteItem", batch)
    assert engine.arrived == [("BatchWriteItem", {"RequestItems": {"a": puts(3)}, "ReturnConsumedCapacity": "TOTAL"})]
    assert answer == {"UnprocessedItems": {"b": puts(3)}}


@given(st.integers(0, 10), st.integers(0, 10), st.floats(0, 1))
def test_nothing_of_a_batch_is_lost_or_doubled(first: int, second: int, share: float) -> None:
    request = {name: puts(count) for name, count in (("a", first), ("b", second)) if count}
    engine = Engine(answer={"UnprocessedItems": {}})
    try:
        answer = send(FaultTransport(engine, [Unprocessed(share)]), "BatchWriteItem", {"RequestItems": request})
    except Throttled:
        assert engine.arrived == []
        return
    passed = engine.arrived[0][1]["RequestItems"]
    left = answer["UnprocessedItems"]
    assert left
    assert {name: passed.get(name, []) + left.get(name, []) for name in request} == request


def test_what_the_engine_itself_left_unprocessed_stays_unprocessed() -> None:
    engine = Engine(answer={"UnprocessedItems": {"a": puts(1)}})
    answer = send(
        FaultTransport(engine, [Unprocessed(0.5)]), "BatchWriteItem", {"RequestItems": {"a": puts(2), "b": puts(2)}}
    )
    assert answer == {"UnprocessedItems": {"a": puts(1), "b": puts(2)}}


def test_unprocessed_keys_keep_the_options_of_their_table() -> None:
    keys = [{"pk": {"S": str(index)}} for index in range(4)]
    request = {"a": {"Keys": keys, "ConsistentRead": True, "ProjectionExpression": "pk"}}
    engine = Engine(answer={"Responses": {"a": ["items"]}, "UnprocessedKeys": {}})
    answer = send(FaultTransport(engine, [Unprocessed(0.25)]), "BatchGetItem", {"RequestItems": request})
    assert engine.arrived[0][1] == {"RequestItems": {"a": {**request["a"], "Keys": keys[:3]}}}
    assert answer == {"Responses": {"a": ["items"]}, "UnprocessedKeys": {"a": {**request["a"], "Keys": keys[3:]}}}


def test_a_batch_of_which_nothing_can_be_processed_is_throttled() -> None:
    engine = Engine()
    with pytest.raises(Throttled):
        send(FaultTransport(engine, [Unprocessed(1.0)]), "BatchWriteItem", {"RequestItems": {"a": puts(5)}})
    assert engine.arrived == []
    send(FaultTransport(engine, [Unprocessed()]), "PutItem")
    assert engine.arrived == [("PutItem", PUT)]


def test_a_script_is_met_in_order_and_ends() -> None:
    engine = Engine()
    transport = FaultTransport(engine, [Throttle(), None, DropBeforeSend()])
    with pytest.raises(Throttled):
        send(transport)
    send(transport)
    with pytest.raises(ConnectionFailed):
        send(transport)
    send(transport)
    assert len(engine.arrived) == 2


def test_a_fault_waits_for_its_operation() -> None:
    engine = Engine()
    script = Script(On("Query", Throttle()), On(frozenset({"PutItem", "GetItem"}), DropBeforeSend()), On("Scan", None))
    transport = FaultTransport(engine, script)
    send(transport, "PutItem")
    with pytest.raises(Throttled):
        send(transport, "Query")
    send(transport, "Query")
    with pytest.raises(ConnectionFailed):
        send(transport, "GetItem")
    send(transport, "Scan")
    assert [operation for operation, _ in engine.arrived] == ["PutItem", "Query", "Scan"]


def test_a_script_may_be_endless() -> None:
    transport = FaultTransport(Engine(), itertools.cycle([Throttle(), None]))
    outcomes = []
    for _ in range(6):
        try:
            send(transport)
            outcomes.append(True)
        except Throttled:
            outcomes.append(False)
    assert outcomes == [False, True] * 3


def drawn(chaos: Chaos, count: int, operation: str = "PutItem") -> list[Fault | None]:
    return [chaos.next(operation) for _ in range(count)]


def test_chaos_repeats_with_its_seed_and_keeps_to_its_odds() -> None:
    odds: dict[Fault, float] = {Throttle(): 0.2, DropAfterSend(): 0.1}
    first = drawn(Chaos(7, odds), 5000)
    assert first == drawn(Chaos(7, odds), 5000)
    assert first != drawn(Chaos(8, odds), 5000)
    assert 800 < first.count(Throttle()) < 1200
    assert 350 < first.count(DropAfterSend()) < 650
    assert drawn(Chaos(7, {Throttle(): 1.0}), 100) == [Throttle()] * 100
    assert drawn(Chaos(7, {}), 100) == [None] * 100


def test_chaos_leaves_other_operations_alone() -> None:
    chaos = Chaos(7, {Throttle(): 1.0}, operations=["PutItem"])
    assert chaos.next("GetItem") is None
    assert chaos.next("PutItem") == Throttle()


@pytest.mark.parametrize("odds", [{Throttle(): 0.7, BadAnswer(): 0.4}, {Throttle(): -0.1}])
def test_chaos_refuses_odds_that_cannot_be(odds: dict[Fault, float]) -> None:
    with pytest.raises(ValueError, match="odds"):
        Chaos(1, odds)


def test_a_delay_waits_and_then_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    engine = Engine()
    transport = FaultTransport(engine, itertools.repeat(Delay(0.25)))
    coroutine = transport.blocking.send("PutItem", PUT)
    with pytest.raises(StopIteration):
        coroutine.send(None)
    assert slept == [0.25]
    assert len(engine.arrived) == 1


def test_a_delay_lets_the_event_loop_run() -> None:
    ran: list[str] = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(ran.append, "other")
        await FaultTransport(Engine(), [Delay(1e-6)]).send("PutItem", PUT)
        ran.append("answer")

    asyncio.run(main())
    assert ran == ["other", "answer"]


def test_the_blocking_twin_shares_the_plan() -> None:
    transport = FaultTransport(Engine(), [Throttle(), None])
    assert transport.blocking.blocking is transport.blocking
    with pytest.raises(Throttled):
        send(transport.blocking)
    send(transport)


def test_closing_closes_the_inner_transport() -> None:
    engine = Engine()
    asyncio.run(FaultTransport(RecordingTransport(engine), []).aclose())
    assert engine.arrived == [("aclose", {})]


def test_calls_are_recorded_as_they_were() -> None:
    transport = RecordingTransport(Engine())
    payload: Payload = {"TableName": "notes", "Item": {"pk": {"S": "1"}}}
    send(transport, "PutItem", payload)
    payload["Item"]["pk"]["S"] = "changed"
    send(transport.blocking, "GetItem", payload)
    assert transport.calls == [("PutItem", PUT), ("GetItem", payload)]


def test_retries_bring_a_write_through_any_mix_of_faults() -> None:
    odds: dict[Fault, float] = dict.fromkeys(
        (Throttle(), DropBeforeSend(), DropAfterSend(), InternalError(), BadAnswer()), 0.1
    )
    engine = Engine()

    async def nothing(_: float) -> None: ...

    transport = RetryTransport(FaultTransport(engine, Chaos(3, odds)), random=lambda: 0.0, sleep=nothing)
    for _ in range(200):
        send(transport)
    assert len(engine.arrived) > 200


def test_retries_never_apply_a_counter_twice() -> None:
    odds: dict[Fault, float] = dict.fromkeys(
        (Throttle(), DropBeforeSend(), DropAfterSend(), InternalError(applied=True)), 0.15
    )
    engine = Engine()

    async def nothing(_: float) -> None: ...

    transport = RetryTransport(FaultTransport(engine, Chaos(3, odds)), random=lambda: 0.0, sleep=nothing)
    unknown = 0
    for call in range(1, 301):
        try:
            send(transport, "UpdateItem", COUNT)
        except OutcomeUnknown:
            unknown += 1
        assert len(engine.arrived) == call
    assert unknown > 0
