"""Compile the codec of a field from its annotation, and the fields of models inside models."""

from __future__ import annotations

import types
import typing
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import (
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    MutableSequence,
    MutableSet,
    Sequence,
)
from collections.abc import Set as AbstractSet
from dataclasses import InitVar, dataclass, fields, is_dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

from pydantic import BaseModel, EncodedBytes, EncodedStr, Json, RootModel, Secret, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from lift_dynamorm.codec import (
    ANY,
    SCALARS,
    Codec,
    choices_codec,
    decode_lenient,
    mapping_codec,
    nested_coders,
    sequence_codec,
    set_codec,
    tuple_codec,
    union_codec,
)
from lift_dynamorm.errors import DefinitionError, InvalidValue
from lift_dynamorm.scalars import (
    NULL_WIRE,
    Wire,
    decode_any,
    encode_any,
    encode_secret,
    encode_text,
    encode_untyped,
    refuse,
)

_M = frozenset({"M"})
_MAPPINGS = frozenset({Mapping, MutableMapping, OrderedDict, defaultdict})
_SEQUENCES = frozenset({list, Sequence, MutableSequence, deque})
_SETS = frozenset({AbstractSet, MutableSet})
_NO_VALUES = frozenset({type, Iterable, Iterator, Generator})


def codec_of(annotation: Any, where: str) -> Codec:
    """Compile the codec of an annotation; `where` names class and field in a `DefinitionError`."""
    annotation = _bare(annotation)
    if get_origin(annotation) is Annotated:
        annotation, *marks = get_args(annotation)
        return marked(codec_of(annotation, where), marks)
    try:
        known = SCALARS.get(annotation)
    except TypeError:
        known = None
    if known is not None:
        return known
    origin = get_origin(annotation)
    args = get_args(annotation)
    if origin is Union or origin is types.UnionType:
        codecs = [codec_of(arg, where) for arg in args if arg not in (None, type(None))]
        nullable = len(codecs) < len(args) or any(codec.nullable for codec in codecs)
        if len(codecs) > 1 and any(map(is_marked, args)):
            raise DefinitionError(f"{where}: Json and base64 are read from other types, and cannot stand in a union")
        return union_codec(codecs, " | ".join(map(_name, args)), where, nullable=nullable)
    if origin is Literal:
        return choices_codec(tuple((value, value) for value in args), where)

    def part(n: int) -> Codec:
        return codec_of(args[n], where) if args else ANY

    kind = origin or annotation
    if isinstance(kind, type):
        if issubclass(kind, Enum):
            return choices_codec(tuple((member, member.value) for member in kind), where)
        if issubclass(kind, BaseModel):
            return _model(annotation, where)
        if kind is Json:
            return marked(ANY, [kind])
        if issubclass(kind, Secret):
            (secret,) = args or get_args(kind.__orig_bases__[0])  # type: ignore[attr-defined]  # a subclass of Secret[...]
            inner = codec_of(secret, where)
            return Codec(inner.tags, partial(encode_secret, inner.encode), inner.decode, (kind,))
        if issubclass(kind, set | frozenset) or kind in _SETS:
            return set_codec(part(0))
        if issubclass(kind, Counter) and args:
            return mapping_codec(part(0), SCALARS[int], where)
        if (issubclass(kind, dict) and not hasattr(kind, "__total__")) or kind in _MAPPINGS:  # what has is a TypedDict
            return mapping_codec(part(0), part(1), where) if args else Codec(_M, encode_untyped, decode_any, (dict,))
        if kind is tuple:
            repeated = not args or args[-1] is Ellipsis
            return tuple_codec([part(0)] if repeated else [codec_of(arg, where) for arg in args], repeated=repeated)
        if kind in _SEQUENCES:
            return sequence_codec(part(0), kind)
        if issubclass(kind, str | int | float | Decimal | bytes | datetime | date) and origin is None:
            base = next(SCALARS[c] for c in kind.__mro__ if c in SCALARS)
            return Codec(base.tags, base.encode, base.decode, (kind, *base.kinds))
        if (is_dataclass(kind) or hasattr(kind, "__total__")) and origin is None and _hints(kind):
            return _record(kind)
        if issubclass(kind, tuple) and hasattr(kind, "_fields"):
            members = [codec_of(hint, where) for hint in _hints(kind).values()] or [ANY] * len(kind._fields)
            return replace(tuple_codec(members, repeated=False), kinds=(kind,))
    return _foreign(annotation, where)


