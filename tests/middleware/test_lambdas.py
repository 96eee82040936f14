"""`lambda_handler`: one event loop, so that warm invocations reuse the connections of the one before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lift_dynamorm import Database, Model, PartitionKey
from lift_dynamorm.transport.http import HttpTransport
from lift_middleware import DynamORMMiddleware, lambda_handler
from tests.lambdas.events import SOURCES, Answer
from tests.middleware.drivers import LambdaContext

if TYPE_CHECKING:
    from starlette.requests import Request

    from tests.engines.servers import Server


class Visit(Model, table="visits"):
    path: PartitionKey[str]
    loop: int


@pytest.fixture
def transport(server: Server) -> HttpTransport:
    transport = server.transport()
    assert isinstance(transport, HttpTransport)
    return transport


@pytest.mark.parametrize("source", SOURCES)
def test_warm_invocations_share_one_connection(transport: HttpTransport, source: str) -> None:
    async def visit(request: Request) -> Response:
        loop = id(asyncio.get_running_loop())
        await request.state.db.put(Visit(path=request.url.path, loop=loop))
        return PlainTextResponse(f"{transport.stats.open}")

    database = Database(transport=transport)
    database.sync.create_tables(Visit)
    app = Starlette(
        routes=[Route("/{n}", visit, methods=["POST"])], middleware=[Middleware(DynamORMMiddleware, database=database)]
    )
    handler = lambda_handler(app)
    build = SOURCES[source]
    for n in range(5):
        answer = Answer.of(handler(build("POST", f"/{n}"), LambdaContext()))
        assert answer.status == 200
    with database.sync.session() as session:
        loops = {session.get(Visit, path=f"/{n}").loop for n in range(5)}
    assert len(loops) == 1
    handler_loop = asyncio.get_event_loop()
    assert handler_loop.run_until_complete(_open(transport)) == 1
    handler_loop.run_until_complete(database.aclose())
    database.sync.close()
    handler.close()


async def _open(transport: HttpTransport) -> int:
    return transport.stats.open


def test_it_works_again_after_it_was_closed() -> None:
    async def hello(request: Request) -> Response:
        return PlainTextResponse("hello")

    handler = lambda_handler(Starlette(routes=[Route("/", hello)]))
    for _ in range(2):
        assert Answer.of(handler(SOURCES["http-api"]("GET", "/"), LambdaContext())).body == b"hello"
        handler.close()


def test_mangums_options_are_passed_on() -> None:
    async def hello(request: Request) -> Response:
        return PlainTextResponse(request.url.path)

    handler = lambda_handler(Starlette(routes=[Route("/hello", hello)]), api_gateway_base_path="/v1")
    answer = Answer.of(handler(SOURCES["http-api"]("GET", "/v1/hello"), LambdaContext()))
    assert (answer.status, answer.body) == (200, b"/hello")
    handler.close()
