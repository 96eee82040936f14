"""Read and write many items, in as many requests as that takes."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from lift_dynamorm.errors import BatchIncomplete, DynamORMError, RequestRefused, ServiceError, Throttled
from lift_dynamorm.key import Found
from lift_dynamorm.model import Model
from lift_dynamorm.operations.concurrency import at_once
from lift_dynamorm.operations.lookup import Lookup
from lift_dynamorm.unit_of_work import identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from lift_dynamorm.key import Key
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.operations.write import Write
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.unit_of_work import Identity, UnitOfWork

    Item = dict[str, Any]
    Place = tuple[Any, ...]
    Reference = tuple[Schema[Any], Item]

M = TypeVar("M", bound=Model)

MAX_KEYS = 100
MAX_WRITES = 25
MAX_BYTES = 16 * 1024 * 1024
CONCURRENCY = 4
_AROUND = 300  # bytes that a request may take around an item, the name of its table included


async def batch_get(
    context: Context, unit: UnitOfWork | None, keys: Iterable[Key[M]], *, consistent: bool, expired: bool
) -> Found[M]:
    """Find the items under any number of keys, as the open transaction leaves them."""
    lookup = Lookup(context, unit, keys)
    consistent = consistent or (unit is not None and unit.keeps_reads)
    try:
        stored = await get_items(context, lookup.to_read, consistent=consistent)
    except BatchIncomplete as error:
        unread = {identity(schema, key) for schema, key in error.unprocessed}
        error.unprocessed = tuple(key for place, key in lookup.keys.items() if place[1] in unread)
        error.found = _found(lookup, await lookup.load(error.found, expired=expired, unread=unread))
        raise
    return _found(lookup, await lookup.load(stored, expired=expired))


def _found(lookup: Lookup[M], items: Mapping[Any, M | None]) -> Found[M]:
    return Found(
        tuple(item for item in items.values() if item is not None),
        tuple(lookup.keys[place] for place, item in items.items() if item is None),
    )


async def get_items(
    context: Context,
    keys: Iterable[Reference],
    *,
    consistent: bool,
    projection: tuple[str, Mapping[str, str]] | None = None,
    concurrency: int = CONCURRENCY,
) -> dict[Identity, Item]:
    """Read the stored items under any number of keys; one that is not there is not in the answer.

    Each key is sent once, 100 in a request, `concurrency` requests at a time; what DynamoDB leaves unprocessed is
    asked for again until the deadline. projection: the expression and its names, which must cover the table's key.
    Raises BatchIncomplete with the `keys` that were not read as `unprocessed`, and the others' items as `found`.
    """
    places, wanted = locate(context, keys)
    schemas = {place[0]: schema for place, (schema, _) in wanted.items()}
    unread = dict.fromkeys(wanted)
    found: dict[Place, Item] = {}
    options: dict[str, Any] = {"ConsistentRead": True} if consistent else {}
    if projection is not None:
        options["ProjectionExpression"], options["ExpressionAttributeNames"] = projection

    def request(chunk: Iterable[Place]) -> Item:
        tables: Item = {}
        for place in chunk:
            tables.setdefault(place[0], {"Keys": [], **options})["Keys"].append(wanted[place][1])
        return tables

    def note(chunk: Iterable[Place], answer: Item) -> list[Place]:
        for table, items in answer.get("Responses", {}).items():
            found.update((_place(table, schemas[table], item), item) for item in items)
        rest = answer.get("UnprocessedKeys") or {}
        left = [_place(table, schemas[table], key) for table, entry in rest.items() for key in entry["Keys"]]
        for place in set(chunk).difference(left):
            del unread[place]
        return left

    def answer() -> dict[Identity, Item]:
        return {at: found[place] for at, place in places.items() if place in found}

    order = list(wanted)
    chunks = (order[start : start + MAX_KEYS] for start in range(0, len(order), MAX_KEYS))
    jobs = [_send(context, "BatchGetItem", chunk, request, note) for chunk in chunks]
    try:
        await at_once(jobs, concurrency, blocking=context.blocking)
    except RequestRefused:
        raise
    except ServiceError as error:
        msg = f"{len(unread)} of {len(wanted)} keys were not read: {error}"
        left = (wanted[place] for place in unread)
        raise BatchIncomplete(msg, operation="BatchGetItem", unprocessed=left, found=answer()) from error
    return answer()


async def write_items(context: Context, writes: Iterable[Write], *, concurrency: int = CONCURRENCY) -> None:
    """Send puts and deletions, without their conditions; of two writes to one item only the last.

    25 in a request, `concurrency` requests at a time; what DynamoDB leaves unprocessed is sent again until the
    deadline. An instance shows what is stored once that is known.
    Raises BatchIncomplete with the writes that are not known to be done as `unprocessed`.
    """
    waiting: dict[Place, Write] = {}
    for write in writes:
        waiting[_place(context.table(write.schema), write.schema, write.key)] = write
    schemas = {place[0]: write.schema for place, write in waiting.items()}
    asked = len(waiting)

    def request(chunk: Iterable[Place]) -> Item:
        tables: Item = {}
        for place in chunk:
            tables.setdefault(place[0], []).append(_entry(waiting[place]))
        return tables

    def note(chunk: Iterable[Place], answer: Item) -> list[Place]:
        rest = answer.get("UnprocessedItems") or {}
        left = [_place(table, schemas[table], _key_in(entry)) for table, entries in rest.items() for entry in entries]
        for place in set(chunk).difference(left):
            write = waiting.pop(place)
            write.settle(write.item, context.prefix)
        return left

    jobs = [_send(context, "BatchWriteItem", chunk, request, note) for chunk in _chunks(waiting)]
    try:
        await at_once(jobs, concurrency, blocking=context.blocking)
    except DynamORMError as error:
        msg = f"{len(waiting)} of {asked} writes were not made, or are not known to have been: {error}"
        raise BatchIncomplete(msg, operation="BatchWriteItem", unprocessed=waiting.values()) from error


def _entry(write: Write) -> Item:
    if write.kind == "put":
        return {"PutRequest": {"Item": write.item}}
    return {"DeleteRequest": {"Key": write.key}}


def _key_in(entry: Item) -> Item:
    """Give what holds the key in one entry of a BatchWriteItem."""
    key: Item = entry["PutRequest"]["Item"] if "PutRequest" in entry else entry["DeleteRequest"]["Key"]
    return key


def _chunks(writes: Mapping[Place, Write]) -> Iterator[list[Place]]:
    """Cut a batch into requests of 25 writes, and of 16 MB as they are sent."""
    chunk: list[Place] = []
    size = 0
    for place, write in writes.items():
        takes = len(orjson.dumps(_entry(write))) + _AROUND
        if len(chunk) == MAX_WRITES or (chunk and size + takes > MAX_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(place)
        size += takes
    if chunk:
        yield chunk


async def _send(
    context: Context,
    operation: str,
    chunk: list[Place],
    request: Callable[[Iterable[Place]], Item],
    note: Callable[[Iterable[Place], Item], list[Place]],
) -> None:
    """Send one request of a batch, and what it leaves unprocessed again until the deadline.

    note: keep what an answer says, and tell what is left. Raises Throttled where something is left in the end.
    """
    transport = context.transport
    deadline = transport.limit(context.deadline)
    context = replace(context, deadline=deadline)
    for attempts in count(1):
        chunk = note(chunk, await context.send(operation, {"RequestItems": request(chunk)}))
        if not chunk:
            return
        if not await transport.backoff(attempts, deadline):
            msg = f"DynamoDB left {len(chunk)} unprocessed at attempt {attempts}, and there is no time for another"
            raise Throttled(msg, operation=operation)


def locate(context: Context, keys: Iterable[Reference]) -> tuple[dict[Identity, Place], dict[Place, Reference]]:
    """Tell where DynamoDB keeps items, each place once: two tables of models may be one there."""
    places: dict[Identity, Place] = {}
    wanted: dict[Place, Reference] = {}
    for schema, key in keys:
        at = identity(schema, key)
        places[at] = place = _place(context.table(schema), schema, key)
        wanted.setdefault(place, (schema, key))
    return places, wanted


def _place(table: str, schema: Schema[Any], key: Mapping[str, Any]) -> Place:
    return (table, *identity(schema, key)[1:])
