"""A database session on every HTTP request, committed before the first byte of the response."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

from lift_dynamorm.errors import DynamORMError, TenantMissing, UsageError
from lift_middleware.problems import INTERNAL, problem_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lift_dynamorm import Database, Session
    from lift_middleware.asgi import ASGIApp, Message, Receive, Scope, Send

    TenantResolver = Callable[[Scope], str | Awaitable[str]]

log: logging.Logger = logging.getLogger("lift_middleware")

_LAMBDA_RESERVE = 0.25
"""Seconds of a Lambda invocation that are kept for sending the response."""
_LAST = ("http.response.body", "http.response.pathsend")
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
    ) -> None:
        if tenant is not None and not callable(tenant):
            raise UsageError("tenant= is a function from the ASGI scope to the tenant's id, as tenant_from_header(...)")
        self.app = app
        self.database = database
        self.tenant = tenant
        self.timeout = timeout
        self.name = name
        call = getattr(tenant, "__call__", None)  # noqa: B004 - to see whether an object's call is async
        self._asks_async = inspect.iscoroutinefunction(tenant) or inspect.iscoroutinefunction(call)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            tenant = await self._ask(scope) if self._asks_async else self._asker(scope)
            await _Exchange(self, scope, receive, send, tenant).run()
        elif scope["type"] == "websocket":
            tenant = await self._ask(scope) if self._asks_async else self._asker(scope)
            scope.setdefault("state", {})[self.name] = self.database.session(tenant)
            await self.app(scope, receive, send)
        else:
            try:
                await self.app(scope, receive, send)
            finally:
                await self.database.aclose()

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
    """One request and its response."""

    __slots__ = ("_middleware", "_unread", "answered", "disconnected", "receive", "scope", "send", "session", "started")

    def __init__(
        self,
        middleware: DynamORMMiddleware,
        scope: Scope,
        receive: Receive,
        send: Send,
        tenant: Callable[[], str] | None,
    ) -> None:
        self._middleware = middleware
        self._unread: deque[Message] = deque()
        self.scope = scope
        self.receive = receive
        self.send = send
        self.started = False
        self.answered = False
        self.disconnected = False
        self.session = middleware.database.session(tenant, deadline=middleware.deadline(scope, middleware.timeout))
        self.session.begin(chain=True)
        self._place(self.session)

    def _place(self, session: Session) -> None:
        self.scope.setdefault("state", {})[self._middleware.name] = session

    async def run(self) -> None:
        try:
            await self._middleware.app(self.scope, self._receive, self._send)
        except _Unwound:
            pass
        except ExceptionGroup as group:
            _, others = group.split(_Unwound)
            if others is not None:
                raise
        except DynamORMError as error:
            problem = None if self.started or self.answered else problem_of(error)
            if problem is None:
                raise
            await problem.send(self.send)
        finally:
            self.session.end(_STARTED)

    async def _receive(self) -> Message:
        if self._unread:
            return self._unread.popleft()
        message = await self.receive()
        self._note(message)
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
        if status < 400 and self.session.unit_of_work:
            if await self._has_gone():
                log.info("%s %s: the client has gone; nothing was written", self.scope["method"], self.scope["path"])
                self._answered()
            try:
                await self.session.commit(end=_STARTED)
            except Exception as error:
                await self._refuse(error)
        self.session.end(_STARTED)

    async def _refuse(self, error: Exception) -> NoReturn:
        """Answer in place of the app, whose response must not be sent: its writes were not stored."""
        problem = problem_of(error) or INTERNAL
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
