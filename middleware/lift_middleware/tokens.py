"""JSON Web Tokens (RFC 7519), verified by the rules of RFC 8725."""

from __future__ import annotations

import json
import math
import re
import time
from base64 import urlsafe_b64decode
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from lift_dynamorm.errors import UsageError
from lift_middleware.jwks import ALGORITHMS, JWKS, SECRET_ALGORITHMS, Given, KeySet, KeySource
from lift_middleware.principals import Claim, Principal, claim_of

_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_LONGEST = 16 * 1024
_LONGEST_LEEWAY = 300
_NOT_UNDERSTOOD = ("crit", "b64", "zip", "enc", "jku", "jwk", "x5u", "x5c")
"""Header parameters that name a key or change what is signed; who forges a token writes them as well."""


class InvalidToken(Exception):
    """A token is not accepted. The message is for the log: it names what is wrong; `expired` is told to the client."""

    def __init__(self, message: str, *, expired: bool = False) -> None:
        super().__init__(message)
        self.expired = expired


class TokenVerifier:
    """Verify tokens, and make principals of them. See `JWTMiddleware` for the settings."""

    def __init__(
        self,
        keys: Given | Iterable[Given] | Mapping[str, Given] | JWKS,
        *,
        algorithms: Collection[str],
        issuer: str | Collection[str] | None,
        audience: str | Collection[str] | None,
        leeway: float = 30.0,
        types: Collection[str] = ("JWT", "at+jwt"),
        claims: Mapping[str, Any] | None = None,
        scopes: Claim = "scope",
        roles: Claim = "roles",
    ) -> None:
        self.algorithms: frozenset[str] = _named_algorithms(algorithms)
        self._source: KeySource = _source(keys, self.algorithms)
        self._issuers = _texts("issuer", issuer)
        self._audiences = _texts("audience", audience)
        if not 0 <= leeway <= _LONGEST_LEEWAY:
            raise UsageError(f"leeway= is for clocks that differ: 0 to {_LONGEST_LEEWAY} seconds, not {leeway!r}")
        self._leeway = leeway
        self._types = {_media_type(kind) for kind in _texts("types", types) or ()}
        self._claims = dict(claims or {})
        self._scopes = scopes
        self._roles = roles

    async def verify(self, token: str) -> Principal:
        """Give the principal of a token; `InvalidToken`, or `KeysUnavailable` where it cannot be told."""
        header, claims = _parts(token)
        algorithm = self._check_header(header)
        keys = await self._source.find(header.get("kid"), algorithm)
        if not any(key.has_signed(token, algorithm) for key in keys):
            raise InvalidToken("no key has signed it" if keys else "there is no key for its kid and alg")
        self._check_claims(claims)
        return Principal(
            claims["sub"],
            _words(claim_of(claims, self._scopes), split=True),
            _words(claim_of(claims, self._roles), split=False),
            claims.get("iss"),
            MappingProxyType(claims),
        )

    def _check_header(self, header: dict[str, Any]) -> str:
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self.algorithms:
            raise InvalidToken("its alg is none of algorithms=")
        if found := [name for name in _NOT_UNDERSTOOD if name in header]:
            raise InvalidToken(f"its header has {found[0]}")
        if not isinstance(header.get("kid"), str | None):
            raise InvalidToken("its kid is not a text")
        kind = header.get("typ", "JWT")
        if not isinstance(kind, str) or _media_type(kind) not in self._types:
            raise InvalidToken("its typ is none of types=")
        return algorithm

    def _check_claims(self, claims: dict[str, Any]) -> None:
        now = time.time()
        if _instant(claims, "exp", required=True) <= now - self._leeway:
            raise InvalidToken("it has expired", expired=True)
        for name in ("nbf", "iat"):
            if _instant(claims, name) > now + self._leeway:
                raise InvalidToken(f"its {name} is in the future")
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise InvalidToken("it has no sub")
        issuer = claims.get("iss")
        if not isinstance(issuer, str | None) or (self._issuers is not None and issuer not in self._issuers):
            raise InvalidToken("its iss is none of issuer=")
        self._check_audience(claims.get("aud"))
        for name, value in self._claims.items():
            if name not in claims or type(claims[name]) is not type(value) or claims[name] != value:
                raise InvalidToken(f"its {name} is not the one of claims=")

    def _check_audience(self, claimed: Any) -> None:
        audiences = [claimed] if isinstance(claimed, str) else claimed
        if self._audiences is None:
            if audiences is not None:
                raise InvalidToken("it has an aud, and audience= is None")
        elif not isinstance(audiences, list) or not any(isinstance(a, str) and a in self._audiences for a in audiences):
            raise InvalidToken("its aud is none of audience=")


