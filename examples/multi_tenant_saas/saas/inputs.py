"""What clients send, as JSON or in a form."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, EmailStr, Field, StringConstraints, ValidationError

from .models import Plan, Role, Status
from .refusal import Invalid

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Address = Annotated[EmailStr, AfterValidator(str.lower)]
Password = Annotated[str, StringConstraints(min_length=10, max_length=200)]
WorkspaceName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,38}[a-z0-9]$")]
Priority = Annotated[int, Field(ge=1, le=4)]


class Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SignUp(Input):
    workspace: WorkspaceName
    title: Title
    plan: Plan = "free"
    name: Name
    email: Address
    password: Password


class SignIn(Input):
    """scope: what the token is to be good for, of what the role allows; all of it, if left out."""

    workspace: WorkspaceName
    email: str
    password: str
    scope: str | None = None


class WorkspaceChange(Input):
    title: Title = ""
    plan: Plan = "free"


class NewUser(Input):
    name: Name
    email: Address
    role: Role = "member"
    password: Password


class UserChange(Input):
    name: Name = ""
    email: Address = ""
    role: Role = "member"


class NewPassword(Input):
    current: str
    new: Password


class ProjectInput(Input):
    name: Name


class NewTask(Input):
    title: Title
    status: Status = "todo"
    priority: Priority = 3
    assignee: str | None = None
    due: date | None = None


class TaskChange(Input):
    """What is left out stays as it is; null takes away an assignee or a due date."""

    title: Title = ""
    status: Status = "todo"
    priority: Priority = 3
    assignee: str | None = None
    due: date | None = None

    def fields(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


I = TypeVar("I", bound=BaseModel)  # noqa: E741 - an input


def valid(model: type[I], given: bytes | dict[str, Any]) -> I:
    """Make an input of what was sent, or refuse it, saying where it is wrong."""
    try:
        return model.model_validate_json(given) if isinstance(given, bytes) else model.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise Invalid([{"where": ".".join(map(str, e["loc"])), "message": e["msg"]} for e in found]) from None
