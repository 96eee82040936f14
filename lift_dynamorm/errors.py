"""Every error this package raises.

DynamORMError
├── DefinitionError              a model class that cannot work; raised where the class is defined
├── UsageError                   a call that cannot be right; it says what to do instead
│   ├── QueryError               a query no index can answer, or an expression that does not fit the model
│   ├── CursorError              a cursor that cannot be gone on from; start again from the first page
│   │   ├── CursorInvalid        it was changed, is damaged, or is signed with a key that is no longer known
│   │   ├── CursorTenantMismatch it is another tenant's
│   │   ├── CursorQueryMismatch  it is another query's
│   │   └── CursorExpired        its time is over
│   ├── SessionClosed            a write after the session's transaction has ended
│   └── TransactionTooLarge      more than 100 operations or 4 MB
├── InvalidValue                 a value DynamoDB cannot store; names the field
├── InvalidItem                  a stored item that does not fit its model
├── ItemNotFound                 get, update or delete of an item that does not exist
├── ConditionFailed              a condition did not hold; carries the current item
│   ├── ItemExists               create of an item that exists
│   ├── UniqueViolation          the value of a `Unique` field is another item's
│   └── VersionConflict          the item changed since it was read
├── TransactionCanceled          a transaction that wrote nothing; one reason per operation
│   ├── TransactionConditionFailed   (also a ConditionFailed, and the class all failing operations have in common)
│   └── TransactionConflict          another transaction was writing the same item
├── TableError                   a table that is not what it would have to be
│   └── TablesDiffer             tables that are not as the models say; carries the plan
├── TenantError
│   ├── TenantMissing            no tenant: the caller is not identified
│   └── TenantForbidden          a tenant that this caller may not act for
├── MigrationError               the migrations cannot be run as they stand; it says what to do
│   ├── MigrationLocked          another runner is at work on this table
│   ├── MigrationChanged         the file of a migration changed after it was applied
│   ├── MigrationFailed          a step raised; what it has done is kept, and `up` goes on from there
│   ├── LeaseLost                another runner has taken over: this one writes nothing more
│   ├── CopyDiffers              a new table does not hold what the old one makes; carries the keys
│   └── SwitchConflicts          items written in the old table and in the new one; carries the keys
├── ChangesLost                  changes that a stream no longer holds
├── CredentialsError             no AWS credentials, or they cannot be refreshed
└── ServiceError                 what DynamoDB, or the way to it, answered
    ├── RequestRefused           DynamoDB refused the request (validation, access, a missing table ...)
    ├── Throttled                too many requests; retried until the deadline
    ├── ServerError              a 5xx or an answer that cannot be read; retried until the deadline
    ├── ConnectionFailed         no connection, or it broke; `sent` says whether DynamoDB may have seen the request
    ├── DeadlineExceeded         the time allowed for the operation is over
    ├── OutcomeUnknown           the answer was lost, and the write may or may not have been applied
    └── BatchIncomplete          a batch of which something is left undone; it says what
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from lift_dynamorm.tables import Plan


class DynamORMError(Exception):
    """Base of every error this package raises."""


class DefinitionError(DynamORMError, TypeError):
    """A model class, index or key template is wrong; the message names class, field and mend."""


class UsageError(DynamORMError):
    """A call cannot be right as it stands."""


class QueryError(UsageError):
    """No index answers the query, or an expression does not fit the model."""


class CursorError(UsageError):
    """A cursor cannot be gone on from; the classes below say why."""


class CursorInvalid(CursorError):
    """A cursor was changed, is damaged, or was signed with a key that is no longer known."""


class CursorTenantMismatch(CursorError):
    """A cursor was made for another tenant."""


class CursorQueryMismatch(CursorError):
    """A cursor was made for another model, index, order or other conditions."""


class CursorExpired(CursorError):
    """A cursor was made longer ago than the database's `cursor_lifetime`."""


class SessionClosed(UsageError):
    """A write was attempted on a session whose transaction has ended."""


class TransactionTooLarge(UsageError):
    """A transaction holds more than 100 operations or more than 4 MB."""


