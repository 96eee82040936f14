"""Read one item by its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]


async def get_item(context: Context, schema: Schema[Any], key: Item, *, consistent: bool) -> Item | None:
    """Read the stored item, whatever it is; None where there is none."""
    payload: dict[str, Any] = {"TableName": context.table(schema), "Key": key}
    if consistent:
        payload["ConsistentRead"] = True
    return (await context.send("GetItem", payload)).get("Item")