def marked(codec: Codec, marks: Iterable[Any]) -> Codec:
    """Let a codec decode into what pydantic reads a marked type from: JSON text, or base64."""
    for mark in marks:
        if Json in (mark, type(mark)):
            codec = replace(codec, encode=nested_coders(codec)[0], nullable=False, is_set=False)
            codec = replace(codec, decode=_then(to_json, codec.decode))
        elif isinstance(mark, EncodedBytes):
            codec = replace(codec, decode=_then(mark.encode, codec.decode))
        elif isinstance(mark, EncodedStr):
            codec = replace(codec, decode=_then(mark.encode_str, codec.decode))
    return codec


def is_marked(annotation: Any) -> bool:
    """Tell whether pydantic reads something in a type from text that is not its value: from JSON or base64."""
    if Json in (annotation, type(annotation)) or isinstance(annotation, EncodedBytes | EncodedStr):
        return True
    return any(map(is_marked, get_args(_bare(annotation))))


def _then(last: Callable[[Any], Any], decode: Callable[[Wire], Any]) -> Callable[[Wire], Any]:
    return lambda wire: last(decode(wire))


def _bare(annotation: Any) -> Any:
    while True:
        if isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif get_origin(annotation) in (Required, NotRequired):
            (annotation,) = get_args(annotation)
        elif type(annotation).__name__ == "TypeAliasType" and not get_args(annotation):
            annotation = annotation.__value__
        else:
            return annotation


@dataclass(frozen=True, slots=True)
class FieldSchema:
    """A field of a model: its attribute in the item or map, its input key for pydantic, and its codec.

    null: None is stored as NULL. absent: what a missing attribute stands for where pydantic would not supply it,
    `ABSENT` where it does, `REQUIRED` where there is no such value.
    """

    name: str
    attribute: str
    key: str
    codec: Codec
    null: bool
    absent: Any


ABSENT: Any = object()
REQUIRED: Any = object()


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


def field_schema(model: type[BaseModel], name: str, codec: Codec, *, null: bool = False) -> FieldSchema:
    """Compile a field. null: store None as NULL; done too where absence would read back as a default."""
    where = f"{model.__name__}.{name}"
    attribute, key = field_names(model, name, where)
    info = model.model_fields[name]
    codec = marked(codec, info.metadata)
    absent: Any = ABSENT
    if info.is_required():
        absent = set() if codec.is_set and not codec.nullable else None if codec.nullable else REQUIRED
    else:
        default = info.default if info.default_factory is None else None
        if codec.is_set and info.get_default(call_default_factory=True, validated_data={}):
            msg = (
                f"{where}: the default of a set must be empty: an empty set is stored as an absent attribute, "
                "and would read back as the default"
            )
            raise DefinitionError(msg)
        null = null or (codec.nullable and (info.default_factory is not None or default is not None))
    return FieldSchema(name, attribute, key, codec, null, absent)


_nested_fields: dict[type[BaseModel], tuple[FieldSchema, ...]] = {}
_in_progress: set[type] = set()


def _compile_now(compile_parts: Callable[[Any], object], kind: type) -> None:
    """Refuse what cannot be stored when the class is defined, not when it is written; a class may hold itself."""
    if kind not in _in_progress:
        _in_progress.add(kind)
        try:
            compile_parts(kind)
        finally:
            _in_progress.discard(kind)


def nested_fields(model: type[BaseModel]) -> tuple[FieldSchema, ...]:
    """Compile the fields of a nested model, once; a model may hold itself."""
    found = _nested_fields.get(model)
    if found is None:
        found = _nested_fields[model] = tuple(
            field_schema(model, name, codec_of(info.annotation, f"{model.__name__}.{name}"))
            for name, info in model.model_fields.items()
        )
    return found


def _model(model: type[BaseModel], where: str) -> Codec:
    if issubclass(model, RootModel):
        return _root_model(model, where)
    if model.__pydantic_complete__:  # else it refers to a class that is not there yet
        _compile_now(nested_fields, model)
    keeps_extra = model.model_config.get("extra") in ("allow", "forbid")
    by_attribute: dict[str, FieldSchema] = {}

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
            wire[name] = encode_untyped(item)
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
            if field.key not in data and field.absent is not ABSENT and field.absent is not REQUIRED:
                data[field.key] = field.absent
        return data

    return Codec(frozenset({"M"}), encode, decode, (model,), model=model)


