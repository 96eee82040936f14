"""The pages to sign up and in."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from .. import workspaces
from ..inputs import SignUp
from ..refusal import Refusal
from ..settings import Settings
from ..tenancy import name_tenant
from .cookies import begin_visit, enter, form_mark, home, keep_visit
from .forms import MARK, form_of, input_of
from .html import html
from .page import notice, page

_FRONT = """
<div class="front">
<section>
<h1>Work that stays with its team</h1>
<p class="lead">Every workspace is a tenant of one DynamoDB table, and sees nothing of the others.</p>
<form action="/open" method="get" class="card">
<h2>Sign in</h2>
<label for="to">Workspace</label>
<input id="to" name="workspace" required pattern="[a-z][a-z0-9\\-]+" autocomplete="organization" placeholder="acme">
<button>Continue</button>
</form>
</section>
<section>
<form action="/sign-up" method="post" class="card">
<h2>Start a workspace</h2>
{notice}
<input type="hidden" name="{mark_name}" value="{mark}">
<label for="workspace">Name, for addresses</label>
<input id="workspace" name="workspace" value="{workspace}" required pattern="[a-z][a-z0-9\\-]+" placeholder="acme">
<label for="title">Title</label>
<input id="title" name="title" value="{title}" required maxlength="200" placeholder="Acme, Inc.">
<label for="plan">Plan</label>
<select id="plan" name="plan">
<option value="free">Free: 2 projects, 3 people</option>
<option value="pro">Pro: 20 projects, 25 people</option>
<option value="enterprise">Enterprise: no limits</option>
</select>
<label for="name">Your name</label>
<input id="name" name="name" value="{name}" required maxlength="100" autocomplete="name">
<label for="email">E-mail</label>
<input id="email" name="email" type="email" value="{email}" required autocomplete="username">
<label for="password">Password, 10 characters or more</label>
<input id="password" name="password" type="password" required minlength="10" autocomplete="new-password">
<button>Sign up</button>
</form>
</section>
</div>
"""

_SIGN_IN = """
<section class="narrow">
<form method="post" action="{home}/sign-in" class="card">
<h1>Sign in to {workspace}</h1>
{notice}
<input type="hidden" name="{mark_name}" value="{mark}">
<label for="email">E-mail</label>
<input id="email" name="email" type="email" value="{email}" required autocomplete="username" autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" required autocomplete="current-password">
<button>Sign in</button>
</form>
<p><a href="/">Another workspace</a></p>
</section>
"""


def _front(request: Request, fields: dict[str, str], text: str | None, status: int) -> Response:
    visit = begin_visit(request)
    shown = {name: fields.get(name, "") for name in ("workspace", "title", "name", "email")}
    body = html(_FRONT, notice=notice(text), mark_name=MARK, mark=form_mark(request), **shown)
    return keep_visit(request, page("Taskboard", body, status=status), visit)


async def front_page(request: Request) -> Response:
    return _front(request, {}, None, HTTPStatus.OK)


async def open_workspace(request: Request) -> Response:
    name = request.query_params.get("workspace", "").strip().lower()
    known = name.replace("-", "").isalnum() and name.isascii()
    return RedirectResponse(f"{home(name)}/sign-in" if known else "/", HTTPStatus.SEE_OTHER)


async def sign_up(request: Request) -> Response:
    """Create a workspace, as the API does, and sign the browser in."""
    settings: Settings = request.app.state.settings
    fields: dict[str, str] = {}
    try:
        fields = await form_of(request)
        new = input_of(SignUp, fields)
        name_tenant(request, new.workspace)
        workspace, user = await workspaces.sign_up(request.state.db, new, settings.passwords)
    except Refusal as refusal:
        return _front(request, fields, refusal.detail, refusal.status)
    return enter(settings, workspace, user)


def _sign_in(request: Request, email: str, text: str | None, status: int) -> Response:
    workspace = request.path_params["workspace"]
    visit = begin_visit(request)
    body = html(
        _SIGN_IN,
        home=home(workspace),
        workspace=workspace,
        notice=notice(text),
        mark_name=MARK,
        mark=form_mark(request),
        email=email,
    )
    return keep_visit(request, page(f"Sign in to {workspace}", body, status=status), visit)


async def sign_in_page(request: Request) -> Response:
    return _sign_in(request, "", None, HTTPStatus.OK)


async def sign_in(request: Request) -> Response:
    settings: Settings = request.app.state.settings
    email = ""
    try:
        fields = await form_of(request)
        email, password = fields.get("email", "").strip().lower(), fields.get("password", "")
        workspace, user = await workspaces.sign_in(request.state.db, email, password, settings.passwords)
    except Refusal as refusal:
        return _sign_in(request, email, refusal.detail, refusal.status)
    return enter(settings, workspace, user)
