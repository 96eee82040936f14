"""Raw operations: which sessions take them, what is sent in the place of what is said, and how errors come out."""

from __future__ import annotations

import runpy
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import (
    GSI,
    TTL,
    ConditionFailed,
    Database,
    F,
    InvalidValue,
    ItemExists,
    Model,
    OutcomeUnknown,
    PartitionKey,
    ServiceError,
    SessionClosed,
    TransactionCanceled,
    TransactionConditionFailed,
    TransactionConflict,
    UsageError,
)
from lift_dynamorm.errors import service_error
from lift_dynamorm.transport.faults import DropAfterSend, FaultTransport, On, RecordingTransport
from lift_dynamorm.transport.local import LocalTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import SyncSession
    from lift_dynamorm.transport import Payload

PUT: dict[str, Any] = {"TableName": "thing", "Item": {"id": {"S": "1"}}}
GET: dict[str, Any] = {"TableName": "thing", "Key": {"id": {"S": "1"}}}
INSERT = "INSERT INTO thing VALUE {'id': '1'}"
SELECT = "SELECT * FROM thing WHERE id = '1'"


class Thing(Model, table="thing"):
    id: PartitionKey[str]
    n: int = 0
    expires_at: TTL = None


class Canned:
    """A transport that keeps what it is sent and answers what it was told to."""

    def __init__(self, *answers: Payload | ServiceError) -> None:
        self.answers = list(answers)
        self.sent: list[Payload] = []

    @property
    def blocking(self) -> Canned:
        return self

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        self.sent.append(payload)
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, ServiceError):
            raise answer
        return answer

    async def aclose(self) -> None:
        pass


def canned(*answers: Payload | ServiceError, **options: Any) -> tuple[SyncSession, list[Payload]]:
    """A session over canned answers, and the list of what it sends."""
    transport = Canned(*answers)
    return Database(transport=transport, **options).sync.session(), transport.sent


def refused(code: str, **answer: Any) -> ServiceError:
    return service_error("Op", status=400, answer={"__type": code, "message": "no", **answer})


# -- which sessions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("operation", "payload"), [("GetItem", GET), ("PutItem", PUT), ("ListTables", {})])
def test_a_tenants_session_refuses_operations(operation: str, payload: dict[str, Any]) -> None:
    transport = Canned()
    db = Database(transport=transport)
    with pytest.raises(UsageError, match=r"database\.unscoped\(reason\)\.execute\(\.\.\.\)"):
        db.sync.session("acme").execute(operation, payload)
    assert transport.sent == []
    db.sync.unscoped("a test").execute(operation, payload)
    assert transport.sent == [payload]


@pytest.mark.parametrize("statement", [SELECT, INSERT])
def test_a_tenants_session_refuses_statements(statement: str) -> None:
    transport = Canned()
    db = Database(transport=transport)
    with pytest.raises(UsageError, match=r"database\.unscoped\(reason\)\.execute_statement\(\.\.\.\)"):
        db.sync.session(lambda: "acme").execute_statement(statement)
    assert transport.sent == []
    assert db.sync.unscoped("a test").execute_statement(statement) == []


def test_a_transaction_takes_reads_and_refuses_writes() -> None:
    s, sent = canned()
    with s.transaction():
        s.execute("GetItem", GET)
        s.execute_statement(SELECT)
        with pytest.raises(UsageError, match=r"Use a session of its own: database\.session\(\)\.execute\(\.\.\.\)"):
            s.execute("PutItem", PUT)
        with pytest.raises(UsageError, match=r"database\.session\(\)\.execute_statement\(\.\.\.\)"):
            s.execute_statement(INSERT)
        statements: dict[str, Any] = {"TransactStatements": [{"Statement": SELECT}, {"Statement": INSERT}]}
        with pytest.raises(UsageError, match="ExecuteTransaction"):
            s.execute("ExecuteTransaction", statements)
    assert len(sent) == 2
    s.execute("PutItem", PUT)
    assert len(sent) == 3


