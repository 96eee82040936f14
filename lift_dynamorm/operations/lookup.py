"""Items looked for by their keys, each once, as the open transaction leaves them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lift_dynamorm.errors import UsageError
from lift_dynamorm.key import Key
from lift_dynamorm.model import Model, schema_of
from lift_dynamorm.operations.get import confirm
from lift_dynamorm.operations.read import load_one, note_read, visible
from lift_dynamorm.unit_of_work import identity

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.unit_of_work import Identity, UnitOfWork

    Item = dict[str, Any]
    Reference = tuple[Schema[Any], Item]
    Place = tuple[type[Model], Identity]

M = TypeVar("M", bound=Model)


class Lookup(Generic[M]):
    """Some keys, and how to get from what is stored under them to what the caller sees.

    asked: where each key leads, in the caller's order, with repetitions. keys, references: one key to each place, as
    the caller gave it and in wire form.
    """

    def __init__(self, context: Context, unit: UnitOfWork | None, keys: Iterable[Key[M]]) -> None:
        self._context = context
        self._unit = unit
        self.asked: list[Place] = []
        self.keys: dict[Place, Key[M]] = {}
        self.references: dict[Place, Reference] = {}
        if not isinstance(keys, Iterable):
            raise UsageError(f'several keys are wanted: [Key(User, id="1"), ...]; not {keys!r}')
        for key in keys:
            if not isinstance(key, Key):
                raise UsageError(f'items are asked for by keys, as Key(User, id="1"); not by {key!r}')
            schema = schema_of(key.model)
            wire = schema.key_from(key.values, context.prefix)
            place = key.model, identity(schema, wire)
            self.asked.append(place)
            self.keys[place] = key
            self.references[place] = schema, wire

    @property
    def to_read(self) -> list[Reference]:
        """What DynamoDB must be asked for: the open transaction does not write it."""
        unit = self._unit
        return [r for r in self.references.values() if unit is None or unit.find(*r) is None]

    async def load(
        self, stored: Mapping[Identity, Item], *, expired: bool, unread: Collection[Identity] = ()
    ) -> dict[Place, M | None]:
        """Make an instance of each item, None where there is none; what is `unread` is left out."""
        context, unit = self._context, self._unit
        found: dict[Place, M | None] = {}
        for place, (schema, key) in self.references.items():
            _, at = place
            if at in unread:
                continue
            pending = unit.find(schema, key) if unit is not None else None
            if pending is not None and unit is not None:
                await confirm(context, unit, pending)
                item = pending.after
            else:
                item = stored.get(at)
                note_read(context, unit, schema, key, item)
            there = item is not None and visible(context, schema, item, expired=expired)
            found[place] = await load_one(context, schema, item) if item is not None and there else None
        return found
