"""The journal of the migrations of a table, in the table itself: what was applied, who is at work, and how far.

It is one item under the reserved key ``@#migrations``, which is no model's and no tenant's; each checkpoint is an item
of its own beside it.

Whoever runs migrations holds a lease. It is told by an id and a beat, which its holder counts up; another runner takes
over once it has seen the same id and beat for as long as the lease lasts, by its own stopwatch, so no two clocks are
ever compared. All that is assumed is that a second takes about as long here as there. The old holder stops by its own
stopwatch, which it started before each beat was sent; and should it be asleep meanwhile and wake up, every write of the
journal and of a checkpoint has the condition that the lease is still its own.

A beat whose answer was lost may have been seen by another runner. So each one that is sent is counted anew: what comes
after it is a renewal to whoever has seen it, and the holder's time is never counted from one that others did not see.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from lift_dynamorm.errors import LeaseLost, MigrationError, MigrationLocked, RequestRefused, ServiceError
from lift_dynamorm.keys import RESERVED, escape
from lift_dynamorm.operations.concurrency import drive

if TYPE_CHECKING:
    from lift_dynamorm.migrations.steps import State
    from lift_dynamorm.transport import Payload
    from lift_dynamorm.transport.retry import RetryTransport

    Wire = dict[str, Any]
    Item = dict[str, Wire]

_KEY = f"{RESERVED}migrations"
_SORT = {"S": {"S": RESERVED}, "N": {"N": "0"}, "B": {"B": b64encode(RESERVED.encode()).decode()}}
_POLL = 0.25
_MINE = "#lock.#id = :me"
_CLOCK = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


def stopwatch() -> float:
    """Seconds since some moment, those in which the machine was suspended among them.

    Linux counts these by CLOCK_BOOTTIME only, and macOS by CLOCK_MONOTONIC, which is not its `time.monotonic()`.
    """
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


@dataclass(frozen=True, slots=True)
class Record:
    """What the journal says of one migration that was begun.

    run: tells this run of it from those before a `down`. finished: "" while there is something left to do.
    direction: ``up``, or ``down`` while it is taken back. steps: the names of those that are done. times: ISO 8601.
    """

    name: str
    checksum: str
    started: str
    by: str
    run: str
    finished: str = ""
    direction: str = "up"
    steps: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()

    def wire(self) -> Wire:
        text = {name: {"S": getattr(self, name)} for name in _TEXTS}
        lists = {name: {"L": [{"S": part} for part in getattr(self, name)]} for name in ("steps", "counts")}
        return {"M": {**text, **lists}}

    @classmethod
    def read(cls, wire: Wire) -> Record:
        parts = wire["M"]
        steps, counts = (tuple(part["S"] for part in parts[name]["L"]) for name in ("steps", "counts"))
        return cls(**{name: parts[name]["S"] for name in _TEXTS}, steps=steps, counts=counts)


_TEXTS = ("name", "checksum", "started", "by", "run", "finished", "direction")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lease: its id and beat, who that is, for how many seconds a beat is good, since when."""

    id: str
    beat: str
    owner: str
    seconds: float
    since: str


@dataclass(frozen=True, slots=True)
class Entries:
    """The journal as it is: migrations by number, and who is at work."""

    records: dict[int, Record]
    holder: Holder | None


