"""Migrations: numbered files that change tables and the items in them, each applied once."""

from lift_dynamorm.errors import (
    CopyDiffers,
    LeaseLost,
    MigrationChanged,
    MigrationError,
    MigrationFailed,
    MigrationLocked,
    SwitchConflicts,
)
from lift_dynamorm.migrations.copy import Copy
from lift_dynamorm.migrations.progress import Progress
from lift_dynamorm.migrations.runner import Migrations, Outcome, Said, Standing, Status, SyncMigrations
from lift_dynamorm.migrations.steps import ApplyTables, Run, Step, Work
from lift_dynamorm.migrations.switch import Switch
from lift_dynamorm.migrations.transform import Transform

__all__ = [
    "ApplyTables",
    "Copy",
    "CopyDiffers",
    "LeaseLost",
    "MigrationChanged",
    "MigrationError",
    "MigrationFailed",
    "MigrationLocked",
    "Migrations",
    "Outcome",
    "Progress",
    "Run",
    "Said",
    "Standing",
    "Status",
    "Step",
    "Switch",
    "SwitchConflicts",
    "SyncMigrations",
    "Transform",
    "Work",
]
