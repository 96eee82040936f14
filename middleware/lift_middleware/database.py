"""A database session on every HTTP request, committed before the first byte of the response."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

from lift_dynamorm import Session
from lift_dynamorm.errors import DynamORMError, TenantMissing, TransactionConflict, UsageError, VersionConflict
from lift_middleware.modes import check_mode, check_retries, marked_mode, marked_retries
from lift_middleware.problems import INTERNAL, problem_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lift_dynamorm import Database
    from lift_dynamorm.work import Mode
    from lift_middleware.asgi import ASGIApp, Message, Receive, Scope, Send

    TenantResolver = Callable[[Scope], str | Awaitable[str]]

log: logging.Logger = logging.getLogger("lift_middleware")

_LAMBDA_RESERVE = 0.25
"""Seconds of a Lambda invocation that are kept for sending the response."""
_LAST = ("http.response.body", "http.response.pathsend")
_CONFLICTS = (TransactionConflict, VersionConflict)
_FIRST_PAUSE = 0.02
"""Seconds that a route which met a conflict waits for at most before it is called again; twice that the next time."""
_KEPT_BODY = 1_000_000
"""Bytes of a request body that are kept for calling a route again; a route with a longer one is called once."""
_LOOK_AHEAD = 8
"""Messages of an unread request body that are kept while looking for a disconnect behind them."""
_STARTED = (
    "the transaction of this request ended when its response began, so a write would not be part of it. "
    "Write before responding; in a background task use request.state.db, which is a fresh session by then"
)


class DynamORMMiddleware:
    """Give each request a session, as ``request.state.db``, whose writes are one transaction.

    They are committed when the app starts a response with a status below 400, before it is sent on; if that
    fails the client gets 409 or 503 as problem+json instead. An error status, an exception, a cancelled or
    disconnected request write nothing. Errors of the data layer that the app lets through are answered too.

    tenant: tells the tenant of a request from its ASGI scope, or raises `TenantMissing` or `TenantForbidden`;
    asked only if the session is used. An async one is asked at once.
    timeout: seconds in which the database work of a request must be done. Lambda's own deadline always holds.
    name: the attribute of ``request.state``.
    mode: what becomes of the writes of a route that `transactional`, `read_only` and `immediate` do not mark: one of
    these, or a function from the ASGI scope to one.
    conflict_retries: how often a route is called again where its commit, or a write in it, met a conflict with another
    request: a `TransactionConflict` or `VersionConflict`. Only for routes whose one effect is what they write.

    In a websocket the session writes at once. Put this middleware inside of any `BaseHTTPMiddleware`: that one
    starts background tasks before the response has passed through here.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        database: Database,
        tenant: TenantResolver | None = None,
        timeout: float | None = None,
        name: str = "db",
        mode: Mode | Callable[[Scope], Mode] = "transactional",
        conflict_retries: int = 0,
    ) -> None:
        if not callable(mode):
            check_mode(mode)
        check_retries(conflict_retries)
        if tenant is not None and not callable(tenant):
            raise UsageError("tenant= is a function from the ASGI scope to the tenant's id, as tenant_from_header(...)")
        self.app = app
        self.database = database
        self.tenant = tenant
        self.timeout = timeout
        self.name = name
        self._mode = mode
        self._conflict_retries = conflict_retries
        call = getattr(tenant, "__call__", None)  # noqa: B004 - to see whether an object's call is async
        self._asks_async = inspect.iscoroutinefunction(tenant) or inspect.iscoroutinefunction(call)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            self._check_alone(scope)
        if scope["type"] == "http":
            tenant = await self._ask(scope) if self._asks_async else self._asker(scope)
            await self._serve(scope, receive, send, tenant)
        elif scope["type"] == "websocket":
            tenant = await self._ask(scope) if self._asks_async else self._asker(scope)
            scope.setdefault("state", {})[self.name] = self.database.session(tenant)
            await self.app(scope, receive, send)
        else:
            try:
                await self.app(scope, receive, send)
            finally:
                await self.database.aclose()

    def _check_alone(self, scope: Scope) -> None:
        if isinstance(scope.get("state", {}).get(self.name), Session):
            raise UsageError(
                f"two DynamORMMiddleware put their session at request.state.{self.name}; take one of them away, or "
                'for two databases give one another name: DynamORMMiddleware(..., name="other")'
            )

    async def _serve(self, scope: Scope, receive: Receive, send: Send, tenant: Callable[[], str] | None) -> None:
        """Call the app, and again where it met a conflict and may be called again."""
        deadline = self.deadline(scope, self.timeout)
        given, state = dict(scope), dict(scope.get("state") or {})
        exchange = _Exchange(self, scope, receive, send, tenant, deadline)
        while await exchange.run():
            log.info("%s %s: %s; called again", scope["method"], scope["path"], exchange.conflict)
            await asyncio.sleep(random.random() * _FIRST_PAUSE * 2**exchange.calls)
            # What the app has put into the scope belongs to the call before.
            scope.clear()
            scope.update({**given, "state": dict(state)})
            exchange = exchange.again()

    def mode(self, scope: Scope) -> Mode:
        """Tell the mode of a request, once its route is found."""
        found = marked_mode(scope)
        if found is not None:
            return found
        return check_mode(self._mode(scope)) if callable(self._mode) else self._mode

    def conflict_retries(self, scope: Scope) -> int:
        """Tell how often the route of a request may be called again."""
        found = marked_retries(scope)
        return self._conflict_retries if found is None else found

    def _asker(self, scope: Scope) -> Callable[[], str] | None:
        resolver: Any = self.tenant
        if resolver is None:
            return None
        return lambda: _named(resolver(scope))

    async def _ask(self, scope: Scope) -> Callable[[], str]:
        resolver: Any = self.tenant
        try:
            found = _named(await resolver(scope))
        except Exception as error:
            refusal = error

            def refuse() -> str:
                raise refusal

            return refuse
        return lambda: found

    def deadline(self, scope: Scope, timeout: float | None) -> float | None:
        """When database work must be done, in `time.monotonic()` seconds: after a time, and before Lambda ends."""
        limits = []
        if timeout is not None:
            limits.append(timeout)
        context = scope.get("aws.context")
        if context is not None:
            limits.append(context.get_remaining_time_in_millis() / 1000 - _LAMBDA_RESERVE)
        return time.monotonic() + min(limits) if limits else None


