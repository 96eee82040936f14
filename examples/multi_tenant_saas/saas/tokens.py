"""The tokens that this app gives out and takes: short-lived, signed by itself (HS256)."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

import jwt

from .models import Role, User, Workspace

ISSUER = "multi-tenant-saas"
ALGORITHM = "HS256"
Audience = Literal["api", "web"]

SCOPES: dict[Role, tuple[str, ...]] = {
    "viewer": ("read",),
    "member": ("read", "write"),
    "admin": ("read", "write", "admin"),
}


@dataclass(frozen=True)
class Tokens:
    """Sign tokens with the first of the secrets; all of them are accepted, so that they can be changed one by one.

    lifetime: seconds; it is also how long a user keeps the role that has been taken away.
    """

    secrets: tuple[str, ...] = field(repr=False)
    lifetime: int = 900

    def issue(
        self,
        workspace: Workspace,
        user: User,
        audience: Audience,
        scopes: set[str] | None = None,
        name: str | None = None,
    ) -> str:
        """Make a token for a user; of the scopes of the role only those that are asked for. name: that of the token."""
        now = int(time.time())
        granted = [scope for scope in SCOPES[user.role] if scopes is None or scope in scopes]
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": audience,
            "sub": user.id,
            "name": user.name,
            "tenant": workspace.name,
            "workspace": workspace.id,
            "roles": [user.role],
            "scope": " ".join(granted),
            "jti": name or uuid4().hex,
            "iat": now,
            "exp": now + self.lifetime,
        }
        secret = self.secrets[0]
        return jwt.encode(claims, secret, ALGORITHM, {"kid": _key_id(secret)})

    def verifier(self, audience: Audience) -> dict[str, Any]:
        """The settings of a `JWTMiddleware` that takes these tokens."""
        keys = {_key_id(secret): secret for secret in self.secrets}
        return {"keys": keys, "algorithms": [ALGORITHM], "issuer": ISSUER, "audience": audience, "leeway": 0.0}

    def mark(self, purpose: str, text: str) -> str:
        """Give a text a mark that nobody else can make."""
        return hmac.new(self.secrets[0].encode(), f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def _key_id(secret: str) -> str:
    return hashlib.sha256(f"kid:{secret}".encode()).hexdigest()[:8]
