"""Cursors: where a page ended, as an opaque text a client may keep and bring back.

A cursor is url-safe base64 of its content, veiled, and an HMAC-SHA256 over it (RFC 2104, cut to 16 bytes). The
content names the query and the tenant it belongs to by digest, when it expires, and the key of the item after which to
go on: for a scan that may be another tenant's. So nobody may read it: the HMAC is also the nonce of a stream that it is
combined with, as in SIV (RFC 5297).
"""

from __future__ import annotations

import hmac
import logging
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256, shake_256
from operator import xor
from typing import TYPE_CHECKING, Any

import orjson

from lift_dynamorm.errors import CursorExpired, CursorInvalid, CursorQueryMismatch, CursorTenantMismatch

if TYPE_CHECKING:
    from collections.abc import Callable

log: logging.Logger = logging.getLogger("lift_dynamorm")

KEY_VARIABLE = "LIFT_DYNAMORM_CURSOR_KEY"
_MAC_BYTES = 16
_DIGEST_CHARACTERS = 12
_AGAIN = "Start again from the first page"


@dataclass(frozen=True, slots=True)
class CursorSigner:
    """Sign and open cursors.

    keys: secrets; the first signs, all are accepted, so a key is rotated by putting a new one in front. Without any, a
    random one is made, and the first cursor warns that it is good in this process only.
    lifetime: seconds for which a cursor is good. now: seconds since 1970.
    """

    keys: list[bytes]
    lifetime: float
    now: Callable[[], float]

    def sign(self, position: dict[str, Any], *, query: bytes, tenant: str) -> str:
        """Write a cursor for the query with this fingerprint."""
        if not self.keys:
            self.keys.append(os.urandom(32))
            log.warning("cursors are good in this process only; set %s or Database(cursor_keys=...)", KEY_VARIABLE)
        content = orjson.dumps([int(self.now() + self.lifetime), _digest(tenant.encode()), _digest(query), position])
        mac = self._mac(self.keys[0], content)
        return _encoded(_veiled(self.keys[0], mac, content) + mac)

    def open(self, cursor: str, *, query: bytes, tenant: str) -> dict[str, Any]:
        """Give the position a cursor stands for; raises CursorError where it is not one for this query and tenant."""
        raw = _decoded(cursor)
        veiled, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        contents = ((key, _veiled(key, mac, veiled)) for key in self.keys)
        content = next((text for key, text in contents if hmac.compare_digest(mac, self._mac(key, text))), None)
        if content is None:
            raise CursorInvalid(f"the cursor was changed, or was signed with a key that is no longer known. {_AGAIN}")
        expires, for_tenant, for_query, position = orjson.loads(content)
        if for_tenant != _digest(tenant.encode()):
            raise CursorTenantMismatch(f"the cursor belongs to another tenant. {_AGAIN}")
        if for_query != _digest(query):
            raise CursorQueryMismatch(
                "the cursor belongs to another query: model, index, conditions, order and the number of segments must "
                f"stay. {_AGAIN}"
            )
        if expires < self.now():
            raise CursorExpired(f"the cursor has expired. {_AGAIN}")
        return position  # type: ignore[no-any-return]  # JSON that this class wrote and signed

    @staticmethod
    def _mac(key: bytes, content: bytes) -> bytes:
        return hmac.digest(key, b"lift-dynamorm cursor\0" + content, "sha256")[:_MAC_BYTES]


def _veiled(key: bytes, mac: bytes, text: bytes) -> bytes:
    """Hide a content, or show it again."""
    stream = shake_256(hmac.digest(key, b"lift-dynamorm veil\0" + mac, "sha256")).digest(len(text))
    return bytes(map(xor, text, stream))


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _decoded(cursor: str) -> bytes:
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        if _encoded(raw) == cursor:
            return raw
    except (TypeError, ValueError):
        pass
    raise CursorInvalid(f"the cursor is not one of ours, or is damaged. {_AGAIN}") from None


def _digest(value: bytes) -> str:
    return urlsafe_b64encode(sha256(value).digest()).decode()[:_DIGEST_CHARACTERS]
