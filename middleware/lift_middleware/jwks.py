"""The keys that tokens are verified with: given, or fetched from where an issuer publishes them."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from lift_dynamorm.errors import UsageError

try:
    import jwt
except ImportError as _error:
    msg = 'tokens are verified with PyJWT: pip install "lift-dynamorm[jwt]"'
    raise ImportError(msg) from _error
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

log: logging.Logger = logging.getLogger("lift_middleware")

SECRET_ALGORITHMS = frozenset({"HS256", "HS384", "HS512"})
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
ALGORITHMS = SECRET_ALGORITHMS | _RSA | frozenset(_CURVES.values()) | {"EdDSA"}

_SIGNATURES = jwt.PyJWS(algorithms=sorted(ALGORITHMS))
_SMALLEST_RSA = 2048
_LARGEST_DOCUMENT = 512 * 1024
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_FIRST_PAUSE = 1.0
"""Seconds between attempts while there are no keys at all."""

Given = str | bytes | Mapping[str, Any] | RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey
"""A key: a public key as PEM, JWK or of `cryptography`, or a secret as text, bytes or JWK."""


class KeysUnavailable(Exception):
    """The keys could not be fetched, so nothing can be said about a token."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key, and the algorithms it is for: it is never used with another, whatever a token says."""

    id: str | None
    algorithms: frozenset[str]
    material: Any = field(repr=False)

    def has_signed(self, token: str, algorithm: str) -> bool:
        """Verify the signature of a token, and nothing else of it."""
        try:
            _SIGNATURES.decode(token, self.material, algorithms=[algorithm])
        except jwt.PyJWTError:
            return False
        return True


class KeySource(Protocol):
    """Where the keys for a token come from."""

    async def find(self, id: str | None, algorithm: str) -> list[Key]:
        """Give the keys that a token with this ``kid`` and ``alg`` may be signed with."""


class KeySet:
    """Keys that were given to the app."""

    def __init__(self, given: Given | Iterable[Given] | Mapping[str, Given]) -> None:
        self.keys: list[Key] = [read_key(key, id) for id, key in _listed(given)]
        if not self.keys:
            raise UsageError("keys= holds no key; give a public key (PEM, JWK), a secret, or JWKS(url)")

    async def find(self, id: str | None, algorithm: str) -> list[Key]:
        return _fitting(self.keys, id, algorithm)


