"""Send several writes as one transaction: all of them, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson

from lift_dynamorm.errors import (
    ConditionFailed,
    DynamORMError,
    ItemNotFound,
    OutcomeUnknown,
    ServiceError,
    Throttled,
    TransactionCanceled,
    TransactionConditionFailed,
    TransactionConflict,
    TransactionTooLarge,
    service_error,
    transaction_canceled,
)
from lift_dynamorm.operations.unique import Claim
from lift_dynamorm.unit_of_work import identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.operations.write import Write
    from lift_dynamorm.unit_of_work import UnitOfWork

MAX_BYTES = 4 * 1024 * 1024
_ACTIONS = {"put": "Put", "update": "Update", "delete": "Delete", "check": "ConditionCheck"}
_THROTTLES = ("ThrottlingError", "ProvisionedThroughputExceeded")


async def commit(context: Context, unit: UnitOfWork) -> None:
    """Store what a unit of work holds back, or give its instances back their old values and raise."""
    try:
        await _send(context, unit.writes)
    except BaseException:
        unit.rollback()
        raise
    unit.clear()


async def commit_one(context: Context, unit: UnitOfWork) -> None:
    """Store a unit of work that stands for a single verb, whose error is then the one of its operation."""
    try:
        await commit(context, unit)
    except TransactionConditionFailed as error:
        raise next(reason for reason in error.reasons if isinstance(reason, ConditionFailed | ItemNotFound)) from None


async def _send(context: Context, writes: Sequence[Write]) -> None:
    """Send the writes as one TransactWriteItems.

    It has a ClientRequestToken, so a repetition after a lost answer applies once
    (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html).
    Raises TransactionCanceled, with one reason per write in their order.
    """
    items = [{_ACTIONS[write.kind]: write.payload(context.table(write.schema))} for write in writes]
    if len(orjson.dumps(items)) > MAX_BYTES:
        _check_size(items)
    try:
        await context.send("TransactWriteItems", {"TransactItems": items, "ClientRequestToken": str(uuid4())})
    except ServiceError as error:
        failure: DynamORMError = error
        if error.code == "TransactionCanceledException":
            failure = canceled(writes, error, context.prefix)
        if error.maybe_applied and isinstance(failure, ServiceError | TransactionConflict):
            raise OutcomeUnknown(
                f"the answer to the transaction was lost, and it may have been applied; read to find out: {error}",
                operation=error.operation,
            ) from failure
        raise failure from None


def canceled(writes: Sequence[Write], error: ServiceError, prefix: str) -> TransactionCanceled:
    """Map DynamoDB's cancellation reasons to the writes they belong to."""
    given: Sequence[Mapping[str, Any]] = error.answer.get("CancellationReasons") or ()
    reasons = _with_claims(writes, [_reason(w, reason, prefix) for w, reason in zip(writes, given, strict=False)])
    text = "; ".join(f"operation {n}: {reason}" for n, reason in enumerate(reasons, 1) if reason is not None)
    message = f"the transaction was canceled, and nothing was written: {text or error}"
    return transaction_canceled(message, reasons)


def _with_claims(writes: Sequence[Write], reasons: Sequence[DynamORMError | None]) -> list[DynamORMError | None]:
    """Give the operations as the caller knows them the reasons of the sibling items that go with them."""
    own: dict[Any, DynamORMError | None] = {}
    for write, reason in zip(writes, reasons, strict=False):
        if not isinstance(write, Claim):
            own[identity(write.schema, write.key)] = reason
    for write, reason in zip(writes, reasons, strict=False):
        if isinstance(write, Claim):
            own[write.owner] = own.get(write.owner) or reason
    return list(own.values())


def _reason(write: Write, reason: Mapping[str, Any], prefix: str) -> DynamORMError | None:
    code = reason.get("Code", "None")
    if code == "None":
        return None
    if code == "ConditionalCheckFailed":
        missing = ConditionFailed(f"{write.verb}: the condition on {write.schema.name} does not hold")
        return write.failure(reason.get("Item"), prefix) or missing
    return refusal("TransactWriteItems", f"{write.verb} of {write.schema.name}", reason)


def refusal(operation: str, what: str, reason: Mapping[str, Any]) -> ServiceError:
    """Make the error for a part of a transaction that DynamoDB refused."""
    code = str(reason["Code"])
    error = service_error(
        operation, status=400, answer={"__type": code, "message": f"{what}: {reason.get('Message') or code}"}
    )
    return Throttled(str(error), operation=operation, code=code) if code in _THROTTLES else error


def _check_size(items: Sequence[Mapping[str, Any]]) -> None:
    total = sum(wire_size(put["Item"]) for item in items for put in item.values() if "Item" in put)
    if total > MAX_BYTES:
        msg = f"the items of the transaction take {total} bytes; DynamoDB allows {MAX_BYTES}. Split the work"
        raise TransactionTooLarge(msg)


def wire_size(item: Mapping[str, Any]) -> int:
    """Add up what an item takes by DynamoDB's rules: names and values in bytes, numbers at most 21, 3 a container.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _value_size(wire) for name, wire in item.items())


def _value_size(wire: Mapping[str, Any]) -> int:
    ((tag, value),) = wire.items()
    match tag:
        case "S":
            return len(value.encode())
        case "N":
            return _number_size(value)
        case "B":
            return len(value) * 3 // 4
        case "SS":
            return sum(len(v.encode()) for v in value)
        case "NS":
            return sum(map(_number_size, value))
        case "BS":
            return sum(len(v) * 3 // 4 for v in value)
        case "L":
            return 3 + sum(1 + _value_size(v) for v in value)
        case "M":
            return 3 + sum(1 + len(k.encode()) + _value_size(v) for k, v in value.items())
    return 1


def _number_size(text: str) -> int:
    digits = sum(character.isdigit() for character in text)
    return min(21, digits // 2 + 1 + text.startswith("-"))
