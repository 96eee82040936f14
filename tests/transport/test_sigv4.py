from __future__ import annotations

import datetime
from unittest import mock

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from lift_dynamorm.errors import CredentialsError
from lift_dynamorm.transport.credentials import Credentials
from lift_dynamorm.transport.sigv4 import Signer

WORDS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=30)
TOKENS = st.text("abcXYZ019+/=", min_size=1, max_size=600)
SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=80)
HOSTS = st.one_of(
    st.sampled_from(["dynamodb.eu-west-1.amazonaws.com", "[::1]:8000", "127.0.0.1"]),
    st.builds("{}.example:{}".format, WORDS.map(str.lower), st.integers(1024, 65535)),
)
MOMENTS = st.integers(0, 4_000_000_000)
CREDENTIALS = st.builds(Credentials, WORDS, SECRETS, st.none() | TOKENS)


def headers_of(message: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = message.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first == "POST / HTTP/1.1"
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}, body


def signed_by_botocore(
    operation: str, body: bytes, credentials: Credentials, region: str, host: str, now: int
) -> dict[str, str]:
    request = AWSRequest(
        method="POST",
        url=f"http://{host}/",
        data=body,
        headers={
            "Host": host,
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        },
    )
    keys = BotocoreCredentials(credentials.access_key, credentials.secret_key, credentials.token)
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        SigV4Auth(keys, "dynamodb", region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@given(st.binary(max_size=300), WORDS, CREDENTIALS, WORDS.map(str.lower), HOSTS, MOMENTS)
def test_signatures_equal_those_of_botocore(
    body: bytes, operation: str, credentials: Credentials, region: str, host: str, now: int
) -> None:
    sent, sent_body = headers_of(Signer(host, region).request(operation, body, credentials, now + 0.9))
    expected = signed_by_botocore(operation, body, credentials, region, host, now)
    assert {name: sent[name] for name in expected} == expected
    assert sent_body == body
    assert sent["content-length"] == str(len(body))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0, 1, 86400]), st.booleans()), max_size=12))
def test_what_is_cached_never_leaks_into_another_request(steps: list[tuple[str, int, bool]]) -> None:
    """One signer serves changing operations, seconds, days and credentials."""
    signer = Signer("h", "r")
    pair = (Credentials("A", "one"), Credentials("A", "two", "T"))
    for operation, later, second in steps:
        credentials, now = pair[second], 1_700_000_000 + later
        sent, _ = headers_of(signer.request(operation, b"{}", credentials, now))
        expected = signed_by_botocore(operation, b"{}", credentials, "r", "h", now)
        assert {name: sent[name] for name in expected} == expected
        assert ("x-amz-security-token" in sent) is second


@pytest.mark.parametrize("bad", ["a\r\nX-Evil: 1", "a b", "", "é"])
def test_credentials_that_would_forge_a_header_are_refused(bad: str) -> None:
    with pytest.raises(CredentialsError):
        Credentials(bad, "secret")
    if bad:
        with pytest.raises(CredentialsError):
            Credentials("A", "secret", bad)


def test_secrets_are_not_shown() -> None:
    shown = repr(Credentials("AKID", "the-secret", "the-token"))
    assert "AKID" in shown
    assert "the-secret" not in shown
    assert "the-token" not in shown
