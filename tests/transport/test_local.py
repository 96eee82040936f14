from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lift_dynamorm.errors import DeadlineExceeded, InvalidValue, RequestRefused, ServerError, UsageError
from lift_dynamorm.transport import local
from lift_dynamorm.transport.local import LocalTransport

pytest.importorskip("ministack.services.dynamodb", reason="embedded: ministack is not installed")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lift_dynamorm.transport import Payload

KEYS = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
TABLE: Payload = {
    "TableName": "notes",
    "KeySchema": KEYS,
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "N"},
        {"AttributeName": "team", "AttributeType": "S"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by_team",
            "KeySchema": [{"AttributeName": "team", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
    "Tags": [{"Key": "owner", "Value": "us"}],
}


def send(transport: LocalTransport, operation: str, payload: Payload | None = None) -> Payload:
    """Run `send`, which must not suspend."""
    try:
        transport.send(operation, payload or {}).send(None)
    except StopIteration as returned:
        answer: Payload = returned.value
        return answer
    raise AssertionError("it suspended")


def close(transport: LocalTransport) -> None:
    asyncio.run(transport.aclose())


def item(pk: str, sk: int, **attributes: Any) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"N": str(sk)}, **attributes}


def put(transport: LocalTransport, *items: dict[str, Any]) -> None:
    for one in items:
        send(transport, "PutItem", {"TableName": "notes", "Item": one})


def scan(transport: LocalTransport) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = send(transport, "Scan", {"TableName": "notes"})["Items"]
    return sorted(found, key=str)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.db"


@pytest.fixture
def stored(path: Path) -> Iterator[LocalTransport]:
    transport = LocalTransport(path)
    send(transport, "CreateTable", TABLE)
    yield transport
    close(transport)


def test_databases_in_memory_do_not_see_each_other() -> None:
    one, other = LocalTransport(), LocalTransport()
    send(one, "CreateTable", TABLE)
    assert send(other, "ListTables") == {"TableNames": []}
    send(other, "CreateTable", TABLE)
    put(one, item("1", 1))
    assert scan(other) == []
    other.reset()
    assert send(other, "ListTables") == {"TableNames": []}
    assert scan(one) == [item("1", 1)]


def test_a_database_in_memory_survives_closing_and_ends_with_its_transport() -> None:
    transport = LocalTransport()
    send(transport, "CreateTable", TABLE)
    close(transport)
    assert send(transport, "ListTables") == {"TableNames": ["notes"]}
    account = transport._store._opened[1]  # type: ignore[index]
    engine = local._load()
    del transport
    gc.collect()
    send(LocalTransport(), "ListTables")
    assert not [key for store in engine.stores() for key in store._data if key[0] == account]


def test_it_is_its_own_blocking_twin() -> None:
    transport = LocalTransport()
    assert transport.blocking is transport


def test_no_request_is_answered_after_its_deadline() -> None:
    with pytest.raises(DeadlineExceeded):
        asyncio.run(LocalTransport().send("ListTables", {}, deadline=0.0))


def test_refusals_are_errors_with_code_and_answer() -> None:
    transport = LocalTransport()
    with pytest.raises(RequestRefused) as raised:
        send(transport, "GetItem", {"TableName": "absent", "Key": {"pk": {"S": "1"}}})
    assert raised.value.code == "ResourceNotFoundException"
    with pytest.raises(RequestRefused) as raised:
        send(transport, "Unheard", {})
    assert raised.value.code == "UnknownOperationException"
    with pytest.raises(InvalidValue, match="JSON"):
        send(transport, "PutItem", {"TableName": "\ud800"})


def test_a_crash_of_the_engine_is_a_server_error() -> None:
    transport = LocalTransport()
    send(transport, "CreateTable", TABLE)
    with pytest.raises(ServerError, match="embedded engine"):
        send(transport, "BatchWriteItem", {"RequestItems": 5})


def test_threads_take_turns() -> None:
    transport = LocalTransport()
    send(transport, "CreateTable", TABLE)
    send(transport, "PutItem", {"TableName": "notes", "Item": item("1", 1, n={"N": "0"})})
    count: Payload = {
        "TableName": "notes",
        "Key": item("1", 1),
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }

    def work() -> None:
        for _ in range(100):
            send(transport, "UpdateItem", count)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scan(transport) == [item("1", 1, n={"N": "400"})]


