"""Kill a run of `apply` by SIGKILL at every change that it makes, before the change and after it, and run it again.

``python -m tests.tables.killed ENGINE URL``: for the embedded engine the URL is a folder, for others their address.
Prints, as JSON, how many runs were killed, and every end state that was seen; there must be one. It runs in a process
of its own because it forks.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from lift_dynamorm import Database
from lift_dynamorm.transport.credentials import Credentials, StaticCredentials
from lift_dynamorm.transport.http import HttpTransport
from lift_dynamorm.transport.local import LocalTransport
from lift_dynamorm.transport.retry import RetryTransport
from tests.engines import EXAMPLE_KEY

from .dying import Dying
from .models import DROPPED, after, before

if TYPE_CHECKING:
    from lift_dynamorm.transport import Transport


class Runs:
    """The runs on one engine, each on a table of its own."""

    def __init__(self, engine: str, url: str) -> None:
        self.engine, self.url = engine, url
        self.count = 0

    def transport(self) -> Transport:
        if self.engine == "embedded":
            return LocalTransport(f"{self.url}/{self.count}.db")
        keys = StaticCredentials(Credentials(*EXAMPLE_KEY))
        return HttpTransport(endpoint=self.url, region="us-east-1", credentials=keys)

    def child(self, at: int, *, after_it: bool) -> bool:
        """Create the table and change it in another process; False where that was killed."""
        process = os.fork()
        if process == 0:
            code = 1
            try:
                transport = RetryTransport(Dying(self.transport().blocking, at, kill, after_it=after_it))
                self.change(Database(transport=transport, table_names=self.name))
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(process, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return False
        assert os.waitstatus_to_exitcode(status) == 0
        return True

    def name(self, table: str) -> str:
        return f"{table}-{self.count}"

    def change(self, db: Database) -> None:
        """Go from nothing to the table, and to its change: what somebody does who runs it again after a failure."""
        old, new = before(self.engine), after(self.engine)
        if not db.sync.tables(new).describe() or self.untouched(db):
            db.sync.tables(old).ensure()
        db.sync.tables(new).apply(drop=[f"{self.name('things')}.{thing}" for thing in DROPPED])

    def untouched(self, db: Database) -> bool:
        """Tell whether the table is as it was, though perhaps still without its time to live."""
        (live,) = db.sync.tables(after(self.engine)).describe()
        return not live.spec.settings.deletion_protection

    def run(self, at: int, *, after_it: bool) -> tuple[bool, str]:
        """Kill a run at a change, run it again to its end, and tell what the table is then."""
        self.count += 1
        arrived = self.child(at, after_it=after_it)
        if not arrived:
            assert self.child(10_000, after_it=False)
        db = Database(transport=RetryTransport(self.transport()), table_names=self.name)
        tables = db.sync.tables(after(self.engine))
        assert not tables.plan()
        state = stripped(tables.describe()[0].as_json())
        db.sync.close()
        return arrived, json.dumps(state, sort_keys=True)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stripped(described: dict[str, Any]) -> dict[str, Any]:
    """Take out of a description what is another one in every table."""
    same = {key: value for key, value in described.items() if key not in ("name", "arn", "stream_arn")}
    return {**same, "indexes": sorted(same["indexes"], key=lambda index: str(index["name"]))}


def main(engine: str, url: str) -> None:
    runs = Runs(engine, url)
    killed, states = 0, set()
    for after_it in (False, True):
        at, arrived = 1, False
        while not arrived:
            arrived, state = runs.run(at, after_it=after_it)
            states.add(state)
            killed += not arrived
            at += 1
    sys.stdout.write(json.dumps({"killed": killed, "states": sorted(states)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
