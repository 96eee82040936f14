"""The style sheet."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

_SHEET = (Path(__file__).parent / "style.css").read_bytes()


async def sheet(request: Request) -> Response:
    return Response(_SHEET, headers={"cache-control": "max-age=300"}, media_type="text/css")
