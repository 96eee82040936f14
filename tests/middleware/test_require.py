"""`require_scope`, `require_role`, `require_principal`: as decorators and as dependencies."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from lift_dynamorm import UsageError
from lift_middleware.handlers import use_problems
from lift_middleware.jwt import JWTMiddleware
from lift_middleware.principals import Principal
from lift_middleware.require import require_principal, require_role, require_scope
from tests.middleware.keys import AUDIENCE, ISSUER, claims, public_key, sign

SETTINGS: dict[str, Any] = {
    "keys": public_key("RS256"),
    "algorithms": ["RS256"],
    "issuer": ISSUER,
    "audience": AUDIENCE,
    "optional": True,
}


@require_scope("orders:read", "orders:write")
async def write(request: Request) -> Response:
    return PlainTextResponse("written")


@require_role("admin", "owner")
def administer(request: Request) -> Response:
    return PlainTextResponse("administered")


@require_principal()
async def me(request: Request) -> Response:
    return PlainTextResponse("me")


class Endpoint(HTTPEndpoint):
    @require_scope("orders:read")
    async def get(self, request: Request) -> Response:
        return PlainTextResponse("read")


@require_scope("orders:read")
async def watch(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


ROUTES = [
    Route("/write", write),
    Route("/administer", administer),
    Route("/me", me),
    Route("/endpoint", Endpoint),
    WebSocketRoute("/watch", watch),
]


def starlette() -> Starlette:
    app = Starlette(routes=ROUTES, middleware=[Middleware(JWTMiddleware, **SETTINGS)])
    use_problems(app)
    return app


def fastapi() -> FastAPI:
    app = FastAPI(middleware=[Middleware(JWTMiddleware, **SETTINGS)])
    use_problems(app)

    @app.get("/write")
    async def write_it(principal: Annotated[Principal, Depends(require_scope("orders:read", "orders:write"))]) -> str:
        return principal.subject

    @app.get("/administer", dependencies=[Depends(require_role("admin", "owner"))])
    def administer_it() -> str:
        return "administered"

    @app.get("/me")
    @require_principal()
    async def me_too(request: Request, times: int = 1) -> str:
        return "me" * times

    @app.websocket("/watch")
    async def watch_it(websocket: WebSocket, _: Annotated[Principal, Depends(require_scope("orders:read"))]) -> None:
        await websocket.accept()
        await websocket.close()

    return app


@pytest.fixture(params=[starlette, fastapi])
def client(request: pytest.FixtureRequest) -> TestClient:
    return TestClient(request.param())


def bearer(**changed: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {sign(claims(**changed))}"}


CASES: list[tuple[str, dict[str, Any], bool]] = [
    ("/write", {"scope": "orders:read orders:write other"}, True),
    ("/write", {"scope": "orders:write"}, False),
    ("/write", {"scope": "orders:read orders:writer"}, False),
    ("/write", {"scope": "orders:read,orders:write"}, False),
    ("/write", {"scope": "ORDERS:READ ORDERS:WRITE"}, False),
    ("/write", {"roles": ["orders:read", "orders:write"]}, False),
    ("/write", {}, False),
    ("/administer", {"roles": ["owner"]}, True),
    ("/administer", {"roles": "admin"}, True),
    ("/administer", {"roles": ["administrator"]}, False),
    ("/administer", {"roles": "admin owner"}, False),
    ("/administer", {"roles": [["admin"]]}, False),
    ("/administer", {"scope": "admin"}, False),
    ("/me", {}, True),
]


@pytest.mark.parametrize(("path", "changed", "allowed"), CASES)
def test_who_may(client: TestClient, path: str, changed: dict[str, Any], allowed: bool) -> None:
    answer = client.get(path, headers=bearer(**changed))
    assert answer.status_code == (200 if allowed else 403)
    nobody = client.get(path)
    assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")
    assert nobody.json()["status"] == 401


def test_what_is_missing_is_told(client: TestClient) -> None:
    answer = client.get("/write", headers=bearer())
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="orders:read orders:write"'
    assert answer.headers["content-type"] == "application/problem+json"
    answer = client.get("/administer", headers=bearer())
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope"', "roles are the app's own"


def test_methods_of_an_endpoint() -> None:
    client = TestClient(starlette())
    assert client.get("/endpoint", headers=bearer(scope="orders:read")).text == "read"
    assert client.get("/endpoint", headers=bearer()).status_code == 403


def test_a_websocket_is_closed(client: TestClient) -> None:
    with client.websocket_connect("/watch", headers=bearer(scope="orders:read")) as websocket:
        assert websocket.receive()["type"] == "websocket.close"
    for headers, code in (({}, 4401), (bearer(), 4403)):
        with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/watch", headers=headers):
            pass
        assert closed.value.code == code


def test_the_other_parameters_of_a_route_stay() -> None:
    assert TestClient(fastapi()).get("/me?times=2", headers=bearer()).json() == "meme"


def test_without_the_middleware_nobody_gets_in() -> None:
    for app in (Starlette(routes=ROUTES), Starlette(routes=ROUTES, middleware=[])):
        for path in ("/write", "/administer", "/me"):
            with pytest.raises(UsageError, match="JWTMiddleware"):
                TestClient(app).get(path, headers=bearer(scope="orders:read orders:write", roles=["admin"]))


def test_a_route_without_a_request_is_found_where_it_is_written() -> None:
    with pytest.raises(UsageError, match=r"no parameter called request.*Depends"):

        @require_scope("orders:read")
        async def route(id: str) -> None:
            raise AssertionError


async def test_a_guarded_route_that_is_called_without_a_request_does_not_run() -> None:
    with pytest.raises(UsageError, match="without its request"):
        await write(object())  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [(), ("",), ("a b",), ('a"',), ("a\\",), ("a\r\nx: y",), ("ä",)])
def test_scopes_that_cannot_be(wrong: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="require_scope"):
        require_scope(*wrong)


@pytest.mark.parametrize("wrong", [(), ("",)])
def test_roles_that_cannot_be(wrong: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="require_role"):
        require_role(*wrong)
