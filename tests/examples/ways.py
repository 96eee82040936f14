"""The ways into the users API: in process, under uvicorn, and through Mangum from each of Lambda's HTTP sources."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from lift_dynamorm import Database
from lift_dynamorm.transport import Payload, Transport
from lift_dynamorm.transport.local import LocalTransport
from lift_middleware import lambda_handler
from tests.lambdas.events import SOURCES, Answer, Builder
from tests.wire import ValidatingTransport

with pytest.MonkeyPatch.context() as _environment:
    _environment.setenv("DYNAMODB_ENDPOINT", "local://")  # for the `app` that the module makes; ours are made here
    from examples.basic_crud_api.app import User as User
    from examples.basic_crud_api.app import create_app as create_app

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "basic_crud_api"
PYTHONPATH = os.pathsep.join(map(str, (ROOT / "tests" / "checked", ROOT, ROOT / "middleware")))
"""For processes that tests start; its first folder holds their requests against botocore's model."""
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the API, the same whichever way it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def etag(self) -> str:
        return self.headers["etag"]

    def problem(self) -> dict[str, Any]:
        """The body, once it has been seen to be problem details for the status of this answer."""
        assert self.headers["content-type"] == "application/problem+json"
        body: dict[str, Any] = self.json()
        assert body["status"] == self.status
        assert body["title"]
        assert body["detail"]
        return body


class Ask(Protocol):
    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Reply: ...


class Spy:
    """Pass requests on, note them, and let something happen before one: `before["TransactWriteItems"] = ...`."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.sent: list[tuple[str, Payload]] = []
        self.before: dict[str, Callable[[], None]] = {}

    @property
    def blocking(self) -> Spy:
        return self

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        meddle = self.before.pop(operation, None)
        if meddle is not None:
            meddle()
        self.sent.append((operation, payload))
        return await self._inner.send(operation, payload, deadline=deadline)

    async def aclose(self) -> None:
        await self._inner.aclose()


def embedded() -> Database:
    """A database of its own on the embedded engine, with its table, that checks every request."""
    database = Database(transport=ValidatingTransport(LocalTransport()))
    asyncio.run(database.create_tables(User))
    return database


@contextmanager
def in_process(database: Database) -> Iterator[Ask]:
    """Call the app without a server."""
    transport = httpx.ASGITransport(create_app(database))
    client = httpx.AsyncClient(transport=transport, base_url="http://testserver")
    with asyncio.Runner() as runner:

        def ask(
            method: str,
            path: str,
            body: Any = None,
            *,
            query: Iterable[tuple[str, str]] = (),
            headers: Mapping[str, str] | None = None,
        ) -> Reply:
            request = client.build_request(method, path, params=list(query), headers=headers, json=body)
            response = runner.run(client.send(request))
            return Reply(response.status_code, response.headers, response.content)

        yield ask
        runner.run(client.aclose())
        runner.run(database.aclose())


class _Context:
    """What Mangum and the middleware want of Lambda's context."""

    def get_remaining_time_in_millis(self) -> int:
        return 15_000


@contextmanager
def through_mangum(build: Builder, database: Database) -> Iterator[Ask]:
    """Call the app as Lambda does, with the events of one source."""
    handler = lambda_handler(create_app(database))
    yield from_lambda(build, lambda event: handler(event, _Context()))
    handler.close()
    asyncio.run(database.aclose())


def from_lambda(build: Builder, invoke: Callable[[dict[str, Any]], dict[str, Any]]) -> Ask:
    """Turn requests into events of a source, and responses of the function into answers."""

    def ask(
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        sent = dict(headers or {})
        if body is not None:
            sent["Content-Type"] = "application/json"
        text = None if body is None else json.dumps(body)
        response = invoke(build(method, path, query=query, headers=sent.items(), body=text))
        # A REST API gives base64 to its clients as it is, unless it has been told of binary types.
        assert not response.get("isBase64Encoded"), response
        answer = Answer.of(response)
        return Reply(answer.status, dict(answer.headers), answer.body)

    return ask


@contextmanager
def under_uvicorn() -> Iterator[str]:
    """Serve the example as its README says, in a process of its own; gives the URL."""
    command = [sys.executable, "-W", "error", "-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", "0"]
    environment = {**os.environ, "DYNAMODB_ENDPOINT": "local://", "PYTHONPATH": PYTHONPATH}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            command, cwd=EXAMPLE, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )

        def written() -> str:
            return os.pread(log.fileno(), os.fstat(log.fileno()).st_size, 0).decode(errors="replace")

        try:
            yield _url(server, written)
        finally:
            server.terminate()
            server.wait(_PATIENCE)
        assert "Application shutdown complete" in written()
        assert "Traceback" not in written()
        assert "Warning" not in written()


def _url(server: subprocess.Popen[bytes], written: Callable[[], str]) -> str:
    end = time.monotonic() + _PATIENCE
    while True:
        running = re.search(r"running on (http://127\.0\.0\.1:\d+)", written())
        if running:
            return running[1]
        if server.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"uvicorn did not start. It wrote:\n{written()}")
        time.sleep(0.01)


@contextmanager
def over_http() -> Iterator[Ask]:
    """Send real requests to a real server."""
    with under_uvicorn() as url, httpx.Client(base_url=url, timeout=_PATIENCE) as client:

        def ask(
            method: str,
            path: str,
            body: Any = None,
            *,
            query: Iterable[tuple[str, str]] = (),
            headers: Mapping[str, str] | None = None,
        ) -> Reply:
            response = client.request(method, path, params=list(query), headers=headers, json=body)
            return Reply(response.status_code, response.headers, response.content)

        yield ask


IN_PROCESS: dict[str, Callable[[Database], AbstractContextManager[Ask]]] = {
    "asgi": in_process,
    **{f"lambda-{name}": partial(through_mangum, build) for name, build in SOURCES.items()},
}
"""The ways that take a database, which a test may have prepared."""

WAYS: dict[str, Callable[[], AbstractContextManager[Ask]]] = {
    "uvicorn": over_http,
    **{name: (lambda way=way: way(embedded())) for name, way in IN_PROCESS.items()},  # type: ignore[misc]  # mypy infers no default's type
}
