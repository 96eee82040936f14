"""Projects."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .. import projects
from ..inputs import ProjectInput
from ..models import Project
from ..tenancy import Work
from .http import body_of, created, gone, page_of, reads, require_match, shown, writes


@reads
async def listed(request: Request) -> Response:
    return await page_of(request, (await Work.of(request)).db.query(Project))


@writes
async def create(request: Request) -> Response:
    new = await body_of(request, ProjectInput)
    project = await projects.create(await Work.of(request), new.name)
    return created(project, f"/api/projects/{project.id}")


@reads
async def read(request: Request) -> Response:
    return shown(request, await (await Work.of(request)).db.get(Project, id=request.path_params["project"]))


async def _current(request: Request) -> Project:
    project = await (await Work.of(request)).db.get(Project, id=request.path_params["project"], consistent=True)
    require_match(request, project)
    return project


@writes
async def change(request: Request) -> Response:
    given = await body_of(request, ProjectInput)
    return shown(request, await projects.rename(await Work.of(request), await _current(request), given.name))


@writes
async def delete(request: Request) -> Response:
    await projects.delete(await Work.of(request), await _current(request))
    return gone()


routes = [
    Route("/projects", listed, methods=["GET"]),
    Route("/projects", create, methods=["POST"]),
    Route("/projects/{project}", read, methods=["GET"]),
    Route("/projects/{project}", change, methods=["PATCH"]),
    Route("/projects/{project}", delete, methods=["DELETE"]),
]
