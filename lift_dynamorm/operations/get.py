"""Read one item by its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lift_dynamorm.operations.read import note_read

if TYPE_CHECKING:
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.unit_of_work import Pending, UnitOfWork

    Item = dict[str, Any]


async def current_item(
    context: Context, unit: UnitOfWork | None, schema: Schema[Any], key: Item, *, consistent: bool
) -> Item | None:
    """Give the item under a key, whatever it is, as the open transaction leaves it."""
    if unit is None:
        return await get_item(context, schema, key, consistent=consistent)
    pending = unit.find(schema, key)
    if pending is not None:
        await confirm(context, unit, pending)
        return pending.after
    item = await get_item(context, schema, key, consistent=consistent or unit.keeps_reads)
    note_read(context, unit, schema, key, item)
    return item


async def confirm(context: Context, unit: UnitOfWork, *pendings: Pending) -> None:
    """Read what is stored where a pending update knows it only from an instance, before its outcome is shown.

    Where reads are kept, showing the outcome of an update is a reading of what is stored.
    """
    for pending in pendings:
        write = pending.write
        if not pending.confirmed:
            pending.confirm(await get_item(context, write.schema, write.key, consistent=True))
        if write.kind == "update":
            note_read(context, unit, write.schema, write.key, pending.before)


async def get_item(context: Context, schema: Schema[Any], key: Item, *, consistent: bool) -> Item | None:
    """Read the stored item, whatever it is; None where there is none."""
    payload: dict[str, Any] = {"TableName": context.table(schema), "Key": key}
    if consistent:
        payload["ConsistentRead"] = True
    return (await context.send("GetItem", payload)).get("Item")
