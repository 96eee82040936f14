"""The audit trail: what was done, written in the transaction that does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lift_dynamorm import Session

from .models import Activity, Project, Task, User, Workspace
from .tenancy import Work

Subject = Workspace | User | Project | Task


async def record(
    work: Work, verb: str, subject: Subject, before: Mapping[str, Any] | None = None, **after: Any
) -> Activity:
    """Note what the user of a request does to something, and what of it changes."""
    return await record_by(work.db, (work.user, work.user_name), verb, subject, before, **after)


async def record_by(
    db: Session,
    actor: tuple[str, str],
    verb: str,
    subject: Subject,
    before: Mapping[str, Any] | None = None,
    **after: Any,
) -> Activity:
    """Note what someone, by id and name, does to something."""
    title = subject.name if isinstance(subject, User | Project) else subject.title
    activity = Activity(
        actor=actor[0],
        actor_name=actor[1],
        verb=verb,
        kind=type(subject).__name__.lower(),
        subject=subject.id,
        title=title,
        before=dict(before or {}),
        after=after,
    )
    return await db.create(activity)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give what has changed between two dumps of an item, as it was and as it is."""
    names = [name for name in after if before.get(name) != after[name]]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}
