"""The embedded engine: DynamoDB in this process, from MiniStack, without a socket."""

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import orjson

from lift_dynamorm.errors import DeadlineExceeded, InvalidValue, ServerError, UsageError, service_error

from .endpoint import STREAM_OPERATIONS
from .retry import reads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    from . import Payload

_REGION = "us-east-1"
_ITEM_WRITES = frozenset({"BatchWriteItem", "DeleteItem", "PutItem", "TransactWriteItems", "UpdateItem"})
_ABOUT_TABLES = frozenset(
    {"CreateTable", "DeleteTable", "TagResource", "UntagResource", "UpdateTable", "UpdateTimeToLive"}
)
_KEPT = (
    "tables",
    "tags",
    "ttl_settings",
    "pitr_settings",
    "kinesis_destinations",
    "contributor_insights",
    "backups",
    "resource_policies",
    "exports",
    "imports",
)
"""What `ministack.services.dynamodb.get_state` answers, and `load_persisted_state` takes; a test holds us to it."""

_FILE_KIND = 0x4C444D31
"""SQLite's application_id of our files, "LDM1": the digit is the version of the layout."""

Slot = tuple[str, str, str]
"""Table, partition key and sort key of an item, as the engine files it."""


class _Engine:
    """MiniStack's module, loaded once: its state is global, so there is one lock and one account per database."""

    def __init__(self) -> None:
        try:
            from ministack.core import responses
            from ministack.services import dynamodb, dynamodb_streams
        except ImportError as error:
            raise UsageError(
                'The embedded engine is not installed: pip install "lift-dynamorm[local]"'
                " (or give Database a region or an endpoint URL instead of local://)."
            ) from error
        self.dynamodb: ModuleType = dynamodb
        self.streams: ModuleType = dynamodb_streams
        self.responses: ModuleType = responses
        # The engine's TTL thread takes this lock, its request handlers mostly do not, and some take it again.
        self.lock = dynamodb._lock = threading.RLock()
        self._accounts = itertools.count(1)
        self._forgotten: list[str] = []

    def account(self) -> str:
        return f"{next(self._accounts):012d}"

    def forget_later(self, account: str) -> None:
        """Drop an account's data before the next request; a finalizer may not take the lock."""
        self._forgotten.append(account)

    def forget(self, account: str) -> None:
        for store in self.stores():
            for scoped in [scoped for scoped in store._data if scoped[0] == account]:
                del store._data[scoped]

    def stores(self) -> list[Any]:
        kind = self.responses.AccountRegionScopedDict
        return [value for value in vars(self.dynamodb).values() if isinstance(value, kind)]

    def request(self, account: str, operation: str, body: bytes) -> tuple[int, Payload]:
        while self._forgotten:
            self.forget(self._forgotten.pop())
        handler = self.streams if operation in STREAM_OPERATIONS else self.dynamodb
        headers = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
        with self.responses.request_scope(account, _REGION):
            try:
                handler.handle_request("POST", "/", headers, body, {}).send(None)
            except StopIteration as returned:
                status, _, answer = returned.value
                return int(status), orjson.loads(answer)
        raise RuntimeError("the embedded engine suspended; is its version the pinned one?")


_engine: _Engine | None = None
_loading = threading.Lock()


def _load() -> _Engine:
    global _engine
    with _loading:
        if _engine is None:
            _engine = _Engine()
        return _engine


