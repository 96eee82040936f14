"""Where a copy has come to in the source's stream, kept in the target table for the switch that follows."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from lift_dynamorm.errors import MigrationError, RequestRefused
from lift_dynamorm.keys import RESERVED, escape
from lift_dynamorm.migrations.journal import failed_at
from lift_dynamorm.streams.shards import Position

if TYPE_CHECKING:
    from lift_dynamorm.migrations.conversion import Conversion
    from lift_dynamorm.migrations.steps import Work

    Item = dict[str, Any]

_SORT = {"S": {"S": RESERVED}, "N": {"N": "0"}, "B": {"B": b64encode(RESERVED.encode()).decode()}}


async def hand_over(work: Work, conversion: Conversion[Any, Any], position: Position) -> None:
    """Keep a position, as long as the lease is held. A target whose partition key is not text can keep none."""
    key = _key(conversion)
    if key is None:
        return
    item = {**key, "@position": {"S": str(position)}}
    put = {"Put": {"TableName": work.session.context().table(conversion.target), "Item": item}}
    request = {"TransactItems": [work.fence(), put], "ClientRequestToken": str(uuid4())}
    try:
        await work.transport.send("TransactWriteItems", request)
    except RequestRefused as error:
        if failed_at(error) is None:
            raise
        work.check()
        raise


async def handed_over(work: Work, conversion: Conversion[Any, Any]) -> Position:
    """Read the position that was kept last. Raises MigrationError where there is none."""
    key = _key(conversion)
    source, target = conversion.source.name, conversion.target.name
    if key is None:
        raise MigrationError(
            f"the partition key of {target} is not text, so Copy could not keep in its table how far it had come. Stop "
            f"those who write {source}, and run Copy({source}, {target}, ...) once more instead of Switch"
        )
    table = work.session.context().table(conversion.target)
    answer = await work.transport.send("GetItem", {"TableName": table, "Key": key, "ConsistentRead": True})
    if "Item" not in answer:
        raise MigrationError(f"{source} was not copied to {target}: Switch comes after Copy({source}, {target}, ...)")
    return Position.parse(answer["Item"]["@position"]["S"])


def _key(conversion: Conversion[Any, Any]) -> Item | None:
    target = conversion.target
    if target.partition.tag != "S":
        return None
    parts = (conversion.source.table.name, conversion.source.name, target.name)
    key: Item = {target.partition.attribute: {"S": "#".join((f"{RESERVED}copy", *map(escape, parts)))}}
    if target.sort is not None:
        key[target.sort.attribute] = _SORT[target.sort.tag]
    return key
