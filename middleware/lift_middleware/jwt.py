"""The sender of every request, from the JSON Web Token that it brings."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from lift_dynamorm.errors import UsageError
from lift_middleware.jwks import KeysUnavailable
from lift_middleware.principals import STATE
from lift_middleware.problems import RETRY_AFTER, Problem
from lift_middleware.tokens import InvalidToken, TokenVerifier

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from lift_middleware.asgi import ASGIApp, Receive, Scope, Send
    from lift_middleware.jwks import JWKS, Given
    from lift_middleware.principals import Claim, Principal

    TokenReader = Callable[[Scope], str | None]

log: logging.Logger = logging.getLogger("lift_middleware")


class AmbiguousToken(Exception):
    """A request brings more than one token."""


def bearer_token(scope: Scope) -> str | None:
    """Read the token of ``Authorization: Bearer ...`` (RFC 6750); None where there is none."""
    values = [value for key, value in scope["headers"] if key.lower() == b"authorization"]
    if len(values) > 1:
        raise AmbiguousToken("There is more than one Authorization header.")
    scheme, _, token = values[0].decode("latin-1").partition(" ") if values else ("", "", "")
    return token.strip(" ") if scheme.lower() == "bearer" else None


def token_from_cookie(name: str) -> TokenReader:
    """Read the token from a cookie: ``token=token_from_cookie("session")``.

    Browsers send cookies along with requests that other sites make them send: set it ``Secure; HttpOnly;
    SameSite=Lax``, and change nothing on GET.
    """
    if not name or any(character in name for character in "=;, \t\r\n"):
        raise UsageError(f"{name!r} is no name of a cookie")

    def token(scope: Scope) -> str | None:
        found = set()
        for key, value in scope["headers"]:
            if key.lower() == b"cookie":
                pairs = [pair.strip(" ").partition("=") for pair in value.decode("latin-1").split(";")]
                found |= {text for cookie, _, text in pairs if cookie == name}
        if len(found) > 1:
            raise AmbiguousToken("There is more than one cookie for the token.")
        return found.pop() if found else None

    return token


class JWTMiddleware:
    """Verify the token of each request, and set ``request.state.principal``.

    A request without a token, or with one that is not accepted, is answered 401; a websocket is denied, or closed with
    4401. While the keys cannot be fetched, the answer is 503.

    keys: what tokens are verified with: a public key as PEM, JWK or of `cryptography`, a secret, several of these,
    several by their ``kid``, or ``JWKS(url)``.
    algorithms: those that the issuer uses. They are never taken from the token, and must fit the keys.
    issuer, audience: what ``iss`` and ``aud`` must be, or one of several. None is said aloud: with issuer=None the keys
    alone tell, with audience=None only tokens without ``aud`` are taken.
    leeway: seconds by which clocks may differ. Every token must have ``exp`` and ``sub``.
    optional: let requests without a token in, with None for a principal; a token that is there must still be good.
    types: the kinds of token (``typ``); one without counts as JWT. ``("at+jwt",)`` refuses all but access tokens.
    claims: further claims, and what they must be, as ``{"token_use": "access"}``.
    scopes, roles: the claims that hold them; a tuple leads into objects.
    token: reads the token from a request: `bearer_token`, ``token_from_cookie(name)``, or a function of the ASGI scope.

    It belongs outside of `DynamORMMiddleware`, and inside of CORS: a preflight request brings no token.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Given | Iterable[Given] | Mapping[str, Given] | JWKS,
        algorithms: Collection[str],
        issuer: str | Collection[str] | None,
        audience: str | Collection[str] | None,
        leeway: float = 30.0,
        optional: bool = False,
        types: Collection[str] = ("JWT", "at+jwt"),
        claims: Mapping[str, Any] | None = None,
        scopes: Claim = "scope",
        roles: Claim = "roles",
        token: TokenReader = bearer_token,
    ) -> None:
        self.app = app
        self.optional = optional
        self.verifier: TokenVerifier = TokenVerifier(
            keys,
            algorithms=algorithms,
            issuer=issuer,
            audience=audience,
            leeway=leeway,
            types=types,
            claims=claims,
            scopes=scopes,
            roles=roles,
        )
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        found = await self._principal(scope)
        if isinstance(found, Problem):
            await found.refuse(scope, send)
            return
        scope.setdefault("state", {})[STATE] = found
        await self.app(scope, receive, send)

    async def _principal(self, scope: Scope) -> Principal | Problem | None:
        try:
            token = self._token(scope)
            if token is None:
                return None if self.optional else NO_TOKEN
            return await self.verifier.verify(token)
        except AmbiguousToken as error:
            return _challenge(400, str(error), "invalid_request")
        except InvalidToken as error:
            log.info("%r: a token is refused: %s", scope["path"], error)
            detail = "The token has expired." if error.expired else "The token is not valid."
            return _challenge(401, detail, "invalid_token")
        except KeysUnavailable as error:
            log.warning("%r: a token cannot be verified: %s", scope["path"], error)
            return Problem(503, "Tokens cannot be verified at the moment. Try again.", {"retry-after": RETRY_AFTER})


NO_TOKEN = Problem(401, "The request brings no token.", {"www-authenticate": "Bearer"})


def _challenge(status: int, detail: str, error: str) -> Problem:
    """Say what is wrong with a token (RFC 6750, 3)."""
    return Problem(status, detail, {"www-authenticate": f'Bearer error="{error}", error_description="{detail}"'})
