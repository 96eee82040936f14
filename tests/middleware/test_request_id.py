"""`RequestIdMiddleware`: one id in the response, the problem, the state and the log."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse

from lift_middleware.problems import Problem, problem
from lift_middleware.request_id import RequestIdFilter, RequestIdMiddleware, request_id
from tests.middleware.drivers import DRIVERS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from lift_middleware.asgi import Message, Receive, Scope, Send

log = logging.getLogger("tests.request_id")


async def tell(request: Request) -> Response:
    await asyncio.sleep(0.001)
    log.warning("telling %s", request.state.request_id)
    assert request_id() == request.state.request_id
    return PlainTextResponse(request.state.request_id, headers={"X-Request-ID": "the app's own"})


def fail(request: Request) -> Response:  # a plain route, in a thread
    return problem(409, "no")


async def socket(websocket: WebSocket) -> None:
    if websocket.query_params:
        await Problem(403, "no").refuse(websocket.scope, websocket.send)
        return
    await websocket.accept()
    await websocket.send_text(websocket.state.request_id)
    await websocket.close()


def app(**settings: Any) -> Starlette:
    routes = [Route("/", tell), Route("/fail", fail), WebSocketRoute("/ws", socket)]
    return Starlette(routes=routes, middleware=[Middleware(RequestIdMiddleware, **settings)])


@pytest.mark.parametrize("driver", DRIVERS)
def test_each_request_has_its_own(driver: str) -> None:
    with DRIVERS[driver](app()) as client:
        first, second, failed = client("GET", "/"), client("GET", "/"), client("GET", "/fail")
    assert first.body.decode() == first.headers["x-request-id"] != second.headers["x-request-id"]
    assert len(first.body) == 32
    assert failed.json()["request_id"] == failed.headers["x-request-id"]
    assert request_id() is None


@pytest.mark.parametrize(
    ("brought", "taken"),
    [
        (["01HZX.a-b_c~d+e/f=g@h:i"], True),
        (["a" * 128], True),
        (["a" * 129], False),
        ([""], False),
        (["a b"], False),
        (["a\tb"], False),
        (['"a"'], False),
        (["a;b"], False),
        (["<script>"], False),
        ([b"caf\xe9"], False),
        (["${jndi:ldap://evil}"], False),
        (["a", "b"], False),
        (["a", "a"], False),
    ],
)
def test_an_id_that_is_brought(brought: list[Any], taken: bool) -> None:
    headers = [("x-request-id", value) for value in brought]
    trusting, own = TestClient(app(trust=True)), TestClient(app())
    assert (trusting.get("/", headers=headers).text == brought[0]) == taken
    assert own.get("/", headers=headers).text != brought[0]


def test_there_is_one_header_whatever_the_app_sets() -> None:
    answer = TestClient(app()).get("/")
    assert answer.headers.get_list("x-request-id") == [answer.text]


def test_without_it_problems_have_none() -> None:
    assert b"request_id" not in Problem(404, "x").body()
    assert "request_id" not in TestClient(Starlette(routes=[Route("/", fail)])).get("/").json()


def test_in_a_websocket() -> None:
    client = TestClient(app())
    with client.websocket_connect("/ws") as websocket:
        told = websocket.receive_text()
        accepted: Any = websocket.extra_headers
        assert dict(accepted)[b"x-request-id"] == told.encode()
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/ws?deny=1"):
        pass
    assert denied.value.json()["request_id"] == denied.value.headers["x-request-id"]


def test_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.addFilter(RequestIdFilter())
    try:
        told = TestClient(app()).get("/").text
        log.warning("outside")
    finally:
        caplog.handler.filters.clear()
    ids = {record.getMessage(): vars(record).get("request_id") for record in caplog.records}
    assert ids[f"telling {told}"] == told
    assert ids["outside"] == "-"


async def test_requests_at_once_do_not_mix() -> None:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        before = request_id()
        await asyncio.sleep(0.001)
        assert before == request_id() == scope["state"]["request_id"]
        await Problem(404, "x").send(send)

    bodies: list[bytes] = []

    async def send(message: Message) -> None:
        if "body" in message:
            bodies.append(message["body"])

    async def receive() -> Message:
        raise AssertionError("nobody reads")

    middleware = RequestIdMiddleware(inner)
    await asyncio.gather(*(middleware({"type": "http", "headers": []}, receive, send) for _ in range(50)))
    assert len(set(bodies)) == 50
    await middleware({"type": "http", "headers": []}, receive, send)  # in this very task
    assert request_id() is None


async def test_lifespan_passes_through() -> None:
    seen: list[Scope] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    await RequestIdMiddleware(inner)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}]
