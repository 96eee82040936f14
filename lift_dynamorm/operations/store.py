"""Make a planned write: at once, or as part of the open transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lift_dynamorm.model import stored_item
from lift_dynamorm.operations.get import current_item
from lift_dynamorm.operations.read import note_shown
from lift_dynamorm.operations.transact import commit_one
from lift_dynamorm.operations.unique import claims, pin, touched
from lift_dynamorm.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.operations.write import Write

    Item = dict[str, Any]


async def store(context: Context, unit: UnitOfWork | None, write: Write, before: Item | None = None) -> Item | None:
    """Send a write, or enroll it where a transaction is open. Returns the item as it is then.

    before: the item as stored, as far as the caller knows.
    """
    if write.schema.uniques and touched(write):
        item = await _store_with_claims(context, unit, write, before)
    elif unit is not None:
        item = unit.add(write, before, context.prefix)
    else:
        item = await write.send(context)
        write.settle(item, context.prefix)
    if write.kind == "update" and write.instance is not None:
        await note_shown(context, write.schema, write.instance)
    return item


async def _store_with_claims(
    context: Context, unit: UnitOfWork | None, write: Write, before: Item | None
) -> Item | None:
    """Write an item with the sibling items of its unique fields, in the open transaction or in one of its own."""
    stored = stored_item(write.instance) if write.instance is not None and write.expected is not None else None
    if write.verb == "create":
        before = None
    elif stored is not None:
        before = dict(stored)
    else:
        before = await current_item(context, unit, write.schema, write.key, consistent=True)
        pin(write, before)
    work = UnitOfWork() if unit is None else unit
    mark = work.mark()
    try:
        after = work.add(write, before, context.prefix)
        for claim in claims(context, write, before, after):
            work.add(claim, None, context.prefix)
    except BaseException:
        work.rollback(mark)
        raise
    if unit is None:
        await commit_one(context, work)
    return after
