"""The key of an item as a value, and what is found under several keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from lift_dynamorm.errors import UsageError
from lift_dynamorm.model import Model, schema_of

if TYPE_CHECKING:
    from lift_dynamorm.schema import Schema

M_co = TypeVar("M_co", bound=Model, covariant=True)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Key(Generic[M_co]):
    """The key of an item, by its fields: ``Key(User, id="1")`` or ``Key(User, {"id": "1"})``."""

    model: type[M_co]
    values: Mapping[str, Any]

    def __init__(self, model: type[M_co], values: Mapping[str, Any] | None = None, /, **fields: Any) -> None:
        schema = schema_of(model)
        given = dict(key_values(schema, values, fields))
        schema.encode_key_fields(given)  # a wrong key is refused where it is written down
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "values", given)

    def __hash__(self) -> int:
        return hash((self.model, frozenset(self.values.items())))

    def __repr__(self) -> str:
        given = "".join(f", {name}={value!r}" for name, value in self.values.items())
        return f"Key({self.model.__name__}{given})"


def key_values(schema: Schema[Any], key: Any, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Join the two ways to give the fields of a key: as a mapping, and by name."""
    if key is None:
        return fields
    if not hasattr(key, "keys"):
        names = ", ".join(f"{schema.name_of(attribute)}=..." for attribute in sorted(schema.key.fields))
        raise UsageError(f"the key of {schema.name} is given by name: {names}; not {key!r}")
    return {**key, **fields}


@dataclass(frozen=True, slots=True)
class Found(Sequence[M_co]):
    """The items that are there, in the order of their keys, and the keys that have none."""

    items: tuple[M_co, ...]
    missing: tuple[Key[M_co], ...]

    @overload
    def __getitem__(self, index: int) -> M_co: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[M_co, ...]: ...

    def __getitem__(self, index: int | slice) -> M_co | tuple[M_co, ...]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[M_co]:
        return iter(self.items)
