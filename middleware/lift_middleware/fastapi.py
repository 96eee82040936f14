"""The session of the request as a FastAPI dependency: ``async def route(db: DB)``."""

from __future__ import annotations

from typing import Annotated

try:
    from fastapi import Depends
except ImportError as _error:
    msg = 'lift_middleware.fastapi needs FastAPI: pip install "lift-dynamorm[fastapi]"'
    raise ImportError(msg) from _error
from starlette.requests import HTTPConnection

from lift_dynamorm import Session, SyncSession
from lift_dynamorm.errors import UsageError


def session(connection: HTTPConnection) -> Session:
    """Give the session that `DynamORMMiddleware` put on the request."""
    found = getattr(connection.state, "db", None)
    if not isinstance(found, Session):
        raise UsageError("there is no session on the request: add DynamORMMiddleware, under the name `db`, to the app")
    return found


def sync_session(connection: HTTPConnection) -> SyncSession:
    """Give the same session for routes that are plain functions."""
    return session(connection).sync


DB = Annotated[Session, Depends(session)]
SyncDB = Annotated[SyncSession, Depends(sync_session)]
