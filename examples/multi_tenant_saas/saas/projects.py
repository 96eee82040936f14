"""The projects of a workspace."""

from __future__ import annotations

from . import usage
from .audit import record
from .models import Project, Usage
from .tenancy import Work


async def create(work: Work, name: str) -> Project:
    await usage.count_up(work.db, "projects")
    project = await work.db.create(Project(name=name))
    await work.db.create(Usage(what=usage.of_project(project.id)))
    await record(work, "created", project)
    return project


async def rename(work: Work, project: Project, name: str) -> Project:
    before = project.name
    if name != before:
        await work.db.update(project, name=name)
        await record(work, "renamed", project, {"name": before}, name=name)
    return project


async def delete(work: Work, project: Project) -> None:
    """Delete a project without tasks. One that is created at the same time makes this fail, or fails itself."""
    await usage.end_project(work.db, project.id)
    await usage.count_down(work.db, "projects")
    await work.db.delete(project)
    await record(work, "deleted", project)
