"""Which tenant a request is for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request

from lift_dynamorm import Database, Session, TenantForbidden, TenantMissing
from lift_middleware.asgi import Scope
from lift_middleware.principals import Principal, principal_of
from lift_middleware.tenants import tenant_from, tenant_from_claim, tenant_from_path

from .models import Workspace

TenantResolver = Callable[[Scope], str | Awaitable[str]]

path_tenant = tenant_from_path("/w/{tenant}")
"""The pages of a workspace lie below its name, and so does their cookie."""

_token_tenant = tenant_from(tenant_from_claim("tenant"), path_tenant)


def tenant_of_token(database: Database, *, closing: bool = False) -> Callable[[Scope], Awaitable[str]]:
    """Make the resolver of signed-in requests: the tenant of the token, whose workspace must be there, and open.

    A path that names another one is 403. closing: let requests in to a workspace that is being closed.
    A token is for the workspace it was made for, and not for a later one that has taken the same name.
    """

    async def tenant(scope: Scope) -> str:
        principal = principal_of(scope)
        if principal is None:
            raise TenantMissing("Sign in first.")
        name = _token_tenant(scope)
        workspace = await database.session(name).find(Workspace)
        if workspace is None or workspace.id != principal.claim("workspace"):
            raise TenantMissing("The workspace does not exist any more.")
        if workspace.status != "active" and not closing:
            raise TenantForbidden("The workspace is being closed.")
        scope["state"]["workspace"] = workspace
        return name

    return tenant


def tenant_that_is_named(scope: Scope) -> str:
    """Tell the tenant that `name_tenant` has been told of."""
    name: str | None = scope["state"].get("named_tenant")
    if name is None:
        raise TenantMissing("The request names no workspace.")
    return name


def name_tenant(request: Request, name: str) -> None:
    """Say whose session `request.state.db` is to be, before it is first used.

    Only for what comes without a token: signing up creates the tenant, signing in verifies a password.
    """
    request.state.named_tenant = name


@dataclass(frozen=True, slots=True)
class Work:
    """A signed-in request: who is at work, where, and through what."""

    db: Session
    principal: Principal
    workspace: Workspace

    @classmethod
    async def of(cls, request: Request) -> Work:
        principal = principal_of(request.scope)
        assert principal is not None, "a route that asks for a scope has one"
        await request.state.db.open()  # raises what the resolver has found against it
        return cls(request.state.db, principal, request.state.workspace)

    @property
    def user(self) -> str:
        return self.principal.subject

    @property
    def user_name(self) -> str:
        return str(self.principal.claim("name"))
