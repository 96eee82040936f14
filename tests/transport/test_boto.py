from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from lift_dynamorm.errors import (
    ConnectionFailed,
    CredentialsError,
    DeadlineExceeded,
    RequestRefused,
    ServerError,
    ServiceError,
    Throttled,
    UsageError,
)
from lift_dynamorm.transport.boto import BotoTransport, from_botocore, to_botocore
from lift_dynamorm.transport.credentials import Credentials, StaticCredentials
from lift_dynamorm.transport.http import HttpTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lift_dynamorm.transport import Payload, Transport

KEY: dict[str, Any] = {"TableName": "notes", "Key": {"pk": {"S": "1"}}}


class Canned(ThreadingHTTPServer):
    """Answer every request the same, and keep what arrived."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.body = b"{}"
        self.arrived: list[tuple[str, Any]] = []
        self.busy = threading.Semaphore(0)
        self.released = threading.Event()
        self.released.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Canned

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.arrived.append((self.headers["x-amz-target"].rpartition(".")[2], json.loads(body)))
        self.server.busy.release()
        self.server.released.wait(30)
        self.send_response(self.server.status)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(self.server.body)))
        self.send_header("x-amzn-requestid", "R-1")
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[Canned]:
    with Canned() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.released.set()
        made.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", "disabled")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@contextmanager
def client(url: str, **config: Any) -> Iterator[Any]:
    made = boto3.session.Session().client(
        "dynamodb", endpoint_url=url, config=Config(retries={"total_max_attempts": 1}, **config)
    )
    yield made
    made.close()


@contextmanager
def transport(url: str, **config: Any) -> Iterator[BotoTransport]:
    with client(url, **config) as made:
        opened = BotoTransport(made)
        yield opened
        asyncio.run(opened.aclose())


def send(door: Transport, operation: str, payload: Payload) -> Payload:
    return asyncio.run(door.send(operation, payload))


def outcome(door: Transport, operation: str, payload: Payload) -> Any:
    """What a caller can tell of a call: the answer, or everything about the error but its text."""
    try:
        return send(door, operation, payload)
    except ServiceError as error:
        return type(error), error.operation, error.code, error.status, error.request_id, dict(error.answer)


ITEM = {
    "pk": {"S": "1"},
    "b": {"B": "AAH+/w=="},
    "bs": {"BS": ["AQ==", "Ag=="]},
    "m": {"M": {"l": {"L": [{"B": "/w=="}, {"N": "1.50"}, {"NULL": True}, {"BOOL": False}]}}},
    "ss": {"SS": ["a"]},
}
DESCRIBED = {
    "Table": {
        "TableName": "notes",
        "TableStatus": "ACTIVE",
        "CreationDateTime": 1763600000.125,
        "ItemCount": 3,
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    }
}
ANSWERS: list[tuple[str, Payload, int, Any]] = [
    ("GetItem", KEY, 200, {"Item": ITEM}),
    ("GetItem", KEY, 200, {}),
    ("Query", {"TableName": "notes"}, 200, {"Items": [ITEM, ITEM], "Count": 2, "LastEvaluatedKey": {"pk": ITEM["b"]}}),
    ("BatchGetItem", {"RequestItems": {"notes": {"Keys": [KEY["Key"]]}}}, 200, {"Responses": {"notes": [ITEM]}}),
    ("DescribeTable", {"TableName": "notes"}, 200, DESCRIBED),
    (
        "BatchWriteItem",
        {"RequestItems": {"notes": [{"PutRequest": {"Item": ITEM}}]}},
        200,
        {"UnprocessedItems": {"notes": [{"PutRequest": {"Item": ITEM}}]}},
    ),
    (
        "PutItem",
        {"TableName": "notes", "Item": ITEM},
        400,
        {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "no", "Item": ITEM},
    ),
    (
        "TransactWriteItems",
        {"TransactItems": [{"Put": {"TableName": "notes", "Item": ITEM}}]},
        400,
        {
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "message": "no",
            "CancellationReasons": [{"Code": "None"}, {"Code": "ConditionalCheckFailed", "Item": ITEM}],
        },
    ),
    ("GetItem", KEY, 400, {"__type": "a#ProvisionedThroughputExceededException", "message": "slow"}),
    ("GetItem", KEY, 400, {"__type": "com.amazon.coral.validate#ValidationException", "message": "no"}),
    ("GetItem", KEY, 400, {"__type": "a#ResourceNotFoundException", "message": "no"}),
    ("GetItem", KEY, 500, {"__type": "a#InternalServerError", "message": "oops"}),
]


@pytest.mark.parametrize(("operation", "payload", "status", "answer"), ANSWERS)
def test_answers_and_errors_are_those_of_the_http_transport(
    server: Canned, operation: str, payload: Payload, status: int, answer: Any
) -> None:
    server.status, server.body = status, json.dumps(answer).encode()
    key = Credentials("AKIAIOSFODNN7EXAMPLE", "secret")
    http = HttpTransport(endpoint=server.url, region="us-east-1", credentials=StaticCredentials(key))
    expected = outcome(http.blocking, operation, payload)
    asyncio.run(http.blocking.aclose())
    with transport(server.url) as boto:
        found = [outcome(boto, operation, payload), outcome(boto.blocking, operation, payload)]
    if isinstance(expected, tuple):
        expected[-1]["__type"] = expected[2]
        assert expected[4] == "R-1"
    else:
        assert expected == answer
    assert found == [expected, expected]


def test_requests_reach_the_wire_as_they_were_given(server: Canned) -> None:
    requests: list[tuple[str, Payload]] = [
        ("PutItem", {"TableName": "notes", "Item": ITEM}),
        (
            "UpdateItem",
            {
                **KEY,
                "UpdateExpression": "SET b = :b",
                "ExpressionAttributeValues": {":b": {"B": "AA=="}, ":bs": {"BS": ["AQ=="]}},
            },
        ),
        ("Query", {"TableName": "notes", "ExclusiveStartKey": {"pk": {"B": "AA=="}}}),
        ("BatchWriteItem", {"RequestItems": {"notes": [{"DeleteRequest": {"Key": {"pk": {"B": "AA=="}}}}]}}),
        (
            "TransactWriteItems",
            {"TransactItems": [{"Put": {"TableName": "notes", "Item": ITEM}}], "ClientRequestToken": "t"},
        ),
    ]
    with transport(server.url) as boto:
        for operation, payload in requests:
            send(boto, operation, payload)
    assert server.arrived == requests


PUT_ITEM = botocore.session.Session().get_service_model("dynamodb").shape_for("PutItemInput")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


VALUES = st.recursive(
    st.one_of(
        st.builds(lambda text: {"S": text}, st.text()),
        st.builds(lambda data: {"B": data}, st.binary().map(_base64)),
        st.just({"NULL": True}),
    ),
    lambda inner: st.one_of(
        st.builds(lambda values: {"L": values}, st.lists(inner)),
        st.builds(lambda values: {"M": values}, st.dictionaries(st.text(), inner)),
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES))
def test_binary_values_survive_the_way_there_and_back(item: dict[str, Any]) -> None:
    payload = {"TableName": "notes", "Item": item}
    there = to_botocore(PUT_ITEM, payload)
    assert from_botocore(PUT_ITEM, there) == payload
    assert not any(isinstance(value.get("B"), str) for value in there["Item"].values())


@pytest.mark.parametrize("text", ["not base64!", "AA=!=", "\u20ac"])
def test_binary_that_is_not_base64_is_refused(server: Canned, text: str) -> None:
    with transport(server.url) as boto, pytest.raises(RequestRefused):
        send(boto, "PutItem", {"TableName": "notes", "Item": {"b": {"B": text}}})
    assert server.arrived == []


def test_parameters_botocore_refuses_are_refused(server: Canned) -> None:
    with transport(server.url) as boto, pytest.raises(RequestRefused, match="Missing required parameter") as raised:
        send(boto, "GetItem", {"TableName": "notes"})
    assert raised.value.code == "ParamValidationError"
    assert server.arrived == []


def test_a_refused_connection_was_not_sent() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with transport(url) as boto, pytest.raises(ConnectionFailed) as raised:
        send(boto, "GetItem", KEY)
    assert not raised.value.sent


def test_a_connection_that_breaks_before_the_answer_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)

        thread = threading.Thread(target=hang_up)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with transport(url) as boto, pytest.raises(ConnectionFailed) as raised:
            send(boto, "GetItem", KEY)
        thread.join()
    assert raised.value.sent


def test_an_answer_that_does_not_come_was_sent(server: Canned) -> None:
    server.released.clear()
    with transport(server.url, read_timeout=0.05) as boto, pytest.raises(ConnectionFailed) as raised:
        send(boto, "GetItem", KEY)
    assert raised.value.sent
    server.released.set()


def test_an_answer_that_cannot_be_read_is_a_server_error(server: Canned) -> None:
    for body in (b'{"Item": {"b": {"B": ', b"<html>", b'"text"', b"[1]", b"null", b'{"Item": {"pk": 5}}'):
        server.body = body
        with transport(server.url) as boto, pytest.raises(ServerError):
            send(boto, "GetItem", KEY)


def test_a_gateway_without_json_is_a_server_error(server: Canned) -> None:
    server.status, server.body = 502, b"<html>bad gateway</html>"
    with transport(server.url) as boto, pytest.raises(ServerError) as raised:
        send(boto, "GetItem", KEY)
    assert raised.value.status == 502


def test_the_deadline_ends_the_waiting(server: Canned) -> None:
    server.released.clear()
    with transport(server.url) as boto:
        for operation, applied in (("GetItem", False), ("DeleteItem", True)):
            with pytest.raises(DeadlineExceeded) as raised:
                asyncio.run(boto.send(operation, KEY, deadline=time.monotonic() + 0.1))
            assert raised.value.maybe_applied is applied
        server.released.set()


def test_nothing_is_sent_after_the_deadline(server: Canned) -> None:
    with transport(server.url) as boto:
        for door in (boto, boto.blocking):
            with pytest.raises(DeadlineExceeded):
                asyncio.run(door.send("GetItem", KEY, deadline=time.monotonic()))
    assert server.arrived == []


def test_no_credentials_is_our_error(monkeypatch: pytest.MonkeyPatch, server: Canned) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with transport(server.url) as boto, pytest.raises(CredentialsError, match="AWS_ACCESS_KEY_ID"):
        send(boto, "GetItem", KEY)


def test_no_region_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(UsageError, match="AWS_REGION"):
        send(BotoTransport(None).blocking, "GetItem", KEY)


@pytest.mark.parametrize("make", [boto3.session.Session, botocore.session.Session, lambda: None])
def test_a_session_gets_clients_that_do_not_retry(make: Any, monkeypatch: pytest.MonkeyPatch, server: Canned) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    server.status, server.body = 400, json.dumps({"__type": "a#ThrottlingException", "message": "slow"}).encode()
    boto = BotoTransport(make())
    with pytest.raises(Throttled):
        send(boto, "GetItem", KEY)
    with pytest.raises(Throttled):
        send(boto.blocking, "ListStreams", {})
    assert [operation for operation, _ in server.arrived] == ["GetItem", "ListStreams"]
    asyncio.run(boto.aclose())
    server.status, server.body = 200, b"{}"
    assert send(boto, "GetItem", KEY) == {}
    asyncio.run(boto.blocking.aclose())


def test_the_given_client_stays_open(server: Canned) -> None:
    with client(server.url) as given:
        boto = BotoTransport(given)
        send(boto, "GetItem", KEY)
        asyncio.run(boto.aclose())
        assert given.get_item(**KEY)["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_client_cannot_read_streams(server: Canned) -> None:
    with transport(server.url) as boto, pytest.raises(UsageError, match="give BotoTransport a session"):
        send(boto, "ListStreams", {})


def test_what_is_neither_client_nor_session_is_refused() -> None:
    resource = boto3.session.Session().resource("dynamodb")
    for wrong in (resource, "us-east-1", 5):
        with pytest.raises(UsageError, match="client"):
            BotoTransport(wrong)
    resource.meta.client.close()


def test_requests_run_side_by_side(server: Canned) -> None:
    server.released.clear()

    async def main(boto: BotoTransport) -> None:
        calls = [asyncio.create_task(boto.send("GetItem", KEY)) for _ in range(4)]
        await asyncio.to_thread(lambda: [server.busy.acquire() for _ in calls])
        server.released.set()
        assert await asyncio.gather(*calls) == [{}] * 4

    with transport(server.url) as boto:
        asyncio.run(main(boto))
