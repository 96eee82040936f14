"""The cookie that keeps a browser signed in, and the marks that tell a form of ours from one of another site."""

from __future__ import annotations

import hmac
import secrets
import time
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from lift_middleware.principals import principal_of

from ..models import User, Workspace
from ..refusal import Refusal
from ..settings import Settings
from ..tenancy import Work

COOKIE = "session"
VISIT = "visit"


def home(workspace: str) -> str:
    """The path below which the pages of a workspace lie, and the only one that its cookie is sent to.

    So one browser can be signed in to two workspaces, a window each.
    """
    return f"/w/{workspace}"


def enter(settings: Settings, workspace: Workspace, user: User) -> Response:
    """Sign a browser in."""
    response = RedirectResponse(f"{home(workspace.name)}/", HTTPStatus.SEE_OTHER)
    _set_session(settings, workspace, user, response)
    return response


async def keep_signed_in(request: Request, work: Work, response: Response) -> Response:
    """Give a browser that is at work a new token in the second half of the old one's time, with the role as it is now.

    The forms of pages that are open by then keep the mark of the old one, so the token keeps its name for them.
    """
    settings: Settings = request.app.state.settings
    ends: int = work.principal.claim("exp")
    if ends - time.time() < settings.tokens.lifetime / 2:
        user = await work.db.find(User, id=work.user)
        if user is not None:
            _set_session(settings, work.workspace, user, response, name=str(work.principal.claim("jti")))
    return response


def _set_session(
    settings: Settings, workspace: Workspace, user: User, response: Response, name: str | None = None
) -> None:
    response.set_cookie(
        COOKIE,
        settings.tokens.issue(workspace, user, "web", name=name),
        max_age=settings.tokens.lifetime,
        path=home(workspace.name),
        secure=settings.secure_cookies,
        httponly=True,
        samesite="lax",
    )


def leave(settings: Settings, workspace: str) -> Response:
    """Sign a browser out."""
    response = RedirectResponse(f"{home(workspace)}/sign-in", HTTPStatus.SEE_OTHER)
    response.delete_cookie(COOKIE, path=home(workspace), secure=settings.secure_cookies, httponly=True, samesite="lax")
    return response


def form_mark(request: Request) -> str:
    """Give the text that a form of this browser, or of this sign-in, carries: no other site can know it."""
    settings: Settings = request.app.state.settings
    return settings.tokens.mark("form", _seed(request))


def check_form(request: Request, given: str) -> None:
    """Refuse a form that another site has made a browser send."""
    seed = _seed(request)
    expected = request.app.state.settings.tokens.mark("form", seed)
    if not seed or not hmac.compare_digest(given.encode(), expected.encode()):
        raise Refusal(HTTPStatus.FORBIDDEN, "This form is too old, or not from here. Load the page again.")


def _seed(request: Request) -> str:
    principal = principal_of(request.scope) if "principal" in request.scope.get("state", {}) else None
    if principal is not None:
        return str(principal.claim("jti"))
    return getattr(request.state, VISIT, None) or request.cookies.get(VISIT, "")


def begin_visit(request: Request) -> str:
    """Give a browser that is not signed in something to know its forms by."""
    visit = request.cookies.get(VISIT) or secrets.token_urlsafe(16)
    setattr(request.state, VISIT, visit)
    return visit


def keep_visit(request: Request, response: Response, visit: str) -> Response:
    settings: Settings = request.app.state.settings
    response.set_cookie(VISIT, visit, secure=settings.secure_cookies, httponly=True, samesite="lax")
    return response
