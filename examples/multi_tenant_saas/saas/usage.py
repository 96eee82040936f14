"""Counts of what there is, kept within the limits of the plan.

A count and what it counts are written in one transaction, on the condition that the count is below its limit. So
however many requests come at once, no more of them succeed than the plan allows.
"""

from __future__ import annotations

from http import HTTPStatus

from lift_dynamorm import ConditionFailed, F, Session

from .models import Plan, Usage
from .plans import LIMITS
from .refusal import Refusal

ADMINS = "admins"


def of_project(project: str) -> str:
    """Name the count of a project's tasks, which has no limit of its own."""
    return f"project:{project}"


class LimitReached(Refusal):
    def __init__(self, what: str, limit: int | None) -> None:
        super().__init__(
            HTTPStatus.CONFLICT,
            f"The plan allows {limit} {what}." if limit else "The workspace is being closed.",
            title="Plan limit reached",
            what=what,
            limit=limit,
        )


async def begin(db: Session, plan: Plan) -> None:
    """Store the counts of a new workspace, with its first user, who is an admin."""
    for what, limit in LIMITS[plan].by_name().items():
        await db.create(Usage(what=what, used=int(what == "users"), limit=limit))
    await db.create(Usage(what=ADMINS, used=1))


async def count_up(db: Session, what: str) -> None:
    below = F.limit.not_exists() | (F.used < F.limit)
    try:
        await db.update(Usage, {"what": what}, used=F.used + 1, if_=below, returning=False)
    except ConditionFailed as failure:
        raise LimitReached(what, failure.item.limit) from None


async def count_down(db: Session, what: str) -> None:
    await db.update(Usage, {"what": what}, used=F.used - 1, if_=F.used > 0, returning=False)


async def count_admins_down(db: Session) -> None:
    """Count an admin who is no longer one; the last of them stays."""
    try:
        await db.update(Usage, {"what": ADMINS}, used=F.used - 1, if_=F.used > 1, returning=False)
    except ConditionFailed:
        raise Refusal(HTTPStatus.CONFLICT, "A workspace keeps at least one admin.") from None


async def end_project(db: Session, project: str) -> None:
    """Forget the count of a project, which must have no tasks: now, for the answer, and when it commits."""
    count = await db.get(Usage, what=of_project(project), consistent=True)
    if count.used:
        raise Refusal(HTTPStatus.CONFLICT, "The project has tasks; delete them first.")
    await db.delete(count, if_=F.used == 0)


async def change_limits(db: Session, plan: Plan) -> None:
    """Give the counts the limits of a plan; there must not be more than it allows."""
    for what, limit in LIMITS[plan].by_name().items():
        fits = None if limit is None else F.used <= limit
        try:
            await db.update(Usage, {"what": what}, limit=limit, if_=fits, returning=False)
        except ConditionFailed as failure:
            detail = f"The plan {plan} allows {limit} {what}, and there are {failure.item.used}."
            raise Refusal(HTTPStatus.CONFLICT, detail, title="Plan too small", what=what, limit=limit) from None


async def allow_nothing_more(db: Session) -> None:
    for what in LIMITS["free"].by_name():
        await db.update(Usage, {"what": what}, limit=0, returning=False)
