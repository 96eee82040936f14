"""What is stored: every model of the table. All of it lies behind the prefix of its tenant."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from lift_dynamorm import GSI, TTL, CreatedAt, Generated, Model, Unique, UpdatedAt, Version
from lift_middleware.concurrency import ConcurrencySlots
from lift_middleware.idempotency import IdempotencyRecord

Role = Literal["admin", "member", "viewer"]
Plan = Literal["free", "pro", "enterprise"]
Status = Literal["todo", "doing", "done"]
Email = Annotated[str, AfterValidator(str.lower)]

STATUSES: tuple[Status, ...] = ("todo", "doing", "done")
ROLES: tuple[Role, ...] = ("admin", "member", "viewer")
PRIORITIES = {1: "urgent", 2: "high", 3: "normal", 4: "low"}


class Workspace(Model, table="saas", pk="WORKSPACE", sk="SETTINGS"):
    """The tenant itself. Its name is the tenant's id; its id tells it from one of the same name before or after it."""

    id: Generated = ""
    name: str
    title: str
    plan: Plan
    status: Literal["active", "closing"] = "active"
    version: Version = 0
    created_at: CreatedAt = None
    updated_at: UpdatedAt = None


class Usage(Model, table="saas", pk="WORKSPACE", sk="USAGE#{what}"):
    """How many of something there are, and how many there may be; None is no limit."""

    what: str
    used: int = 0
    limit: int | None = None


class User(
    Model,
    table="saas",
    pk="USERS",
    sk="USER#{id}",
    indexes=[GSI("by_email", pk="EMAIL#{email}", projection="KEYS_ONLY")],
):
    id: Generated = ""
    email: Unique[Email]
    name: str
    role: Role
    password: str | None = Field(default=None, exclude=True, repr=False)  # its hash; no answer and no export holds it
    version: Version = 0
    created_at: CreatedAt = None
    updated_at: UpdatedAt = None


class Project(Model, table="saas", pk="PROJECTS", sk="PROJECT#{id}"):
    id: Generated = ""
    name: str
    version: Version = 0
    created_at: CreatedAt = None
    updated_at: UpdatedAt = None


class Task(
    Model,
    table="saas",
    pk="PROJECT#{project}",
    sk="TASK#{id}",
    indexes=[
        GSI("board", pk="BOARD#{project}#{status}", sk="{priority}#{id}"),
        GSI("by_assignee", pk="ASSIGNEE#{assignee}", sk="{status}#{id}"),  # without an assignee it is not in there
        GSI("by_due", pk="DUE", sk="{due}#{id}"),
    ],
):
    id: Generated = ""
    project: str
    title: str
    status: Status = "todo"
    priority: int = Field(default=3, ge=1, le=4)
    assignee: str | None = None
    due: date | None = None
    version: Version = 0
    created_at: CreatedAt = None
    updated_at: UpdatedAt = None


class Activity(Model, table="saas", pk="ACTIVITY", sk="{id}", indexes=[GSI("trail", pk="TRAIL#{subject}", sk="{id}")]):
    """Who did what; written in the transaction that did it. Ids begin with the time, so they sort by it."""

    id: Generated = ""
    at: CreatedAt = None
    actor: str
    actor_name: str
    verb: str
    kind: str
    subject: str
    title: str
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}


class Replay(IdempotencyRecord, table="saas", pk="REPLAY", sk="{id}"):
    """A request with an Idempotency-Key, and its response."""

    expires_at: TTL = None


class Slots(ConcurrencySlots, table="saas", pk="WORKSPACE", sk="SLOTS#{id}"):
    """The requests of a tenant that are at work."""


MODELS: tuple[type[Model], ...] = (Workspace, Usage, User, Project, Task, Activity, Replay, Slots)
