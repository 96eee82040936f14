"""Single values <-> DynamoDB's typed JSON: one encoder and one decoder for each type, and for untyped values.

Limits are DynamoDB's: numbers have up to 38 digits and lie between 1e-130 and 9.99e125 in magnitude
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html).
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import Secret, SecretBytes, SecretStr

from lift_dynamorm.errors import InvalidValue

if TYPE_CHECKING:
    from collections.abc import Callable

Wire = dict[str, Any]
NULL_WIRE: Wire = {"NULL": True}
MAX_DIGITS = 38
EXACT = Context(prec=MAX_DIGITS)
_INT_LIMIT = 10**MAX_DIGITS
_MAX_MAGNITUDE = 125
_MIN_MAGNITUDE = -130


def refuse(value: object, wanted: str) -> InvalidValue:
    return InvalidValue(f"{value!r:.200} ({type(value).__name__}) is not {wanted}")


# -- scalars ---------------------------------------------------------------------------------------------------------


def encode_text(value: Any) -> Wire:
    if not isinstance(value, str):
        raise refuse(value, "text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise refuse(value, "valid Unicode: it holds a lone surrogate") from None
    return {"S": value}


def encode_bytes(value: Any) -> Wire:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise refuse(value, "bytes")
    return {"B": b64encode(value).decode("ascii")}


def decode_bytes(wire: Wire) -> bytes:
    return b64decode(wire["B"])


def encode_bool(value: Any) -> Wire:
    if value is not True and value is not False:
        raise refuse(value, "a bool")
    return {"BOOL": value}


def encode_int(value: Any) -> Wire:
    if not isinstance(value, int) or isinstance(value, bool):
        raise refuse(value, "a whole number")
    if not -_INT_LIMIT < value < _INT_LIMIT:
        return encode_decimal(Decimal(value))
    return {"N": int.__repr__(value)}


def encode_decimal(value: Any) -> Wire:
    if isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    if not isinstance(value, Decimal):
        raise refuse(value, "a Decimal")
    if not value.is_finite():
        raise refuse(value, "a finite number: DynamoDB stores neither NaN nor infinity")
    if not value:
        return {"N": "0"}
    text = str(value)
    if len(text) <= MAX_DIGITS and _MIN_MAGNITUDE <= value.adjusted() <= _MAX_MAGNITUDE:
        return {"N": text}
    digits = value.as_tuple().digits
    significant = len("".join(map(str, digits)).rstrip("0")) if len(digits) > MAX_DIGITS else len(digits)
    if significant > MAX_DIGITS or not _MIN_MAGNITUDE <= value.adjusted() <= _MAX_MAGNITUDE:
        raise refuse(value, "a number DynamoDB can store: up to 38 significant digits, from 1e-130 to 9.99e125")
    if len(digits) > MAX_DIGITS:
        return {"N": f"{'-' if value < 0 else ''}{_scientific(value)}"}
    return {"N": text}


def _scientific(value: Decimal) -> str:
    digits = "".join(map(str, value.as_tuple().digits)).rstrip("0")
    return f"{digits[0]}.{digits[1:] or '0'}E{value.adjusted()}"


def encode_float(value: Any) -> Wire:
    if isinstance(value, int) and not isinstance(value, bool):
        return encode_int(value)
    if not isinstance(value, float):
        raise refuse(value, "a float")
    if not math.isfinite(value):
        raise refuse(value, "a finite number: DynamoDB stores neither NaN nor infinity")
    if value and not 1e-130 <= abs(value) < 1e126:
        raise refuse(value, "a number that DynamoDB can store: magnitudes run from 1e-130 to 9.99e125")
    return {"N": float.__repr__(value)}


def decode_int(wire: Wire) -> Any:
    text = wire["N"]
    try:
        return int(text)
    except ValueError:
        number = Decimal(text)
        return int(number) if number == number.to_integral_value() else number


def decode_float(wire: Wire) -> float:
    return float(wire["N"])


def decode_decimal(wire: Wire) -> Decimal:
    return Decimal(wire["N"])


def datetime_text(value: datetime) -> str:
    """Write an instant so that text order is time order: UTC, microseconds, ``Z``; naive stays naive."""
    if value.tzinfo is None:
        return value.isoformat(timespec="microseconds")
    try:
        utc = value if value.tzinfo is UTC else value.astimezone(UTC)
        return utc.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
    except OverflowError:
        raise refuse(value, "an instant between the years 1 and 9999 in UTC") from None


def encode_datetime(value: Any) -> Wire:
    if not isinstance(value, datetime):
        raise refuse(value, "a datetime")
    return {"S": datetime_text(value)}


def decode_datetime(wire: Wire) -> datetime:
    if "N" in wire:
        return datetime.fromtimestamp(float(wire["N"]), UTC)
    return datetime.fromisoformat(wire["S"])


def encode_date(value: Any) -> Wire:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise refuse(value, "a date")
    return {"S": value.isoformat()}


def decode_date(wire: Wire) -> date:
    return date.fromisoformat(wire["S"])


def encode_time(value: Any) -> Wire:
    if not isinstance(value, time):
        raise refuse(value, "a time of day")
    return {"S": value.isoformat(timespec="microseconds")}


def decode_time(wire: Wire) -> time:
    return time.fromisoformat(wire["S"])


def encode_timedelta(value: Any) -> Wire:
    if not isinstance(value, timedelta):
        raise refuse(value, "a timedelta")
    seconds = Decimal(value // timedelta(microseconds=1)).scaleb(-6)
    return {"N": format(seconds.normalize(), "f") if seconds else "0"}


def decode_timedelta(wire: Wire) -> timedelta:
    return timedelta(microseconds=int(Decimal(wire["N"]).scaleb(6)))


def encode_uuid(value: Any) -> Wire:
    if not isinstance(value, UUID):
        raise refuse(value, "a UUID")
    return {"S": str(value)}


def decode_uuid(wire: Wire) -> UUID:
    return UUID(wire["S"])


def encode_none(value: Any) -> Wire:
    if value is not None:
        raise refuse(value, "None")
    return NULL_WIRE


def decode_none(wire: Wire) -> None:
    return None


def encode_secret(encode: Callable[[Any], Wire], value: Any) -> Wire:
    if not isinstance(value, SecretStr | SecretBytes | Secret):
        raise refuse("(hidden)", "a pydantic secret")
    return encode(value.get_secret_value())


def encode_epoch(value: Any) -> Wire:
    """Write a time to live: whole seconds since 1970, cut off."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise refuse(value, "an instant: give the time to live a time zone, as in datetime.now(UTC)")
        value = math.floor(value.timestamp())
    return encode_int(value)


