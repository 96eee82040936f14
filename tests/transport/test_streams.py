"""DynamoDB Streams is a service of its own: another target, and on AWS another host."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.session import Session

from lift_dynamorm.errors import UsageError
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.transport.boto import BotoTransport
from lift_dynamorm.transport.credentials import Credentials, StaticCredentials
from lift_dynamorm.transport.endpoint import STREAM_OPERATIONS, regional_endpoint, streams_endpoint
from lift_dynamorm.transport.http import HttpTransport
from lift_dynamorm.transport.retry import reads
from lift_dynamorm.transport.sigv4 import Signer

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
REGIONS = [
    *("us-east-1", "eu-west-1", "cn-north-1", "us-gov-west-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1"),
    *("us-isof-south-1", "eusc-de-east-1"),
]


def boto_endpoint(service: str, region: str, **options: Any) -> str:
    config = Config(**options)
    client = Session().create_client(service, region, aws_access_key_id="a", aws_secret_access_key="b", config=config)
    url: str = client.meta.endpoint_url
    return url


@pytest.mark.parametrize("region", REGIONS)
def test_hosts_are_those_of_botocore(region: str) -> None:
    assert streams_endpoint(regional_endpoint(region)) == boto_endpoint("dynamodbstreams", region)


@pytest.mark.parametrize("options", [{"use_fips_endpoint": True}, {"use_dualstack_endpoint": True}])
@pytest.mark.parametrize("region", ["us-east-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1"])
def test_hosts_of_other_kinds_are_those_of_botocore(region: str, options: dict[str, bool]) -> None:
    given = boto_endpoint("dynamodb", region, **options)
    assert streams_endpoint(given) == boto_endpoint("dynamodbstreams", region, **options)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000",
        "http://dynamodb:8000",
        "https://dynamodb.us-east-1.localhost.localstack.cloud:4566",
        "https://dynamodb.us-east-1.amazonaws.com.evil.example",
        "https://streams.dynamodb.us-east-1.amazonaws.com",
        "https://vpce-1.dynamodb.us-east-1.vpce.amazonaws.com",
    ],
)
def test_elsewhere_the_host_is_the_same(url: str) -> None:
    assert streams_endpoint(url) == url


def test_an_endpoint_of_an_account_leads_to_the_region() -> None:
    url = "https://123456789012.ddb.eu-west-1.amazonaws.com"
    assert streams_endpoint(url) == "https://streams.dynamodb.eu-west-1.amazonaws.com"


def head(message: bytes) -> dict[str, str]:
    lines = message.split(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines)


@pytest.mark.parametrize("operation", sorted(STREAM_OPERATIONS))
def test_requests_are_signed_as_botocore_signs_them(operation: str) -> None:
    from botocore.auth import SigV4Auth
    from botocore.credentials import Credentials as BotoCredentials

    host, now = "streams.dynamodb.eu-west-1.amazonaws.com", 1_800_000_000.0
    ours = head(Signer(host, "eu-west-1").request(operation, b"{}", KEY, now))
    assert ours["X-Amz-Target"] == f"DynamoDBStreams_20120810.{operation}"
    names = ("Content-Type", "Host", "X-Amz-Date", "X-Amz-Target")
    request = AWSRequest("POST", f"https://{host}/", {name: ours[name] for name in names}, b"{}")
    request.context["timestamp"] = ours["X-Amz-Date"]
    auth = SigV4Auth(BotoCredentials(KEY.access_key, KEY.secret_key), "dynamodb", "eu-west-1")
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    assert ours["Authorization"].endswith(f"Signature={signature}")
    assert "/eu-west-1/dynamodb/aws4_request" in ours["Authorization"]
    assert head(Signer(host, "eu-west-1").request("GetItem", b"{}", KEY, now))["X-Amz-Target"].startswith("DynamoDB_")


@pytest.mark.parametrize("way", ["async", "blocking"])
def test_on_aws_only_streams_go_to_their_host(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def answer(self: Any, operation: str, message: bytes, *_: Any, **__: Any) -> Any:
        asked.append((operation, head(message)["Host"]))
        return 200, b"{}", {}

    async def awaited(self: Any, operation: str, message: bytes, *_: Any, **__: Any) -> Any:
        return answer(self, operation, message)

    monkeypatch.setattr("lift_dynamorm.transport.pool.Pool.exchange", awaited)
    monkeypatch.setattr("lift_dynamorm.transport.sockets.SocketPool.exchange", answer)
    transport = HttpTransport(endpoint="", region="eu-west-1", credentials=StaticCredentials(KEY))

    async def main() -> None:
        door = transport if way == "async" else transport.blocking
        for operation in ("GetItem", "GetRecords", "ListStreams", "PutItem"):
            await door.send(operation, {})
        await transport.aclose()

    if way == "async":
        asyncio.run(main())
    else:
        drive(main())
    assert asked == [
        ("GetItem", "dynamodb.eu-west-1.amazonaws.com"),
        ("GetRecords", "streams.dynamodb.eu-west-1.amazonaws.com"),
        ("ListStreams", "streams.dynamodb.eu-west-1.amazonaws.com"),
        ("PutItem", "dynamodb.eu-west-1.amazonaws.com"),
    ]


@pytest.mark.parametrize(
    ("environment", "given", "host"),
    [
        ({}, None, "streams.dynamodb.us-east-1.amazonaws.com"),
        ({"AWS_ENDPOINT_URL_DYNAMODB_STREAMS": "http://127.0.0.1:9"}, None, "127.0.0.1:9"),
        ({"AWS_ENDPOINT_URL_DYNAMODB_STREAMS": "http://127.0.0.1:9"}, "http://127.0.0.1:8", None),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:8"}, None, None),
        (
            {"AWS_ENDPOINT_URL_DYNAMODB_STREAMS": "http://x", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
            None,
            "streams.dynamodb.us-east-1.amazonaws.com",
        ),
    ],
)
def test_where_streams_are_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str], given: str | None, host: str | None
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made = HttpTransport.from_environment(given, "us-east-1", credentials=StaticCredentials(KEY))
    made._wire.resolve()
    found = made._wire.streams()
    assert (found and found._wire.resolve().endpoint.authority) == host
    assert made._wire.streams() is found
    assert found is None or found._wire.streams() is None


def test_the_stream_operations_read() -> None:
    assert all(reads(operation, {}) for operation in STREAM_OPERATIONS)


def test_a_boto_client_alone_reaches_no_streams() -> None:
    def client(service: str) -> Any:
        return Session().create_client(service, "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")

    dynamodb, streams = client("dynamodb"), client("dynamodbstreams")
    with pytest.raises(UsageError, match=r"streams=session\.client\('dynamodbstreams'\)"):
        drive(BotoTransport(dynamodb).blocking.send("ListStreams", {}))
    both = BotoTransport(dynamodb, streams=streams)._clients
    assert both.client("ListStreams") is streams
    assert both.client("ListTables") is dynamodb
