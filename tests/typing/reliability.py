"""Idempotency keys, limits on concurrency, health."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_type

from starlette.applications import Starlette

from lift_dynamorm import Database, Session
from lift_middleware import (
    ConcurrencyLimitMiddleware,
    ConcurrencySlots,
    Health,
    IdempotencyMiddleware,
    IdempotencyRecord,
)

from .models import User


class Replay(IdempotencyRecord, table="app", pk="IDEMPOTENCY#{id}", sk="-"):
    pass


class Slots(ConcurrencySlots, table="app", pk="SLOTS#{id}", sk="-"):
    pass


def reliability(db: Database) -> None:
    app = Starlette()
    app.add_middleware(
        IdempotencyMiddleware,
        database=db,
        record=Replay,
        methods=["POST"],
        required=True,
        caller=lambda scope: "",
        keeps=lambda status: status < 500,
        lifetime=3600,
        lease=5,
        wait=0,
        max_request=1000,
        max_response=1000,
        name="db",
    )
    app.add_middleware(
        ConcurrencyLimitMiddleware,
        database=db,
        slots=Slots,
        limit=lambda tenant: 10,
        lease=5,
        key="exports",
        fail_open=False,
    )
    app.add_middleware(
        ConcurrencyLimitMiddleware, database=db, slots=Slots, limit=5, timeout=1, retry_after=2, name="db"
    )
    app.add_middleware(Health, database=db, models=[User], timeout=1, cache=2, details=True)
    health = Health(database=db, models=[User])
    assert_type(health.draining, bool)
    assert_type(health.drain(), None)
    assert_type(Health(app, database=db, models=[User], live="/live", ready="/ready"), Health)
    app.add_middleware(IdempotencyMiddleware, database=db, record=User)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def by_hand(limit: ConcurrencyLimitMiddleware, health: Health, session: Session) -> None:
    assert_type(await limit.acquire(session, 10, "a slot"), bool)
    assert_type(await limit.renew(session, "a slot"), bool)
    assert_type(await limit.release(session, "a slot"), None)
    assert_type(await health.failing(), Sequence[str])
