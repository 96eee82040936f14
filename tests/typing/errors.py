"""What errors carry, and which of them an `except` catches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_type

from lift_dynamorm import (
    BatchIncomplete,
    ChangesLost,
    ConditionFailed,
    ConnectionFailed,
    CredentialsError,
    CursorError,
    CursorExpired,
    CursorInvalid,
    CursorQueryMismatch,
    CursorTenantMismatch,
    DeadlineExceeded,
    DefinitionError,
    DynamORMError,
    InvalidItem,
    InvalidValue,
    ItemExists,
    ItemNotFound,
    OutcomeUnknown,
    QueryError,
    RequestRefused,
    ServerError,
    ServiceError,
    SessionClosed,
    TableError,
    TablesDiffer,
    TenantError,
    TenantForbidden,
    TenantMissing,
    Throttled,
    TransactionCanceled,
    TransactionConditionFailed,
    TransactionConflict,
    TransactionTooLarge,
    UniqueViolation,
    UsageError,
    VersionConflict,
)
from lift_dynamorm.tables import Plan


def attributes(
    condition: ConditionFailed, canceled: TransactionConditionFailed, service: ServiceError, value: InvalidValue
) -> None:
    assert_type(condition.item, Any)
    assert_type(condition.wire_item, Mapping[str, Any] | None)
    assert_type(canceled.reasons, tuple[DynamORMError | None, ...])
    assert_type(canceled.item, Any)
    assert_type(service.operation, str)
    assert_type(service.code, str)
    assert_type(service.status, int)
    assert_type(service.request_id, str)
    assert_type(service.answer, Mapping[str, Any])
    assert_type(service.maybe_applied, bool)
    assert_type(value.field, str)


def more_attributes(
    item: InvalidItem,
    broken: ConnectionFailed,
    batch: BatchIncomplete,
    canceled: TransactionCanceled,
    differ: TablesDiffer,
) -> None:
    assert_type(differ.plan, Plan | None)
    assert_type(item.key, Mapping[str, Any] | None)
    assert_type(broken.sent, bool)
    assert_type(batch.unprocessed, tuple[Any, ...])
    assert_type(canceled.reasons, tuple[DynamORMError | None, ...])


conditions: list[type[ConditionFailed]] = [ItemExists, VersionConflict, UniqueViolation, TransactionConditionFailed]
transactions: list[type[TransactionCanceled]] = [TransactionConditionFailed, TransactionConflict]
services: list[type[ServiceError]] = [
    Throttled,
    OutcomeUnknown,
    RequestRefused,
    ServerError,
    ConnectionFailed,
    DeadlineExceeded,
]
usages: list[type[UsageError]] = [QueryError, CursorError, SessionClosed, TransactionTooLarge]
cursors: list[type[CursorError]] = [CursorInvalid, CursorExpired, CursorQueryMismatch, CursorTenantMismatch]
tenants: list[type[TenantError]] = [TenantMissing, TenantForbidden]
builtin: list[type[ValueError] | type[LookupError] | type[TypeError]] = [InvalidValue, ItemNotFound, DefinitionError]
tables: list[type[TableError]] = [TablesDiffer]
every: list[type[DynamORMError]] = [
    *conditions,
    *transactions,
    *services,
    *usages,
    *tenants,
    *tables,
    BatchIncomplete,
    ChangesLost,
    CredentialsError,
    InvalidItem,
]
wrong: list[type[ServiceError]] = [ItemNotFound]  # type: ignore[list-item]  # pyright: ignore[reportAssignmentType]
