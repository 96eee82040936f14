"""A migration in a process of its own that is killed five times, while a writer goes on changing the items.

LIFT_DYNAMORM_MIGRATION_ITEMS says how many; what came of it is written to stdout (pytest -rP).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import F, Model
from tests.migrations.worker import database

if TYPE_CHECKING:
    from tests.engines.servers import Server

ITEMS = int(os.environ.get("LIFT_DYNAMORM_MIGRATION_ITEMS", "5000"))
PAGE = min(1000, ITEMS // 100)
KILLS = 5
LEASE = 0.7
HOT = 50
ROOT = Path(__file__).parent.parent.parent


class Old(Model, table="app", pk="USER#{id}", sk="PROFILE"):
    """times: how often the item was transformed. writes: how often the writer has changed it."""

    id: str
    last: str
    times: int = 0
    writes: int = 0


class New(Model, table="app", pk="USER#{id}", sk="PROFILE"):
    id: str
    full_name: str
    times: int
    writes: int


class Doubled(Model, table="app", pk="DOUBLED#{id}", sk="DOUBLED"):
    id: str
    n: int
    times: int = 0
    writes: int = 0


WITH_WHERE = """
from lift_dynamorm import F
from lift_dynamorm.migrations import Transform
from tests.migrations.test_kills import New, Old

def full_name(old: Old) -> New:
    return New(id=old.id, full_name=f"Ann {old.last}", times=old.times + 1, writes=old.writes)

up = [Transform(Old, full_name, where=~F.full_name.exists(), segments=4)]
"""
WITHOUT = """
from lift_dynamorm.migrations import Transform
from tests.migrations.test_kills import Doubled

def double(item: Doubled) -> Doubled:
    item.n *= 2
    item.times += 1
    return item

