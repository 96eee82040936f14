"""What becomes of the writes of a route: modes, what is called behind a commit, routes that are called again."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from lift_dynamorm import Database, F, Model, SessionClosed, UsageError, Version, VersionConflict
from lift_dynamorm.transport.faults import Conflict, FaultTransport, On
from lift_dynamorm.transport.local import LocalTransport
from lift_dynamorm.transport.retry import RetryTransport
from lift_middleware import DynamORMMiddleware, immediate, read_only, transactional
from lift_middleware.fastapi import DB
from tests.middleware.drivers import DRIVERS, in_process
from tests.wire import ValidatingTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from lift_middleware.asgi import ASGIApp


class Count(Model, table="counts", pk="COUNT#{id}", sk="-"):
    id: str
    n: int = 0
    version: Version = 0


class World:
    """A database on the embedded engine, and what the routes of a test have seen."""

    def __init__(self, *faults: Any) -> None:
        local = ValidatingTransport(LocalTransport())
        self.calm = Database(transport=RetryTransport(local))
        self.calm.sync.create_tables(Count)
        faulty = FaultTransport(local, [On("TransactWriteItems", fault) for fault in faults])
        self.db = Database(transport=RetryTransport(faulty, base=0.001, timeout=5.0))
        self.seen: list[Any] = []
        self.called = 0

    def app(self, *routes: Any, **settings: Any) -> Starlette:
        return Starlette(routes=routes, middleware=[Middleware(DynamORMMiddleware, database=self.db, **settings)])

    def stored(self, id: str = "1") -> Count | None:
        return self.calm.sync.session().find(Count, id=id)


@pytest.fixture(params=DRIVERS)
def serve(request: pytest.FixtureRequest) -> Callable[[ASGIApp], Any]:
    driver: Callable[[ASGIApp], Any] = DRIVERS[request.param]
    return driver


async def fails(request: Request) -> Response:
    await request.state.db.create(Count(id="1"))
    return PlainTextResponse("no", 418)


def test_an_immediate_route_keeps_what_it_wrote(serve: Any) -> None:
    world = World()
    with serve(world.app(Route("/", immediate(fails), methods=["POST"]))) as ask:
        assert ask("POST", "/").status == 418
    assert world.stored() is not None


def test_a_route_is_transactional_unless_it_is_said_otherwise() -> None:
    world = World()
    with in_process(world.app(Route("/", _unmarked(fails), methods=["POST"]))) as ask:
        assert ask("POST", "/").status == 418
    assert world.stored() is None


def _unmarked(route: Any) -> Any:
    async def endpoint(request: Request) -> Any:
        return await route(request)

    return endpoint


def test_an_immediate_route_may_write_while_it_streams(serve: Any) -> None:
    world = World()

    @immediate
    async def stream(request: Request) -> Response:
        async def body() -> Any:
            yield "one "
            await request.state.db.create(Count(id="1"))
            yield "stored" if world.stored() else "not stored"

        return StreamingResponse(body())

    with serve(world.app(Route("/", stream))) as ask:
        assert ask("GET", "/").body == b"one stored"


def test_a_transaction_by_hand_in_an_immediate_route() -> None:
    world = World()

    @immediate
    async def route(request: Request) -> Response:
        db = request.state.db
        with pytest.raises(ZeroDivisionError):
            async with db.transaction():
                await db.create(Count(id="1"))
                1 / 0
        async with db.transaction():
            await db.create(Count(id="2"))
        return PlainTextResponse("ok" if world.stored("2") else "late")

    with in_process(world.app(Route("/", route, methods=["POST"]))) as ask:
        assert ask("POST", "/").body == b"ok"
    assert world.stored() is None


def test_a_read_only_route_reads_and_does_not_write(serve: Any) -> None:
    world = World()
    world.calm.sync.session().create(Count(id="1", n=5))

    @read_only
    async def route(request: Request) -> Response:
        db = request.state.db
        found = await db.get(Count, id="1")
        for write in (db.create(Count(id="2")), db.update(found, n=6), db.delete(found)):
            with pytest.raises(SessionClosed, match="this request only reads, by the mode of its route"):
                await write
        with pytest.raises(SessionClosed, match="only reads"):
            async with db.transaction():
                pass
        return PlainTextResponse(str(found.n))

    with serve(world.app(Route("/", route))) as ask:
        assert ask("GET", "/").body == b"5"
    assert world.stored("2") is None


def test_the_mode_by_method_and_by_mark() -> None:
    world = World()

    def mode(scope: Any) -> Any:
        return "read-only" if scope["method"] == "GET" else "immediate"

    async def write(request: Request) -> Response:
        try:
            await request.state.db.create(Count(id=request.method))
        except SessionClosed:
            return PlainTextResponse("read-only", 418)
        return PlainTextResponse("written", 418)

    routes = [
        Route("/", write, methods=["GET", "POST"]),
        Route("/marked", transactional()(_unmarked(write)), methods=["GET"]),
    ]
    with in_process(world.app(*routes, mode=mode)) as ask:
        assert ask("GET", "/").body == b"read-only"
        assert ask("POST", "/").body == b"written"
        assert world.stored("POST") is not None
        assert ask("GET", "/marked").body == b"written"
        assert world.stored("GET") is None


def test_a_mode_for_every_route() -> None:
    world = World()
    with in_process(world.app(Route("/", _unmarked(fails), methods=["POST"]), mode="immediate")) as ask:
        ask("POST", "/")
    assert world.stored() is not None


def test_marks_of_classes_their_methods_and_mounted_apps() -> None:
    world = World()

    class Endpoint(HTTPEndpoint):
        @immediate
        async def post(self, request: Request) -> Response:
            return await fails(request)

        async def put(self, request: Request) -> Response:
            await request.state.db.create(Count(id="2"))
            return PlainTextResponse("no", 418)

    @read_only
    class ReadOnly(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            with pytest.raises(SessionClosed):
                await request.state.db.create(Count(id="3"))
            return PlainTextResponse("ok")

    routes = [Mount("/in", routes=[Route("/class", Endpoint), Route("/reads", ReadOnly)])]
    with in_process(world.app(*routes)) as ask:
        assert ask("POST", "/in/class").status == 418
        assert ask("PUT", "/in/class").status == 418
        assert ask("GET", "/in/reads").status == 200
    assert world.stored("1") is not None
    assert world.stored("2") is None


def test_marks_of_fastapi_routes() -> None:
    world = World()
    app = FastAPI()
    app.add_middleware(DynamORMMiddleware, database=world.db)

    @app.post("/", status_code=418)
    @immediate
    async def create(db: DB) -> None:
        await db.create(Count(id="1"))

    @app.post("/sync", status_code=418)
    @immediate
    def create_sync(db: DB) -> None:
        db.sync.create(Count(id="2"))

    with in_process(app) as ask:
        assert ask("POST", "/").status == 418
        assert ask("POST", "/sync").status == 418
    assert world.stored("1") is not None
    assert world.stored("2") is not None


@pytest.mark.parametrize("wrong", ["READ", None, 1])
def test_a_mode_is_one_of_three(wrong: Any) -> None:
    with pytest.raises(UsageError, match="is no mode of a route; there are transactional, read-only, immediate"):
        DynamORMMiddleware(World().app(), database=World().db, mode=wrong)


@pytest.mark.parametrize("wrong", [-1, 1.5, None, True])
def test_retries_are_a_whole_number(wrong: Any) -> None:
    with pytest.raises(UsageError, match="conflict_retries="):
        DynamORMMiddleware(World().app(), database=World().db, conflict_retries=wrong)
    if wrong is not None:
        with pytest.raises(UsageError, match="conflict_retries="):
            transactional(conflict_retries=wrong)


# -- behind the commit -------------------------------------------------------------------------------------------------


def test_what_is_called_once_the_writes_are_stored(serve: Any) -> None:
    world = World()

    async def route(request: Request) -> Response:
        db = request.state.db

        async def later() -> None:
            world.seen.append(("async", world.stored() is not None))

        db.on_commit(lambda: world.seen.append(("sync", world.stored() is not None)))
        db.on_commit(later)
        await db.create(Count(id="1"))
        world.called += 1
        assert len(world.seen) <= 2, "nothing is called before the response starts"
        return PlainTextResponse("ok", request.path_params["status"])

    with serve(world.app(Route("/{status:int}", route, methods=["POST"]))) as ask:
        assert ask("POST", "/418").status == 418
        assert world.seen == []
        assert ask("POST", "/201").status == 201
        assert world.seen == [("sync", True), ("async", True)]
        assert ask("POST", "/202").status == 409
        assert (len(world.seen), world.called) == (2, 3)


def test_what_fails_behind_the_commit_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    world = World()

    async def route(request: Request) -> Response:
        db = request.state.db
        db.on_commit(lambda: 1 / 0)
        db.on_commit(lambda: world.seen.append("still called"))
        await db.create(Count(id="1"))
        return PlainTextResponse("ok", 201)

    with caplog.at_level(logging.ERROR, "lift_dynamorm"), in_process(world.app(Route("/", route))) as ask:
        assert ask("GET", "/").status == 201
    assert "a function of on_commit failed; the transaction is stored" in caplog.text
    assert world.seen == ["still called"]
    assert world.stored() is not None


async def test_a_block_that_is_taken_back_takes_its_functions_with_it() -> None:
    world, seen = World(), list[str]()
    session = world.db.session()
    async with session.transaction():
        session.on_commit(lambda: seen.append("outer"))
        with pytest.raises(ZeroDivisionError):
            async with session.transaction():
                session.on_commit(lambda: seen.append("inner"))
                1 / 0
    assert seen == ["outer"]
    with pytest.raises(UsageError, match=r"on_commit\(\) is for a transaction, and none is open"):
        session.on_commit(lambda: None)
    with world.db.sync.session().transaction() as sync:
        sync.on_commit(lambda: seen.append("sync"))
        assert seen == ["outer"]
    assert seen == ["outer", "sync"]


# -- called again ------------------------------------------------------------------------------------------------------


def counting(world: World) -> Any:
    """A route that reads, then writes what it calculates; the body says how much to add."""

    async def add(request: Request) -> Response:
        by = int(await request.body())
        db = request.state.db
        count = await db.get(Count, id="1")
        world.seen.append(count.n)
        assert not hasattr(request.state, "left_behind")
        request.state.left_behind = True
        await asyncio.sleep(0)
        count = await db.update(count, n=count.n + by)
        return JSONResponse({"n": count.n})

    return add


def test_a_route_that_met_a_conflict_is_called_again(serve: Any) -> None:
    world = World(Conflict(), Conflict())
    world.db.transport._max_attempts = 1
    world.calm.sync.session().create(Count(id="1"))
    route = transactional(conflict_retries=2)(counting(world))
    with serve(world.app(Route("/", route, methods=["POST"]))) as ask:
        answer = ask("POST", "/", body=b"3")
    assert (answer.status, answer.json()) == (200, {"n": 3})
    assert world.seen == [0, 0, 0]
    assert world.stored() == Count(id="1", n=3, version=2)


def test_a_route_is_called_once_unless_it_is_said_otherwise(serve: Any) -> None:
    world = World(Conflict())
    world.calm.sync.session().create(Count(id="1"))
    world.db.transport._max_attempts = 1
    with serve(world.app(Route("/", counting(world), methods=["POST"]))) as ask:
        assert ask("POST", "/", body=b"3").status == 409
    assert world.seen == [0]


def test_it_is_called_again_so_often_and_not_more() -> None:
    world = World(*[Conflict()] * 9)
    world.db.transport._max_attempts = 1
    world.calm.sync.session().create(Count(id="1"))
    with in_process(world.app(Route("/", counting(world), methods=["POST"]), conflict_retries=2)) as ask:
        assert ask("POST", "/", body=b"3").status == 409
    assert world.seen == [0, 0, 0]
    assert world.stored() == Count(id="1", version=1)


def test_requests_at_once_all_count() -> None:
    world = World()
    world.calm.sync.session().create(Count(id="1"))
    app = world.app(Route("/", counting(world), methods=["POST"]), conflict_retries=100)

    async def run() -> list[int]:
        async def one() -> int:
            statuses: list[int] = []

            async def receive() -> Any:
                return {"type": "http.request", "body": b"1", "more_body": False}

            async def send(message: Any) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(message["status"])

            scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b"", "root_path": ""}
            await app(scope, receive, send)
            return statuses[0]

        return await asyncio.gather(*(one() for _ in range(12)))

    assert set(asyncio.run(run())) == {200}
    count = world.stored()
    assert count is not None
    assert count.n == 12
    assert len(world.seen) > 12  # or there was no conflict, and this shows nothing


def test_a_long_body_is_not_kept() -> None:
    world = World(Conflict())
    world.db.transport._max_attempts = 1
    world.calm.sync.session().create(Count(id="1"))

    async def long(request: Request) -> Response:
        world.seen.append(len(await request.body()))
        await request.state.db.update(Count, {"id": "1"}, F.n.add(1))
        return PlainTextResponse("ok")

    with in_process(world.app(Route("/", long, methods=["POST"]), conflict_retries=5)) as ask:
        assert ask("POST", "/", body=b"x" * 1_000_001).status == 409
        assert world.seen == [1_000_001]
        assert ask("POST", "/", body=b"x" * 1_000_000).status == 200


def test_a_conflict_in_the_route_itself() -> None:
    world = World()
    calls: list[int] = []

    async def route(request: Request) -> Response:
        calls.append(1)
        if len(calls) < 3:
            raise VersionConflict("somebody else was faster")
        return PlainTextResponse("ok")

    with in_process(world.app(Route("/", route), conflict_retries=5)) as ask:
        assert ask("GET", "/").status == 200
    assert len(calls) == 3


def test_no_call_begins_after_the_deadline() -> None:
    world = World(*[Conflict()] * 50)
    world.db.transport._max_attempts = 1
    world.calm.sync.session().create(Count(id="1"))
    app = world.app(Route("/", counting(world), methods=["POST"]), conflict_retries=10_000, timeout=0.15)
    with in_process(app) as ask:
        assert ask("POST", "/", body=b"1").status in (409, 503)
    assert len(world.seen) < 50


# -- the order of middlewares ------------------------------------------------------------------------------------------


def test_two_sessions_of_one_name_are_refused() -> None:
    world = World()
    twice = [Middleware(DynamORMMiddleware, database=world.db)] * 2
    app = Starlette(routes=[Route("/", fails)], middleware=twice)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"", "root_path": ""}

    async def nothing(*_: Any) -> Any:
        return {"type": "http.request"}

    with pytest.raises(UsageError, match=r"two DynamORMMiddleware put their session at request\.state\.db"):
        asyncio.run(app(scope, nothing, nothing))


def test_two_databases_under_two_names() -> None:
    world, other = World(), World()

    async def route(request: Request) -> Response:
        await request.state.db.create(Count(id="1"))
        await request.state.other.create(Count(id="2"))
        return PlainTextResponse("ok")

    both = [
        Middleware(DynamORMMiddleware, database=world.db),
        Middleware(DynamORMMiddleware, database=other.db, name="other"),
    ]
    with in_process(Starlette(routes=[Route("/", route, methods=["POST"])], middleware=both)) as ask:
        assert ask("POST", "/").status == 200
    assert (world.stored("1") is not None, other.stored("2") is not None) == (True, True)
