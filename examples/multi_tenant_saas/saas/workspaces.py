"""Workspaces: the tenants. To sign up, to sign in, to change the plan."""

from __future__ import annotations

from http import HTTPStatus

from lift_dynamorm import ConditionFailed, F, Session

from . import usage
from .audit import differences, record, record_by
from .inputs import SignUp, WorkspaceChange
from .models import User, Workspace
from .passwords import Passwords
from .refusal import Refusal
from .tenancy import Work


async def sign_up(db: Session, new: SignUp, passwords: Passwords) -> tuple[Workspace, User]:
    """Create a tenant, its counts, its first user with the address that is kept for them, and the first activity.

    One transaction, stored when this returns: all of it, or nothing.
    """
    workspace = Workspace(name=new.workspace, title=new.title, plan=new.plan)
    user = User(email=new.email, name=new.name, role="admin", password=await passwords.hash(new.password))
    await db.create(workspace)
    await db.create(user)
    await usage.begin(db, new.plan)
    await record_by(db, (user.id, user.name), "signed up", workspace, plan=new.plan)
    try:
        await db.commit()
    except ConditionFailed:
        raise Refusal(HTTPStatus.CONFLICT, f"The workspace name {new.workspace} is taken.") from None
    return workspace, user


async def sign_in(db: Session, email: str, password: str, passwords: Passwords) -> tuple[Workspace, User]:
    """Find the user with an address and a password; what of it was wrong nobody is told."""
    workspace = await db.find(Workspace)
    user = await db.query(User).where(email=email).fetch().one_or_none() if email else None
    good = await passwords.verify(password, user.password if user is not None else None)
    if workspace is None or user is None or not good:
        raise Refusal(HTTPStatus.UNAUTHORIZED, "Workspace, e-mail address or password is wrong.")
    if workspace.status == "closing" and user.role != "admin":
        raise Refusal(HTTPStatus.FORBIDDEN, "The workspace is being closed.")
    return workspace, user


async def change(work: Work, workspace: Workspace, change: WorkspaceChange) -> Workspace:
    """Change the title or the plan; a plan that allows less than there is, is refused."""
    old, new = differences(workspace.model_dump(mode="json"), change.model_dump(exclude_unset=True))
    if new:
        await work.db.update(workspace, **new)  # its version tells whether somebody has begun to close it
        if "plan" in new:
            await usage.change_limits(work.db, workspace.plan)
        await record(work, "changed", workspace, old, **new)
    return workspace


async def require_active(work: Work) -> None:
    """Make it a condition of the commit that nobody has begun to close the workspace."""
    await work.db.check(Workspace, {}, if_=F.status == "active")
