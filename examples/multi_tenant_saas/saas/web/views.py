"""The HTML of the overview and of the board."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.responses import Response

from ..models import PRIORITIES, STATUSES, Activity, Project, Status, Task, Usage
from .forms import MARK
from .html import HTML, NOTHING, html, join
from .page import page

COLUMNS: Mapping[Status, str] = {"todo": "To do", "doing": "Doing", "done": "Done"}
_STEPS: Mapping[tuple[Status, Status], str] = {
    ("todo", "doing"): "Start",
    ("doing", "todo"): "Put back",
    ("doing", "done"): "Finish",
    ("done", "doing"): "Reopen",
}


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at a page. home: the path of the workspace. mark: what forms carry."""

    home: str
    title: str
    workspace: str
    name: str
    role: str
    writes: bool
    mark: str

    def page(self, title: str, body: HTML) -> Response:
        top = html(
            '<a class="brand" href="{home}/">{workspace}</a>'
            '<span class="who">{name} <span class="role">{role}</span></span>'
            '<form method="post" action="{home}/sign-out">{mark}<button class="quiet">Sign out</button></form>',
            home=self.home,
            workspace=self.title,
            name=self.name,
            role=self.role,
            mark=self.hidden(),
        )
        return page(f"{title} - {self.title}", body, top=top)

    def hidden(self) -> HTML:
        return html('<input type="hidden" name="{name}" value="{mark}">', name=MARK, mark=self.mark)


def overview(
    viewer: Viewer, plan: str, projects: list[Project], usage: Mapping[str, Usage], activities: list[Activity]
) -> Response:
    cards = join(
        html(
            '<li><a class="project" href="{home}/projects/{id}"><strong>{name}</strong><span>{count}</span></a></li>',
            home=viewer.home,
            id=project.id,
            name=project.name,
            count=_counted(usage[f"project:{project.id}"].used if f"project:{project.id}" in usage else 0, "task"),
        )
        for project in projects
    )
    body = html(
        '<div class="overview"><section><h1>Projects</h1>{projects}{new}</section>'
        '<section class="side"><h2>Plan: {plan}</h2><dl class="usage">{usage}</dl>'
        "<h2>Activity</h2>{activity}</section></div>",
        projects=html('<ul class="projects">{cards}</ul>', cards=cards)
        if projects
        else html('<p class="empty">There are no projects yet.</p>'),
        new=_new_project(viewer),
        plan=plan,
        usage=join(_used(usage[what]) for what in ("projects", "users", "tasks") if what in usage),
        activity=_feed(activities),
    )
    return viewer.page("Projects", body)


def _used(usage: Usage) -> HTML:
    limit = "no limit" if usage.limit is None else f"of {usage.limit}"
    return html("<div><dt>{what}</dt><dd>{used} {limit}</dd></div>", what=usage.what, used=usage.used, limit=limit)


def _new_project(viewer: Viewer) -> HTML:
    if not viewer.writes:
        return NOTHING
    return html(
        '<form method="post" action="{home}/projects" class="inline">{mark}<label for="name">New project</label>'
        '<input id="name" name="name" required maxlength="100"><button>Create</button></form>',
        home=viewer.home,
        mark=viewer.hidden(),
    )


def _feed(activities: list[Activity]) -> HTML:
    if not activities:
        return html('<p class="empty">Nothing has happened yet.</p>')
    entries = join(
        html(
            '<li><span><b>{actor}</b> {verb} <q>{title}</q></span> <time datetime="{at}">{day}</time></li>',
            actor=activity.actor_name,
            verb=activity.verb,
            title=activity.title,
            at=activity.at.isoformat() if activity.at else None,
            day=_ago(activity.at),
        )
        for activity in activities
    )
    return html('<ol class="feed">{entries}</ol>', entries=entries)


