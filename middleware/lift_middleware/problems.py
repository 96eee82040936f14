"""Errors as problem details for HTTP clients (RFC 9457)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

from lift_dynamorm.errors import (
    BatchIncomplete,
    ConditionFailed,
    ConnectionFailed,
    CursorError,
    DeadlineExceeded,
    InvalidValue,
    ItemExists,
    ItemNotFound,
    OutcomeUnknown,
    ServerError,
    ServiceError,
    TenantForbidden,
    TenantMissing,
    Throttled,
    TransactionCanceled,
    TransactionConditionFailed,
    TransactionConflict,
    TransactionTooLarge,
    UniqueViolation,
    UsageError,
)
from lift_middleware.request_id import request_id as current_request_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from lift_middleware.asgi import Message, Scope, Send

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "1"
_MEMBERS = frozenset({"type", "title", "status", "detail", "instance", "request_id"})
_STATUSES: tuple[tuple[type[Exception], HTTPStatus], ...] = (
    (TenantMissing, HTTPStatus.UNAUTHORIZED),
    (TenantForbidden, HTTPStatus.FORBIDDEN),
    (ItemNotFound, HTTPStatus.NOT_FOUND),
    (ConditionFailed, HTTPStatus.CONFLICT),
    (CursorError, HTTPStatus.BAD_REQUEST),
    (TransactionTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (InvalidValue, HTTPStatus.UNPROCESSABLE_ENTITY),
)
_UNAVAILABLE = (Throttled, ServerError, ConnectionFailed, DeadlineExceeded, OutcomeUnknown)


@dataclass(frozen=True, slots=True)
class Problem:
    """One answer that tells a client what went wrong.

    headers: stand beside the content type. type: a URI that names the kind of problem; about:blank is the status alone.
    title: the kind in words, by default the status's own. extensions: further members of the body, as JSON.
    """

    status: int
    detail: str
    headers: dict[str, str] = field(default_factory=dict)
    type: str = "about:blank"
    title: str = ""
    extensions: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if taken := _MEMBERS & set(self.extensions):
            raise UsageError(f"a problem has its own `{min(taken)}`; call the extension something else")

    def body(self, request_id: str | None = None) -> bytes:
        """Write it as JSON, with the id of the request that is under way, or the one given."""
        members = {
            "type": self.type,
            "title": self.title or _phrase(self.status),
            "status": self.status,
            "detail": self.detail,
            **self.extensions,
        }
        named = request_id or current_request_id()
        return _json({**members, "request_id": named} if named else members)

    def response(self, request_id: str | None = None) -> Response:
        """Make it a Starlette response, for routes and exception handlers."""
        from starlette.responses import Response

        headers = {"cache-control": "no-store", **_lowered(self.headers)}
        return Response(self.body(request_id), self.status, headers, MEDIA_TYPE)

    async def send(self, send: Send) -> None:
        """Send it as a whole response."""
        await self._send(send, "http.response")

    async def refuse(self, scope: Scope, send: Send) -> None:
        """Send it in place of the app, to an HTTP request or to a websocket that has not been accepted.

        Where the server cannot answer a websocket's handshake with a response, it is closed with 4000 + status.
        """
        if scope["type"] == "http":
            await self._send(send, "http.response")
        elif "websocket.http.response" in (scope.get("extensions") or {}):
            await self._send(send, "websocket.http.response")
        else:
            await send(self.close_message())

    def close_message(self) -> Message:
        """Make the message that closes a websocket for it; the protocol has 123 bytes for the reason."""
        reason = self.detail.encode(errors="replace")[:123].decode(errors="ignore")
        return {"type": "websocket.close", "code": 4000 + self.status, "reason": reason}

    async def _send(self, send: Send, kind: str) -> None:
        body = self.body()
        headers = {
            "content-type": MEDIA_TYPE,
            "content-length": str(len(body)),
            "cache-control": "no-store",
            **_lowered(self.headers),
        }
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": f"{kind}.start", "status": self.status, "headers": raw})
        await send({"type": f"{kind}.body", "body": body})


INTERNAL = Problem(500, "The request failed on the server, and nothing was written.")


def problem(
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    retry_after: int | None = None,
    type: str = "about:blank",
    title: str = "",
    **extensions: Any,
) -> Response:
    """Answer with a problem: ``return problem(409, "The project is full.", limit=3)``.

    retry_after: the seconds after which the client may try again. Extensions are further members of the body.
    """
    every = dict(headers or {})
    if retry_after is not None:
        every["retry-after"] = str(retry_after)
    return Problem(status, detail, every, type, title, extensions).response()


def problem_of(error: BaseException, scope: Scope | None = None) -> Problem | None:
    """Give the problem that an error is to the client; None where it is the server's own mistake.

    What DynamoDB said stays out of it: that is for the log. With the scope of a request that has an ``If-Match`` or
    ``If-None-Match`` header, the condition that it stands for answers 412 and not 409 (RFC 9110, 13.2).
    """
    if scope is not None and _is_precondition(error, scope):
        return Problem(HTTPStatus.PRECONDITION_FAILED, str(_cause(error)))
    if isinstance(error, TransactionConditionFailed):
        return _of_conditions(error)
    if isinstance(error, TransactionConflict):
        detail = "Another request is changing the same data, and nothing was written. Try again."
        return Problem(HTTPStatus.CONFLICT, detail, {"retry-after": RETRY_AFTER})
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            challenge = {"www-authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
            return Problem(status, str(error), challenge)
    if isinstance(error, TransactionCanceled) and all(isinstance(r, Throttled | None) for r in error.reasons):
        return _unavailable("The database is busy, and nothing was written. Try again.")
    if isinstance(error, BatchIncomplete) and isinstance(error.__cause__, _UNAVAILABLE):
        return _unavailable("The database could not do all of it in time. Try again.")
    if isinstance(error, _UNAVAILABLE):
        return _unavailable(_explain(error))
    return None


def _causes(error: BaseException) -> list[BaseException]:
    if isinstance(error, TransactionConditionFailed) and error.reasons:
        return [reason for reason in error.reasons if reason is not None]
    return [error]


def _cause(error: BaseException) -> BaseException:
    return _causes(error)[0]


def _is_precondition(error: BaseException, scope: Scope) -> bool:
    """Tell whether an error is nothing but the failing of what ``If-Match`` or ``If-None-Match`` asks for."""
    asked = {key.lower(): value.strip() for key, value in scope["headers"]}
    causes = _causes(error)
    if b"if-none-match" in asked and all(isinstance(cause, ItemExists) for cause in causes):
        return True
    return asked.get(b"if-match", b"*") != b"*" and all(
        isinstance(cause, ConditionFailed) and not isinstance(cause, ItemExists | UniqueViolation | ItemNotFound)
        for cause in causes
    )


def _of_conditions(error: TransactionConditionFailed) -> Problem:
    """Say which conditions did not hold; 404 where all of them were that the item exists."""
    causes = [reason for reason in error.reasons if isinstance(reason, ConditionFailed | ItemNotFound)]
    detail = "; ".join(dict.fromkeys(map(str, causes))) or "A condition of the transaction does not hold."
    return Problem(HTTPStatus.NOT_FOUND if isinstance(error, ItemNotFound) else HTTPStatus.CONFLICT, detail)


def _explain(error: ServiceError) -> str:
    if isinstance(error, OutcomeUnknown) or error.maybe_applied or getattr(error, "sent", False):
        return "The database did not answer in time; the request may or may not have been carried out."
    return "The database is busy or cannot be reached, and nothing was written. Try again."


def _unavailable(detail: str) -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"retry-after": RETRY_AFTER})


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _json(members: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(members)
    except TypeError:  # a lone surrogate, which clients can send in JSON, and orjson does not write
        return json.dumps(members).encode()


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
