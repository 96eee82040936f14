"""A limit on how many requests of a tenant are at work at once, kept in DynamoDB."""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
import time
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from lift_dynamorm import F, Model, Session
from lift_dynamorm.errors import (
    ConditionFailed,
    ConnectionFailed,
    DeadlineExceeded,
    DynamORMError,
    ItemExists,
    ItemNotFound,
    OutcomeUnknown,
    ServerError,
    Throttled,
    UsageError,
)
from lift_middleware.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from lift_dynamorm import Database
    from lift_middleware.asgi import ASGIApp, Message, Receive, Scope, Send

    Limit = int | Callable[[str | None], int | Awaitable[int]]

log: logging.Logger = logging.getLogger("lift_middleware")

MAX_LIMIT = 100
"""Slots of one item: each acquisition that drops what is over names all of them in one condition."""
_TRIES = 20
_UNREACHABLE = (ConnectionFailed, ServerError, DeadlineExceeded, OutcomeUnknown)
_TRY_AGAIN_LATER = 1013
"""The close code of a websocket that is not taken (https://www.iana.org/assignments/websocket)."""

_partings: set[asyncio.Task[None]] = set()


class ConcurrencySlots(Model):
    """Who is at work: an item per tenant and limit. Give it a table of yours, and create it with your other models.

    ``class Slots(ConcurrencySlots, table="app", pk="SLOTS#{id}", sk="-"): pass``
    """

    id: str
    held: dict[str, datetime] = {}


