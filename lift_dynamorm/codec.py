"""Compile the codec of a field from its annotation.

One codec serves every path: items, keys, conditions, updates, batches, transactions. What it writes reads
back equal; what would not is refused, when the class is defined where that can be told, else before the wire.
"""

from __future__ import annotations

import types
import typing
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, MutableSet, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from operator import itemgetter
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, RootModel, SecretBytes, SecretStr, TypeAdapter

from lift_dynamorm.errors import DefinitionError, InvalidValue
from lift_dynamorm.scalars import (
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
    encode_float,
    encode_int,
    encode_none,
    encode_secret,
    encode_text,
    encode_time,
    encode_timedelta,
    encode_uuid,
    refuse,
)

_ANY_TAG = frozenset({"?"})
_MAPPINGS = frozenset({Mapping, MutableMapping, OrderedDict, defaultdict})
_SEQUENCES = frozenset({list, Sequence, MutableSequence, deque})
_SETS = frozenset({AbstractSet, MutableSet})


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

ANY = Codec(_ANY_TAG, encode_any, decode_any, nullable=True)
EPOCH = Codec(_N, encode_epoch, decode_datetime, (datetime, int))
EPOCH_SECONDS = Codec(_N, encode_epoch, decode_int, (datetime, int))
_NONE = Codec(frozenset({"NULL"}), encode_none, decode_none, (type(None),), nullable=True)

