"""DynamoDB for Python web apps: typed models, sessions, transactions, tenants."""

from lift_dynamorm.batch import Batch
from lift_dynamorm.capacity import Capacity
from lift_dynamorm.database import Database
from lift_dynamorm.errors import (
    BatchIncomplete,
    ConditionFailed,
    CredentialsError,
    CursorError,
    CursorExpired,
    CursorInvalid,
    CursorQueryMismatch,
    CursorTenantMismatch,
    DefinitionError,
    DynamORMError,
    InvalidItem,
    InvalidValue,
    ItemExists,
    ItemNotFound,
    OutcomeUnknown,
    QueryError,
    ServiceError,
    SessionClosed,
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
from lift_dynamorm.expressions import F
from lift_dynamorm.fields import TTL, CreatedAt, Generated, Null, PartitionKey, SortKey, Unique, UpdatedAt, Version
from lift_dynamorm.hooks import WriteEvent
from lift_dynamorm.ids import new_id
from lift_dynamorm.indexes import GSI, LSI, Table
from lift_dynamorm.key import Found, Key
from lift_dynamorm.model import Model
from lift_dynamorm.operations.scan import ScanProgress
from lift_dynamorm.query import Page, Query
from lift_dynamorm.scan import Scan
from lift_dynamorm.session import Session
from lift_dynamorm.sync import SyncBatch, SyncDatabase, SyncQuery, SyncScan, SyncSession

__all__ = [
    "GSI",
    "LSI",
    "TTL",
    "Batch",
    "BatchIncomplete",
    "Capacity",
    "ConditionFailed",
    "CreatedAt",
    "CredentialsError",
    "CursorError",
    "CursorExpired",
    "CursorInvalid",
    "CursorQueryMismatch",
    "CursorTenantMismatch",
    "Database",
    "DefinitionError",
    "DynamORMError",
    "F",
    "Found",
    "Generated",
    "InvalidItem",
    "InvalidValue",
    "ItemExists",
    "ItemNotFound",
    "Key",
    "Model",
    "Null",
    "OutcomeUnknown",
    "Page",
    "PartitionKey",
    "Query",
    "QueryError",
    "Scan",
    "ScanProgress",
    "ServiceError",
    "Session",
    "SessionClosed",
    "SortKey",
    "SyncBatch",
    "SyncDatabase",
    "SyncQuery",
    "SyncScan",
    "SyncSession",
    "Table",
    "TenantError",
    "TenantForbidden",
    "TenantMissing",
    "Throttled",
    "TransactionCanceled",
    "TransactionConditionFailed",
    "TransactionConflict",
    "TransactionTooLarge",
    "Unique",
    "UniqueViolation",
    "UpdatedAt",
    "UsageError",
    "Version",
    "VersionConflict",
    "WriteEvent",
    "new_id",
]
