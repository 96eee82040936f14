"""`ConcurrencyLimitMiddleware` in two processes, one of which is killed with a slot in its hands."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lift_dynamorm import Database
from lift_middleware import DynamORMMiddleware
from lift_middleware.concurrency import ConcurrencyLimitMiddleware, ConcurrencySlots
from tests.middleware.test_idempotency_killed import Served

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from tests.engines.servers import Server

LEASE = 1.5


class Slots(ConcurrencySlots, table="slots", pk="SLOTS#{id}", sk="-"):
    pass


def app() -> Starlette:
    """Make the app: one request at a time."""
    db = Database(os.environ["DYNAMODB"], region="us-east-1")

    async def stay(request: Request) -> Response:
        await asyncio.sleep(60)
        return PlainTextResponse("too late")

    async def effects(request: Request) -> Response:
        return PlainTextResponse("done")

    return Starlette(
        routes=[Route("/stay", stay), Route("/effects", effects, methods=["POST"])],
        middleware=[
            Middleware(DynamORMMiddleware, database=db),
            Middleware(ConcurrencyLimitMiddleware, database=db, slots=Slots, limit=1, lease=LEASE, timeout=5.0),
        ],
    )


def test_the_slot_of_a_process_that_was_killed_comes_back(server: Server, tmp_path: Path) -> None:
    db = Database(transport=server.transport())
    db.sync.create_tables(Slots)
    folders = [tmp_path / name for name in ("dies", "lives")]
    for folder in folders:
        folder.mkdir()
    dies, lives = (Served(server, folder, app=f"{__name__}:app") for folder in folders)

    def stay() -> None:
        with suppress(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{dies.port}/stay", timeout=60)

    try:
        dies.start()
        lives.start()
        holder = threading.Thread(target=stay)
        holder.start()
        time.sleep(2 * LEASE)
        assert lives.post().status_code == 503, "it is renewed"
        dies.stop()
        killed = time.monotonic()
        holder.join()
        while (answer := lives.post()).status_code == 503 and time.monotonic() < killed + 20:
            time.sleep(0.05)
        took = time.monotonic() - killed
    finally:
        dies.stop()
        lives.stop()
        db.sync.close()
    assert answer.status_code == 200
    assert LEASE / 3 < took < LEASE + 5