_SCALARS: dict[Any, Codec] = {
    str: Codec(_S, encode_text, itemgetter("S"), (str,)),
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


def codec_of(annotation: Any, where: str) -> Codec:
    """Compile the codec of an annotation; `where` names class and field in a `DefinitionError`."""
    annotation = _bare(annotation)
    try:
        known = _SCALARS.get(annotation)
    except TypeError:
        known = None
    if known is not None:
        return known
    origin = get_origin(annotation)
    if origin is Union or origin is types.UnionType:
        return _union(get_args(annotation), where)
    if origin is Literal:
        return _choices(tuple((value, value) for value in get_args(annotation)), where)
    kind = origin or annotation
    if isinstance(kind, type):
        if issubclass(kind, Enum):
            return _choices(tuple((member, member.value) for member in kind), where)
        if issubclass(kind, BaseModel):
            return _model(annotation, where)
        if issubclass(kind, set | frozenset) or kind in _SETS:
            return _set(get_args(annotation), where)
        if (issubclass(kind, dict) and not typing.is_typeddict(kind)) or kind in _MAPPINGS:
            return _mapping(get_args(annotation), where)
        if kind is tuple:
            return _tuple(get_args(annotation), where)
        if kind in _SEQUENCES:
            return _sequence(get_args(annotation), kind, where)
        if issubclass(kind, str | int | float | Decimal | bytes | datetime | date) and origin is None:
            base = next(_SCALARS[c] for c in kind.__mro__ if c in _SCALARS)
            return Codec(base.tags, base.encode, base.decode, (kind, *base.kinds))
    return _foreign(annotation, where)


def _bare(annotation: Any) -> Any:
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType" and not get_args(annotation):
            annotation = annotation.__value__
        else:
            return annotation


def _nested(wire_codec: Codec) -> tuple[Callable[[Any], Wire], Callable[[Wire], Any]]:
    """Coders for a value inside a list, map or tuple, where absence cannot stand for None or an empty set."""
    encode, decode = wire_codec.encode, wire_codec.decode
    if wire_codec.is_set:

        def encode_set(value: Any) -> Wire:
            return encode(value) if value or value is None else {"L": []}

        return encode_set, decode
    return encode, decode


def _sequence(args: tuple[Any, ...], kind: type, where: str) -> Codec:
    element = codec_of(args[0], where) if args else ANY
    encode_element, decode_element = _nested(element)
    wanted = "a list" if kind is list else f"a {kind.__name__.lower()}"

    def encode(value: Any) -> Wire:
        if isinstance(value, str | bytes | Mapping | set | frozenset) or not hasattr(value, "__iter__"):
            raise refuse(value, wanted)
        return {"L": [encode_element(v) for v in value]}

    def decode(wire: Wire) -> Any:
        return [decode_element(v) for v in wire["L"]]

    return Codec(frozenset({"L"}), encode, decode, (list, kind), element=element)


def _tuple(args: tuple[Any, ...], where: str) -> Codec:
    if not args or (len(args) == 2 and args[1] is Ellipsis):
        element = codec_of(args[0], where) if args else ANY
        coders = None
        encode_element, decode_element = _nested(element)
    else:
        coders = [_nested(codec_of(arg, where)) for arg in args]

    def encode(value: Any) -> Wire:
        if not isinstance(value, tuple | list) or (coders is not None and len(coders) != len(value)):
            raise refuse(value, "a tuple" if coders is None else f"a tuple of {len(coders)}")
        if coders is None:
            return {"L": [encode_element(v) for v in value]}
        return {"L": [encode(v) for (encode, _), v in zip(coders, value, strict=True)]}

    def decode(wire: Wire) -> Any:
        values = wire["L"]
        if coders is None:
            return tuple(decode_element(v) for v in values)
        if len(values) != len(coders):
            return tuple(decode_any(v) for v in values)
        return tuple(decode(v) for (_, decode), v in zip(coders, values, strict=True))

    return Codec(frozenset({"L"}), encode, decode, (tuple,))


def _mapping(args: tuple[Any, ...], where: str) -> Codec:
    if not args:
        return Codec(frozenset({"M"}), encode_any, decode_any, (dict,))
    key = codec_of(args[0], where)
    if key.tags != _S and key.tags != _N:
        msg = f"{where}: the keys of a map are stored as text; {args[0]!r} cannot be"
        raise DefinitionError(msg)
    (key_tag,) = key.tags
    element = codec_of(args[1], where)
    encode_element, decode_element = _nested(element)
    decode_key = key.decode

    def encode(value: Any) -> Wire:
        if not isinstance(value, Mapping):
            raise refuse(value, "a dict")
        return {"M": {key.encode(k)[key_tag]: encode_element(v) for k, v in value.items()}}

    def decode(wire: Wire) -> Any:
        if key_tag == "S" and decode_key is _SCALARS[str].decode:
            return {k: decode_element(v) for k, v in wire["M"].items()}
        return {decode_key({key_tag: k}): decode_element(v) for k, v in wire["M"].items()}

    return Codec(frozenset({"M"}), encode, decode, (dict,), element=element)


def _set(args: tuple[Any, ...], where: str) -> Codec:
    element = codec_of(args[0], where) if args else ANY
    if len(element.tags) != 1 or not element.tags <= {"S", "N", "B"}:
        if element.tags == _ANY_TAG:
            return Codec(_ANY_TAG, encode_any, decode_any, (set, frozenset), is_set=True)
        return _set_as_list(element)
    (tag,) = element.tags
    set_tag = tag + "S"

    def encode(value: Any) -> Wire:
        if not isinstance(value, set | frozenset):
            raise refuse(value, "a set")
        if not value:
            msg = "an empty set cannot be stored here; remove the attribute instead"
            raise InvalidValue(msg)
        return {set_tag: [element.encode(v)[tag] for v in value]}

    def decode(wire: Wire) -> Any:
        if "L" in wire:
            return {element.decode(v) for v in wire["L"]}
        return {element.decode({tag: v}) for v in wire[set_tag]}

    return Codec(frozenset({set_tag}), encode, decode, (set, frozenset), is_set=True, element=element)


def _set_as_list(element: Codec) -> Codec:
    """Store a set whose values DynamoDB has no set type for as a list; pydantic makes it a set again."""
    encode_element, decode_element = _nested(element)

    def encode(value: Any) -> Wire:
        if not isinstance(value, set | frozenset):
            raise refuse(value, "a set")
        return {"L": [encode_element(v) for v in value]}

    def decode(wire: Wire) -> Any:
        return [decode_element(v) for v in wire["L"]]

    return Codec(frozenset({"L"}), encode, decode, (set, frozenset), element=element)


def _choices(pairs: tuple[tuple[Any, Any], ...], where: str) -> Codec:
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
        by_wire[tag, text] = value
        by_value[type(value), value] = wire

    def encode(value: Any) -> Wire:
        try:
            return by_value[type(value), value]
        except (KeyError, TypeError):
            raise refuse(value, f"one of {', '.join(repr(v) for v, _ in pairs)}") from None

    def decode(wire: Wire) -> Any:
        ((tag, text),) = wire.items()
        found = by_wire.get((tag, text), ABSENT)
        return decode_any(wire) if found is ABSENT else found

    tags = frozenset(tag for tag, _ in by_wire)
    kinds = tuple({type(value) for value, _ in pairs})
    return Codec(tags - {"NULL"} or tags, encode, decode, kinds, nullable="NULL" in tags)


@dataclass(frozen=True, slots=True)
class NestedField:
    """A field of a nested model: its attribute in the map, its input key for pydantic, and its codec."""

    name: str
    attribute: str
    key: str
    codec: Codec
    null: bool
    absent: Any


ABSENT = object()


def field_names(model: type[BaseModel], name: str, where: str) -> tuple[str, str]:
    """Tell a field's attribute name in DynamoDB, and the name pydantic takes it by."""
    info = model.model_fields[name]
    attribute = info.serialization_alias or info.alias or name
    alias = info.validation_alias
    if alias is None or model.model_config.get("validate_by_alias") is False:
        return attribute, name
    if isinstance(alias, str):
        return attribute, alias
    choices = [choice for choice in getattr(alias, "choices", ()) if isinstance(choice, str)]
    if not choices:
        msg = f"{where}: an AliasPath cannot be written back; give the field a plain alias"
        raise DefinitionError(msg)
    return attribute, choices[0]


def absent_value(model: type[BaseModel], name: str, codec: Codec, where: str, *, null: bool) -> tuple[bool, Any]:
    """Say how None is stored, and what an absent attribute means to a field.

    Returns whether None is stored as NULL (it is where absence would read back as something else), and the
    value that stands for absence where pydantic would not supply it (`ABSENT` where it does).
    """
    info = model.model_fields[name]
    if info.is_required():
        if codec.is_set and not codec.nullable:
            return null, set()
        return null, None if codec.nullable else ABSENT
    default = info.default if info.default_factory is None else ABSENT
    if codec.is_set and not codec.nullable and default is not ABSENT and default:
        msg = (
            f"{where}: the default of a set must be empty: an empty set is stored as an absent attribute, "
            f"and would read back as {default!r}"
        )
        raise DefinitionError(msg)
    return null or (codec.nullable and default is not None), ABSENT


_nested_fields: dict[type[BaseModel], tuple[NestedField, ...]] = {}


def nested_fields(model: type[BaseModel]) -> tuple[NestedField, ...]:
    """Compile the fields of a nested model, once; a model may hold itself."""
    found = _nested_fields.get(model)
    if found is None:
        fields = []
        for name, info in model.model_fields.items():
            where = f"{model.__name__}.{name}"
            codec = codec_of(info.annotation, where)
            attribute, key = field_names(model, name, where)
            null, absent = absent_value(model, name, codec, where, null=False)
            fields.append(NestedField(name, attribute, key, codec, null, absent))
        found = _nested_fields[model] = tuple(fields)
    return found


def _model(model: type[BaseModel], where: str) -> Codec:
    if issubclass(model, RootModel):
        return _root_model(model, where)
    keeps_extra = model.model_config.get("extra") in ("allow", "forbid")
    by_attribute: dict[str, NestedField] = {}

    def encode(value: Any) -> Wire:
        if type(value) is not model:
            wanted = f"a {model.__name__}"
            if isinstance(value, model):
                wanted += f" but a subclass, which would read back as {model.__name__}; declare a union"
            raise refuse(value, wanted)
        values = value.__dict__
        wire: Wire = {}
        for field in nested_fields(model):
            item = values[field.name]
            try:
                if item is None and field.codec.nullable:
                    if field.null:
                        wire[field.attribute] = NULL_WIRE
                elif not field.codec.is_set or item:
                    wire[field.attribute] = field.codec.encode(item)
            except InvalidValue as error:
                raise InvalidValue(f"{field.name}: {error}", field=field.name) from None
        for name, item in (value.model_extra or {}).items():
            wire[name] = encode_any(item)
        return {"M": wire}

    def decode(wire: Wire) -> Any:
        if not by_attribute:
            by_attribute.update({field.attribute: field for field in nested_fields(model)})
        data: dict[str, Any] = {}
        for attribute, value in wire["M"].items():
            field = by_attribute.get(attribute)
            if field is not None:
                data[field.key] = decode_lenient(field.codec, value)
            elif keeps_extra:
                data[attribute] = decode_any(value)
        for field in by_attribute.values():
            if field.absent is not ABSENT and field.key not in data:
                data[field.key] = set() if field.codec.is_set and field.absent is not None else field.absent
        return data

    return Codec(frozenset({"M"}), encode, decode, (model,), model=model)


def _root_model(model: type[BaseModel], where: str) -> Codec:
    inner = codec_of(model.model_fields["root"].annotation, where)
    encode_root, decode_root = _nested(inner)

    def encode(value: Any) -> Wire:
        if not isinstance(value, model):
            raise refuse(value, f"a {model.__name__}")
        return encode_root(value.root)  # type: ignore[attr-defined]  # RootModel, known by issubclass above

    return Codec(inner.tags, encode, decode_root, (model,))


def decode_lenient(codec: Codec, wire: Wire) -> Any:
    """Decode what may have been written otherwise; pydantic has the last word on what comes out."""
    if "NULL" in wire:
        return None
    try:
        return codec.decode(wire)
    except (KeyError, ValueError, TypeError, ArithmeticError):
        return decode_any(wire)


def _union(members: tuple[Any, ...], where: str) -> Codec:
    codecs = [codec_of(member, where) for member in members if member not in (None, type(None))]
    nullable = len(codecs) < len(members) or any(codec.nullable for codec in codecs)
    if len(codecs) == 1:
        return _optional(codecs[0])
    by_tag: dict[str, list[Codec]] = {}
    for codec in codecs:
        for tag in codec.tags:
            by_tag.setdefault(tag, []).append(codec)
    for tag, sharing in by_tag.items():
        _check_union(tag, sharing, members, where)

    def encode(value: Any) -> Wire:
        if value is None and nullable:
            return NULL_WIRE
        kind = type(value)
        exact = [codec for codec in codecs if kind in codec.kinds]
        failure: InvalidValue | None = None
        for codec in exact or [codec for codec in codecs if isinstance(value, codec.kinds)]:
            try:
                return _nested(codec)[0](value)
            except InvalidValue as error:
                failure = failure or error
        raise failure or refuse(value, f"one of {', '.join(map(_name, members))}")

    def decode(wire: Wire) -> Any:
        (tag,) = wire
        candidates = by_tag.get(tag, ())
        if len(candidates) == 1:
            return candidates[0].decode(wire)
        for codec in candidates:
            try:
                value = codec.decode(wire)
                if codec.encode(value) == wire:
                    return value
            except (InvalidValue, KeyError, ValueError, TypeError, ArithmeticError):
                continue
        return decode_any(wire)

    tags = frozenset(tag for codec in codecs for tag in codec.tags)
    kinds = tuple(kind for codec in codecs for kind in codec.kinds)
    return Codec(tags, encode, decode, kinds, nullable=nullable)


def _optional(codec: Codec) -> Codec:
    inner = _nested(codec)[0] if not codec.is_set else codec.encode

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


def _check_union(tag: str, sharing: list[Codec], members: tuple[Any, ...], where: str) -> None:
    if len(sharing) < 2 or tag in ("M", "L", "?", "BOOL"):
        return
    kinds = {codec.kinds[0] for codec in sharing}
    if tag == "N" and (kinds <= {int, float} or kinds <= {int, Decimal}):
        return
    if tag == "S" and not any(codec.encode is encode_text for codec in sharing):
        return
    if tag == "S" and all(issubclass(kind, str) for codec in sharing for kind in codec.kinds):
        return
    msg = (
        f"{where}: {' | '.join(map(_name, members))}: several of these are stored as DynamoDB type {tag}, "
        "so a value could read back as another; wrap them in models with a Literal discriminator"
    )
    raise DefinitionError(msg)


def _name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).removeprefix("typing.")


