"""The workspace of the token: its plan, what is used of it, its export and its end."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from .. import everything, workspaces
from ..inputs import WorkspaceChange
from ..models import Usage, Workspace
from ..settings import Settings
from ..tenancy import Work
from .http import administers, body_of, reads, require_match, shown


@reads
async def read(request: Request) -> Response:
    return shown(request, await (await Work.of(request)).db.get(Workspace))


@reads
async def used(request: Request) -> Response:
    """What there is, and how much of it the plan allows."""
    counts = [
        count async for count in (await Work.of(request)).db.query(Usage) if not count.what.startswith("project:")
    ]
    return JSONResponse({count.what: {"used": count.used, "limit": count.limit} for count in counts})


@administers
async def change(request: Request) -> Response:
    work, given = await Work.of(request), await body_of(request, WorkspaceChange)
    workspace = await work.db.get(Workspace, consistent=True)
    require_match(request, workspace)
    await workspaces.change(work, workspace, given)
    return shown(request, workspace)


@administers
async def export(request: Request) -> Response:
    work = await Work.of(request)
    name = f'attachment; filename="{work.workspace.name}.jsonl"'
    lines = everything.export(work.db, work.workspace.name)
    return StreamingResponse(lines, headers={"content-disposition": name}, media_type="application/x-ndjson")


@administers
async def close(request: Request) -> Response:
    """Delete the workspace: 202 while there is more to delete, and the same again goes on; 204 at the end."""
    work, settings = await Work.of(request), request.app.state.settings
    assert isinstance(settings, Settings)
    workspace = await work.db.get(Workspace, consistent=True)
    if workspace.status == "active":
        require_match(request, workspace)
        await everything.begin_to_close(work, workspace)
    if await everything.delete(settings.database, workspace.name, work.user):
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return JSONResponse({"status": "closing"}, HTTPStatus.ACCEPTED, {"retry-after": "0"})


routes = [
    Route("/workspace", read, methods=["GET"]),
    Route("/workspace", change, methods=["PATCH"]),
    Route("/usage", used, methods=["GET"]),
]
