"""Read one item by its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lift_dynamorm.operations.read import note_read

if TYPE_CHECKING:
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.unit_of_work import UnitOfWork

    Item = dict[str, Any]


async def current_item(
    context: Context, unit: UnitOfWork | None, schema: Schema[Any], key: Item, *, consistent: bool
) -> Item | None:
    """Give the item under a key, whatever it is, as the open transaction leaves it."""
    if unit is None:
        return await get_item(context, schema, key, consistent=consistent)
    pending = unit.find(schema, key)
    if pending is not None:
        return pending.after
    item = await get_item(context, schema, key, consistent=consistent or unit.keeps_reads)
    note_read(context, unit, schema, key, item)
    return item


async def get_item(context: Context, schema: Schema[Any], key: Item, *, consistent: bool) -> Item | None:
    """Read the stored item, whatever it is; None where there is none."""
    payload: dict[str, Any] = {"TableName": context.table(schema), "Key": key}
    if consistent:
        payload["ConsistentRead"] = True
    return (await context.send("GetItem", payload)).get("Item")
