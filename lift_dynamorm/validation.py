"""Validate the value of a single field, or of some, as pydantic would in their model."""

from __future__ import annotations

import copy
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Annotated, Any, get_args
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    WrapValidator,
    create_model,
)

from lift_dynamorm.annotations import is_marked
from lift_dynamorm.errors import InvalidValue
from lift_dynamorm.fields import Role

if TYPE_CHECKING:
    from lift_dynamorm.annotations import FieldSchema

_adapters: dict[tuple[type, str], TypeAdapter[Any]] = {}
_probes: dict[type, type[BaseModel]] = {}
_FROZEN = ("frozen_field", "frozen_instance")
_TEXT_SETTINGS = ("str_strip_whitespace", "str_to_lower", "str_to_upper")
_VALIDATORS: dict[str, Any] = {
    "after": AfterValidator,
    "before": BeforeValidator,
    "plain": PlainValidator,
    "wrap": WrapValidator,
}
_PLAIN = frozenset({str, int, float, bool, bytes, Decimal, datetime, date, time, timedelta, UUID, type(None)})


def convert(model: type[BaseModel], field: FieldSchema, value: Any) -> Any:
    """Validate one value as pydantic would in its field, with the validators of the field.

    Validators of the whole model need the whole model: their complaints about a single field are passed over.
    Raises InvalidValue.
    """
    probe_class = _probes.get(model)
    if probe_class is None:
        settings = {"validate_assignment": True, "frozen": False}
        probe_class = _probes[model] = create_model(model.__name__, __base__=model, __cls_kwargs__=settings)
    probe = probe_class.model_construct()
    try:
        setattr(probe, field.name, value)
        return probe.__dict__[field.name]
    except ValidationError as error:
        faults = [
            fault["msg"]
            for fault in error.errors(include_url=False, include_context=False)
            if fault["loc"][:1] in ((field.name,), (field.key,)) and fault["type"] not in _FROZEN
        ]
    except Exception:  # a validator that looks at other fields, which the probe does not have
        faults = []
    if faults:
        raise InvalidValue(f"{model.__name__}.{field.name}: {'; '.join(faults)}", field=field.name)
    return _convert_alone(model, field, value)


def _convert_alone(model: type[BaseModel], field: FieldSchema, value: Any) -> Any:
    adapter = _adapters.get((model, field.name))
    if adapter is None:
        info = model.model_fields[field.name]
        annotation: Any = info.annotation
        for mark in info.metadata:
            annotation = Annotated[annotation, mark]
        adapter = _adapters[model, field.name] = TypeAdapter(annotation)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        faults = "; ".join(fault["msg"] for fault in error.errors(include_url=False, include_context=False))
        raise InvalidValue(f"{model.__name__}.{field.name}: {faults}", field=field.name) from None


def normalizes(model: type[BaseModel], name: str) -> bool:
    """Tell whether a field's validators may store another value than the one that is given, as a lower-cased text."""
    info = model.model_fields[name]
    if is_marked(info.annotation) or any(map(is_marked, info.metadata)):
        return False  # what is read from JSON or base64 is looked for as it is, not decoded once more
    parts = get_args(info.annotation) or (info.annotation,)
    if not _PLAIN.issuperset(parts) or any(not isinstance(mark, Role) for mark in info.metadata):
        return True
    settings: Any = model.model_config
    validators = model.__pydantic_decorators__.field_validators.values()
    return any(map(settings.get, _TEXT_SETTINGS)) or any({name, "*"} & set(v.info.fields) for v in validators)


def normalized(model: type[BaseModel], field: FieldSchema, value: Any) -> Any:
    """Give what a field would store for a value that is looked for, by the validators of the field alone.

    What it would refuse stays as it is.
    """
    try:
        return getattr(_alone(model, field.name).model_validate({field.key: value}), field.name)
    except ValidationError:
        return value
    except Exception:  # a validator that looks at other fields
        try:
            return _convert_alone(model, field, value)
        except InvalidValue:
            return value


class _Part(BaseModel):
    """Some fields of a model: what checks them, without the validators of the whole."""

    __slots__ = ("_stored",)


@cache
def _alone(model: type[BaseModel], name: str) -> type[BaseModel]:
    return _make_part(model, frozenset({name}))


@lru_cache(maxsize=256)
def part_of(model: type[BaseModel], names: frozenset[str]) -> type[BaseModel]:
    """Make the class of some fields of a model, with the validators of these fields."""
    return _make_part(model, names)


def _make_part(model: type[BaseModel], names: frozenset[str]) -> type[BaseModel]:
    decorators = model.__pydantic_decorators__.field_validators
    fields: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if name in names:
            info = copy.copy(info)
            info.metadata = info.metadata + [
                _VALIDATORS[decorator.info.mode](getattr(model, method))
                for method, decorator in decorators.items()
                if name in decorator.info.fields or "*" in decorator.info.fields
            ]
            fields[name] = (info.annotation, info)
    settings = {**model.model_config, "extra": "ignore"}
    return create_model(model.__name__, __base__=_Part, __cls_kwargs__=settings, **fields)
