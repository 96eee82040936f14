"""What every engine has to answer over a raw transport, and how each is started, fetched and ended."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm.errors import RequestRefused
from tests.engines import ENGINES, EngineUnavailable, fetch, start
from tests.engines.servers import Server
from tests.wire import ValidatingTransport, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lift_dynamorm.transport import Payload, Transport
    from tests.engines import Engine

NAMES = [*ENGINES, *(["endpoint"] if os.environ.get("LIFT_DYNAMORM_TEST_ENDPOINT") else [])]


@pytest.fixture(scope="module", params=NAMES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    try:
        running = start(request.param)
    except EngineUnavailable as error:
        pytest.skip(str(error))
    yield running
    running.stop()


class Table:
    """A table of one test, with blocking calls to its engine."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.name = f"t-{uuid.uuid4().hex}"

    def send(self, operation: str, **payload: Any) -> Payload:
        return asyncio.run(self.transport.send(operation, payload))

    def put(self, item: dict[str, Any], **options: Any) -> Payload:
        return self.send("PutItem", TableName=self.name, Item=item, **options)

    def get(self, key: str) -> dict[str, Any] | None:
        answer = self.send("GetItem", TableName=self.name, Key={"pk": {"S": key}}, ConsistentRead=True)
        item: dict[str, Any] | None = answer.get("Item")
        return item


