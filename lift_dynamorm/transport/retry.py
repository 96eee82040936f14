"""Send again what failed, when that is safe and while there is time."""

from __future__ import annotations

import random as _random
import re
import time
from typing import TYPE_CHECKING

from lift_dynamorm.errors import (
    ConnectionFailed,
    DeadlineExceeded,
    OutcomeUnknown,
    RequestRefused,
    ServerError,
    ServiceError,
    Throttled,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from typing import Any

    from . import Payload, Transport

_NOT_APPLIED = frozenset(
    {"ReplicatedWriteConflictException", "TransactionConflictException", "TransactionInProgressException"}
)
_TRANSIENT_REASONS = frozenset({"ProvisionedThroughputExceeded", "ThrottlingError", "TransactionConflict"})


async def _asyncio_sleep(seconds: float) -> None:
    from asyncio import sleep

    await sleep(seconds)


class RetryTransport:
    """Wrap a one-attempt transport with retries: exponential backoff with full jitter inside one deadline.

    timeout: seconds for an operation with all its retries; a caller's deadline may only shorten it.
    max_attempts: a further limit; None leaves it to the deadline.
    base, cap: attempt n waits a random time below ``min(cap, base * 2**n)`` seconds.

    A wait that would pass the deadline is not begun: the last error is raised at once, with a note that says
    how often the operation was tried. An error that follows an attempt whose answer was lost has
    `maybe_applied` set: a condition that fails then may fail because the first attempt succeeded.
    Why full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    def __init__(
        self,
        inner: Transport,
        *,
        timeout: float = 10.0,
        max_attempts: int | None = None,
        base: float = 0.025,
        cap: float = 1.0,
        random: Callable[[], float] = _random.random,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = _asyncio_sleep,
        blocking_sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._inner = inner
        self._timeout = timeout
        self._max_attempts = max_attempts
        self._base = base
        self._cap = cap
        self._random = random
        self._clock = clock
        self.sleep = sleep
        self._blocking_sleep = blocking_sleep
        self._blocking: RetryTransport | None = None

    @property
    def blocking(self) -> RetryTransport:
        if self._blocking is None:
            pause = self._blocking_sleep

            async def sleep(seconds: float) -> None:
                pause(seconds)

            twin = RetryTransport(
                self._inner.blocking,
                timeout=self._timeout,
                max_attempts=self._max_attempts,
                base=self._base,
                cap=self._cap,
                random=self._random,
                clock=self._clock,
                sleep=sleep,
                blocking_sleep=pause,
            )
            twin._blocking = twin
            self._blocking = twin
        return self._blocking

    def limit(self, deadline: float | None) -> float:
        """Tell when an operation that begins now gives up: at the deadline, or before that after the timeout."""
        limit = self._clock() + self._timeout
        return limit if deadline is None or deadline > limit else deadline

    async def backoff(self, attempts: int, deadline: float) -> bool:
        """Wait after so many attempts; False, at once, where there may be no more of them."""
        wait = self._random() * min(self._cap, self._base * 2.0 ** min(attempts - 1, 64))
        if attempts == self._max_attempts or self._clock() + wait >= deadline:
            return False
        await self.sleep(wait)
        return True

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        deadline = self.limit(deadline)
        try:
            return await self._inner.send(operation, payload, deadline=deadline)
        except ServiceError as error:
            first = error
        return await self._send_again(operation, payload, deadline, first)

    async def _send_again(self, operation: str, payload: Payload, deadline: float, error: ServiceError) -> Payload:
        attempts = 1
        maybe_applied = False
        while True:
            ambiguous = _ambiguous(error)
            if ambiguous and not repeatable(operation, payload):
                raise _outcome_unknown(operation, error) from error
            error.maybe_applied = maybe_applied = maybe_applied or (ambiguous and not reads(operation, payload))
            if not (ambiguous or _transient(error)) or isinstance(error, DeadlineExceeded):
                raise error
            if not await self.backoff(attempts, deadline):
                error.add_note(f"{operation}: gave up after attempt {attempts}.")
                raise error
            attempts += 1
            try:
                return await self._inner.send(operation, payload, deadline=deadline)
            except ServiceError as latest:
                if latest is not error:
                    latest.__context__ = error
                error = latest

    async def aclose(self) -> None:
        await self._inner.aclose()


def _ambiguous(error: ServiceError) -> bool:
    if isinstance(error, ConnectionFailed):
        return error.sent
    return isinstance(error, ServerError) or (isinstance(error, DeadlineExceeded) and error.maybe_applied)


def _transient(error: ServiceError) -> bool:
    """Tell whether the error says that nothing was applied and that another attempt may succeed."""
    if isinstance(error, Throttled | ConnectionFailed) or error.code in _NOT_APPLIED:
        return True
    if isinstance(error, RequestRefused) and error.code == "TransactionCanceledException":
        codes = {reason.get("Code") or "None" for reason in error.answer.get("CancellationReasons") or ()}
        codes.discard("None")
        return bool(codes) and codes <= _TRANSIENT_REASONS
    return False


def _outcome_unknown(operation: str, error: ServiceError) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"{operation}: the answer was lost, so the write may or may not have been applied, and sending it again could"
        " apply it twice. Read the item to find out. To make such a write safe to retry give it a condition that the"
        " write itself makes false (a Version field does), or put it into a transaction.",
        operation=operation,
        code=error.code,
        status=error.status,
        request_id=error.request_id,
        answer=error.answer,
    )


_READS = frozenset(
    {
        "BatchGetItem",
        "GetItem",
        "GetRecords",
        "GetResourcePolicy",
        "GetShardIterator",
        "Query",
        "Scan",
        "SearchVectors",
        "TransactGetItems",
    }
)
_REPEATABLE_WRITES = frozenset(
    {
        "BatchWriteItem",
        "CreateTable",
        "DeleteBackup",
        "DeleteItem",
        "DeleteResourcePolicy",
        "DeleteTable",
        "DisableKinesisStreamingDestination",
        "EnableKinesisStreamingDestination",
        "PutItem",
        "PutResourcePolicy",
        "TagResource",
        "UntagResource",
        "UpdateContinuousBackups",
        "UpdateContributorInsights",
        "UpdateKinesisStreamingDestination",
        "UpdateTable",
        "UpdateTableReplicaAutoScaling",
        "UpdateTimeToLive",
    }
)


def reads(operation: str, payload: Mapping[str, Any]) -> bool:
    """Tell whether an operation leaves everything as it was."""
    if operation in _READS or operation.startswith(("Describe", "List")):
        return True
    if operation == "ExecuteStatement":
        return _selects(payload)
    if operation == "BatchExecuteStatement":
        return all(_selects(statement) for statement in payload.get("Statements") or ())
    if operation == "ExecuteTransaction":
        return all(_selects(statement) for statement in payload.get("TransactStatements") or ())
    return False


def repeatable(operation: str, payload: Mapping[str, Any]) -> bool:
    """Tell whether a request may be applied twice without harm, or cannot be.

    A condition protects an update only if the update makes it false: ``version = :old`` with ``SET version = :new``
    does, ``attribute_exists(pk)`` does not. What is not known to be safe counts as unsafe.
    """
    if operation == "UpdateItem":
        return _idempotent_update(payload) or _guarded_update(payload)
    if operation in ("TransactWriteItems", "ExecuteTransaction") and payload.get("ClientRequestToken"):
        return True
    if operation in ("ExportTableToPointInTime", "ImportTable"):
        return bool(payload.get("ClientToken"))
    return operation in _REPEATABLE_WRITES or reads(operation, payload)


def _selects(statement: Mapping[str, Any]) -> bool:
    return str(statement.get("Statement", "")).lstrip().upper().startswith("SELECT")


_TOKEN = re.compile(r"<>|<=|>=|[()\[\],.=<>+-]|[^\s()\[\],.=<>+-]+")
_CLAUSES = frozenset({"SET", "REMOVE", "ADD", "DELETE"})
_KEYWORDS = _CLAUSES | {"AND", "OR", "NOT", "BETWEEN", "IN"}
_SETS = frozenset({"SS", "NS", "BS"})

Tokens = list[str]


def _tokens(expression: str, names: Mapping[str, str]) -> Tokens:
    """Split an expression; attributes become ``#`` and their name, whether spelled out or by placeholder.

    Keywords are reserved words, so an attribute of that name is always a placeholder and cannot be taken for one.
    """
    tokens = []
    for token in _TOKEN.findall(expression):
        if token.startswith("#"):
            tokens.append(f"#{names.get(token, token)}")
        elif token[0] in "()[],.=<>+-:":
            tokens.append(token)
        elif token.upper() in _KEYWORDS:
            tokens.append(token.upper())
        else:
            tokens.append(f"#{token}")
    return tokens


def _split(tokens: Tokens, separator: str) -> Iterator[Tokens]:
    """Split at `separator` outside of parentheses."""
    depth = 0
    part: Tokens = []
    for token in tokens:
        depth += (token == "(") - (token == ")")
        if token == separator and not depth:
            yield part
            part = []
        else:
            part.append(token)
    yield part


def _clauses(tokens: Tokens) -> dict[str, list[Tokens]]:
    """Group the actions of an update expression by clause; each action is its tokens."""
    clauses: dict[str, Tokens] = {}
    current: Tokens = []
    for token in tokens:
        if token in _CLAUSES:
            current = clauses.setdefault(token, [])
        else:
            current.append(token)
    return {clause: list(_split(actions, ",")) for clause, actions in clauses.items()}


def _update_clauses(payload: Mapping[str, Any]) -> dict[str, list[Tokens]]:
    names = payload.get("ExpressionAttributeNames") or {}
    return _clauses(_tokens(payload.get("UpdateExpression") or "", names))


def _idempotent_update(payload: Mapping[str, Any]) -> bool:
    """Tell whether doing the update twice ends in the same item as doing it once.

    Not so: arithmetic, ADD of numbers, list_append, anything addressed by list index (REMOVE moves the rest up, and
    SET past the end appends), and a SET that copies from an attribute which the same update changes.
    """
    for update in (payload.get("AttributeUpdates") or {}).values():
        if update.get("Action") == "ADD" and not _SETS.issuperset(update.get("Value") or {"N": ""}):
            return False
    values = payload.get("ExpressionAttributeValues") or {}
    clauses = _update_clauses(payload)
    written: list[Tokens] = []
    sources: list[Tokens] = []
    for action in clauses.get("SET", ()):
        target, *right = _split(action, "=")
        if len(right) != 1 or {"+", "-"} & set(right[0]):
            return False
        written.append(target)
        function = right[0][0].lower() if len(right[0]) > 1 and right[0][1] == "(" else ""
        if function == "#if_not_exists":
            sources += (operand for operand in _split(right[0][2:-1], ",") if operand != target)
        elif function:
            return False
        else:
            sources.append(right[0])
    written += clauses.get("REMOVE", [])
    for action in clauses.get("ADD", []) + clauses.get("DELETE", []):
        if not action or not _SETS.issuperset(values.get(action[-1]) or {"N": ""}):
            return False
        written.append(action[:-1])
    if any("[" in path for path in written):
        return False
    return not any(_overlap(source, path) for source in sources for path in written)


def _overlap(source: Tokens, path: Tokens) -> bool:
    """Tell whether one of two document paths lies in the other; a ``:value`` lies nowhere."""
    if source and source[0].startswith(":"):
        return False
    return all(a == b for a, b in zip(source, path, strict=False))


def _guarded_update(payload: Mapping[str, Any]) -> bool:
    """Tell whether one of the conditions that must all hold is made false by the update."""
    names = payload.get("ExpressionAttributeNames") or {}
    values = payload.get("ExpressionAttributeValues") or {}
    clauses = _update_clauses(payload)
    assigned: dict[tuple[str, ...], Tokens] = {}
    for action in clauses.get("SET", ()):
        target, *right = _split(action, "=")
        if len(right) == 1 and "[" not in target:
            assigned[tuple(target)] = right[0]
    removed = {tuple(path) for path in clauses.get("REMOVE", ()) if "[" not in path}
    created = {*assigned, *((f"#{name}",) for name in payload.get("Key") or ())}
    created |= {tuple(action[:-1]) for action in clauses.get("ADD", ())}

    for part in _conjuncts(_tokens(payload.get("ConditionExpression") or "", names)):
        if len(part) > 3 and part[1] == "(" and part[-1] == ")":
            function, argument = part[0].lower(), tuple(part[2:-1])
            if (function == "#attribute_not_exists" and argument in created) or (
                function == "#attribute_exists" and argument in removed
            ):
                return True
        elif part.count("=") == 1:
            one, other = _split(part, "=")
            for path, operand in ((one, other), (other, one)):
                if len(operand) != 1 or operand[0] not in values:
                    continue
                if tuple(path) in removed or _changes(path, assigned.get(tuple(path)), values[operand[0]], values):
                    return True
    return False


def _conjuncts(tokens: Tokens) -> Iterator[Tokens]:
    """Yield the conditions that all must hold; an expression with OR or NOT outside of parentheses yields none.

    A part in parentheses is opened; BETWEEN keeps its AND, and such a part means nothing to the caller.
    """
    depth = 0
    for token in tokens:
        depth += (token == "(") - (token == ")")
        if not depth and token in ("OR", "NOT"):
            return
    for part in _split(tokens, "AND"):
        if len(part) > 2 and part[0] == "(" and _closing(part) == len(part) - 1:
            yield from _conjuncts(part[1:-1])
        else:
            yield part


def _closing(tokens: Tokens) -> int:
    depth = 0
    for index, token in enumerate(tokens):
        depth += (token == "(") - (token == ")")
        if not depth:
            return index
    return -1


def _changes(
    target: Tokens, assigned: Tokens | None, expected: Mapping[str, Any], values: Mapping[str, Mapping[str, Any]]
) -> bool:
    """Tell whether ``SET target = assigned`` leaves something other than `expected` where `expected` was."""
    if assigned is None:
        return False
    if len(assigned) == 1 and assigned[0] in values:
        return not _equal(values[assigned[0]], expected)
    sign = next((index for index, token in enumerate(assigned) if token in ("+", "-")), None)
    if sign is None:
        return False
    left, right = assigned[:sign], assigned[sign + 1 :]
    step = right if left == target else left if right == target and assigned[sign] == "+" else []
    return len(step) == 1 and step[0] in values and not _equal(values[step[0]], {"N": "0"})


def _equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Compare two attribute values; what could be equal counts as equal, so only plain unequal scalars differ."""
    if "N" in one and "N" in other:
        from decimal import Decimal, InvalidOperation

        try:
            return Decimal(one["N"]) == Decimal(other["N"])
        except InvalidOperation:
            return True
    if one.keys() == other.keys() and one.keys() <= {"S", "B", "BOOL", "NULL"}:
        return dict(one) == dict(other)
    return one.keys() == other.keys()