class _File:
    """One database on disk: a SQLite file with a row per item, written before a write is acknowledged.

    Every write costs one SQLite commit in WAL mode without fsync: what was acknowledged survives the end of the
    process (SIGKILL too), and a power failure may cost the last moments but never the file. Streams start anew at
    every opening, and an item that TTL had deleted may be back until TTL, which runs once a minute, deletes it again.
    """

    def __init__(self, path: str, engine: _Engine, account: str) -> None:
        import sqlite3

        self._engine = engine
        self._account = account
        self._path = path
        self._process = os.getpid()
        self._dirty: set[Slot] = set()
        self._tables_dirty = False
        self._all_dirty = False
        try:
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
        except sqlite3.OperationalError as error:
            raise UsageError(f"{path} cannot be opened as a local:// database: {error}") from error
        try:
            self._prepare()
            self._read()
        except sqlite3.DatabaseError as error:
            self._database.close()
            if "locked" in str(error):
                raise UsageError(
                    f"{path} is open in another process, and the embedded engine serves one process only."
                    " Stop that one, run a single worker, or use a server (Database('http://127.0.0.1:8000'))."
                ) from error
            raise UsageError(f"{path} cannot be opened as a local:// database: {error}") from error
        except BaseException:
            self._database.close()
            raise

    def _prepare(self) -> None:
        execute = self._database.execute
        execute("PRAGMA locking_mode = EXCLUSIVE")
        (kind,) = execute("PRAGMA application_id").fetchone()
        (tables,) = execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and kind != _FILE_KIND:
            raise UsageError(f"{self._path} is another program's SQLite file, or of another version of this one.")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        if not tables:
            execute("BEGIN IMMEDIATE")
            execute(f"PRAGMA application_id = {_FILE_KIND}")
            execute("CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            execute(
                "CREATE TABLE items (place INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT NOT NULL,"
                " pk TEXT NOT NULL, sk TEXT NOT NULL, item TEXT NOT NULL, UNIQUE (table_name, pk, sk))"
            )
            execute("COMMIT")

    def _read(self) -> None:
        rows: dict[str, str] = dict(self._database.execute("SELECT name, value FROM state"))
        written_as = rows.pop("account", "")
        state: dict[str, Any] = {}
        for name in _KEPT:
            store = self._engine.responses.AccountRegionScopedDict()
            # Tables are named by ARNs that hold the account, and the account is new at every opening.
            kept = rows.get(name, "{}").replace(f":{written_as}:", f":{self._account}:")
            for key, value in orjson.loads(kept).items():
                store.set_scoped(self._account, _REGION, key, value)
            state[name] = store
        tables = {key[2]: table for key, table in state["tables"].all_items()}
        for table in tables.values():
            table["items"] = defaultdict(dict)
        for table_name, pk, sk, item in self._database.execute(
            "SELECT table_name, pk, sk, item FROM items ORDER BY place"
        ):
            tables[table_name]["items"][pk][sk] = orjson.loads(item)
        for table in tables.values():
            self._engine.dynamodb._items_replaced(table)
        self._engine.dynamodb.load_persisted_state(state)

    def touched(self, operation: str, payload: Payload) -> None:
        """Note what a write may have changed."""
        if operation in _ITEM_WRITES:
            self._dirty.update(self._slots(operation, payload))
        elif operation in _ABOUT_TABLES:
            self._tables_dirty = True
        else:
            self._tables_dirty = self._all_dirty = True

    def write(self) -> None:
        """Bring the file up to date with memory; after a failure the next time writes all of it."""
        if os.getpid() != self._process:
            raise UsageError(f"{self._path} was opened before this process was forked; open it after the fork.")
        if not (self._dirty or self._tables_dirty):
            return
        tables = self._tables()
        self._database.execute("BEGIN IMMEDIATE")
        try:
            if self._tables_dirty:
                self._write_tables(tables)
            if self._all_dirty:
                self._database.execute("DELETE FROM items")
                self._dirty = {
                    (name, pk, sk) for name, table in tables.items() for pk, row in table["items"].items() for sk in row
                }
            for slot in self._dirty:
                self._write_item(tables, slot)
            self._database.execute("COMMIT")
        except BaseException:
            self._tables_dirty = self._all_dirty = True
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        self._dirty.clear()
        self._tables_dirty = self._all_dirty = False

    def _tables(self) -> dict[str, dict[str, Any]]:
        return dict(self._engine.dynamodb._tables.items_scoped(self._account, _REGION))

    def _write_tables(self, tables: Mapping[str, Mapping[str, Any]]) -> None:
        derived = ("items", self._engine.dynamodb._INDEX_MEMBERS)
        for name in _KEPT:
            store = getattr(self._engine.dynamodb, f"_{name}")
            kept = dict(store.items_scoped(self._account, _REGION))
            if name == "tables":
                kept = {
                    table: {key: value for key, value in record.items() if key not in derived}
                    for table, record in tables.items()
                }
            self._put_state(name, orjson.dumps(kept).decode())
        self._put_state("account", self._account)
        known = list(tables)
        marks = ", ".join("?" * len(known))
        self._database.execute(f"DELETE FROM items WHERE table_name NOT IN ({marks})", known)

    def _put_state(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)", (name, value))

    def _write_item(self, tables: Mapping[str, Mapping[str, Any]], slot: Slot) -> None:
        name, pk, sk = slot
        item = tables[name]["items"].get(pk, {}).get(sk) if name in tables else None
        if item is None:
            self._database.execute("DELETE FROM items WHERE table_name = ? AND pk = ? AND sk = ?", slot)
        else:
            self._database.execute(
                "INSERT INTO items (table_name, pk, sk, item) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (table_name, pk, sk) DO UPDATE SET item = excluded.item",
                (*slot, orjson.dumps(item).decode()),
            )

    def _slots(self, operation: str, payload: Payload) -> Iterator[Slot]:
        for name, key in _written(operation, payload):
            table_name = self._engine.dynamodb._normalize_table_name(name)
            table = self._engine.dynamodb._tables.get_scoped(self._account, _REGION, table_name)
            if table is not None:
                for pk in self._spellings(key.get(table["pk_name"])):
                    for sk in self._spellings(key.get(table["sk_name"])) if table["sk_name"] else ("__no_sort__",):
                        yield table_name, pk, sk

    def _spellings(self, value: Any) -> set[str]:
        """Return what the engine may file a key's value under: it makes one spelling of a number, most of the time."""
        spelled: set[str] = {self._engine.dynamodb._extract_key_val(value)}
        if isinstance(value, dict) and "N" in value:
            spelled.add(self._engine.dynamodb._ddb_canonicalize_number(value["N"]) or value["N"])
        return spelled

    def close(self) -> None:
        if os.getpid() == self._process:
            self._database.close()


