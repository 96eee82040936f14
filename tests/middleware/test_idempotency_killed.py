"""`IdempotencyMiddleware` in processes of their own, on one DynamoDB: two at once, and one that is killed.

The app of these tests is `app`, below; it dies by SIGKILL where the file that the environment names tells it to.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lift_dynamorm import Database, Model, new_id
from lift_middleware import DynamORMMiddleware
from lift_middleware.idempotency import IdempotencyMiddleware, IdempotencyRecord
from tests.engines import EXAMPLE_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from lift_middleware.asgi import ASGIApp, Message, Receive, Scope, Send
    from tests.engines.servers import Server

POINTS = ["in the route", "before the commit", "after the commit", "before the claim", "none"]
LEASE = 1.0
KEY = {"idempotency-key": '"one"'}


class Effect(Model, table="app", pk="EFFECT#{id}", sk="-"):
    id: str
    process: int


class Replay(IdempotencyRecord, table="app", pk="IDEMPOTENCY#{id}", sk="-"):
    pass


def die_at(point: str) -> None:
    """End this process, as a crash would, if it is to end here."""
    order = Path(os.environ["KILL_FILE"])
    if order.exists() and order.read_text() == point:
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


class DyingMiddleware:
    """Die before the request is passed on, or before the start of the response is."""

    def __init__(self, app: ASGIApp, *, request: str = "", response: str = "") -> None:
        self.app = app
        self.request = request
        self.response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_or_die(message: Message) -> None:
            if message["type"] == "http.response.start" and self.response:
                die_at(self.response)
            await send(message)

        if self.request and scope["type"] == "http":
            die_at(self.request)
        await self.app(scope, receive, send_or_die)


def app() -> Starlette:
    """Make the app: each call of its route is another effect."""
    db = Database(os.environ["DYNAMODB"], region="us-east-1")

    async def route(request: Request) -> Response:
        effect = await request.state.db.create(Effect(id=new_id(), process=os.getpid()))
        await asyncio.sleep(0.05)
        die_at("in the route")
        return JSONResponse(effect.model_dump(), 201)

    wait = float(os.environ["WAIT"])
    return Starlette(
        routes=[Route("/effects", route, methods=["POST"])],
        middleware=[
            Middleware(DyingMiddleware, request="before the claim", response="after the commit"),
            Middleware(DynamORMMiddleware, database=db),
            Middleware(DyingMiddleware, response="before the commit"),
            Middleware(IdempotencyMiddleware, database=db, record=Replay, lease=LEASE, wait=wait),
        ],
    )


class Served:
    """The app under uvicorn, in a process of its own, which is killed at the end."""

    def __init__(self, server: Server, folder: Path, *, wait: float = 0.0, app: str = f"{__name__}:app") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.order = folder / "kill"
        self._output = (folder / "output").open("ab")
        self._command = [sys.executable, "-m", "uvicorn", "--factory", app, "--port", str(self.port)]
        self._command += ["--log-level", "warning"]
        self._environment = {
            **os.environ,
            "DYNAMODB": server.url,
            "AWS_ACCESS_KEY_ID": EXAMPLE_KEY[0],
            "AWS_SECRET_ACCESS_KEY": EXAMPLE_KEY[1],
            "KILL_FILE": str(self.order),
            "WAIT": str(wait),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert self._process is None or self._process.wait(10) is not None
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdout=self._output, stderr=self._output, start_new_session=True
        )
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)
        raise AssertionError("uvicorn did not start")

    def stop(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._output.close()

    def post(self) -> httpx.Response:
        return httpx.post(f"http://127.0.0.1:{self.port}/effects", headers=KEY, timeout=30)


@pytest.fixture
def db(server: Server) -> Iterator[Database]:
    database = Database(transport=server.transport())
    database.sync.create_tables(Effect, Replay)
    yield database
    database.sync.tables(Effect).delete("app")
    database.sync.close()


def effects(db: Database) -> list[Effect]:
    return db.sync.session().scan(Effect).all()


@pytest.mark.parametrize("point", POINTS)
def test_a_request_that_is_repeated_after_a_kill_has_one_effect(
    point: str, server: Server, db: Database, tmp_path: Path
) -> None:
    served = Served(server, tmp_path)
    served.order.write_text(point)
    try:
        served.start()
        answer = None
        with contextlib.suppress(httpx.TransportError):
            answer = served.post()
        assert (answer is not None) == (point == "none")
        if point != "none":
            assert not served.order.exists(), "it did not die"
            assert len(effects(db)) == (1 if point == "after the commit" else 0)
            served.start()
        end = time.monotonic() + 30
        while (again := served.post()).status_code == 409 and time.monotonic() < end:
            assert again.headers["retry-after"] == "1"
            time.sleep(0.1)
        last = served.post()
    finally:
        served.stop()
    assert again.status_code == 201
    assert ("idempotent-replayed" in again.headers) == (point in ("after the commit", "none"))
    assert (last.status_code, last.content) == (201, again.content)
    assert last.headers["idempotent-replayed"] == "true"
    assert [effect.model_dump() for effect in effects(db)] == [last.json()]


def test_fifty_at_once_over_two_workers(server: Server, db: Database, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    workers = [Served(server, folder, wait=20.0) for folder in folders]

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=60) as client:
            urls = [f"http://127.0.0.1:{worker.port}/effects" for worker in workers]
            others = [client.post(url, headers={"idempotency-key": f"{url}-{n}"}) for url in urls for n in range(10)]
            same = [client.post(urls[n % 2], headers=KEY) for n in range(50)]
            return await asyncio.gather(*same, *others)

    try:
        for worker in workers:
            worker.start()
        answers = asyncio.run(ask())
    finally:
        for worker in workers:
            worker.stop()
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers[:50]}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers[:50]) == 49
    stored = effects(db)
    assert len(stored) == 21
    assert len({effect.process for effect in stored}) == 2, "both workers were at work"