def _named_algorithms(algorithms: Collection[str]) -> frozenset[str]:
    if isinstance(algorithms, str) or not algorithms:
        raise UsageError('algorithms= is a list of the algorithms that the issuer signs with, as ["RS256"]')
    named = frozenset(algorithms)
    if unknown := sorted(named - ALGORITHMS):
        raise UsageError(f"algorithms= may hold {', '.join(sorted(ALGORITHMS))}; not {unknown[0]!r}")
    if named & SECRET_ALGORITHMS and named - SECRET_ALGORITHMS:
        raise UsageError(
            "algorithms= mixes secrets (HS...) and public keys: what is public must never serve as a secret"
        )
    return named


def _source(keys: Given | Iterable[Given] | Mapping[str, Given] | JWKS, algorithms: frozenset[str]) -> KeySource:
    if isinstance(keys, JWKS):
        if algorithms & SECRET_ALGORITHMS:
            raise UsageError(
                "keys from a URL are public, and HS... needs a secret: say RS256, ES256 ... in algorithms="
            )
        return keys
    source = KeySet(keys)
    for key in source.keys:
        if not key.algorithms & algorithms:
            raise UsageError(
                f"keys= holds a key for {', '.join(sorted(key.algorithms))}, and algorithms= has none of these"
            )
    if idle := sorted(algorithms - frozenset().union(*(key.algorithms for key in source.keys))):
        raise UsageError(f"algorithms= has {idle[0]}, and keys= holds no key for it")
    return source


def _texts(name: str, given: str | Collection[str] | None) -> frozenset[str] | None:
    if given is None:
        return None
    texts = frozenset([given] if isinstance(given, str) else given)
    if not texts or not all(texts):
        raise UsageError(f"{name}= is a text, several, or None where tokens have none; it is never empty")
    return texts


def _media_type(kind: str) -> str:
    """RFC 7515, 4.1.9: without regard to case, and ``application/`` may be left out."""
    return kind.lower().removeprefix("application/")


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    if len(token) > _LONGEST or not _TOKEN.fullmatch(token):
        raise InvalidToken("it is not of the form of a signed JWT")
    header, claims, _ = token.split(".")
    return _object(header), _object(claims)


def _object(part: str) -> dict[str, Any]:
    try:
        found = json.loads(
            urlsafe_b64decode(part + "=" * (-len(part) % 4)),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError) as error:
        raise InvalidToken("it holds what is no JSON") from error
    if not isinstance(found, dict):
        raise InvalidToken("it holds what is no JSON object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _instant(claims: dict[str, Any], name: str, *, required: bool = False) -> float:
    """Give a claim that is a time, 0 where it may be absent and is."""
    value = claims.get(name, 0)
    if required and name not in claims:
        raise InvalidToken(f"it has no {name}")
    if isinstance(value, bool) or not isinstance(value, int | float) or value in (math.inf, -math.inf):
        raise InvalidToken(f"its {name} is no number")
    return value


def _words(claimed: Any, *, split: bool) -> frozenset[str]:
    """Read scopes (one text, or a list) or roles (a list, or one role). What has another form grants nothing."""
    if isinstance(claimed, str):
        return frozenset(claimed.split(" ") if split else [claimed]) - {""}
    if isinstance(claimed, list):
        return frozenset(word for word in claimed if isinstance(word, str) and word)
    return frozenset()
