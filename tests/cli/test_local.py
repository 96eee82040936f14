"""``local``: boto3 and anything else that speaks DynamoDB's protocol use the embedded engine."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import Database
from lift_dynamorm.cli.failures import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Project


@contextmanager
def served(project: Project, *arguments: str, app: bool = False) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the server, and end it; gives its URL, and what it has said."""
    command = project.command("local", "--port", "0", "--json", *arguments, app=app)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=project.folder, text=True, **pipes) as process:
        try:
            assert process.stdout is not None
            text = ""
            while not text.endswith("}\n"):
                line = process.stdout.readline()
                assert line, process.communicate()[1]
                text += line
            yield process, json.loads(text)["url"]
        finally:
            process.terminate()
            process.communicate(timeout=30)


def client(service: str, url: str) -> Any:
    import boto3

    return boto3.session.Session().client(
        service, endpoint_url=url, region_name="eu-west-3", aws_access_key_id="any", aws_secret_access_key="key"
    )


SCHEMA: dict[str, Any] = {
    "TableName": "things",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
}


def test_boto3(project: Project) -> None:
    with served(project) as (process, url):
        dynamodb = client("dynamodb", url)
        dynamodb.create_table(**SCHEMA)
        dynamodb.get_waiter("table_exists").wait(TableName="things")
        for n in range(30):
            dynamodb.put_item(TableName="things", Item={"id": {"S": f"{n}"}, "b": {"B": b"\0\xff"}})
        assert dynamodb.get_item(TableName="things", Key={"id": {"S": "7"}})["Item"]["b"]["B"] == b"\0\xff"
        assert dynamodb.scan(TableName="things")["Count"] == 30
        with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException) as caught:
            dynamodb.put_item(
                TableName="things",
                Item={"id": {"S": "7"}},
                ConditionExpression="attribute_not_exists(id)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        assert caught.value.response["Item"]["id"] == {"S": "7"}
        with pytest.raises(dynamodb.exceptions.ResourceNotFoundException):
            dynamodb.scan(TableName="nowhere")
        large = {"id": {"S": "large"}, "text": {"S": "x" * 390_000}}
        dynamodb.put_item(TableName="things", Item=large)
        assert dynamodb.get_item(TableName="things", Key={"id": {"S": "large"}})["Item"] == large

        streams = client("dynamodbstreams", url)
        (stream,) = streams.list_streams(TableName="things")["Streams"]
        arn = stream["StreamArn"]
        (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        at = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
        assert len(streams.get_records(ShardIterator=at["ShardIterator"])["Records"]) == 31

        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (Exit.DONE, "", "")


def test_our_own_transport_and_the_tables_of_an_app(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    with served(project, app=True) as (_, url):
        module = project.module
        database = Database(url, region="us-east-1")
        s = database.sync.session("acme")
        assert s.create(module.User(id="1", email="a@x")) == s.get(module.User, id="1")
        assert not database.sync.tables(module.User, module.Order).plan()
        database.sync.close()
    assert not project.data.exists()


def test_a_file_keeps_the_data(project: Project) -> None:
    for expected in (0, 1):
        with served(project, "--file", "kept.db") as (_, url):
            dynamodb = client("dynamodb", url)
            assert len(dynamodb.list_tables()["TableNames"]) == expected
            if not expected:
                dynamodb.create_table(**SCHEMA)
    assert project.here("tables", "plan", "--endpoint", "local://kept.db").code == Exit.DIFFERENT


def test_what_it_says(project: Project) -> None:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = project.command("local", "--port", "0", app=False)
    with subprocess.Popen(command, cwd=project.folder, text=True, **pipes) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(6)]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert re.fullmatch(r"DynamoDB, embedded, at http://127\.0\.0\.1:\d+, in memory\n", said[0])
    url = said[0].split()[3].rstrip(",")
    assert f'Database("{url}")' in said[1]
    assert f"--endpoint-url {url}" in said[2]
    assert f'endpoint_url="{url}"' in said[3]
    assert f"AWS_ENDPOINT_URL_DYNAMODB={url}" in said[4]
    assert (process.returncode, out, err) == (Exit.DONE, "", "ended\n")


def test_where_it_cannot_be(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = project.process("local", "--port", str(port), app=False)
    assert result.code == Exit.ERROR
    assert result.err.splitlines() == [
        f"error: cannot listen at 127.0.0.1:{port}: Address already in use",
        "  mend: choose another --port, or 0",
    ]
    with served(project, "--file", "kept.db"):
        result = project.process("local", "--port", "0", "--file", "kept.db", app=False)
    assert result.code == Exit.USAGE
    assert "is open in another process" in result.err
    (project.folder / "text.db").write_text("this is no database, and it is long enough to be seen to be none\n" * 20)
    assert project.process("local", "--port", "0", "--file", "text.db", app=False).code == Exit.USAGE


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200, b"healthy"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 400, b"X-Amz-Target"),
        (b"GET / HTTP/1.1\r\nX-Amz-Target: DynamoDB_20120810.ListTables\r\n\r\n", 400, b"UnknownOperation"),
        (b"POST / HTTP/1.1\r\nX-Amz-Target: S3.ListTables\r\nContent-Length: 2\r\n\r\n{}", 400, b"UnknownOperation"),
        (
            b"POST / HTTP/1.1\r\nX-Amz-Target: DynamoDB_20120810.Nothing\r\nContent-Length: 2\r\n\r\n{}",
            400,
            b"UnknownOperation",
        ),
        (
            b"POST / HTTP/1.1\r\nX-Amz-Target: DynamoDB_20120810.ListTables\r\nContent-Length: 1\r\n\r\n{",
            400,
            b"SerializationException",
        ),
        (
            b"POST / HTTP/1.1\r\nX-Amz-Target: DynamoDB_20120810.ListTables\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
            200,
            b'"TableNames":[]',
        ),
        (b"hello\r\n\r\n", 400, b"no HTTP/1.1"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 70_000_000, 413, b"larger than"),
    ],
)
def test_what_is_sent_to_it(project: Project, request_: bytes, status: int, said: bytes) -> None:
    with served(project) as (_, url):
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            try:
                connection.sendall(request_)
            except (BrokenPipeError, ConnectionResetError):
                pass
            answer = b""
            while said not in answer and (got := connection.recv(65536)):
                answer += got
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert said in answer
        assert client("dynamodb", url).list_tables()["TableNames"] == []  # and it goes on


def test_requests_that_come_before_the_answers(project: Project) -> None:
    one = b"POST / HTTP/1.1\r\nX-Amz-Target: DynamoDB_20120810.ListTables\r\nContent-Length: 2\r\n\r\n{}"
    with (
        served(project) as (_, url),
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=20) as connection,
    ):
        connection.sendall(one * 8000)  # more than is read at once
        answers = bytearray()
        while answers.count(b"HTTP/1.1 200 OK") < 8000:
            got = connection.recv(1 << 20)
            assert got
            answers += got