def test_a_serializable_transaction_refuses_reads_too() -> None:
    s, sent = canned()
    with s.transaction(isolation="serializable"):
        with pytest.raises(UsageError, match="no condition of a serializable one"):
            s.execute("GetItem", GET)
        with pytest.raises(UsageError, match=r"database\.session\(\)\.execute_statement"):
            s.execute_statement(SELECT)
    assert sent == []


def test_the_session_of_a_request_refuses_writes() -> None:
    db = Database(transport=Canned())
    request = db.session()
    request.begin_as(lambda: "transactional")
    with pytest.raises(UsageError, match="a request's session always has one"):
        request.sync.execute("PutItem", PUT)


def test_after_its_end_a_session_only_reads() -> None:
    db = Database(transport=Canned())
    session = db.session()
    session.end("the response has begun")
    session.sync.execute("GetItem", GET)
    session.sync.execute_statement(SELECT)
    with pytest.raises(SessionClosed, match="the response has begun"):
        session.sync.execute("PutItem", PUT)
    with pytest.raises(SessionClosed):
        session.sync.execute_statement(INSERT)


# -- tables ------------------------------------------------------------------------------------------------------------

NAMES = {"app": "app-prod", "x-y": "z"}


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("SELECT * FROM app WHERE pk = ?", 'SELECT * FROM "app-prod" WHERE pk = ?'),
        ("select a from app", 'select a from "app-prod"'),
        ('SELECT * FROM\n  "app" WHERE a = 1', 'SELECT * FROM\n  "app-prod" WHERE a = 1'),
        ('SELECT * FROM "app"."by_team"', 'SELECT * FROM "app-prod"."by_team"'),
        ("SELECT * FROM app.by_team", 'SELECT * FROM "app-prod".by_team'),
        ('SELECT * FROM "x-y"', 'SELECT * FROM "z"'),
        ("INSERT INTO app VALUE {'pk': 'it''s from app'}", "INSERT INTO \"app-prod\" VALUE {'pk': 'it''s from app'}"),
        ("UPDATE app SET \"moved from app\" = 'x'", 'UPDATE "app-prod" SET "moved from app" = \'x\''),
        ('UPDATE app SET "from" = "update"', 'UPDATE "app-prod" SET "from" = "update"'),
        ("DELETE FROM app WHERE pk = 'FROM app'", "DELETE FROM \"app-prod\" WHERE pk = 'FROM app'"),
        ("EXISTS(SELECT * FROM app WHERE pk = 'a')", "EXISTS(SELECT * FROM \"app-prod\" WHERE pk = 'a')"),
        ("SELECT * FROM other", "SELECT * FROM other"),
        ('SELECT * FROM "other"', 'SELECT * FROM "other"'),
    ],
)
def test_tables_in_a_statement(said: str, sent: str) -> None:
    s, requests = canned(table_names=NAMES)
    s.execute_statement(said)
    batch: dict[str, Any] = {"Statements": [{"Statement": said}]}
    s.execute("BatchExecuteStatement", batch)
    assert requests[0]["Statement"] == sent
    assert requests[1] == {"Statements": [{"Statement": sent}]}
    assert batch == {"Statements": [{"Statement": said}]}


def test_a_table_that_is_named_by_its_arn() -> None:
    s, requests = canned(table_names=lambda name: f"prod-{name}")
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/thing"
    s.execute("GetItem", GET | {"TableName": arn})
    s.execute_statement(f'SELECT * FROM "{arn}"')
    s.execute("GetItem", GET)
    assert requests[0]["TableName"] == arn
    assert requests[1]["Statement"] == f'SELECT * FROM "{arn}"'
    assert requests[2]["TableName"] == "prod-thing"


def test_what_is_left_over_can_be_sent_again() -> None:
    keys = {"Keys": [{"pk": {"S": "1"}}]}
    metrics = [{"SizeEstimateRangeGB": [0, 1]}]
    left = {"app-prod": keys, "other": keys}
    s, requests = canned(
        {"Responses": {"app-prod": [], "other": []}, "UnprocessedKeys": left},
        {"UnprocessedItems": {"z": []}, "ItemCollectionMetrics": {"z": metrics}, "ConsumedCapacity": []},
        table_names=NAMES,
    )
    read: dict[str, Any] = {"RequestItems": {"app": keys, "other": keys}}
    answer = s.execute("BatchGetItem", read)
    assert requests[0] == {"RequestItems": left}
    assert answer == {"Responses": {"app": [], "other": []}, "UnprocessedKeys": {"app": keys, "other": keys}}
    puts = [{"PutRequest": {"Item": {"pk": {"S": "1"}}}}]
    written: dict[str, Any] = {"RequestItems": {"x-y": puts}}
    assert s.execute("BatchWriteItem", written) == {
        "UnprocessedItems": {"x-y": []},
        "ItemCollectionMetrics": {"x-y": metrics},
        "ConsumedCapacity": [],
    }


