"""Whether models that share a table can be told apart by the keys of their items."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

from lift_dynamorm.errors import QueryError
from lift_dynamorm.keys import SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lift_dynamorm.keys import KeyTemplate
    from lift_dynamorm.schema import Schema

_FIELD = "\0"  # stands for a field of a template


def check_told_apart(schemas: Sequence[Schema[Any]]) -> None:
    """Refuse models that do not share a table, or of which an item of one could be taken for one of another's."""
    first, *others = schemas
    for other in others:
        if (first.table.name, first.key.attributes) != (other.table.name, other.key.attributes):
            msg = (
                f"including({other.name}): {other.name} is not stored in the table of {first.name}, under the same key"
            )
            raise QueryError(msg)
    for one, other in combinations(schemas, 2):
        pairs = zip((*one.key.partition, *one.key.sort), (*other.key.partition, *other.key.sort), strict=True)
        if not any(a.template and b.template and _disjoint(a.template, b.template) for a, b in pairs):
            raise QueryError(
                f"including(): {one.name} and {other.name} cannot be told apart by their keys; give each a template "
                f'with a text of its own, as in sk="{other.name.upper()}#{{...}}"'
            )


def _disjoint(one: KeyTemplate, other: KeyTemplate) -> bool:
    """Tell whether no text is a key of both templates: no value holds a ``#``, so their pieces between them compare."""
    ours, theirs = (_FIELD.join(template.literals).split(SEPARATOR) for template in (one, other))
    return len(ours) != len(theirs) or any(map(_differ, ours, theirs))


def _differ(one: str, other: str) -> bool:
    """Tell whether two pieces, each of text and at most one field, have no text in common."""
    (start, field, end), (other_start, other_field, other_end) = one.partition(_FIELD), other.partition(_FIELD)
    if not field and not other_field:
        return start != other_start
    if not field or not other_field:
        text, start, end = (start, other_start, other_end) if other_field else (other_start, start, end)
        return not (len(text) >= len(start + end) and text.startswith(start) and text.endswith(end))
    starts = start.startswith(other_start) or other_start.startswith(start)
    return not (starts and (end.endswith(other_end) or other_end.endswith(end)))
