"""Keys from a URL: a server on 127.0.0.1 that rotates, fails, dawdles and lies, and counts who asks."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import UsageError
from lift_middleware import jwks as module
from lift_middleware.jwks import JWKS, SECRET_ALGORITHMS, KeysUnavailable
from lift_middleware.tokens import InvalidToken, TokenVerifier
from tests.middleware.keys import AUDIENCE, ISSUER, jwk, sign

if TYPE_CHECKING:
    from collections.abc import Iterator


class Issuer:
    """An endpoint with a JWK Set that tests change under way."""

    def __init__(self) -> None:
        self.keys: list[Any] = [jwk("RS256", kid="one")]
        self.status = 200
        self.headers: dict[str, str] = {}
        self.raw: bytes | None = None
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0
        self.let_go = threading.Event()
        self.let_go.set()
        lock = threading.Lock()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with lock:
                    issuer.asked += 1
                    issuer.at_once += 1
                    issuer.most_at_once = max(issuer.most_at_once, issuer.at_once)
                issuer.let_go.wait(10)
                body = issuer.raw if issuer.raw is not None else json.dumps({"keys": issuer.keys}).encode()
                try:
                    self.send_response(issuer.status)
                    for name, value in {"content-length": str(len(body)), **issuer.headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # the reader has had enough
                with lock:
                    issuer.at_once -= 1

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()


class Clock:
    """The time of the module, moved by hand."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def verifier(keys: JWKS, algorithms: tuple[str, ...] = ("RS256",)) -> TokenVerifier:
    return TokenVerifier(keys, algorithms=algorithms, issuer=ISSUER, audience=AUDIENCE)


def token(kid: str | None = "one", which: int = 1, algorithm: str = "RS256") -> str:
    return sign(algorithm=algorithm, which=which, header={} if kid is None else {"kid": kid})


async def accepts(verifier: TokenVerifier, token: str) -> bool:
    try:
        await verifier.verify(token)
    except InvalidToken:
        return False
    return True


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in threads
            await asyncio.sleep(0.005)


def test_nothing_is_fetched_before_it_is_needed(issuer: Issuer) -> None:
    keys = verifier(JWKS(issuer.url))
    assert issuer.asked == 0
    assert asyncio.run(accepts(keys, token()))
    assert asyncio.run(accepts(keys, token()))  # on another event loop
    assert not asyncio.run(accepts(keys, token(which=2)))
    assert issuer.asked == 1


async def test_many_at_once_fetch_once_and_block_nobody(issuer: Issuer) -> None:
    keys = verifier(JWKS(issuer.url))
    issuer.let_go.clear()
    waiting = [asyncio.create_task(accepts(keys, token())) for _ in range(50)]
    await until(lambda: issuer.asked)
    before = time.perf_counter()
    await asyncio.sleep(0.05)  # the loop goes on meanwhile
    assert time.perf_counter() - before < 2
    assert not any(task.done() for task in waiting)
    waiting[0].cancel()  # and who gives up takes nobody along
    issuer.let_go.set()
    assert await asyncio.gather(*waiting[1:]) == [True] * 49
    assert (issuer.asked, issuer.most_at_once) == (1, 1)


async def test_a_new_key_is_fetched_when_it_is_first_seen(issuer: Issuer, clock: Clock) -> None:
    keys = verifier(JWKS(issuer.url, floor=10))
    assert await accepts(keys, token())
    issuer.keys.append(jwk("RS256", 2, kid="two"))
    assert not await accepts(keys, token("two", 2)), "the last fetch is not yet `floor` seconds ago"
    assert issuer.asked == 1
    clock.ahead += 11
    assert await accepts(keys, token("two", 2))
    assert await accepts(keys, token())
    assert issuer.asked == 2


async def test_a_key_that_is_withdrawn_serves_no_longer(issuer: Issuer, clock: Clock) -> None:
    keys = verifier(JWKS(issuer.url, lifetime=300))
    assert await accepts(keys, token())
    issuer.keys[:] = [jwk("RS256", 2, kid="two")]
    clock.ahead += 301
    assert await accepts(keys, token())  # it asks for the new ones, and does not wait
    await until(lambda: issuer.asked == 2)
    await until(lambda: keys._source._fetching is None)  # type: ignore[attr-defined]
    assert not await accepts(keys, token())
    assert await accepts(keys, token("two", 2))


async def test_an_issuer_may_withdraw_every_key(issuer: Issuer, clock: Clock) -> None:
    keys = verifier(JWKS(issuer.url))
    assert await accepts(keys, token())
    issuer.keys.clear()
    clock.ahead += 11
    assert not await accepts(keys, token("two", 2))
    assert not await accepts(keys, token())


async def test_made_up_ids_do_not_flood_the_issuer(issuer: Issuer, clock: Clock) -> None:
    keys = verifier(JWKS(issuer.url, floor=10, lifetime=1e6))
    assert await accepts(keys, token())
    forged = [token(f"made-up-{n}", 2) for n in range(40)]
    for _ in range(5):
        clock.ahead += 11
        found = await asyncio.gather(*(accepts(keys, one) for one in forged for _ in range(5)))
        assert not any(found)
    assert issuer.asked == 1 + 5
    assert await accepts(keys, token())


