"""Read one item by its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]


async def get_item(context: Context, schema: Schema[Any], key: Item, *, consistent: bool) -> Item | None:
    """Read the stored item; None where there is none, or it is not this tenant's."""
    payload: dict[str, Any] = {"TableName": context.table(schema), "Key": key}
    if consistent:
        payload["ConsistentRead"] = True
    item = (await context.send("GetItem", payload)).get("Item")
    if item is None or not schema.owns(item, context.prefix):
        return None
    return item  # type: ignore[no-any-return]  # JSON
