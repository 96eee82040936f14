"""What a form has sent."""

from __future__ import annotations

from http import HTTPStatus
from typing import TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel
from starlette.requests import Request

from ..inputs import valid
from ..refusal import Invalid, Refusal
from .cookies import check_form

MARK = "mark"
_LONGEST = 16 * 1024

I = TypeVar("I", bound=BaseModel)  # noqa: E741 - an input


async def form_of(request: Request) -> dict[str, str]:
    """Read a form of ours; 403 where it does not carry the mark of this browser."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "This is more than a form here takes.")
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=50))
    except ValueError:
        raise Refusal(HTTPStatus.BAD_REQUEST, "The form cannot be read.") from None
    check_form(request, fields.pop(MARK, ""))
    return fields


def input_of(model: type[I], fields: dict[str, str]) -> I:
    """Make an input of some fields; what is left empty counts as null. The refusal is one sentence."""
    try:
        return valid(model, {name: value if value != "" else None for name, value in fields.items()})
    except Invalid as invalid:
        first = invalid.errors[0]
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"{first['where'].capitalize()}: {first['message']}.") from None
