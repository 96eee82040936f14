"""Passwords, hashed by scrypt (RFC 7914), which is slow and takes memory."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from base64 import b64decode, b64encode
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passwords:
    """Hash passwords and verify them. A hash says how it was made, so the cost can be raised later.

    The defaults take 16 MB and are among those of OWASP:
    https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
    """

    n: int = 2**14
    r: int = 8
    p: int = 5

    async def hash(self, password: str) -> str:
        salt = os.urandom(16)
        digest = await asyncio.to_thread(_digest, password, salt, self.n, self.r, self.p)
        return f"scrypt${self.n}${self.r}${self.p}${b64encode(salt).decode()}${b64encode(digest).decode()}"

    async def verify(self, password: str, stored: str | None) -> bool:
        """Tell whether a password is the one of a hash; where there is none, take as long to say no."""
        parts = (stored or "").split("$")
        if len(parts) != 6:
            await self.hash(password)
            return False
        _, n, r, p, salt, digest = parts
        found = await asyncio.to_thread(_digest, password, b64decode(salt), int(n), int(r), int(p))
        return hmac.compare_digest(found, b64decode(digest))


def _digest(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=256 * r * n + 2**20, dklen=32)
