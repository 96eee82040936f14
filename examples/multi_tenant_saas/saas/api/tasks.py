"""Tasks: by project and status, by who has to do them, by when they are due; and what was done to each."""

from __future__ import annotations

from datetime import date
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lift_dynamorm import F

from .. import tasks
from ..inputs import NewTask, TaskChange
from ..models import STATUSES, Activity, Project, Task
from ..refusal import Refusal
from ..tenancy import Work
from .http import body_of, created, gone, page_of, reads, require_match, shown, writes


@reads
async def of_project(request: Request) -> Response:
    """The tasks of a project; of one column of its board, what is most urgent first."""
    db, project = (await Work.of(request)).db, request.path_params["project"]
    await db.get(Project, id=project)
    query = db.query(Task).where(project=project)
    if "status" in request.query_params:
        query = query.where(status=_status(request)).order_by("priority")
    return await page_of(request, query)


@reads
async def of_workspace(request: Request) -> Response:
    """The tasks of one user, or those that are due by a day and not done, in the order of their days."""
    db, given = (await Work.of(request)).db, request.query_params
    if "assignee" in given:
        query = db.query(Task).where(assignee=given["assignee"])
        return await page_of(request, query.where(status=_status(request)) if "status" in given else query)
    if "due_by" in given:
        day = _day(given["due_by"])
        return await page_of(
            request, db.query(Task).where(F.due <= day, F.status != "done").index("by_due").order_by("due")
        )
    raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "Say whose tasks, ?assignee=..., or ?due_by=2026-12-31.")


def _status(request: Request) -> str:
    status = request.query_params["status"]
    if status not in STATUSES:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"status is one of {', '.join(STATUSES)}.")
    return status


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "due_by is a day, as in 2026-12-31.") from None


@writes
async def create(request: Request) -> Response:
    new = await body_of(request, NewTask)
    task = await tasks.create(await Work.of(request), request.path_params["project"], new)
    return created(task, f"/api/projects/{task.project}/tasks/{task.id}")


async def _task(request: Request, *, consistent: bool = False) -> Task:
    key = {"project": request.path_params["project"], "id": request.path_params["task"]}
    return await (await Work.of(request)).db.get(Task, key, consistent=consistent)


async def _current(request: Request) -> Task:
    task = await _task(request, consistent=True)
    require_match(request, task)
    return task


@reads
async def read(request: Request) -> Response:
    return shown(request, await _task(request))


@writes
async def change(request: Request) -> Response:
    given = await body_of(request, TaskChange)
    return shown(request, await tasks.change(await Work.of(request), await _current(request), given))


@writes
async def delete(request: Request) -> Response:
    await tasks.delete(await Work.of(request), await _current(request))
    return gone()


@reads
async def history(request: Request) -> Response:
    task = await _task(request)
    trail = (await Work.of(request)).db.query(Activity).where(subject=task.id).order_by("-id")
    return await page_of(request, trail)


@reads
async def feed(request: Request) -> Response:
    """What was done in the workspace, the latest first."""
    return await page_of(request, (await Work.of(request)).db.query(Activity).order_by("-id"))


routes = [
    Route("/projects/{project}/tasks", of_project, methods=["GET"]),
    Route("/projects/{project}/tasks", create, methods=["POST"]),
    Route("/projects/{project}/tasks/{task}", read, methods=["GET"]),
    Route("/projects/{project}/tasks/{task}", change, methods=["PATCH"]),
    Route("/projects/{project}/tasks/{task}", delete, methods=["DELETE"]),
    Route("/projects/{project}/tasks/{task}/activity", history, methods=["GET"]),
    Route("/tasks", of_workspace, methods=["GET"]),
    Route("/activity", feed, methods=["GET"]),
]
