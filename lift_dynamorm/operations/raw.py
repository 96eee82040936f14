"""Past the models: an operation in DynamoDB's own form, and PartiQL."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from lift_dynamorm.codec import ANY, SCALARS
from lift_dynamorm.errors import (
    ConditionFailed,
    DynamORMError,
    InvalidValue,
    ItemExists,
    OutcomeUnknown,
    RequestRefused,
    TransactionCanceled,
    UsageError,
    service_error,
    transaction_canceled,
)
from lift_dynamorm.model import Model, schema_of
from lift_dynamorm.operations.read import load, visible
from lift_dynamorm.scalars import decode_any, encode_any, encode_text, refuse
from lift_dynamorm.transport.retry import reads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.scalars import Wire
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.transport import Payload
    from lift_dynamorm.work import Work

    Item = dict[str, Any]

M = TypeVar("M", bound=Model)

_CONDITIONS = {
    "ConditionalCheckFailed": (ConditionFailed, "the condition does not hold"),
    "DuplicateItem": (ItemExists, "there is an item with this key already"),
}


async def execute(context: Context, work: Work, operation: str, payload: Mapping[str, Any]) -> Payload:
    """Send an operation as it stands, but for the names of tables, and return the answer."""
    _check_session(context, work, "execute", operation, payload)
    return await _send(context, operation, payload)


async def execute_statement(
    context: Context,
    work: Work,
    statement: str,
    parameters: Sequence[Any],
    model: type[M] | None,
    *,
    consistent: bool,
    limit: int | None,
) -> list[Any]:
    """Run a PartiQL statement to its end, and return its rows."""
    payload: dict[str, Any] = {"Statement": statement}
    _check_session(context, work, "execute_statement", "ExecuteStatement", payload)
    if isinstance(parameters, str | bytes) or not hasattr(parameters, "__iter__"):
        raise UsageError(f"execute_statement takes its parameters as a list: [{parameters!r}]")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise UsageError(f"execute_statement(limit={limit!r}): give a whole number from 1")
    if parameters:
        payload["Parameters"] = [_parameter(number, value) for number, value in enumerate(parameters, 1)]
    if consistent:
        payload["ConsistentRead"] = True
    if limit is not None:
        payload["Limit"] = limit
    if not reads("ExecuteStatement", payload):
        payload["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    schema = None
    if model is not None:
        schema = schema_of(model)
        _check_model(context, schema, statement)
    rows: list[Item] = []
    while True:
        answer = await _send(context, "ExecuteStatement", payload)
        rows += (row for row in answer.get("Items", ()) if schema is None or visible(context, schema, row))
        token = answer.get("NextToken")
        if not token or (limit is not None and len(rows) >= limit):
            break
        # The token belongs to statement and parameters. DynamoDB counts what it reads, also what the statement drops:
        # past the first page a small limit could take a request per item.
        payload = {**payload, "NextToken": token}
        payload.pop("Limit", None)
    return await load(context, schema, rows[:limit]) if schema is not None else [_plain(row) for row in rows[:limit]]


# -- what is refused before it is sent ---------------------------------------------------------------------------------


def _check_session(context: Context, work: Work, verb: str, operation: str, payload: Mapping[str, Any]) -> None:
    if context.prefix:
        msg = (
            f"{verb}: {operation} would go past the tenant of this session; where it has to, say so: "
            f"database.unscoped(reason).{verb}(...)"
        )
        raise UsageError(msg)
    only_reads = reads(operation, payload)
    if not only_reads:
        work.check_open()
    if work.unit is not None and (work.unit.keeps_reads or not only_reads):
        msg = (
            f"{verb}: {operation} takes no part in the transaction of this session (a request's session always has "
            "one): what it writes would stay where that is taken back, and what it reads would be no condition of a "
            f"serializable one. Use a session of its own: database.session().{verb}(...), or "
            f"database.unscoped(reason).{verb}(...)"
        )
        raise UsageError(msg)


def _check_model(context: Context, schema: Schema[Any], statement: str) -> None:
    """Refuse a statement whose rows are not whole items: they would pass for items with the defaults of the rest."""
    read = [match for match in _TABLE.finditer(statement) if match["verb"]]
    tables = {context.table_name(match["quoted"] or match["plain"]) for match in read}
    if not _WHOLE.match(statement) or tables != {context.table(schema)}:
        msg = (
            f'execute_statement(model={schema.name}) is for SELECT * FROM "{schema.table.name}"; for other statements '
            "leave the model out: their rows are dicts"
        )
        raise UsageError(msg)
    for match in read:
        name = match["quoted_index"] or match["plain_index"]
        index = next((index for index in schema.indexes if index.name == name), None)
        if index is not None and index.projected is not None:
            held = index.projected.union(index.attributes, schema.key.attributes)
            if not held.issuperset(schema.by_attribute):
                msg = f"execute_statement(model={schema.name}): the index {name} holds only a part of its items"
                raise UsageError(f"{msg}; read the table, or leave the model out")


# -- the request and the answer ----------------------------------------------------------------------------------------


_TABLE = re.compile(
    r"""
    '(?:[^']|'')*'                                                                           # a text
    | \b(?P<verb>FROM|INTO|UPDATE) \s+ (?P<name>"(?P<quoted>[^"]+)"|(?P<plain>[a-z_]\w*))    # a table
      (?:\s*\.\s*(?:"(?P<quoted_index>[^"]+)"|(?P<plain_index>[a-z_]\w*)))?                  # and an index
    | "[^"]*"                                                                                # an attribute
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WHOLE = re.compile(r"\s*SELECT\s*\*", re.IGNORECASE)
_BY_TABLE = ("ItemCollectionMetrics", "Responses", "UnprocessedItems", "UnprocessedKeys")