def test_streams_are_served() -> None:
    transport = LocalTransport()
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    send(transport, "CreateTable", {**TABLE, "StreamSpecification": stream})
    put(transport, item("1", 1))
    (found,) = send(transport, "ListStreams", {"TableName": "notes"})["Streams"]
    described = send(transport, "DescribeStream", {"StreamArn": found["StreamArn"]})["StreamDescription"]
    start = {
        "StreamArn": found["StreamArn"],
        "ShardId": described["Shards"][0]["ShardId"],
        "ShardIteratorType": "TRIM_HORIZON",
    }
    iterator = send(transport, "GetShardIterator", start)["ShardIterator"]
    (record,) = send(transport, "GetRecords", {"ShardIterator": iterator})["Records"]
    assert record["dynamodb"]["NewImage"] == item("1", 1)


def test_every_kind_of_write_is_in_the_file(stored: LocalTransport, path: Path) -> None:
    put(stored, item("1", 1, team={"S": "a"}), item("1", 2), item("2", 1, blob={"B": "AAH/"}, n={"N": "1.5"}))
    send(
        stored,
        "UpdateItem",
        {
            "TableName": "notes",
            "Key": item("3", 1),
            "UpdateExpression": "SET words = :t",
            "ExpressionAttributeValues": {":t": {"S": "\u20ac \U0001f600"}},
        },
    )
    send(stored, "DeleteItem", {"TableName": "notes", "Key": item("1", 2)})
    batch = [{"PutRequest": {"Item": item("4", 1)}}, {"DeleteRequest": {"Key": item("2", 1)}}]
    send(stored, "BatchWriteItem", {"RequestItems": {"notes": batch}})
    transaction = [
        {"Put": {"TableName": "notes", "Item": item("5", 1, m={"M": {"l": {"L": [{"NULL": True}]}}})}},
        {"Delete": {"TableName": "notes", "Key": item("4", 1)}},
        {
            "Update": {
                "TableName": "notes",
                "Key": item("1", 1),
                "UpdateExpression": "ADD n :one",
                "ExpressionAttributeValues": {":one": {"N": "1"}},
            }
        },
    ]
    send(stored, "TransactWriteItems", {"TransactItems": transaction})
    send(stored, "ExecuteStatement", {"Statement": "INSERT INTO notes VALUE {'pk': '6', 'sk': 1}"})
    ttl = {"TableName": "notes", "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "expires"}}
    send(stored, "UpdateTimeToLive", ttl)
    put(stored, item("7", 1))
    before = scan(stored)
    assert {one["pk"]["S"] for one in before} == {"1", "3", "5", "6", "7"}

    close(stored)
    again = LocalTransport(path)
    assert scan(again) == before
    table = send(again, "DescribeTable", {"TableName": "notes"})["Table"]
    assert (table["KeySchema"], table["ItemCount"]) == (KEYS, 5)
    assert send(again, "ListTagsOfResource", {"ResourceArn": table["TableArn"]})["Tags"] == TABLE["Tags"]
    described = send(again, "DescribeTimeToLive", {"TableName": "notes"})["TimeToLiveDescription"]
    assert described == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
    by_team = {
        "TableName": "notes",
        "IndexName": "by_team",
        "KeyConditionExpression": "team = :t",
        "ExpressionAttributeValues": {":t": {"S": "a"}},
    }
    assert [one["sk"] for one in send(again, "Query", by_team)["Items"]] == [{"N": "1"}]
    close(again)


NUMBERS = st.sampled_from(["1", "1.0", "01", "10", "1e1", "+10.00", "-0", "0"])
KEY = st.builds(lambda pk, sk: {"pk": {"S": pk}, "sk": {"N": sk}}, st.sampled_from("ab"), NUMBERS)
PUT = st.builds(lambda key, text: {**key, "words": {"S": text}}, KEY, st.text(max_size=3))


def updated(key: dict[str, Any]) -> Payload:
    values = {":one": {"N": "1"}}
    return {"TableName": "notes", "Key": key, "UpdateExpression": "ADD n :one", "ExpressionAttributeValues": values}


WRITES = st.one_of(
    PUT.map(lambda one: ("PutItem", {"TableName": "notes", "Item": one})),
    KEY.map(lambda key: ("DeleteItem", {"TableName": "notes", "Key": key})),
    KEY.map(lambda key: ("UpdateItem", updated(key))),
    PUT.map(lambda one: ("BatchWriteItem", {"RequestItems": {"notes": [{"PutRequest": {"Item": one}}]}})),
    KEY.map(lambda key: ("BatchWriteItem", {"RequestItems": {"notes": [{"DeleteRequest": {"Key": key}}]}})),
    PUT.map(lambda one: ("TransactWriteItems", {"TransactItems": [{"Put": {"TableName": "notes", "Item": one}}]})),
    KEY.map(lambda key: ("TransactWriteItems", {"TransactItems": [{"Update": updated(key)}]})),
    KEY.map(lambda key: ("TransactWriteItems", {"TransactItems": [{"Delete": {"TableName": "notes", "Key": key}}]})),
)


@given(st.lists(WRITES, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_the_file_holds_what_memory_held_after_any_writes(writes: list[tuple[str, Payload]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        transport = LocalTransport(Path(folder) / "data.db")
        send(transport, "CreateTable", TABLE)
        for operation, payload in writes:
            send(transport, operation, payload)
        before = scan(transport)
        close(transport)
        assert scan(transport) == before
        close(transport)


@pytest.mark.parametrize("number", ["1", "1.0", "1e2", "-0", "0.10", "00012", "1E-7", "+5"])
def test_numbers_in_keys_are_filed_however_they_are_spelled(stored: LocalTransport, number: str) -> None:
    key = {"pk": {"S": "1"}, "sk": {"N": number}}
    put(stored, key)
    before = scan(stored)
    close(stored)
    assert scan(stored) == before
    assert len(before) == 1
    put(stored, {**key, "text": {"S": "new"}})
    batch = [{"PutRequest": {"Item": {"pk": {"S": "2"}, "sk": {"N": number}}}}]
    send(stored, "BatchWriteItem", {"RequestItems": {"notes": batch}})
    before = scan(stored)
    assert len(before) == 2
    close(stored)
    assert scan(stored) == before
    send(stored, "DeleteItem", {"TableName": "notes", "Key": key})
    before = scan(stored)
    close(stored)
    assert scan(stored) == before


def test_a_refused_write_changes_nothing_in_the_file(stored: LocalTransport, path: Path) -> None:
    put(stored, item("1", 1))
    refused: Payload = {
        "TableName": "notes",
        "Item": item("1", 1, text={"S": "new"}),
        "ConditionExpression": "attribute_not_exists(pk)",
    }
    with pytest.raises(RequestRefused):
        send(stored, "PutItem", refused)
    close(stored)
    assert scan(stored) == [item("1", 1)]


def test_deleting_a_table_deletes_its_items_from_the_file(stored: LocalTransport) -> None:
    put(stored, item("1", 1))
    send(stored, "DeleteTable", {"TableName": "notes"})
    send(stored, "CreateTable", TABLE)
    close(stored)
    assert scan(stored) == []


def test_resetting_empties_the_file(stored: LocalTransport) -> None:
    put(stored, item("1", 1))
    stored.reset()
    close(stored)
    assert send(stored, "ListTables") == {"TableNames": []}


def test_transports_with_one_path_share_one_database(stored: LocalTransport, path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    put(stored, item("1", 1))
    other = LocalTransport(link)
    assert scan(other) == [item("1", 1)]
    close(other)
    put(stored, item("2", 1))
    assert len(scan(other)) == 2


WRITER = """
import asyncio, sys
from lift_dynamorm.transport.local import LocalTransport
transport = LocalTransport(sys.argv[1])
for number in range(int(sys.argv[2])):
    item = {"pk": {"S": "killed"}, "sk": {"N": str(number)}}
    asyncio.run(transport.send("PutItem", {"TableName": "notes", "Item": item}))
    print(number, flush=True)
"""


def test_what_was_acknowledged_survives_sigkill(stored: LocalTransport, path: Path) -> None:
    close(stored)
    root = str(Path(local.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), "1000000"], stdout=subprocess.PIPE, text=True, env=environment
    )
    with writer:
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(50)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
    found = {int(one["sk"]["N"]) for one in scan(stored)}
    assert set(acknowledged) <= found
    assert len(found) <= len(acknowledged) + 1


def test_a_second_process_is_told_that_the_file_is_open(stored: LocalTransport, path: Path) -> None:
    put(stored, item("1", 1))
    root = str(Path(local.__file__).parents[2])
    other = subprocess.run(
        [sys.executable, "-c", WRITER, str(path), "1"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert other.returncode == 1
    assert "UsageError" in other.stderr
    assert "open in another process" in other.stderr
    assert scan(stored) == [item("1", 1)]


def test_a_file_that_is_not_ours_is_refused_and_left_as_it_is(path: Path) -> None:
    path.write_text("something else entirely, and long enough to be looked at" * 50)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="cannot be opened"):
        send(LocalTransport(path), "ListTables")
    assert path.read_bytes() == before
    foreign = path.with_name("foreign.db")
    with contextlib.closing(sqlite3.connect(foreign)) as database:
        database.execute("CREATE TABLE items (something TEXT)")
    with pytest.raises(UsageError, match="another program"):
        send(LocalTransport(foreign), "ListTables")
    with pytest.raises(UsageError, match="cannot be opened"):
        send(LocalTransport(path.parent / "no" / "such" / "folder.db"), "ListTables")


def test_a_write_the_file_refused_is_an_error_and_is_written_later(
    stored: LocalTransport, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = stored._store._file
    assert file is not None

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(file, "_write_item", full)
        with pytest.raises(ServerError, match="disk is full"):
            put(stored, item("1", 1))
        send(stored, "DeleteTable", {"TableName": "notes"})
        send(stored, "CreateTable", TABLE)
        with pytest.raises(ServerError, match="disk is full"):
            put(stored, item("1", 1))
    put(stored, item("2", 1))
    close(stored)
    assert [one["pk"]["S"] for one in scan(stored)] == ["1", "2"]


def test_a_missing_engine_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_engine", None)
    monkeypatch.setitem(sys.modules, "ministack.services", None)
    with pytest.raises(UsageError, match=r'pip install "lift-dynamorm\[local\]"'):
        send(LocalTransport(), "ListTables")


def test_importing_the_transports_imports_nothing_heavy() -> None:
    code = (
        "import sys, lift_dynamorm.transport.retry, lift_dynamorm.transport.faults, lift_dynamorm.transport.boto,"
        " lift_dynamorm.transport.local\n"
        "print([name for name in ('asyncio', 'botocore', 'boto3', 'ministack', 'sqlite3') if name in sys.modules])"
    )
    root = str(Path(local.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": root}
    )
    assert done.stdout.strip() == "[]"


class TestTheEnginesInternals:
    """What our adapter takes for granted in MiniStack; a new version has to pass these before the pin moves."""

    def test_the_state_is_what_we_keep(self) -> None:
        assert set(local._load().dynamodb.get_state()) == set(local._KEPT)

    def test_every_part_of_the_state_is_a_scoped_store(self) -> None:
        engine = local._load()
        stores = [id(store) for store in engine.stores()]
        assert all(id(getattr(engine.dynamodb, f"_{name}")) in stores for name in local._KEPT)

    def test_the_reaper_takes_our_lock(self) -> None:
        engine = local._load()
        assert engine.dynamodb._lock is engine.lock
        assert "_lock" in engine.dynamodb._ttl_reaper.__code__.co_names
        assert "_lock" not in engine.dynamodb._ttl_reaper.__code__.co_varnames

    def test_no_server_and_no_thread_but_the_reaper(self) -> None:
        code = (
            "import threading, lift_dynamorm.transport.local as local\n"
            "local._load()\n"
            "print([thread.name for thread in threading.enumerate()])"
        )
        root = str(Path(local.__file__).parents[2])
        environment = {**os.environ, "PYTHONPATH": root}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        assert done.stdout.strip() == "['MainThread', 'dynamodb-ttl-reaper']"
