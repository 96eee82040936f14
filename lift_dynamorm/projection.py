"""What a read gives of an item where that is less than all of it: some fields of the model, or a smaller model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from lift_dynamorm.errors import InvalidItem, QueryError, did_you_mean
from lift_dynamorm.validation import part_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]

P = TypeVar("P")


class Selection(Generic[P]):
    """Some fields of a model, and those of its key, as `Query.only` names them.

    smaller: the model to give instead of partial instances. attributes: what is read for them.
    """

    __slots__ = ("_part", "_smaller", "attributes", "schema")

    def __init__(self, schema: Schema[Any], names: Iterable[str], smaller: type[P] | None = None) -> None:
        chosen = {schema.name_of(attribute) for attribute in schema.key.fields}.union(names)
        for name in chosen - schema.fields.keys():
            where = f"{smaller.__name__}.{name}" if smaller is not None else f"`{name}`"
            mend = did_you_mean(name, schema.fields, "its fields are")
            raise QueryError(f"only(): {schema.name} has no field for {where}; {mend}")
        model: type[BaseModel] = schema.model
        self.schema: Schema[Any] = schema
        self.attributes: frozenset[str] = frozenset(schema.fields[name].attribute for name in chosen)
        self._part = part_of(model, frozenset(chosen))
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
