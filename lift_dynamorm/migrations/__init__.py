"""Migrations: numbered files that change tables and the items in them, each applied once."""

from lift_dynamorm.errors import LeaseLost, MigrationChanged, MigrationError, MigrationFailed, MigrationLocked
from lift_dynamorm.migrations.progress import Progress
from lift_dynamorm.migrations.runner import Migrations, Outcome, Standing, Status, SyncMigrations
from lift_dynamorm.migrations.steps import ApplyTables, Run, Step, Work
from lift_dynamorm.migrations.transform import Transform

__all__ = [
    "ApplyTables",
    "LeaseLost",
    "MigrationChanged",
    "MigrationError",
    "MigrationFailed",
    "MigrationLocked",
    "Migrations",
    "Outcome",
    "Progress",
    "Run",
    "Standing",
    "Status",
    "Step",
    "SyncMigrations",
    "Transform",
    "Work",
]
