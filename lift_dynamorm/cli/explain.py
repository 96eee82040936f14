"""``explain``: what a query would do."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lift_dynamorm.cli.command import Invocation, command
from lift_dynamorm.cli.failures import Exit, Failure
from lift_dynamorm.errors import InvalidValue
from lift_dynamorm.expressions import F, Path
from lift_dynamorm.model import schema_of
from lift_dynamorm.resolve import resolve_path

if TYPE_CHECKING:
    from lift_dynamorm.schema import Schema

_SYMBOLS = re.compile(r"\s*(?P<path>[^\s<>=!]+)\s*(?P<op><>|<=|>=|!=|=|<|>)(?P<value>.*)", re.DOTALL)
_WORDS = re.compile(r"\s*(?P<path>\S+)\s+(?P<op>[a-z_]+)(?:\s+(?P<value>.*))?", re.DOTALL)
_WITHOUT_VALUE = frozenset({"exists", "not_exists"})
_LISTS = frozenset({"between", "in"})


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "explain")(explain)


def explain(
    invocation: Invocation,
    where: Annotated[
        list[str],
        typer.Option(
            metavar="CONDITION",
            show_default=False,
            help="As team=core, 'joined>2026-01-01', 'name begins_with A', 'n in [1, 2]'; may be given several times.",
        ),
    ] = [],  # noqa: B006 - typer reads it, and gives another
    order_by: Annotated[
        str, typer.Option(metavar="FIELD", show_default=False, help="Sort by this, -FIELD for descending.")
    ] = "",
    index: Annotated[str, typer.Option(metavar="NAME", show_default=False, help='Only this one; "table" too.')] = "",
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", show_default=False, help="How many items.")] = None,
    only: Annotated[
        list[str], typer.Option(metavar="FIELD", show_default=False, help="Read only this field; may be repeated.")
    ] = [],  # noqa: B006 - as above
    fetch: Annotated[bool, typer.Option("--fetch", help="Load what the index does not hold.")] = False,
    consistent: Annotated[bool, typer.Option("--consistent", help="Read what was written last.")] = False,
    scan: Annotated[bool, typer.Option("--scan", help="A scan of the whole table or index.")] = False,
    tenant: Annotated[str, typer.Option(metavar="ID", show_default=False, help="On behalf of this tenant.")] = "",
    item_size: Annotated[int, typer.Option(min=1, metavar="BYTES", help="What an item takes.")] = 1024,
) -> Exit:
    """Show what a query would do: index, conditions, request, cost; send nothing.

    A value is text, unless it is JSON and the field is none: logins>3, 'tags contains "x"', active=true.
    """
    models = invocation.models
    if len(models) != 1:
        names = ", ".join(model.__name__ for model in models)
        raise Failure("explain takes one model", f"--model NAME, one of {names}", code=Exit.USAGE, kind="UsageError")
    (model,) = models
    schema: Schema[Any] = schema_of(model)
    database = invocation.database
    session = database.session(tenant) if tenant else database.unscoped("explain")
    asked: Any = session.scan(model) if scan else session.query(model)
    asked = asked.where(*(_condition(schema, text) for text in where))
    if index:
        asked = asked.index(index)
    if limit is not None:
        asked = asked.limit(limit)
    if only:
        asked = asked.only(*only)
    if consistent:
        asked = asked.consistent()
    if scan and (order_by or fetch):
        raise Failure("a scan has no order, and fetches nothing", "leave out --scan", code=Exit.USAGE)
    if order_by:
        asked = asked.order_by(order_by)
    if fetch:
        asked = asked.fetch()
    try:
        explanation = asked.explain(item_size=item_size)
    except InvalidValue as error:  # of a condition, which was typed here
        raise Failure(str(error), code=Exit.USAGE, kind="InvalidValue") from error
    invocation.output.result(asdict(explanation))
    invocation.output.say(str(explanation))
    if not invocation.output.as_json:
        invocation.output.say("  request  " + json.dumps(explanation.request, indent=2).replace("\n", "\n  "))
    return Exit.DONE


def _condition(schema: Schema[Any], text: str) -> Any:
    """Read a condition: a path, an operator and a value."""
    match = _SYMBOLS.fullmatch(text)
    words = _WORDS.fullmatch(text)
    if words is not None and words["op"] in (*_LISTS, *_WITHOUT_VALUE, "begins_with", "contains", "not_contains"):
        match = words
    if match is None:
        raise Failure(
            f"--where {text!r} is no condition",
            "write field=value, 'field>value', 'field begins_with text', 'field exists', 'field between [1, 9]'",
            code=Exit.USAGE,
            kind="UsageError",
        )
    path, op, value = match["path"], match["op"], match["value"]
    if op in _WITHOUT_VALUE:
        return F(path, op)
    given = (value or "").strip() if match is words else value or ""
    read = _value(given, texts=op not in _LISTS and _holds_text(schema, path))
    if op in _LISTS:
        if not isinstance(read, list):
            raise Failure(
                f"--where {text!r}: {op} takes a list",
                f"write '{path} {op} [1, 9]'",
                code=Exit.USAGE,
                kind="UsageError",
            )
        return F(path, op, *read) if op == "between" else F(path, op, read)
    return F(path, op, read)


def _holds_text(schema: Schema[Any], path: str) -> bool:
    left = getattr(F(path, "=", ""), "left", None)
    return isinstance(left, Path) and resolve_path(schema, left).codec.tags == {"S"}


def _value(text: str, *, texts: bool) -> Any:
    """Read a value as JSON where it is, and a text is not what the field holds."""
    if texts and not text.startswith('"'):
        return text
    try:
        return json.loads(text, parse_float=Decimal)
    except ValueError:
        return text
