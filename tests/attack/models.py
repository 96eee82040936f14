"""The models under attack: three tables, keys of each kind, and indexes that models share without knowing it."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import ConfigDict

from lift_dynamorm import GSI, LSI, TTL, F, Model, PartitionKey, Unique, Version


class User(
    Model,
    table="shared",
    pk="USER#{id}",
    sk="PROFILE",
    indexes=[
        GSI("by_team", pk="TEAM#{team}", sk="{name}"),
        GSI("by_tag", pk=F.tag, projection="KEYS_ONLY"),
        GSI("by_email", pk=F.email),
        LSI("by_rank", sk="{rank}"),
    ],
):
    id: str
    email: Unique[str | None] = None
    team: str | None = None
    name: str | None = None
    tag: str | None = None
    rank: int = 0
    version: Version = 0


class Order(
    Model,
    table="shared",
    pk="USER#{user}",
    sk="ORDER#{number:04d}",
    indexes=[GSI("by_team", pk="TEAM#{team}", sk="ORDER#{number:04d}")],
):
    """Lives in the partitions of `User`, of the table and of the index."""

    user: str
    number: int
    team: str | None = None
    name: str | None = None


class Loose(Model, table="shared", pk="LOOSE#{id}", sk="-", indexes=[GSI("by_name", pk="NAME#{name}")]):
    """Takes any attribute: also those that are keys of the indexes of `User`, of which it knows nothing."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")
    id: str
    name: str | None = None


class Plain(
    Model,
    table="plain",
    indexes=[
        GSI("by-owner", pk=F.owner, sk=F.level),
        GSI("by-level", pk=F.level, projection="KEYS_ONLY"),
        GSI("by-id", pk="ID#{id}"),
        GSI("by-both", pk="BOTH#{owner}"),
    ],
):
    """Its keys are plain attributes, which carry the tenant themselves."""

    id: PartitionKey[str]
    owner: str | None = None
    level: str | None = None
    name: str | None = None


class Valued(
    Model,
    table="valued",
    pk="{kind}#{id}",
    sk="{at}",
    indexes=[GSI("by_label", pk="{label}", sk="{at}")],
):
    """Its keys begin with a value, so that nothing but the escapes keeps them apart from a tenant's."""

    kind: str
    id: str
    at: str
    label: str | None = None
    name: str | None = None


class Brief(Model, table="shared", pk="BRIEF#{id}", sk="-", indexes=[GSI("by_team", pk="TEAM#{team}", sk="{id}")]):
    """Its items end."""

    id: str
    team: str | None = None
    expires_at: TTL = None


class Number(Model, table="numbers"):
    """Its key cannot carry a tenant."""

    n: PartitionKey[int]


class Pair(Model, table="pairs", indexes=[GSI("by-a", pk=F.a), GSI("by-ab", pk="AB#{a}#{b}")]):
    """A key of an index is made of the key of another one."""

    id: PartitionKey[str]
    a: str | None = None
    b: str | None = None


class Half(Model, table="halves", pk="HALF#{id}", indexes=[GSI("by-n", pk=F.n)]):
    """Its key can carry a tenant, and that of its index cannot."""

    id: str
    n: int = 0


MODELS: tuple[type[Any], ...] = (User, Order, Loose, Plain, Valued)
TABLES = ("shared", "plain", "valued")
PARTITIONS = frozenset(
    {"pk", "id", "by_team_pk", "by_name_pk", "tag", "email", "owner", "level", "by-id_pk", "by-both_pk", "by_label_pk"}
)
"""The attributes that are the partition key of a table or of an index somewhere."""
KEYS: dict[str, tuple[str, ...]] = {
    "User": ("id",),
    "Order": ("user", "number"),
    "Loose": ("id",),
    "Plain": ("id",),
    "Valued": ("kind", "id", "at"),
}
