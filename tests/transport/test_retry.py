from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lift_dynamorm.errors import (
    ConnectionFailed,
    CredentialsError,
    DeadlineExceeded,
    OutcomeUnknown,
    RequestRefused,
    ServerError,
    Throttled,
    service_error,
)
from lift_dynamorm.transport.retry import RetryTransport, reads, repeatable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from lift_dynamorm.transport import Payload

READ: Payload = {"TableName": "notes", "Key": {"pk": {"S": "1"}}}
COUNT: Payload = {
    **READ,
    "UpdateExpression": "SET #n = #n + :one",
    "ExpressionAttributeNames": {"#n": "n"},
    "ExpressionAttributeValues": {":one": {"N": "1"}},
}


class Fake:
    """Answer each call with the next outcome; an exception is raised, a payload returned."""

    def __init__(self, *outcomes: Exception | Payload) -> None:
        self.outcomes = list(outcomes)
        self.sent: list[tuple[str, Payload, float | None]] = []
        self.closed = 0

    @property
    def blocking(self) -> Fake:
        return self

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        self.sent.append((operation, payload, deadline))
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def aclose(self) -> None:
        self.closed += 1


class Clock:
    """A clock that moves only when someone sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        self.wait(seconds)


def make(fake: Fake, clock: Clock | None = None, **settings: Any) -> RetryTransport:
    clock = clock or Clock()
    settings.setdefault("random", lambda: 1.0)
    return RetryTransport(fake, clock=clock, sleep=clock.sleep, blocking_sleep=clock.wait, **settings)


def drive(coroutine: Coroutine[Any, Any, Payload]) -> Payload:
    """Run a coroutine that must not suspend."""
    try:
        coroutine.send(None)
    except StopIteration as returned:
        answer: Payload = returned.value
        return answer
    coroutine.close()
    raise AssertionError("it suspended")


def throttled() -> Exception:
    return service_error("GetItem", status=400, answer={"__type": "x#ThrottlingException", "message": "slow down"})


def broken(*, sent: bool) -> ConnectionFailed:
    return ConnectionFailed("broken", sent=sent)


def failed() -> Exception:
    return service_error("GetItem", status=500, answer={"__type": "x#InternalServerError", "message": "oops"})


def refused(code: str, **answer: Any) -> Exception:
    return service_error("PutItem", status=400, answer={"__type": f"x#{code}", "message": "no", **answer})


def canceled(*codes: str) -> Exception:
    return refused("TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes])


def test_an_answer_is_returned_and_the_deadline_is_now_and_the_timeout() -> None:
    fake, clock = Fake({"Item": {}}), Clock()
    assert asyncio.run(make(fake, clock, timeout=3.0).send("GetItem", READ)) == {"Item": {}}
    assert fake.sent == [("GetItem", READ, 103.0)]
    assert clock.slept == []


def test_the_callers_deadline_is_passed_on_to_every_attempt() -> None:
    fake = Fake(throttled(), {})
    asyncio.run(make(fake).send("GetItem", READ, deadline=101.0))
    assert [deadline for _, _, deadline in fake.sent] == [101.0, 101.0]


@pytest.mark.parametrize(
    "make_error",
    [
        throttled,
        lambda: broken(sent=False),
        lambda: refused("TransactionInProgressException"),
        lambda: refused("TransactionConflictException"),
        lambda: canceled("TransactionConflict", "None"),
        lambda: canceled("None", "ThrottlingError", "ProvisionedThroughputExceeded"),
    ],
)
def test_what_was_not_applied_is_sent_again_whatever_it_is(make_error: Callable[[], Exception]) -> None:
    fake = Fake(make_error(), make_error(), {"ok": True})
    assert asyncio.run(make(fake).send("UpdateItem", COUNT)) == {"ok": True}
    assert len(fake.sent) == 3


@pytest.mark.parametrize(
    "error",
    [
        refused("ConditionalCheckFailedException"),
        refused("ValidationException"),
        refused("ExpiredTokenException"),
        refused("UnrecognizedClientException"),
        refused("ResourceNotFoundException"),
        canceled("ConditionalCheckFailed", "None"),
        canceled("TransactionConflict", "ConditionalCheckFailed"),
        canceled("TransactionConflict", "ValidationError"),
        canceled("None", "None"),
        canceled(),
        DeadlineExceeded("late"),
        CredentialsError("none"),
    ],
)
def test_what_another_attempt_cannot_mend_is_raised_at_once(error: Exception) -> None:
    fake, clock = Fake(error), Clock()
    with pytest.raises(type(error)) as raised:
        asyncio.run(make(fake, clock).send("GetItem", READ))
    assert raised.value is error
    assert len(fake.sent) == 1
    assert clock.slept == []


@pytest.mark.parametrize("make_error", [failed, lambda: broken(sent=True)])
def test_a_lost_answer_is_asked_for_again_where_that_is_safe(make_error: Callable[[], Exception]) -> None:
    fake = Fake(make_error(), {"ok": True})
    assert asyncio.run(make(fake).send("PutItem", {"TableName": "notes", "Item": {}})) == {"ok": True}


@pytest.mark.parametrize("make_error", [failed, lambda: broken(sent=True)])
def test_a_lost_answer_of_a_counter_is_an_unknown_outcome(make_error: Callable[[], Exception]) -> None:
    error = make_error()
    fake = Fake(error)
    with pytest.raises(OutcomeUnknown, match=r"UpdateItem.*Read the item") as raised:
        asyncio.run(make(fake).send("UpdateItem", COUNT))
    assert raised.value.__cause__ is error
    assert raised.value.maybe_applied
    assert len(fake.sent) == 1


def test_a_deadline_that_passed_after_sending_a_counter_is_an_unknown_outcome() -> None:
    late = DeadlineExceeded("late")
    late.maybe_applied = True
    with pytest.raises(OutcomeUnknown):
        asyncio.run(make(Fake(late)).send("UpdateItem", COUNT))
    again = DeadlineExceeded("late")
    again.maybe_applied = True
    with pytest.raises(DeadlineExceeded) as raised:
        asyncio.run(make(Fake(again)).send("DeleteItem", READ))
    assert raised.value.maybe_applied


def test_an_error_behind_a_lost_answer_says_that_the_first_attempt_may_have_applied() -> None:
    fake = Fake(broken(sent=True), throttled(), refused("ConditionalCheckFailedException"))
    with pytest.raises(RequestRefused) as raised:
        asyncio.run(make(fake).send("PutItem", {"TableName": "notes", "Item": {}}))
    assert raised.value.maybe_applied


@pytest.mark.parametrize("first", [throttled(), broken(sent=False)])
def test_an_error_behind_attempts_that_did_nothing_is_not_marked(first: Exception) -> None:
    fake = Fake(first, refused("ConditionalCheckFailedException"))
    with pytest.raises(RequestRefused) as raised:
        asyncio.run(make(fake).send("PutItem", {"TableName": "notes", "Item": {}}))
    assert not raised.value.maybe_applied


def test_a_lost_answer_to_a_read_applied_nothing() -> None:
    with pytest.raises(RequestRefused) as raised:
        asyncio.run(make(Fake(broken(sent=True), refused("ValidationException"))).send("GetItem", READ))
    assert not raised.value.maybe_applied


def test_waits_double_up_to_the_cap_and_are_random_below_it() -> None:
    clock = Clock()
    asyncio.run(make(Fake(*(throttled() for _ in range(6)), {}), clock, base=0.1, cap=0.5).send("GetItem", READ))
    assert clock.slept == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5, 0.5])
    clock = Clock()
    halves = make(Fake(throttled(), throttled(), {}), clock, base=0.1, random=lambda: 0.5)
    asyncio.run(halves.send("GetItem", READ))
    assert clock.slept == pytest.approx([0.05, 0.1])


@given(
    st.floats(0, 5),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=60, max_size=60),
)
def test_no_sleep_ends_at_or_after_the_deadline(budget: float, draws: list[float]) -> None:
    clock, fake = Clock(), Fake(*(throttled() for _ in range(2000)))
    drawn = iter(draws * 50)
    with pytest.raises(Throttled) as raised:
        drive(make(fake, clock, random=lambda: max(next(drawn), 0.01)).send("GetItem", READ, deadline=100.0 + budget))
    assert clock.now < 100.0 + max(budget, 1e-9)
    assert any("gave up after attempt" in note for note in raised.value.__notes__)


def test_attempts_are_limited_where_asked() -> None:
    fake = Fake(throttled(), throttled(), throttled(), {})
    with pytest.raises(Throttled):
        asyncio.run(make(fake, max_attempts=3).send("GetItem", READ))
    assert len(fake.sent) == 3


def test_thousands_of_attempts_do_not_overflow_the_backoff() -> None:
    fake = Fake(*(throttled() for _ in range(3000)), {"ok": True})
    transport = make(fake, base=1e-9, cap=1e-9, timeout=1e9)
    assert asyncio.run(transport.send("GetItem", READ)) == {"ok": True}


def test_the_blocking_twin_never_suspends() -> None:
    fake, clock = Fake(throttled(), broken(sent=False), {"ok": True}), Clock()
    twin = make(fake, clock).blocking
    assert twin.blocking is twin
    assert drive(twin.send("GetItem", READ)) == {"ok": True}
    assert len(clock.slept) == 2


def test_the_default_sleep_lets_the_event_loop_run() -> None:
    ran: list[str] = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(ran.append, "other")
        await RetryTransport(Fake(throttled(), {}), base=1e-6).send("GetItem", READ)
        ran.append("answer")

    asyncio.run(main())
    assert ran == ["other", "answer"]


def test_closing_closes_the_inner_transport() -> None:
    fake = Fake()
    asyncio.run(make(fake).aclose())
    assert fake.closed == 1


def test_a_server_error_without_time_left_is_raised_as_it_is_and_marked() -> None:
    with pytest.raises(ServerError) as raised:
        asyncio.run(make(Fake(failed()), max_attempts=1).send("DeleteItem", READ))
    assert raised.value.maybe_applied


@pytest.mark.parametrize(
    "operation",
    ["GetItem", "Query", "Scan", "BatchGetItem", "TransactGetItems", "DescribeTable", "ListTables", "GetRecords"],
)
def test_reads(operation: str) -> None:
    assert reads(operation, {})
    assert repeatable(operation, {})


@pytest.mark.parametrize(
    ("operation", "payload", "expected"),
    [
        ("PutItem", {}, True),
        ("DeleteItem", {}, True),
        ("BatchWriteItem", {}, True),
        ("CreateTable", {}, True),
        ("UpdateTimeToLive", {}, True),
        ("TransactWriteItems", {"ClientRequestToken": "t"}, True),
        ("TransactWriteItems", {}, False),
        ("TransactWriteItems", {"ClientRequestToken": ""}, False),
        ("ExecuteStatement", {"Statement": " select * from t"}, True),
        ("ExecuteStatement", {"Statement": "UPDATE t SET n = n + 1"}, False),
        ("BatchExecuteStatement", {"Statements": [{"Statement": "SELECT 1"}, {"Statement": "DELETE"}]}, False),
        ("ExecuteTransaction", {"TransactStatements": [{"Statement": "DELETE"}]}, False),
        ("ExecuteTransaction", {"TransactStatements": [{"Statement": "DELETE"}], "ClientRequestToken": "t"}, True),
        ("CreateBackup", {}, False),
        ("ImportTable", {}, False),
        ("ImportTable", {"ClientToken": "t"}, True),
        ("SomethingNew", {}, False),
    ],
)
def test_repeatable_operations(operation: str, payload: Payload, expected: bool) -> None:
    assert repeatable(operation, payload) is expected


VALUES = {
    ":s": {"S": "x"},
    ":t": {"S": "y"},
    ":n": {"N": "1"},
    ":m": {"N": "2"},
    ":zero": {"N": "0"},
    ":one": {"N": "1.0"},
    ":ss": {"SS": ["x"]},
    ":ns": {"NS": ["1"]},
    ":bs": {"BS": ["AA=="]},
    ":l": {"L": []},
}


def update(expression: str | None, condition: str | None = None) -> bool:
    payload: Payload = {
        "TableName": "notes",
        "Key": {"pk": {"S": "1"}},
        "ExpressionAttributeNames": {"#a": "a", "#b": "b", "#add": "ADD", "#set": "set", "#and": "AND", "#odd": "a+b"},
        "ExpressionAttributeValues": VALUES,
    }
    if expression is not None:
        payload["UpdateExpression"] = expression
    if condition is not None:
        payload["ConditionExpression"] = condition
    return repeatable("UpdateItem", payload)


@pytest.mark.parametrize(
    "expression",
    [
        None,
        "SET #a = :s",
        "set a=:s,b=:n",
        "SET #a = :s, #b = :l REMOVE c, d.e",
        "REMOVE #a",
        "ADD #a :ss",
        "ADD a :ns, b :bs",
        "DELETE #a :ss",
        "SET a = :s ADD b :ss DELETE c :ss REMOVE d",
        "SET #a = if_not_exists(#a, :n)",
        "SET a = if_not_exists ( #a , :n )",
        "SET a = if_not_exists(b, :n)",
        "SET a.b = :s",
        "SET a = b",
        "SET a = b.c[1]",
        "SET #add = :s, #set = :t",
        "SET #odd = :s",
        "REMOVE #set, #add",
    ],
)
def test_updates_that_end_in_the_same_item_are_repeatable(expression: str | None) -> None:
    assert update(expression)


COUNTERS = [
    "SET #a = #a + :n",
    "SET #a=#a-:n",
    "SET a = :n + a",
    "SET b = :s, a = a+:n",
    "SET a = if_not_exists(a, :zero) + :n",
    "SET a = list_append(a, :l)",
    "SET a = LIST_APPEND(:l, a)",
    "SET a = list_append(if_not_exists(a, :l), :l)",
    "ADD #a :n",
    "ADD b :ss, a :n",
    "SET b = :s ADD a :n",
    "add a :n",
    "ADD a :undefined",
    "DELETE a :n",
    "REMOVE a[0]",
    "REMOVE a.b[3]",
    "SET a[5] = :s",
    "SET a = b, b = :s",
    "SET a = b, b = a",
    "SET a = if_not_exists(b, :n), b = :m",
    "SET a = b.c REMOVE b",
    "SET a = b ADD b :ss",
    "SET a.b = a",
    "SET a = unheard_of(:n)",
    "SET #add = #add + :n",
]


@pytest.mark.parametrize("expression", COUNTERS)
def test_updates_that_add_up_are_not_repeatable(expression: str) -> None:
    assert not update(expression)


@pytest.mark.parametrize(
    "condition",
    [
        "attribute_exists(pk)",
        "attribute_exists(#a)",
        "#b = :s",
        "a = :m OR b = :s",
        "NOT a = :n",
        "NOT (a = :n)",
        "a > :n",
        "a <> :n",
        "a BETWEEN :n AND :m",
        "a IN (:n, :m)",
        "size(a) = :n",
        "attribute_not_exists(b)",
        "begins_with(b, :s)",
        "a = b",
    ],
)
def test_a_condition_that_still_holds_afterwards_protects_nothing(condition: str) -> None:
    assert not update("SET a = a + :n, c = :s", condition)


@pytest.mark.parametrize(
    ("expression", "condition"),
    [
        ("SET a = a + :n", "a = :m"),
        ("SET a = a - :n", ":m = #a"),
        ("SET a = :n + a", "attribute_exists(pk) AND a = :m"),
        ("SET #a = #a + :n", "(attribute_exists(pk)) AND (((#a = :m)))"),
        ("SET n = n + :n, version = :m", "version = :n"),
        ("SET n = n + :n, version = :m", "(b = :s OR b = :t) AND version = :n AND attribute_exists(pk)"),
        ("SET n = n + :n, b = :t", "b = :s"),
        ("SET n = n + :n, b = :t", "c BETWEEN :n AND :m AND b = :s"),
        ("ADD n :n SET b = :t", "#b = :s"),
        ("ADD n :n", "attribute_not_exists(pk)"),
        ("ADD n :n", "attribute_not_exists(n)"),
        ("SET n = n + :n, a = :s", "attribute_not_exists(#a)"),
        ("SET n = n + :n REMOVE a", "attribute_exists(#a)"),
        ("SET n = n + :n REMOVE a", "a = :s"),
        ("SET n = n + :n, #and = :s", "#and = :t"),
    ],
)
def test_a_condition_that_the_update_makes_false_protects_it(expression: str, condition: str) -> None:
    assert update(expression, condition)
    assert not update(expression)


@pytest.mark.parametrize(
    ("expression", "condition"),
    [
        ("SET n = n + :n, b = :s", "b = :s"),
        ("SET n = n + :n, version = :one", "version = :n"),
        ("SET n = n + :zero", "n = :m"),
        ("SET n = n + :n, a.b = :s", "a = :t"),
        ("SET n = n + :n, b = :t", "b = :s OR attribute_exists(pk)"),
        ("SET n = n + :n, b = :t", "NOT (b = :s)"),
        ("SET n = n + :n, b = :t", "(NOT b = :s)"),
        ("SET n = n + :n, b = :t", "(b = :s OR c = :s)"),
        ("SET n = n + :n, b = b + :n", "b = :undefined"),
        ("SET n = n + :n, l = :l", "l = :ss AND l = :l"),
    ],
)
def test_conditions_that_only_look_like_guards(expression: str, condition: str) -> None:
    # A list against a set does differ, which the last case counts on: `l = :ss` cannot hold together with `l = :l`.
    assert update(expression, condition) is (":ss" in condition)


def test_legacy_attribute_updates() -> None:
    def legacy(**action: Any) -> bool:
        return repeatable("UpdateItem", {"Key": {}, "AttributeUpdates": {"a": action}})

    assert legacy(Action="PUT", Value={"N": "1"})
    assert legacy(Value={"N": "1"})
    assert legacy(Action="DELETE")
    assert legacy(Action="ADD", Value={"SS": ["x"]})
    assert not legacy(Action="ADD", Value={"N": "1"})
    assert not legacy(Action="ADD", Value={"L": []})
    assert not legacy(Action="ADD")


@given(
    st.text(alphabet="#:abn+-=(),.[]0 \tANDORSETNOT", max_size=60), st.text(alphabet="#:abn+-=(), ANDOR", max_size=40)
)
def test_no_expression_breaks_the_decision(expression: str, condition: str) -> None:
    assert update(expression, condition) in (True, False)


@given(st.sampled_from(COUNTERS), st.lists(st.sampled_from(["x = :s", "y = :t", "z = if_not_exists(z, :n)"])))
def test_a_counter_stays_one_beside_harmless_actions(expression: str, harmless: list[str]) -> None:
    if expression.upper().startswith("SET"):
        assert not update(expression[:4] + ", ".join([*harmless, expression[4:]]))