def _written(operation: str, payload: Payload) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield table and key (or item) of each item that a request writes."""
    if operation == "BatchWriteItem":
        for table, requests in payload["RequestItems"].items():
            for request in requests:
                put = request.get("PutRequest")
                yield table, put["Item"] if put else request["DeleteRequest"]["Key"]
    elif operation == "TransactWriteItems":
        for entry in payload["TransactItems"]:
            for action in entry.values():
                yield action["TableName"], action["Item"] if "Item" in action else action["Key"]
    else:
        yield payload["TableName"], payload["Item"] if operation == "PutItem" else payload["Key"]


class _Store:
    """One database of the embedded engine: an account, and the file behind it if there is one."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._opened: tuple[_Engine, str] | None = None
        self._file: _File | None = None
        self._forget: weakref.finalize[..., _Store] | None = None

    def _open(self) -> tuple[_Engine, str]:
        engine = _load()
        with engine.lock:
            if self._opened is None:
                account = engine.account()
                if self._path is not None:
                    self._file = _File(self._path, engine, account)
                self._forget = weakref.finalize(self, engine.forget_later, account)
                self._opened = engine, account
            return self._opened

    def request(self, operation: str, payload: Payload, body: bytes) -> tuple[int, Payload]:
        engine = (self._opened or self._open())[0]
        with engine.lock:
            engine, account = self._open()
            if self._file is None or reads(operation, payload):
                return engine.request(account, operation, body)
            try:
                status, answer = engine.request(account, operation, body)
            except BaseException:
                self._file.touched("", {})
                self._file.write()
                raise
            if status == 200:
                self._file.touched(operation, payload)
                self._file.write()
            return status, answer

    def reset(self) -> None:
        engine, account = self._open()
        with engine.lock:
            engine.forget(account)
            if self._file is not None:
                self._file.touched("", {})
                self._file.write()

    def close(self) -> None:
        """Close the file, and let go of what was read from it; data without a file stays."""
        if self._opened is None or self._file is None:
            return
        engine, account = self._opened
        with engine.lock:
            if self._file is not None:
                try:
                    self._file.write()
                finally:
                    self._file.close()
                    self._file = self._opened = None
                    if self._forget is not None:
                        self._forget.detach()
                    engine.forget(account)


_stores: weakref.WeakValueDictionary[str, _Store] = weakref.WeakValueDictionary()


class LocalTransport:
    """Answer from the embedded engine, in this process: for tests, demos and the first day of a project.

    path: a file that keeps the data; None keeps it in memory for as long as the transport lives.

    Every transport without a path is a database of its own; those with the same path share one. A file serves one
    process at a time. `send` never suspends, so the transport is its own blocking twin; calls from several threads
    take turns.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        if path is None:
            self._store = _Store(None)
            return
        real = os.path.realpath(os.fspath(path))
        with _loading:
            store = _stores.get(real)
            if store is None:
                store = _stores[real] = _Store(real)
        self._store = store

    @property
    def blocking(self) -> LocalTransport:
        return self

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        if deadline is not None and time.monotonic() >= deadline:
            raise DeadlineExceeded(f"{operation}: no time left to send it.", operation=operation)
        try:
            body = orjson.dumps(payload)
        except TypeError as error:
            raise InvalidValue(f"{operation}: the request cannot be written as JSON: {error}") from error
        try:
            status, answer = self._store.request(operation, payload, body)
        except UsageError:
            raise
        except Exception as error:
            raise ServerError(f"{operation}: the embedded engine failed: {error!r}", operation=operation) from error
        if status == 200:
            return answer
        raise service_error(operation, status=status, answer=answer)

    def reset(self) -> None:
        """Delete every table of this database, from the file too."""
        self._store.reset()

    async def aclose(self) -> None:
        self._store.close()
