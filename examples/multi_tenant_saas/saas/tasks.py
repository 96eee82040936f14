"""The tasks of a project."""

from __future__ import annotations

from typing import Any

from . import people, usage
from .audit import differences, record
from .inputs import NewTask, TaskChange
from .models import Project, Task
from .tenancy import Work


async def create(work: Work, project: str, new: NewTask) -> Task:
    await work.db.get(Project, id=project)
    if new.assignee is not None:
        await people.require_there(work, new.assignee)
    await usage.count_up(work.db, "tasks")
    await usage.count_up(work.db, usage.of_project(project))
    task = await work.db.create(Task(project=project, **new.model_dump()))
    await record(work, "created", task, project=project, status=task.status)
    return task


async def change(work: Work, task: Task, change: TaskChange) -> Task:
    fields: dict[str, Any] = change.fields()
    if fields.get("assignee") is not None and fields["assignee"] != task.assignee:
        await people.require_there(work, fields["assignee"])
    before = task.model_dump(mode="json")
    await work.db.update(task, **{name: value for name, value in fields.items() if getattr(task, name) != value})
    old, new = differences(before, {name: task.model_dump(mode="json")[name] for name in fields})
    if new:
        verb = "moved" if list(new) == ["status"] else "assigned" if list(new) == ["assignee"] else "changed"
        await record(work, verb, task, old, **new)
    return task


async def delete(work: Work, task: Task) -> None:
    await usage.count_down(work.db, "tasks")
    await usage.count_down(work.db, usage.of_project(task.project))
    await work.db.delete(task)
    await record(work, "deleted", task)
