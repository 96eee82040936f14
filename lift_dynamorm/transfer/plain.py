"""Stored values as plain JSON, and back without a loss.

Text, bools, null, lists, objects and the numbers that every JSON reader takes exactly are written plainly:
``{"name": "Ann", "logins": 3}``. Everything else is an object of one entry, as DynamoDB writes it: ``{"SS": ["a"]}``,
``{"B": "AAE="}``, ``{"N": "0.1000000000000000055"}``. A map that could be taken for one of these is written as ``{"M":
...}``. So whatever is plain JSON can be read, and so can the items of other tools, in which every value has its type.
"""

from __future__ import annotations

from base64 import b64decode
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from lift_dynamorm.errors import InvalidValue
from lift_dynamorm.scalars import encode_decimal, encode_text, number_any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Wire = dict[str, Any]

_TAGS = frozenset({"S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"})
_SAFE = 2**53
"""What a double holds exactly, and so every JSON reader: https://www.rfc-editor.org/rfc/rfc8259#section-6"""


def to_plain(wire: Mapping[str, Any]) -> Any:
    """Write a value in wire form as JSON has it."""
    ((tag, value),) = wire.items()
    match tag:
        case "S" | "BOOL":
            return value
        case "NULL":
            return None
        case "N":
            number = number_any(value)
            exact = type(number) is float or (type(number) is int and abs(number) < _SAFE)
            return number if exact else {"N": value}
        case "L":
            return [to_plain(inner) for inner in value]
        case "M":
            inside = {name: to_plain(inner) for name, inner in value.items()}
            return {"M": inside} if len(inside) == 1 and not _TAGS.isdisjoint(inside) else inside
        case "SS" | "NS" | "BS":
            return {tag: sorted(value)}  # they have no order, and so one export is like the next
    return {tag: value}


def from_plain(value: Any) -> Wire:
    """Read a value out of JSON; `InvalidValue` for what DynamoDB cannot store.

    Numbers with a fraction are to be read as Decimal: ``json.loads(line, parse_float=Decimal)``.
    """
    if isinstance(value, str):
        return encode_text(value)
    if isinstance(value, bool):
        return {"BOOL": value}
    if value is None:
        return {"NULL": True}
    if isinstance(value, int | Decimal):
        return encode_decimal(value)
    if isinstance(value, list):
        return {"L": [from_plain(inner) for inner in value]}
    if isinstance(value, dict):
        if len(value) == 1 and not _TAGS.isdisjoint(value):
            return _tagged(*next(iter(value.items())))
        return {"M": _map(value)}
    raise InvalidValue(f"{value!r:.200} ({type(value).__name__}) is no JSON that can be stored")


def item_from_plain(item: Mapping[str, Any], *, typed: bool = False) -> dict[str, Wire]:
    """Read the attributes of an item. typed: each must say its type, as in DynamoDB's own form."""
    wires = {}
    for name, value in item.items():
        try:
            wires[_text(name)] = wire = from_plain(value)
            if typed and wire != value:
                raise InvalidValue(f'{value!r:.200} is not in DynamoDB\'s own form, as {{"S": "text"}} is')
        except InvalidValue as error:
            raise InvalidValue(f"{name}: {error}", field=name) from None
    return wires


def _tagged(tag: str, value: Any) -> Wire:
    """Check what is said to be a value in wire form."""
    match tag:
        case "M" if isinstance(value, dict):
            return {tag: _map(value)}
        case "L" if isinstance(value, list):
            return from_plain(value)
        case "SS" | "NS" | "BS" if isinstance(value, list) and value:
            texts = [_SCALARS[tag[0]](inner) for inner in value]
            if len(set(map(Decimal, texts) if tag == "NS" else texts)) == len(texts):
                return {tag: texts}
        case "S" | "N" | "B":
            return {tag: _SCALARS[tag](value)}
        case "BOOL" if isinstance(value, bool):
            return {tag: value}
        case "NULL" if value is True:
            return {tag: value}
    raise InvalidValue(f"{value!r:.200} is not what {tag!r} stands for in DynamoDB's own form")


def _map(value: Mapping[str, Any]) -> dict[str, Wire]:
    return {_text(name): from_plain(inner) for name, inner in value.items()}


def _text(value: Any) -> str:
    return str(encode_text(value)["S"])


def _number(value: Any) -> str:
    try:
        number = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        number = None
    if number is None:
        raise InvalidValue(f'{value!r:.200} is no number in DynamoDB\'s own form, which is text: {{"N": "1.5"}}')
    encode_decimal(number)
    return str(value)


def _base64(value: Any) -> str:
    try:
        b64decode(value, validate=True)
    except (TypeError, ValueError):
        raise InvalidValue(f"{value!r:.200} is no base64, which bytes are written in") from None
    return str(value)


_SCALARS: dict[str, Callable[[Any], str]] = {"S": _text, "N": _number, "B": _base64}
