"""Errors as problem details for HTTP clients (RFC 9457)."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson

from lift_dynamorm.errors import (
    BatchIncomplete,
    ConditionFailed,
    ConnectionFailed,
    CursorError,
    DeadlineExceeded,
    InvalidValue,
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
)

if TYPE_CHECKING:
    from lift_middleware.asgi import Send

RETRY_AFTER = "1"
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
    """One answer that tells a client what went wrong; `headers` stand beside the content type."""

    status: int
    detail: str
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        title = HTTPStatus(self.status).phrase
        return orjson.dumps({"type": "about:blank", "title": title, "status": self.status, "detail": self.detail})

    async def send(self, send: Send) -> None:
        """Send it as a whole response."""
        body = self.body()
        headers = {
            "content-type": "application/problem+json",
            "content-length": str(len(body)),
            "cache-control": "no-store",
            **self.headers,
        }
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


INTERNAL = Problem(500, "The request failed on the server, and nothing was written.")


def problem_of(error: BaseException) -> Problem | None:
    """Give the problem that an error is to the client; None where it is the server's own mistake.

    What DynamoDB said stays out of it: that is for the log.
    """
    if isinstance(error, TransactionConditionFailed):
        return _of_conditions(error)
    if isinstance(error, TransactionConflict):
        detail = "Another request is changing the same data, and nothing was written. Try again."
        return Problem(HTTPStatus.CONFLICT, detail, {"retry-after": RETRY_AFTER})
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return Problem(status, str(error))
    if isinstance(error, TransactionCanceled) and all(isinstance(r, Throttled | None) for r in error.reasons):
        return _unavailable("The database is busy, and nothing was written. Try again.")
    if isinstance(error, BatchIncomplete) and isinstance(error.__cause__, _UNAVAILABLE):
        return _unavailable("The database could not do all of it in time. Try again.")
    if isinstance(error, _UNAVAILABLE):
        return _unavailable(_explain(error))
    return None


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
