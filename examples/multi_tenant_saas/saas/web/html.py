"""HTML from templates that escape whatever is put into them."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


class HTML(str):
    """Text that is HTML already. Only `html` and `join` make it, out of templates that stand in the code."""

    __slots__ = ()


def html(template: str, **values: object) -> HTML:
    """Fill a template, as ``html("<b>{name}</b>", name=user.name)``; attributes are to be in double quotes."""
    return HTML(template.format_map({name: _escaped(value) for name, value in values.items()}))


def join(parts: Iterable[HTML]) -> HTML:
    return HTML("".join(parts))


NOTHING = HTML("")


def _escaped(value: object) -> str:
    if isinstance(value, HTML):
        return value
    return "" if value is None else escape(str(value), quote=True)