async def _send(context: Context, operation: str, payload: Mapping[str, Any]) -> Payload:
    tables = _Tables(context)
    try:
        answer = await context.send(operation, tables.request(payload))
    except RequestRefused as error:
        failure = _failure(operation, error)
        if failure is None:
            raise
        raise failure from None
    return {**answer, **{k: tables.back(answer[k]) for k in _BY_TABLE if isinstance(answer.get(k), dict)}}


class _Tables:
    """The tables of one request, under the names that the models have for them and under those they have here."""

    __slots__ = ("_context", "_ours")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ours: dict[str, str] = {}

    def request(self, part: Mapping[str, Any]) -> dict[str, Any]:
        """Put the names that tables have here into a request."""
        sent = dict(part)
        for place, value in part.items():
            match place:
                case "TableName":
                    sent[place] = self._here(value)
                case "Statement":
                    sent[place] = _TABLE.sub(self._in_statement, value)
                case "RequestItems":
                    sent[place] = {self._here(name): entries for name, entries in value.items()}
                    if len(sent[place]) < len(value):
                        raise UsageError(f"two of the tables {', '.join(value)} are one here; name it once")
                case "TransactItems" | "Statements" | "TransactStatements":
                    sent[place] = [self.request(entry) for entry in value]
                case "Put" | "Update" | "Delete" | "ConditionCheck" | "Get":
                    sent[place] = self.request(value)
        return sent

    def back(self, by_table: Mapping[str, Any]) -> dict[str, Any]:
        """Give a part of the answer by the names that the request had, so that it can be sent again."""
        return {self._ours.get(name, name): part for name, part in by_table.items()}

    def _here(self, name: str) -> str:
        if name.startswith("arn:"):
            return name
        here = self._context.table_name(name)
        self._ours[here] = name
        return here

    def _in_statement(self, match: re.Match[str]) -> str:
        text = match.group()
        if match["verb"] is None:
            return text
        name = match["quoted"] or match["plain"]
        here = self._here(name)
        start, end = (at - match.start() for at in match.span("name"))
        return text if here == name else f'{text[:start]}"{here}"{text[end:]}'


def _parameter(number: int, value: Any) -> Wire:
    try:
        return _encode(value)
    except InvalidValue as error:
        raise InvalidValue(f"execute_statement: parameter {number}: {error}") from None


def _encode(value: Any) -> Wire:
    """Encode a value as a field of its type would be."""
    if isinstance(value, Enum):
        return _encode(value.value)
    if isinstance(value, dict):
        return {"M": {encode_text(name)["S"]: _encode(part) for name, part in value.items()}}
    if isinstance(value, list | tuple):
        return {"L": [_encode(part) for part in value]}
    if isinstance(value, set | frozenset):
        return encode_any(value)
    codec = next(SCALARS[kind] for kind in type(value).__mro__ if kind in SCALARS)
    if codec is ANY:
        raise refuse(value, "text, a number, bytes, a bool, None, a time, a UUID, an Enum, or a list, dict or set")
    return codec.encode(value)


def _plain(item: Mapping[str, Wire]) -> dict[str, Any]:
    return {attribute: decode_any(wire) for attribute, wire in item.items()}


# -- errors ------------------------------------------------------------------------------------------------------------


def _failure(operation: str, error: RequestRefused) -> DynamORMError | None:
    """Make the error that the models' verbs raise for the same; None where a refusal is what it is."""
    if error.code == "TransactionCanceledException":
        return _canceled(operation, error)
    failed = _condition(operation, error.code.removesuffix("Exception"), error.answer)
    if failed is None or not error.maybe_applied:
        return failed
    return OutcomeUnknown(
        f"{operation}: an answer was lost, and the condition may fail because the write was made; read the item to see",
        operation=operation,
        code=error.code,
        answer=error.answer,
    )


def _condition(operation: str, code: str, answer: Mapping[str, Any]) -> ConditionFailed | None:
    if code not in _CONDITIONS:
        return None
    kind, text = _CONDITIONS[code]
    item = answer.get("Item")
    return kind(f"{operation}: {text}", item=_plain(item) if item else None, wire_item=item)


def _canceled(operation: str, error: RequestRefused) -> TransactionCanceled:
    reasons: list[DynamORMError | None] = []
    for reason in error.answer.get("CancellationReasons") or ():
        code = reason.get("Code") or "None"
        answer = {"__type": code, "message": reason.get("Message") or code}
        failed = _condition(operation, code, reason) or service_error(operation, status=400, answer=answer)
        reasons.append(None if code == "None" else failed)
    return transaction_canceled(f"the transaction was canceled, and nothing was written: {error}", reasons)
