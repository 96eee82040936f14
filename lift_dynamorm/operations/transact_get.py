"""Read several items as they are at one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lift_dynamorm.errors import RequestRefused, TransactionCanceled, TransactionConflict, TransactionTooLarge
from lift_dynamorm.operations.batch import by_identity, place_of
from lift_dynamorm.operations.lookup import Lookup
from lift_dynamorm.operations.transact import refusal
from lift_dynamorm.unit_of_work import MAX_OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lift_dynamorm.errors import ServiceError
    from lift_dynamorm.key import Key
    from lift_dynamorm.model import Model
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.unit_of_work import UnitOfWork

    Item = dict[str, Any]
    Place = tuple[Any, ...]


async def transact_get(
    context: Context, unit: UnitOfWork | None, keys: Sequence[Key[Any]], *, expired: bool
) -> tuple[Model | None, ...]:
    """Find the items under up to 100 keys as they are at one moment, but for those that the open transaction writes.

    Raises TransactionTooLarge, and TransactionCanceled with one reason per key in the caller's order.
    """
    lookup = Lookup(context, unit, keys)
    wanted = {place_of(context, schema, key): key for schema, key in lookup.to_read}
    if len(wanted) > MAX_OPERATIONS:
        msg = f"transact_get of {len(wanted)} items: DynamoDB allows {MAX_OPERATIONS}; batch_get() reads any number"
        raise TransactionTooLarge(msg)
    try:
        found = await _read(context, wanted) if wanted else {}
    except RequestRefused as error:
        if error.code != "TransactionCanceledException":
            raise
        raise _canceled(context, lookup, wanted, error) from None
    items = await lookup.load(by_identity(context, lookup.to_read, found), expired=expired)
    return tuple(items[place] for place in lookup.asked)


async def _read(context: Context, wanted: Mapping[Place, Item]) -> dict[Place, Item]:
    items = [{"Get": {"TableName": place[0], "Key": key}} for place, key in wanted.items()]
    answer = await context.send("TransactGetItems", {"TransactItems": items})
    return {place: entry["Item"] for place, entry in zip(wanted, answer["Responses"], strict=True) if entry.get("Item")}


def _canceled(
    context: Context, lookup: Lookup[Any], wanted: Mapping[Place, Item], error: RequestRefused
) -> TransactionCanceled:
    """Map DynamoDB's cancellation reasons to the keys they belong to."""
    given = dict(zip(wanted, error.answer.get("CancellationReasons") or (), strict=False))
    reasons: list[ServiceError | None] = []
    for place in lookup.asked:
        schema, key = lookup.references[place]
        reason = given.get(place_of(context, schema, key), {})
        refused = reason.get("Code", "None") != "None"
        reasons.append(refusal(error.operation, f"get of {schema.name}", reason) if refused else None)
    causes = [reason for reason in reasons if reason is not None]
    text = "; ".join(f"key {n}: {reason}" for n, reason in enumerate(reasons, 1) if reason is not None)
    message = f"the transaction was canceled, and nothing was read: {text or error}"
    conflict = bool(causes) and all(cause.code == "TransactionConflict" for cause in causes)
    return (TransactionConflict if conflict else TransactionCanceled)(message, reasons=reasons)
