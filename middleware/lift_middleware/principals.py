"""Who sends a request, as a verified token says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lift_dynamorm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lift_middleware.asgi import Scope

Claim = str | tuple[str, ...]
"""The name of a claim, or the names on the way to one inside of others: ``("realm_access", "roles")``."""

STATE = "principal"
"""Where a principal stands in the state of a request: ``request.state.principal``."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The sender of a request: what the claims of the token are, once the token has been verified."""

    subject: str
    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    issuer: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    def claim(self, name: Claim) -> Any:
        """Give a claim of the token; None where it has none of that name."""
        return claim_of(self.claims, name)


def claim_of(claims: Mapping[str, Any], name: Claim) -> Any:
    """Give a claim by its name, or by the names on the way to it; None where there is none."""
    found: Any = claims
    for part in (name,) if isinstance(name, str) else name:
        found = found.get(part) if isinstance(found, dict) or found is claims else None
    return found


def principal_of(scope: Scope) -> Principal | None:
    """Give the principal of a request; None where it came without a token.

    `UsageError` where no `JWTMiddleware` has seen the request: that is a mistake in the app, and never "nobody".
    """
    state = scope.get("state") or {}
    found = state.get(STATE, state)
    if found is not None and not isinstance(found, Principal):
        raise UsageError(
            "nobody has looked at the token of this request: put JWTMiddleware outside of what asks for the principal "
            "(earlier in the list of middleware; with add_middleware, added after it)"
        )
    return found
