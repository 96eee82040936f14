"""The frame of every page, and the pages that tell of a problem."""

from __future__ import annotations

import json
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response

from lift_middleware.asgi import ASGIApp, Message, Receive, Scope, Send
from lift_middleware.problems import MEDIA_TYPE

from .cookies import home, leave
from .html import HTML, NOTHING, html

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}

_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="data:,">
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header class="top">{top}</header>
<main id="main">
{body}
</main>
</body>
</html>
"""
_BRAND = html('<a class="brand" href="/">Taskboard</a>')


def page(title: str, body: HTML, *, top: HTML = _BRAND, status: int = HTTPStatus.OK) -> Response:
    return HTMLResponse(html(_FRAME, title=title, top=top, body=body), status, HEADERS)


def notice(text: str | None) -> HTML:
    """Say what went wrong, so that it is read out too."""
    return html('<p class="notice" role="alert">{text}</p>', text=text) if text else NOTHING


def problem_page(status: int, title: str, detail: str, back: str) -> Response:
    body = html(
        '<section class="narrow"><h1>{title}</h1>{notice}<p><a class="button" href="{back}">Go back</a></p></section>',
        title=title,
        notice=notice(detail),
        back=back,
    )
    return page(title, body, status=status)


class PagesForPeople:
    """Show problems to browsers as pages, and send those that are not signed in to where they can be."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "text/html" not in Headers(scope=scope).get("accept", ""):
            await self.app(scope, receive, send)
            return
        held: Message | None = None
        body = b""

        async def send_page(message: Message) -> None:
            nonlocal held, body
            if message["type"] == "http.response.start" and _is_problem(message):
                held = message
            elif held is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body"):
                    await _translate(scope, held["status"], json.loads(body))(scope, receive, send)

        await self.app(scope, receive, send_page)


def _is_problem(start: Message) -> bool:
    return Headers(raw=list(start["headers"])).get("content-type") == MEDIA_TYPE


def _translate(scope: Scope, status: int, problem: dict[str, str]) -> Response:
    workspace = scope["path_params"]["workspace"]
    if status == HTTPStatus.UNAUTHORIZED:
        return leave(scope["app"].state.settings, workspace)
    came_from = urlsplit(Headers(scope=scope).get("referer", "")).path
    inside = came_from.startswith(f"{home(workspace)}/")  # and never where another site would lead
    return problem_page(status, problem["title"], problem["detail"], came_from if inside else f"{home(workspace)}/")
