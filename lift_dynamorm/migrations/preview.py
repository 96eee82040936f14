"""A dry run of a transform: what it would make of the items as they are, and of which it would make nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lift_dynamorm.errors import MigrationFailed, RequestRefused
from lift_dynamorm.scalars import decode_any

if TYPE_CHECKING:
    from lift_dynamorm.migrations.rewrite import Rewrite, Rewriter
    from lift_dynamorm.migrations.steps import Work
    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]

_EXAMPLES = 3
_SHOWN = 60


async def preview(name: str, rewriter: Rewriter, work: Work) -> str:
    """Count what the transform of this name would change, and show some of it."""
    context = work.session.context()
    request = rewriter.request(context.table(rewriter.source))
    scanned = transformed = left = failed = 0
    lines: list[str] = []
    while True:
        if work.limit is not None:
            request["Limit"] = max(1, work.limit - scanned)
        try:
            answer = await context.send("Scan", request)
        except RequestRefused as error:
            if error.code != "ResourceNotFoundException":
                raise
            return f"{name}: there is no table yet, and so nothing to transform"
        scanned += answer["ScannedCount"]
        for item in answer["Items"]:
            if rewriter.prefix_of(item) is None:
                continue
            try:
                rewrite = await rewriter.rewrite(item)
            except MigrationFailed as error:
                failed += 1
                if failed <= _EXAMPLES:
                    lines.append(f"  would fail: {error}")
                continue
            if rewrite is None:
                left += 1
                continue
            transformed += 1
            if transformed <= _EXAMPLES:
                lines += _example(rewriter.source, item, rewrite)
        request["ExclusiveStartKey"] = answer.get("LastEvaluatedKey")
        if not request["ExclusiveStartKey"] or (work.limit is not None and scanned >= work.limit):
            break
    rest = " so far; the table goes on" if request["ExclusiveStartKey"] else ""
    head = f"{name}: {scanned:,} items read{rest}: {transformed:,} to transform, {left:,} to leave"
    return "\n".join([f"{head}, {failed:,} that would fail" if failed else head, *lines])


def _example(schema: Schema[Any], item: Item, rewrite: Rewrite) -> list[str]:
    lines = [f"  {', '.join(f'{a}={_shown(wire)}' for a, wire in schema.key_of_item(item).items())}"]
    if not rewrite.after:
        return [*lines, "    deleted"]
    for new in rewrite.after:
        lines += [f"    - {a}: {_shown(wire)}" for a, wire in sorted(item.items()) if wire != new.get(a)]
        lines += [f"    + {a}: {_shown(wire)}" for a, wire in sorted(new.items()) if wire != item.get(a)]
    return lines


def _shown(wire: Item) -> str:
    text = repr(decode_any(wire))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
