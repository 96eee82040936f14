"""A name for every request: in its response, in its problems, in the log."""

from __future__ import annotations

import logging
import re
import uuid
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lift_middleware.asgi import ASGIApp, Message, Receive, Scope, Send

_SANE = re.compile(r"[A-Za-z0-9._~+/=@:-]{1,128}", re.ASCII)
_HEADER = b"x-request-id"
_RESPONSES = ("http.response.start", "websocket.accept", "websocket.http.response.start")

_current: ContextVar[str | None] = ContextVar("lift_middleware.request_id", default=None)


def request_id() -> str | None:
    """Give the id of the request that this code runs for; None outside of one, or without `RequestIdMiddleware`."""
    return _current.get()


class RequestIdMiddleware:
    """Give each request an id: `request_id()`, ``request.state.request_id``, a header of the response, every problem.

    trust: take the id that the request brings, where there is exactly one and it is of at most 128 letters, digits
    and ``._~+/=@:-``. Without it, or where it is anything else, the id is made here. Only say it behind a gateway that
    sets the header: whoever chooses the id can make his requests look like another's in the log.

    It belongs outside of every other middleware.
    """

    def __init__(self, app: ASGIApp, *, trust: bool = False) -> None:
        self.app = app
        self.trust = trust

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        name = (_brought(scope) if self.trust else None) or uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = name
        value = name.encode()

        async def send_named(message: Message) -> None:
            if message["type"] in _RESPONSES:
                others = [(key, old) for key, old in message.get("headers") or () if key.lower() != _HEADER]
                message = {**message, "headers": [*others, (_HEADER, value)]}
            await send(message)

        token = _current.set(name)
        try:
            await self.app(scope, receive, send_named)
        finally:
            _current.reset(token)


def _brought(scope: Scope) -> str | None:
    values = [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == _HEADER]
    return values[0] if len(values) == 1 and _SANE.fullmatch(values[0]) else None


class RequestIdFilter(logging.Filter):
    """Give log records a `request_id`, ``-`` outside of requests.

    Add it to handlers: a logger's filters do not see the records of its children.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id() or "-"
        return True
