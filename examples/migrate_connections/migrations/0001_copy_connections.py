"""Copy the connections into the single table, and keep up with what is written meanwhile."""

from examples.migrate_connections.models import Connection, OldConnection, moved
from lift_dynamorm.migrations.copy import Copy

up = [Copy(OldConnection, Connection, moved, segments=4)]
