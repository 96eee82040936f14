"""Streams: the changes of a table, as models or in wire form."""

from __future__ import annotations

from typing import assert_type

from lift_dynamorm import Database
from lift_dynamorm.streams import Change, Stream, SyncStream

from .models import Note, User


async def streams(db: Database, kept: str) -> None:
    stream = db.stream(User, start="oldest", tenant="acme", others=False, follow=False, poll=0.5)
    assert_type(stream, Stream[User])
    async for change in stream:
        assert_type(change, Change[User])
        assert_type(change.before, User | None)
        assert_type(change.after, User | None)
    assert_type(stream.position, str | None)
    assert_type(db.stream(Note, start=kept), Stream[Note])
    db.stream(str)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


def without_await(db: Database) -> None:
    stream = db.sync.stream(User, start="now", follow=False)
    assert_type(stream, SyncStream[User])
    for change in stream:
        assert_type(change.after, User | None)
    for page in stream.pages():
        assert_type(page, list[Change[User]])
