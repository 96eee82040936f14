"""Tables from models."""

from lift_dynamorm.tables.apply import ApplyProgress
from lift_dynamorm.tables.live import LiveTable
from lift_dynamorm.tables.plan import Drop, Plan, Refusal, Step
from lift_dynamorm.tables.specification import IndexSpec, TableSpec, specifications
from lift_dynamorm.tables.tables import SyncTables, Tables

__all__ = [
    "ApplyProgress",
    "Drop",
    "IndexSpec",
    "LiveTable",
    "Plan",
    "Refusal",
    "Step",
    "SyncTables",
    "TableSpec",
    "Tables",
    "specifications",
]