class InvalidValue(DynamORMError, ValueError):
    """A value cannot be stored in DynamoDB; `field` names where it was found."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class InvalidItem(DynamORMError):
    """A stored item does not fit the model it was read as; `key` is its wire key."""

    def __init__(self, message: str, *, key: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.key = key


class ItemNotFound(DynamORMError, LookupError):
    """The item does not exist (or belongs to another tenant: the two look alike)."""


class ConditionFailed(DynamORMError):
    """A condition did not hold, and nothing was written.

    `item` is the current item as its model, or None where there is none; `wire_item` is the same as
    DynamoDB returned it.
    """

    def __init__(self, message: str, *, item: Any = None, wire_item: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.item = item
        self.wire_item = wire_item


class ItemExists(ConditionFailed):
    """`create` found an item with the same key."""


class UniqueViolation(ConditionFailed):
    """The value of a `Unique` field is taken by another item; `field` names it."""

    field: str = ""


class VersionConflict(ConditionFailed):
    """The item was changed by someone else since this instance was read."""


class TransactionCanceled(DynamORMError):
    """A transaction was canceled as a whole, and nothing was written.

    `reasons` has one entry per operation in the caller's order: the error of that operation, or None
    where the operation itself was in order; behind them one per item that a serializable transaction only read.
    """

    def __init__(self, message: str, *, reasons: Sequence[DynamORMError | None] = ()) -> None:
        super().__init__(message)
        self.reasons: tuple[DynamORMError | None, ...] = tuple(reasons)


class TransactionConditionFailed(TransactionCanceled, ConditionFailed):
    """At least one condition of the transaction did not hold; `item` is of the first that did not."""

    def __init__(
        self,
        message: str,
        *,
        reasons: Sequence[DynamORMError | None] = (),
        item: Any = None,
        wire_item: Mapping[str, Any] | None = None,
    ) -> None:
        ConditionFailed.__init__(self, message, item=item, wire_item=wire_item)
        self.reasons: tuple[DynamORMError | None, ...] = tuple(reasons)


class _TransactionItemExists(TransactionConditionFailed, ItemExists):
    pass


class _TransactionUniqueViolation(TransactionConditionFailed, UniqueViolation):
    pass


class _TransactionVersionConflict(TransactionConditionFailed, VersionConflict):
    pass


class _TransactionItemNotFound(TransactionConditionFailed, ItemNotFound):
    pass


class TransactionConflict(TransactionCanceled):
    """Another write to one of the items was in progress, until the deadline."""


class TableError(DynamORMError):
    """A table is not what it would have to be for what was asked."""


class TablesDiffer(TableError):
    """Tables are not as the models say; `plan` says what there is to do."""

    def __init__(self, message: str, plan: Plan | None = None) -> None:
        super().__init__(message)
        self.plan: Plan | None = plan


class ChangesLost(DynamORMError):
    """Changes that were to be read are not in the stream any more: DynamoDB keeps them for 24 hours."""


class TenantError(DynamORMError):
    """A tenant is needed and cannot be had."""


class TenantMissing(TenantError):
    """The request names no tenant."""


class TenantForbidden(TenantError):
    """The caller may not act for this tenant."""


class MigrationError(DynamORMError):
    """The migrations cannot be run as they stand."""


class MigrationLocked(MigrationError):
    """Another runner is at work on the table, or has died less than a lease ago; `holder` says which."""

    holder: str = ""


class MigrationChanged(MigrationError):
    """The file of a migration is not the one that was applied."""


class MigrationFailed(MigrationError):
    """A step of a migration raised; the cause is what it raised. What was done is kept."""


class LeaseLost(MigrationError):
    """Another runner has taken the migrations over, or this one could not renew its lease in time."""


class CopyDiffers(MigrationError):
    """The target is not what the source makes.

    differing: keys of the source's items, in wire form. surplus: those of the target's items that none makes.
    """

    def __init__(self, message: str, *, differing: list[dict[str, Any]], surplus: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.differing: list[dict[str, Any]] = differing
        self.surplus: list[dict[str, Any]] = surplus


class SwitchConflicts(MigrationError):
    """Items that were written in the old table and, since they were copied, in the new one too: the new ones stay.

    keys: those of the target's items, in wire form.
    """

    def __init__(self, message: str, *, keys: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.keys: list[dict[str, Any]] = keys


class CredentialsError(DynamORMError):
    """AWS credentials are missing, or could not be refreshed."""


class ServiceError(DynamORMError):
    """What DynamoDB, or the way to it, answered.

    operation: the DynamoDB operation, e.g. ``PutItem``.
    code: DynamoDB's error code without its namespace, e.g. ``ValidationException``; "" where there is none.
    answer: the decoded error body, e.g. with ``Item`` or ``CancellationReasons``.
    maybe_applied: True where an earlier attempt of the same request was sent and its answer lost.
    """

    maybe_applied: bool = False

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        code: str = "",
        status: int = 0,
        request_id: str = "",
        answer: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.code = code
        self.status = status
        self.request_id = request_id
        self.answer: Mapping[str, Any] = answer or {}


class RequestRefused(ServiceError):
    """DynamoDB refused the request; sending it again unchanged would not help."""


class Throttled(ServiceError):
    """DynamoDB asked for fewer requests. Nothing was applied."""


class ServerError(ServiceError):
    """DynamoDB failed (5xx), or its answer could not be read. The request may have been applied."""


class ConnectionFailed(ServiceError):
    """The connection could not be made or broke; `sent` is True where DynamoDB may have seen the request."""

    def __init__(self, message: str, *, operation: str = "", sent: bool) -> None:
        super().__init__(message, operation=operation)
        self.sent = sent


class DeadlineExceeded(ServiceError):
    """The time allowed for the operation is over."""


class OutcomeUnknown(ServiceError):
    """The answer to a write was lost; it may have been applied, and sending it again could apply it twice."""

    maybe_applied = True


class BatchIncomplete(ServiceError):
    """A part of a batch was not done, or is not known to have been; the cause says why.

    unprocessed: that part, in the caller's order: the keys that were not read; or the instances that were not put and
    the keys of what was not deleted. found: what was read of the others.
    """

    def __init__(self, message: str, *, operation: str = "", unprocessed: Iterable[Any], found: Any = None) -> None:
        super().__init__(message, operation=operation)
        self.unprocessed: tuple[Any, ...] = tuple(unprocessed)
        self.found = found


def transaction_canceled(message: str, reasons: Sequence[DynamORMError | None]) -> TransactionCanceled:
    """Make the error of a canceled transaction, of the class that its reasons call for."""
    causes = [reason for reason in reasons if reason is not None]
    conditions = [cause for cause in causes if not isinstance(cause, ServiceError)]
    if conditions:
        return _condition_failed(message, reasons, conditions)
    if causes and all(isinstance(cause, ServiceError) and cause.code == "TransactionConflict" for cause in causes):
        return TransactionConflict(message, reasons=reasons)
    return TransactionCanceled(message, reasons=reasons)


def _condition_failed(
    message: str, reasons: Sequence[DynamORMError | None], causes: Sequence[DynamORMError]
) -> TransactionConditionFailed:
    """Make the error of a transaction whose conditions `causes` did not hold, of their class where they share one."""
    kind = TransactionConditionFailed
    for shared, combined in (
        (ItemExists, _TransactionItemExists),
        (UniqueViolation, _TransactionUniqueViolation),
        (VersionConflict, _TransactionVersionConflict),
        (ItemNotFound, _TransactionItemNotFound),
    ):
        if all(isinstance(cause, shared) for cause in causes):
            kind = combined
    first = next((cause for cause in causes if isinstance(cause, ConditionFailed)), None)
    error = kind(
        message,
        reasons=reasons,
        item=first.item if first is not None else None,
        wire_item=first.wire_item if first is not None else None,
    )
    if isinstance(error, UniqueViolation) and isinstance(first, UniqueViolation):
        error.field = first.field
    return error


def did_you_mean(name: str, known: Collection[str], otherwise: str) -> str:
    """Suggest the known name that is close to a wrong one; where none is, say `otherwise` and all of them."""
    close = get_close_matches(name, known, 1)
    return f"did you mean `{close[0]}`?" if close else f"{otherwise} {', '.join(known)}"


_THROTTLES = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
    }
)


def service_error(
    operation: str,
    *,
    status: int,
    answer: Mapping[str, Any],
    request_id: str = "",
) -> ServiceError:
    """Make the error for an answer that is not 200, from DynamoDB's JSON body.

    The code is the part of ``__type`` behind ``#``; emulators also send it bare. Which codes may be retried:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
    """
    code = str(answer.get("__type") or answer.get("code") or "").rpartition("#")[2].partition(":")[0]
    text = str(answer.get("message") or answer.get("Message") or "no message")
    kind: type[ServiceError]
    if code in _THROTTLES:
        kind = Throttled
    elif status >= 500 or code in ("InternalServerError", "InternalFailure", "ServiceUnavailable"):
        kind = ServerError
    else:
        kind = RequestRefused
    message = f"{operation}: {code or status}: {text}"
    return kind(message, operation=operation, code=code, status=status, request_id=request_id, answer=answer)
