"""The users of a workspace."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from lift_dynamorm import ItemNotFound

from . import usage
from .audit import differences, record
from .inputs import NewPassword, NewUser, UserChange
from .models import User
from .passwords import Passwords
from .refusal import Refusal
from .tenancy import Work
from .workspaces import require_active


async def create(work: Work, new: NewUser, passwords: Passwords) -> User:
    await usage.count_up(work.db, "users")
    if new.role == "admin":
        await usage.count_up(work.db, usage.ADMINS)
    hashed = await passwords.hash(new.password)
    user = await work.db.create(User(name=new.name, email=new.email, role=new.role, password=hashed))
    await record(work, "added", user, role=user.role, email=user.email)
    return user


async def change(work: Work, user: User, change: UserChange) -> User:
    await require_active(work)
    before = user.model_dump(mode="json")
    fields: dict[str, Any] = change.model_dump(exclude_unset=True)
    role = fields.get("role", user.role)
    if role != user.role:
        if role == "admin":
            await usage.count_up(work.db, usage.ADMINS)
        elif user.role == "admin":
            await usage.count_admins_down(work.db)
    old, new = differences(before, fields)
    if new:
        await work.db.update(user, **new)
        await record(work, "changed", user, old, **new)
    return user


async def change_password(work: Work, user: User, change: NewPassword, passwords: Passwords) -> None:
    """Change one's own password."""
    await require_active(work)
    if not await passwords.verify(change.current, user.password):
        raise Refusal(HTTPStatus.FORBIDDEN, "The current password is another one.")
    await work.db.update(user, password=await passwords.hash(change.new))
    await record(work, "changed the password of", user)


async def delete(work: Work, user: User) -> None:
    """Delete a user, and free the address. The tasks keep the id of the one they were assigned to."""
    await require_active(work)
    if user.role == "admin":
        await usage.count_admins_down(work.db)
    await usage.count_down(work.db, "users")
    await work.db.delete(user)
    await record(work, "removed", user)


async def require_there(work: Work, user: str) -> None:
    """Make it a condition of the commit that there is a user with this id."""
    if await work.db.find(User, id=user) is None:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "There is no such user to assign it to.")
    await work.db.check(User, {"id": user})


async def names(work: Work) -> dict[str, str]:
    """The names of all users, by id."""
    return {user.id: user.name async for user in work.db.query(User)}


async def me(work: Work) -> User:
    user = await work.db.find(User, id=work.user, consistent=True)
    if user is None:
        raise ItemNotFound("your user has been removed")
    return user
