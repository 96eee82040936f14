"""Where an expression meets a model: names are checked, values encoded, key attributes kept in step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lift_dynamorm import updates
from lift_dynamorm.annotations import REQUIRED, nested_fields
from lift_dynamorm.codec import ANY, Codec
from lift_dynamorm.conditions import (
    Condition,
    Every,
    Literal,
    Name,
    Negation,
    Operand,
    Predicate,
    SizeOf,
    Some,
    sort_value,
)
from lift_dynamorm.errors import InvalidValue, QueryError, UsageError, did_you_mean
from lift_dynamorm.expressions import (
    AllOf,
    AnyOf,
    Appended,
    Arithmetic,
    Assignment,
    Comparison,
    Default,
    Expression,
    NotThis,
    Path,
    Size,
    Spelled,
)
from lift_dynamorm.indexes import refuse_marked_key
from lift_dynamorm.keys import RESERVED, looks_like_tenant
from lift_dynamorm.scalars import NULL_WIRE, encode_any, encode_int, encode_text, refuse
from lift_dynamorm.updates import Change
from lift_dynamorm.validation import convert, normalized

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lift_dynamorm.annotations import FieldSchema
    from lift_dynamorm.schema import Schema

    Wire = dict[str, Any]

_TYPES = ("S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS")
_FUNCTIONS = {"exists": "attribute_exists", "not_exists": "attribute_not_exists", "type": "attribute_type"}


@dataclass(frozen=True, slots=True)
class Place:
    """What a path leads to: its name in DynamoDB, its codec, and the field it is, None where it is none."""

    name: Name
    codec: Codec
    field: FieldSchema | None


def resolve_path(schema: Schema[Any], path: Path) -> Place:
    """Check a path against the model, and find what lies at its end."""
    if isinstance(path, Spelled):
        path = path.read((*schema.fields, *schema.by_attribute))
    first, *rest = path.parts
    field = _field(schema, str(first))
    if field is None:
        return Place(Name(path.parts), ANY, None)
    parts: list[str | int] = [field.attribute]
    codec = field.codec
    for part in rest:
        field = _field_inside(schema, codec, part, path)
        parts.append(field.attribute if field is not None else part)
        codec = field.codec if field is not None else _element(codec)
    return Place(Name(tuple(parts)), codec, field)


def _field(schema: Schema[Any], name: str) -> FieldSchema | None:
    field = schema.fields.get(name) or schema.by_attribute.get(name)
    if field is None and not (schema.keeps_extra and schema.model.model_config.get("extra") == "allow"):
        mend = did_you_mean(name, schema.fields, "its fields are")
        raise QueryError(f"{schema.name} has no field `{name}`; {mend}")
    return field


def _field_inside(schema: Schema[Any], codec: Codec, part: str | int, path: Path) -> FieldSchema | None:
    """Find the field of a nested model; None where `part` is an element of a list or map instead."""
    if codec.model is not None and isinstance(part, str):
        fields = nested_fields(codec.model)
        for field in fields:
            if part in (field.name, field.attribute):
                return field
        if codec.model.model_config.get("extra") != "allow":
            names = ", ".join(field.name for field in fields)
            raise QueryError(
                f"{schema.name}: {path}: {codec.model.__name__} has no field `{part}`; its fields are {names}"
            )
        return None
    fits = isinstance(part, int) == (codec.tags == {"L"}) if codec.element is not None else codec.model is None
    if not fits or codec.is_set or codec.tags <= {"S", "N", "B", "BOOL"}:
        raise QueryError(f"{schema.name}: {path}: nothing lies inside at {part!r}; check the path against the model")
    return None


def _element(codec: Codec) -> Codec:
    return codec.element or ANY


# -- conditions --------------------------------------------------------------------------------------------------------


def resolve(schema: Schema[Any], expression: Expression, prefix: str) -> Condition:
    """Give the wire form of a condition; raises QueryError or InvalidValue."""
    match expression:
        case AllOf(conditions):
            return Every(tuple(resolve(schema, c, prefix) for c in conditions))
        case AnyOf(conditions):
            return Some(tuple(resolve(schema, c, prefix) for c in conditions))
        case NotThis(condition):
            return Negation(resolve(schema, condition, prefix))
        case Comparison(op, left, operands):
            return _resolve_comparison(schema, op, left, operands, prefix)
    msg = f"{expression!r} is no condition; write one as F.field == value"
    raise QueryError(msg)


def _resolve_comparison(
    schema: Schema[Any], op: str, left: Path | Size, operands: tuple[Any, ...], prefix: str
) -> Condition:
    path = left.path if isinstance(left, Size) else left
    place = resolve_path(schema, path)
    name, codec = place.name, place.codec
    tenant = prefix if len(name.parts) == 1 and name.parts[0] in schema.prefixed else ""

    def operand(value: Any) -> Operand:
        if isinstance(value, Path):
            other = resolve_path(schema, value).name
            _check_operand(schema, other, prefix, value)
            return other
        if isinstance(value, Size):
            measured = resolve_path(schema, value.path)
            _check_holder(schema, "size", measured.codec, value.path)
            _check_operand(schema, measured.name, prefix, value.path)
            return SizeOf(measured.name)
        if isinstance(left, Size):
            return Literal(encode_int(value))
        if op == "type":
            if value not in _TYPES:
                raise QueryError(
                    f"{schema.name}: {path}: {value!r} is no type of DynamoDB; they are {' '.join(_TYPES)}"
                )
            return Literal(encode_text(value))
        if op == "begins_with" and not codec.tags <= {"S", "B", "?"}:
            raise QueryError(f"{schema.name}: begins_with is for text, and `{path}` is none")
        if op == "begins_with" and isinstance(value, str) and codec.tags <= {"S", "?"}:
            return Literal({"S": tenant + encode_text(value)["S"]})
        if op in ("=", "<>") and codec.is_set and isinstance(value, set | frozenset) and not value:
            mend = f"F.{path}.{'not_exists' if op == '=' else 'exists'}()"
            raise QueryError(f"{schema.name}: an empty set is an attribute that is not there; write {mend}")
        wire = schema.encode_operand(_contained(codec) if op == "contains" else codec, value, str(path))
        return Literal({"S": tenant + wire["S"]} if tenant else wire)

    if isinstance(left, Size) or op == "contains":
        _check_holder(schema, "size" if isinstance(left, Size) else op, codec, path)
    elif op in ("=", "<>", "in") and len(name.parts) == 1 and place.field and place.field.name in schema.normalizing:
        operands = tuple(_normalized(schema, place.field, value) for value in operands)
    if tenant:
        schema.check_tenant(tenant)
    if tenant and (isinstance(left, Size) or op == "contains" or any(isinstance(v, Path | Size) for v in operands)):
        msg = f"{schema.name}: {path} is a partition key and carries the tenant; compare it with values only"
        raise QueryError(msg)
    target: Operand = SizeOf(name) if isinstance(left, Size) else name
    if op in _FUNCTIONS:
        return Predicate(_FUNCTIONS[op], target, tuple(map(operand, operands)))
    if op == "in":
        return _resolve_in(target, name, [None if v is None else operand(v) for v in operands])
    if op in ("=", "<>") and operands[0] is None:
        absent = _is_none(name)
        return absent if op == "=" else Negation(absent)
    right = tuple(map(operand, operands))
    return _never(name) if op == "between" and _are_crossed(*right) else Predicate(op, target, right)


def _normalized(schema: Schema[Any], field: FieldSchema, value: Any) -> Any:
    return value if value is None or isinstance(value, Path | Size) else normalized(schema.model, field, value)


def _check_holder(schema: Schema[Any], function: str, codec: Codec, path: Path) -> None:
    if codec.tags <= {"N", "BOOL"}:
        what = "has no size" if function == "size" else "contains nothing"
        raise QueryError(f"{schema.name}: {function} is for text, bytes, sets, lists and maps, and `{path}` {what}")


def _are_crossed(low: Operand, high: Operand) -> bool:
    """Tell whether no value lies between two bounds, which DynamoDB refuses."""
    if not isinstance(low, Literal) or not isinstance(high, Literal):
        return False
    if low.wire.keys() != high.wire.keys():
        return True
    return not low.wire.keys().isdisjoint("SNB") and bool(sort_value(low.wire) > sort_value(high.wire))


def _never(name: Name) -> Condition:
    return Every((Predicate("attribute_exists", name), Predicate("attribute_not_exists", name)))


def _check_operand(schema: Schema[Any], name: Name, prefix: str, path: Path) -> None:
    if prefix and name.parts[0] in schema.prefixed:
        raise QueryError(f"{schema.name}: {path} is a partition key and carries the tenant; give its value")


def _is_none(name: Name) -> Condition:
    return Some((Predicate("attribute_not_exists", name), Predicate("attribute_type", name, (Literal({"S": "NULL"}),))))


def _resolve_in(target: Operand, name: Name, operands: list[Operand | None]) -> Condition:
    present = tuple(o for o in operands if o is not None)
    tests: list[Condition] = [Predicate("in", target, present)] if present else []
    if len(present) < len(operands):
        tests.append(_is_none(name))
    if not tests:
        return _never(name)
    return tests[0] if len(tests) == 1 else Some(tuple(tests))


def _contained(codec: Codec) -> Codec:
    return codec.element or (codec if codec.tags <= {"S", "B"} else ANY)


# -- updates -----------------------------------------------------------------------------------------------------------


def resolve_changes(
    schema: Schema[Any], assignments: Iterable[Assignment], values: Mapping[str, Any], prefix: str
) -> list[Change]:
    """Give the wire form of an update, without the key attributes of indexes.

    `values` are the keyword arguments: plain values, None, or expressions of the same field.
    """
    changes = [_resolve_assignment(schema, assignment, prefix) for assignment in assignments]
    for name, value in values.items():
        path = Path((name,))
        if isinstance(value, Assignment):
            if value.path.parts[0] != name:
                raise UsageError(
                    f"{schema.name}: {name}=F.{value.path}... changes another field; write {value.path.parts[0]}=..."
                )
            changes.append(_resolve_assignment(schema, value, prefix))
        else:
            changes.append(_resolve_assignment(schema, Assignment("SET", path, value), prefix))
    _check_overlap(schema, changes)
    return changes


def _resolve_assignment(schema: Schema[Any], assignment: Assignment, prefix: str) -> Change:
    place = resolve_path(schema, assignment.path)
    name = place.name
    attribute = str(name.parts[0])
    if attribute in schema.key.fields:
        msg = f"{schema.name}: `{assignment.path}` is part of the item's key; delete the item and create another"
        raise UsageError(msg)
    if attribute in schema.hidden:
        raise schema.invalid(attribute, InvalidValue("the name is taken by a key of the table or of an index"))
    if attribute in schema.kept:
        raise UsageError(f"{schema.name}: `{assignment.path}` is kept by the session; leave it out of the update")
    if assignment.action == "SET":
        source = _source(schema, assignment.value, place, assignment.path)
        if source is None:
            return _removal(schema, place, assignment.path)
        if isinstance(source, Literal):
            source = Literal(with_tenant(schema, attribute, source.wire, prefix))
        elif prefix and attribute in schema.prefixed:
            raise UsageError(f"{schema.name}: `{attribute}` is a partition key of an index; set it to a plain value")
        return Change("SET", name, source)
    if assignment.action == "REMOVE":
        return _removal(schema, place, assignment.path)
    return Change(assignment.action, name, Literal(_amount(schema, assignment, place.codec)))


def with_tenant(schema: Schema[Any], attribute: str, wire: Wire, prefix: str) -> Wire:
    """Put the tenant in front of a value that is a partition key; outside of a tenant refuse one that looks so."""
    text = wire.get("S")
    if attribute not in schema.prefixed or text is None:
        return wire
    if text.startswith(RESERVED) or (not prefix and looks_like_tenant(text)):
        refuse_marked_key(text, attribute)
    return {"S": prefix + text}


def _removal(schema: Schema[Any], place: Place, path: Path) -> Change:
    field = place.field
    if field is not None and field.absent is REQUIRED:
        msg = f"{schema.name}.{path} is required and cannot be None or removed; the item could not be read any more"
        raise InvalidValue(msg, field=str(path))
    if field is not None and field.null:
        return Change("SET", place.name, Literal(NULL_WIRE))
    return Change("REMOVE", place.name)


def _amount(schema: Schema[Any], assignment: Assignment, codec: Codec) -> Wire:
    """Encode what is added to a number or set, or deleted from a set."""
    value = assignment.value
    if assignment.action == "ADD" and _is_number(value) and codec.tags <= {"N", "?"}:
        return _number(schema, value, codec, assignment.path)
    if not isinstance(value, set | frozenset | list | tuple) or not value:
        what = "a number or elements of a set" if assignment.action == "ADD" else "elements of a set"
        raise InvalidValue(
            f"{schema.name}.{assignment.path}: {assignment.action.lower()} takes {what}", field=str(assignment.path)
        )
    if not codec.is_set:
        msg = f"{schema.name}.{assignment.path} is no set; use .append() for a list, or set a value"
        raise UsageError(msg)
    try:
        return codec.encode(set(value))
    except InvalidValue as error:
        raise schema.invalid(str(assignment.path), error) from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _is_whole(codec: Codec) -> bool:
    """Tell whether only whole numbers are read from here: an int, or the seconds of a time to live."""
    return codec.tags == {"N"} and all(issubclass(kind, int | datetime) for kind in codec.kinds)


def _number(schema: Schema[Any], value: Any, codec: Codec, path: Path) -> Wire:
    """Encode a number that is added to others, which may be of another kind than theirs, but not a part of a whole."""
    try:
        wire = encode_any(value)
        if _is_whole(codec):
            exact = Decimal(wire["N"])
            if exact != exact.to_integral_value():
                raise refuse(value, "a whole number")
            return encode_int(int(exact))
        return wire
    except InvalidValue as error:
        raise schema.invalid(str(path), error) from None


def _source(schema: Schema[Any], value: Any, place: Place, path: Path) -> updates.Source | None:
    codec = place.codec
    match value:
        case Path():
            source = resolve_path(schema, value)
            _check_source(schema, source, value, codec, path)
            return source.name
        case Arithmetic(op, left, right):
            if not codec.tags & {"N", "?"}:
                raise UsageError(f"{schema.name}: an update counts on `{path}`, which is no number")
            if isinstance(left, Arithmetic) or isinstance(right, Arithmetic):
                raise UsageError(f"{schema.name}.{path}: DynamoDB adds or subtracts two operands, and no more of them")
            return updates.Sum(op, _term(schema, left, place, path), _term(schema, right, place, path))
        case Default(of, default):
            kept = resolve_path(schema, of)
            if kept.name != place.name:
                _check_source(schema, kept, of, codec, path)
            return updates.IfNotExists(kept.name, _term(schema, default, place, path))
        case Appended(of, values, front):
            name = resolve_path(schema, of).name
            if not codec.tags & {"L", "?"} or codec.is_set:
                mend = f"; for a set write F.{of}.add(...)" if codec.is_set else ""
                raise UsageError(f"{schema.name}: an update appends to `{of}`, which is no list{mend}")
            own = updates.IfNotExists(name, Literal({"L": []}))
            element = codec.element or ANY
            more = Literal({"L": [_element_wire(schema, v, element, path) for v in values]})
            return updates.Append(more, own) if front else updates.Append(own, more)
        case None:
            return None
    if len(path.parts) == 1 and place.field is not None:
        value = convert(schema.model, place.field, value)
        if value is None and codec.nullable:
            return None
    if codec.is_set and not value and isinstance(value, set | frozenset):
        return None
    try:
        return Literal(codec.encode(value))
    except InvalidValue as error:
        raise schema.invalid(str(path), error) from None


def _element_wire(schema: Schema[Any], value: Any, codec: Codec, path: Path) -> Wire:
    if _is_number(value) and _is_whole(codec):
        return _number(schema, value, codec, path)
    return schema.encode_operand(codec, value, str(path))


def _check_source(schema: Schema[Any], source: Place, path: Path, codec: Codec, target: Path) -> None:
    """Refuse to take a value from where it may not fit the target, whose codec this is."""
    if source.name.parts[0] in schema.prefixed:
        raise UsageError(
            f"{schema.name}: `{path}` is a partition key, which may carry a tenant; give its value instead"
        )
    if not (codec.tags & source.codec.tags or "?" in codec.tags | source.codec.tags):
        raise UsageError(f"{schema.name}: `{path}` and `{target}` are of different types")
    if _is_whole(codec) and not _is_whole(source.codec) and "?" not in source.codec.tags:
        raise UsageError(f"{schema.name}: `{target}` takes whole numbers, and `{path}` may be another one")


def _term(schema: Schema[Any], value: Any, place: Place, path: Path) -> updates.Source:
    if _is_number(value) and place.codec.tags == {"N"}:
        return Literal(_number(schema, value, place.codec, path))
    source = _source(schema, value, replace(place, field=None), path)
    if source is None:
        raise UsageError(f"{schema.name}.{path}: None cannot be part of a calculation")
    return source


def _check_overlap(schema: Schema[Any], changes: list[Change]) -> None:
    seen: list[tuple[str | int, ...]] = []
    for change in changes:
        parts = change.target.parts
        for other in seen:
            shorter = min(len(parts), len(other))
            if parts[:shorter] == other[:shorter]:
                raise UsageError(f"{schema.name}: the update changes `{Path(parts)}` twice; give one change for it")
        seen.append(parts)


def key_changes(
    schema: Schema[Any],
    changes: Iterable[Change],
    base: Mapping[str, Wire] | None,
    prefix: str,
    known: Mapping[str, Wire] | None = None,
) -> list[Change]:
    """Keep the template keys of the indexes in step with an update.

    base: the fields of the item as they are, None where they are not known; known: those that are all the same.
    Raises UsageError naming the fields that are missing.
    """
    by_attribute: dict[str, Change] = {}
    for change in changes:
        by_attribute.setdefault(str(change.target.parts[0]), change)
    extra: list[Change] = []
    done: set[str] = set()
    for index in schema.indexes:
        for side, keys in (("partition", index.partition), ("sort", index.sort)):
            for key in keys:
                if key.template is None or key.attribute in done or by_attribute.keys().isdisjoint(key.fields):
                    continue
                done.add(key.attribute)
                values = _key_values(schema, key.fields, by_attribute, base, str(index), prefix, known or {})
                wire = key.render(values, prefix, side)
                name = Name((key.attribute,))
                extra.append(Change("REMOVE", name) if wire is None else Change("SET", name, Literal(wire)))
    return extra


def _key_values(
    schema: Schema[Any],
    fields: tuple[str, ...],
    changes: Mapping[str, Change],
    base: Mapping[str, Wire] | None,
    index: str,
    prefix: str,
    known: Mapping[str, Wire],
) -> dict[str, Wire]:
    values: dict[str, Wire] = {}
    missing = []
    for attribute in fields:
        change = changes.get(attribute)
        if change is not None:
            if change.action == "REMOVE":
                continue
            if change.action != "SET" or not isinstance(change.value, Literal):
                msg = (
                    f"{schema.name}: `{schema.name_of(attribute)}` is part of the key of index {index}, "
                    "which must be known before the write; set it to a plain value"
                )
                raise UsageError(msg)
            values |= schema.without_prefix({attribute: change.value.wire}, prefix)
        elif attribute in known:
            values[attribute] = known[attribute]
        elif base is None:
            missing.append(schema.name_of(attribute))
        elif attribute in base:
            values[attribute] = base[attribute]
    if missing:
        given = ", ".join(schema.name_of(a) for a in fields if a in changes)
        msg = (
            f"{schema.name}: changing {given} moves the item in index {index}, whose key also needs "
            f"{', '.join(missing)}; give these too, or update an instance that was read"
        )
        raise UsageError(msg)
    return values
