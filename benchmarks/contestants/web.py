"""A Starlette app called as a server calls it, with and without the middleware; nobody uses the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from benchmarks.contestants import Contestant
from lift_dynamorm import Database
from lift_dynamorm.operations.concurrency import drive
from lift_middleware import DynamORMMiddleware

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Message

_SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"localhost:8000"), (b"accept", b"*/*"), (b"user-agent", b"benchmark")],
    "client": ("127.0.0.1", 50000),
    "server": ("127.0.0.1", 8000),
}


async def _hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


class Bare(Contestant):
    title: ClassVar[str] = "Starlette alone"
    packages: ClassVar[tuple[str, ...]] = ("starlette",)

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self._app = Starlette(routes=[Route("/", _hello)], middleware=self._middleware())
        self._sent: list[Message] = []

    def _middleware(self) -> list[Middleware]:
        return []

    def middleware(self, count: int) -> list[Message]:
        for _ in range(count):
            self._sent.clear()
            drive(self._app({**_SCOPE, "state": {}}, self._receive, self._send))
        return self._sent

    async def _receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        self._sent.append(message)

    def check(self, row: str, answer: list[Message]) -> None:
        self._expect([200, b"hello"], [answer[0]["status"], answer[1]["body"]])


class WithMiddleware(Bare):
    title: ClassVar[str] = "Starlette + DynamORMMiddleware"

    def _middleware(self) -> list[Middleware]:
        return [Middleware(DynamORMMiddleware, database=Database(self.endpoint))]
