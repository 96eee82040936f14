"""Store items out of lines of JSON: many at a time, in the order of the lines as far as that can be told."""

from __future__ import annotations

import inspect
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson

from lift_dynamorm.capacity import Meter
from lift_dynamorm.errors import (
    ConditionFailed,
    DynamORMError,
    InvalidItem,
    InvalidValue,
    ItemExists,
    RequestRefused,
    ServiceError,
    Throttled,
    UniqueViolation,
    UsageError,
)
from lift_dynamorm.model import schema_of
from lift_dynamorm.operations.concurrency import at_once
from lift_dynamorm.operations.scan import Pace
from lift_dynamorm.operations.store import store
from lift_dynamorm.operations.write import Write, not_exists
from lift_dynamorm.reader import check_tenant
from lift_dynamorm.transfer.owners import EVERY_TENANT, EveryTenant, named
from lift_dynamorm.transfer.rows import LeftOut, Row, RowReader

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from lift_dynamorm.database import Database
    from lift_dynamorm.model import Model
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.transfer.rows import Outcome

    Item = dict[str, Any]

Mode = Literal["create", "put", "skip"]

MODES: tuple[Mode, ...] = ("create", "put", "skip")
AT_ONCE = 100
"""Lines that are under way together."""
_CONCURRENCY = 16
_MAX_WRITES = 25
_MAX_BYTES = 15 * 1024 * 1024
"""Of a BatchWriteItem, as it is sent; DynamoDB allows 16 MB."""
_UNIT = 1024


class LineError(NamedTuple):
    """What is wrong with a line. line: its number, from 1."""

    line: int
    error: DynamORMError

    def __str__(self) -> str:
        return f"line {self.line}: {self.error}"


