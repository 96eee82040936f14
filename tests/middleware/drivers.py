"""The same ASGI app behind different servers, asked by the same small client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import uvicorn

from lift_middleware import LambdaHandler
from tests.lambdas.events import SOURCES
from tests.lambdas.events import Answer as LambdaAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lift_middleware.asgi import ASGIApp


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return httpx.Response(200, content=self.body).json()


class Client(Protocol):
    def __call__(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer: ...


@contextlib.contextmanager
def in_process(app: ASGIApp) -> Iterator[Client]:
    """httpx's own ASGI transport, one event loop for all requests."""
    loop = asyncio.new_event_loop()
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app, raise_app_exceptions=False),
        base_url="http://test",
    )

    def ask(method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        response = loop.run_until_complete(client.request(method, path, headers=headers, content=body))
        return Answer(response.status_code, dict(response.headers), response.content)

    try:
        yield ask
    finally:
        loop.run_until_complete(client.aclose())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class Uvicorn:
    """A real uvicorn on a free port of 127.0.0.1, in a thread."""

    def __init__(self, app: ASGIApp) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(app, log_level="critical", lifespan="auto")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> Uvicorn:
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("uvicorn did not start")
            threading.Event().wait(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()


@contextlib.contextmanager
def under_uvicorn(app: ASGIApp) -> Iterator[Client]:
    with Uvicorn(app) as server, httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:

        def ask(method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
            response = client.request(method, path, headers=headers, content=body)
            return Answer(response.status_code, dict(response.headers), response.content)

        yield ask


class LambdaContext:
    """What Lambda hands to a function beside the event."""

    aws_request_id = "6bc28136-xmpl-4365-b021-0ce6b2e64ab0"
    function_name = "app"

    def __init__(self, remaining: float = 30.0) -> None:
        self._remaining = remaining

    def get_remaining_time_in_millis(self) -> int:
        return int(self._remaining * 1000)


@contextlib.contextmanager
def on_lambda(app: ASGIApp, source: str = "http-api", *, remaining: float = 30.0) -> Iterator[Client]:
    """Mangum, with events of one of Lambda's HTTP sources."""
    handler = LambdaHandler(app)
    build = SOURCES[source]

    def ask(method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        event = build(method, path, headers=tuple((headers or {}).items()), body=body or None)
        answer = LambdaAnswer.of(handler(event, LambdaContext(remaining)))
        return Answer(answer.status, {k.lower(): v for k, v in answer.headers}, answer.body)

    try:
        yield ask
    finally:
        handler.close()


DRIVERS = {"in-process": in_process, "uvicorn": under_uvicorn, "lambda": on_lambda}
