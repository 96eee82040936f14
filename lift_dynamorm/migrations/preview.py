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

EXAMPLES = 3
_SHOWN = 60


async def preview(name: str, rewriter: Rewriter, work: Work) -> str:
    """Count what the transform of this name would change, and show some of it."""
    context = work.session.context()
    first = rewriter.request(context.table(rewriter.source))
    scanned = transformed = left = failed = 0
    lines: list[str] = []
    parts = [part for part in await _parts(work) if part is not None] if rewriter.condition is None else [{}]
    resumed = parts != [{}]
    while parts:
        request = {**first, **parts[0]}
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
                if failed <= EXAMPLES:
                    lines.append(f"  would fail: {error}")
                continue
            if rewrite is None:
                left += 1
                continue
            transformed += 1
            if transformed <= EXAMPLES:
                lines += _example(rewriter.source, item, rewrite)
        if answer.get("LastEvaluatedKey"):
            parts[0] = {**parts[0], "ExclusiveStartKey": answer["LastEvaluatedKey"]}
        else:
            parts.pop(0)
        if work.limit is not None and scanned >= work.limit:
            break
    rest = (" of those left" if resumed else "") + (" so far; the table goes on" if parts else "")
    head = f"{name}: {scanned:,} items read{rest}: {transformed:,} to transform, {left:,} to leave"
    work.failed = failed
    return "\n".join([f"{head}, {failed:,} that would fail" if failed else head, *lines])


async def _parts(work: Work) -> list[Item | None]:
    """Give for each segment where its scan goes on, as of the run that was cut short; None for one that has ended."""
    if work.state is None:
        return [{}]
    count = work.state["segments"]
    parts: list[Item | None] = []
    for number in range(count):
        state = await work.saved(str(number))
        at = {} if state is None else state["at"]
        part = {"Segment": number, "TotalSegments": count} if count > 1 else {}
        parts.append(None if at is None else {**part, **({"ExclusiveStartKey": at} if at else {})})
    return parts


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
