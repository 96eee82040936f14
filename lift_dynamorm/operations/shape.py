"""What a read makes of stored items: instances of one model or of several, partial ones, a smaller model's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lift_dynamorm.operations.read import load, load_one, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.projection import Selection
    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Shape(Generic[R]):
    """What a read gives: each item as an instance of its model.

    schemas: the models; no item is of two of them. attributes: what is needed of each item, None for all of it.
    """

    schemas: tuple[Schema[Any], ...]
    attributes: frozenset[str] | None = None

    def visible(self, context: Context, items: Iterable[Item], *, expired: bool) -> list[Item]:
        """Keep the stored items that are these models' and this tenant's, and are there."""
        if len(self.schemas) == 1:
            (schema,) = self.schemas
            prefix, owns = context.prefix, schema.owns
            if expired or schema.expiry is None:  # without a call more for each of many items
                return [item for item in items if owns(item, prefix)]
            now = context.now()
            return [item for item in items if owns(item, prefix) and not schema.has_expired(item, now)]
        return [item for item in items if any(visible(context, s, item, expired=expired) for s in self.schemas)]

    def schema_of(self, item: Item, prefix: str) -> Schema[Any]:
        """Find the model that a visible item is of."""
        return next(schema for schema in self.schemas if schema.owns(item, prefix))

    async def load(self, context: Context, items: Sequence[Item]) -> list[R]:
        """Make of visible items what is given, and call the hooks for what is read."""
        if len(self.schemas) == 1:
            return await load(context, self.schemas[0], items)
        return [await load_one(context, self.schema_of(item, context.prefix), item) for item in items]


@dataclass(frozen=True, slots=True)
class Part(Shape[R]):
    """Partial instances of a model, or what is made of them; hooks see the partial ones."""

    selection: Selection[R] | None = None

    async def load(self, context: Context, items: Sequence[Item]) -> list[R]:
        assert self.selection is not None
        instances = [self.selection.partial(item, context.prefix) for item in items]
        if context.after_read:
            for instance in instances:
                await context.after_read.run(self.selection.schema.model, instance)
        return [self.selection.give(instance) for instance in instances]
