"""Whose request it is: principals, tenants, problems, request ids."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, assert_type

from starlette.applications import Starlette
from starlette.responses import Response

from lift_middleware import (
    Principal,
    Problem,
    RequestIdFilter,
    RequestIdMiddleware,
    problem,
    tenant_from,
    tenant_from_authorizer,
    tenant_from_claim,
    tenant_from_header,
    tenant_from_path,
    tenant_from_subdomain,
)
from lift_middleware.asgi import Message, Scope, Send
from lift_middleware.jwks import JWKS
from lift_middleware.jwt import JWTMiddleware


def status(tenant: str) -> str | None:
    return "active"


def tenants() -> None:
    found = tenant_from(
        tenant_from_claim("tenant"),
        tenant_from_authorizer("tenant"),
        tenant_from_header("x-tenant", trusted=True),
        tenant_from_subdomain("example.com", besides=["www"]),
        tenant_from_path("/t/{tenant}"),
        status=status,
        remember=1.0,
    )
    assert_type(found, Callable[[Scope], str])
    tenant_from_header("x-tenant", trusted="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def identity(principal: Principal) -> None:
    assert_type(principal.subject, str)
    assert_type(principal.scopes, frozenset[str])
    assert_type(principal.roles, frozenset[str])
    assert_type(principal.claim("tenant"), Any)
    app = Starlette()
    keys = JWKS("https://issuer.example/jwks")
    app.add_middleware(JWTMiddleware, keys=keys, algorithms=["RS256"], issuer="https://issuer.example", audience="api")
    app.add_middleware(RequestIdMiddleware, trust=True)
    logging.getLogger().addFilter(RequestIdFilter())


async def problems(scope: Scope, send: Send) -> None:
    said = Problem(409, "no", type="https://example.com/no", title="No", extensions={"limit": 5})
    assert_type(said.response(), Response)
    assert_type(said.close_message(), Message)
    await said.refuse(scope, send)
    assert_type(problem(429, "too many", retry_after=5, limit=10), Response)
