"""AWS Signature Version 4, for the one request this package makes: POST to ``/`` of DynamoDB or its Streams.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import time
from hashlib import sha256
from typing import TYPE_CHECKING

from .endpoint import STREAM_OPERATIONS

if TYPE_CHECKING:
    from hashlib import _Hash

    from .credentials import Credentials

TARGET = "DynamoDB_20120810."
STREAMS_TARGET = "DynamoDBStreams_20120810."
CONTENT_TYPE = "application/x-amz-json-1.0"
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class _Hmac:
    """HMAC-SHA256 with its two key blocks hashed once; `hmac.digest` does that for every message."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = (sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
        self._inner = sha256(block.translate(_INNER))
        self._outer = sha256(block.translate(_OUTER))

    def digest(self, message: bytes) -> bytes:
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


class _Stamp:
    """What all requests of one second with the same credentials share; `heads` has their common part per operation."""

    __slots__ = ("credentials", "heads", "key", "second", "signing")

    def __init__(self, second: int, credentials: Credentials, key: _Hmac, signing: bytes) -> None:
        self.second = second
        self.credentials = credentials
        self.key = key
        self.signing = signing
        self.heads: dict[str, tuple[_Hash, bytes]] = {}


class Signer:
    """Write signed requests for one endpoint. Safe to share between threads.

    host: as in the Host header: with the port, unless it is the scheme's own.
    """

    __slots__ = ("_host", "_key", "_region", "_stamp")

    def __init__(self, host: str, region: str) -> None:
        self._host = host
        self._region = region
        self._key: tuple[str, Credentials, _Hmac] | None = None
        self._stamp: _Stamp | None = None

    def request(self, operation: str, body: bytes, credentials: Credentials, now: float) -> bytes:
        """Return the whole HTTP request, head and body; `now` is in epoch seconds."""
        second = int(now)
        stamp = self._stamp
        if stamp is None or stamp.second != second or stamp.credentials is not credentials:
            stamp = self._stamp = self._new_stamp(second, credentials)
        prepared = stamp.heads.get(operation)
        if prepared is None:
            prepared = stamp.heads[operation] = self._head(operation, stamp)
        canonical = prepared[0].copy()
        canonical.update(sha256(body).hexdigest().encode())
        signature = stamp.key.digest(stamp.signing + canonical.hexdigest().encode()).hex()
        return b"%b%b\r\nContent-Length: %d\r\n\r\n%b" % (prepared[1], signature.encode(), len(body), body)

    def _new_stamp(self, second: int, credentials: Credentials) -> _Stamp:
        date = _amz_date(second)
        day = date[:8]
        cached = self._key
        if cached is None or cached[0] != day or cached[1] is not credentials:
            key = _Hmac(f"AWS4{credentials.secret_key}".encode())
            for part in (day, self._region, "dynamodb", "aws4_request"):
                key = _Hmac(key.digest(part.encode()))
            cached = self._key = (day, credentials, key)
        signing = f"AWS4-HMAC-SHA256\n{date}\n{self._scope(day)}\n".encode()
        return _Stamp(second, credentials, cached[2], signing)

    def _scope(self, day: str) -> str:
        return f"{day}/{self._region}/dynamodb/aws4_request"

    def _head(self, operation: str, stamp: _Stamp) -> tuple[_Hash, bytes]:
        """Return the hash of the canonical request up to the body's hash, and the head up to the signature."""
        date = _amz_date(stamp.second)
        headers = {"Content-Type": CONTENT_TYPE, "Host": self._host, "X-Amz-Date": date}
        if stamp.credentials.token:
            headers["X-Amz-Security-Token"] = stamp.credentials.token
        headers["X-Amz-Target"] = (STREAMS_TARGET if operation in STREAM_OPERATIONS else TARGET) + operation
        names = ";".join(headers).lower()
        lines = "".join(f"{name.lower()}:{value}\n" for name, value in headers.items())
        canonical = sha256(f"POST\n/\n\n{lines}\n{names}\n".encode())
        head = "".join(
            [
                "POST / HTTP/1.1\r\n",
                *(f"{name}: {value}\r\n" for name, value in headers.items()),
                "User-Agent: lift-dynamorm\r\n",
                f"Authorization: AWS4-HMAC-SHA256 Credential={stamp.credentials.access_key}/{self._scope(date[:8])}, "
                f"SignedHeaders={names}, Signature=",
            ]
        )
        return canonical, head.encode()


def _amz_date(second: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
