"""Fill the old table, keep a writer going, migrate, and count: python examples/migrate_connections/run.py [ENDPOINT]

It writes to the tables `connections` and `streamer` of the endpoint, by default of the embedded engine.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from examples.migrate_connections.models import Connection, OldConnection, moved  # noqa: E402
from lift_dynamorm import Database  # noqa: E402
from lift_dynamorm.migrations import Migrations  # noqa: E402

if TYPE_CHECKING:
    from lift_dynamorm.migrations import Progress

START = datetime(2026, 11, 1, tzinfo=UTC)
FOREVER = datetime(2100, 1, 1, tzinfo=UTC)


def by_hand(number: int) -> dict[str, Any]:
    """Write a connection as the SDK sends it, with an attribute that no model knows."""
    connected = START + timedelta(seconds=number)
    return {
        "ConnectionID": {"S": f"c-{number:06d}"},
        "UserID": {"S": f"user-{number % 50}"},
        "TenantID": {"S": f"tenant-{number % 7}"},
        "Endpoint": {"S": "https://ws.example.com/prod"},
        "ConnectedAt": {"S": connected.isoformat()},
        "LastPing": {"S": (connected + timedelta(minutes=1)).isoformat()},
        "TTL": {"N": str(int(FOREVER.timestamp()))},
        "Metadata": {"M": {"agent": {"S": "browser"}, "hops": {"L": [{"N": "1"}, {"N": "2.5"}]}}},
    }


async def fill(db: Database, count: int) -> None:
    """Create the old table and write so many connections into it."""
    await db.create_tables(OldConnection)
    s = db.session()
    for start in range(0, count, 25):
        puts = [{"PutRequest": {"Item": by_hand(n)}} for n in range(start, min(start + 25, count))]
        left: dict[str, Any] = {"connections": puts}
        while left:
            left = (await s.execute("BatchWriteItem", {"RequestItems": left})).get("UnprocessedItems") or {}


class Writer:
    """The old code, which goes on: clients connect, ping, and disconnect."""

    def __init__(self, db: Database, count: int) -> None:
        self.connected = self.pinged = self.disconnected = 0
        self._session = db.session()
        self._count = count
        self._random = random.Random(1)
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        assert self._task is not None
        self._stopping = True
        await self._task

    async def _run(self) -> None:
        while not self._stopping:
            await asyncio.sleep(0.002)
            await self._write()

    async def _write(self) -> None:
        key = {"ConnectionID": {"S": f"c-{self._random.randrange(self._count):06d}"}}
        chance = self._random.random()
        if chance < 0.3:
            self._count += 1
            item = by_hand(self._count)
            await self._session.execute("PutItem", {"TableName": "connections", "Item": item})
            self.connected += 1
        elif chance < 0.5:
            await self._session.delete(OldConnection, connection_id=key["ConnectionID"]["S"], missing_ok=True)
            self.disconnected += 1
        else:
            old = await self._session.find(OldConnection, connection_id=key["ConnectionID"]["S"])
            if old is not None:
                await self._session.update(old, last_ping=old.last_ping + timedelta(seconds=30))
                self.pinged += 1


def show(progress: Progress) -> None:
    print(f"  {progress}")


async def main(endpoint: str, count: int = 2000) -> tuple[int, int]:
    """Run the whole move. Returns how many connections there are in the old table, and in the new one."""
    db = Database(endpoint)
    await fill(db, count)
    print(f"{count} connections in the old table; a writer begins")
    writer = Writer(db, count)
    writer.start()
    migrations = Migrations(db, HERE / "migrations", table=OldConnection, progress=show)
    began = time.monotonic()
    for outcome in await migrations.up(to=1):
        print(outcome.name, *outcome.said)
    await asyncio.sleep(0.5)
    await writer.stop()
    print(f"the writer has stopped: {writer.connected} connected, {writer.pinged} pings, {writer.disconnected} gone")
    for outcome in await migrations.up():
        print(outcome.name, *outcome.said)
    s = db.session()
    old = {one.connection_id: moved(one) for one in await s.scan(OldConnection).consistent().all()}
    new = {one.id: one for one in await s.scan(Connection).consistent().all()}
    print(f"{len(old)} in the old table, {len(new)} in the new one, equal: {old == new}")
    by_user = await s.query(Connection).where(user="user-7").count()
    assert by_user == sum(one.user == "user-7" for one in new.values())
    print(f"user-7 has {by_user} connections, by the index by_user; {time.monotonic() - began:.1f} s in all")
    await db.aclose()
    return len(old), len(new) if old == new else -1


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "local://"))
