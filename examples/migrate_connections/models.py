"""The connections of a WebSocket service: as they were, in a table of their own, and as they are to be."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_pascal

from lift_dynamorm import GSI, TTL, F, Model, PartitionKey


class OldConnection(
    Model,
    table="connections",
    indexes=[GSI("UserIndex", pk=F.user_id), GSI("TenantIndex", pk=F.tenant_id)],
):
    """An item as it was written by hand, with the SDK: attributes are called by their aliases."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True)

    connection_id: PartitionKey[str] = Field(alias="ConnectionID")
    user_id: str = Field(alias="UserID")
    tenant_id: str = Field(alias="TenantID")
    endpoint: str
    connected_at: datetime
    last_ping: datetime
    ttl: TTL = Field(default=None, alias="TTL")
    metadata: dict[str, Any] = {}


class Connection(
    Model,
    table="streamer",
    pk="CONN#{id}",
    sk="METADATA",
    indexes=[
        GSI("by_user", pk="USER#{user}", sk="{connected_at}"),
        GSI("by_tenant", pk="TENANT#{tenant}", sk="{connected_at}"),
    ],
):
    """A connection in the table that it shares with all else."""

    id: str
    user: str
    tenant: str
    endpoint: str
    connected_at: datetime
    last_ping: datetime
    expires_at: TTL = None
    metadata: dict[str, Any] = {}


def moved(old: OldConnection) -> Connection:
    """Make of a connection as it was what it is to be."""
    return Connection(
        id=old.connection_id,
        user=old.user_id,
        tenant=old.tenant_id,
        endpoint=old.endpoint,
        connected_at=old.connected_at,
        last_ping=old.last_ping,
        expires_at=old.ttl,
        metadata=old.metadata,
    )
