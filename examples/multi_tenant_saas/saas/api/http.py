"""What the routes have in common: bodies, ETags, pages, who may call them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lift_dynamorm import Query
from lift_middleware.asgi import ASGIApp, Receive, Scope, Send
from lift_middleware.require import require_role, require_scope

from ..inputs import valid
from ..models import Project, Task, User, Workspace
from ..refusal import Refusal

Versioned = Workspace | User | Project | Task
Route = Callable[[Request], Awaitable[Response]]

I = TypeVar("I", bound=BaseModel)  # noqa: E741 - an input

LONGEST_BODY = 64 * 1024
LONGEST_PAGE = 100

reads = require_scope("read")
writes = require_scope("write")
_admin_role = require_role("admin")
_admin_scope = require_scope("admin")


def administers(route: Route) -> Route:
    """Ask for the role and for the scope: a token that an admin has narrowed administers nothing."""
    return _admin_role(_admin_scope(route))


class OnlyForAdmins:
    """Ask as `administers` does, before the middleware behind it does anything for the request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for requirement in (_admin_role, _admin_scope):
            requirement.check(Request(scope))
        await self.app(scope, receive, send)


async def body_of(request: Request, model: type[I]) -> I:
    """Read and validate a JSON body."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_BODY:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A body may have {LONGEST_BODY} bytes.")
    return valid(model, body)


def etag(item: Versioned) -> str:
    return f'"{item.version}"'


def _matches(header: str, item: Versioned, *, weak: bool = False) -> bool:
    """Compare as RFC 9110 has it: If-None-Match takes a weak tag for the strong one, If-Match does not."""
    tags = [tag.strip() for tag in header.split(",")]
    return "*" in tags or etag(item) in (tag.removeprefix("W/") if weak else tag for tag in tags)


def require_match(request: Request, item: Versioned) -> None:
    """Hold the client to the version it has seen. What changes after this is noticed by the version at the commit."""
    header = request.headers.get("if-match")
    if header is None:
        raise Refusal(HTTPStatus.PRECONDITION_REQUIRED, "Send If-Match with the ETag that you have read, or with *.")
    if not _matches(header, item):
        raise Refusal(HTTPStatus.PRECONDITION_FAILED, f"It has changed; its ETag is {etag(item)} now.")


def shown(request: Request, item: Versioned) -> Response:
    """Answer with an item, or with 304 where the client has it."""
    header = request.headers.get("if-none-match")
    if request.method in ("GET", "HEAD") and header is not None and _matches(header, item, weak=True):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"etag": etag(item)})
    return JSONResponse(item.model_dump(mode="json"), headers={"etag": etag(item)})


def created(item: Versioned, where: str) -> Response:
    return JSONResponse(
        item.model_dump(mode="json"), HTTPStatus.CREATED, headers={"location": where, "etag": etag(item)}
    )


def gone() -> Response:
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def page_of(request: Request, query: Query[Any]) -> Response:
    """Answer with a page of a query: `limit` items, and the cursor of the next page."""
    given = request.query_params.get("limit", "20")
    if not (given.isascii() and given.isdigit() and 1 <= int(given) <= LONGEST_PAGE):
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"limit is a number from 1 to {LONGEST_PAGE}.")
    page = await query.limit(int(given)).page(after=request.query_params.get("cursor"))
    return JSONResponse({"items": [item.model_dump(mode="json") for item in page], "cursor": page.cursor})
