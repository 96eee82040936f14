"""Users over HTTP on one DynamoDB table: the same app under uvicorn and on AWS Lambda.

TABLE_NAME          the table; "basic-crud-api" by default
DYNAMODB_ENDPOINT   "local://" is the embedded engine, http://... a DynamoDB Local; AWS itself by default
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    Field,
    StringConstraints,
)
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware import Middleware

from lift_dynamorm import GSI, CreatedAt, Database, Model, UpdatedAt, Version
from lift_dynamorm.errors import CredentialsError, ServiceError
from lift_middleware import DynamORMMiddleware, lambda_handler
from lift_middleware.fastapi import DB

# -- What is stored ----------------------------------------------------------------------------------------------------


class User(
    Model,
    table="users",  # create_app's caller says what it is called here
    pk="USER#{id}",
    sk="PROFILE",
    indexes=[GSI("by_team", pk="TEAM#{team}", sk="{joined}")],
):
    """One item. It is validated at every read, so its types are plain; what clients send is checked below."""

    id: str = Field(default_factory=lambda: uuid4().hex)
    email: str
    name: str
    team: str
    joined: datetime = Field(default_factory=lambda: datetime.now(UTC))
    tags: set[str] = set()
    version: Version = 0
    created_at: CreatedAt = None
    updated_at: UpdatedAt = None


# -- What clients send and get -----------------------------------------------------------------------------------------

UserId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Team = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Tags = Annotated[set[Annotated[str, StringConstraints(min_length=1, max_length=40)]], Field(max_length=20)]
Instant = Annotated[AwareDatetime, AfterValidator(lambda value: value.astimezone(UTC))]


class NewUser(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: UserId | None = Field(default=None, description="Yours, so that a repeated request adds nobody; or left out.")
    email: EmailStr
    name: Name
    team: Team
    joined: Instant | None = Field(default=None, description="Now, if left out.")
    tags: Tags = set()


class UserChange(BaseModel):
    """What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    # The defaults only make the fields optional, and null is not one of them: `exclude_unset` leaves them out again.
    email: EmailStr = Field(default_factory=str)
    name: Name = Field(default_factory=str)
    team: Team = Field(default_factory=str)
    joined: Instant = Field(default_factory=lambda: datetime.now(UTC))
    tags: Tags = Field(default_factory=set, description="Replaces all tags.")


class UserOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    email: str
    name: str
    team: str
    joined: datetime
    tags: Annotated[list[str], BeforeValidator(sorted)]
    version: int
    created_at: datetime
    updated_at: datetime


