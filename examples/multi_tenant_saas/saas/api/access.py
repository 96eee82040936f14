"""Signing up, and signing in: what one can ask for without a token."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .. import workspaces
from ..inputs import SignIn, SignUp
from ..models import User, Workspace
from ..settings import Settings
from ..tenancy import name_tenant
from .http import body_of


def _token(
    settings: Settings, workspace: Workspace, user: User, status: HTTPStatus, scopes: set[str] | None = None
) -> Response:
    token = settings.tokens.issue(workspace, user, "api", scopes)
    answer = {"access_token": token, "token_type": "Bearer", "expires_in": settings.tokens.lifetime}
    return JSONResponse(
        {**answer, "user": user.id, "role": user.role, "workspace": workspace.name},
        status,
        {"cache-control": "no-store"},
    )


async def sign_up(request: Request) -> Response:
    """Create a workspace and its admin, who is signed in by this."""
    settings: Settings = request.app.state.settings
    new = await body_of(request, SignUp)
    name_tenant(request, new.workspace)
    workspace, user = await workspaces.sign_up(request.state.db, new, settings.passwords)
    return _token(settings, workspace, user, HTTPStatus.CREATED)


async def sign_in(request: Request) -> Response:
    settings: Settings = request.app.state.settings
    given = await body_of(request, SignIn)
    name_tenant(request, given.workspace)
    workspace, user = await workspaces.sign_in(
        request.state.db, given.email.lower(), given.password, settings.passwords
    )
    scopes = None if given.scope is None else set(given.scope.split())
    return _token(settings, workspace, user, HTTPStatus.OK, scopes)
