from __future__ import annotations

import asyncio
import datetime
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from lift_dynamorm.errors import CredentialsError, UsageError
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.transport.credentials import (
    Credentials,
    CredentialsProvider,
    RefreshingCredentials,
    StaticCredentials,
    default_credentials,
    from_container,
    is_loopback,
)
from lift_dynamorm.transport.endpoint import (
    configured_region,
    environment_endpoint,
    parse_endpoint,
    regional_endpoint,
)
from lift_dynamorm.transport.http import HttpTransport


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No AWS setting from outside, and a home without AWS's files."""
    import os

    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


@pytest.fixture(params=["get", "aget"])
def read(request: pytest.FixtureRequest) -> Any:
    def reader(provider: CredentialsProvider) -> Credentials:
        return provider.get() if request.param == "get" else asyncio.run(provider.aget())

    return reader


# Where they come from


def test_the_environment_comes_first_and_needs_no_botocore(
    read: Any, monkeypatch: pytest.MonkeyPatch, bare: Path
) -> None:
    write(bare / ".aws/credentials", "[default]\naws_access_key_id=FILE\naws_secret_access_key=s\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("AWS_PROFILE", "other")
    monkeypatch.setitem(sys.modules, "botocore", None)
    provider = default_credentials()
    assert provider.current(time.time()) is None
    found = read(provider)
    assert found == Credentials("ENV", "secret", "token")
    assert provider.current(time.time() + 1e9) is found


def test_half_a_pair_is_an_error(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENV")
    with pytest.raises(CredentialsError, match="AWS_SECRET_ACCESS_KEY"):
        read(default_credentials())


def test_the_environment_may_say_when_they_end(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(hours=1)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", ends.strftime("%Y-%m-%dT%H:%M:%SZ"))
    provider = default_credentials()
    assert read(provider).expires_at == ends.timestamp()
    assert provider.current(ends.timestamp() - 1000) is not None
    assert provider.current(ends.timestamp() - 800) is None


def test_profiles_go_through_botocore(read: Any, monkeypatch: pytest.MonkeyPatch, bare: Path) -> None:
    write(
        bare / ".aws/credentials",
        "[default]\naws_access_key_id=FILE\naws_secret_access_key=s\n"
        "[other]\naws_access_key_id=OTHER\naws_secret_access_key=s\n",
    )
    assert read(default_credentials()) == Credentials("FILE", "s")
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert read(default_credentials()) == Credentials("OTHER", "s")
    assert read(default_credentials(local=True)) == Credentials("OTHER", "s")


def test_a_profile_given_as_an_argument_beats_the_environment(
    read: Any, monkeypatch: pytest.MonkeyPatch, bare: Path
) -> None:
    write(bare / ".aws/credentials", "[other]\naws_access_key_id=OTHER\naws_secret_access_key=s\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert read(default_credentials(profile="other")) == Credentials("OTHER", "s")
    with pytest.raises(CredentialsError, match="missing"):
        read(default_credentials(profile="missing"))


def test_credentials_that_botocore_renews_are_asked_for_again(read: Any, bare: Path) -> None:
    ends = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).isoformat()
    answer = {"Version": 1, "AccessKeyId": "P", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": ends}
    write(bare / "answer.json", json.dumps(answer))
    write(bare / ".aws/config", f"[default]\ncredential_process = cat {bare}/answer.json\n")
    provider = default_credentials()
    found = read(provider)
    assert (found.access_key, found.token) == ("P", "t")
    assert provider.current(time.time() + 30) is found
    assert provider.current(time.time() + 61) is None


def test_none_found_says_what_to_set(read: Any) -> None:
    with pytest.raises(CredentialsError, match=r"AWS_ACCESS_KEY_ID.*AWS_PROFILE.*role"):
        read(default_credentials())


def test_without_botocore_it_says_so(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    with pytest.raises(CredentialsError, match=r"AWS_ACCESS_KEY_ID.*pip install botocore"):
        read(default_credentials())


def test_an_engine_on_this_machine_needs_none(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(default_credentials(local=True)) == Credentials("local", "local")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert read(default_credentials(local=True)) == Credentials("ENV", "secret")


# The container


@contextmanager
def container(*answers: tuple[int, Any]) -> Iterator[tuple[str, list[Any]]]:
    seen: list[Any] = []
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("Authorization")))
            status, content = left.pop(0) if len(left) > 1 else left[0]
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


ROLE = {"AccessKeyId": "ROLE", "SecretAccessKey": "s", "Token": "t", "Expiration": "2100-01-01T00:00:00Z"}
ROLE_CREDENTIALS = Credentials("ROLE", "s", "t", 4102444800.0)


def test_the_container_is_asked_without_botocore(read: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(tmp_path / "token", "from-file")
    monkeypatch.setitem(sys.modules, "botocore", None)
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "from-variable")
    with container((200, ROLE)) as (url, seen):
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/role?id=1")
        assert read(default_credentials()) == ROLE_CREDENTIALS
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
        assert read(default_credentials()) == ROLE_CREDENTIALS
        assert seen == [("/role?id=1", "from-variable"), ("/role?id=1", "from-file")]


def test_files_come_before_the_container_as_with_botocore(
    read: Any, monkeypatch: pytest.MonkeyPatch, bare: Path
) -> None:
    write(bare / ".aws/credentials", "[default]\naws_access_key_id=FILE\naws_secret_access_key=s\n")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/")
    assert read(default_credentials()) == Credentials("FILE", "s")


def test_a_container_that_stumbles_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with container((500, {}), (200, ROLE)) as (url, seen):
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        assert from_container() == ROLE_CREDENTIALS
        assert len(seen) == 2


def test_a_container_that_refuses_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    with container((403, {"message": "not yours"})) as (url, _):
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        with pytest.raises(CredentialsError, match=r"403.*not yours"):
            from_container()


def test_an_incomplete_answer_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with container((200, {"AccessKeyId": "A", "SecretAccessKey": "s"})) as (url, _):
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        with pytest.raises(CredentialsError, match="Expiration"):
            from_container()


@pytest.mark.parametrize(
    "url", ["http://example.com/", "http://127.evil.com/", "http://169.254.1.1/", "ftp://localhost/"]
)
def test_credentials_are_not_fetched_from_strangers(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
    with pytest.raises(CredentialsError, match="AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        from_container()


def test_a_token_that_would_forge_a_header_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\r\nX-Evil: 1")
    with pytest.raises(CredentialsError, match="line break"):
        from_container()


# When they are renewed


class Source:
    """Credentials that last an hour, on a clock that tests move."""

    def __init__(self, *, fail: bool = False, slow: float = 0) -> None:
        self.now = 1000.0
        self.loads = 0
        self.fail = fail
        self.slow = slow
        self.gate = threading.Event()
        self.gate.set()
        self.lasts = 3600.0

    def clock(self) -> float:
        return self.now

    def load(self) -> Credentials:
        self.loads += 1
        time.sleep(self.slow)
        assert self.gate.wait(5), "a caller waits for a renewal that is not due yet"
        if self.fail:
            raise OSError("the role has gone")
        return Credentials(f"K{self.loads}", "s", "t", self.now + self.lasts)

    def provider(self) -> RefreshingCredentials:
        return RefreshingCredentials(self.load, clock=self.clock)


def test_they_are_kept_until_shortly_before_their_end(read: Any) -> None:
    source = Source()
    provider = source.provider()
    first = read(provider)
    source.now += 2600
    assert provider.current(source.now) is first
    source.now += 101
    assert provider.current(source.now) is None
    read(provider)
    source.now += 0.1
    assert provider.current(source.now) is not None
    assert read(provider).access_key == "K2"
    assert source.loads == 2


def test_early_renewal_holds_nobody_up() -> None:
    source = Source()
    provider = source.provider()

    async def scenario() -> None:
        first = await provider.aget()
        source.now += 3000
        source.gate.clear()
        assert await asyncio.gather(*(provider.aget() for _ in range(20))) == [first] * 20
        source.gate.set()
        for _ in range(500):
            if provider.current(source.now) is not None:
                break
            await asyncio.sleep(0.01)
        assert (await provider.aget()).access_key == "K2"
        assert source.loads == 2

    asyncio.run(scenario())


def test_one_load_for_all_tasks() -> None:
    source = Source(slow=0.05)
    provider = source.provider()

    async def scenario() -> None:
        found = await asyncio.gather(*(provider.aget() for _ in range(50)))
        assert {one.access_key for one in found} == {"K1"}

    asyncio.run(scenario())
    assert source.loads == 1


def test_a_cancelled_task_does_not_cancel_the_load_of_the_others() -> None:
    source = Source(slow=0.1)
    provider = source.provider()

    async def scenario() -> None:
        first, second = asyncio.create_task(provider.aget()), asyncio.create_task(provider.aget())
        await asyncio.sleep(0.02)
        first.cancel()
        assert (await second).access_key == "K1"

    asyncio.run(scenario())
    assert source.loads == 1


def test_one_load_for_all_threads() -> None:
    source = Source(slow=0.05)
    provider = source.provider()
    found: list[Credentials] = []
    threads = [threading.Thread(target=lambda: found.append(provider.get())) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.access_key for one in found} == {"K1"}
    assert len(found) == 10
    assert source.loads == 1


def test_the_old_ones_serve_while_they_are_good(read: Any, caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    provider = source.provider()
    first = read(provider)
    source.fail = True
    source.now += 3000
    with caplog.at_level(logging.WARNING, "lift_dynamorm.credentials"):
        assert read(provider) is first
        deadline = time.monotonic() + 5
        while provider.current(source.now) is None and time.monotonic() < deadline:
            time.sleep(0.01)
    assert provider.current(source.now) is first
    assert source.loads == 2
    assert "could not be renewed" in caplog.text
    source.now += 599.5
    assert read(provider) is first
    source.now += 1
    with pytest.raises(CredentialsError, match="the role has gone"):
        read(provider)
    source.fail = False
    assert read(provider).access_key == "K5"


def test_short_lived_credentials_do_not_load_at_every_request(read: Any) -> None:
    source = Source()
    source.lasts = 300
    provider = source.provider()
    found = read(provider)
    assert provider.current(source.now + 59) is found
    assert provider.current(source.now + 61) is None


def test_new_credentials_that_have_expired_are_an_error(read: Any) -> None:
    source = Source()
    source.lasts = -1
    with pytest.raises(CredentialsError, match="expired"):
        read(source.provider())


def test_static_credentials_stay(read: Any) -> None:
    credentials = Credentials("A", "s", expires_at=0)
    assert read(StaticCredentials(credentials)) is credentials
    assert StaticCredentials(credentials).current(1e12) is credentials


# Region and endpoint


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("eu-west-1", "https://dynamodb.eu-west-1.amazonaws.com"),
        ("us-gov-west-1", "https://dynamodb.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "https://dynamodb.cn-north-1.amazonaws.com.cn"),
        ("us-iso-east-1", "https://dynamodb.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", "https://dynamodb.us-isob-east-1.sc2s.sgov.gov"),
        ("eusc-de-east-1", "https://dynamodb.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_regional_endpoints_are_those_of_botocore(region: str, url: str) -> None:
    import botocore.session

    assert regional_endpoint(region) == url
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "aws_session_token": "c"}
    client = botocore.session.Session().create_client("dynamodb", region, **keys)
    assert client.meta.endpoint_url == url
    client.close()


@pytest.mark.parametrize("region", ["evil.com/", "a b", "x@y", ""])
def test_a_region_cannot_name_another_host(region: str) -> None:
    with pytest.raises(UsageError):
        regional_endpoint(region)


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "loopback"),
    [
        ("https://dynamodb.eu-west-1.amazonaws.com", "dynamodb.eu-west-1.amazonaws.com", 443, None, False),
        ("http://localhost:8000/", "localhost", 8000, "localhost:8000", True),
        ("http://[::1]:8000", "::1", 8000, "[::1]:8000", True),
        ("http://127.0.0.1", "127.0.0.1", 80, "127.0.0.1", True),
        ("http://127.0.0.1:80", "127.0.0.1", 80, "127.0.0.1", True),
        ("https://127.0.0.1:8443", "127.0.0.1", 8443, "127.0.0.1:8443", False),
        ("http://dynamodb:8000", "dynamodb", 8000, "dynamodb:8000", False),
    ],
)
def test_endpoints(url: str, host: str, port: int, authority: str | None, loopback: bool) -> None:
    endpoint = parse_endpoint(url)
    assert (endpoint.host, endpoint.port, endpoint.authority) == (host, port, authority or host)
    assert endpoint.loopback is loopback


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "ftp://x", "http://", "http://h/path", "http://u:p@h", "http://h:99999", "http://h?q=1"],
)
def test_endpoints_that_cannot_be_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="endpoint"):
        parse_endpoint(url)


def test_the_endpoint_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment_endpoint() is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all")
    assert environment_endpoint() == "http://all"
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://one")
    assert environment_endpoint() == "http://one"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert environment_endpoint() is None


def test_loopback_is_not_guessed_from_the_look_of_a_name() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.1.2.3", "::1")))
    assert not any(map(is_loopback, ("127.evil.com", "10.0.0.1", "localhost.evil.com", "", "0x7f.1")))


def test_without_a_region_it_says_what_to_set() -> None:
    for endpoint in (None, "https://dynamodb.example"):
        transport = HttpTransport.from_environment(endpoint)
        with pytest.raises(UsageError, match=r"AWS_REGION"):
            drive(transport.blocking.send("ListTables", {}))


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_region_of_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "eu-west-1")
    transport = HttpTransport.from_environment()
    assert not transport._wire.needs_files
    assert transport._wire.resolve().endpoint.authority == "dynamodb.eu-west-1.amazonaws.com"


def test_the_region_of_the_configuration_file_is_read_at_the_first_request(
    monkeypatch: pytest.MonkeyPatch, bare: Path
) -> None:
    write(bare / ".aws/config", "[default]\nregion = eu-west-3\n[profile other]\nregion = eu-west-2\n")
    transport = HttpTransport.from_environment()
    assert transport._wire.needs_files
    assert transport._wire.resolve().endpoint.host == "dynamodb.eu-west-3.amazonaws.com"
    assert (
        HttpTransport.from_environment(profile="other")._wire.resolve().endpoint.host.startswith("dynamodb.eu-west-2")
    )
    assert configured_region(None) == "eu-west-3"
    write(bare / ".aws/config", "[default]\n")
    with pytest.raises(UsageError, match="AWS_REGION"):
        configured_region(None)


def test_the_argument_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere:1")
    wire = HttpTransport.from_environment("http://127.0.0.1:8000", "eu-north-1")._wire
    assert wire.resolve().endpoint.authority == "127.0.0.1:8000"
    assert wire._region == "eu-north-1"
    assert HttpTransport.from_environment()._wire.resolve().endpoint.authority == "elsewhere:1"


def test_an_endpoint_on_this_machine_needs_no_region() -> None:
    wire = HttpTransport.from_environment("http://127.0.0.1:8000")._wire
    assert wire._region == "us-east-1"
    assert wire.credentials.get() == Credentials("local", "local")
