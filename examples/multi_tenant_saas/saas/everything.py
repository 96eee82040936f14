"""All of one tenant: written out as lines of JSON, or deleted, bit by bit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import orjson

from lift_dynamorm import Database, F, Key, Model, Session

from . import usage
from .audit import record
from .models import Activity, Project, Replay, Slots, Task, Usage, User, Workspace
from .refusal import Refusal
from .tenancy import Work

AT_MOST = 1000
"""Items that one request to close a workspace deletes."""
_BATCH = 25


async def export(db: Session, tenant: str) -> AsyncIterator[bytes]:
    """Write what a workspace holds, in the form that `lift-dynamorm import` reads. Passwords are not in it.

    It reads one page after the other, so what is changed meanwhile may be in it or not.
    """
    async for item in _items(db):
        fields = item.model_dump(mode="json", exclude_none=True)
        yield orjson.dumps(
            {"model": type(item).__name__, "tenant": tenant, "item": fields}, option=orjson.OPT_APPEND_NEWLINE
        )


async def _items(db: Session) -> AsyncIterator[Model]:
    for model in (Workspace, Usage, User):
        async for item in db.query(model):
            yield item
    async for project in db.query(Project):
        yield project
        async for task in db.query(Task).where(project=project.id):
            yield task
    async for activity in db.query(Activity):
        yield activity


async def begin_to_close(work: Work, workspace: Workspace) -> None:
    """Refuse from now on whatever would add to a workspace. Stored when this returns."""
    if workspace.status == "active":
        await work.db.update(workspace, status="closing")
        await usage.allow_nothing_more(work.db)
        await record(work, "began to close", workspace)
        await work.db.commit()


async def delete(database: Database, tenant: str, last_admin: str, *, at_most: int = AT_MOST) -> bool:
    """Delete items of a workspace that is being closed; True once nothing is left.

    There is no note of how far it has come: what is left is what there is to do, so it can be cut short at any
    point and called again. Activities go after all that could still write one. The admin who does this, the counts and
    the workspace itself go last, in one transaction: until then the admin can sign in and go on.
    """
    db = database.session(tenant)
    workspace = await db.get(Workspace, consistent=True)
    if workspace.status != "closing":
        raise Refusal(HTTPStatus.CONFLICT, "The workspace is not being closed.")
    left = at_most
    for keys in (_tasks(db), _projects(db), _replays(db)):
        left = await _sweep(db, keys, left)
    async for user in db.query(User).consistent().where(F.id != last_admin):
        if left <= 0:
            break
        await db.delete(user, missing_ok=True)  # in a transaction, with the address that is kept for it
        left -= 1
    left = await _sweep(db, _activities(db), left)
    if left <= 0:
        return False
    async with db.transaction():
        for model in (Usage, Slots):
            async for item in db.query(model).consistent():
                await db.delete(item, missing_ok=True)
        await db.delete(User, id=last_admin, missing_ok=True)
        await db.delete(workspace)
    return True


async def _sweep(db: Session, keys: AsyncIterator[Key[Any]], left: int) -> int:
    """Delete up to so many items, all of them before this returns; gives how many more it might have been."""
    if left > 0:
        async with db.batch() as batch:
            async for key in keys:
                batch.delete(key)
                left -= 1
                if len(batch) == _BATCH:
                    await batch.flush()
                if left <= 0:
                    break
    return left


async def _tasks(db: Session) -> AsyncIterator[Key[Task]]:
    async for project in db.query(Project).consistent():
        async for task in db.query(Task).consistent().where(project=project.id):
            yield Key(Task, project=task.project, id=task.id)


async def _projects(db: Session) -> AsyncIterator[Key[Any]]:
    """The projects, once none of them has a task: without its project nobody would find a task."""
    async for project in db.query(Project).consistent():
        yield Key(Usage, what=usage.of_project(project.id))
        yield Key(Project, id=project.id)


async def _replays(db: Session) -> AsyncIterator[Key[Replay]]:
    async for replay in db.query(Replay).consistent().include_expired():
        yield Key(Replay, id=replay.id)


async def _activities(db: Session) -> AsyncIterator[Key[Activity]]:
    async for activity in db.query(Activity).consistent():
        yield Key(Activity, id=activity.id)
