"""`IdempotencyMiddleware` under every interleaving: no key ever has two effects, or two answers.

Requests run one step at a time, in an order that Hypothesis draws: a step lets one of them send one request to
DynamoDB and get its answer. Between the steps time passes, a request dies for ever, or the answer to it is lost.
The clock jumps past leases while their holders are at work, as if these were asleep.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lift_dynamorm import Database, Model, new_id
from lift_dynamorm.errors import ConnectionFailed
from lift_dynamorm.transport.local import LocalTransport
from lift_dynamorm.transport.retry import RetryTransport
from lift_middleware import DynamORMMiddleware
from lift_middleware.idempotency import IdempotencyMiddleware, IdempotencyRecord
from tests.wire import ValidatingTransport

if TYPE_CHECKING:
    from lift_dynamorm.transport import Payload, Transport
    from lift_middleware.asgi import ASGIApp, Message, Receive, Scope, Send

LEASE = 60.0
KEYS = (b"a", b"b")
LAST = -1
_who: ContextVar[int] = ContextVar("who")


class Effect(Model, table="app", pk="EFFECT#{id}", sk="-"):
    id: str
    key: str


class Replay(IdempotencyRecord, table="app", pk="IDEMPOTENCY#{id}", sk="-"):
    pass


class Stepped:
    """A transport on which each request waits until its sender may take a step."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.waiting: dict[int, asyncio.Future[bool]] = {}
        self.over = False

    @property
    def blocking(self) -> Transport:
        return self._inner.blocking

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        if _who.get() == LAST:
            return await self._inner.send(operation, payload)
        if self.over:
            raise ConnectionFailed("this process is dead", operation=operation, sent=False)
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.waiting[_who.get()] = turn
        lost = await turn
        answer = await self._inner.send(operation, payload)
        if lost:
            raise ConnectionFailed("the answer was lost", operation=operation, sent=True)
        return answer

    async def aclose(self) -> None:
        pass


class Race:
    """Requests with keys, and what became of them."""

    def __init__(self) -> None:
        local = ValidatingTransport(LocalTransport())
        self.stepped = Stepped(local)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

        async def no_sleep(seconds: float) -> None:
            pass

        transport = RetryTransport(self.stepped, max_attempts=2, sleep=no_sleep)
        self.db = Database(transport=transport, now=lambda: self.now)
        self.calm = Database(transport=local).sync
        self.calm.create_tables(Effect, Replay)
        kept = IdempotencyMiddleware(self._route, database=self.db, record=Replay, wait=0.0, lease=LEASE)
        self.app: ASGIApp = DynamORMMiddleware(kept, database=self.db)
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.answers: list[tuple[bytes, int, bytes]] = []

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = dict(scope["headers"])[b"idempotency-key"]
        id = new_id()
        await scope["state"]["db"].create(Effect(id=id, key=key.decode()))
        await scope["state"]["db"].find(Effect, id="a step in the middle of the route")
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": id.encode()})

    async def ask(self, key: bytes) -> None:
        status = 0

        async def receive() -> Message:
            return {"type": "http.request", "body": b""}

        async def send(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            if "body" in message:
                self.answers.append((key, status, message["body"]))

        headers = [(b"idempotency-key", key)]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "query_string": b""}
        await self.app(scope, receive, send)

    def begin(self, key: bytes) -> None:
        number = len(self.tasks)

        async def run() -> None:
            _who.set(number)
            await self.ask(key)

        self.tasks[number] = asyncio.create_task(run())

    async def settle(self) -> None:
        """Let everything run that does not wait for a step."""
        for _ in range(50):
            await asyncio.sleep(0)

    async def play(self, moves: list[tuple[str, int]]) -> None:
        for kind, n in moves:
            await self.settle()
            if kind == "begin":
                self.begin(KEYS[n > 7])
            elif kind == "time":
                self.now += timedelta(seconds=LEASE * (1.1 if n < 7 else 0.6))
            elif self.stepped.waiting:
                who = sorted(self.stepped.waiting)[n % len(self.stepped.waiting)]
                turn = self.stepped.waiting.pop(who)
                if kind != "die":
                    turn.set_result(kind == "lose")
        await self.settle()

    async def end(self) -> None:
        """End all that are at work, as the end of their processes does."""
        self.stepped.over = True
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)

    async def ask_last(self) -> None:
        """Ask once more for each key, with nobody else about."""
        self.now += timedelta(seconds=2 * LEASE)
        _who.set(LAST)
        for key in KEYS:
            await self.ask(key)

    def effects(self, key: bytes) -> list[str]:
        return [effect.id for effect in self.calm.session().scan(Effect).all() if effect.key == key.decode()]


KINDS = ["begin", "begin", *["step"] * 8, "time", "time", "die", "lose"]
MOVES = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 9)), min_size=10, max_size=60)
ASLEEP = [("begin", 0), *[("step", 0)] * 2, ("time", 0), ("begin", 0), *[("step", 1)] * 4, ("step", 0)]
"""A run that is asleep from before its commit until another has taken over and committed."""
LOST = [("begin", 0), ("lose", 0), *[("step", 0)] * 9, ("begin", 0), *[("step", 0)] * 9]
"""A claim whose answer is lost."""


async def _hold(race: Race, moves: list[tuple[str, int]]) -> None:
    await race.play(moves)
    told = {(key, body) for key, status, body in race.answers if status == 201}
    for key in KEYS:
        effects = race.effects(key)
        assert len(effects) <= 1, "two effects of one key"
        assert {body.decode() for at, body in told if at == key} <= set(effects), "told of what was not stored"
    assert {status for _, status, _ in race.answers} <= {201, 409, 503}
    await race.end()
    await race.ask_last()
    for key in KEYS:
        (last,) = [body for at, _, body in race.answers[-2:] if at == key]
        assert race.effects(key) == [last.decode()], "the last answer is not of the one effect"
    assert {status for _, status, _ in race.answers[-2:]} == {201}


def check(moves: list[tuple[str, int]]) -> None:
    async def run() -> None:
        race = Race()
        try:
            await _hold(race, moves)
        finally:
            await race.end()

    asyncio.run(run())


@settings(max_examples=400)
@given(MOVES)
@example(ASLEEP)
@example(LOST)
def test_no_interleaving_has_two_effects(moves: list[tuple[str, int]]) -> None:
    check(moves)
