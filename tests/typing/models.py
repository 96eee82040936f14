"""What a model's fields are to a type checker: values, whatever they are marked as."""

from __future__ import annotations

from datetime import datetime
from typing import Any, assert_type

from pydantic import BaseModel, Field

from lift_dynamorm import (
    GSI,
    LSI,
    TTL,
    CreatedAt,
    F,
    Generated,
    Model,
    Null,
    PartitionKey,
    SortKey,
    Table,
    Unique,
    UpdatedAt,
    Version,
    new_id,
)


class Note(Model, table="notes"):
    owner: PartitionKey[str]
    written: SortKey[datetime]
    text: str = ""


class User(
    Model,
    table=Table("app", pk="PK", sk="SK"),
    pk="USER#{id}",
    sk="PROFILE",
    indexes=[
        GSI("by_email", pk="EMAIL#{email}"),
        GSI("by_team", pk=[F.team], sk="{joined}", projection=["name"], pk_attribute="team_pk"),
        LSI("by_name", sk=F.name, projection="KEYS_ONLY", sk_attribute="name_sk"),
    ],
):
    id: str = Field(default_factory=new_id)
    email: Unique[str]
    team: str | None = None
    name: str = ""
    joined: datetime | None = None
    ended: Null[datetime | None] = None
    version: Version = 0
    created_at: CreatedAt = None
    updated_at: UpdatedAt = None
    expires_at: TTL = None


class Order(Model, table="orders", pk="ORDER#{id}", sk="ORDER"):
    id: Generated = ""
    total: int = 0


class Small(BaseModel):
    id: str
    name: str


def fields(user: User, note: Note, order: Order) -> None:
    assert_type(note.owner, str)
    assert_type(note.written, datetime)
    assert_type(user.id, str)
    assert_type(user.email, str)
    assert_type(user.team, str | None)
    assert_type(user.ended, datetime | None)
    assert_type(user.version, int)
    assert_type(user.created_at, datetime | None)
    assert_type(user.updated_at, datetime | None)
    assert_type(user.expires_at, datetime | None)
    assert_type(order.id, str)
    assert_type(new_id(), str)


def instances(text: str, when: datetime) -> None:
    assert_type(Note(owner=text, written=when), Note)
    assert_type(User(email=text), User)
    assert_type(User(email=text).model_dump(), dict[str, Any])
    assert_type(Order(), Order)
    Note(owner=text)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    User()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def definitions() -> None:
    assert_type(Table("app"), Table)
    assert_type(GSI("by_team", pk="TEAM#{team}"), GSI)
    assert_type(LSI("by_name", sk=[F.name]), LSI)
    GSI("by_team")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    LSI("by_name", "{name}", "ALL")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Table(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
