"""The whole stack over real sockets: connections broken at each step of a write, and many requests at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lift_dynamorm import Database, F, Model, OutcomeUnknown, UpdatedAt, Version
from lift_dynamorm.transport.http import HttpTransport
from lift_middleware import DynamORMMiddleware
from tests.engines.servers import Server
from tests.proxy import AFTER, BEFORE, HALF_WAY, STEPS, Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request

    from lift_dynamorm import SyncSession


class Account(Model, table="accounts", pk="ACCOUNT#{id}", sk="ACCOUNT"):
    id: str
    balance: int = 0
    version: Version = 0
    updated_at: UpdatedAt = None


class Counter(Model, table="accounts", pk="COUNTER#{id}", sk="COUNTER"):
    id: str
    n: int = 0


@pytest.fixture
def calm(server: Server) -> Iterator[SyncSession]:
    """The same tables, past the proxy; empty."""
    database = Database(server.url)
    database.sync.create_tables(Account)
    with database.sync.session() as session:
        for model in (Account, Counter):
            session.delete(model, id="1", missing_ok=True)
        yield session
    database.sync.close()


Write = tuple[str, "Callable[[Any], Any]", "Callable[[SyncSession], bool]"]


async def _create(session: Any) -> None:
    await session.create(Account(id="1", balance=5))


async def _put(session: Any) -> None:
    await session.put(Counter(id="1", n=7))


async def _update(session: Any) -> None:
    account = await session.get(Account, id="1")
    await session.update(account, balance=F.balance + 1)
    assert (account.balance, account.version) == (1, 2)


async def _delete(session: Any) -> None:
    await session.delete(await session.get(Account, id="1"))


async def _transaction(session: Any) -> None:
    async with session.transaction():
        await session.create(Account(id="1", balance=5))
        await session.update(Counter, {"id": "1"}, n=F.n + 1)


WRITES: dict[str, tuple[str, Callable[[Any], Any], list[Model], list[Model | None]]] = {
    "create": ("PutItem", _create, [], [Account(id="1", balance=5, version=1), None]),
    "put": ("PutItem", _put, [], [None, Counter(id="1", n=7)]),
    "update": ("UpdateItem", _update, [Account(id="1")], [Account(id="1", balance=1, version=2), None]),
    "delete": ("DeleteItem", _delete, [Account(id="1")], [None, None]),
    "transaction": (
        "TransactWriteItems",
        _transaction,
        [Counter(id="1")],
        [Account(id="1", balance=5, version=1), Counter(id="1", n=1)],
    ),
}


@pytest.mark.parametrize("way", ["async", "sync"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", WRITES)
def test_a_broken_connection_loses_nothing_and_applies_nothing_twice(
    name: str, step: str, way: str, proxy: Proxy, calm: SyncSession
) -> None:
    operation, write, before, after = WRITES[name]
    for item in before:
        calm.create(item.model_copy())
    proxy.break_next(operation, step)
    _run(way, proxy.url, write)
    assert proxy.operations.count(operation) == 2, "sent, broken, and sent again"
    account = calm.find(Account, id="1")
    if account is not None:
        assert account.updated_at is not None
        account.updated_at = None
    assert [account, calm.find(Counter, id="1")] == after


def _run(way: str, url: str, write: Callable[[Any], Any]) -> None:
    database = Database(url)
    if way == "sync":
        from lift_dynamorm.operations.concurrency import drive
        from lift_dynamorm.session import Session

        drive(write(Session(database, database.transport.blocking)))
        database.sync.close()
        return

    async def run() -> None:
        async with database.session() as session:
            await write(session)
        await database.aclose()

    asyncio.run(run())


@pytest.mark.parametrize(("step", "applied"), [(BEFORE, 0), (AFTER, 1), (HALF_WAY, 1)])
def test_what_could_apply_twice_is_not_sent_again(step: str, applied: int, proxy: Proxy, calm: SyncSession) -> None:
    calm.create(Counter(id="1"))
    proxy.break_next("UpdateItem", step)
    database = Database(proxy.url)
    with database.sync.session() as session, pytest.raises(OutcomeUnknown, match="may or may not"):
        session.update(Counter, {"id": "1"}, n=F.n + 1)
    database.sync.close()
    assert calm.get(Counter, id="1").n == applied
    assert proxy.operations.count("UpdateItem") == 1


def test_many_requests_share_one_bounded_pool_and_nothing_leaks(proxy: Proxy, calm: SyncSession) -> None:
    transport = HttpTransport.from_environment(proxy.url, max_connections=8)
    database = Database(transport=transport)
    peak, inside = 0, 0
    all_inside = asyncio.Event()

    async def route(request: Request) -> Response:
        nonlocal peak, inside
        db, n = request.state.db, request.path_params["n"]
        mine = await db.put(Counter(id=f"many-{n}", n=n))
        assert await db.find(Counter, id=f"many-{(n + 1) % 200}") is None, "another request's write is not seen"
        peak, inside = max(peak, transport.stats.open), inside + 1
        if inside == 200:
            all_inside.set()
        await all_inside.wait()  # nobody commits before all have looked
        return JSONResponse({"n": mine.n}, 400 if n % 5 == 0 else 200)

    app = Starlette(
        routes=[Route("/{n:int}", route, methods=["POST"])],
        middleware=[Middleware(DynamORMMiddleware, database=database)],
    )

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
            answers = await asyncio.gather(*(client.post(f"/{n}") for n in range(200)))
        assert [answer.json()["n"] for answer in answers] == list(range(200))
        await database.aclose()

    asyncio.run(run())
    assert 1 < peak <= 8
    assert proxy.accepted <= 8
    for n in range(200):
        found = calm.find(Counter, id=f"many-{n}")
        assert (found is not None) == (n % 5 != 0)
        calm.delete(Counter, id=f"many-{n}", missing_ok=True)
