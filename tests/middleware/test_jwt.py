"""`JWTMiddleware`: who gets in, and what the others are told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from lift_dynamorm import UsageError
from lift_middleware.jwks import JWKS
from lift_middleware.jwt import JWTMiddleware, bearer_token, token_from_cookie
from tests.middleware.drivers import DRIVERS
from tests.middleware.keys import AUDIENCE, ISSUER, claims, public_key, sign

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from lift_middleware.asgi import Message, Receive, Scope, Send


async def whoami(request: Request) -> Response:
    principal = request.state.principal
    return JSONResponse(None if principal is None else principal.subject)


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.state.principal.subject)
    await websocket.close()


def app(**settings: Any) -> Starlette:
    given = {"keys": public_key("RS256"), "algorithms": ["RS256"], "issuer": ISSUER, "audience": AUDIENCE} | settings
    routes = [Route("/", whoami), WebSocketRoute("/ws", socket)]
    return Starlette(routes=routes, middleware=[Middleware(JWTMiddleware, **given)])


def bearer(token: str, scheme: str = "Bearer") -> dict[str, str]:
    return {"authorization": f"{scheme} {token}"}


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_principal_is_on_the_request(driver: str) -> None:
    with DRIVERS[driver](app()) as client:
        assert client("GET", "/", headers=bearer(sign())).json() == "ann"
        assert client("GET", "/", headers=bearer(sign(), "bearer")).json() == "ann"
        assert client("GET", "/", headers=bearer(sign(which=2))).status == 401
        assert client("GET", "/").status == 401


def test_what_the_client_is_told() -> None:
    with TestClient(app()) as client:
        missing = client.get("/")
        expired = client.get("/", headers=bearer(sign(claims(exp=1))))
        forged = client.get("/", headers=bearer(sign(which=2)))
        other = client.get("/", headers=bearer(sign(claims(aud="other"))))
    for answer in (missing, expired, forged, other):
        assert answer.status_code == answer.json()["status"] == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"
    assert missing.headers["www-authenticate"] == "Bearer"
    description = 'error_description="The token has expired."'
    assert expired.headers["www-authenticate"] == f'Bearer error="invalid_token", {description}'
    assert expired.json()["detail"] == "The token has expired."
    assert "expired" not in forged.text
    assert forged.content == other.content, "what is wrong with a token is for the log"
    assert forged.headers["www-authenticate"].startswith('Bearer error="invalid_token"')


def test_a_forged_token_is_not_told_that_it_has_expired() -> None:
    with TestClient(app()) as client:
        assert "expired" not in client.get("/", headers=bearer(sign(claims(exp=1), which=2))).text


def test_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lift_middleware")
    token = sign(claims(aud="other"))
    with TestClient(app()) as client:
        client.get("/%0aINFO%20forged", headers=bearer(token))
    assert "its aud is none of audience=" in caplog.text
    assert token not in caplog.text
    assert "\nINFO forged" not in caplog.text


def test_two_tokens_are_none() -> None:
    good, evil = f"Bearer {sign()}", f"Bearer {sign(which=2)}"
    with TestClient(app(optional=True)) as client:
        for both in ((good, evil), (evil, good), (good, good), (good, "Basic eDp5")):
            answer = client.get("/", headers=[("authorization", value) for value in both])
            assert answer.status_code == 400
            assert 'error="invalid_request"' in answer.headers["www-authenticate"]


def test_optional_lets_nobody_in_and_nothing_bad() -> None:
    with TestClient(app(optional=True)) as client:
        assert client.get("/").json() is None
        assert client.get("/", headers={"authorization": "Basic eDp5"}).json() is None
        assert client.get("/", headers=bearer(sign())).json() == "ann"
        for bad in (bearer(sign(which=2)), bearer(sign(claims(exp=1))), bearer(""), {"authorization": "Bearer"}):
            assert client.get("/", headers=bad).status_code == 401


def test_a_token_in_the_query_is_not_looked_at() -> None:
    with TestClient(app()) as client:
        assert client.get("/", params={"access_token": sign()}).status_code == 401


def test_a_cookie() -> None:
    cookies = token_from_cookie("session")
    with TestClient(app(token=cookies)) as client:
        assert client.get("/", headers={"cookie": f"a=b; session={sign()}; xsession=1"}).json() == "ann"
        assert client.get("/", headers={"cookie": f"xsession={sign()}"}).status_code == 401
        assert client.get("/", headers=bearer(sign())).status_code == 401
        tossed = f"session={sign()}; session={sign(which=2)}"
        assert client.get("/", headers={"cookie": tossed}).status_code == 400
        assert client.get("/", headers=[("cookie", f"session={sign()}"), ("cookie", "session=x")]).status_code == 400
    with TestClient(app(token=lambda scope: bearer_token(scope) or cookies(scope))) as client:
        assert client.get("/", headers={"cookie": f"session={sign()}"}).json() == "ann"
        assert client.get("/", headers=bearer(sign())).json() == "ann"
    for wrong in ("", "a b", "a=b", "a;b", "a\n"):
        with pytest.raises(UsageError, match="cookie"):
            token_from_cookie(wrong)


def test_keys_that_cannot_be_fetched_are_503() -> None:
    with TestClient(app(keys=JWKS("http://127.0.0.1:1/jwks", timeout=1))) as client:
        answer = client.get("/", headers=bearer(sign()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "127.0.0.1" not in answer.text


def test_a_websocket_is_denied_with_a_problem() -> None:
    with TestClient(app()) as client:
        with client.websocket_connect("/ws", headers=bearer(sign())) as websocket:
            assert websocket.receive_text() == "ann"
        with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/ws"):
            pass
    assert denied.value.status_code == 401
    assert denied.value.headers["www-authenticate"] == "Bearer"
    assert denied.value.headers["content-type"] == "application/problem+json"


def test_a_websocket_is_closed_where_the_server_cannot_deny_it() -> None:
    inner = app()

    async def without_denials(scope: Scope, receive: Receive, send: Send) -> None:
        scope.pop("extensions", None)
        await inner(scope, receive, send)

    client = TestClient(without_denials)
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/ws"):
        pass
    assert (closed.value.code, closed.value.reason) == (4401, "The request brings no token.")


async def test_lifespan_passes_through_and_a_stale_principal_does_not() -> None:
    seen: list[Scope] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def receive() -> Message:
        raise AssertionError("nobody reads")

    async def send(message: Message) -> None:
        raise AssertionError("nobody answers")

    settings: Any = {"keys": public_key("RS256"), "algorithms": ["RS256"], "issuer": ISSUER, "audience": AUDIENCE}
    middleware = JWTMiddleware(inner, optional=True, **settings)
    await middleware({"type": "lifespan"}, receive, send)
    state = {"principal": "left over"}
    await middleware({"type": "http", "path": "/", "headers": [], "state": state}, receive, send)
    assert "state" not in seen[0]
    assert seen[1]["state"]["principal"] is None


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([(b"authorization", b"Bearer abc")], "abc"),
        ([(b"Authorization", b"BEARER   abc ")], "abc"),
        ([(b"authorization", b"Bearer\tabc")], None),
        ([(b"authorization", b"Bearerabc")], None),
        ([(b"authorization", b"Basic abc")], None),
        ([(b"authorization", b"")], None),
        ([(b"x-authorization", b"Bearer abc")], None),
        ([], None),
    ],
)
def test_where_the_token_is_read(headers: list[tuple[bytes, bytes]], token: str | None) -> None:
    read: Callable[[Scope], str | None] = bearer_token
    assert read({"headers": headers}) == token