def _ago(at: datetime | None) -> str:
    minutes = int((datetime.now(UTC) - at).total_seconds() // 60) if at is not None else 0
    if minutes < 1:
        return "now"
    for size, unit in ((1440, "day"), (60, "hour"), (1, "minute")):
        if minutes >= size:
            return f"{_counted(minutes // size, unit)} ago"
    return ""


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def board(viewer: Viewer, project: Project, tasks: Iterable[Task], names: Mapping[str, str]) -> Response:
    by_status: dict[Status, list[Task]] = {status: [] for status in STATUSES}
    for task in sorted(tasks, key=lambda task: (task.priority, task.id)):
        by_status[task.status].append(task)
    columns = join(
        html(
            '<section class="column" aria-labelledby="{status}"><h2 id="{status}">{title} '
            '<span class="count">{count}</span></h2>{cards}</section>',
            status=status,
            title=COLUMNS[status],
            count=len(found),
            cards=join(_card(viewer, task, names) for task in found) or html('<p class="empty">Nothing here.</p>'),
        )
        for status, found in by_status.items()
    )
    body = html(
        '<nav class="trail"><a href="{home}/">Projects</a></nav><div class="headline"><h1>{name}</h1>{delete}</div>'
        '{new}<div class="board">{columns}</div>',
        home=viewer.home,
        name=project.name,
        delete=_delete_project(viewer, project) if not any(by_status.values()) else NOTHING,
        new=_new_task(viewer, project, names),
        columns=columns,
    )
    return viewer.page(project.name, body)


def _delete_project(viewer: Viewer, project: Project) -> HTML:
    if not viewer.writes:
        return NOTHING
    return html(
        '<form method="post" action="{home}/projects/{id}/delete">{mark}'
        '<button class="quiet">Delete project</button></form>',
        home=viewer.home,
        id=project.id,
        mark=viewer.hidden(),
    )


def _new_task(viewer: Viewer, project: Project, names: Mapping[str, str]) -> HTML:
    if not viewer.writes:
        return NOTHING
    return html(
        '<form method="post" action="{home}/projects/{id}/tasks" class="inline">{mark}'
        '<div class="wide"><label for="title">New task</label>'
        '<input id="title" name="title" required maxlength="200"></div>'
        '<div><label for="priority">Priority</label><select id="priority" name="priority">{priorities}</select></div>'
        '<div><label for="assignee">Assignee</label><select id="assignee" name="assignee">{people}</select></div>'
        '<div><label for="due">Due</label><input id="due" name="due" type="date"></div>'
        "<button>Add</button></form>",
        home=viewer.home,
        id=project.id,
        mark=viewer.hidden(),
        priorities=_options(PRIORITIES.items(), 3),
        people=_options([("", "nobody"), *names.items()], ""),
    )


def _card(viewer: Viewer, task: Task, names: Mapping[str, str]) -> HTML:
    facts = [html('<span class="priority p{n}">{name}</span>', n=task.priority, name=PRIORITIES[task.priority])]
    if task.assignee is not None:
        facts.append(html('<span class="assignee">{name}</span>', name=names.get(task.assignee, "someone who left")))
    if task.due is not None:
        late = task.status != "done" and task.due < datetime.now(UTC).date()
        facts.append(
            html('<span class="{kind}">due <time>{due}</time></span>', kind="late" if late else "due", due=task.due)
        )
    return html(
        '<article class="task"><h3>{title}</h3><p class="facts">{facts}</p>{forms}</article>',
        title=task.title,
        facts=join(facts),
        forms=_forms(viewer, task, names) if viewer.writes else NOTHING,
    )


def _forms(viewer: Viewer, task: Task, names: Mapping[str, str]) -> HTML:
    hidden = html(
        '{mark}<input type="hidden" name="version" value="{version}">', mark=viewer.hidden(), version=task.version
    )
    where = f"{viewer.home}/projects/{task.project}/tasks/{task.id}"
    steps = join(
        html(
            '<button name="status" value="{to}" aria-label="{label}: {title}">{label}</button>',
            to=to,
            label=label,
            title=task.title,
        )
        for (status, to), label in _STEPS.items()
        if status == task.status
    )
    return html(
        '<form method="post" action="{where}" class="steps">{hidden}{steps}</form>'
        '<details><summary aria-label="Edit: {title}">Edit</summary>'
        '<form method="post" action="{where}">{hidden}'
        '<label>Title<input name="title" value="{title}" required maxlength="200"></label>'
        '<label>Status<select name="status">{statuses}</select></label>'
        '<label>Priority<select name="priority">{priorities}</select></label>'
        '<label>Assignee<select name="assignee">{people}</select></label>'
        '<label>Due<input name="due" type="date" value="{due}"></label>'
        "<button>Save</button></form>"
        '<form method="post" action="{where}/delete">{hidden}'
        '<button class="danger" aria-label="Delete: {title}">Delete</button></form></details>',
        where=where,
        hidden=hidden,
        steps=steps,
        title=task.title,
        statuses=_options(COLUMNS.items(), task.status),
        priorities=_options(PRIORITIES.items(), task.priority),
        people=_options([("", "nobody"), *_with_former(task, names).items()], task.assignee or ""),
        due=task.due,
    )


def _with_former(task: Task, names: Mapping[str, str]) -> dict[str, str]:
    """So that saving a task of someone who left does not give it to somebody else."""
    return dict(names) if task.assignee in (None, *names) else {**names, str(task.assignee): "someone who left"}


def _options(choices: Iterable[tuple[object, str]], chosen: object) -> HTML:
    return join(
        html(
            '<option value="{value}"{selected}>{name}</option>',
            value=value,
            selected=HTML(" selected") if value == chosen else NOTHING,
            name=name,
        )
        for value, name in choices
    )
