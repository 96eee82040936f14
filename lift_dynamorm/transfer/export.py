"""Write the items of tables as lines of JSON, one after the other as they are read."""

from __future__ import annotations

import inspect
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from lift_dynamorm.errors import InvalidItem, InvalidValue, RequestRefused, UsageError
from lift_dynamorm.keys import tenant_prefix
from lift_dynamorm.model import schema_of
from lift_dynamorm.operations.concurrency import Race
from lift_dynamorm.operations.scan import Pace
from lift_dynamorm.reader import check_tenant
from lift_dynamorm.transfer.owners import (
    EVERY_TENANT,
    EveryTenant,
    check_owners,
    is_reserved,
    named,
    owner_of,
    prefix_of,
    tenant_of,
)
from lift_dynamorm.transfer.plain import to_plain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from lift_dynamorm.database import Database
    from lift_dynamorm.model import Model
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]
    Answer = tuple[int, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ExportProgress:
    """How far an export has come.

    table: as the models call it. items: written so far. scanned: read for that, in all tables. read_units: what that
    took, as far as it is reported. left_out: items of no model, or of one that was not asked for; without those that
    the library keeps for itself. total: how many items the tables held when they were last counted, which DynamoDB does
    every six hours or so; 0 where nobody may ask. seconds: since the beginning. dropped_attributes: stored attributes
    of exported items that no field describes. unfit: exported items that do not fit their model, which an import would
    refuse.
    """

    table: str
    items: int
    scanned: int
    read_units: float
    left_out: int
    total: int
    seconds: float
    dropped_attributes: int = 0
    unfit: int = 0

    @property
    def rate(self) -> float:
        """Items read a second."""
        return self.scanned / self.seconds if self.seconds > 0 else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds to the end, as far as the last count tells; None where it tells nothing."""
        if not self.rate or self.scanned >= self.total:
            return None
        return (self.total - self.scanned) / self.rate


@dataclass(slots=True)
class _Table:
    """A table that is exported. here: what it is called in DynamoDB."""

    name: str
    here: str
    schemas: Sequence[Schema[Any]]
    partition: str = ""
    tag: str = "S"


@dataclass(slots=True)
class _Export:
    context: Context
    write: Callable[[bytes], object]
    tenant: str | EveryTenant | None
    raw: bool
    segments: int
    consistent: bool
    include_expired: bool
    pace: Pace | None
    report: Callable[[ExportProgress], Awaitable[None] | None] | None
    total: int = 0
    counted: bool = True
    items: int = 0
    scanned: int = 0
    read_units: float = 0.0
    left_out: int = 0
    dropped: int = 0
    unfit: int = 0
    began: float = field(default_factory=time.monotonic)

    async def describe(self, table: _Table) -> None:
        try:
            described = (await self.context.send("DescribeTable", {"TableName": table.here}))["Table"]
        except RequestRefused as error:
            if error.code != "AccessDeniedException" or not table.schemas:
                raise
            key = table.schemas[0].partition  # to read is allowed, it may be: then only the count is missing
            table.partition, table.tag, self.counted = key.attribute, key.tag, False
            return
        table.partition = next(k["AttributeName"] for k in described["KeySchema"] if k["KeyType"] == "HASH")
        types = {a["AttributeName"]: a["AttributeType"] for a in described["AttributeDefinitions"]}
        table.tag = types[table.partition]
        if self._may_hold(table):
            self.total += described.get("ItemCount", 0)

    def _may_hold(self, table: _Table) -> bool:
        """Tell whether a table can hold what is asked for: a key that is no text carries no tenant."""
        return not isinstance(self.tenant, str) or table.tag == "S"

    async def run(self, table: _Table) -> None:
        """Read a table, a page of each segment at a time."""
        if not self._may_hold(table):
            return
        request: dict[str, Any] = {"TableName": table.here, "ReturnConsumedCapacity": "TOTAL"}
        if self.consistent:
            request["ConsistentRead"] = True
        if isinstance(self.tenant, str):
            request["FilterExpression"] = "begins_with(#0, :0)"
            request["ExpressionAttributeNames"] = {"#0": table.partition}
            request["ExpressionAttributeValues"] = {":0": {"S": tenant_prefix(self.tenant)}}
        waiting: deque[tuple[int, Item | None]] = deque((segment, None) for segment in range(self.segments))
        async with Race["Answer"](self.segments, blocking=self.context.blocking) as race:
            while waiting or race:
                if self.pace is not None and not race:
                    await self.pace.wait(None)
                while waiting and (not race or self.pace is None or self.pace.debt <= 0):
                    race.start(self._page(request, *waiting.popleft()))
                segment, answer = await race.first()
                self._take(table, answer)
                if answer.get("LastEvaluatedKey"):
                    waiting.append((segment, answer["LastEvaluatedKey"]))
                await self.tell(table)

    async def _page(self, request: dict[str, Any], segment: int, start: Item | None) -> Answer:
        request = dict(request)
        if self.segments > 1:
            request |= {"Segment": segment, "TotalSegments": self.segments}
        if start is not None:
            request["ExclusiveStartKey"] = start
        if self.pace is not None:
            request["Limit"] = self.pace.items(self.segments)
        return segment, await self.context.send("Scan", request)

    def _take(self, table: _Table, answer: dict[str, Any]) -> None:
        units = (answer.get("ConsumedCapacity") or {}).get("CapacityUnits", 0.0)
        self.scanned += answer["ScannedCount"]
        self.read_units += units
        if self.pace is not None:
            self.pace.spend(units, answer["ScannedCount"])
        line = self._raw_line if self.raw else self._typed_line
        for item in answer["Items"]:
            made = line(table, item)
            if made is not None:
                self.write(orjson.dumps(made, option=orjson.OPT_APPEND_NEWLINE))
                self.items += 1

    def _raw_line(self, table: _Table, item: Item) -> Item | None:
        if self.tenant is None and prefix_of(item, table.partition):
            return None
        return {"table": table.name, "item": dict(sorted(item.items()))}

    def _typed_line(self, table: _Table, item: Item) -> Item | None:
        prefix = prefix_of(item, table.partition)
        if self.tenant is None and prefix:
            return None
        schema = owner_of(table.schemas, item, prefix)
        if schema is None:
            self.left_out += not is_reserved(item, table.partition, prefix)
            return None
        if not self.include_expired and schema.has_expired(item, self.context.now()):
            return None
        fields = schema.without_prefix(item, prefix)
        names = [*schema.by_attribute]
        if schema.keeps_extra:
            names += sorted(fields.keys() - schema.by_attribute.keys() - schema.hidden)
        else:
            self.dropped += len(fields.keys() - schema.by_attribute.keys() - schema.hidden)
        self.unfit += not _fits(schema, fields)
        plain = {name: to_plain(fields[name]) for name in names if name in fields}
        return {"model": schema.name, "tenant": tenant_of(prefix), "item": plain}

    async def tell(self, table: _Table) -> None:
        if self.report is not None:
            told = self.report(self.progress(table))
            if inspect.isawaitable(told):
                await told

    def progress(self, table: _Table) -> ExportProgress:
        seconds = time.monotonic() - self.began
        total = self.total if self.counted else 0
        return ExportProgress(
            table.name,
            self.items,
            self.scanned,
            self.read_units,
            self.left_out,
            total,
            seconds,
            self.dropped,
            self.unfit,
        )


def _fits(schema: Schema[Any], fields: Item) -> bool:
    """Tell whether an import would take an item."""
    try:
        instance: Any = schema.decode(fields, "")
        schema.encode_fields(instance.__dict__, instance.model_extra)
    except (InvalidItem, InvalidValue):
        return False
    return True


async def export_items(
    database: Database,
    models: Iterable[type[Model]],
    write: Callable[[bytes], object],
    *,
    tenant: str | EveryTenant | None = EVERY_TENANT,
    raw: bool = False,
    tables: Iterable[str] = (),
    segments: int = 1,
    read_units: float | None = None,
    consistent: bool = False,
    include_expired: bool = False,
    report: Callable[[ExportProgress], Awaitable[None] | None] | None = None,
) -> ExportProgress:
    """Write each item of the models as a line: ``{"model": "User", "tenant": "acme", "item": {"id": "1", ...}}``.

    An item is what is stored of the model's fields, by attribute, as `plain` writes it; no hook is called. Keys that
    templates make, and the claims of unique values, are left out: `import_items` makes them anew. Tables are read once,
    whatever the number of models in them, and never held in memory.

    tenant: only the items of this one, None for those of no tenant.
    raw: write ``{"table": "app", "item": {"pk": {"S": ...}, ...}}`` instead, every item of the models' tables, of
    whatever kind, in DynamoDB's own form. tables: further tables to read so, by their names in the models.
    segments: how many to read at once. read_units: at most so many a second.
    include_expired: also items whose time to live is over; raw has them anyway.
    report: called, async or not, after each page.
    """
    if not isinstance(tenant, EveryTenant):
        check_tenant(tenant)
    if segments < 1:
        raise UsageError(f"segments={segments}: give a whole number from 1")
    if read_units is not None and not read_units > 0:
        raise UsageError(f"read_units={read_units:g}: give a number above 0")
    context = database.unscoped("export").context()
    found = _tables(models, tables if raw else (), context, raw=raw)
    pace = Pace(read_units, context.transport.sleep) if read_units is not None else None
    export = _Export(context, write, tenant, raw, segments, consistent, include_expired, pace, report)
    for table in found:
        await export.describe(table)
    for table in found:
        await export.run(table)
    return export.progress(found[-1])


def _tables(models: Iterable[type[Model]], names: Iterable[str], context: Context, *, raw: bool) -> list[_Table]:
    schemas = [schema_of(model) for model in models]
    by_model = named(schemas)
    of_table: dict[str, list[Schema[Any]]] = {name: [] for name in names}
    for schema in by_model.values():
        of_table.setdefault(schema.table.name, []).append(schema)
    if not of_table:
        raise UsageError("there is nothing to export: give models" + (" or tables" if raw else ""))
    if not raw:
        for sharing in of_table.values():
            check_owners(sharing)
    return [_Table(name, context.table_name(name), sharing) for name, sharing in of_table.items()]
