"""The middleware, the dependencies of FastAPI, and the handler for Lambda."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_type

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request

from lift_dynamorm import Database, Session, SyncSession, TenantMissing
from lift_middleware import (
    DynamORMMiddleware,
    LambdaHandler,
    Problem,
    immediate,
    lambda_handler,
    problem_of,
    read_only,
    tenant_from_header,
    transactional,
)
from lift_middleware.asgi import ASGIApp, Scope, Send
from lift_middleware.fastapi import DB, SyncDB, session, sync_session

from .models import User


def by_path(scope: Scope) -> str:
    return str(scope["path"])


async def by_database(scope: Scope) -> str:
    return by_path(scope)


def starlette(db: Database) -> None:
    Starlette(middleware=[Middleware(DynamORMMiddleware, database=db, tenant=tenant_from_header("x-tenant"))])
    app = Starlette()
    app.add_middleware(DynamORMMiddleware, database=db, tenant=by_path, timeout=2.5, name="db")
    app.add_middleware(DynamORMMiddleware, database=db, mode="read-only", conflict_retries=3)
    app.add_middleware(DynamORMMiddleware, database=db, mode=lambda scope: "immediate")
    app.add_middleware(DynamORMMiddleware, database=db, mode="none")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    FastAPI().add_middleware(DynamORMMiddleware, database=db, tenant=by_database)
    app.add_middleware(DynamORMMiddleware, database="local://")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    app.add_middleware(DynamORMMiddleware, tenant=by_path)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def by_hand(app: ASGIApp, db: Database) -> None:
    wrapped = DynamORMMiddleware(app, database=db)
    assert_type(wrapped, DynamORMMiddleware)
    again: ASGIApp = wrapped
    assert_type(DynamORMMiddleware(again, database=db).database, Database)
    assert_type(tenant_from_header("x"), Callable[[Scope], str])
    DynamORMMiddleware(app, database=db, tenant="acme")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def route(db: DB) -> User:
    assert_type(db, Session)
    return await db.get(User, id="1")


def sync_route(db: SyncDB) -> User:
    assert_type(db, SyncSession)
    return db.get(User, id="1")


def dependencies(request: Request) -> None:
    assert_type(session(request), Session)
    assert_type(sync_session(request), SyncSession)


def on_lambda(app: Starlette, asgi: ASGIApp) -> None:
    handler = lambda_handler(asgi, lifespan="off")
    assert_type(handler, LambdaHandler)
    assert_type(handler({}, None), dict[str, Any])
    handler.close()
    assert_type(LambdaHandler(asgi), LambdaHandler)


async def problems(send: Send) -> None:
    problem = problem_of(TenantMissing("no"))
    assert_type(problem, Problem | None)
    assert_type(Problem(404, "gone").body(), bytes)
    assert_type(Problem(404, "gone", {"retry-after": "1"}).headers, dict[str, str])
    assert_type(Problem(404, "gone").status, int)
    assert_type(Problem(404, "gone").detail, str)
    await Problem(404, "gone").send(send)


async def marked() -> None:
    @transactional(conflict_retries=2)
    async def one(request: Request) -> int:
        return 1

    @read_only
    def two(request: Request) -> str:
        return ""

    @immediate
    async def three(request: Request) -> bytes:
        return b""

    assert_type(two(Request({})), str)
    assert_type(await one(Request({})), int)
    assert_type(await three(Request({})), bytes)
    transactional(retries=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