class JWKS:
    """Public keys from the URL of an issuer (RFC 7517), fetched when they are first needed, and kept.

    lifetime: seconds after which they are fetched again; meanwhile the old ones serve.
    floor: seconds from one fetch to the next, whatever asks for it. A token with an unknown ``kid`` does, so made-up
    ids cause no more fetches than that, and a key that appears may be unknown for as long.
    stale: seconds for which keys serve while the URL cannot be read. timeout: seconds that a fetch may take.

    A fetch runs in a thread of its own, one at a time in the process, and follows no redirect. What is not a public
    signing key is passed over.
    """

    def __init__(
        self,
        url: str,
        *,
        lifetime: float = 300.0,
        floor: float = 10.0,
        stale: float = 86400.0,
        timeout: float = 5.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise UsageError(f"JWKS needs an https URL, for who can change the keys can sign tokens; not {url!r}")
        for name, seconds in (("lifetime", lifetime), ("floor", floor), ("stale", stale), ("timeout", timeout)):
            if not seconds > 0:
                raise UsageError(f"{name}= is a number of seconds above 0, not {seconds!r}")
        self.url = url
        self.lifetime = lifetime
        self.floor = floor
        self.stale = stale
        self.timeout = timeout
        # A proxy of the environment is for the way out, never for this machine.
        proxies = [urllib.request.ProxyHandler({})] if parts.hostname in _LOOPBACK else []
        self._opener = urllib.request.build_opener(_NoRedirect, *proxies)
        self._lock = threading.Lock()
        self._fetching: Future[None] | None = None
        self._keys: list[Key] | None = None
        self._fetched = 0.0
        self._tried: float | None = None
        self._failed = False

    async def find(self, id: str | None, algorithm: str) -> list[Key]:
        """Give the keys that a token with this ``kid`` and ``alg`` may be signed with.

        `KeysUnavailable` where the URL cannot be read, and the keys that are kept do not say.
        """
        now = time.monotonic()
        keys = self._kept(now)
        if keys is not None and (id is None or any(key.id == id for key in keys)):
            if now - self._fetched > self.lifetime:
                self._fetch(now)  # and these will do until it is there
            return _fitting(keys, id, algorithm)
        fetching = self._fetch(now)
        if fetching is not None:
            # `wait`, and not `wait_for`: a request that is cancelled does not take the fetch of all others along.
            await asyncio.wait([asyncio.wrap_future(fetching)], timeout=self.timeout)
            keys = self._kept(time.monotonic())
        found = _fitting(keys or [], id, algorithm)
        if keys is None or (not found and self._failed):
            raise KeysUnavailable(f"the keys at {self.url} cannot be fetched; the log says why")
        return found

    def _kept(self, now: float) -> list[Key] | None:
        return self._keys if now - self._fetched <= self.stale else None

    def _fetch(self, now: float) -> Future[None] | None:
        """Begin to fetch, or join the fetch under way; None where it is too early for another."""
        with self._lock:
            if self._fetching is not None:
                return self._fetching
            pause = self.floor if self._keys is not None else min(self.floor, _FIRST_PAUSE)
            if self._tried is not None and now - self._tried < pause:
                return None
            self._tried = now
            done: Future[None] = Future()
            threading.Thread(target=self._run, args=(done,), name="lift-jwks", daemon=True).start()
            self._fetching = done
            return done

    def _run(self, done: Future[None]) -> None:
        keys = None
        try:
            keys = _read_document(self._get())
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            log.warning("the keys at %s could not be fetched: %s", self.url, error)
        finally:
            with self._lock:
                self._failed = keys is None
                if keys is not None:
                    self._keys = keys
                    self._fetched = time.monotonic()
                self._fetching = None
            done.set_result(None)

    def _get(self) -> bytes:
        end = time.monotonic() + self.timeout
        request = urllib.request.Request(self.url, headers={"accept": "application/jwk-set+json, application/json"})
        document = b""
        with self._opener.open(request, timeout=self.timeout) as response:
            if response.status != 200:
                raise ValueError(f"the answer is {response.status}")
            while chunk := response.read1(65536):
                document += chunk
                if len(document) > _LARGEST_DOCUMENT:
                    raise ValueError(f"the answer has more than {_LARGEST_DOCUMENT} bytes")
                if time.monotonic() > end:
                    raise TimeoutError(f"the answer took more than {self.timeout} seconds")
        return document


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Where a redirect leads is not where the app was told to look."""

    def redirect_request(self, *_: Any) -> None:
        return None


def read_key(given: Given, id: str | None = None) -> Key:
    """Read a key and find out what it is for; `UsageError` where it is no key to verify with."""
    if isinstance(given, Mapping):
        key = _read_jwk(given)
        return key if id is None else Key(id, key.algorithms, key.material)
    material: Any = given
    if isinstance(given, str | bytes):
        text = given.encode() if isinstance(given, str) else given
        material = _read_pem(text) if b"-----BEGIN" in text or text.startswith((b"ssh-", b"ecdsa-")) else text
    return Key(id, _algorithms(material), material)


def _listed(given: Any) -> list[tuple[str | None, Any]]:
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        return [(None, given)]
    if not isinstance(given, Mapping):
        return [(None, key) for key in given]
    if "kty" in given:
        return [(None, given)]
    if isinstance(given.get("keys"), list):
        return [(None, key) for key in given["keys"]]
    return list(given.items())


def _read_pem(text: bytes) -> Any:
    try:
        return load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(
            "a key to verify with is the public one, in PEM: -----BEGIN PUBLIC KEY-----; "
            "`openssl pkey -in private.pem -pubout` writes it (of a certificate: `openssl x509 -pubkey -noout`)"
        ) from error


def _read_jwk(given: Mapping[str, Any]) -> Key:
    jwk = dict(given)
    if jwk.get("kty") != "oct" and "d" in jwk:
        raise UsageError("a JWK to verify with has no `d`: that is the private key, which belongs to the issuer alone")
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        raise UsageError("a JWK to verify with has the `use` sig, and verify among its `key_ops`")
    try:
        material: Any = jwt.PyJWK(jwk).key
    except (jwt.PyJWTError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"a JWK of the type {jwk.get('kty')!r} cannot be read: {type(error).__name__}") from error
    algorithms = _algorithms(material) & ({jwk["alg"]} if "alg" in jwk else ALGORITHMS)
    if not algorithms:
        raise UsageError(f"the algorithm {jwk['alg']!r} of a JWK does not fit the key")
    id = jwk.get("kid")
    if id is not None and not isinstance(id, str):
        raise UsageError(f"the `kid` of a JWK is a text, not {id!r}")
    return Key(id, algorithms, material)


def _algorithms(material: Any) -> frozenset[str]:
    """Say what a key can verify (RFC 7518, 3); `UsageError` where it is too weak for all of it."""
    if isinstance(material, bytes):
        fitting = frozenset(name for name in SECRET_ALGORITHMS if len(material) * 8 >= int(name[2:]))
        if not fitting:
            raise UsageError("a secret needs 32 bytes for HS256, 48 for HS384, 64 for HS512: secrets.token_urlsafe(64)")
        return fitting
    if isinstance(material, RSAPublicKey):
        if material.key_size < _SMALLEST_RSA:
            raise UsageError(f"an RSA key needs {_SMALLEST_RSA} bits, not {material.key_size}")
        return _RSA
    if isinstance(material, EllipticCurvePublicKey) and material.curve.name in _CURVES:
        return frozenset({_CURVES[material.curve.name]})
    if isinstance(material, Ed25519PublicKey | Ed448PublicKey):
        return frozenset({"EdDSA"})
    raise UsageError(
        f"{type(material).__name__} is no key to verify with: give a public key of RSA, P-256, P-384, P-521 or Ed25519 "
        "(as PEM, JWK or of `cryptography`), or a secret"
    )


def _read_document(document: bytes) -> list[Key]:
    """Read a JWK Set, without what is in it for other purposes; `ValueError` where it is none."""
    found = json.loads(document)
    if not isinstance(found, dict) or not isinstance(found.get("keys"), list):
        raise ValueError("the answer is no JWK Set: an object with `keys`")
    keys = []
    for jwk in found["keys"]:
        try:
            key = read_key(jwk)
            if key.algorithms & SECRET_ALGORITHMS:
                raise UsageError("a secret that is published is none")
        except UsageError as error:
            log.info("a key of a JWK Set is passed over: %s", error)
        else:
            keys.append(key)
    return keys


def _fitting(keys: list[Key], id: str | None, algorithm: str) -> list[Key]:
    """Choose by ``kid``, which is only a hint.

    A key without one may be meant by any token; a token without one means these, or the only key for its algorithm.
    """
    fitting = [key for key in keys if algorithm in key.algorithms]
    named = [key for key in fitting if key.id == id and id is not None]
    unnamed = [key for key in fitting if key.id is None]
    if named or unnamed:
        return named or unnamed
    return fitting if id is None and len(fitting) == 1 else []
