"""`DynamORMMiddleware`: when a request's writes are stored, and what the client is told."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient

from lift_dynamorm import (
    Database,
    F,
    ItemExists,
    Model,
    SessionClosed,
    TenantForbidden,
    UsageError,
    Version,
    VersionConflict,
)
from lift_dynamorm.transport.faults import (
    Conflict,
    DropAfterSend,
    DropBeforeSend,
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
from tests.middleware.drivers import DRIVERS, Uvicorn, in_process, on_lambda
from tests.wire import ValidatingTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from lift_middleware.asgi import ASGIApp, Message, Receive, Scope, Send
    from tests.middleware.drivers import Client


class Order(Model, table="orders", pk="ORDER#{id}", sk="ORDER"):
    id: str
    note: str = ""
    version: Version = 0


class World:
    """A database on the embedded engine that can be made to fail, and an app that writes to it."""

    def __init__(self, *faults: Fault, timeout: float = 10.0, **settings: Any) -> None:
        self.local = LocalTransport()
        self.recorded = RecordingTransport(ValidatingTransport(self.local))
        calm = RetryTransport(self.recorded)
        self.calm = Database(transport=calm)
        self.calm.sync.create_tables(Order)
        self.recorded.calls.clear()
        faulty = FaultTransport(self.recorded, [On("TransactWriteItems", fault) for fault in faults])
        self.db = Database(transport=RetryTransport(faulty, timeout=timeout, base=0.001))
        self.background: list[str] = []
        self.caught: list[Exception] = []
        self.settings = settings

    def app(self, middleware: Any = DynamORMMiddleware, **settings: Any) -> Starlette:
        routes = [
            Route("/create/{id}", self.create, methods=["POST"]),
            Route("/answer/{status:int}", self.answer, methods=["POST"]),
            Route("/raise", self.raises, methods=["POST"]),
            Route("/plain", self.plain),
            Route("/stream", self.stream, methods=["POST"]),
            Route("/background", self.in_background, methods=["POST"]),
            Route("/wait", self.wait, methods=["POST"]),
            Route("/sync", self.sync, methods=["POST"]),
            Route("/twice", self.twice, methods=["POST"]),
            WebSocketRoute("/ws", self.websocket),
        ]
        made = Middleware(middleware, database=self.db, **{**self.settings, **settings})
        return Starlette(routes=routes, middleware=[made])

    def stored(self, id: str = "1", tenant: str | None = None) -> Order | None:
        return self.calm.sync.session(tenant).find(Order, id=id)

    def sent(self, operation: str = "TransactWriteItems") -> int:
        return sum(name == operation for name, _ in self.recorded.calls)

    def note(self) -> None:
        self.background.append("ran")

    async def create(self, request: Request) -> Response:
        order = await request.state.db.create(Order(id=request.path_params["id"]))
        assert self.stored(order.id) is None or self.sent() == 0, "nothing is sent before the response starts"
        return JSONResponse(order.model_dump(), 201, background=BackgroundTask(self.note))

    async def answer(self, request: Request) -> Response:
        await request.state.db.create(Order(id="1"))
        return PlainTextResponse("as asked", request.path_params["status"])

    async def raises(self, request: Request) -> Response:
        await request.state.db.create(Order(id="1"))
        raise RuntimeError("a bug in a route")

    async def plain(self, request: Request) -> Response:
        return PlainTextResponse("untouched")

    async def stream(self, request: Request) -> Response:
        db = request.state.db
        await db.create(Order(id="1"))

        async def body() -> Any:
            yield "stored " if self.stored() else "not stored "
            yield "readable " if await db.find(Order, id="1") else "not readable "
            try:
                await db.create(Order(id="2"))
            except SessionClosed as error:
                self.caught.append(error)
            yield "end"

        return StreamingResponse(body(), 200)

    async def in_background(self, request: Request) -> Response:
        captured = request.state.db
        await captured.create(Order(id="1"))

        async def later() -> None:
            assert request.state.db is not captured
            order = await request.state.db.get(Order, id="1")
            await request.state.db.update(order, note="from the background")
            try:
                await captured.create(Order(id="2"))
            except SessionClosed as error:
                self.caught.append(error)

        return PlainTextResponse("ok", background=BackgroundTask(later))

    async def wait(self, request: Request) -> Response:
        await request.state.db.create(Order(id="1"))
        self.entered.set()
        await asyncio.get_running_loop().run_in_executor(None, self.leave.wait, 10)
        return PlainTextResponse("too late", background=BackgroundTask(self.note))

    entered = threading.Event()
    leave = threading.Event()

    def sync(self, request: Request) -> Response:
        db = request.state.db.sync
        order = db.create(Order(id="1", note="sync"))
        found = db.get(Order, id="1")
        return JSONResponse({"same": found == order, "sent": self.sent()}, 201)

    async def twice(self, request: Request) -> Response:
        db = request.state.db
        order = await db.create(Order(id="1"))
        await db.update(order, note="again")
        await db.create(Order(id="2"))
        both = [await db.get(Order, id="1"), await db.get(Order, id="2")]
        return JSONResponse([o.model_dump() for o in both], 201)

    async def websocket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.state.db.create(Order(id=await websocket.receive_text()))
        await websocket.send_text("stored" if self.stored("ws") else "not stored")
        await websocket.close()


@pytest.fixture(params=DRIVERS)
def serve(request: pytest.FixtureRequest) -> Callable[[ASGIApp], Any]:
    driver: Callable[[ASGIApp], Any] = DRIVERS[request.param]
    return driver


# -- committed ---------------------------------------------------------------------------------------------------------


def test_a_write_is_committed_and_answered(serve: Any) -> None:
    world = World()
    with serve(world.app()) as client:
        answer = client("POST", "/create/1")
    assert (answer.status, answer.json()) == (201, {"id": "1", "note": "", "version": 1})
    assert world.stored() == Order(id="1", version=1)
    assert world.background == ["ran"]
    assert world.sent() == 1


def test_several_writes_are_one_transaction_and_seen_inside(serve: Any) -> None:
    world = World()
    with serve(world.app()) as client:
        answer = client("POST", "/twice")
    assert [o["note"] for o in answer.json()] == ["again", ""]
    assert world.sent() == 1
    assert {name for name, _ in world.recorded.calls} == {"TransactWriteItems"}


def test_sync_routes_share_the_transaction(serve: Any) -> None:
    world = World()
    with serve(world.app()) as client:
        answer = client("POST", "/sync")
    assert answer.json() == {"same": True, "sent": 0}
    assert world.stored() is not None


@pytest.mark.parametrize("status", [200, 201, 204, 301, 303, 304, 399])
def test_success_and_redirects_commit(serve: Any, status: int) -> None:
    world = World()
    with serve(world.app()) as client:
        assert client("POST", f"/answer/{status}").status == status
    assert world.stored() is not None


# -- not committed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500, 503])
def test_error_statuses_write_nothing(serve: Any, status: int) -> None:
    world = World()
    with serve(world.app()) as client:
        assert client("POST", f"/answer/{status}").status == status
    assert world.stored() is None
    assert world.sent() == 0


def test_an_exception_writes_nothing(serve: Any) -> None:
    world = World()
    with serve(world.app()) as client:
        assert client("POST", "/raise").status == 500
    assert world.sent() == 0


FAILURES: dict[str, tuple[Fault, int]] = {
    "conflict": (Conflict(), 409),
    "throttled": (Throttle(), 503),
    "no connection": (DropBeforeSend(), 503),
    "server error": (InternalError(), 503),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_commit_is_never_a_success(serve: Any, name: str) -> None:
    fault, status = FAILURES[name]
    world = World(*[fault] * 10_000, timeout=0.05)
    with serve(world.app()) as client:
        answer = client("POST", "/create/1")
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert "retry-after" in answer.headers
    assert "injected" not in answer.json()["detail"], "what DynamoDB said is for the log"
    assert world.stored() is None
    assert world.background == []


def test_a_failed_condition_is_409_and_nothing_else_is_written(serve: Any) -> None:
    world = World()
    world.calm.sync.session().create(Order(id="2", note="mine"))
    with serve(world.app()) as client:
        answer = client("POST", "/twice")
    assert answer.status == 409
    assert "exists already" in answer.json()["detail"]
    assert world.stored("1") is None
    assert world.stored("2") == Order(id="2", note="mine", version=1)


@pytest.mark.parametrize(
    "fault", [DropAfterSend(), InternalError(applied=True), DropBeforeSend(), Throttle(), Conflict()]
)
def test_a_lost_answer_applies_once(serve: Any, fault: Fault) -> None:
    world = World(fault)
    with serve(world.app()) as client:
        answer = client("POST", "/create/1")
    assert answer.status == 201
    assert world.stored() == Order(id="1", version=1)
    assert world.background == ["ran"]


def test_no_time_left_is_503() -> None:
    world = World()
    with on_lambda(world.app(), remaining=0.1) as client:
        answer = client("POST", "/create/1")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert world.stored() is None


def test_the_timeout_is_kept() -> None:
    world = World()
    with in_process(world.app(timeout=-1.0)) as client:
        assert client("POST", "/create/1").status == 503
    assert world.stored() is None


class NaiveMiddleware:
    """What everyone writes first: commit when the app has returned. The negative control of the tests above."""

    def __init__(self, app: ASGIApp, *, database: Database) -> None:
        self.app = app
        self.database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self.database.session() as session, session.transaction():
            scope.setdefault("state", {})["db"] = session
            await self.app(scope, receive, send)


def test_a_naive_middleware_fails_these_tests() -> None:
    world = World(*[Conflict()] * 10_000, timeout=0.05)
    with in_process(world.app(NaiveMiddleware)) as client:
        answer = client("POST", "/create/1")
    assert answer.status == 201, "the client was told of success"
    assert world.stored() is None, "but nothing was stored"
    assert world.background == ["ran"], "and the background task ran"


# -- disconnects and cancellation --------------------------------------------------------------------------------------


def test_a_client_that_has_gone_leaves_nothing_behind() -> None:
    world = World()
    world.entered.clear()
    world.leave.clear()
    with Uvicorn(world.app()) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            assert world.entered.wait(10)
        threading.Event().wait(0.1)
        world.leave.set()
    assert world.sent() == 0
    assert world.background == []


def test_a_client_that_stays_gets_its_answer() -> None:
    world = World()
    world.entered.clear()
    world.leave.set()
    with Uvicorn(world.app()) as server, socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")
    assert world.stored() is not None


def test_a_body_that_the_route_did_not_read_is_not_taken_for_a_disconnect() -> None:
    world = World()
    with in_process(world.app()) as client:
        assert client("POST", "/create/1", body=b"x" * 100_000).status == 201
    assert world.stored() is not None


def test_a_cancelled_request_writes_nothing() -> None:
    world = World()
    world.entered.clear()
    world.leave.clear()

    async def run() -> None:
        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            raise AssertionError("nothing is answered")

        scope = {"type": "http", "method": "POST", "path": "/wait", "headers": [], "query_string": b"", "state": {}}
        task = asyncio.ensure_future(world.app()(scope, receive, send))
        await asyncio.get_running_loop().run_in_executor(None, world.entered.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        world.leave.set()

    asyncio.run(run())
    assert world.sent() == 0


# -- streams, background tasks, websockets -----------------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["in-process", "uvicorn"])
def test_a_stream_has_committed_by_its_first_byte(driver: str) -> None:
    world = World()
    with DRIVERS[driver](world.app()) as client:
        answer = client("POST", "/stream")
    assert answer.body == b"stored readable end"
    assert "ended when its response began" in str(world.caught[0])
    assert world.stored("2") is None


def test_a_stream_whose_commit_fails_sends_nothing_of_itself(serve: Any) -> None:
    world = World(*[Conflict()] * 10_000, timeout=0.05)
    with serve(world.app()) as client:
        answer = client("POST", "/stream")
    assert answer.status == 409
    assert b"stored" not in answer.body


def test_a_background_task_gets_a_fresh_session(serve: Any) -> None:
    world = World()
    with serve(world.app()) as client:
        assert client("POST", "/background").status == 200
    order = world.stored()
    assert order is not None
    assert (order.note, order.version) == ("from the background", 2)
    assert len(world.caught) == 1
    assert world.stored("2") is None


def test_a_websocket_has_a_session_that_writes_at_once() -> None:
    world = World()
    with TestClient(world.app()) as client, client.websocket_connect("/ws") as websocket:
        websocket.send_text("ws")
        assert websocket.receive_text() == "stored"


# -- what it costs -----------------------------------------------------------------------------------------------------


def test_an_untouched_request_opens_nothing(serve: Any) -> None:
    class Untouchable:
        blocking: Any = None

        async def send(self, operation: str, payload: Any, *, deadline: float | None = None) -> Any:
            raise AssertionError("nothing is to be sent")

        async def aclose(self) -> None:
            pass

    def tenant(scope: Scope) -> str:
        raise AssertionError("nobody asked for the tenant")

    app = Starlette(
        routes=[Route("/plain", World().plain)],
        middleware=[Middleware(DynamORMMiddleware, database=Database(transport=Untouchable()), tenant=tenant)],
    )
    with serve(app) as client:
        assert client("GET", "/plain").body == b"untouched"


def test_the_lifespan_closes_the_connections() -> None:
    closed = []

    class Closing(LocalTransport):
        async def aclose(self) -> None:
            closed.append(True)
            await super().aclose()

    app = Starlette(middleware=[Middleware(DynamORMMiddleware, database=Database(transport=Closing()))])
    with TestClient(app):
        assert not closed
    assert closed


# -- tenants -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tenants() -> Iterator[tuple[World, Client]]:
    world = World(tenant=tenant_from_header("X-Tenant-Id"))
    with in_process(world.app()) as client:
        yield world, client


def test_the_tenant_comes_from_the_header(tenants: tuple[World, Client]) -> None:
    world, client = tenants
    assert client("POST", "/create/1", headers={"x-tenant-id": "acme"}).status == 201
    assert client("POST", "/create/1", headers={"x-tenant-id": "other"}).status == 201
    assert world.stored(tenant="acme") is not None
    assert world.stored() is None
    keys = [item["Put"]["Item"]["pk"]["S"] for _, p in world.recorded.calls for item in p.get("TransactItems", ())]
    assert keys == ["@acme#ORDER#1", "@other#ORDER#1"]


def test_no_tenant_is_401_and_never_the_unscoped_database(tenants: tuple[World, Client]) -> None:
    world, client = tenants
    answer = client("POST", "/create/1")
    assert answer.status == 401
    assert "X-Tenant-Id" in answer.json()["detail"]
    assert not world.recorded.calls
    assert client("GET", "/plain").status == 200


def test_two_tenants_are_403() -> None:
    resolver = tenant_from_header("x-tenant-id")
    with pytest.raises(TenantForbidden):
        resolver({"headers": [(b"x-tenant-id", b"a"), (b"x-tenant-id", b"b")]})


@pytest.mark.parametrize("refuses", [False, True])
def test_a_tenant_may_be_found_out_asynchronously(refuses: bool) -> None:
    async def tenant(scope: Scope) -> str:
        await asyncio.sleep(0)
        if refuses:
            raise TenantForbidden("not yours")
        return "later"

    world = World(tenant=tenant)
    with in_process(world.app()) as client:
        assert client("POST", "/create/1").status == (403 if refuses else 201)
        assert client("GET", "/plain").status == 200
    assert (world.stored(tenant="later") is not None) is not refuses


# -- errors of the data layer ------------------------------------------------------------------------------------------


def test_errors_that_the_app_lets_through_are_answered(serve: Any) -> None:
    world = World()

    async def missing(request: Request) -> Response:
        await request.state.db.create(Order(id="1"))
        await request.state.db.get(Order, id="none")
        return PlainTextResponse("unreachable")

    app = Starlette(
        routes=[Route("/missing", missing, methods=["POST"])],
        middleware=[Middleware(DynamORMMiddleware, database=world.db)],
    )
    with serve(app) as client:
        answer = client("POST", "/missing")
    assert answer.status == 404
    assert answer.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "there is no Order with id='none'",
    }
    assert world.stored() is None


@pytest.mark.parametrize("error", [ItemExists("exists"), VersionConflict("changed")])
def test_a_handler_of_the_app_comes_first(error: Exception) -> None:
    async def route(request: Request) -> Response:
        raise error

    async def handler(request: Request, exception: Exception) -> Response:
        return PlainTextResponse("mine", 418)

    app = Starlette(
        routes=[Route("/", route)],
        exception_handlers={type(error): handler},
        middleware=[Middleware(DynamORMMiddleware, database=World().db)],
    )
    with in_process(app) as client:
        assert client("GET", "/").status == 418


# -- many at once ------------------------------------------------------------------------------------------------------


def test_requests_at_once_do_not_leak_into_each_other() -> None:
    world = World()

    async def route(request: Request) -> Response:
        db, id = request.state.db, request.path_params["id"]
        await db.create(Order(id=id))
        await asyncio.sleep(0)
        assert [write.item["id"]["S"] for write in db.unit_of_work.writes] == [id]
        return PlainTextResponse(id, 500 if int(id) % 3 == 0 else 201)

    app = Starlette(
        routes=[Route("/{id}", route, methods=["POST"])],
        middleware=[Middleware(DynamORMMiddleware, database=world.db)],
    )

    async def run() -> list[int]:
        import httpx

        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answers = await asyncio.gather(*(client.post(f"/{n}") for n in range(200)))
        assert [answer.text for answer in answers] == [str(n) for n in range(200)]
        return [answer.status_code for answer in answers]

    statuses = asyncio.run(run())
    assert [n for n in range(200) if statuses[n] == 201] == [n for n in range(200) if world.stored(str(n))]
    assert world.sent() == statuses.count(201) == 133


def test_a_commit_by_hand_begins_the_next_transaction(serve: Any) -> None:
    world = World()

    async def route(request: Request) -> Response:
        db = request.state.db
        await db.create(Order(id="1"))
        await db.commit()
        await db.create(Order(id="2"))
        db.rollback()
        await db.create(Order(id="3"))
        return PlainTextResponse("no", 400)

    app = Starlette(
        routes=[Route("/", route, methods=["POST"])],
        middleware=[Middleware(DynamORMMiddleware, database=world.db)],
    )
    with serve(app) as client:
        assert client("POST", "/").status == 400
    assert [bool(world.stored(id)) for id in "123"] == [True, False, False]


def test_a_body_that_is_read_while_responding_is_whole() -> None:
    world = World()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await scope["state"]["db"].create(Order(id="1"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": (await receive())["body"]})

    with in_process(DynamORMMiddleware(app, database=world.db)) as client:
        assert client("POST", "/", body=b"the body").body == b"the body"


@pytest.mark.parametrize("nobody", [None, ""])
def test_a_resolver_that_finds_nobody_is_401(nobody: Any) -> None:
    world = World(tenant=lambda scope: nobody)
    with in_process(world.app()) as client:
        assert client("POST", "/create/1").status == 401
    assert not world.recorded.calls


def test_an_app_that_goes_on_after_a_failed_commit_is_not_heard() -> None:
    world = World(*[Conflict()] * 10_000, timeout=0.05)

    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        await scope["state"]["db"].create(Order(id="1"))
        for message in (
            {"type": "http.response.start", "status": 201, "headers": []},
            {"type": "http.response.body", "body": b"it worked"},
        ):
            try:
                await send(message)
            except Exception as error:
                world.caught.append(error)

    with in_process(DynamORMMiddleware(stubborn, database=world.db)) as client:
        answer = client("POST", "/")
    assert answer.status == 409
    assert b"it worked" not in answer.body
    assert len(world.caught) == 1


# -- what a review found broken ----------------------------------------------------------------------------------------


class Slow:
    """A transport whose answers take a while, so that others run meanwhile; `sending` tells that one is on its way."""

    def __init__(self) -> None:
        self.local = LocalTransport()
        self.sending = asyncio.Event()

    @property
    def blocking(self) -> Any:
        return self.local.blocking

    async def send(self, operation: str, payload: Any, *, deadline: float | None = None) -> Any:
        self.sending.set()
        await asyncio.sleep(0.02)
        return await self.local.send(operation, payload, deadline=deadline)

    async def aclose(self) -> None:
        await self.local.aclose()


def routed(route: Any, db: Database, **settings: Any) -> Starlette:
    return Starlette(
        routes=[Route("/", route, methods=["POST"])],
        middleware=[Middleware(DynamORMMiddleware, database=db, **settings)],
    )


def test_a_write_during_the_commit_is_refused() -> None:
    slow = Slow()
    db = Database(transport=slow)
    db.sync.create_tables(Order)
    outcomes: list[Any] = []

    async def route(request: Request) -> Response:
        session = request.state.db
        await session.create(Order(id="1"))
        late = Order(id="2")

        async def other_task() -> None:
            await slow.sending.wait()
            try:
                await session.create(late)
            except SessionClosed as error:
                outcomes.append((error, late.version))

        request.app.state.task = asyncio.ensure_future(other_task())
        return PlainTextResponse("ok")

    with in_process(routed(route, db)) as client:
        assert client("POST", "/").status == 200
    ((error, version),) = outcomes
    assert "ended when its response began" in str(error)
    assert version == 0
    assert db.sync.session().find(Order, id="1")
    assert db.sync.session().find(Order, id="2") is None


def test_a_write_during_a_commit_by_hand_is_part_of_the_next_transaction() -> None:
    slow = Slow()
    db = Database(transport=slow)
    db.sync.create_tables(Order)

    async def route(request: Request) -> Response:
        session = request.state.db
        await session.create(Order(id="1"))

        async def other_task() -> None:
            await slow.sending.wait()
            await session.create(Order(id="2"))

        await asyncio.gather(session.commit(), other_task())
        assert db.sync.session().find(Order, id="2") is None
        assert (await session.get(Order, id="2")).version == 1
        return PlainTextResponse("asked", 400 if request.query_params else 200)

    with in_process(routed(route, db)) as client:
        assert client("POST", "/?fail=1").status == 400
        assert db.sync.session().find(Order, id="2") is None
        db.sync.session().delete(Order, id="1")
        slow.sending = asyncio.Event()
        assert client("POST", "/").status == 200
    assert db.sync.session().find(Order, id="2")


def test_a_begin_by_hand_does_not_end_the_requests_transaction(serve: Any) -> None:
    world = World()

    async def route(request: Request) -> Response:
        db = request.state.db
        db.begin()
        await db.create(Order(id="1"))
        await db.commit()
        db.begin()
        await db.create(Order(id="2"))
        db.rollback()
        await db.create(Order(id="3"))
        async with db.transaction():
            await db.create(Order(id="4"))
        return PlainTextResponse("no", 500)

    with serve(routed(route, world.db)) as client:
        assert client("POST", "/").status == 500
    assert [bool(world.stored(id)) for id in "1234"] == [True, False, False, False]


def test_what_is_missing_may_be_deleted_in_a_request(serve: Any) -> None:
    world = World()
    gone = world.calm.sync.session().create(Order(id="gone"))
    world.calm.sync.session().delete(Order, id="gone")

    async def route(request: Request) -> Response:
        db = request.state.db
        await db.delete(gone, missing_ok=True, if_=F.note == "")
        await db.delete(Order, id="never", missing_ok=True)
        await db.delete(Order, id="neither", missing_ok=True, if_=F.note == "x")
        await db.create(Order(id="1"))
        return PlainTextResponse("ok")

    with serve(routed(route, world.db)) as client:
        assert client("POST", "/").status == 200
    assert world.stored()


def test_a_background_task_has_time_of_its_own() -> None:
    world = World()

    async def route(request: Request) -> Response:
        await request.state.db.create(Order(id="1"))

        async def later() -> None:
            await asyncio.sleep(0.3)
            await request.state.db.create(Order(id="2"))

        return PlainTextResponse("ok", background=BackgroundTask(later))

    with in_process(routed(route, world.db, timeout=0.25)) as client:
        assert client("POST", "/").status == 200
    assert world.stored("2")


@pytest.mark.parametrize("error", [HTTPException(418), TenantForbidden("not yours"), RuntimeError("a bug")])
@pytest.mark.parametrize("asks", ["sync", "async", "async object"])
def test_every_resolver_refuses_alike(error: Exception, asks: str) -> None:
    def resolve(scope: Scope) -> str:
        raise error

    async def resolve_later(scope: Scope) -> str:
        raise error

    class Resolver:
        async def __call__(self, scope: Scope) -> str:
            raise error

    tenant: Any = {"sync": resolve, "async": resolve_later, "async object": Resolver()}[asks]
    world = World(tenant=tenant)
    with in_process(world.app()) as client:
        status = client("POST", "/create/1").status
        assert client("GET", "/plain").status == 200
    assert status == {HTTPException: 418, TenantForbidden: 403, RuntimeError: 500}[type(error)]
    assert not world.recorded.calls


@pytest.mark.parametrize("gone", [True, False])
def test_a_disconnect_behind_an_unread_body_is_seen(gone: bool) -> None:
    world = World()
    answered = []

    async def run() -> None:
        messages: asyncio.Queue[Message] = asyncio.Queue()
        for part in range(3):
            messages.put_nowait({"type": "http.request", "body": b"x", "more_body": part < 2})
        if gone:
            messages.put_nowait({"type": "http.disconnect"})

        async def send(message: Message) -> None:
            answered.append(message["type"])

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/create/1",
            "headers": [],
            "query_string": b"",
            "state": {},
        }
        await world.app()(scope, messages.get, send)

    asyncio.run(run())
    assert (world.stored() is None) == (world.sent() == 0) == (not answered) == gone


def test_a_resolver_is_a_function() -> None:
    tenant: Any = "acme"
    with pytest.raises(UsageError, match="function from the ASGI scope"):
        DynamORMMiddleware(World().app(), database=World().db, tenant=tenant)
