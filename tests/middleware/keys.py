"""Keys of every kind, tokens signed with them, and tokens forged as attackers do."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SECRET = "a secret that is long enough for every one of HS256, HS384 and HS512, of 64 bytes"
ISSUER = "https://issuer.example"
AUDIENCE = "https://api.example"


def private_key(algorithm: str, which: int = 1) -> Any:
    """The private key of an issuer, made once; `which` tells one of the same kind from another."""
    return _made(algorithm, which)


@cache
def _made(algorithm: str, which: int) -> Any:
    if algorithm.startswith("HS"):
        return SECRET if which == 1 else f"another: {SECRET}"
    if algorithm.startswith(("RS", "PS")):
        return _rsa(which)
    if algorithm.startswith("ES"):
        curves: dict[str, ec.EllipticCurve]
        curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
        return ec.generate_private_key(curves[algorithm])
    return ed25519.Ed25519PrivateKey.generate()


@cache
def _rsa(which: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_key(algorithm: str, which: int = 1) -> Any:
    key = private_key(algorithm, which)
    return key if isinstance(key, str) else key.public_key()


def pem(algorithm: str, which: int = 1) -> str:
    written: bytes = public_key(algorithm, which).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return written.decode()


def jwk(algorithm: str, which: int = 1, **members: Any) -> dict[str, Any]:
    found: dict[str, Any] = jwt.get_algorithm_by_name(algorithm).to_jwk(public_key(algorithm, which), as_dict=True)
    return {**found, **members}


def claims(**changed: Any) -> dict[str, Any]:
    """Honest claims; one that is changed to `...` is left out."""
    now = int(time.time())
    honest = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 600, "tenant": "acme"}
    return {name: value for name, value in {**honest, **changed}.items() if value is not ...}


def sign(
    payload: Any = None,
    algorithm: str = "RS256",
    which: int = 1,
    *,
    header: dict[str, Any] | None = None,
    raw_header: str | None = None,
    key: Any = None,
    signed_as: str | None = None,
) -> str:
    """Make a token, whatever it says: `header` is added, `signed_as` is how it is really signed."""
    head = {"typ": "JWT", "alg": algorithm, **(header or {})}
    first = raw_header if raw_header is not None else json.dumps({k: v for k, v in head.items() if v is not ...})
    second = payload if isinstance(payload, str) else json.dumps(claims() if payload is None else payload)
    signed = f"{b64(first)}.{b64(second)}"
    method = jwt.get_algorithm_by_name(signed_as or algorithm)
    signature = method.sign(signed.encode(), method.prepare_key(key or private_key(algorithm, which)))
    return f"{signed}.{b64(signature)}"


def b64(given: str | bytes) -> str:
    return urlsafe_b64encode(given.encode() if isinstance(given, str) else given).rstrip(b"=").decode()