# -- values without an annotation --------------------------------------------------------------------------------------


def encode_any(value: Any) -> Wire:
    """Encode by the value's own type, for operands: beside a number field any number will do."""
    encode = _NUMBERS.get(type(value))
    return encode(value) if encode is not None else encode_untyped(value)


def encode_untyped(value: Any) -> Wire:
    """Encode by the value's own type what is read by its DynamoDB type: for `Any` and attributes that are no field."""
    kind = type(value)
    encode = _UNTYPED.get(kind)
    if encode is not None:
        return encode(value)
    if value is None:
        return NULL_WIRE
    if kind is list:
        return {"L": [encode_untyped(v) for v in value]}
    if kind is dict:
        return {"M": {_map_key(k): encode_untyped(v) for k, v in value.items()}}
    if kind is set or kind is frozenset:
        return _encode_any_set(value)
    raise _unequal(value)


def _unequal(value: object) -> InvalidValue:
    return InvalidValue(f"{value!r:.200} ({type(value).__name__}) would not read back equal here; declare its type")


def _map_key(key: Any) -> str:
    if not isinstance(key, str):
        raise refuse(key, "text: the keys of an untyped map are strings")
    return str(encode_text(key)["S"])


def _encode_any_set(value: Any) -> Wire:
    wires = [encode_untyped(v) for v in value]
    tags = {tag for wire in wires for tag in wire}
    if len(tags) == 1 and (tag := tags.pop()) in ("S", "N", "B"):
        return {tag + "S": [wire[tag] for wire in wires]}
    raise refuse(value, "a set DynamoDB can store: not empty, and all text, all numbers or all bytes")


def encode_exactly(value: Any) -> Wire:
    """Write a float where other numbers may stand: 1e23 in full, 99999999999999991611392, as 10**23 is another."""
    wire = encode_float(value)
    if not isinstance(value, float) or not value.is_integer():
        return wire
    try:
        return encode_int(int(value))
    except InvalidValue:
        raise _unequal(value) from None


def _encode_any_decimal(value: Decimal) -> Wire:
    """Take only what reads back as Decimal, not 0.5 and refuse 0.1."""
    wire = encode_decimal(value)
    if type(number_any(wire["N"])) is not Decimal:
        raise _unequal(value)
    return wire


_NUMBERS: dict[type, Callable[[Any], Wire]] = {int: encode_int, float: encode_float, Decimal: encode_decimal}
_UNTYPED: dict[type, Callable[[Any], Wire]] = {
    str: encode_text,
    int: encode_int,
    float: encode_exactly,
    bool: encode_bool,
    Decimal: _encode_any_decimal,
    bytes: encode_bytes,
    bytearray: encode_bytes,
}


def number_any(text: str) -> int | float | Decimal:
    """Read a whole number as int, another as float where that keeps every digit, otherwise as Decimal.

    How it is written does not matter: most engines write 1e+23 out in digits.
    """
    try:
        return int(text)
    except ValueError:
        exact = Decimal(text)
        if exact == exact.to_integral_value():
            return int(exact)
        near = float(text)
        return near if Decimal(repr(near)) == exact else exact


def decode_any(wire: Wire) -> Any:
    ((tag, value),) = wire.items()
    match tag:
        case "S" | "BOOL":
            return value
        case "N":
            return number_any(value)
        case "NULL":
            return None
        case "M":
            return {k: decode_any(v) for k, v in value.items()}
        case "L":
            return [decode_any(v) for v in value]
        case "B":
            return b64decode(value)
        case "SS":
            return set(value)
        case "NS":
            return {number_any(v) for v in value}
        case "BS":
            return {b64decode(v) for v in value}
    msg = f"unknown DynamoDB type {tag!r}"
    raise ValueError(msg)