@pytest.mark.parametrize("action", ["Put", "Update", "Delete", "ConditionCheck"])
def test_tables_in_a_transaction(action: str) -> None:
    s, requests = canned(table_names={"thing": "other"})
    part = {"TableName": "thing", "ConditionExpression": "attribute_exists(id)"}
    part |= PUT if action == "Put" else GET
    part |= {"UpdateExpression": "REMOVE n"} if action == "Update" else {}
    payload: dict[str, Any] = {"TransactItems": [{action: part}]}
    s.execute("TransactWriteItems", payload)
    assert requests == [{"TransactItems": [{action: {**part, "TableName": "other"}}]}]
    assert part["TableName"] == "thing"


def test_an_item_with_an_attribute_of_that_name() -> None:
    s, requests = canned(table_names={"thing": "other"})
    item: dict[str, Any] = {"id": {"S": "1"}, "TableName": {"S": "thing"}, "Put": {"M": {"TableName": {"S": "thing"}}}}
    s.execute("PutItem", {"TableName": "thing", "Item": item})
    assert requests == [{"TableName": "other", "Item": item}]


def test_a_statement_on_a_table_that_is_not_there() -> None:
    s, _ = canned(refused("ResourceNotFoundException"))
    with pytest.raises(ServiceError, match="ExecuteStatement: there is no such table"):
        s.execute_statement(SELECT)


def test_two_names_for_one_table_in_a_batch() -> None:
    s, requests = canned(table_names={"a_": "one", "b_": "one"})
    payload: dict[str, Any] = {"RequestItems": {"a_": {"Keys": [{}]}, "b_": {"Keys": [{}]}}}
    with pytest.raises(UsageError, match="two of the tables a_, b_ are one here"):
        s.execute("BatchGetItem", payload)
    assert requests == []


# -- statements --------------------------------------------------------------------------------------------------------


def test_a_statement_is_sent_as_it_is() -> None:
    s, requests = canned()
    s.execute_statement(SELECT)
    s.execute_statement("SELECT * FROM thing WHERE id = ? AND n = ?", ["1", 2], consistent=True)
    s.execute_statement(INSERT)
    assert requests == [
        {"Statement": SELECT},
        {
            "Statement": "SELECT * FROM thing WHERE id = ? AND n = ?",
            "Parameters": [{"S": "1"}, {"N": "2"}],
            "ConsistentRead": True,
        },
        {"Statement": INSERT, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"},
    ]


def rows(*numbers: int, token: str | None = None) -> Payload:
    items = [{"id": {"S": str(number)}} for number in numbers]
    return {"Items": items, "NextToken": token} if token is not None else {"Items": items}


def test_pages_are_read_to_the_end() -> None:
    s, requests = canned(rows(1, token="a"), rows(token="b"), rows(2, token=""))
    assert [row["id"] for row in s.execute_statement(SELECT)] == ["1", "2"]
    assert [request.get("NextToken") for request in requests] == [None, "a", "b"]


def test_pages_are_read_up_to_the_limit() -> None:
    s, requests = canned(rows(1, token="a"), rows(2, 3, 4, token="b"))
    assert [row["id"] for row in s.execute_statement(SELECT, limit=3)] == ["1", "2", "3"]
    assert [(request.get("Limit"), request.get("NextToken")) for request in requests] == [(3, None), (None, "a")]


def test_what_is_no_limit_and_no_list() -> None:
    s, requests = canned()
    for limit in (0, -1, True, 1.5):
        with pytest.raises(UsageError, match="give a whole number from 1"):
            s.execute_statement(SELECT, limit=limit)  # type: ignore[arg-type]
    for parameters in ("abc", b"abc", 7):
        with pytest.raises(UsageError, match="takes its parameters as a list"):
            s.execute_statement(SELECT, parameters)  # type: ignore[arg-type]
    assert requests == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "is not text, a number"),
        (float("nan"), "not a finite number"),
        ({1: "a"}, "is not text"),
        (set(), "not empty"),
    ],
)
def test_parameters_that_cannot_be_stored(value: object, message: str) -> None:
    s, requests = canned()
    with pytest.raises(InvalidValue, match=f"parameter 2: .*{message}"):
        s.execute_statement(SELECT, ["1", value])
    assert requests == []


