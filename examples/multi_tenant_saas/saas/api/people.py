"""Users: everybody sees them, admins change them, all change their own password."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .. import people
from ..inputs import NewPassword, NewUser, UserChange
from ..models import User
from ..tenancy import Work
from .http import administers, body_of, created, gone, page_of, reads, require_match, shown


@reads
async def listed(request: Request) -> Response:
    return await page_of(request, (await Work.of(request)).db.query(User))


@administers
async def create(request: Request) -> Response:
    new = await body_of(request, NewUser)
    user = await people.create(await Work.of(request), new, request.app.state.settings.passwords)
    return created(user, f"/api/users/{user.id}")


@reads
async def read(request: Request) -> Response:
    return shown(request, await (await Work.of(request)).db.get(User, id=request.path_params["user"]))


async def _current(request: Request) -> User:
    user = await (await Work.of(request)).db.get(User, id=request.path_params["user"], consistent=True)
    require_match(request, user)
    return user


@administers
async def change(request: Request) -> Response:
    given = await body_of(request, UserChange)
    return shown(request, await people.change(await Work.of(request), await _current(request), given))


@administers
async def delete(request: Request) -> Response:
    await people.delete(await Work.of(request), await _current(request))
    return gone()


@reads
async def me(request: Request) -> Response:
    return shown(request, await people.me(await Work.of(request)))


@reads
async def change_password(request: Request) -> Response:
    work, given = await Work.of(request), await body_of(request, NewPassword)
    await people.change_password(work, await people.me(work), given, request.app.state.settings.passwords)
    return gone()


routes = [
    Route("/users", listed, methods=["GET"]),
    Route("/users", create, methods=["POST"]),
    Route("/users/{user}", read, methods=["GET"]),
    Route("/users/{user}", change, methods=["PATCH"]),
    Route("/users/{user}", delete, methods=["DELETE"]),
    Route("/me", me, methods=["GET"]),
    Route("/me/password", change_password, methods=["PUT"]),
]
