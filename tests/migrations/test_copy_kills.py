"""A copy in a process of its own that is killed again and again, while writers go on with the old table.

LIFT_DYNAMORM_COPY_ITEMS says how many items; what came of it is written to stdout (pytest -rP).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm.migrations.copy import Copy
from tests.engines import EngineUnavailable, start
from tests.migrations.copying import Lease, New, Old, claims, expected, found, new, run
from tests.migrations.worker import database

if TYPE_CHECKING:
    from collections.abc import Iterator

ITEMS = int(os.environ.get("LIFT_DYNAMORM_COPY_ITEMS", "2000"))
KILLS = 5
TENANTS = (None, "acme")
ROOT = Path(__file__).parent.parent.parent
STEPS = """
from lift_dynamorm.migrations.copy import Copy
from lift_dynamorm.migrations.switch import Switch
from tests.migrations.copying import New, Old, new

up = [{step}]
"""


@pytest.fixture(params=["dynoxide"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server of its own. The embedded engine keeps no stream when its process dies, and ExtendDB stops for ever when
    a client dies in the middle of a write.
    """
    try:
        server: Any = start(request.param)
    except EngineUnavailable as error:
        pytest.skip(str(error))
    yield server.url
    server.stop()


class Writer(threading.Thread):
    """Create, change and delete items of one tenant, as an app would."""

    def __init__(self, url: str, tenant: str | None) -> None:
        super().__init__(daemon=True)
        self.database = database(url)
        self.session = self.database.sync.session(tenant)
        self.writes = 0
        self.error: BaseException | None = None
        self.stopping = threading.Event()
        self.random = random.Random(str(tenant))

    def run(self) -> None:
        try:
            while not self.stopping.wait(0.002):
                id = str(self.random.randrange(ITEMS * 3 // 2))
                if self.random.random() < 0.3:
                    self.session.delete(Old, id=id, missing_ok=True)
                else:
                    n = self.random.randrange(-1, 9)
                    self.session.put(Old(id=id, email=f"{self.random.randrange(9)}@x", n=n))
                self.writes += 1
        except BaseException as error:
            self.error = error
        finally:
            self.database.sync.close()


def test_nothing_is_lost_however_often_it_is_killed(url: str, tmp_path: Path) -> None:
    db = database(url)
    db.sync.create_tables(Old)
    for tenant in TENANTS:
        with db.sync.session(tenant).batch() as batch:
            for n in range(ITEMS):
                batch.put(Old(id=str(n), email=f"{n % 9}@x", n=n % 7 - 1))
    writers = [Writer(url, tenant) for tenant in TENANTS]
    for writer in writers:
        writer.start()
    # One segment: dynoxide ends a segment whose ExclusiveStartKey was deleted meanwhile, as the writers here do.
    (tmp_path / "0001_copy.py").write_text(STEPS.format(step="Copy(Old, New, new, segments=1)"))
    began, chance = time.monotonic(), random.Random(7)
    said: list[list[str]] = []
    for _ in range(KILLS):
        process = _begin(url, tmp_path)
        lines = []
        assert process.stdout is not None
        for _ in range(chance.randrange(2, 9)):
            line = process.stdout.readline()
            if not line:
                break
            lines.append(line)
        time.sleep(chance.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        said.append(lines)
    _finish(_begin(url, tmp_path))
    took = time.monotonic() - began
    for writer in writers:
        writer.stopping.set()
        writer.join()
        assert writer.error is None
    (tmp_path / "0002_switch.py").write_text(STEPS.format(step="Switch(Old, New, new, quiet=0.5, segments=2)"))
    _finish(_begin(url, tmp_path))
    for tenant in TENANTS:
        session = db.sync.session(tenant)
        assert found(session) == expected(session)
    owners = claims(db)
    assert len(owners) == len(set(owners.values()))
    assert set(owners.values()) == {
        f"{'@acme#' if tenant else ''}USER#{id}" for tenant in TENANTS for id in expected(db.sync.session(tenant))
    }
    run(db, Copy(Old, New, new), Lease("new"))  # finds both equal, item for item, also what is too much
    db.sync.close()
    writes = sum(writer.writes for writer in writers)
    sys.stdout.write(
        f"{url}: {2 * ITEMS} items, {writes} writes meanwhile, killed {KILLS} times after "
        f"{[lines[-1].strip() if lines else 'nothing' for lines in said]}, {took:.1f} s\n"
    )


def _begin(url: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.migrations.copy_worker", url, str(folder), "200"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)


def _finish(process: subprocess.Popen[str]) -> None:
    said, _ = process.communicate(timeout=90)
    assert process.returncode == 0, said