class UserPage(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    items: list[UserOut]
    cursor: str | None = Field(description="Send it back to get the next page; null on the last one.")


class Status(BaseModel):
    status: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


# -- ETags: the version of a user, quoted ------------------------------------------------------------------------------

IfMatch = Annotated[str | None, Header(description='The ETag of the user as you read it, as in `"3"`; `*` for any.')]
IfNoneMatch = Annotated[str | None, Header(description="The ETag that you have already.")]
ETAG = {"ETag": {"description": "The version of the user, for If-Match.", "schema": {"type": "string"}}}


def etag(user: User) -> str:
    return f'"{user.version}"'


def matches(header: str, user: User, *, weak: bool = False) -> bool:
    """Compare as RFC 9110 has it: If-None-Match takes a weak tag for the strong one, If-Match does not."""
    tags = [tag.strip() for tag in header.split(",")]
    return "*" in tags or etag(user) in (tag.removeprefix("W/") if weak else tag for tag in tags)


def require(header: str, user: User) -> None:
    if not matches(header, user):
        raise HTTPException(HTTPStatus.PRECONDITION_FAILED, f"The user has changed; its ETag is {etag(user)} now.")


# -- Problems ----------------------------------------------------------------------------------------------------------


def problems(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Describe error responses for OpenAPI."""
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {int(status): {"description": status.phrase, "content": content} for status in statuses}


def problem(status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> JSONResponse:
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail).model_dump() | more
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    return problem(error.status_code, error.detail, dict(error.headers or {}))


async def on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{"where": ".".join(map(str, e["loc"])), "message": e["msg"]} for e in error.errors()]
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The request is not valid.", errors=errors)


# -- Routes: they write, and the middleware commits before the response leaves -----------------------------------------

users = APIRouter(prefix="/users", tags=["users"], responses=problems(HTTPStatus.SERVICE_UNAVAILABLE))
health = APIRouter(tags=["health"])

LOCATION = {"Location": {"description": "Where the user is.", "schema": {"type": "string"}}}
NOT_FOUND, CONFLICT, INVALID = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY
STALE, NEEDS_IF_MATCH = HTTPStatus.PRECONDITION_FAILED, HTTPStatus.PRECONDITION_REQUIRED


@users.post(
    "",
    status_code=HTTPStatus.CREATED,
    response_model=UserOut,
    responses={201: {"headers": ETAG | LOCATION}, **problems(CONFLICT, INVALID)},
)
async def create_user(new: NewUser, db: DB, response: Response) -> User:
    """Add a user. 409 if the id is taken."""
    user = await db.create(User(**new.model_dump(exclude_none=True)))
    response.headers["Location"] = f"/users/{user.id}"
    response.headers["ETag"] = etag(user)
    return user


@users.get("", response_model=UserPage, responses=problems(HTTPStatus.BAD_REQUEST, INVALID))
async def list_users(
    db: DB, team: Team, limit: Annotated[int, Query(ge=1, le=100)] = 20, cursor: str | None = None
) -> UserPage:
    """List the users of a team, those who joined last first."""
    page = await db.query(User).where(team=team).order_by("-joined").limit(limit).page(after=cursor)
    return UserPage.model_validate(page)


@users.get(
    "/{user_id}",
    response_model=UserOut,
    responses={200: {"headers": ETAG}, 304: {"description": "Not Modified"}, **problems(NOT_FOUND, INVALID)},
)
async def read_user(user_id: str, db: DB, response: Response, if_none_match: IfNoneMatch = None) -> User | Response:
    """Read a user."""
    user = await db.get(User, id=user_id)
    if if_none_match is not None and matches(if_none_match, user, weak=True):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag(user)})
    response.headers["ETag"] = etag(user)
    return user


@users.patch(
    "/{user_id}",
    response_model=UserOut,
    responses={200: {"headers": ETAG}, **problems(NOT_FOUND, CONFLICT, STALE, INVALID, NEEDS_IF_MATCH)},
)
async def change_user(user_id: str, change: UserChange, db: DB, response: Response, if_match: IfMatch = None) -> User:
    """Change some fields of a user. Needs If-Match; 412 if it names another version, 409 if the race is lost later."""
    if if_match is None:
        raise HTTPException(NEEDS_IF_MATCH, "Send If-Match with the ETag of the user as you read it, or with *.")
    user = await db.get(User, id=user_id, consistent=True)
    require(if_match, user)
    await db.update(user, **change.model_dump(exclude_unset=True))
    response.headers["ETag"] = etag(user)
    return user


@users.delete("/{user_id}", status_code=HTTPStatus.NO_CONTENT, responses=problems(NOT_FOUND, CONFLICT, STALE, INVALID))
async def delete_user(user_id: str, db: DB, if_match: IfMatch = None) -> None:
    """Delete a user; with If-Match, only that version."""
    user = await db.get(User, id=user_id, consistent=True)
    if if_match is not None:
        require(if_match, user)
    await db.delete(user)


@health.get("/health")
async def alive() -> Status:
    """Tell that the process answers. Does not use the session, so the database is not touched."""
    return Status(status="ok")


@health.get("/ready", responses=problems(HTTPStatus.SERVICE_UNAVAILABLE))
async def ready(db: DB) -> Status:
    """Tell that the table can be read."""
    try:
        await db.find(User, id="ready")
    except (ServiceError, CredentialsError) as error:
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "The table cannot be read.") from error
    return Status(status="ready")


# -- The app -----------------------------------------------------------------------------------------------------------


def create_app(database: Database, *, create_tables: bool = False) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if create_tables:
            await database.create_tables(User)
        yield

    app = FastAPI(
        title="Users",
        version="1.0.0",
        summary="A small API on lift-dynamorm.",
        openapi_tags=[
            {"name": "users", "description": "Users and the teams they are in."},
            {"name": "health", "description": "For load balancers."},
        ],
        middleware=[Middleware(DynamORMMiddleware, database=database)],
        exception_handlers={StarletteHTTPException: on_http_error, RequestValidationError: on_invalid_request},
        lifespan=lifespan,
    )
    app.include_router(users)
    app.include_router(health)
    return app


endpoint = os.environ.get("DYNAMODB_ENDPOINT") or None
database = Database(endpoint, table_names={"users": os.environ.get("TABLE_NAME", "basic-crud-api")})
app = create_app(database, create_tables=endpoint is not None)  # on AWS template.yaml makes the table
handler = lambda_handler(app)