class Journal:
    """The journal in one table.

    table: its name here. transport: of the way the migrations are run.
    """

    def __init__(self, transport: RetryTransport, table: str) -> None:
        self.transport = transport
        self.table = table
        self._partition = ""
        self._sort: tuple[str, str] | None = None

    async def open(self) -> bool:
        """Look up the table's key; False where there is no table. MigrationError where it can hold no journal."""
        try:
            table = (await self.transport.send("DescribeTable", {"TableName": self.table}))["Table"]
        except RequestRefused as error:
            if error.code != "ResourceNotFoundException":
                raise
            return False
        types = {a["AttributeName"]: a["AttributeType"] for a in table["AttributeDefinitions"]}
        names = {key["KeyType"]: key["AttributeName"] for key in table["KeySchema"]}
        if types[names["HASH"]] != "S":
            kind = "a number" if types[names["HASH"]] == "N" else "bytes"
            raise MigrationError(
                f"the partition key `{names['HASH']}` of the table {self.table!r} is {kind}, and the journal of the "
                'migrations needs one of text: keep it in another table, Migrations(..., table="...")'
            )
        self._partition = names["HASH"]
        if "RANGE" in names:
            self._sort = (names["RANGE"], types[names["RANGE"]])
        return True

    def key(self, *parts: str) -> Item:
        """The key of the journal's item, or of one that belongs to it."""
        key = {self._partition: {"S": "#".join((_KEY, *map(escape, parts)))}}
        if self._sort is not None:
            key[self._sort[0]] = _SORT[self._sort[1]]
        return key

    async def get(self, *parts: str) -> Item:
        """Read such an item, {} where there is none."""
        payload = {"TableName": self.table, "Key": self.key(*parts), "ConsistentRead": True}
        item: Item = (await self.transport.send("GetItem", payload)).get("Item") or {}
        return item

    async def read(self) -> Entries:
        """Read the journal."""
        item = await self.get()
        records = {int(n): Record.read(wire) for n, wire in item.get("@history", {"M": {}})["M"].items()}
        lock = item.get("@lock", {}).get("M")
        return Entries(dict(sorted(records.items())), None if lock is None else _holder(lock))

    async def acquire(self, owner: str, since: str, *, seconds: float, wait: float) -> Lease:
        """Take the lease, or wait so long for it: until it is released, or its holder has not renewed it for as long
        as it lasts. Raises MigrationLocked."""
        give_up = stopwatch() + wait
        seen: Holder | None = None
        seen_at = taking = 0.0
        mine: Holder | None = None
        while True:
            begun = stopwatch()
            held = (await self.read()).holder
            now = stopwatch()
            if held is not None and mine is not None and held.id == mine.id:  # an answer was lost, and it was taken
                return Lease(self, mine, taking + seconds)
            if held is None or (held == seen and begun - seen_at >= held.seconds):
                taking = stopwatch()
                mine = Holder(uuid4().hex, "0", owner, seconds, since)  # a late one of before is not taken for this
                if await self._take(mine, held):
                    return Lease(self, mine, taking + seconds)
                continue
            if held != seen:
                seen, seen_at = held, now
            ends = seen_at + held.seconds
            if now >= give_up:
                raise _locked(held, wait, self.table)
            await self.transport.sleep(max(0.001, min(_POLL, give_up - now, ends - now)))

    async def _take(self, mine: Holder, held: Holder | None) -> bool:
        """Take the lease if it is free, or still as it was seen; False where it is not."""
        values: Item = {":lock": _lock(mine), ":none": {"M": {}}}
        condition = "attribute_not_exists(#lock)"
        names = {"#lock": "@lock", "#history": "@history"}
        if held is not None:
            condition = "#lock.#id = :id AND #lock.#beat = :beat"
            values |= {":id": {"S": held.id}, ":beat": {"N": held.beat}}
            names |= {"#id": "id", "#beat": "beat"}
        payload = {
            "TableName": self.table,
            "Key": self.key(),
            "UpdateExpression": "SET #lock = :lock, #history = if_not_exists(#history, :none)",
            "ConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }
        return await self.written("UpdateItem", payload)

    async def written(self, operation: str, payload: Payload) -> bool:
        """Send a write; False where its condition does not hold."""
        try:
            await self.transport.send(operation, payload)
        except RequestRefused as error:
            if failed_at(error) is None:
                raise
            return False
        return True


class Lease:
    """The right to run migrations, renewed by a thread until it is released or lost.

    ends: `stopwatch()` seconds.
    """

    def __init__(self, journal: Journal, holder: Holder, ends: float) -> None:
        self.journal = journal
        self.id: str = holder.id
        self.seconds: float = holder.seconds
        self._ends = ends
        self._lost = False
        self._beat = 0
        self._parts: dict[str, Item] = {}
        self._place: tuple[str, ...] = ()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lift-dynamorm lease", daemon=True)
        self._thread.start()

    # -- is it ours ----------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise LeaseLost where the lease is lost, or may be by now."""
        if self._lost or stopwatch() >= self._ends:
            raise self.lost()

    def lost(self) -> LeaseLost:
        """Note that the lease is lost, and give the error that says so."""
        self._lost = True
        return LeaseLost(
            f"the lease on the migrations of {self.journal.table!r} is lost: it was not renewed for {self.seconds:g} "
            "seconds, or another runner has taken it over. What was done is kept; run up() again"
        )

    def fence(self) -> Payload:
        """The entry of a transaction that fails it once the lease is another's."""
        condition = {
            "TableName": self.journal.table,
            "Key": self.journal.key(),
            "ConditionExpression": _MINE,
            "ExpressionAttributeNames": {"#lock": "@lock", "#id": "id"},
            "ExpressionAttributeValues": {":me": {"S": self.id}},
        }
        return {"ConditionCheck": condition}

    def _renew(self) -> None:
        transport = self.journal.transport.blocking
        while not self._stop.wait(self.seconds / 3):
            begun = stopwatch()
            self._beat += 1
            beat = self._update("SET #lock.#beat = :beat", {":beat": {"N": str(self._beat)}}, {"#beat": "beat"})
            beat["ConditionExpression"] += " AND #lock.#beat <= :beat"  # a late one of before takes none back
            deadline = time.monotonic() + max(self._ends - begun, 0.1)
            try:
                drive(transport.send("UpdateItem", beat, deadline=deadline))
            except RequestRefused as error:
                self._lost = failed_at(error) is not None
                if self._lost:
                    return
            except ServiceError:
                pass  # the next one may get through; until then the stopwatch goes on
            else:
                self._ends = begun + self.seconds

    # -- the journal ---------------------------------------------------------------------------------------------------

    async def record(self, number: int, record: Record) -> None:
        """Write what there is to say of a migration."""
        values = {":record": record.wire()}
        await self._write(self._update("SET #history.#n = :record", values, _entry(number)))

    async def forget(self, number: int) -> None:
        """Strike a migration out."""
        await self._write(self._update("REMOVE #history.#n", {}, _entry(number)))

    async def release(self) -> None:
        """Let others have the lease."""
        self._stop.set()
        transport = self.journal.transport
        if transport.blocking is transport:
            self._thread.join()
        else:  # a beat may be under way, for as long as the lease lasts
            await asyncio.to_thread(self._thread.join)
        await self.journal.written("UpdateItem", self._update("REMOVE #lock", {}, {}))

    def _update(self, expression: str, values: Item, names: dict[str, str]) -> Payload:
        return {
            "TableName": self.journal.table,
            "Key": self.journal.key(),
            "UpdateExpression": expression,
            "ConditionExpression": _MINE,
            "ExpressionAttributeNames": {"#lock": "@lock", "#id": "id", **names},
            "ExpressionAttributeValues": {":me": {"S": self.id}, **values},
        }

    async def _write(self, payload: Payload) -> None:
        self.check()
        if not await self.journal.written("UpdateItem", payload):
            raise self.lost()

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def begin(self, *place: str) -> None:
        """Keep the checkpoints that follow under this place: number, run, step."""
        self._place, self._parts = place, {}

    async def open(self, part: str) -> State | None:
        """Make a checkpoint this lease's, so that no other can write it any more, and read it."""
        self.check()
        key = self.journal.key(*self._place, part)
        update = {
            "TableName": self.journal.table,
            "Key": key,
            "UpdateExpression": "SET #lease = :me",
            "ExpressionAttributeNames": {"#lease": "@lease"},
            "ExpressionAttributeValues": {":me": {"S": self.id}},
        }
        entries = {"TransactItems": [self.fence(), {"Update": update}], "ClientRequestToken": str(uuid4())}
        if not await self.journal.written("TransactWriteItems", entries):
            raise self.lost()
        self._parts[part] = key
        text = (await self.journal.get(*self._place, part)).get("@state", {}).get("S")
        state: State | None = None if text is None else json.loads(text)
        return state

    def checkpoint(self, part: str, state: State) -> Payload:
        """The entry of a transaction that writes a checkpoint, as long as that is this lease's."""
        update = {
            "TableName": self.journal.table,
            "Key": self._parts[part],
            "UpdateExpression": "SET #state = :state",
            "ConditionExpression": "#lease = :me",
            "ExpressionAttributeNames": {"#lease": "@lease", "#state": "@state"},
            "ExpressionAttributeValues": {":me": {"S": self.id}, ":state": {"S": json.dumps(state)}},
        }
        return {"Update": update}

    async def save(self, part: str, state: State) -> None:
        """Write a checkpoint."""
        await self._write(self.checkpoint(part, state)["Update"])

    async def clear(self) -> None:
        """Delete the checkpoints of a step that is done."""
        for key in self._parts.values():
            mine = {"#lease": "@lease"}, {":me": {"S": self.id}}
            payload = {
                "TableName": self.journal.table,
                "Key": key,
                "ConditionExpression": "#lease = :me",
                "ExpressionAttributeNames": mine[0],
                "ExpressionAttributeValues": mine[1],
            }
            await self.journal.written("DeleteItem", payload)
        self._parts = {}


def failed_at(error: ServiceError) -> set[int] | None:
    """Tell which entries of a transaction failed by their condition, 0 for a single write; None where none did."""
    if error.code == "ConditionalCheckFailedException":
        return {0}
    reasons = error.answer.get("CancellationReasons") or ()
    return {n for n, reason in enumerate(reasons) if reason.get("Code") == "ConditionalCheckFailed"} or None


def _entry(number: int) -> dict[str, str]:
    return {"#history": "@history", "#n": f"{number:04d}"}


def _lock(holder: Holder) -> Wire:
    texts = {"id": holder.id, "owner": holder.owner, "since": holder.since}
    numbers = {"beat": holder.beat, "seconds": f"{holder.seconds:g}"}
    return {"M": {**{k: {"S": v} for k, v in texts.items()}, **{k: {"N": v} for k, v in numbers.items()}}}


def _holder(lock: Wire) -> Holder:
    texts = {name: lock[name]["S"] for name in ("id", "owner", "since")}
    return Holder(**texts, beat=lock["beat"]["N"], seconds=float(lock["seconds"]["N"]))


def _locked(held: Holder, wait: float, table: str) -> MigrationLocked:
    mend = (
        f"Wait for it: wait=... seconds. Should it have died, whoever waits for more than {held.seconds:g} seconds "
        "takes over"
    )
    error = MigrationLocked(
        f"{held.owner} has been running the migrations of {table!r} since {held.since}"
        + (f", and still does after {wait:g} seconds. " if wait else ". ")
        + mend
    )
    error.holder = held.owner
    return error
