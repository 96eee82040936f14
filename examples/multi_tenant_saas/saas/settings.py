"""What the environment says.

TABLE_NAME          the table; "multi-tenant-saas" by default
DYNAMODB_ENDPOINT   "local://" is the embedded engine, http://... a DynamoDB Local; AWS itself by default
SIGNING_KEYS        secrets of at least 32 characters, comma separated; the first signs tokens
PLAIN_HTTP          "1" where there is no HTTPS, on your own machine: else browsers keep the cookie to HTTPS
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from lift_dynamorm import Database

from .passwords import Passwords
from .tokens import Tokens

SHORTEST_KEY = 32


@dataclass(frozen=True)
class Settings:
    """What an app is made with."""

    database: Database
    tokens: Tokens
    create_tables: bool = False
    secure_cookies: bool = True
    passwords: Passwords = field(default_factory=Passwords)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        endpoint = environment.get("DYNAMODB_ENDPOINT") or None
        keys = tuple(key for key in environment.get("SIGNING_KEYS", "").split(",") if key)
        if not keys or any(len(key) < SHORTEST_KEY for key in keys):
            sys.exit(
                f"SIGNING_KEYS: set it to a secret of {SHORTEST_KEY} characters or more; "
                "python -c 'import secrets; print(secrets.token_urlsafe(48))' makes one"
            )
        return cls(
            Database(
                endpoint,
                table_names={"saas": environment.get("TABLE_NAME", "multi-tenant-saas")},
                require_tenant=True,
            ),
            Tokens(keys),
            create_tables=endpoint is not None,  # on AWS template.yaml makes the table
            secure_cookies=environment.get("PLAIN_HTTP") != "1",
        )
