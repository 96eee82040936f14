"""Carry over what was written last; run once the new code is deployed and the old one stopped."""

from examples.migrate_connections.models import Connection, OldConnection, moved
from lift_dynamorm.migrations.switch import Switch

up = [Switch(OldConnection, Connection, moved, quiet=1.0, segments=4)]