@pytest.mark.parametrize(
    "outage",
    [
        {"status": 500},
        {"status": 404},
        {"status": 204},
        {"raw": b"<html>"},
        {"raw": b"{}"},
        {"raw": b'{"keys": {}}'},
        {"raw": b"[" * 100_000},
        {"raw": b" " * 600_000 + b'{"keys": []}'},
        {"raw": b'{"keys": [', "headers": {"content-length": "1000"}},
    ],
    ids=str,
)
async def test_the_old_keys_serve_while_the_url_cannot_be_read(
    issuer: Issuer, clock: Clock, outage: dict[str, Any]
) -> None:
    keys = verifier(JWKS(issuer.url, lifetime=300, stale=3600, timeout=1))
    assert await accepts(keys, token())
    healthy = vars(issuer).copy()
    vars(issuer).update(outage)
    clock.ahead += 301
    assert await accepts(keys, token())
    await until(lambda: issuer.asked == 2)
    await until(lambda: keys._source._fetching is None)  # type: ignore[attr-defined]
    assert await accepts(keys, token())
    with pytest.raises(KeysUnavailable):  # who knows whether it is good
        await keys.verify(token("two", 2))
    clock.ahead += 3601
    with pytest.raises(KeysUnavailable):
        await keys.verify(token())
    vars(issuer).update({name: healthy[name] for name in outage})
    clock.ahead += 11
    assert await accepts(keys, token())
    assert not await accepts(keys, token("two", 2))


async def test_without_any_keys_nothing_is_told_and_it_is_soon_tried_again(issuer: Issuer, clock: Clock) -> None:
    issuer.status = 503
    keys = verifier(JWKS(issuer.url, floor=60))
    for _ in range(10):
        with pytest.raises(KeysUnavailable):
            await keys.verify(token())
    assert issuer.asked == 1
    issuer.status = 200
    clock.ahead += 1.1
    assert await accepts(keys, token())


async def test_a_slow_answer_is_not_waited_for(issuer: Issuer) -> None:
    keys = verifier(JWKS(issuer.url, timeout=0.2))
    issuer.let_go.clear()
    before = time.monotonic()
    with pytest.raises(KeysUnavailable):
        await keys.verify(token())
    assert time.monotonic() - before < 3


async def test_what_no_socket_times_out_is_not_waited_for_either(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = threading.Event()  # looking up the name of a host has no timeout
    monkeypatch.setattr(JWKS, "_get", lambda self: resolved.wait(5) and b"")
    keys = verifier(JWKS("https://issuer.example/jwks", timeout=0.1))
    before = time.monotonic()
    with pytest.raises(KeysUnavailable):
        await keys.verify(token())
    assert time.monotonic() - before < 3
    resolved.set()


async def test_nobody_listens(issuer: Issuer) -> None:
    issuer.close()
    with pytest.raises(KeysUnavailable):
        await verifier(JWKS(issuer.url)).verify(token())


async def test_a_redirect_is_not_followed(issuer: Issuer) -> None:
    other = Issuer()
    issuer.status, issuer.headers = 302, {"location": other.url}
    with pytest.raises(KeysUnavailable):
        await verifier(JWKS(issuer.url)).verify(token())
    other.close()
    assert other.asked == 0


async def test_what_is_no_public_signing_key_is_passed_over(issuer: Issuer) -> None:
    oct_key = {"kty": "oct", "k": "c2VjcmV0" * 12, "kid": "one"}
    odd: list[Any] = [None, 1, "key", {}, {"kty": "RSA"}, {"kty": ["RSA"]}, {"kty": "RSA", "n": "AQ", "e": "AQAB"}]
    issuer.keys = [*odd, oct_key, jwk("RS256", 2, kid="one", use="enc"), jwk("RS256", 3, kid="one", d="AQ")]
    issuer.keys += [jwk("ES256", kid="one"), jwk("RS256", kid="one"), jwk("RS256", 4, kid=5)]
    keys = verifier(JWKS(issuer.url), ("RS256", "ES256"))
    assert await accepts(keys, token())
    assert await accepts(keys, token(algorithm="ES256"))
    for which in (2, 3, 4):
        assert not await accepts(keys, token(which=which))
    assert not await accepts(keys, sign(algorithm="HS256", key="secret" * 12, header={"kid": "one"}))
    for algorithm in SECRET_ALGORITHMS:  # not only does nobody ask for them, they are not there
        assert await keys._source.find("one", algorithm) == []


async def test_a_token_without_a_kid_means_the_only_key(issuer: Issuer, clock: Clock) -> None:
    keys = verifier(JWKS(issuer.url, floor=10))
    assert await accepts(keys, token(None))
    issuer.keys.append(jwk("RS256", 2, kid="two"))
    clock.ahead += 11
    assert await accepts(keys, token("two", 2))
    assert not await accepts(keys, token(None))


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/jwks",
        "http://127.0.0.1.evil.example/jwks",
        "http://127.0.0.1@evil.example/jwks",
        "file:///etc/passwd",
        "ftp://issuer.example/jwks",
        "data:application/json,{}",
        "issuer.example/jwks",
        "",
    ],
)
def test_only_https(url: str) -> None:
    with pytest.raises(UsageError, match="https"):
        JWKS(url)
    JWKS("https://issuer.example/jwks")


@pytest.mark.parametrize("name", ["lifetime", "floor", "stale", "timeout"])
def test_times_are_above_zero(name: str) -> None:
    for wrong in (0, -1, float("nan")):
        with pytest.raises(UsageError, match=name):
            JWKS("https://issuer.example/jwks", **{name: wrong})
