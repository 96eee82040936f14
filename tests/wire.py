"""Hold every request of the tests to the official wire format: botocore's own model of DynamoDB."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from lift_dynamorm.transport.boto import to_botocore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping

    from lift_dynamorm.transport import Payload, Transport

_STREAM_OPERATIONS = frozenset({"DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"})
_PLACEHOLDER = re.compile(r"[#:][A-Za-z0-9_]+")


@functools.cache
def _service(name: str) -> Any:
    import botocore.session

    return botocore.session.Session().get_service_model(name)


@functools.cache
def _input_shape(operation: str) -> Any:
    service = _service("dynamodbstreams" if operation in _STREAM_OPERATIONS else "dynamodb")
    assert operation in service.operation_names, f"DynamoDB has no operation {operation}"
    return service.operation_model(operation).input_shape


@functools.cache
def _validator() -> Any:
    from botocore.validate import ParamValidator

    return ParamValidator()


def check(operation: str, payload: Payload) -> None:
    """Raise AssertionError where a payload is not what DynamoDB documents for the operation.

    botocore does not know that every placeholder must be defined and used; AWS refuses both, some engines accept.
    """
    shape = _input_shape(operation)
    try:
        arguments = to_botocore(shape, payload)
    except ValueError as error:
        raise AssertionError(f"{operation}: a binary value is not base64 text: {error}\n{payload}") from error
    # These come from the engine, and dynoxide's are shorter than DynamoDB's.
    given = {name: arguments[name].zfill(28) for name in ("SequenceNumber", "ShardId") if name in arguments}
    arguments = {**arguments, **given}
    report = _validator().validate(arguments, shape)
    assert not report.has_errors(), f"{operation}: {report.generate_report()}\n{payload}"
    for part in _with_expressions(operation, payload):
        _check_placeholders(operation, part)


def _with_expressions(operation: str, payload: Payload) -> Iterator[Mapping[str, Any]]:
    if operation in ("TransactWriteItems", "TransactGetItems"):
        for entry in payload["TransactItems"]:
            assert len(entry) == 1, f"{operation}: an entry holds one action, not {sorted(entry)}"
            yield from entry.values()
    elif operation == "BatchGetItem":
        yield from payload["RequestItems"].values()
    else:
        yield payload


def _check_placeholders(operation: str, part: Mapping[str, Any]) -> None:
    used: set[str] = set()
    for name, expression in part.items():
        if name.endswith("Expression"):
            assert expression.strip(), f"{operation}: {name} is empty"
            used.update(_PLACEHOLDER.findall(expression))
    for name in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
        assert name not in part or part[name], f"{operation}: {name} is empty"
    defined = {*part.get("ExpressionAttributeNames", ()), *part.get("ExpressionAttributeValues", ())}
    assert used <= defined, f"{operation}: {sorted(used - defined)} not defined\n{part}"
    assert defined <= used, f"{operation}: {sorted(defined - used)} defined and not used\n{part}"


def checked(send: Callable[..., Awaitable[Payload]]) -> Callable[..., Coroutine[Any, Any, Payload]]:
    """Wrap a transport's `send` so that it checks each request first."""

    async def checked_send(self: Any, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        check(operation, payload)
        return await send(self, operation, payload, deadline=deadline)

    return checked_send


class ValidatingTransport:
    """Wrap a transport and check every request before it is sent."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._blocking: ValidatingTransport | None = None

    @property
    def blocking(self) -> ValidatingTransport:
        if self._blocking is None:
            self._blocking = ValidatingTransport(self._inner.blocking)
            self._blocking._blocking = self._blocking
        return self._blocking

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        check(operation, payload)
        return await self._inner.send(operation, payload, deadline=deadline)

    async def aclose(self) -> None:
        await self._inner.aclose()