def _named(tenant: str | None) -> str:
    if not tenant:
        raise TenantMissing("The request names no tenant.")
    return tenant


class _Unwound(Exception):
    """Ends the app's work on a request that has been answered for it."""


class _Exchange:
    """One request and its response, or one call of the app for it.

    calls: how often the app was called before. conflict: why it has to be called again.
    """

    __slots__ = (
        "_deadline",
        "_kept",
        "_kept_bytes",
        "_middleware",
        "_tenant",
        "_unread",
        "answered",
        "calls",
        "conflict",
        "disconnected",
        "receive",
        "scope",
        "send",
        "session",
        "started",
    )

    def __init__(
        self,
        middleware: DynamORMMiddleware,
        scope: Scope,
        receive: Receive,
        send: Send,
        tenant: Callable[[], str] | None,
        deadline: float | None,
    ) -> None:
        self._middleware = middleware
        self._tenant = tenant
        self._deadline = deadline
        self._unread: deque[Message] = deque()
        self._kept: list[Message] = []
        self._kept_bytes = 0
        self.scope = scope
        self.receive = receive
        self.send = send
        self.calls = 0
        self.conflict: DynamORMError | None = None
        self.started = False
        self.answered = False
        self.disconnected = False
        self.session = middleware.database.session(tenant, deadline=deadline)
        self.session.begin_as(self._mode)
        self._place(self.session)

    def _place(self, session: Session) -> None:
        self.scope.setdefault("state", {})[self._middleware.name] = session

    def _mode(self) -> Mode:
        return self._middleware.mode(self.scope)

    def again(self) -> _Exchange:
        """Begin the next call of the app, with the body from its beginning."""
        following = _Exchange(self._middleware, self.scope, self.receive, self.send, self._tenant, self._deadline)
        following.calls = self.calls + 1
        following._unread.extend([*self._kept, *self._unread])
        return following

    async def run(self) -> bool:
        """Call the app; True where it has to be called again."""
        try:
            await self._middleware.app(self.scope, self._receive, self._send)
        except _Unwound:
            pass
        except ExceptionGroup as group:
            _, others = group.split(_Unwound)
            if others is not None:
                raise
        except DynamORMError as error:
            if self.started or self.answered:
                raise
            if not self._repeats(error):
                problem = problem_of(error, self.scope)
                if problem is None:
                    raise
                await problem.send(self.send)
        finally:
            self.session.end(_STARTED)
        return self.conflict is not None

    def _repeats(self, error: Exception) -> bool:
        """Tell, and note, whether the app is to be called again because of an error."""
        if not isinstance(error, _CONFLICTS) or self._kept_bytes > _KEPT_BODY or self.disconnected:
            return False
        if self.calls >= self._middleware.conflict_retries(self.scope):
            return False
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return False
        self.conflict = error
        return True

    async def _receive(self) -> Message:
        if self._unread:
            message = self._unread.popleft()
        else:
            message = await self.receive()
            self._note(message)
        # Before the route is found nobody knows whether it may be called again.
        routed = "endpoint" in self.scope
        if self._kept_bytes <= _KEPT_BODY and (not routed or self._middleware.conflict_retries(self.scope)):
            self._kept.append(message)
            self._kept_bytes += len(message.get("body", b""))
        return message

    def _note(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self.disconnected = True

    async def _send(self, message: Message) -> None:
        if self.answered:
            return
        if message["type"] == "http.response.start":
            await self._finish(message["status"])
            self.started = True
        await self.send(message)
        if message["type"] in _LAST and not message.get("more_body"):
            middleware = self._middleware
            self._place(
                middleware.database.session(self.session.tenant, deadline=middleware.deadline(self.scope, None))
            )

    async def _finish(self, status: int) -> None:
        """End the transaction: commit it, or forget it where the response is an error."""
        if self._mode() == "immediate":
            return
        if status < 400:
            if self.session.unit_of_work and await self._has_gone():
                log.info("%s %s: the client has gone; nothing was written", self.scope["method"], self.scope["path"])
                self._answered()
            try:
                await self.session.commit(end=_STARTED)
            except Exception as error:
                await self._refuse(error)
        self.session.end(_STARTED)

    async def _refuse(self, error: Exception) -> NoReturn:
        """Answer in place of the app, whose response must not be sent: its writes were not stored."""
        if self._repeats(error):
            self._answered(error)
        problem = problem_of(error, self.scope) or INTERNAL
        level = logging.WARNING if problem is not INTERNAL else logging.ERROR
        what = self.scope["method"], self.scope["path"]
        log.log(level, "%s %s: the commit failed: %s", *what, error, exc_info=error if problem is INTERNAL else None)
        await problem.send(self.send)
        self._answered(error)

    def _answered(self, cause: Exception | None = None) -> NoReturn:
        self.answered = True
        self.session.end(_STARTED)
        raise _Unwound from cause

    async def _has_gone(self) -> bool:
        """Look whether the client has disconnected, without waiting for it to."""
        for _ in range(_LOOK_AHEAD):
            if self.disconnected:
                break
            try:
                async with asyncio.timeout(0):
                    message = await self.receive()
            except TimeoutError:
                break
            self._note(message)
            self._unread.append(message)
        return self.disconnected
