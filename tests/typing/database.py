"""Making a database and opening sessions on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import assert_type

from lift_dynamorm import Database, Session, SyncDatabase, SyncSession, WriteEvent
from lift_dynamorm.tables import TableSpec, specifications
from lift_dynamorm.transport import Transport
from lift_dynamorm.transport.boto import BotoTransport
from lift_dynamorm.transport.faults import DropAfterSend, FaultTransport, On, RecordingTransport
from lift_dynamorm.transport.http import HttpTransport
from lift_dynamorm.transport.local import LocalTransport
from lift_dynamorm.transport.retry import RetryTransport

from .models import Note, User


def databases() -> None:
    assert_type(Database(), Database)
    assert_type(Database("local://", table_names={"app": "app-prod"}, cursor_keys=["a", b"b"]), Database)
    assert_type(Database(region="eu-west-1", profile="x", table_names=str.upper, require_tenant=True), Database)
    assert_type(Database(timeout=1.5, max_connections=8, cursor_lifetime=60, now=lambda: datetime.now(UTC)), Database)
    assert_type(Database(new_id=lambda: "1", consumed_capacity=True), Database)
    Database("local://", timeout="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Database(table_names=["app"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Database(endpoit="local://")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def transports() -> None:
    local: Transport = LocalTransport()
    found: list[Transport] = [
        local,
        HttpTransport.from_environment(),
        BotoTransport(),
        RetryTransport(local, max_attempts=3),
        RecordingTransport(local),
        FaultTransport(local, [On("PutItem", DropAfterSend())]),
    ]
    for transport in found:
        assert_type(Database(transport=transport), Database)
        assert_type(transport.blocking, Transport)
    Database(transport=object())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def sessions(db: Database) -> None:
    assert_type(db.session(), Session)
    assert_type(db.session("acme", deadline=1.0), Session)
    assert_type(db.session(lambda: "acme"), Session)
    assert_type(db.unscoped("an export"), Session)
    assert_type(db.sync, SyncDatabase)
    assert_type(db.sync.session("acme", deadline=1.0), SyncSession)
    assert_type(db.sync.unscoped("an export"), SyncSession)
    assert_type(db.session().sync, SyncSession)
    assert_type(db.session().tenant, str | Callable[[], str] | None)
    assert_type(db.sync.session().tenant, str | Callable[[], str] | None)
    db.session(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    db.unscoped()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def tables(db: Database) -> None:
    await db.create_tables(User, Note)
    db.sync.create_tables(User, Note)
    await db.aclose()
    db.sync.close()
    assert_type(specifications([User, Note]), tuple[TableSpec, ...])
    await db.create_tables(str)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def hooks(db: Database) -> None:
    @db.before_write(User)
    def stamp(event: WriteEvent[User]) -> None:
        assert_type(event.instance, User | None)
        assert_type(event.model, type[User])

    @db.after_read(User)
    async def look(user: User) -> None:
        assert_type(user.version, int)

    def of_note(event: WriteEvent[Note]) -> None: ...

    db.before_write(User)(of_note)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type([stamp], list[Callable[[WriteEvent[User]], Awaitable[None] | None]])
    assert_type([look], list[Callable[[User], Awaitable[None] | None]])
