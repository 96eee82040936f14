"""Read several items as they are at one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lift_dynamorm.errors import RequestRefused, TransactionTooLarge, transaction_canceled
from lift_dynamorm.operations.batch import locate
from lift_dynamorm.operations.lookup import Lookup
from lift_dynamorm.operations.transact import refusal
from lift_dynamorm.unit_of_work import MAX_OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lift_dynamorm.errors import ServiceError, TransactionCanceled
    from lift_dynamorm.key import Key
    from lift_dynamorm.model import Model
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.unit_of_work import UnitOfWork

    Item = dict[str, Any]
    Place = tuple[Any, ...]
    Reference = tuple[Schema[Any], Item]


async def transact_get(
    context: Context, unit: UnitOfWork | None, keys: Sequence[Key[Any]], *, expired: bool
) -> tuple[Model | None, ...]:
    """Find the items under up to 100 keys as they are at one moment, but for those that the open transaction writes.

    Raises TransactionTooLarge, and TransactionCanceled with one reason per key in the caller's order.
    """
    lookup = Lookup(context, unit, keys)
    places, wanted = locate(context, lookup.to_read)
    if len(wanted) > MAX_OPERATIONS:
        msg = f"transact_get of {len(wanted)} items: DynamoDB allows {MAX_OPERATIONS}; batch_get() reads any number"
        raise TransactionTooLarge(msg)
    try:
        found = await _read(context, wanted) if wanted else {}
    except RequestRefused as error:
        if error.code != "TransactionCanceledException":
            raise
        given = dict(zip(wanted, error.answer.get("CancellationReasons") or (), strict=False))
        reasons = [_reason(error.operation, model, given.get(places.get(at, ()), {})) for model, at in lookup.asked]
        raise _canceled(error, reasons) from None
    stored = {at: found[place] for at, place in places.items() if place in found}
    items = await lookup.load(stored, expired=expired)
    return tuple(items[place] for place in lookup.asked)


async def _read(context: Context, wanted: Mapping[Place, Reference]) -> dict[Place, Item]:
    items = [{"Get": {"TableName": place[0], "Key": key}} for place, (_, key) in wanted.items()]
    answer = await context.send("TransactGetItems", {"TransactItems": items})
    return {place: entry["Item"] for place, entry in zip(wanted, answer["Responses"], strict=True) if entry.get("Item")}


def _reason(operation: str, model: type[Model], reason: Mapping[str, Any]) -> ServiceError | None:
    return refusal(operation, f"get of {model.__name__}", reason) if reason.get("Code", "None") != "None" else None


def _canceled(error: RequestRefused, reasons: Sequence[ServiceError | None]) -> TransactionCanceled:
    text = "; ".join(f"key {n}: {reason}" for n, reason in enumerate(reasons, 1) if reason is not None)
    return transaction_canceled(f"the transaction was canceled, and nothing was read: {text or error}", reasons)
