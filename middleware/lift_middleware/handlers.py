"""One error shape for the whole of a Starlette or FastAPI app."""

from __future__ import annotations

import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket

from lift_dynamorm.errors import DynamORMError
from lift_middleware.problems import Problem, problem_of

if TYPE_CHECKING:
    from starlette.applications import Starlette

_BODILESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_FAILED = Problem(500, "The request failed on the server.")


def use_problems(app: Starlette) -> None:
    """Answer every error of an app as a problem (RFC 9457), also those of the framework.

    That is Starlette's HTTPException with its headers, FastAPI's RequestValidationError without what was sent, the
    errors of lift-dynamorm, and a plain 500 for what nobody has handled; the server still logs that one.
    """
    handlers: dict[type[Exception], Any] = {
        HTTPException: _http_exception,
        DynamORMError: _dynamorm_error,
        Exception: _failed,
    }
    fastapi = sys.modules.get("fastapi")  # who has a FastAPI app has imported it; others need not
    if fastapi is not None and isinstance(app, fastapi.FastAPI):
        handlers[sys.modules["fastapi.exceptions"].RequestValidationError] = _not_valid
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _http_exception(connection: HTTPConnection, error: Exception) -> Response | None:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code in _BODILESS:
        return Response(status_code=error.status_code, headers=headers)
    detail: Any = error.detail
    if isinstance(detail, str):
        return await _answer(connection, Problem(error.status_code, detail, headers))
    # FastAPI lets `detail` be any JSON, and a problem's detail is a text.
    problem = Problem(error.status_code, "The request failed; see `errors`.", headers, extensions={"errors": detail})
    return await _answer(connection, problem)


async def _dynamorm_error(connection: HTTPConnection, error: Exception) -> Response | None:
    problem = problem_of(error, connection.scope)
    if problem is None:
        raise error
    return await _answer(connection, problem)


async def _not_valid(connection: HTTPConnection, error: Exception) -> Response | None:
    found: list[dict[str, Any]] = getattr(error, "errors")()  # noqa: B009 - FastAPI's class, which is not imported here
    errors = [{"loc": list(one["loc"]), "msg": one["msg"], "type": one["type"]} for one in found]
    problem = Problem(422, "The request is not valid; see `errors`.", extensions={"errors": errors})
    return await _answer(connection, problem)


async def _failed(connection: HTTPConnection, error: Exception) -> Response | None:
    return await _answer(connection, _FAILED)


async def _answer(connection: HTTPConnection, problem: Problem) -> Response | None:
    if isinstance(connection, WebSocket):
        await _close(connection, problem)
        return None
    # Starlette makes a 500 outside of every middleware: there the id is in the state alone, and the header is not set.
    name: str | None = getattr(connection.state, "request_id", None)
    response = problem.response(name)
    if name is not None:
        response.headers["x-request-id"] = name
    return response


async def _close(websocket: WebSocket, problem: Problem) -> None:
    if websocket.application_state.name == "CONNECTING":
        await problem.refuse(websocket.scope, websocket.send)
    else:
        await websocket.send(problem.close_message())
