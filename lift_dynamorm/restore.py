"""Read fields back out of the keys that are made of them, for an index that holds the keys but not the fields."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from lift_dynamorm.keys import SEPARATOR, plain_number

if TYPE_CHECKING:
    from lift_dynamorm.indexes import Index, KeyAttribute
    from lift_dynamorm.keys import KeyTemplate, Part
    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]

_ESCAPED = re.compile(r'"(["$])')
_DIGIT_COMPLEMENT = str.maketrans("0123456789", "9876543210")


def restorable(schema: Schema[Any], index: Index) -> frozenset[str]:
    """Name the attributes that can be read out of the keys of the table and of an index."""
    return frozenset(
        attribute
        for key in _templates(schema, index)
        for attribute in key.fields
        if _tag(schema, attribute) is not None
    )


def restore(schema: Schema[Any], index: Index, item: Item, prefix: str) -> Item:
    """Add to an item the fields that its keys are made of, as it stores them: the tenant in front of partition keys."""
    restored = dict(item)
    for key in _templates(schema, index):
        text = item[key.attribute]["S"].removeprefix(prefix if key.prefixed else "")
        assert key.template is not None
        match = _pattern(key.template).fullmatch(text)
        for part, value in zip(key.template.parts, match.groups() if match else (), strict=False):
            attribute = part.field
            tag = _tag(schema, attribute)
            if tag is not None and attribute not in restored:
                read = _value(part, tag, value, ordered=key.template.ordered)
                restored[attribute] = {tag: prefix + read if tag == "S" and attribute in schema.prefixed else read}
    return restored


def _templates(schema: Schema[Any], index: Index) -> list[KeyAttribute]:
    keys = (*schema.key.partition, *schema.key.sort, *index.partition, *index.sort)
    return [key for key in keys if key.template is not None]


def _tag(schema: Schema[Any], attribute: str) -> str | None:
    """Tell the one DynamoDB type of a field; None where it has several, which the key does not tell apart."""
    tags = schema.by_attribute[attribute].codec.tags
    return next(iter(tags)) if len(tags) == 1 else None


@cache
def _pattern(template: KeyTemplate) -> re.Pattern[str]:
    first, *rest = map(re.escape, template.literals)
    guard = "" if template.ordered or template.literals[0] else '(?:"(?=@))?'  # what `KeyTemplate.render` puts there
    return re.compile(first + guard + "".join(f"([^{SEPARATOR}]*){literal}" for literal in rest), re.DOTALL)


def _value(part: Part, tag: str, text: str, *, ordered: bool) -> Any:
    """Undo `Part.text`."""
    if tag == "S":
        return _ESCAPED.sub(lambda match: SEPARATOR if match[1] == "$" else match[1], text)
    if tag == "BOOL":
        return text == "true"
    if part.width or not ordered or text == "0":
        return plain_number(text)
    if text[0] == "1":
        exponent, digits, sign = int(text[1:4]) - 200, text[4:], ""
    else:
        exponent, digits, sign = 799 - int(text[1:4]), text[4:-1].translate(_DIGIT_COMPLEMENT), "-"
    return plain_number(f"{sign}{digits[0]}.{digits[1:]}E{exponent}")