# -- rows of a model ---------------------------------------------------------------------------------------------------


class Part(
    Model,
    table="app",
    pk="PART#{id}",
    sk="PART",
    indexes=[GSI("keys", pk="K#{kind}", projection="KEYS_ONLY"), GSI("whole", pk="W#{kind}")],
):
    id: str
    kind: str | None = None
    name: str = ""


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT id, name FROM app",
        "SELECT * FROM other",
        "UPDATE app SET name = 'x' WHERE pk = 'a' AND sk = 'b' RETURNING ALL NEW *",
        'SELECT * FROM "app"."keys"',
        "SELECT * FROM app.keys",
    ],
)
def test_statements_that_give_no_whole_items_of_the_model(statement: str) -> None:
    s, requests = canned()
    with pytest.raises(UsageError, match="leave the model out"):
        s.execute_statement(statement, model=Part)
    assert requests == []


@pytest.mark.parametrize(
    "statement",
    ["SELECT * FROM app", 'select* from "app"', 'SELECT * FROM "app-prod"', 'SELECT * FROM app."whole"'],
)
def test_statements_that_give_whole_items(statement: str) -> None:
    item = {"pk": {"S": "PART#1"}, "sk": {"S": "PART"}, "id": {"S": "1"}}
    foreign = {"pk": {"S": "CAR#1"}, "sk": {"S": "CAR"}}
    of_a_tenant = {**item, "pk": {"S": "@acme#PART#1"}}
    s, _ = canned({"Items": [foreign, item, of_a_tenant]}, table_names=NAMES)
    assert s.execute_statement(statement, model=Part) == [Part(id="1")]


def test_expired_items_are_no_rows_of_a_model(db: Database) -> None:
    db.sync.create_tables(Thing)
    s = db.sync.session()
    s.put(Thing(id="1", expires_at=datetime(2020, 1, 1, tzinfo=UTC)))
    assert s.execute_statement(SELECT, model=Thing) == []
    assert [row["id"] for row in s.execute_statement(SELECT)] == ["1"]


def test_rows_of_a_model_are_seen_by_its_hooks(db: Database) -> None:
    seen: list[str] = []
    db.after_read(Thing)(lambda thing: seen.append(thing.id))
    db.sync.create_tables(Thing)
    s = db.sync.session()
    for key in "12":
        s.put(Thing(id=key))
    read = s.execute_statement("SELECT * FROM thing", model=Thing, limit=1)
    assert seen == [thing.id for thing in read]
    s.execute_statement("SELECT * FROM thing")
    assert len(seen) == 1


def test_rows_of_a_model_can_be_updated(db: Database) -> None:
    db.sync.create_tables(Thing)
    s = db.sync.session()
    s.put(Thing(id="1", n=1))
    (thing,) = s.execute_statement(SELECT, model=Thing)
    thing.n = 5
    s.update(thing)
    assert s.get(Thing, id="1").n == 5


# -- errors ------------------------------------------------------------------------------------------------------------