@pytest.fixture
def table(engine: Engine) -> Iterator[Table]:
    transport = engine.transport()
    made = Table(ValidatingTransport(transport).blocking)
    made.send(
        "CreateTable",
        TableName=made.name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "team", "AttributeType": "S"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_team",
                "KeySchema": [{"AttributeName": "team", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    yield made
    made.send("DeleteTable", TableName=made.name)
    asyncio.run(made.transport.aclose())
    asyncio.run(transport.aclose())


def test_a_new_table_is_active_at_once(table: Table) -> None:
    described = table.send("DescribeTable", TableName=table.name)["Table"]
    assert described["TableStatus"] == "ACTIVE"
    assert isinstance(described["CreationDateTime"], int | float)
    assert described["GlobalSecondaryIndexes"][0]["IndexStatus"] == "ACTIVE"
    assert table.name in table.send("ListTables")["TableNames"]


def test_items_of_every_type_are_read_back(table: Table) -> None:
    item: dict[str, Any] = {
        "pk": {"S": "1 \u20ac \U0001f600"},
        "n": {"N": "-12345678901234567890123456789012345678"},
        "d": {"N": "0.1"},
        "b": {"B": "AAH+/w=="},
        "bs": {"BS": ["AQ==", "Ag=="]},
        "ss": {"SS": ["a", "b"]},
        "ns": {"NS": ["1", "2.5"]},
        "yes": {"BOOL": True},
        "nothing": {"NULL": True},
        "m": {"M": {"l": {"L": [{"S": ""}, {"B": "/w=="}, {"M": {}}]}}},
    }
    assert "ResponseMetadata" not in table.put(item)
    found = table.get("1 \u20ac \U0001f600")
    assert found is not None
    for name in ("bs", "ss", "ns"):
        (kind,) = item[name]
        assert sorted(found.pop(name)[kind]) == item[name][kind]
        item = {key: value for key, value in item.items() if key != name}
    assert found == item
    assert table.get("2") is None


def test_a_failed_condition_returns_the_item(table: Table) -> None:
    table.put({"pk": {"S": "1"}, "b": {"B": "AAH+/w=="}})
    with pytest.raises(RequestRefused) as raised:
        table.put(
            {"pk": {"S": "1"}, "b": {"B": "AA=="}},
            ConditionExpression="attribute_not_exists(#pk)",
            ExpressionAttributeNames={"#pk": "pk"},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert raised.value.code == "ConditionalCheckFailedException"
    assert raised.value.status == 400
    assert raised.value.answer["Item"] == {"pk": {"S": "1"}, "b": {"B": "AAH+/w=="}}
    assert table.get("1") == {"pk": {"S": "1"}, "b": {"B": "AAH+/w=="}}


def test_an_update_returns_what_was_asked_for(table: Table) -> None:
    counted = table.send(
        "UpdateItem",
        TableName=table.name,
        Key={"pk": {"S": "1"}},
        UpdateExpression="ADD #n :one SET #b = :b",
        ExpressionAttributeNames={"#n": "n", "#b": "b"},
        ExpressionAttributeValues={":one": {"N": "1"}, ":b": {"B": "AQI="}},
        ReturnValues="ALL_NEW",
    )
    assert counted["Attributes"] == {"pk": {"S": "1"}, "n": {"N": "1"}, "b": {"B": "AQI="}}
    deleted = table.send("DeleteItem", TableName=table.name, Key={"pk": {"S": "1"}}, ReturnValues="ALL_OLD")
    assert deleted["Attributes"] == counted["Attributes"]
    assert table.get("1") is None


def test_an_index_is_queried_page_by_page(table: Table) -> None:
    table.put({"pk": {"S": "other"}, "team": {"S": "b"}})
    for number in range(3):
        table.put({"pk": {"S": str(number)}, "team": {"S": "a"}})
    query: dict[str, Any] = {
        "TableName": table.name,
        "IndexName": "by_team",
        "KeyConditionExpression": "#team = :team",
        "ExpressionAttributeNames": {"#team": "team"},
        "ExpressionAttributeValues": {":team": {"S": "a"}},
    }
    first = table.send("Query", Limit=2, **query)
    second = table.send("Query", ExclusiveStartKey=first["LastEvaluatedKey"], **query)
    assert sorted(item["pk"]["S"] for item in first["Items"] + second["Items"]) == ["0", "1", "2"]
    assert "LastEvaluatedKey" not in second


def test_batches(table: Table) -> None:
    written = table.send(
        "BatchWriteItem",
        RequestItems={table.name: [{"PutRequest": {"Item": {"pk": {"S": str(n)}, "b": {"B": "AQ=="}}}} for n in "12"]},
    )
    assert not written.get("UnprocessedItems")
    keys = [{"pk": {"S": number}} for number in "123"]
    read = table.send("BatchGetItem", RequestItems={table.name: {"Keys": keys, "ConsistentRead": True}})
    assert sorted(item["pk"]["S"] for item in read["Responses"][table.name]) == ["1", "2"]
    assert read["Responses"][table.name][0]["b"] == {"B": "AQ=="}


def transaction(table: Table, **options: Any) -> dict[str, Any]:
    return {
        "TransactItems": [
            {
                "Update": {
                    "TableName": table.name,
                    "Key": {"pk": {"S": "counter"}},
                    "UpdateExpression": "ADD #n :one",
                    "ExpressionAttributeNames": {"#n": "n"},
                    "ExpressionAttributeValues": {":one": {"N": "1"}},
                }
            },
            {
                "Put": {
                    "TableName": table.name,
                    "Item": {"pk": {"S": "1"}, "b": {"B": "AQ=="}},
                    **options,
                }
            },
        ]
    }


def test_a_canceled_transaction_gives_its_reasons_in_order(table: Table) -> None:
    table.put({"pk": {"S": "1"}, "b": {"B": "Ag=="}})
    with pytest.raises(RequestRefused) as raised:
        table.send(
            "TransactWriteItems",
            **transaction(
                table,
                ConditionExpression="attribute_not_exists(#pk)",
                ExpressionAttributeNames={"#pk": "pk"},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            ),
        )
    assert raised.value.code == "TransactionCanceledException"
    first, second = raised.value.answer["CancellationReasons"]
    assert first["Code"] == "None"
    assert second["Code"] == "ConditionalCheckFailed"
    assert second["Item"] == {"pk": {"S": "1"}, "b": {"B": "Ag=="}}
    assert table.get("counter") is None


def test_a_transaction_with_a_token_applies_once(table: Table, engine: Engine, request: pytest.FixtureRequest) -> None:
    if engine.name == "moto":
        reason = "moto ignores ClientRequestToken, and a repeated transaction is applied twice"
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    written = {**transaction(table), "ClientRequestToken": str(uuid.uuid4())}
    table.send("TransactWriteItems", **written)
    table.send("TransactWriteItems", **written)
    counter = table.get("counter")
    assert counter is not None
    assert counter["n"] == {"N": "1"}
    written["TransactItems"] = written["TransactItems"][:1]
    with pytest.raises(RequestRefused) as raised:
        table.send("TransactWriteItems", **written)
    assert raised.value.code == "IdempotentParameterMismatchException"


def test_a_missing_table_has_its_code(table: Table) -> None:
    with pytest.raises(RequestRefused) as raised:
        table.send("GetItem", TableName="absent-table", Key={"pk": {"S": "1"}})
    assert raised.value.code == "ResourceNotFoundException"


def test_the_async_and_the_blocking_way_lead_to_the_same_data(table: Table, engine: Engine) -> None:
    transport = engine.transport()

    async def main() -> Payload:
        try:
            await transport.send("PutItem", {"TableName": table.name, "Item": {"pk": {"S": "async"}}})
            key = {"pk": {"S": "async"}}
            return await transport.send("GetItem", {"TableName": table.name, "Key": key, "ConsistentRead": True})
        finally:
            await transport.aclose()

    assert asyncio.run(main()) == {"Item": {"pk": {"S": "async"}}}
    assert table.get("async") == {"pk": {"S": "async"}}


@pytest.mark.parametrize("name", ["dynoxide"])
def test_a_stopped_server_is_gone(name: str) -> None:
    server = start(name)
    assert isinstance(server, Server)
    socket.create_connection(("127.0.0.1", server.port)).close()
    process = server._process
    folder = server._folder
    assert process is not None
    server.stop()
    server.stop()
    assert process.returncode is not None
    assert not folder.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_unknown_engines_and_missing_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIFT_DYNAMORM_TEST_ENDPOINT", raising=False)
    with pytest.raises(EngineUnavailable, match="endpoint: LIFT_DYNAMORM_TEST_ENDPOINT"):
        start("endpoint")
    with pytest.raises(ValueError, match="no engine"):
        start("unheard-of")


class TestFetching:
    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        return tmp_path / "cache"

    def npm(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
        path = tmp_path / "bin" / "npm"
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")

    def test_without_npm_the_reason_is_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        with pytest.raises(EngineUnavailable, match=r"^dynoxide: npm is not installed") as raised:
            fetch.fetch(fetch.DYNOXIDE)
        assert "\n" not in str(raised.value)

    def test_a_registry_that_cannot_be_reached_is_a_reason(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.npm(tmp_path, monkeypatch, "echo some words >&2; echo npm error network >&2; exit 1")
        with pytest.raises(EngineUnavailable, match=r"^dynoxide: npm pack .*1\.2\.1 failed: npm error network$"):
            fetch.fetch(fetch.DYNOXIDE)

    def test_another_tarball_is_an_error_and_is_not_kept(
        self, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.npm(tmp_path, monkeypatch, 'echo tampered > "$5/dynoxide.tgz"')
        with pytest.raises(fetch.WrongChecksum, match="80e1ed33"):
            fetch.fetch(fetch.DYNOXIDE)
        assert [path.name for path in cache.rglob("*") if path.is_file()] == ["lock"]

    def test_a_tarball_that_was_changed_in_the_cache_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = fetch.cache_folder() / fetch.DYNOXIDE.sha256
        folder.mkdir(parents=True)
        (folder / "package.tgz").write_bytes(b"tampered")
        with pytest.raises(fetch.WrongChecksum):
            fetch.fetch(fetch.DYNOXIDE)


class TestTheValidator:
    @pytest.mark.parametrize(
        ("operation", "payload", "complaint"),
        [
            ("GetItem", {"TableName": "t"}, "Missing required parameter"),
            ("GetItem", {"TableName": "t", "Key": {}, "Konsistent": True}, "Unknown parameter"),
            ("PutItem", {"TableName": "t", "Item": {"n": {"N": 1}}}, "Invalid type"),
            ("PutItem", {"TableName": "t", "Item": {"b": {"B": "not base64!"}}}, "base64"),
            ("PutThing", {}, "no operation"),
            ("GetItem", {"TableName": "t", "Key": {}, "ProjectionExpression": "#a"}, "not defined"),
            ("GetItem", {"TableName": "t", "Key": {}, "ExpressionAttributeNames": {"#a": "a"}}, "not used"),
            ("GetItem", {"TableName": "t", "Key": {}, "ExpressionAttributeNames": {}}, "is empty"),
            ("GetItem", {"TableName": "t", "Key": {}, "ProjectionExpression": ""}, "is empty"),
            (
                "TransactWriteItems",
                {"TransactItems": [{"Delete": {"TableName": "t", "Key": {}, "ConditionExpression": "a = :v"}}]},
                "not defined",
            ),
            (
                "BatchGetItem",
                {"RequestItems": {"t": {"Keys": [{}], "ExpressionAttributeNames": {"#a": "a"}}}},
                "not used",
            ),
        ],
    )
    def test_it_complains(self, operation: str, payload: Payload, complaint: str) -> None:
        with pytest.raises(AssertionError, match=complaint):
            check(operation, payload)

    def test_it_accepts_what_is_right(self) -> None:
        check(
            "UpdateItem",
            {
                "TableName": "t",
                "Key": {"pk": {"B": "AA=="}},
                "UpdateExpression": "SET #a = :a",
                "ConditionExpression": "attribute_exists(#a)",
                "ExpressionAttributeNames": {"#a": "a"},
                "ExpressionAttributeValues": {":a": {"BS": ["AA=="]}},
            },
        )
        check("ListStreams", {"TableName": "tbl"})