up = [Transform(Doubled, double, segments=4)]
"""


class Writer(threading.Thread):
    """Change items, half of the time the same few, and remember how often which was changed, and to what."""

    def __init__(self, url: str, model: type[Model], count: int) -> None:
        super().__init__(daemon=True)
        self.database = database(url)
        self.session = self.database.sync.session()
        self.model = model
        self.count = count
        self.writes: Counter[str] = Counter()
        self.names: dict[str, str] = {}
        self.puts = 0
        self.error: BaseException | None = None
        self.stopping = threading.Event()
        self.random = random.Random(1)

    def run(self) -> None:
        try:
            while not self.stopping.wait(0.001):
                id = str(self.random.randrange(HOT if self.random.random() < 0.5 else self.count))
                self._write_name(id) if self.model is Old else self._write(id)
                self.writes[id] += 1
        except BaseException as error:
            self.error = error

    def _write_name(self, id: str) -> None:
        """Give a new name, in the form that the item has when it is written."""
        name = f"L{self.random.randrange(10**6)}"
        key = {"pk": {"S": f"USER#{id}"}, "sk": {"S": "PROFILE"}}
        read: dict[str, Any] = {"TableName": "app", "Key": key, "ConsistentRead": True}
        item = self.session.execute("GetItem", read)["Item"]
        while True:
            old = "last" in item
            item = {**item, "writes": {"N": str(int(item["writes"]["N"]) + 1)}}
            item |= {"last": {"S": name}} if old else {"full_name": {"S": f"Ann {name}"}}
            condition = "attribute_exists(#last)" if old else "attribute_not_exists(#last)"
            request: dict[str, Any] = {
                "TableName": "app",
                "Item": item,
                "ConditionExpression": condition,
                "ExpressionAttributeNames": {"#last": "last"},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
            try:
                self.session.execute("PutItem", request)
            except Exception as error:
                item = getattr(error, "wire_item", None)
                if item is None:
                    raise
            else:
                break
        self.puts += 1
        self.names[id] = name

    def _write(self, id: str) -> None:
        if self.random.random() < 0.5:
            self.session.update(Doubled, {"id": id}, writes=F.writes + 1, returning=False)
            return
        while True:
            read = self.session.get(Doubled, id=id, consistent=True)
            seen = (F.n == read.n) & (F.times == read.times) & (F.writes == read.writes)
            read.writes += 1
            try:
                self.session.put(read, if_=seen)
            except Exception as error:
                if not hasattr(error, "wire_item"):
                    raise
            else:
                self.puts += 1
                return


async def fill(url: str, model: type[Model], count: int) -> None:
    db = database(url)
    await db.tables(Old, Doubled).delete("app")
    await db.create_tables(model)

    async def part(at: int) -> None:
        async with db.session().batch() as batch:
            for n in range(at, count, 8):
                batch.put(Old(id=str(n), last=f"N{n}") if model is Old else Doubled(id=str(n), n=n))

    await asyncio.gather(*map(part, range(8)))
    await db.aclose()


def start(url: str, folder: Path, way: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "tests.migrations.worker",
        url,
        str(folder),
        way,
        str(LEASE),
        str(PAGE),
    ]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_and_restart(url: str, folder: Path, way: str) -> tuple[list[str], str]:
    """Kill it `KILLS` times, at a random moment of its work. Returns its last line at each kill and at the end."""
    chance = random.Random(time.time_ns())
    killed: list[str] = []
    while True:
        worker = start(url, folder, way)
        assert worker.stdout is not None
        assert worker.stderr is not None
        last, lines = "0 0 0 0", chance.randint(1, ITEMS // PAGE // (KILLS + 2))
        for line in worker.stdout:
            last, lines = line.strip(), lines - 1
            if not lines and len(killed) < KILLS:
                time.sleep(chance.uniform(0, 0.05))
                worker.send_signal(signal.SIGKILL)
        said, code = worker.stderr.read(), worker.wait()
        worker.stdout.close()
        worker.stderr.close()
        if code == 0:
            return killed, last
        if "LeaseLost" in said:  # this machine let it wait for longer than its lease
            continue
        assert code == -signal.SIGKILL, said
        killed.append(last.split()[0])


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("model", "way"), [(Old, "async"), (Doubled, "async"), (Doubled, "sync")])
def test_every_item_is_transformed_once_and_no_write_is_lost(
    server: Server, tmp_path: Path, request: pytest.FixtureRequest, model: type[Model], way: str
) -> None:
    count = ITEMS
    begun = time.monotonic()
    asyncio.run(fill(server.url, model, count))
    filled = time.monotonic()
    (tmp_path / "0001_change.py").write_text(WITH_WHERE if model is Old else WITHOUT)
    writer = Writer(server.url, model, count)
    request.addfinalizer(writer.database.sync.close)
    writer.start()
    try:
        killed, last = kill_and_restart(server.url, tmp_path, way)
        ended = time.monotonic()
    finally:
        writer.stopping.set()
        writer.join()
    assert writer.error is None, writer.error
    read: list[Any] = writer.session.scan(New if model is Old else Doubled).segments(4).all()
    found = {item.id: item for item in read}
    assert len(found) == count
    wrong = [item for item in found.values() if item.times != 1]
    assert not wrong, f"{len(wrong)} not transformed exactly once: {wrong[:3]}"
    assert {id: item.writes for id, item in found.items() if item.writes} == dict(writer.writes)
    if model is Old:
        names = {str(n): f"Ann N{n}" for n in range(count)} | {id: f"Ann {name}" for id, name in writer.names.items()}
        assert {id: item.full_name for id, item in found.items()} == names
    else:
        assert {id: item.n for id, item in found.items()} == {str(n): 2 * n for n in range(count)}
    assert len(killed) == KILLS
    _, scanned, retried, sweep = last.split()
    sys.stdout.write(
        f"{model.__name__} {way}: {count:,} items, each transformed once; {len(killed)} kills, at {', '.join(killed)}; "
        f"{sum(writer.writes.values()):,} writes to {len(writer.writes):,} items meanwhile ({writer.puts:,} of them "
        f"puts), none lost; {scanned} scanned, {retried} transformed anew, {sweep} sweeps; filled in "
        f"{filled - begun:.1f} s, migrated in {ended - filled:.1f} s\n"
    )
