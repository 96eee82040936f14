"""An answer other than the one that was asked for."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from lift_middleware.problems import problem


class Refusal(Exception):
    """Ends a route with a problem; what it was about to write is not written."""

    def __init__(self, status: HTTPStatus, detail: str, *, title: str = "", **extensions: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.title = title
        self.extensions = extensions


class Invalid(Refusal):
    """What was sent is not valid; `errors` says where."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__(HTTPStatus.UNPROCESSABLE_ENTITY, "The request is not valid; see `errors`.", errors=errors)
        self.errors = errors


async def on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return problem(error.status, error.detail, title=error.title, **error.extensions)