class ConcurrencyLimitMiddleware:
    """Answer 503 with ``Retry-After`` where a tenant has as many requests at work as it may.

    Place it inside of `DynamORMMiddleware`, which knows the tenant. A request holds a slot until the app is done with
    it, its background tasks too; a websocket until it is closed, and one that finds no slot is refused. A slot is
    renewed every third of its lease, so that of a process that died is free again after its lease.

    slots: the model that keeps them. limit: how many at once, at most 100, 0 for none at all, or a function, plain or
    async, from the tenant's id to that. lease: seconds. key: tells one limit from another of the same tenant.
    fail_open: let requests pass while DynamoDB cannot be reached; they are refused all the same where it throttles
    the tenant's own item. timeout: seconds in which a slot must be had. retry_after: seconds that the client is told.
    name: the attribute of ``request.state``.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        database: Database,
        slots: type[ConcurrencySlots],
        limit: Limit,
        lease: float = 30.0,
        key: str = "requests",
        fail_open: bool = True,
        timeout: float = 1.0,
        retry_after: int = 1,
        name: str = "db",
    ) -> None:
        if not callable(limit):
            _check_limit(limit)
        if lease <= 0 or timeout <= 0:
            raise UsageError("lease= and timeout= are seconds, more than 0")
        self.app = app
        self.database = database
        self.slots = slots
        self.limit = limit
        self.lease = lease
        self.key = key
        self.fail_open = fail_open
        self.timeout = timeout
        self.retry_after = retry_after
        self.name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        session = self._session(session_of(scope, self.name, type(self).__name__))
        slot = await self._slot(scope, session)
        if slot == "":
            await self._refuse(scope, send)
            return
        if slot is None:
            await self.app(scope, receive, send)
            return
        tenant = session.tenant
        renewal = Renewal(lambda: self.renew(self._session(tenant), slot), self.lease / 3)
        renewal.start()
        try:
            await self.app(scope, receive, send)
        finally:
            await see_through(self._give_back(renewal, tenant, slot))

    async def _slot(self, scope: Scope, session: Session) -> str | None:
        """Acquire a slot: its id, "" where there is none, None where the request passes without."""
        await session.open()
        tenant = session.tenant
        assert not callable(tenant)
        limit = self.limit(tenant) if callable(self.limit) else self.limit
        limit = _check_limit(await limit if inspect.isawaitable(limit) else limit)
        slot = secrets.token_hex(8)
        try:
            return slot if await self.acquire(session, limit, slot) else ""
        except Throttled:
            return ""
        except _UNREACHABLE as error:
            log.warning("%s: no slot could be asked for: %s", scope["path"], error)
            return None if self.fail_open else ""

    async def acquire(self, session: Session, limit: int, slot: str) -> bool:
        """Take a slot, and drop those whose lease is over; False where all are taken."""
        over: dict[str, datetime] = {}
        for _ in range(_TRIES if limit else 0):
            now = self.database.now()
            ends = now + timedelta(seconds=self.lease)
            free = F.held.size() < limit + len(over)
            for dead, ended in over.items():
                free &= F.held[dead] == ended  # it has not been renewed since
            changes = [F.held[slot].set(ends), *(F.held[dead].remove() for dead in over)]
            try:
                await session.update(self.slots, {"id": self.key}, *changes, if_=free, returning=False)
            except ItemNotFound:
                if await self._begin(session, slot, ends):
                    return True
            except OutcomeUnknown:
                over = {}
            except ConditionFailed as failure:
                held = await self._held(session, failure)
                if slot in held:  # an answer was lost
                    return True
                over = {other: end for other, end in held.items() if end <= now}
                if len(held) - len(over) >= limit:
                    return False
            else:
                return True
        return False

    async def renew(self, session: Session, slot: str) -> bool:
        """Hold a slot for another lease; False where it has been lost."""
        ends = self.database.now() + timedelta(seconds=self.lease)
        mine = F.held[slot].exists()
        try:
            await session.update(self.slots, {"id": self.key}, F.held[slot].set(ends), if_=mine, returning=False)
        except (ConditionFailed, ItemNotFound):
            log.warning("a request was not heard of for its lease, and its slot is another's: %s", self.key)
            return False
        return True

    async def release(self, session: Session, slot: str) -> None:
        """Give a slot back."""
        try:
            await session.update(self.slots, {"id": self.key}, F.held[slot].remove(), returning=False)
        except ItemNotFound:
            pass

    async def _begin(self, session: Session, slot: str, ends: datetime) -> bool:
        """Store the item of a tenant that has none, with a slot in it; False where someone was faster."""
        try:
            await session.create(self.slots(id=self.key, held={slot: ends}))
        except (ItemExists, OutcomeUnknown):
            return False
        return True

    async def _held(self, session: Session, failure: ConditionFailed) -> dict[str, datetime]:
        found = failure.item or await session.find(self.slots, id=self.key, consistent=True)
        return found.held if isinstance(found, ConcurrencySlots) else {}

    async def _give_back(self, renewal: Renewal, tenant: str | Callable[[], str] | None, slot: str) -> None:
        await renewal.stop()
        try:
            await self.release(self.database.session(tenant, deadline=time.monotonic() + self.timeout), slot)
        except DynamORMError as error:
            log.warning("a slot could not be given back, and is free after its lease: %s", error)

    def _session(self, of: Session | str | Callable[[], str] | None) -> Session:
        """Open a session of the same tenant, that writes at once and does not take long."""
        deadline = time.monotonic() + self.timeout
        if isinstance(of, Session):
            deadline = min(deadline, of.deadline or deadline)
            of = of.tenant
        return self.database.session(of, deadline=deadline)

    async def _refuse(self, scope: Scope, send: Send) -> None:
        detail = "Too many requests of this tenant are at work. Try again."
        problem = Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"retry-after": str(self.retry_after)})
        if scope["type"] == "http":
            await problem.send(send)
        elif "websocket.http.response" in (scope.get("extensions") or {}):

            async def send_denial(message: Message) -> None:
                await send({**message, "type": f"websocket.{message['type']}"})

            await problem.send(send_denial)
        else:
            await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER, "reason": detail})


class Renewal:
    """Call a function every so often, in a task of its own, until it returns False or is stopped."""

    __slots__ = ("_every", "_over", "_renew", "_task")

    def __init__(self, renew: Callable[[], Awaitable[bool]], every: float) -> None:
        self._renew = renew
        self._every = every
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End it; what is under way is waited for, so that nothing is written afterwards."""
        self._over.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self._over.wait(), self._every)
                return
            except TimeoutError:
                pass
            try:
                if not await self._renew():
                    return
            except Exception as error:
                log.warning("a lease could not be renewed, which is tried again: %s", error)


async def see_through(work: Coroutine[None, None, None]) -> None:
    """Wait for work that goes on to its end even if the one who waits is cancelled."""
    task = asyncio.ensure_future(work)
    _partings.add(task)
    task.add_done_callback(_partings.discard)
    await asyncio.shield(task)


def session_of(scope: Scope, name: str, middleware: str) -> Session:
    """Give the session that `DynamORMMiddleware` put on the request."""
    found = scope.get("state", {}).get(name)
    if not isinstance(found, Session):
        raise UsageError(
            f"{middleware} finds no session at request.state.{name}: place it inside of DynamORMMiddleware "
            "(behind it in middleware=[...]; with add_middleware, added before it)"
        )
    return found


def _check_limit(limit: int) -> int:
    if type(limit) is not int or not 0 <= limit <= MAX_LIMIT:
        raise UsageError(f"limit: {limit!r} requests at once; give a whole number from 0 to {MAX_LIMIT}")
    return limit
