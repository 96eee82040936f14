"""The pages of those who are signed in: the projects of a workspace, and the board of each."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from .. import people, projects, tasks
from ..api.http import reads, writes
from ..inputs import NewTask, ProjectInput, TaskChange
from ..models import Activity, Project, Task, Usage
from ..refusal import Refusal
from ..tenancy import Work
from . import views
from .cookies import form_mark, home, keep_signed_in, leave
from .forms import form_of, input_of

MOST_SHOWN = 300


def _viewer(request: Request, work: Work) -> views.Viewer:
    return views.Viewer(
        home=home(work.workspace.name),
        title=work.workspace.title,
        workspace=work.workspace.name,
        name=work.user_name,
        role=next(iter(work.principal.roles)),
        writes="write" in work.principal.scopes,
        mark=form_mark(request),
    )


@reads
async def overview(request: Request) -> Response:
    work = await Work.of(request)
    found = await work.db.query(Project).consistent().limit(100).all()
    counts = {usage.what: usage async for usage in work.db.query(Usage).consistent()}
    latest = await work.db.query(Activity).consistent().order_by("-id").limit(15).all()
    page = views.overview(_viewer(request, work), work.workspace.plan, found, counts, latest)
    return await keep_signed_in(request, work, page)


@writes
async def create_project(request: Request) -> Response:
    work = await Work.of(request)
    new = input_of(ProjectInput, await form_of(request))
    return _to_board(work, (await projects.create(work, new.name)).id)


@reads
async def board(request: Request) -> Response:
    """Read from the table itself, which shows what has just been written; an index lags behind."""
    work = await Work.of(request)
    project = await work.db.get(Project, id=request.path_params["project"], consistent=True)
    found = await work.db.query(Task).where(project=project.id).consistent().limit(MOST_SHOWN).all()
    page = views.board(_viewer(request, work), project, found, await people.names(work))
    return await keep_signed_in(request, work, page)


@writes
async def delete_project(request: Request) -> Response:
    work = await Work.of(request)
    await form_of(request)
    project = await work.db.get(Project, id=request.path_params["project"], consistent=True)
    await projects.delete(work, project)
    return RedirectResponse(f"{home(work.workspace.name)}/", HTTPStatus.SEE_OTHER)


@writes
async def create_task(request: Request) -> Response:
    work, project = await Work.of(request), request.path_params["project"]
    await tasks.create(work, project, input_of(NewTask, await form_of(request)))
    return _to_board(work, project)


@writes
async def change_task(request: Request) -> Response:
    """Change the fields that the form has; all of them, or the status alone."""
    work, fields = await Work.of(request), await form_of(request)
    task = await _task(request, fields.pop("version", ""))
    await tasks.change(work, task, input_of(TaskChange, fields))
    return _to_board(work, task.project)


@writes
async def delete_task(request: Request) -> Response:
    work, fields = await Work.of(request), await form_of(request)
    task = await _task(request, fields.get("version", ""))
    await tasks.delete(work, task)
    return _to_board(work, task.project)


async def _task(request: Request, version: str) -> Task:
    """The task of a form, as it was when the form was made."""
    key = {"project": request.path_params["project"], "id": request.path_params["task"]}
    task = await (await Work.of(request)).db.get(Task, key, consistent=True)
    if version != str(task.version):
        raise Refusal(HTTPStatus.CONFLICT, "Somebody has changed this task meanwhile. Look again, then decide.")
    return task


@reads
async def sign_out(request: Request) -> Response:
    await form_of(request)
    return leave(request.app.state.settings, (await Work.of(request)).workspace.name)


def _to_board(work: Work, project: str) -> Response:
    return RedirectResponse(f"{home(work.workspace.name)}/projects/{project}", HTTPStatus.SEE_OTHER)


routes = [
    Route("/", overview, methods=["GET"]),
    Route("/sign-out", sign_out, methods=["POST"]),
    Route("/projects", create_project, methods=["POST"]),
    Route("/projects/{project}", board, methods=["GET"]),
    Route("/projects/{project}/delete", delete_project, methods=["POST"]),
    Route("/projects/{project}/tasks", create_task, methods=["POST"]),
    Route("/projects/{project}/tasks/{task}", change_task, methods=["POST"]),
    Route("/projects/{project}/tasks/{task}/delete", delete_task, methods=["POST"]),
]
