"""The app. `create_app(settings)` makes one; see `main` for the one that the environment describes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route

from lift_dynamorm import Database
from lift_middleware import DynamORMMiddleware
from lift_middleware.asgi import Scope
from lift_middleware.concurrency import ConcurrencyLimitMiddleware
from lift_middleware.handlers import use_problems
from lift_middleware.health import Health
from lift_middleware.idempotency import IdempotencyMiddleware
from lift_middleware.jwt import JWTMiddleware, token_from_cookie
from lift_middleware.principals import principal_of
from lift_middleware.request_id import RequestIdMiddleware

from .api import access, people, projects, tasks, workspace
from .api.http import OnlyForAdmins
from .models import MODELS, Replay, Slots
from .plans import EXPORTS_AT_ONCE
from .refusal import Refusal, on_refusal
from .settings import Settings
from .tenancy import TenantResolver, path_tenant, tenant_of_token, tenant_that_is_named
from .web import access as web_access
from .web import board, style
from .web.cookies import COOKIE
from .web.page import PagesForPeople


def create_app(settings: Settings) -> Starlette:
    database = settings.database

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if settings.create_tables:
            await database.create_tables(*MODELS)
        yield

    # Who it is, then whose data it is: in this order.
    authenticated = Middleware(JWTMiddleware, **settings.tokens.verifier("api"))
    named = [_session(database, tenant_that_is_named)]
    once = Middleware(IdempotencyMiddleware, database=database, record=Replay, methods=["POST"], caller=_caller)
    few = Middleware(ConcurrencyLimitMiddleware, database=database, slots=Slots, limit=EXPORTS_AT_ONCE, key="exports")
    api = [
        Route("/sign-up", access.sign_up, methods=["POST"], middleware=named),
        Route("/sign-in", access.sign_in, methods=["POST"], middleware=named),
        Route(
            "/workspace",
            workspace.close,
            methods=["DELETE"],
            middleware=[authenticated, _session(database, tenant_of_token(database, closing=True))],
        ),
        Mount(
            "/",
            routes=[
                *workspace.routes,
                Route("/export", workspace.export, methods=["GET"], middleware=[Middleware(OnlyForAdmins), few]),
                *people.routes,
                *projects.routes,
                *tasks.routes,
            ],
            middleware=[authenticated, _session(database, tenant_of_token(database)), once],
        ),
    ]
    signed_in = [
        Middleware(PagesForPeople),
        Middleware(JWTMiddleware, **settings.tokens.verifier("web"), token=token_from_cookie(COOKIE), optional=True),
        _session(database, tenant_of_token(database)),
    ]
    pages = [
        Route("/sign-in", web_access.sign_in_page, methods=["GET"]),
        Route("/sign-in", web_access.sign_in, methods=["POST"], middleware=[_session(database, path_tenant)]),
        Mount("/", routes=board.routes, middleware=signed_in),
    ]
    app = Starlette(
        routes=[
            Mount("/api", routes=api),
            Mount("/w/{workspace}", routes=pages),
            Route("/", web_access.front_page, methods=["GET"]),
            Route("/open", web_access.open_workspace, methods=["GET"]),
            Route("/sign-up", web_access.sign_up, methods=["POST"], middleware=named),
            Route("/style.css", style.sheet, methods=["GET"]),
        ],
        middleware=[
            Middleware(RequestIdMiddleware),
            Middleware(Health, database=database, models=MODELS),
        ],
        exception_handlers={Refusal: on_refusal},
        lifespan=lifespan,
    )
    use_problems(app)
    app.state.settings = settings
    return app


def _session(database: Database, tenant: TenantResolver) -> Middleware:
    return Middleware(DynamORMMiddleware, database=database, tenant=tenant)


def _caller(scope: Scope) -> str:
    """Who sends an Idempotency-Key: two users may choose the same."""
    principal = principal_of(scope)
    assert principal is not None
    return principal.subject
