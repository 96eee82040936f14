"""The base class of what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import BaseModel

from lift_dynamorm.definition import Definition, compile_schema
from lift_dynamorm.errors import DefinitionError, UsageError
from lift_dynamorm.indexes import GSI, LSI
from lift_dynamorm.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lift_dynamorm.schema import Schema

M = TypeVar("M", bound="Model")


class Model(BaseModel):
    """A pydantic model whose instances are items of a DynamoDB table.

    Class arguments: `table` is a name or a `Table`; `pk` and `sk` are key templates, or else fields are marked
    `PartitionKey` and `SortKey`; `indexes` are `GSI`s and `LSI`s. A class without `table` is a base for others.
    A model does no I/O: a session stores and loads it.
    """

    __slots__ = ("_shown", "_stored")

    __dynamorm_definition__: ClassVar[Definition | None] = None
    __dynamorm_schema__: ClassVar[Schema[Any] | None] = None

    if TYPE_CHECKING:

        def __init_subclass__(
            cls,
            *,
            table: str | Table | None = None,
            pk: str | None = None,
            sk: str | None = None,
            indexes: Sequence[GSI | LSI] = (),
            **kwargs: Any,
        ) -> None: ...

    else:

        def __init_subclass__(cls, *, table=None, pk=None, sk=None, indexes=(), **kwargs) -> None:
            super().__init_subclass__(**kwargs)

    @classmethod
    def __pydantic_init_subclass__(
        cls,
        *,
        table: str | Table | None = None,
        pk: str | None = None,
        sk: str | None = None,
        indexes: Sequence[GSI | LSI] = (),
        **kwargs: Any,
    ) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if table is not None:
            named = table if isinstance(table, Table) else Table(table)
            if isinstance(indexes, GSI | LSI):
                raise DefinitionError(f"{cls.__name__}: indexes= takes a list: indexes=[{type(indexes).__name__}(...)]")
            cls.__dynamorm_definition__ = Definition(named, pk, sk, tuple(indexes))
        elif pk or sk or indexes:
            msg = (
                f'{cls.__name__} has keys or indexes but no table; write class {cls.__name__}(Model, table="...", ...)'
            )
            raise DefinitionError(msg)
        cls.__dynamorm_schema__ = None
        if cls.__dynamorm_definition__ is not None and cls.__pydantic_complete__:
            schema_of(cls)

    if not TYPE_CHECKING:  # so that a type checker still refuses unknown attributes

        def __getattr__(self, name: str) -> Any:
            if name in type(self).model_fields:
                there = ", ".join(f"`{field}`" for field in self.__dict__)
                msg = f"`{name}` of this {type(self).__name__} was not read, only {there}; name it in .only(...) too"
                raise AttributeError(msg, name=name, obj=self)
            return super().__getattr__(name)


def schema_of(model: type[M]) -> Schema[M]:
    """Give the compiled form of a model; raises DefinitionError where it is not one that can be stored."""
    if not isinstance(model, type):
        raise UsageError(f"a model class is wanted here, not an instance of {type(model).__name__}")
    found = model.__dict__.get("__dynamorm_schema__")
    if found is None:
        definition = getattr(model, "__dynamorm_definition__", None)
        if definition is None:
            msg = (
                f"{getattr(model, '__name__', model)!s} is not stored anywhere; "
                'give its class a table: class Name(Model, table="...")'
            )
            raise DefinitionError(msg)
        if not model.__pydantic_complete__:
            model.model_rebuild()
        found = compile_schema(model, definition)
        model.__dynamorm_schema__ = found
    return found


def stored_item(instance: Model) -> Mapping[str, Any] | None:
    """The item that an instance was read from or last written as, in wire form; None for a new one."""
    return getattr(instance, "_stored", None)


def remember(instance: Model, item: Mapping[str, Any] | None) -> None:
    """Note the stored form of an instance; it takes no part in equality, copies or dumps."""
    object.__setattr__(instance, "_stored", item)
    object.__setattr__(instance, "_shown", None)


def shown_fields(instance: Model) -> Mapping[str, Any] | None:
    """The fields in wire form as hooks left them when the instance was read; None where no hook was there."""
    return getattr(instance, "_shown", None)


def note_shown(instance: Model, fields: Mapping[str, Any]) -> None:
    """Note what hooks made of an instance: that is no change by the caller, and is not stored by `update`."""
    object.__setattr__(instance, "_shown", fields)


def assign(instance: Model, values: Mapping[str, Any]) -> None:
    """Set fields as they are stored, past validation and past `frozen`."""
    instance.__dict__.update(values)
    instance.model_fields_set.update(values)
