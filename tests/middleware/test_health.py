"""`Health`: what is alive, what is ready, and who is told why not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from lift_dynamorm import GSI, TTL, Database, Model, Provisioned, TableSettings, UsageError
from lift_dynamorm.transport.faults import (
    Delay,
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
from lift_middleware.health import Health
from tests.conftest import unique_tables
from tests.middleware.drivers import DRIVERS
from tests.wire import ValidatingTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from lift_dynamorm.transport import Transport
    from lift_middleware.asgi import ASGIApp, Message, Receive, Scope, Send
    from tests.conftest import Engines


class User(Model, table="app", pk="USER#{id}", sk="-", indexes=[GSI("by_team", pk="TEAM#{team}")]):
    id: str
    team: str


class Ticket(Model, table="app", pk="TICKET#{id}", sk="-"):
    id: str
    ends: TTL = None


class Bare(Model, table="app", pk="USER#{id}", sk="-"):
    id: str


class Otherwise(Model, table="app", pk="USER#{id}", sk="-", indexes=[GSI("by_team", pk="TEAM#{id}", sk="{id}")]):
    id: str


class OtherKey(Model, table="app", pk="USER#{id}"):
    id: str


MODELS: list[type[Model]] = [User, Ticket]


class World:
    """A database that can be made to fail, with every request that is sent to it."""

    def __init__(self, transport: Transport | None = None, *faults: On) -> None:
        self.recorded = RecordingTransport(ValidatingTransport(transport or LocalTransport()))
        self.named = unique_tables()
        self.calm = Database(transport=RetryTransport(self.recorded), table_names=self.named)
        faulty = FaultTransport(self.recorded, list(faults))
        self.db = Database(transport=RetryTransport(faulty, base=0.001), table_names=self.named)
        self.table = self.named("app")

    def health(self, **options: Any) -> Health:
        return Health(**{"database": self.db, "models": MODELS, "cache": 0.0, "details": True, **options})


async def get(app: ASGIApp, path: str = "/ready", method: str = "GET") -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
        return await client.request(method, path)


@pytest.fixture(params=["embedded", "dynoxide"])
def world(request: pytest.FixtureRequest, engines: Engines) -> World:
    return World(engines.transport(request.param))


async def test_ready_when_the_tables_are_as_the_models_say(world: World) -> None:
    health = world.health()
    answer = await get(health)
    assert (answer.status_code, answer.json()) == (
        503,
        {"status": "unavailable", "failing": [f"table {world.table}"]},
    )
    world.calm.sync.create_tables(*MODELS)
    answer = await get(health)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


MADE: list[tuple[list[type[Model]], list[str]]] = [
    ([User], ["time to live {}"]),
    ([Ticket], ["index {}.by_team"]),
    ([Bare], ["index {}.by_team", "time to live {}"]),
    ([Otherwise, Ticket], ["index {}.by_team"]),
    ([OtherKey], ["table {}"]),
    ([User, Ticket], []),
]


@pytest.mark.parametrize(("made", "failing"), MADE)
async def test_what_is_missing_is_named(world: World, made: list[type[Model]], failing: list[str]) -> None:
    world.calm.sync.create_tables(*made)
    answer = await get(world.health())
    assert answer.status_code == (503 if failing else 200)
    assert answer.json().get("failing", []) == [name.format(world.table) for name in failing]


async def test_what_is_there_beside_and_how_it_is_set_up_does_not_matter(world: World) -> None:
    world.calm.sync.create_tables(*MODELS)
    settings = TableSettings(capacity=Provisioned(7, 7), tags={"a": "b"}, point_in_time_recovery=True)
    other = Database(transport=world.db.transport, table_names=world.named, table_settings=settings)
    assert (await get(world.health(database=other))).status_code == 200
    assert (await get(world.health(models=[Bare]))).status_code == 200


class Saying:
    """A transport whose tables are in a state that no emulator is in for long."""

    def __init__(self, inner: Transport, table: str, index: str) -> None:
        self._inner = inner
        self.table = table
        self.index = index

    @property
    def blocking(self) -> Transport:
        return self._inner.blocking

    async def send(self, operation: str, payload: Any, *, deadline: float | None = None) -> Any:
        answer = await self._inner.send(operation, payload)
        if operation == "DescribeTable":
            answer["Table"]["TableStatus"] = self.table
            answer["Table"]["GlobalSecondaryIndexes"][0]["IndexStatus"] = self.index
        return answer

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize(
    ("table", "index", "failing"),
    [
        ("ACTIVE", "ACTIVE", []),
        ("UPDATING", "ACTIVE", []),
        ("UPDATING", "UPDATING", []),
        ("UPDATING", "CREATING", ["index app.by_team"]),
        ("UPDATING", "DELETING", ["index app.by_team"]),
        ("CREATING", "CREATING", ["table app"]),
        ("DELETING", "ACTIVE", ["table app"]),
        ("INACCESSIBLE_ENCRYPTION_CREDENTIALS", "ACTIVE", ["table app"]),
    ],
)
async def test_the_states_of_tables_and_indexes(table: str, index: str, failing: list[str]) -> None:
    local = LocalTransport()
    Database(transport=local).sync.create_tables(*MODELS)
    db = Database(transport=Saying(local, table, index))
    answer = await get(Health(database=db, models=MODELS, cache=0.0, details=True))
    assert answer.json().get("failing", []) == failing
    assert answer.status_code == (503 if failing else 200)


@pytest.mark.parametrize("fault", [DropBeforeSend(), Throttle(), Delay(10.0)])
async def test_a_database_that_does_not_answer_in_time(fault: Fault) -> None:
    world = World(None, *[On("DescribeTable", fault)] * 1000)
    world.calm.sync.create_tables(*MODELS)
    async with asyncio.timeout(5):
        answer = await get(world.health(timeout=0.2))
    assert (answer.status_code, answer.json()["failing"]) == (503, ["database"])


@pytest.mark.parametrize("fault", [DropBeforeSend(), InternalError(), Throttle()])
async def test_a_database_that_fails_at_once(fault: Fault) -> None:
    world = World(None, *[On("DescribeTable", fault)] * 2)
    world.calm.sync.create_tables(*MODELS)
    world.db.transport._max_attempts = 1
    health = world.health()
    assert [(await get(health)).status_code for _ in range(3)] == [503, 503, 200]


async def test_strangers_are_told_no_names() -> None:
    answer = await get(World().health(details=False))
    assert (answer.status_code, answer.json()) == (503, {"status": "unavailable"})
    assert (await get(Health(database=World().db, models=MODELS))).json() == {"status": "unavailable"}


async def test_live_asks_nobody() -> None:
    world = World(None, *[On("DescribeTable", DropBeforeSend())] * 1000)
    health = world.health()
    health.drain()
    answer = await get(health, "/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert world.recorded.calls == []


async def test_probes_share_what_was_found() -> None:
    world = World()
    world.calm.sync.create_tables(*MODELS)
    world.recorded.calls.clear()
    health = world.health(cache=0.3)
    await asyncio.gather(*(get(health) for _ in range(20)))
    await get(health)
    assert [name for name, _ in world.recorded.calls] == ["DescribeTable", "DescribeTimeToLive"]
    await asyncio.sleep(0.35)
    await get(health)
    assert len(world.recorded.calls) == 4


async def test_a_failure_is_shared_too_and_ends() -> None:
    world = World()
    health = world.health(cache=0.2)
    assert [(await get(health)).status_code for _ in range(3)] == [503] * 3
    assert len(world.recorded.calls) == 1
    world.calm.sync.create_tables(*MODELS)
    await asyncio.sleep(0.25)
    assert (await get(health)).status_code == 200


async def test_a_probe_that_is_given_up_does_not_stop_the_check() -> None:
    world = World(None, On("DescribeTable", Delay(0.1)))
    world.calm.sync.create_tables(*MODELS)
    health = world.health(cache=10.0)
    task = asyncio.create_task(get(health))
    await asyncio.sleep(0.02)
    task.cancel()
    assert (await get(health)).status_code == 200


def test_another_event_loop_has_its_own_check() -> None:
    world = World(None, On("DescribeTable", Delay(0.1)))
    world.calm.sync.create_tables(*MODELS)
    health = world.health()
    with asyncio.Runner() as paused:

        async def begin() -> asyncio.Task[httpx.Response]:
            task = asyncio.create_task(get(health))
            await asyncio.sleep(0.02)
            return task

        task = paused.run(begin())
        assert asyncio.run(get(health)).status_code == 200

        async def finish() -> httpx.Response:
            return await task

        assert paused.run(finish()).status_code == 200


async def test_head_and_other_methods() -> None:
    world = World()
    world.calm.sync.create_tables(*MODELS)
    health = world.health()
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("nobody reads")

    async def send(message: Message) -> None:
        sent.append(message)

    await health({"type": "http", "method": "HEAD", "path": "/ready"}, receive, send)
    assert [(message.get("status"), message.get("body")) for message in sent] == [(200, None), (None, b"")]
    refused = await get(health, method="POST")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def around(world: World, **options: Any) -> Starlette:
    async def route(request: Request) -> Response:
        return PlainTextResponse(request.url.path)

    settings = {"database": world.db, "models": MODELS, **options}
    return Starlette(
        routes=[Route("/other", route)],
        middleware=[
            Middleware(Health, **settings),
            Middleware(DynamORMMiddleware, database=world.db, tenant=tenant_from_header("x-tenant", trusted=True)),
        ],
    )


@pytest.mark.parametrize("serve", DRIVERS.values(), ids=DRIVERS)
def test_around_an_app_it_is_in_front_of_everything(serve: Callable[[ASGIApp], Any]) -> None:
    world = World()
    world.calm.sync.create_tables(*MODELS)
    with serve(around(world)) as client:
        assert client("GET", "/live").status == 200
        assert client("GET", "/ready").status == 200
        assert client("GET", "/other").body == b"/other"
        assert client("GET", "/none").status == 404


async def test_mounted_it_answers_below_its_path() -> None:
    world = World()
    world.calm.sync.create_tables(*MODELS)
    health = Health(database=world.db, models=MODELS, ready="/startup")
    app = Starlette(routes=[Mount("/health", health)])
    statuses = [(await get(app, path)).status_code for path in ("/health/live", "/health/startup", "/health/ready")]
    assert statuses == [200, 200, 404]


async def test_behind_a_prefix() -> None:
    world = World()
    world.calm.sync.create_tables(*MODELS)
    transport = httpx.ASGITransport(app=around(world), root_path="/v1")
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/v1/ready")).status_code == 200
        assert (await client.get("/ready")).status_code == 200


async def test_draining_is_not_ready() -> None:
    world = World()
    world.calm.sync.create_tables(*MODELS)
    health = world.health()
    assert (await get(health)).status_code == 200
    health.drain()
    answer = await get(health)
    assert (answer.status_code, answer.json()["failing"]) == (503, ["draining"])


def test_the_end_of_the_app_is_noticed_and_passed_on() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        for kind in ("startup", "shutdown"):
            message: Message = await receive()
            seen.append(message["type"])
            await send({"type": f"lifespan.{kind}.complete"})

    world = World()
    health = Health(app, database=world.db, models=MODELS)
    drains = []
    for _ in range(2):
        with TestClient(health):
            drains.append(health.draining)
        drains.append(health.draining)
    assert drains == [False, True, False, True]
    assert seen == ["lifespan.startup", "lifespan.shutdown"] * 2


async def test_what_is_no_request_is_refused_where_there_is_no_app() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    await World().health()({"type": "websocket", "path": "/ready"}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


@pytest.mark.parametrize("wrong", [{"timeout": 0.0}, {"cache": -1.0}, {"models": []}])
def test_settings_that_cannot_be_right(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        World().health(**wrong)