class ImportStopped(DynamORMError):
    """An import has stopped before the end; the cause says why.

    line: where to go on: all lines before it are done with. Lines behind it may be stored too, and are not in the way
    when they come again. at: the line that stopped it, None where no line did.
    """

    def __init__(self, message: str, *, line: int, at: int | None) -> None:
        super().__init__(message)
        self.line = line
        self.at = at


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import has come.

    line: the last line that is done with, and all before it. written: items stored; in a dry run, that would be tried.
    unchanged: items that were there already just as the file has them. skipped: items that were there, and left alone.
    left_out: lines of models or tenants that were not asked for. failed: lines with an error. write_units: what it
    took; estimated by size where it is not reported. seconds: since the beginning.
    """

    line: int = 0
    written: int = 0
    unchanged: int = 0
    skipped: int = 0
    left_out: int = 0
    failed: int = 0
    write_units: float = 0.0
    seconds: float = 0.0

    @property
    def items(self) -> int:
        """Items that are stored now, whoever did it."""
        return self.written + self.unchanged + self.skipped

    @property
    def rate(self) -> float:
        """Items a second."""
        return self.items / self.seconds if self.seconds > 0 else 0.0


@dataclass(slots=True)
class _Writer:
    """Stores rows, and notes of each what came of it."""

    context: Context
    mode: Mode

    async def write(self, rows: Sequence[Row]) -> list[LineError]:
        """Store rows with different keys. Returns what is wrong with some of them; raises what stops the import."""
        errors: list[LineError] = []
        alone = [row for row in rows if self.mode != "put" or row.has_claims]
        together = [row for row in rows if self.mode == "put" and not row.has_claims]
        jobs = [self._batch(batch, errors) for batch in _batches(together)]
        jobs += [self._one(row, errors) for row in alone]
        if jobs:
            await at_once(jobs, _CONCURRENCY, blocking=self.context.blocking)
        # A value may have been given free by a line before that was under way at the same time.
        violated = sorted(error for error in errors if isinstance(error.error, UniqueViolation))
        errors = [error for error in errors if not isinstance(error.error, UniqueViolation)]
        for again in violated:
            await self._one(next(row for row in rows if row.line == again.line), errors)
        return sorted(errors, key=lambda error: error.line)

    async def _one(self, row: Row, errors: list[LineError]) -> None:
        try:
            row.outcome = await (self._claiming(row) if row.has_claims else self._put(row))
        except (ConditionFailed, InvalidValue, UsageError) as error:
            errors.append(LineError(row.line, error))
        except RequestRefused as error:
            if error.code != "ValidationException":
                raise
            errors.append(LineError(row.line, error))

    async def _claiming(self, row: Row) -> Outcome:
        """Store an item with the claims of its unique values, in a transaction."""
        schema, context = row.schema, replace(self.context, prefix=row.prefix)
        assert schema is not None
        now = context.now()
        guard, verb = (None, "put") if self.mode == "put" else (not_exists(schema, now), "create")
        write = Write(
            schema, "put", verb, schema.key_of_item(row.item), now, row.item, guard=guard, instance=row.instance
        )
        try:
            await store(context, None, write)
        except ItemExists as error:
            return self._there(row, error.wire_item, error)
        return "written"

    async def _put(self, row: Row) -> Outcome:
        request: Item = {"TableName": row.here, "Item": row.item}
        if self.mode != "put":
            request["ConditionExpression"] = "attribute_not_exists(#0)"
            request["ExpressionAttributeNames"] = names = {"#0": row.key[0]}
            expiry = row.schema.expiry if row.schema is not None else None
            if expiry is not None:  # an item whose time to live is over is as good as gone
                request["ConditionExpression"] += " OR #1 <= :0"
                names["#1"] = expiry
                request["ExpressionAttributeValues"] = {":0": {"N": str(int(self.context.now().timestamp()))}}
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        try:
            await self.context.send("PutItem", request)
        except RequestRefused as error:
            if error.code != "ConditionalCheckFailedException":
                raise
            current = error.answer.get("Item")
            key = ", ".join(f"{name}={next(iter(row.item[name].values()))}" for name in row.key)
            return self._there(row, current, ItemExists(f"there is an item {key} already", wire_item=current))
        return "written"

    def _there(self, row: Row, current: Any, error: ItemExists) -> Outcome:
        if current is not None and row.is_stored_as(current):
            return "unchanged"
        if self.mode == "skip":
            return "skipped"
        raise error

    async def _batch(self, rows: list[Row], errors: list[LineError]) -> None:
        """Put rows together; where DynamoDB refuses them, each alone, so that it is known which one it was."""
        transport = self.context.transport
        deadline = transport.limit(None)
        left, attempts = {row.place: row for row in rows}, 0
        while left:
            tables: dict[str, list[Item]] = {}
            for row in left.values():
                tables.setdefault(row.here, []).append({"PutRequest": {"Item": row.item}})
            try:
                answer = await self.context.send("BatchWriteItem", {"RequestItems": tables})
            except RequestRefused as error:
                if error.code != "ValidationException":
                    raise
                for row in left.values():
                    await self._one(row, errors)
                return
            keys = {row.here: row.key for row in left.values()}
            again = {
                Row(0, here, keys[here], entry["PutRequest"]["Item"]).place
                for here, entries in (answer.get("UnprocessedItems") or {}).items()
                for entry in entries
            }
            for place in left.keys() - again:
                left.pop(place).outcome = "written"
            attempts += 1
            if left and not await transport.backoff(attempts, deadline):
                msg = f"DynamoDB left {len(left)} items unprocessed at attempt {attempts}"
                raise Throttled(msg, operation="BatchWriteItem")


def _batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        takes = len(orjson.dumps(row.item)) + 300
        if batch and (len(batch) == _MAX_WRITES or size + takes > _MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += takes
    if batch:
        yield batch


@dataclass(slots=True)
class _Import:
    writer: _Writer | None
    meter: Meter
    pace: Pace | None
    keep_going: bool
    failed: Callable[[LineError], object] | None
    report: Callable[[ImportProgress], Awaitable[None] | None] | None
    progress: ImportProgress
    began: float = field(default_factory=time.monotonic)
    rows: list[Row] = field(default_factory=list)
    places: set[tuple[Any, ...]] = field(default_factory=set)
    size: int = 0

    async def add(self, row: Row, size: int) -> None:
        most = AT_ONCE if self.pace is None else min(AT_ONCE, self.pace.items(1))
        if self.writer is not None and row.place in self.places:
            await self.flush(row.line - 1)
        self.rows.append(row)
        self.size += size
        if self.writer is not None:
            self.places.add(row.place)
        if len(self.rows) >= most or self.size > _MAX_BYTES:
            await self.flush(row.line)

    async def flush(self, line: int) -> None:
        """Store what has been collected; all lines up to this one are done with then."""
        rows, self.rows, self.places, self.size = self.rows, [], set(), 0
        errors: list[LineError] = []
        before = self.meter.consumed.write
        if self.writer is None:
            for row in rows:
                row.outcome = "written"
        elif rows:
            if self.pace is not None:
                await self.pace.wait(None)
            try:
                errors = await self.writer.write(rows)
            except DynamORMError as error:
                self._count(rows, before)
                undone = min(row.line for row in rows if row.outcome is None)
                raise ImportStopped(str(error), line=undone, at=None) from error
        self._count(rows, before)
        for wrong in errors:
            self.note(wrong)
        self.progress = replace(self.progress, line=line)
        await self._tell()

    def _count(self, rows: Sequence[Row], before: float) -> None:
        outcomes = [row.outcome for row in rows]
        written = [row for row in rows if row.outcome == "written"]
        units = 0.0
        if self.writer is not None:
            units = self.meter.consumed.write - before
            units = units or sum(-(-len(orjson.dumps(row.item)) // _UNIT) for row in written)
        if self.pace is not None and rows:
            self.pace.spend(units, len(rows))
        now = self.progress
        self.progress = replace(
            now,
            written=now.written + len(written),
            unchanged=now.unchanged + outcomes.count("unchanged"),
            skipped=now.skipped + outcomes.count("skipped"),
            write_units=now.write_units + units,
            seconds=time.monotonic() - self.began,
        )

    def note(self, wrong: LineError) -> None:
        """Count a line that is wrong, or stop there."""
        if not self.keep_going:
            raise ImportStopped(str(wrong), line=wrong.line, at=wrong.line) from wrong.error
        self.progress = replace(self.progress, failed=self.progress.failed + 1)
        if self.failed is not None:
            self.failed(wrong)

    async def _tell(self) -> None:
        if self.report is not None:
            told = self.report(self.progress)
            if inspect.isawaitable(told):
                await told


async def import_items(
    database: Database,
    models: Iterable[type[Model]],
    lines: Iterable[bytes],
    *,
    mode: Mode = "create",
    tenant: str | EveryTenant | None = EVERY_TENANT,
    others: Literal["refuse", "skip"] = "refuse",
    start_line: int = 1,
    write_units: float | None = None,
    keep_going: bool = False,
    dry_run: bool = False,
    failed: Callable[[LineError], object] | None = None,
    report: Callable[[ImportProgress], Awaitable[None] | None] | None = None,
) -> ImportProgress:
    """Store the items of lines that `export_items` has written, typed or raw, or that look like them.

    A typed line is validated by its model, and stored as it is: no hook is called, and versions and timestamps are
    those of the line; where it has none, what `create` would give, but for what is in the key. Claims of unique values
    are written with their items. A raw line is stored without a question; its table must be there.

    mode: what to do about an item that is there already: ``"create"`` makes it an error, unless it is just what the
    line says; ``"put"`` replaces it, whatever its version; ``"skip"`` leaves it alone.
    tenant: only lines of this tenant, None for those of none. others: what to do about lines of other models;
    ``"skip"`` also leaves out raw lines that are, by their keys, of none of the models.
    start_line: where to begin, 1 for the first. write_units: at most so many a second.
    keep_going: go on past lines that are wrong, and call `failed` with each.
    dry_run: read and validate every line, and write nothing; of raw lines the key of their table is looked up.
    report: called, async or not, each time that some lines are done with.

    Raises `ImportStopped`, which says where to go on.
    """
    if mode not in MODES:
        raise UsageError(f"mode={mode!r}: give one of {', '.join(MODES)}")
    if start_line < 1:
        raise UsageError(f"start_line={start_line}: lines are counted from 1")
    if write_units is not None and not write_units > 0:
        raise UsageError(f"write_units={write_units:g}: give a number above 0")
    if not isinstance(tenant, EveryTenant):
        check_tenant(tenant)
    meter = Meter(database.table_name)
    context = replace(database.unscoped("import").context(), meter=meter)
    reader = RowReader(context, named(schema_of(model) for model in models), tenant, others)
    run = _Import(
        writer=None if dry_run else _Writer(context, mode),
        meter=meter,
        pace=Pace(write_units, context.transport.sleep) if write_units is not None else None,
        keep_going=keep_going,
        failed=failed,
        report=report,
        progress=ImportProgress(line=start_line - 1),
    )
    number = 0
    for number, line in enumerate(lines, 1):
        if number < start_line or not line.strip():
            continue
        try:
            row = await reader.row(number, line)
        except LeftOut:
            run.progress = replace(run.progress, left_out=run.progress.left_out + 1)
        except (InvalidValue, InvalidItem, UsageError) as error:
            await run.flush(number - 1)
            run.note(LineError(number, error))
        except ServiceError as error:
            await run.flush(number - 1)
            if isinstance(error, RequestRefused) and error.code == "ResourceNotFoundException":
                run.note(LineError(number, error))  # the table of a raw line
                continue
            raise ImportStopped(f"line {number}: {error}", line=number, at=number) from error
        else:
            await run.add(row, len(line))
    await run.flush(max(number, start_line - 1))
    return run.progress