def test_errors_are_those_of_the_verbs() -> None:
    item = {"id": {"S": "1"}, "n": {"N": "3"}}
    s, _ = canned(
        refused("ConditionalCheckFailedException", Item=item),
        refused("ConditionalCheckFailedException"),
        refused("DuplicateItemException"),
        refused("ValidationException"),
    )
    with pytest.raises(ConditionFailed, match="ExecuteStatement: the condition does not hold") as failed:
        s.execute_statement("UPDATE thing SET n = 1 WHERE id = '1' AND n = 2")
    assert (failed.value.item, failed.value.wire_item) == ({"id": "1", "n": 3}, item)
    with pytest.raises(ConditionFailed) as failed:
        s.execute("PutItem", PUT)
    assert (failed.value.item, failed.value.wire_item) == (None, None)
    with pytest.raises(ItemExists, match="there is an item with this key already"):
        s.execute_statement(INSERT)
    with pytest.raises(ServiceError, match="ValidationException: no"):
        s.execute_statement(INSERT)


TRANSACT: dict[str, Any] = {"TransactItems": [{"Put": PUT}, {"Put": PUT}]}


def test_canceled_transactions_have_their_reasons() -> None:
    none, conflict = {"Code": "None"}, {"Code": "TransactionConflict", "Message": "busy"}
    failed = {"Code": "ConditionalCheckFailed", "Item": {"id": {"S": "1"}}}
    code = "TransactionCanceledException"
    s, _ = canned(
        refused(code, CancellationReasons=[none, failed]),
        refused(code, CancellationReasons=[none, {"Code": "DuplicateItem"}]),
        refused(code, CancellationReasons=[{"Code": "ValidationError", "Message": "bad"}, none]),
        timeout=5.0,
    )
    with pytest.raises(TransactionConditionFailed, match="nothing was written") as condition:
        s.execute("TransactWriteItems", TRANSACT)
    assert condition.value.reasons[0] is None
    assert condition.value.item == {"id": "1"}
    with pytest.raises(ItemExists) as exists:
        s.execute("TransactWriteItems", TRANSACT)
    assert isinstance(exists.value, TransactionCanceled)
    with pytest.raises(TransactionCanceled) as invalid:
        s.execute("TransactWriteItems", TRANSACT)
    assert type(invalid.value) is TransactionCanceled
    first, second = invalid.value.reasons
    assert isinstance(first, ServiceError)
    assert (first.code, second) == ("ValidationError", None)
    s, _ = canned(*[refused(code, CancellationReasons=[conflict, none])] * 1000, timeout=0.01)
    with pytest.raises(TransactionConflict):
        s.execute("TransactWriteItems", TRANSACT)


def flaky(operation: str) -> tuple[SyncSession, RecordingTransport]:
    transport = RecordingTransport(FaultTransport(LocalTransport(), [On(operation, DropAfterSend())]))
    db = Database(transport=transport, timeout=5.0)
    db.sync.create_tables(Thing)
    transport.calls.clear()
    return db.sync.session(), transport


def test_a_condition_that_fails_after_a_lost_answer() -> None:
    s, transport = flaky("PutItem")
    with pytest.raises(OutcomeUnknown, match="PutItem: an answer was lost") as unknown:
        s.execute("PutItem", PUT | {"ConditionExpression": "attribute_not_exists(id)"})
    assert unknown.value.maybe_applied
    assert [operation for operation, _ in transport.calls] == ["PutItem", "PutItem"]
    assert s.query(Thing).where(F.id == "1").count() == 1


def test_a_statement_that_writes_is_not_sent_twice() -> None:
    s, transport = flaky("ExecuteStatement")
    with pytest.raises(OutcomeUnknown):
        s.execute_statement(INSERT)
    assert len(transport.calls) == 1
    assert s.find(Thing, id="1") is not None


def test_a_statement_that_reads_is_sent_again() -> None:
    s, transport = flaky("ExecuteStatement")
    assert s.execute_statement(SELECT) == []
    assert len(transport.calls) == 2


# -- the types ---------------------------------------------------------------------------------------------------------

ROOT = Path(__file__).parent.parent


def test_the_types_are_those_of_the_pinned_botocore() -> None:
    generate: Callable[[], str] = runpy.run_path(str(ROOT / "scripts" / "wire-types"))["generate"]
    assert (ROOT / "lift_dynamorm" / "operations" / "wire.py").read_text() == generate(), "run scripts/wire-types"


def test_the_types_cost_nothing_at_run_time() -> None:
    code = "import sys, lift_dynamorm; print('lift_dynamorm.operations.wire' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
