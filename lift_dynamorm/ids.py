"""Ids that sort by the time at which they were made."""

from __future__ import annotations

import os
import time
from uuid import UUID


def new_id() -> str:
    """Make a UUID of version 7 (RFC 9562): milliseconds since 1970, then 74 random bits, as text."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10)) & ~(0xF << 76 | 0b11 << 62)
    return str(UUID(int=milliseconds << 80 | 0x7 << 76 | 0b10 << 62 | random))