def _root_model(model: type[BaseModel], where: str) -> Codec:
    root = model.model_fields["root"]
    inner = marked(codec_of(root.annotation, where), root.metadata)
    encode_root, decode_root = nested_coders(inner)

    def encode(value: Any) -> Wire:
        if not isinstance(value, model):
            raise refuse(value, f"a {model.__name__}")
        return encode_root(value.root)  # type: ignore[attr-defined]  # RootModel, known by issubclass above

    return Codec(inner.tags, encode, decode_root, (model,))


_PART = replace(ANY, encode=encode_any)  # a part that a path leads to: any number will do, whatever its type
_records: dict[type, dict[str, Codec]] = {}


def _hints(kind: type) -> dict[str, Any]:
    """Give the annotations of a dataclass, TypedDict or NamedTuple; none where pydantic reads it otherwise."""
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except NameError:  # defined inside of a function
        return {}
    if not is_dataclass(kind):
        return hints
    aliased = any(info.alias or info.validation_alias for info in getattr(kind, "__pydantic_fields__", {}).values())
    derived = any(not part.init for part in fields(kind)) or any(isinstance(hint, InitVar) for hint in hints.values())
    return {} if aliased or derived else {part.name: hints[part.name] for part in fields(kind)}


def _parts(kind: type) -> dict[str, Codec]:
    found = _records.get(kind)
    if found is None:
        where = kind.__name__
        found = _records[kind] = {name: codec_of(hint, f"{where}.{name}") for name, hint in _hints(kind).items()}
    return found


def _record(kind: type) -> Codec:
    """Store a dataclass or TypedDict as a map of all its parts."""
    _compile_now(_parts, kind)
    is_dict = issubclass(kind, dict)
    wanted: Any = dict if is_dict else kind

    def encode(value: Any) -> Wire:
        if type(value) is not wanted:
            raise refuse(value, f"a {kind.__name__}")
        parts = _parts(kind)
        wire: Wire = {}
        for name in value if is_dict else parts:
            if name not in parts:
                raise refuse(name, f"a part of {kind.__name__}")
            try:
                wire[name] = nested_coders(parts[name])[0](value[name] if is_dict else getattr(value, name))
            except InvalidValue as error:
                raise InvalidValue(f"{name}: {error}", field=name) from None
        return {"M": wire}

    def decode(wire: Wire) -> Any:
        parts = _parts(kind)
        return {name: decode_lenient(parts.get(name, ANY), part) for name, part in wire["M"].items()}

    return Codec(_M, encode, decode, (wanted,), element=_PART)


def _name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).removeprefix("typing.")


def _foreign(annotation: Any, where: str) -> Codec:
    """Store a type only pydantic knows (EmailStr, AnyUrl, a dataclass ...) as pydantic writes it.

    Only pydantic can tell what it will read, so it is asked before each write.
    """
    try:
        if get_origin(annotation) in _NO_VALUES or annotation in _NO_VALUES:
            raise TypeError("it is nothing that could be read back; declare a list, or what else is meant")
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        form = adapter.json_schema(mode="serialization")
    except Exception as error:  # pydantic raises several unrelated classes here, all meaning "no"
        msg = f"{where}: {_name(annotation)} cannot be stored: {error}"
        raise DefinitionError(msg) from None
    is_text = form.get("type") == "string" and "enum" not in form
    dump = partial(adapter.dump_python, mode="json" if is_text else "python", round_trip=True, warnings="error")

    def encode(value: Any) -> Wire:
        if is_text and type(value) is str:
            return encode_text(value)
        try:
            dumped = dump(value)
            wire = _encode_dumped(dumped)
            back = adapter.validate_python(decode_any(wire))
            if type(back) is type(value) and dump(back) == dumped:
                return wire
        except (ValidationError, PydanticSerializationError, TypeError):
            pass
        raise refuse(value, f"a {_name(annotation)} that would read back equal; declare the types of what is in it")

    return Codec(frozenset({"S"}) if is_text else ANY.tags, encode, decode_any, (str, object) if is_text else (object,))


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
    if isinstance(value, Secret):
        return _encode_dumped(value.get_secret_value())
    known = SCALARS.get(type(value))
    if known is not None:
        return known.encode(value)
    return encode_text(str(value))
