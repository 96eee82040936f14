"""How values of a type are stored: an encoder and a decoder, made of those of its parts.

One codec serves every path: items, keys, conditions, updates, batches, transactions. What it writes reads
back equal; what would not is refused, when the class is defined where that can be told, else before the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from operator import itemgetter
from typing import Any, Literal, get_args, get_origin
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    FutureDate,
    FutureDatetime,
    NaiveDatetime,
    PastDate,
    PastDatetime,
    Secret,
    SecretBytes,
    SecretStr,
)

from lift_dynamorm.conditions import same
from lift_dynamorm.errors import DefinitionError, InvalidValue
from lift_dynamorm.scalars import (
    EXACT,
    NULL_WIRE,
    Wire,
    decode_any,
    decode_bytes,
    decode_date,
    decode_datetime,
    decode_decimal,
    decode_float,
    decode_int,
    decode_none,
    decode_time,
    decode_timedelta,
    decode_uuid,
    encode_any,
    encode_bool,
    encode_bytes,
    encode_date,
    encode_datetime,
    encode_decimal,
    encode_epoch,
    encode_exactly,
    encode_float,
    encode_int,
    encode_none,
    encode_secret,
    encode_text,
    encode_time,
    encode_timedelta,
    encode_untyped,
    encode_uuid,
    refuse,
)

_ANY_TAG = frozenset({"?"})
_NOTHING = object()
_SECRETS = (SecretStr, SecretBytes, Secret)
_NO_LISTS = (str, bytes, Mapping, set, frozenset)


@dataclass(frozen=True, slots=True)
class Codec:
    """How values of one annotation are stored.

    tags: the DynamoDB types it writes, ``{"S"}``; ``{"?"}`` where only the value tells.
    kinds: the Python classes it takes, by which a union picks its member.
    nullable: None is one of its values.
    """

    tags: frozenset[str]
    encode: Callable[[Any], Wire]
    decode: Callable[[Wire], Any]
    kinds: tuple[type, ...] = (object,)
    nullable: bool = False
    is_set: bool = False
    element: Codec | None = None
    model: type[BaseModel] | None = None


_S, _N, _B = frozenset({"S"}), frozenset({"N"}), frozenset({"B"})

ANY = Codec(_ANY_TAG, encode_untyped, decode_any, nullable=True)
EPOCH = Codec(_N, encode_epoch, decode_datetime, (datetime, int))
EPOCH_SECONDS = Codec(_N, encode_epoch, decode_int, (datetime, int))
_NONE = Codec(frozenset({"NULL"}), encode_none, decode_none, (type(None),), nullable=True)

_TEXT = itemgetter("S")

SCALARS: dict[Any, Codec] = {
    str: Codec(_S, encode_text, _TEXT, (str,)),
    bool: Codec(frozenset({"BOOL"}), encode_bool, itemgetter("BOOL"), (bool,)),
    int: Codec(_N, encode_int, decode_int, (int,)),
    float: Codec(_N, encode_float, decode_float, (float, int)),
    Decimal: Codec(_N, encode_decimal, decode_decimal, (Decimal,)),
    bytes: Codec(_B, encode_bytes, decode_bytes, (bytes,)),
    bytearray: Codec(_B, encode_bytes, decode_bytes, (bytearray,)),
    datetime: Codec(_S, encode_datetime, decode_datetime, (datetime,)),
    date: Codec(_S, encode_date, decode_date, (date,)),
    time: Codec(_S, encode_time, decode_time, (time,)),
    timedelta: Codec(_N, encode_timedelta, decode_timedelta, (timedelta,)),
    UUID: Codec(_S, encode_uuid, decode_uuid, (UUID,)),
    SecretStr: Codec(_S, partial(encode_secret, encode_text), itemgetter("S"), (SecretStr,)),
    SecretBytes: Codec(_B, partial(encode_secret, encode_bytes), decode_bytes, (SecretBytes,)),
    type(None): _NONE,
    None: _NONE,
    Any: ANY,
    object: ANY,
}
SCALARS |= dict.fromkeys((AwareDatetime, NaiveDatetime, PastDatetime, FutureDatetime), SCALARS[datetime])
SCALARS |= dict.fromkeys((PastDate, FutureDate), SCALARS[date])


def decode_lenient(codec: Codec, wire: Wire) -> Any:
    """Decode what may have been written otherwise; pydantic has the last word on what comes out."""
    if "NULL" in wire:
        return None
    try:
        return codec.decode(wire)
    except (KeyError, ValueError, TypeError, ArithmeticError):
        return decode_any(wire)


def nested_coders(wire_codec: Codec) -> tuple[Callable[[Any], Wire], Callable[[Wire], Any]]:
    """Coders for a value inside a list, map or tuple, where absence cannot stand for None or an empty set."""
    encode, decode = wire_codec.encode, wire_codec.decode
    if wire_codec.is_set:

        def encode_set(value: Any) -> Wire:
            return encode(value) if value or value is None else {"L": []}

        return encode_set, decode
    return encode, decode


def sequence_codec(element: Codec, kind: type) -> Codec:
    """Store a list, or what is like one."""
    encode_element, decode_element = nested_coders(element)
    wanted = "a list" if kind is list else f"a {kind.__name__.lower()}"

    def encode(value: Any) -> Wire:
        if type(value) is not list and (isinstance(value, _NO_LISTS) or not hasattr(value, "__iter__")):
            raise refuse(value, wanted)
        return {"L": [encode_element(v) for v in value]}

    def decode(wire: Wire) -> Any:
        return [decode_element(v) for v in wire["L"]]

    return Codec(frozenset({"L"}), encode, decode, (list, kind), element=element)


def tuple_codec(elements: Sequence[Codec], *, repeated: bool) -> Codec:
    """Store a tuple: of one element any number of times, or of these."""
    coders = [nested_coders(element) for element in elements]
    encode_element, decode_element = coders[0] if repeated else nested_coders(ANY)

    def encode(value: Any) -> Wire:
        if not isinstance(value, tuple | list) or (not repeated and len(coders) != len(value)):
            raise refuse(value, "a tuple" if repeated else f"a tuple of {len(coders)}")
        if repeated:
            return {"L": [encode_element(v) for v in value]}
        return {"L": [encode(v) for (encode, _), v in zip(coders, value, strict=True)]}

    def decode(wire: Wire) -> Any:
        values = wire["L"]
        if repeated:
            return tuple(decode_element(v) for v in values)
        if len(values) != len(coders):
            return tuple(decode_any(v) for v in values)
        return tuple(decode(v) for (_, decode), v in zip(coders, values, strict=True))

    return Codec(frozenset({"L"}), encode, decode, (tuple,))


def mapping_codec(key: Codec, element: Codec, where: str) -> Codec:
    """Store a dict as a map; its keys as the text of their values."""
    if key.nullable or (key.tags != _S and key.tags != _N):
        msg = f"{where}: the keys of a map are stored as text, and are text, numbers, dates or ids"
        raise DefinitionError(msg)
    (key_tag,) = key.tags
    encode_element, decode_element = nested_coders(element)
    decode_key = key.decode

    def encode(value: Any) -> Wire:
        if not isinstance(value, Mapping):
            raise refuse(value, "a dict")
        return {"M": {key.encode(k)[key_tag]: encode_element(v) for k, v in value.items()}}

    def decode(wire: Wire) -> Any:
        if key_tag == "S" and decode_key is SCALARS[str].decode:
            return {k: decode_element(v) for k, v in wire["M"].items()}
        return {decode_key({key_tag: k}): decode_element(v) for k, v in wire["M"].items()}

    return Codec(frozenset({"M"}), encode, decode, (dict,), element=element)


def set_codec(element: Codec) -> Codec:
    """Store a set as SS, NS or BS where DynamoDB has one for its values."""
    if element is ANY:
        return Codec(_ANY_TAG, encode_untyped, decode_any, (set, frozenset), is_set=True)
    if len(element.tags) != 1 or not element.tags <= {"S", "N", "B"} or element.nullable:
        return _set_as_list(element)
    (tag,) = element.tags
    set_tag = tag + "S"

    def encode(value: Any) -> Wire:
        if type(value) is not set and not isinstance(value, frozenset | set):
            raise refuse(value, "a set")
        if not value:
            msg = "an empty set cannot be stored here; remove the attribute instead"
            raise InvalidValue(msg)
        return {set_tag: [element.encode(v)[tag] for v in value]}

    def decode(wire: Wire) -> Any:
        if "L" in wire:
            return {element.decode(v) for v in wire["L"]}
        if element.decode is _TEXT:
            return set(wire[set_tag])
        return {element.decode({tag: v}) for v in wire[set_tag]}

    return Codec(frozenset({set_tag}), encode, decode, (set, frozenset), is_set=True, element=element)


def _set_as_list(element: Codec) -> Codec:
    """Store a set whose values DynamoDB has no set type for as a sorted list; pydantic makes it a set again.

    Sorted, because equal sets must be stored alike: for conditions, and to see that nothing was changed.
    """
    encode_element, decode_element = nested_coders(element)

    def encode(value: Any) -> Wire:
        if not isinstance(value, set | frozenset):
            raise refuse(value, "a set")
        return {"L": sorted([encode_element(v) for v in value], key=_sort_key)}

    def decode(wire: Wire) -> Any:
        values = [decode_element(v) for v in wire["L"]]
        try:
            return set(values)
        except TypeError:  # of models, as pydantic reads them
            return values

    return Codec(frozenset({"L"}), encode, decode, (set, frozenset), element=element)


def _sort_key(wire: Wire) -> str:
    """Give values that are the same one text, whatever the order of sets and however numbers are written."""
    ((tag, value),) = wire.items()
    match tag:
        case "N":
            return f"N{Decimal(value).normalize(EXACT)}"
        case "M":
            return f"M{sorted((name, _sort_key(inner)) for name, inner in value.items())}"
        case "L":
            return f"L{[_sort_key(inner) for inner in value]}"
        case "SS" | "NS" | "BS":
            return f"{tag}{sorted(_sort_key({tag[0]: inner}) for inner in value)}"
    return f"{tag}{value}"


def choices_codec(pairs: tuple[tuple[Any, Any], ...], where: str) -> Codec:
    """Store one of a fixed number of values, an Enum by its value."""
    by_wire: dict[tuple[str, Any], Any] = {}
    by_value: dict[tuple[type, Any], Wire] = {}
    for value, stored in pairs:
        bare = stored.value if isinstance(stored, Enum) else stored
        try:
            wire = encode_any(bare)
        except InvalidValue as error:
            msg = f"{where}: {value!r} cannot be stored: {error}"
            raise DefinitionError(msg) from None
        ((tag, text),) = wire.items()
        if tag not in ("S", "N", "B", "BOOL", "NULL"):
            msg = f"{where}: {value!r} is not text, a number, bytes or a bool"
            raise DefinitionError(msg)
        by_wire[tag, Decimal(text) if tag == "N" else text] = value
        by_value[type(value), value] = wire

    def encode(value: Any) -> Wire:
        try:
            return by_value[type(value), value]
        except (KeyError, TypeError):
            raise refuse(value, f"one of {', '.join(repr(v) for v, _ in pairs)}") from None

    def decode(wire: Wire) -> Any:
        ((tag, text),) = wire.items()
        found = by_wire.get((tag, Decimal(text) if tag == "N" else text), _NOTHING)
        return decode_any(wire) if found is _NOTHING else found

    tags = frozenset(tag for tag, _ in by_wire)
    kinds = tuple({type(value) for value, _ in pairs})
    return Codec(tags - {"NULL"} or tags, encode, decode, kinds, nullable="NULL" in tags)


def union_codec(codecs: Sequence[Codec], members: str, where: str, *, nullable: bool) -> Codec:
    """Store one of several types; refused where a value could not be told apart when it is read.

    members: the types, as a message names them. nullable: None is one of the values.
    """
    if len(codecs) == 1:
        return _optional(codecs[0]) if nullable else codecs[0]
    if ANY in codecs:
        raise DefinitionError(f"{where}: {members}: Any takes every value, and leaves none to the others; declare Any")
    if sum("N" in codec.tags for codec in codecs) > 1:  # of which the one must not take the other's numbers for its own
        codecs = [replace(c, encode=encode_exactly) if c.encode is encode_float else c for c in codecs]
    by_tag: dict[str, list[Codec]] = {}
    for codec in codecs:
        for tag in codec.tags:
            by_tag.setdefault(tag, []).append(codec)
    # What pydantic alone knows, as a dataclass, is a map most likely.
    unknown = [codec for codec in codecs if codec.tags == _ANY_TAG and not codec.is_set]
    for tag in frozenset().union(*map(_written_as, codecs)):
        sharing = [codec for codec in codecs if tag in _written_as(codec)]
        _check_union(tag, [*sharing, *unknown] if tag == "M" else sharing, members, where)

    def encode(value: Any) -> Wire:
        if value is None and nullable:
            return NULL_WIRE
        kind = type(value)
        exact = [codec for codec in codecs if kind in codec.kinds]
        failure: InvalidValue | None = None
        for codec in exact or [codec for codec in codecs if isinstance(value, codec.kinds)]:
            try:
                return nested_coders(codec)[0](value)
            except InvalidValue as error:
                failure = failure or error
        raise failure or refuse(value, members)

    def decode(wire: Wire) -> Any:
        (tag,) = wire
        candidates = by_tag.get(tag, ())
        if len(candidates) == 1:
            return candidates[0].decode(wire)
        for codec in candidates:
            try:
                value = codec.decode(wire)
                if codec.model is not None:
                    value = codec.model.model_validate(value)
                if same(codec.encode(value), wire):
                    return value
            except (InvalidValue, KeyError, ValueError, TypeError, ArithmeticError):
                continue
        return decode_any(wire)

    tags = frozenset(tag for codec in codecs for tag in codec.tags)
    kinds = tuple(kind for codec in codecs for kind in codec.kinds)
    return Codec(tags, encode, decode, kinds, nullable=nullable)


def _optional(codec: Codec) -> Codec:
    inner = nested_coders(codec)[0] if not codec.is_set else codec.encode

    def encode(value: Any) -> Wire:
        return NULL_WIRE if value is None else inner(value)

    def decode(wire: Wire) -> Any:
        return None if "NULL" in wire else codec.decode(wire)

    return Codec(
        codec.tags,
        encode,
        decode,
        codec.kinds,
        nullable=True,
        is_set=codec.is_set,
        element=codec.element,
        model=codec.model,
    )


def _written_as(codec: Codec) -> frozenset[str]:
    return codec.tags | {"L"} if codec.is_set else codec.tags  # an empty set is a list


def _check_union(tag: str, sharing: list[Codec], members: str, where: str) -> None:
    if len(sharing) < 2 or tag in ("?", "BOOL"):
        return
    kinds = {codec.kinds[0] for codec in sharing}
    if tag == "N" and (kinds <= {int, float} or kinds <= {int, Decimal}):
        return
    free = any(codec.encode is encode_text or issubclass(codec.kinds[0], _SECRETS) for codec in sharing)
    if tag == "S" and not free:
        return
    if tag == "S" and all(issubclass(kind, str) for codec in sharing for kind in codec.kinds):
        return
    if tag == "M" and all(codec.model is not None for codec in sharing):
        models = [codec.model for codec in sharing if codec.model is not None]
        if all(_tell_apart(one, other) for at, one in enumerate(models) for other in models[at + 1 :]):
            return
    alike = len({codec.kinds[-1] for codec in sharing}) == 1
    if tag in ("L", "M") and alike and all(codec.element is not None for codec in sharing):
        elements = [_written_as(codec.element) for codec in sharing if codec.element is not None]
        together: frozenset[str] = frozenset().union(*elements)
        if "?" not in together and len(together) == sum(map(len, elements)):
            return
    msg = (
        f"{where}: {members}: several of these are stored as DynamoDB type {tag}, "
        "so a value could read back as another; make them models that a Literal field tells apart"
    )
    raise DefinitionError(msg)


def _tell_apart(one: type[BaseModel], other: type[BaseModel]) -> bool:
    """Tell whether no item of one model can be taken for one of the other: by a Literal, or by what both must have."""
    twins = _annotations(other)
    for attribute, annotation in _annotations(one).items():
        twin = twins.get(attribute)
        if get_origin(annotation) is get_origin(twin) is Literal:
            return set(get_args(annotation)).isdisjoint(get_args(twin))
    return _has_more(one, other) and _has_more(other, one)


def _has_more(one: type[BaseModel], other: type[BaseModel]) -> bool:
    """Tell whether every item of one model has an attribute that the other does not know."""
    if other.model_config.get("extra") == "allow":
        return False
    always = (attribute for attribute, annotation in _annotations(one).items() if _is_always_there(annotation))
    return not _annotations(other).keys() >= set(always)


def _annotations(model: type[BaseModel]) -> dict[str, Any]:
    fields = model.model_fields.items()
    return {info.serialization_alias or info.alias or name: info.annotation for name, info in fields}


def _is_always_there(annotation: Any) -> bool:
    while hasattr(annotation, "__supertype__"):
        annotation = annotation.__supertype__
    kind = get_origin(annotation) or annotation
    return type(None) not in get_args(annotation) and kind not in (set, frozenset, Any, object, None, type(None))
