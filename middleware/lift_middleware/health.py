"""Whether this process is alive, and whether it can serve."""

from __future__ import annotations

import asyncio
import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson

from lift_dynamorm.errors import DynamORMError, UsageError
from lift_dynamorm.tables.live import read_table
from lift_dynamorm.tables.plan import plan

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lift_dynamorm import Database, Model
    from lift_dynamorm.tables import LiveTable, Plan, TableSpec
    from lift_middleware.asgi import ASGIApp, Message, Receive, Scope, Send

log: logging.Logger = logging.getLogger("lift_middleware")

_USABLE = ("ACTIVE", "UPDATING")
_DRAINING = ("draining",)


class Health:
    """Answer ``GET /live`` and ``GET /ready`` with 200 or 503, as JSON.

    Live is a process that answers at all: nothing else is asked, so that a failing database restarts nobody. Ready is
    one that reaches DynamoDB, where the tables of its models are there, with their keys, indexes and time to live.

    Around an app it answers in front of it: make it the outermost middleware. Without one it is to be mounted:
    ``Mount("/health", Health(database=db, models=[User]))``.

    models: whose tables are checked. live, ready: the paths. timeout: seconds that a check may take. cache: seconds for
    which its outcome serves all who ask, so that probes cost next to nothing. details: tell the names of checks that
    fail, as ``index app.by_team``; else they are only logged.
    """

    def __init__(
        self,
        app: ASGIApp | None = None,
        *,
        database: Database,
        models: Collection[type[Model]],
        live: str = "/live",
        ready: str = "/ready",
        timeout: float = 2.0,
        cache: float = 5.0,
        details: bool = False,
    ) -> None:
        if not models:
            raise UsageError("models= are those whose tables are checked; without any, nothing would be")
        if timeout <= 0 or cache < 0:
            raise UsageError("timeout= is seconds, more than 0, and cache= seconds, 0 for none")
        self.app = app
        self.database = database
        self.live = live
        self.ready = ready
        self.timeout = timeout
        self.cache = cache
        self.details = details
        self.draining: bool = False
        self._specs: Sequence[TableSpec] = database.tables(*models).specs
        self._failing: Sequence[str] = ()
        self._good_until = float("-inf")
        self._checking: asyncio.Task[Sequence[str]] | None = None

    def drain(self) -> None:
        """Be ready no longer, so that no new requests are sent here: on the way to the end of the process.

        Servers stop to listen before they tell of their shutdown, so call it when the signal comes.
        """
        self.draining = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", "")) if scope["type"] == "http" else None
        if path == self.live:
            await self._answer(scope, send, ())
        elif path == self.ready:
            await self._answer(scope, send, _DRAINING if self.draining else await self.failing())
        elif self.app is None:
            await _not_found(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self.app(scope, self._watching(receive), send)
        else:
            await self.app(scope, receive, send)

    async def failing(self) -> Sequence[str]:
        """Name the checks that fail; what was found a moment ago is good for `cache` seconds."""
        if time.monotonic() < self._good_until:
            return self._failing
        task = self._checking
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            task = self._checking = asyncio.create_task(self._check())
        return await asyncio.shield(task)

    async def _check(self) -> Sequence[str]:
        try:
            async with asyncio.timeout(self.timeout):
                found = [name for spec in self._specs for name in await self._check_table(spec)]
        except TimeoutError:
            found = ["database"]
            log.warning("not ready: DynamoDB did not answer within %s seconds", self.timeout)
        except DynamORMError as error:
            found = ["database"]
            log.warning("not ready: %s", error)
        if found and found != list(self._failing):
            log.warning("not ready: %s", ", ".join(found))
        self._failing = found
        self._good_until = time.monotonic() + self.cache
        return found

    async def _check_table(self, spec: TableSpec) -> list[str]:
        live = await read_table(self.database.transport, spec.name, ())
        if live is None or live.status not in _USABLE:
            return [f"table {spec.name}"]
        return _differences(spec, live, plan([(spec, live)]))

    async def _answer(self, scope: Scope, send: Send, failing: Sequence[str]) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await _send(send, HTTPStatus.METHOD_NOT_ALLOWED, b"", (b"allow", b"GET, HEAD"))
            return
        answer: dict[str, object] = {"status": "unavailable" if failing else "ok"}
        if failing and self.details:
            answer["failing"] = list(failing)
        status = HTTPStatus.SERVICE_UNAVAILABLE if failing else HTTPStatus.OK
        body = orjson.dumps(answer)
        await _send(send, status, body, (b"content-type", b"application/json"), head=scope["method"] == "HEAD")

    def _watching(self, receive: Receive) -> Receive:
        async def watched() -> Message:
            message = await receive()
            self.draining = message["type"] == "lifespan.shutdown"
            return message

        return watched


def _differences(spec: TableSpec, live: LiveTable, compared: Plan) -> list[str]:
    """Name what a table lacks that its models use. What it has beside, and how it is set up, does not matter."""
    if compared.refused:
        return [f"table {spec.name}"]
    found = {f"index {spec.name}.{step.subject}" for step in compared.steps if step.kind == "create index"}
    found |= {f"index {drop.name}" for drop in compared.drops if drop.needed}
    found |= {
        f"index {spec.name}.{name}"
        for name, status in live.indexes.items()
        if name in spec.global_indexes and status not in _USABLE
    }
    found.discard(f"index {spec.name}.time_to_live")
    if spec.time_to_live not in (None, live.spec.time_to_live):
        found.add(f"time to live {spec.name}")
    return sorted(found)


async def _send(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes], head: bool = False) -> None:
    given = [*headers, (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": given})
    await send({"type": "http.response.body", "body": b"" if head else body})


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse what is none of the two paths, where there is no app around."""
    if scope["type"] == "http":
        await _send(send, HTTPStatus.NOT_FOUND, b"")
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000, "reason": "not found"})
