"""What a read gives of an item where that is less than all of it: some fields of the model, or a smaller model."""

from __future__ import annotations

import copy
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    PlainValidator,
    ValidationError,
    WrapValidator,
    create_model,
)
from pydantic_core import PydanticUndefined

from lift_dynamorm.errors import InvalidItem, QueryError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]

P = TypeVar("P")

_VALIDATORS: dict[str, Any] = {
    "after": AfterValidator,
    "before": BeforeValidator,
    "plain": PlainValidator,
    "wrap": WrapValidator,
}


class Selection(Generic[P]):
    """Some fields of a model, and those of its key, as `Query.only` names them.

    smaller: the model to give instead of partial instances. attributes: what is read for them.
    """

    __slots__ = ("_part", "_smaller", "attributes", "schema")

    def __init__(self, schema: Schema[Any], names: Iterable[str], smaller: type[P] | None = None) -> None:
        chosen = {schema.name_of(attribute) for attribute in schema.key.fields}.union(names)
        for name in chosen - schema.fields.keys():
            close = get_close_matches(name, schema.fields, 1)
            mend = f"did you mean `{close[0]}`?" if close else f"its fields are {', '.join(schema.fields)}"
            where = f"{smaller.__name__}.{name}" if smaller is not None else f"`{name}`"
            raise QueryError(f"only(): {schema.name} has no field for {where}; {mend}")
        model: type[BaseModel] = schema.model
        self.schema: Schema[Any] = schema
        self.attributes: frozenset[str] = frozenset(schema.fields[name].attribute for name in chosen)
        self._part = _part_of(model, frozenset(chosen))
        self._smaller = smaller

    def partial(self, item: Item, prefix: str) -> Any:
        """Make an instance of the model that has these fields only; `InvalidItem` where they do not fit it."""
        model: type[BaseModel] = self.schema.model
        fields = self.schema.decode(item, prefix, self._part).__dict__
        defaults = {name: attribute.get_default() for name, attribute in model.__private_attributes__.items()}
        private = {name: value for name, value in defaults.items() if value is not PydanticUndefined}
        instance = object.__new__(model)
        object.__setattr__(instance, "__dict__", fields)
        object.__setattr__(instance, "__pydantic_fields_set__", set(fields))
        object.__setattr__(instance, "__pydantic_extra__", None)
        object.__setattr__(instance, "__pydantic_private__", private if defaults else None)
        return instance

    def give(self, instance: Any) -> P:
        """Make of a partial instance what is to be given."""
        smaller: Any = self._smaller
        if smaller is None:
            return instance  # type: ignore[no-any-return]  # a partial instance of the model, which is P then
        try:
            return smaller.model_validate(instance, from_attributes=True, by_name=True)  # type: ignore[no-any-return]
        except ValidationError as error:
            raise InvalidItem(f"{instance!r} does not fit {smaller.__name__}: {error}") from None


class _Part(BaseModel):
    """Some fields of a model: what checks them, without the validators of the whole."""

    __slots__ = ("_stored",)


@lru_cache(maxsize=256)
def _part_of(model: type[BaseModel], names: frozenset[str]) -> type[_Part]:
    """Make the class of some fields of a model, with the validators of these fields."""
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