def _foreign(annotation: Any, where: str) -> Codec:
    """Store a type only pydantic knows (EmailStr, AnyUrl, a dataclass ...) as pydantic writes it."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        form = adapter.json_schema(mode="serialization")
    except Exception as error:  # pydantic raises several unrelated classes here, all meaning "no"
        msg = f"{where}: {_name(annotation)} cannot be stored: {error}"
        raise DefinitionError(msg) from None
    is_text = form.get("type") == "string" and "enum" not in form

    def encode(value: Any) -> Wire:
        if is_text and type(value) is str:
            return encode_text(value)
        return _encode_dumped(adapter.dump_python(value, mode="python" if not is_text else "json"))

    return Codec(_S if is_text else _ANY_TAG, encode, decode_any, (str, object) if is_text else (object,))


def _encode_dumped(value: Any) -> Wire:
    """Encode what pydantic dumped in Python form: dates, decimals and sets may stand inside."""
    if isinstance(value, Mapping):
        return {"M": {str(k): _encode_dumped(v) for k, v in value.items()}}
    if isinstance(value, list | tuple):
        return {"L": [_encode_dumped(v) for v in value]}
    if isinstance(value, set | frozenset):
        return {"L": [_encode_dumped(v) for v in value]}
    if isinstance(value, Enum):
        return encode_any(value.value)
    known = _SCALARS.get(type(value))
    if known is not None:
        return known.encode(value)
    return encode_text(str(value))
