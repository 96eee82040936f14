"""DynamoDB for Python web apps: typed models, sessions, transactions, tenants."""

from lift_dynamorm.database import Database
from lift_dynamorm.errors import (
    ConditionFailed,
    CredentialsError,
    CursorError,
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
from lift_dynamorm.model import Model
from lift_dynamorm.query import Page, Query
from lift_dynamorm.session import Session
from lift_dynamorm.sync import SyncDatabase, SyncQuery, SyncSession

__all__ = [
    "GSI",
    "LSI",
    "TTL",
    "ConditionFailed",
    "CreatedAt",
    "CredentialsError",
    "CursorError",
    "Database",
    "DefinitionError",
    "DynamORMError",
    "F",
    "Generated",
    "InvalidItem",
    "InvalidValue",
    "ItemExists",
    "ItemNotFound",
    "Model",
    "Null",
    "OutcomeUnknown",
    "Page",
    "PartitionKey",
    "Query",
    "QueryError",
    "ServiceError",
    "Session",
    "SessionClosed",
    "SortKey",
    "SyncDatabase",
    "SyncQuery",
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
