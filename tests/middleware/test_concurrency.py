"""`ConcurrencyLimitMiddleware`: so many at once and no more, whoever crashes."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from lift_dynamorm import Database, UsageError
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.transport.faults import (
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
from lift_middleware.concurrency import ConcurrencyLimitMiddleware, ConcurrencySlots, Renewal
from tests.conftest import unique_tables
from tests.wire import ValidatingTransport

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from lift_dynamorm.transport import Transport
    from lift_middleware.asgi import ASGIApp, Message, Receive, Scope, Send
    from tests.conftest import Engines


class Slots(ConcurrencySlots, table="app", pk="SLOTS#{id}", sk="-"):
    pass


class World:
    """A database, an app on it whose requests stay until they may leave, and a clock that can be moved."""

    def __init__(self, transport: Transport | None = None, *faults: On, **options: Any) -> None:
        self.recorded = RecordingTransport(ValidatingTransport(transport or LocalTransport()))
        names = unique_tables()
        self.calm = Database(transport=RetryTransport(self.recorded), table_names=names)
        retrying = RetryTransport(FaultTransport(self.recorded, list(faults)), base=0.001)
        self.db = Database(transport=retrying, table_names=names, now=self.now)
        self.calm.sync.create_tables(Slots)
        self.recorded.calls.clear()
        self.later = timedelta()
        self.inside = self.most = self.background = 0
        self.leave = asyncio.Event()
        self.options = {"database": self.db, "slots": Slots, "limit": 2, "timeout": 5.0, **options}

    def now(self) -> datetime:
        return datetime.now(UTC) + self.later

    def app(self, *, tenants: bool = False, **options: Any) -> Starlette:
        routes = [
            Route("/wait", self.wait),
            Route("/quick", self.quick),
            Route("/raise", self.raises),
            WebSocketRoute("/ws", self.websocket),
        ]
        tenant = tenant_from_header("x-tenant", trusted=True) if tenants else None
        middleware = [
            Middleware(DynamORMMiddleware, database=self.db, tenant=tenant),
            Middleware(ConcurrencyLimitMiddleware, **{**self.options, **options}),
        ]
        return Starlette(routes=routes, middleware=middleware)

    def held(self, tenant: str | None = None, key: str = "requests") -> int:
        found = self.calm.sync.session(tenant).find(Slots, id=key, consistent=True)
        return len(found.held) if found is not None else 0

    async def wait(self, request: Request) -> Response:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await self.leave.wait()
        self.inside -= 1
        return PlainTextResponse("done")

    async def quick(self, request: Request) -> Response:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(random.uniform(0, 0.01))
        self.inside -= 1

        def later() -> None:
            self.background = self.held()

        return PlainTextResponse("done", background=BackgroundTask(later))

    async def raises(self, request: Request) -> Response:
        raise RuntimeError("a bug in a route")

    async def websocket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("here")
        with suppress(WebSocketDisconnect):
            await websocket.receive_text()

    async def until(self, inside: int) -> None:
        for _ in range(2000):
            if self.inside >= inside:
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"{inside} requests did not come in")


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test", timeout=30)


@pytest.fixture(params=["embedded", "dynoxide"])
def world(request: pytest.FixtureRequest, engines: Engines) -> World:
    return World(engines.transport(request.param))


async def test_one_too_many_is_503(world: World) -> None:
    async with client_of(world.app(retry_after=7)) as client:
        tasks = [asyncio.create_task(client.get("/wait")) for _ in range(2)]
        await world.until(2)
        refused = await client.get("/wait")
        world.leave.set()
        done = await asyncio.gather(*tasks)
        after = await client.get("/quick")
    assert [answer.status_code for answer in done] == [200, 200]
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "7")
    assert refused.headers["content-type"] == "application/problem+json"
    assert after.status_code == 200
    assert world.held() == 0


async def test_fifty_at_once(world: World) -> None:
    async with client_of(world.app(limit=5)) as client:
        answers = await asyncio.gather(*(client.get("/quick") for _ in range(50)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 5
    assert world.most <= 5
    assert world.held() == 0


async def test_a_slot_costs_two_writes() -> None:
    world = World()
    async with client_of(world.app()) as client:
        await client.get("/quick")
        world.recorded.calls.clear()
        await client.get("/quick")
    assert [name for name, _ in world.recorded.calls if name != "GetItem"] == ["UpdateItem", "UpdateItem"]


async def test_tenants_and_limits_are_apart() -> None:
    world = World(limit=1)
    async with client_of(world.app(tenants=True)) as client, client_of(world.app(tenants=True, key="other")) as other:
        task = asyncio.create_task(client.get("/wait", headers={"x-tenant": "acme"}))
        await world.until(1)
        assert (await client.get("/quick", headers={"x-tenant": "acme"})).status_code == 503
        assert (await client.get("/quick", headers={"x-tenant": "other"})).status_code == 200
        assert (await other.get("/quick", headers={"x-tenant": "acme"})).status_code == 200
        assert (await client.get("/quick")).status_code == 401
        assert (world.held("acme"), world.held("acme", "other"), world.held("other")) == (1, 0, 0)
        world.leave.set()
        await task


@pytest.mark.parametrize("asks", ["sync", "async"])
async def test_a_limit_may_be_the_tenants(asks: str) -> None:
    plans = {"free": 0, "pro": 1}

    async def later(tenant: str | None) -> int:
        await asyncio.sleep(0)
        return plans[str(tenant)]

    limit: Any = later if asks == "async" else lambda tenant: plans[tenant]
    world = World()
    async with client_of(world.app(tenants=True, limit=limit)) as client:
        assert (await client.get("/quick", headers={"x-tenant": "free"})).status_code == 503
        assert (await client.get("/quick", headers={"x-tenant": "pro"})).status_code == 200


async def test_a_slot_is_given_back_whatever_happens() -> None:
    world = World(limit=1)
    async with client_of(world.app()) as client:
        assert (await client.get("/raise")).status_code == 500
        assert world.held() == 0
        task = asyncio.create_task(client.get("/wait"))
        await world.until(1)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert world.held() == 0
        assert (await client.get("/quick")).status_code == 200
        assert world.background == 1, "background tasks are part of it"


async def test_a_slot_of_the_dead_is_free_after_its_lease(world: World) -> None:
    async with client_of(world.app(limit=2, lease=60.0)) as client:
        dead = [asyncio.create_task(client.get("/wait")) for _ in range(2)]
        await world.until(2)
        world.later = timedelta(seconds=59)
        assert (await client.get("/quick")).status_code == 503
        world.later = timedelta(seconds=61)
        alive = asyncio.create_task(client.get("/wait"))
        await world.until(3)
        assert world.held() == 1, "all that are over are dropped"
        assert (await client.get("/quick")).status_code == 200
        world.leave.set()
        await asyncio.gather(alive, *dead)
    assert world.held() == 0


async def test_a_limit_that_has_been_lowered_holds() -> None:
    world = World(lease=60.0)
    async with client_of(world.app(limit=5)) as before, client_of(world.app(limit=2)) as now:
        tasks = [asyncio.create_task(before.get("/wait")) for _ in range(5)]
        await world.until(5)
        assert (await now.get("/quick")).status_code == 503
        world.later = timedelta(seconds=61)
        assert (await now.get("/quick")).status_code == 200
        world.leave.set()
        await asyncio.gather(*tasks)


async def test_a_long_request_keeps_its_slot() -> None:
    world = World(limit=1, lease=0.3)
    async with client_of(world.app()) as client:
        task = asyncio.create_task(client.get("/wait"))
        await world.until(1)
        await asyncio.sleep(0.8)
        assert (await client.get("/quick")).status_code == 503
        world.leave.set()
        assert (await task).status_code == 200
        world.recorded.calls.clear()
        await asyncio.sleep(0.3)
    assert not world.recorded.calls, "nothing is renewed after the end"


async def test_a_slot_that_was_lost_is_not_taken_back() -> None:
    world = World(limit=1, lease=60.0)
    middleware = ConcurrencyLimitMiddleware(world.app(), **world.options)
    session = world.db.session()
    assert await middleware.acquire(session, 1, "a")
    world.later = timedelta(seconds=61)
    assert await middleware.acquire(session, 1, "b")
    assert not await middleware.renew(session, "a")
    await middleware.release(session, "a")
    assert world.held() == 1
    assert not await middleware.acquire(session, 1, "a")
    assert await middleware.renew(session, "b")


LOST = [
    On("UpdateItem", DropAfterSend()),
    On("UpdateItem", InternalError(applied=True)),
    On("PutItem", DropAfterSend()),
]


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("lost", LOST)
async def test_lost_answers_change_nothing(lost: On, there: bool) -> None:
    world = World(None, lost, limit=1, fail_open=False)
    if there:
        world.calm.sync.session().create(Slots(id="requests"))
    async with client_of(world.app()) as client:
        assert [(await client.get("/quick")).status_code for _ in range(3)] == [200, 200, 200]
    assert world.held() == 0


FAULTS: list[tuple[Fault, bool, int]] = [
    (DropBeforeSend(), True, 200),
    (DropBeforeSend(), False, 503),
    (InternalError(), True, 200),
    (InternalError(), False, 503),
    (Throttle(), True, 503),
    (Throttle(), False, 503),
]


@pytest.mark.parametrize(("fault", "fail_open", "status"), FAULTS)
async def test_without_dynamodb(fault: Fault, fail_open: bool, status: int) -> None:
    world = World(None, *[On("UpdateItem", fault)] * 10_000, timeout=0.05)
    async with client_of(world.app(fail_open=fail_open)) as client:
        answer = await client.get("/quick")
    assert answer.status_code == status
    assert status == 200 or "of this tenant" in answer.json()["detail"]


async def test_a_table_that_is_missing_is_said() -> None:
    class Nowhere(ConcurrencySlots, table="nowhere", pk="SLOTS#{id}", sk="-"):
        pass

    world = World()
    async with client_of(world.app(slots=Nowhere)) as client:
        assert (await client.get("/quick")).status_code == 500


def test_a_websocket_holds_a_slot() -> None:
    world = World(limit=1)
    with TestClient(world.app()) as client:
        with client.websocket_connect("/ws") as websocket:
            assert websocket.receive_text() == "here"
            assert world.held() == 1
            with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/ws"):
                raise AssertionError("it was let in")
            websocket.send_text("bye")
        assert (denied.value.status_code, denied.value.headers["retry-after"]) == (503, "1")
        with client.websocket_connect("/ws") as websocket:
            assert websocket.receive_text() == "here"
    assert world.held() == 0


async def test_a_server_that_cannot_deny_a_websocket_closes_it() -> None:
    world = World(limit=0)
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await world.app()({"type": "websocket", "path": "/ws", "headers": []}, receive, send)
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1013)]


async def test_the_lifespan_passes() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    world = World()
    middleware = ConcurrencyLimitMiddleware(app, **world.options)
    await middleware({"type": "lifespan"}, None, None)  # type: ignore[arg-type]  # nobody calls them
    assert seen == [{"type": "lifespan"}]


@pytest.mark.parametrize("wrong", [{"limit": -1}, {"limit": 101}, {"limit": 1.5}, {"lease": 0.0}, {"timeout": 0.0}])
def test_settings_that_cannot_be_right(wrong: dict[str, Any]) -> None:
    world = World()
    with pytest.raises(UsageError):
        ConcurrencyLimitMiddleware(world.app(), **{**world.options, **wrong})


async def test_a_renewal_that_fails_is_tried_again() -> None:
    calls = 0

    async def renew() -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("not now")
        return calls < 3

    renewal = Renewal(renew, 0.01)
    renewal.start()
    await asyncio.sleep(0.2)
    await renewal.stop()
    assert calls == 3


# -- under random crashes ----------------------------------------------------------------------------------------------


class Slotted(RuleBasedStateMachine):
    """Holders that come, renew, go and die, held against a model: who has a slot, and whose was dropped."""

    LIMIT = 3
    LEASE = 60.0

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.db = Database(transport=LocalTransport(), now=lambda: self.now)
        self.db.sync.create_tables(Slots)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            pass

        self.middleware = ConcurrencyLimitMiddleware(
            app, database=self.db, slots=Slots, limit=self.LIMIT, lease=self.LEASE
        )
        self.holders: dict[str, datetime] = {}
        self.dropped: set[str] = set()
        self.count = 0

    @property
    def session(self) -> Any:
        return self.db.sync.session()._session

    def alive(self) -> dict[str, datetime]:
        return {slot: ends for slot, ends in self.holders.items() if ends > self.now}

    @rule()
    def acquire(self) -> None:
        self.count += 1
        slot = f"s{self.count}"
        taken = drive(self.middleware.acquire(self.session, self.LIMIT, slot))
        assert taken == (len(self.alive()) < self.LIMIT)
        if taken and len(self.holders) == self.LIMIT:
            self.dropped |= self.holders.keys() - self.alive().keys()
            self.holders = self.alive()
        if taken:
            self.holders[slot] = self.now + timedelta(seconds=self.LEASE)

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.holders)))
        assert drive(self.middleware.renew(self.session, slot))
        self.holders[slot] = self.now + timedelta(seconds=self.LEASE)

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.holders)))
        drive(self.middleware.release(self.session, slot))
        del self.holders[slot]

    @precondition(lambda self: self.dropped)
    @rule(data=st.data())
    def wake_up(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.dropped)))
        assert not drive(self.middleware.renew(self.session, slot))
        drive(self.middleware.release(self.session, slot))

    @rule(seconds=st.sampled_from([1, 20, 59, 61]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def never_more_than_the_limit(self) -> None:
        stored = self.db.sync.session().find(Slots, id="requests", consistent=True)
        held = stored.held if stored is not None else {}
        assert len(held) <= self.LIMIT
        assert held == self.holders


Slotted.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestSlots = Slotted.TestCase


class Interleaved:
    """A transport on which requests come in an order that chance draws, from a seed."""

    def __init__(self, inner: Transport, chance: random.Random) -> None:
        self._inner = inner
        self._chance = chance

    @property
    def blocking(self) -> Transport:
        return self._inner.blocking

    async def send(self, operation: str, payload: Any, *, deadline: float | None = None) -> Any:
        for _ in range(self._chance.randrange(5)):
            await asyncio.sleep(0)
        answer = await self._inner.send(operation, payload)
        for _ in range(self._chance.randrange(5)):
            await asyncio.sleep(0)
        return answer

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize("seed", range(int(os.environ.get("SEEDS", "10"))))
async def test_many_at_once_never_exceed_the_limit(seed: int) -> None:
    chance = random.Random(seed)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    db = Database(transport=Interleaved(LocalTransport(), chance), now=lambda: now)
    db.sync.create_tables(Slots)
    limit, at_work, most = 3, 0, 0
    dead: list[datetime] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    middleware = ConcurrencyLimitMiddleware(app, database=db, slots=Slots, limit=limit, lease=60.0)

    async def request(number: int) -> bool:
        nonlocal at_work, most, now
        session, slot = db.session(), f"s{number}"
        for _ in range(chance.randrange(20)):
            await asyncio.sleep(0)
        if not await middleware.acquire(session, limit, slot):
            return False
        at_work += 1
        most = max(most, at_work)
        for _ in range(chance.randrange(20)):
            await asyncio.sleep(0)
        at_work -= 1
        if chance.random() < 0.2:
            dead.append(now)  # it dies here, and its slot comes back after its lease
            return True
        await middleware.release(session, slot)
        return True

    async def rounds() -> None:
        nonlocal now
        for turn in range(6):
            took = await asyncio.gather(*(request(turn * 100 + n) for n in range(15)))
            assert any(took)
            now += timedelta(seconds=61)

    await rounds()
    assert most <= limit
    assert dead
    for n in range(limit):
        assert await middleware.acquire(db.session(), limit, f"last{n}"), "a slot was lost for good"
    assert not await middleware.acquire(db.session(), limit, "one more")
