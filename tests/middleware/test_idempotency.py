"""`IdempotencyMiddleware`: one effect a key, and the same answer to all who ask."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import Field
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient

from lift_dynamorm import TTL, Database, Model, UsageError, new_id
from lift_dynamorm.transport.faults import (
    Conflict,
    DropAfterSend,
    Fault,
    FaultTransport,
    InternalError,
    On,
    RecordingTransport,
    Throttle,
)
from lift_dynamorm.transport.local import LocalTransport
from lift_dynamorm.transport.retry import RetryTransport
from lift_middleware import DynamORMMiddleware, tenant_from_header
from lift_middleware.idempotency import IdempotencyMiddleware, IdempotencyRecord, _Claim, keeps
from lift_middleware.modes import immediate, read_only, transactional
from tests.conftest import unique_tables
from tests.middleware.drivers import DRIVERS, Answer, in_process
from tests.wire import ValidatingTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from lift_dynamorm.transport import Transport
    from lift_middleware.asgi import ASGIApp, Message, Receive, Scope, Send
    from tests.conftest import Engines

KEY = {"idempotency-key": '"8e03978e-40d5"'}


class Order(Model, table="app", pk="ORDER#{id}", sk="-"):
    id: str
    note: str = ""


class Replay(IdempotencyRecord, table="app", pk="IDEMPOTENCY#{id}", sk="-"):
    pass


class World:
    """A database, an app on it whose every call of a route is another order, and a clock that can be moved."""

    def __init__(self, transport: Transport | None = None, *faults: On, timeout: float = 10.0, **settings: Any) -> None:
        self.recorded = RecordingTransport(ValidatingTransport(transport or LocalTransport()))
        names = unique_tables()
        self.calm = Database(transport=RetryTransport(self.recorded), table_names=names)
        faulty = FaultTransport(self.recorded, list(faults))
        retrying = RetryTransport(faulty, timeout=timeout, base=0.001)
        self.db = Database(transport=retrying, table_names=names, now=self.now)
        self.calm.sync.create_tables(Order, Replay)
        self.recorded.calls.clear()
        self.later = timedelta()
        self.calls = 0
        self.pause = 0.0
        self.entered = asyncio.Event()
        self.leave = asyncio.Event()
        self.background: list[int] = []
        self.settings = settings

    def now(self) -> datetime:
        return datetime.now(UTC) + self.later

    def app(self, *more: Route | WebSocketRoute, inside: tuple[Middleware, ...] = (), **settings: Any) -> Starlette:
        routes = [
            Route("/orders", self.order, methods=["GET", "HEAD", "POST", "PATCH", "PUT"]),
            Route("/other", self.order, methods=["POST"]),
            Route("/status/{status:int}", self.status, methods=["POST"]),
            Route("/raise", self.raises, methods=["POST"]),
            Route("/wait", self.wait, methods=["POST"]),
            Route("/long/{size:int}", self.long, methods=["POST"]),
            Route("/stream", self.stream, methods=["POST"]),
            WebSocketRoute("/ws", self.websocket),
            *more,
        ]
        mine = {"database": self.db, "record": Replay, **self.settings, **settings}
        tenant = tenant_from_header("x-tenant", trusted=True) if mine.pop("tenants", False) else None
        retries = mine.pop("conflict_retries", 0)
        middleware = [
            Middleware(DynamORMMiddleware, database=self.db, tenant=tenant, conflict_retries=retries),
            Middleware(IdempotencyMiddleware, **mine),
            *inside,
        ]
        return Starlette(routes=routes, middleware=middleware)

    def orders(self, tenant: str | None = None) -> int:
        session = self.calm.sync.session(tenant) if tenant else self.calm.sync.unscoped("a test counts")
        return session.scan(Order).count() if tenant is None else len(session.scan(Order).all())

    def records(self) -> list[Replay]:
        return self.calm.sync.unscoped("a test looks").scan(Replay).include_expired().all()

    async def _create(self, request: Request) -> Order:
        self.calls += 1
        note = (await request.body()).decode()
        return await request.state.db.create(Order(id=new_id(), note=note))  # type: ignore[no-any-return]  # state is Any

    async def order(self, request: Request) -> Response:
        order = await self._create(request)
        await asyncio.sleep(self.pause)
        call = self.calls
        headers = {"Location": f"/orders/{order.id}", "X-Twice": "a"}
        response = JSONResponse(
            order.model_dump(),
            201,
            headers,
            background=BackgroundTask(lambda: self.background.append(call)),
        )
        response.headers.append("X-Twice", "\xe9".encode().decode("latin-1"))
        return response

    async def status(self, request: Request) -> Response:
        await self._create(request)
        return PlainTextResponse(f"call {self.calls}", request.path_params["status"])

    async def raises(self, request: Request) -> Response:
        await self._create(request)
        raise RuntimeError("a bug in a route")

    async def wait(self, request: Request) -> Response:
        order = await self._create(request)
        if self.calls == 1:
            self.entered.set()
            await self.leave.wait()
        return JSONResponse(order.model_dump(), 201)

    async def long(self, request: Request) -> Response:
        await self._create(request)
        return Response(b"x" * request.path_params["size"], 201)

    async def stream(self, request: Request) -> Response:
        await self._create(request)

        async def body() -> Any:
            yield b"first "
            self.entered.set()
            await self.leave.wait()
            yield b"second"

        return StreamingResponse(body(), 201)

    async def websocket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("here")
        await websocket.close()


@pytest.fixture(params=["embedded", "dynoxide"])
def world(request: pytest.FixtureRequest, engines: Engines) -> World:
    return World(engines.transport(request.param))


@pytest.fixture(params=DRIVERS)
def serve(request: pytest.FixtureRequest) -> Callable[[ASGIApp], Any]:
    driver: Callable[[ASGIApp], Any] = DRIVERS[request.param]
    return driver


def same(first: Answer, again: Answer) -> None:
    """Hold a replayed answer against the first."""
    marked = {**first.headers, "idempotent-replayed": "true"}
    volatile = ("date", "server")
    assert again.status == first.status
    assert again.body == first.body
    assert {k: v for k, v in again.headers.items() if k not in volatile} == {
        k: v for k, v in marked.items() if k not in volatile
    }


async def ask(
    client: httpx.AsyncClient,
    path: str = "/orders",
    body: bytes = b"",
    headers: Mapping[str, str] = KEY,
    method: str = "POST",
) -> Answer:
    response = await client.request(method, path, content=body, headers=dict(headers))
    return Answer(response.status_code, dict(response.headers), response.content)


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test", timeout=30)


# -- once --------------------------------------------------------------------------------------------------------------


def test_a_repeated_request_gets_the_first_answer(serve: Any) -> None:
    world = World()
    with serve(world.app()) as client:
        first = client("POST", "/orders", headers=KEY, body=b"one")
        again = client("POST", "/orders", headers=KEY, body=b"one")
    assert first.status == 201
    assert "idempotent-replayed" not in first.headers
    same(first, again)
    assert (world.calls, world.orders(), world.background) == (1, 1, [1])


def test_on_every_engine(world: World) -> None:
    with in_process(world.app()) as client:
        first = client("POST", "/orders", headers=KEY)
        same(first, client("POST", "/orders", headers=KEY))
    assert (world.calls, world.orders()) == (1, 1)


def test_the_response_is_written_in_the_transaction_of_the_request() -> None:
    world = World()
    with in_process(world.app()) as client:
        client("POST", "/orders", headers=KEY)
    operations = [name for name, _ in world.recorded.calls]
    assert operations == ["PutItem", "TransactWriteItems"]
    entries = world.recorded.calls[1][1]["TransactItems"]
    assert [entry["Put"]["Item"]["pk"]["S"].partition("#")[0] for entry in entries] == ["ORDER", "IDEMPOTENCY"]
    assert "ConditionExpression" in entries[1]["Put"]


async def test_fifty_at_once_are_carried_out_once(world: World) -> None:
    world.pause = 0.1
    async with client_of(world.app(wait=20.0)) as client:
        answers = await asyncio.gather(*(ask(client) for _ in range(50)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 49
    assert (world.calls, world.orders(), len(world.background)) == (1, 1, 1)
    reads = [payload for name, payload in world.recorded.calls if name == "GetItem"]
    assert reads
    assert all(payload["ConsistentRead"] for payload in reads)


async def test_who_does_not_wait_gets_409() -> None:
    world = World(wait=0.0)
    async with client_of(world.app()) as client:
        first = asyncio.create_task(ask(client, "/wait"))
        await world.entered.wait()
        second = await ask(client, "/wait")
        world.leave.set()
        answer = await first
        same(answer, await ask(client, "/wait"))
    assert (second.status, second.headers["retry-after"]) == (409, "1")
    assert second.headers["content-type"] == "application/problem+json"
    assert answer.status == 201
    assert (world.calls, world.orders()) == (1, 1)


async def test_who_waits_gets_the_answer_when_it_is_there() -> None:
    world = World(wait=10.0)
    async with client_of(world.app()) as client:
        tasks = [asyncio.create_task(ask(client, "/wait")) for _ in range(2)]
        await world.entered.wait()
        await asyncio.sleep(0.2)
        assert not any(task.done() for task in tasks)
        world.leave.set()
        answers = await asyncio.gather(*tasks)
    assert [answer.status for answer in answers] == [201, 201]
    assert world.calls == 1


async def test_waiting_is_bounded() -> None:
    world = World(wait=0.2)
    async with client_of(world.app()) as client:
        first = asyncio.create_task(ask(client, "/wait"))
        await world.entered.wait()
        async with asyncio.timeout(5):
            assert (await ask(client, "/wait")).status == 409
        world.leave.set()
        await first


# -- one key, one request ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/orders", b"another", {}),
        ("/orders?dry=1", b"one", {}),
        ("/orders", b"one", {"content-type": "text/csv"}),
    ],
)
def test_another_request_with_the_key_is_422(path: str, body: bytes, headers: dict[str, str]) -> None:
    world = World()
    with in_process(world.app()) as client:
        assert client("POST", "/orders", headers=KEY, body=b"one").status == 201
        answer = client("POST", path, headers={**KEY, **headers}, body=body)
    assert answer.status == 422
    assert "another request" in answer.json()["detail"]
    assert world.orders() == 1


async def test_another_request_is_422_while_the_first_is_at_work() -> None:
    world = World()
    async with client_of(world.app()) as client:
        first = asyncio.create_task(ask(client, "/wait"))
        await world.entered.wait()
        assert (await ask(client, "/wait", b"another")).status == 422
        world.leave.set()
        assert (await first).status == 201


def test_a_key_belongs_to_its_method_path_tenant_and_caller() -> None:
    world = World(tenants=True, caller=lambda scope: str(dict(scope["headers"]).get(b"x-user", b"")))
    acme, other = {**KEY, "x-tenant": "acme"}, {**KEY, "x-tenant": "other"}
    with in_process(world.app()) as client:
        firsts = [
            client("POST", "/orders", headers=acme),
            client("PATCH", "/orders", headers=acme),
            client("POST", "/other", headers=acme),
            client("POST", "/orders", headers=other),
            client("POST", "/orders", headers={**acme, "x-user": "ann"}),
            client("POST", "/orders", headers={**acme, "idempotency-key": '"b"'}),
        ]
        same(firsts[0], client("POST", "/orders", headers=acme))
        same(firsts[3], client("POST", "/orders", headers=other))
    assert {answer.status for answer in firsts} == {201}
    assert world.calls == 6
    assert len({answer.body for answer in firsts}) == 6
    pks = [payload["Item"]["pk"]["S"] for name, payload in world.recorded.calls if name == "PutItem"]
    assert {pk.partition("#")[0] for pk in pks} == {"@acme", "@other"}


def test_without_a_tenant_nothing_is_claimed() -> None:
    world = World(tenants=True)
    with in_process(world.app()) as client:
        assert client("POST", "/orders", headers=KEY).status == 401
    assert not world.recorded.calls


@pytest.mark.parametrize("key", ['"a', "a b", '""', "", '"a";p=1', '"a", "b"', '"\x7f"', '"' + "a" * 256 + '"', "a,b"])
def test_a_malformed_key_is_400(key: str) -> None:
    world = World()
    with in_process(world.app()) as client:
        answer = client("POST", "/orders", headers={"idempotency-key": key})
    assert answer.status == 400
    assert not world.recorded.calls


def test_two_keys_are_400() -> None:
    async def run() -> int:
        async with client_of(World().app()) as client:
            headers = [("idempotency-key", "a"), ("idempotency-key", "b")]
            return (await client.post("/orders", headers=headers)).status_code

    assert asyncio.run(run()) == 400


@pytest.mark.parametrize("key", ["8e03978e-40d5", '"8e03978e-40d5"'])
def test_quotes_do_not_make_another_key(key: str) -> None:
    world = World()
    with in_process(world.app()) as client:
        same(client("POST", "/orders", headers=KEY), client("POST", "/orders", headers={"idempotency-key": key}))


def test_a_quote_in_a_key_is_escaped() -> None:
    world = World()
    with in_process(world.app()) as client:
        for key in (r'"a\"b"', r'"a\\b"', '"ab"', '" a"'):
            assert client("POST", "/orders", headers={"idempotency-key": key}).status == 201
    assert world.orders() == 4


def test_a_key_may_be_required() -> None:
    world = World(required=lambda scope: scope["path"] == "/orders")
    with in_process(world.app()) as client:
        assert client("POST", "/orders").status == 400
        assert client("POST", "/other").status == 201
        assert client("GET", "/orders").status == 201
    with in_process(world.app(required=True)) as client:
        assert client("POST", "/other").status == 400
    assert world.orders() == 2


# -- what is kept ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 404, 410, 422])
def test_a_4xx_of_the_app_is_kept(status: int) -> None:
    world = World()
    with in_process(world.app()) as client:
        first = client("POST", f"/status/{status}", headers=KEY)
        assert first.status == status
        same(first, client("POST", f"/status/{status}", headers=KEY))
    assert (world.calls, world.orders()) == (1, 0)


@pytest.mark.parametrize("status", [401, 403, 408, 409, 412, 425, 429, 500, 502, 503])
def test_what_may_be_otherwise_the_next_time_is_not_kept(status: int) -> None:
    world = World(wait=0.0)
    with in_process(world.app()) as client:
        answers = [client("POST", f"/status/{status}", headers=KEY) for _ in range(2)]
    assert [answer.status for answer in answers] == [status, status]
    assert [answer.body for answer in answers] == [b"call 1", b"call 2"]
    assert world.records() == []


def test_which_are_kept_is_a_setting() -> None:
    world = World(keeps=lambda status: status == 503)
    with in_process(world.app()) as client:
        assert client("POST", "/status/503", headers=KEY).body == client("POST", "/status/503", headers=KEY).body
        assert client("POST", "/status/404", headers=KEY).body != client("POST", "/status/404", headers=KEY).body
    assert keeps(201)


def test_an_exception_leaves_the_key_unused() -> None:
    world = World(wait=0.0)
    with in_process(world.app()) as client:
        assert [client("POST", "/raise", headers=KEY).status for _ in range(2)] == [500, 500]
    assert (world.calls, world.orders(), world.records()) == (2, 0, [])


@pytest.mark.parametrize(("fault", "status"), [(Conflict(), 409), (Throttle(), 503)])
def test_a_failed_commit_leaves_the_key_unused(fault: Fault, status: int) -> None:
    world = World(None, On("TransactWriteItems", fault), wait=0.0)
    world.db.transport._max_attempts = 1
    with in_process(world.app()) as client:
        assert client("POST", "/orders", headers=KEY).status == status
        assert (world.records(), world.background) == ([], [])
        world.db.transport._max_attempts = None
        assert client("POST", "/orders", headers=KEY).status == 201
    assert (world.calls, world.orders()) == (2, 1)


def test_an_expired_record_is_ignored_though_it_is_there() -> None:
    world = World(lifetime=3600.0)
    with in_process(world.app()) as client:
        first = client("POST", "/orders", headers=KEY, body=b"one")
        world.later = timedelta(seconds=3500)
        same(first, client("POST", "/orders", headers=KEY, body=b"one"))
        world.later = timedelta(seconds=3700)
        assert len(world.records()) == 1
        again = client("POST", "/orders", headers=KEY, body=b"two")
    assert again.status == 201
    assert "idempotent-replayed" not in again.headers
    assert world.orders() == 2


def test_a_long_response_is_given_and_not_kept() -> None:
    world = World(max_response=1000)
    with in_process(world.app()) as client:
        fits = client("POST", "/long/900", headers=KEY)
        same(fits, client("POST", "/long/900", headers=KEY))
        long = client("POST", "/long/5000", headers=KEY)
        again = client("POST", "/long/5000", headers=KEY)
    assert (long.status, len(long.body)) == (201, 5000)
    assert (again.status, again.headers["idempotent-replayed"]) == (409, "true")
    assert "answered with 201" in again.json()["detail"]
    assert (world.calls, world.orders()) == (2, 2)


def test_the_longest_response_fits_into_an_item(world: World) -> None:
    with in_process(world.app(max_response=350_000)) as client:
        first = client("POST", "/long/349900", headers=KEY)
        assert first.status == 201
        same(first, client("POST", "/long/349900", headers=KEY))


async def test_a_stream_is_not_held_back_and_not_kept() -> None:
    world = World()
    sent: list[Message] = []
    body: Message = {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    messages: asyncio.Queue[Message] = asyncio.Queue()
    messages.put_nowait(body)
    headers = [(b"idempotency-key", b"k")]
    scope = {"type": "http", "method": "POST", "path": "/stream", "headers": headers, "query_string": b""}
    task = asyncio.create_task(world.app()(scope, messages.get, send))
    await world.entered.wait()
    assert [message.get("body") for message in sent] == [None, b"first "]
    assert world.orders() == 1
    world.leave.set()
    await task
    assert b"".join(message.get("body", b"") for message in sent) == b"first second"
    async with client_of(world.app()) as client:
        again = await ask(client, "/stream", headers={"idempotency-key": "k"})
    assert again.status == 409
    assert (world.calls, world.orders()) == (1, 1)


def test_a_request_body_that_is_too_long_is_413() -> None:
    world = World(max_request=1000)
    with in_process(world.app()) as client:
        assert client("POST", "/orders", headers=KEY, body=b"x" * 1001).status == 413
        assert client("POST", "/orders", body=b"x" * 1001).status == 201
        assert client("POST", "/orders", headers=KEY, body=b"x" * 1000).status == 201
    assert world.calls == 2


# -- what it is not about ----------------------------------------------------------------------------------------------


async def test_other_requests_pass_untouched() -> None:
    world = World()
    seen: list[tuple[Any, ...]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))

    async def receive() -> Message:
        raise AssertionError("nobody reads")

    async def send(message: Message) -> None:
        raise AssertionError("nobody writes")

    middleware = IdempotencyMiddleware(app, database=world.db, record=Replay, required=True)
    scopes: list[Scope] = [
        {"type": "http", "method": "GET", "path": "/", "headers": [(b"idempotency-key", b"k")]},
        {"type": "http", "method": "HEAD", "path": "/", "headers": [(b"idempotency-key", b"k")]},
        {"type": "websocket", "path": "/", "headers": [(b"idempotency-key", b"k")]},
        {"type": "lifespan"},
    ]
    for scope in scopes:
        await middleware(scope, receive, send)
    middleware.required = False
    scopes.append({"type": "http", "method": "POST", "path": "/", "headers": []})
    await middleware(scopes[-1], receive, send)
    assert all(a[0] is scope and a[1] is receive and a[2] is send for a, scope in zip(seen, scopes, strict=True))
    assert not world.recorded.calls


def test_methods_are_a_setting() -> None:
    world = World(methods=["put"])
    with in_process(world.app()) as client:
        same(client("PUT", "/orders", headers=KEY), client("PUT", "/orders", headers=KEY))
        assert client("POST", "/orders", headers=KEY).body != client("POST", "/orders", headers=KEY).body


def test_websockets_pass() -> None:
    world = World()
    with TestClient(world.app()) as client, client.websocket_connect("/ws", headers=KEY) as websocket:
        assert websocket.receive_text() == "here"


# -- crashes, leases, fences -------------------------------------------------------------------------------------------


async def crashed(world: World, client: httpx.AsyncClient) -> asyncio.Task[Answer]:
    """Send a request that stays in its route for ever, as one of a process that has died."""
    task = asyncio.create_task(ask(client, "/wait"))
    await world.entered.wait()
    return task


async def test_a_claim_is_taken_over_after_its_lease_and_not_before(world: World) -> None:
    async with client_of(world.app(wait=0.0, lease=60.0)) as client:
        dead = await crashed(world, client)
        assert (await ask(client, "/wait")).status == 409
        world.later = timedelta(seconds=59)
        assert (await ask(client, "/wait")).status == 409
        world.later = timedelta(seconds=61)
        taken = await ask(client, "/wait")
        assert taken.status == 201
        world.leave.set()  # it was only asleep
        late = await dead
        assert late.status == 409
        same(taken, await ask(client, "/wait"))
    assert world.calls == 2
    assert world.orders() == 1


async def test_a_run_that_was_asleep_does_not_give_its_4xx_either() -> None:
    world = World(wait=0.0, lease=60.0)

    async def route(request: Request) -> Response:
        world.calls += 1
        if world.calls == 1:
            world.entered.set()
            await world.leave.wait()
            return PlainTextResponse("no", 422)
        await request.state.db.create(Order(id="1"))
        return PlainTextResponse("yes", 201)

    async with client_of(world.app(Route("/mixed", route, methods=["POST"]))) as client:
        asleep = asyncio.create_task(ask(client, "/mixed"))
        await world.entered.wait()
        world.later = timedelta(seconds=61)
        assert (await ask(client, "/mixed")).body == b"yes"
        world.leave.set()
        assert (await asleep).status == 409
        assert (await ask(client, "/mixed")).body == b"yes"


async def test_a_long_request_keeps_its_claim() -> None:
    world = World(lease=0.3, wait=10.0)
    world.pause = 1.0
    async with client_of(world.app()) as client:
        answers = await asyncio.gather(*(ask(client) for _ in range(3)))
    assert {answer.status for answer in answers} == {201}
    assert (world.calls, world.orders()) == (1, 1)


@pytest.mark.parametrize("path", ["/orders", "/raise", "/status/500", "/status/422"])
async def test_nothing_renews_after_the_end(path: str) -> None:
    world = World(lease=0.15)
    async with client_of(world.app()) as client:
        await ask(client, path)
        world.recorded.calls.clear()
        await asyncio.sleep(0.2)
    assert not world.recorded.calls


async def test_one_of_many_takes_over(world: World) -> None:
    async with client_of(world.app(wait=20.0, lease=60.0)) as client:
        dead = await crashed(world, client)
        world.later = timedelta(seconds=61)
        answers = await asyncio.gather(*(ask(client, "/wait") for _ in range(20)))
        dead.cancel()
    assert {answer.status for answer in answers} == {201}
    assert (world.calls, world.orders()) == (2, 1)


@pytest.mark.parametrize("meanwhile", ["renewed", "answered", "released"])
async def test_a_claim_that_was_looked_at_and_moved_on_is_not_taken_over(meanwhile: str) -> None:
    world = World(lease=60.0)
    middleware = IdempotencyMiddleware(world.app(), database=world.db, record=Replay, lease=60.0)
    first, second = (_Claim(middleware, world.db.session(), "id", "the same") for _ in range(2))
    assert await first.take() is None
    there = await second._find()
    assert there is not None
    world.later = timedelta(seconds=61)
    if meanwhile == "renewed":
        assert await first.renew()
    elif meanwhile == "answered":
        assert await first.fulfil_alone(422, [], b"") is None
    else:
        await first.release()
    assert not await second._take_over(there)
    if meanwhile != "released":
        found = await second._find()
        assert found is not None
        assert found.run == there.run


async def test_a_cancelled_request_leaves_the_key_unused() -> None:
    world = World(wait=0.0)
    async with client_of(world.app()) as client:
        first = await crashed(world, client)
        assert len(world.records()) == 1
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert world.records() == []
        assert (await ask(client, "/wait")).status == 201


LOST = [
    On("PutItem", DropAfterSend()),
    On("PutItem", InternalError(applied=True)),
    On("TransactWriteItems", DropAfterSend()),
    On("DeleteItem", DropAfterSend()),
    On("UpdateItem", DropAfterSend()),
]


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("path", ["/orders", "/status/422", "/status/500"])
def test_lost_answers_change_nothing(lost: On, path: str) -> None:
    world = World(None, lost, wait=0.0)
    with in_process(world.app()) as client:
        first = client("POST", path, headers=KEY)
        assert first.status == {"/orders": 201, "/status/422": 422, "/status/500": 500}[path]
        again = client("POST", path, headers=KEY)
    if path == "/status/500":
        assert (world.calls, world.records()) == (2, [])
    else:
        same(first, again)
        assert world.calls == 1


def test_a_lost_answer_to_the_response_of_a_4xx_changes_nothing() -> None:
    world = World(None, On("PutItem", None), On("PutItem", DropAfterSend()), wait=0.0)
    with in_process(world.app()) as client:
        first = client("POST", "/status/422", headers=KEY)
        assert first.status == 422
        same(first, client("POST", "/status/422", headers=KEY))


def test_a_4xx_that_cannot_be_kept_is_not_given() -> None:
    world = World(None, On("PutItem", None), *[On("PutItem", Throttle())] * 1000, timeout=0.05)
    with in_process(world.app()) as client:
        assert client("POST", "/status/422", headers=KEY).status == 503
    assert world.records() == []


async def test_a_refused_response_is_not_heard_any_more() -> None:
    world = World(wait=0.0, lease=60.0)

    async def route(request: Request) -> Response:
        async def body() -> Any:
            for _ in range(3):
                yield b"part"

        world.calls += 1
        if world.calls > 1:
            return PlainTextResponse("another", 201)
        world.entered.set()
        await world.leave.wait()
        return StreamingResponse(body(), 422)

    app = world.app(Route("/streams", route, methods=["POST"]))
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"idempotency-key", KEY["idempotency-key"].encode())]
    scope = {"type": "http", "method": "POST", "path": "/streams", "headers": headers, "query_string": b""}
    asleep = asyncio.create_task(app({**scope, "asgi": {"spec_version": "2.4"}}, receive, send))
    await world.entered.wait()
    world.later = timedelta(seconds=61)
    async with client_of(app) as client:
        assert (await ask(client, "/streams")).body == b"another"
    world.leave.set()
    await asleep
    assert [message.get("status") for message in sent] == [409, None]


async def test_a_lost_answer_to_a_take_over_changes_nothing() -> None:
    world = World(None, On("UpdateItem", DropAfterSend()), wait=0.0, lease=60.0)
    async with client_of(world.app()) as client:
        dead = await crashed(world, client)
        world.later = timedelta(seconds=61)
        assert (await ask(client, "/wait")).status == 201
        dead.cancel()
    assert world.orders() == 1


def test_an_unreachable_database_is_503_and_calls_nothing() -> None:
    world = World(None, *[On("PutItem", Throttle())] * 1000, timeout=0.05)
    with in_process(world.app()) as client:
        assert client("POST", "/orders", headers=KEY).status == 503
    assert world.calls == 0


async def test_a_client_that_goes_while_it_sends_is_not_served() -> None:
    world = World()
    messages: asyncio.Queue[Message] = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": b"half", "more_body": True})
    messages.put_nowait({"type": "http.disconnect"})

    async def send(message: Message) -> None:
        raise AssertionError("nobody listens")

    headers = [(b"idempotency-key", b"k")]
    scope = {"type": "http", "method": "POST", "path": "/orders", "headers": headers, "query_string": b""}
    await world.app()(scope, messages.get, send)
    assert (world.calls, world.recorded.calls) == (0, [])


# -- with the other middleware -----------------------------------------------------------------------------------------


async def test_it_is_inside_of_the_session() -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    middleware = IdempotencyMiddleware(World().app(), database=World().db, record=Replay)
    headers = [(b"idempotency-key", b"k")]
    scope = {"type": "http", "method": "POST", "path": "/orders", "headers": headers, "query_string": b""}
    with pytest.raises(UsageError, match="inside of DynamORMMiddleware"):
        await middleware(scope, receive, lambda message: receive())  # type: ignore[arg-type, return-value]  # unused


def test_the_modes_of_routes() -> None:
    world = World(wait=0.0)

    @immediate
    async def at_once(request: Request) -> Response:
        await world._create(request)
        assert world.orders() == 1
        return PlainTextResponse(f"call {world.calls}", 201)

    @read_only
    async def reads(request: Request) -> Response:
        world.calls += 1
        return PlainTextResponse(f"call {world.calls}", 200)

    routes = [Route("/immediate", at_once, methods=["POST"]), Route("/read", reads, methods=["POST"])]
    with in_process(world.app(*routes)) as client:
        same(client("POST", "/immediate", headers=KEY), client("POST", "/immediate", headers=KEY))
        same(client("POST", "/read", headers=KEY), client("POST", "/read", headers=KEY))
    assert (world.calls, world.orders()) == (2, 1)


def test_a_route_that_is_called_again_after_a_conflict() -> None:
    world = World(None, *[On("TransactWriteItems", Conflict())] * 2, wait=0.0)
    world.db.transport._max_attempts = 1
    with in_process(world.app(conflict_retries=2)) as client:
        first = client("POST", "/orders", headers=KEY, body=b"a body")
        assert (first.status, world.calls) == (201, 3)
        same(first, client("POST", "/orders", headers=KEY, body=b"a body"))
    assert world.orders() == 1
    assert first.json()["note"] == "a body"


async def test_a_route_that_is_marked_to_be_called_again_gets_its_body_again() -> None:
    world = World(None, On("TransactWriteItems", Conflict()), wait=0.0)
    world.db.transport._max_attempts = 1

    @transactional(conflict_retries=2)
    async def marked(request: Request) -> Response:
        return await world.order(request)

    async with client_of(world.app(Route("/marked", marked, methods=["POST"]))) as client, asyncio.timeout(2):
        first = await ask(client, "/marked", b"a body")
    assert (first.status, world.calls, world.orders()) == (201, 2, 1)
    assert first.json()["note"] == "a body"


def test_another_middleware_that_wraps_the_app() -> None:
    class Wrapping(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            response = await call_next(request)
            response.headers["x-wrapped"] = "yes"
            return response

    world = World()
    with in_process(world.app(inside=(Middleware(Wrapping),))) as client:
        first = client("POST", "/orders", headers=KEY, body=b"one")
        same(first, client("POST", "/orders", headers=KEY, body=b"one"))
    assert (first.headers["x-wrapped"], world.calls) == ("yes", 1)


def test_a_failed_condition_of_the_route_is_told_and_the_key_is_unused() -> None:
    world = World(wait=0.0)

    async def route(request: Request) -> Response:
        world.calls += 1
        await request.state.db.create(Order(id="taken"))
        return PlainTextResponse("ok", 201)

    world.calm.sync.session().create(Order(id="taken"))
    with in_process(world.app(Route("/taken", route, methods=["POST"]))) as client:
        answers = [client("POST", "/taken", headers=KEY) for _ in range(2)]
    assert [answer.status for answer in answers] == [409, 409]
    assert (world.calls, world.records()) == (2, [])


def test_records_may_end_by_another_attribute() -> None:
    class Ending(IdempotencyRecord, table="ends", pk="IDEMPOTENCY#{id}", sk="-"):
        expires_at: TTL = Field(None, alias="ttl")

    world = World(record=Ending, wait=0.0, lease=60.0)
    world.calm.sync.create_tables(Ending)
    world.recorded.calls.clear()
    with in_process(world.app()) as client:
        same(client("POST", "/orders", headers=KEY), client("POST", "/orders", headers=KEY))
    assert "ttl" in world.recorded.calls[0][1]["Item"]
    assert world.calm.sync.tables(Ending).specs[0].time_to_live == "ttl"


@pytest.mark.parametrize(
    "wrong", [{"methods": "POST"}, {"lease": 0.0}, {"lease": 10.0, "lifetime": 10.0}, {"max_response": 400_000}]
)
def test_settings_that_cannot_be_right(wrong: dict[str, Any]) -> None:
    world = World()
    with pytest.raises(UsageError):
        IdempotencyMiddleware(world.app(), database=world.db, record=Replay, **wrong)
