"""What the items of one model make of another: puts in the target table, by the place each goes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lift_dynamorm.conditions import same
from lift_dynamorm.errors import UsageError
from lift_dynamorm.key import Key
from lift_dynamorm.model import Model, schema_of
from lift_dynamorm.operations.unique import Claim, claims
from lift_dynamorm.operations.write import Write
from lift_dynamorm.restore import restore
from lift_dynamorm.streams.change import whose
from lift_dynamorm.unit_of_work import identity

if TYPE_CHECKING:
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.unit_of_work import Identity

    Item = dict[str, Any]

S = TypeVar("S", bound=Model)
T = TypeVar("T", bound=Model)

Function = Callable[[S], T | Sequence[T] | None]
Keys = Callable[[Mapping[str, Any]], Key[Any] | Sequence[Key[Any]] | None]

Places = dict["Identity", Write]
"""Puts, with the claims of unique fields among them, or deletions; one for each item of the target table."""


class Conversion(Generic[S, T]):
    """Make target items of source items, in wire form; the tenant of each stays.

    function: a source instance to a target instance, to several, or to None for nothing. Equal instances must make
    equal ones: ids and times come from the source. None: items go over as they are, with what no model knows.
    key: the fields of a source key to the key, or keys, of all that the function can make of such an item; needed only
    where a stream does not tell what items were.
    """

    def __init__(self, source: type[S], target: type[T], function: Function[S, T] | None, key: Keys | None) -> None:
        self.source: Schema[S] = schema_of(source)
        self.target: Schema[T] = schema_of(target)
        self.function = function
        self.key = key
        if function is None and self.source.key.attributes != self.target.key.attributes:
            raise UsageError(
                f"{source.__name__} and {target.__name__} have keys of other names, so items cannot go over as they "
                f"are; give a function: Copy({source.__name__}, {target.__name__}, lambda old: {target.__name__}(...))"
            )
        if source is target:
            raise UsageError(
                f"{source.__name__} cannot be copied to itself; derive a model with another table, or use Transform"
            )

    def prefix(self, item: Item) -> str | None:
        """Tell what stands in front of the partition keys of an item's tenant; None where it is not the source's."""
        prefix, _ = whose(item[self.source.partition.attribute])
        return prefix if self.source.owns(item, prefix) else None

    def made(self, context: Context, item: Item | None) -> Places:
        """Give the puts that a stored item of the source makes; none for None, and for what is not the source's.

        Raises InvalidItem where the item does not fit the source, InvalidValue where what is made cannot be stored.
        """
        prefix = None if item is None else self.prefix(item)
        if item is None or prefix is None:
            return {}
        context = replace(context, prefix=prefix)
        places: Places = {}
        for made in self._items(item, prefix):
            write = Write(self.target, "put", "copy", self.target.key_of_item(made), context.now(), item=made)
            at = identity(self.target, write.key)
            if at in places:
                raise UsageError(f"{self._named()} makes two items with the key {write.key} of {self._described(item)}")
            places[at] = write
            for claim in claims(context, write, None, made):
                places[identity(self.target, claim.key)] = claim
        return places

    def places_of(self, context: Context, key: Item) -> Places:
        """Give the deletions of all that an item with this key can have made; UsageError where nobody knows."""
        prefix = self.prefix(key)
        if prefix is None:
            return {}
        if self.key is not None:
            fields = self.source.without_prefix(restore(self.source, self.source.key, key, prefix), prefix)
            known = self.source.by_attribute
            values = {known[name].name: known[name].codec.decode(fields[name]) for name in self.source.key.fields}
            given = self.key(values)
            keys = [given] if isinstance(given, Key) else list(given or ())
            wires = [self.target.key_from(key.values, prefix) for key in keys]
        elif self.function is None:
            wires = [key]
        else:
            raise UsageError(
                f"the stream of {self.source.name} does not tell what items were, so {self._named()} cannot tell what "
                'they had made; say Copy(..., key=lambda fields: Key(...)), or make the view "NEW_AND_OLD_IMAGES"'
            )
        now = context.now()
        return {identity(self.target, wire): Write(self.target, "delete", "copy", wire, now) for wire in wires}

    def check_repeatable(self, context: Context, item: Item) -> None:
        """Refuse a function that makes something else of the same item each time: nothing could be compared."""
        one, other = self.made(context, item), self.made(context, item)
        if one.keys() != other.keys() or not all(equal(one[at].item, other[at].item) for at in one):
            raise UsageError(
                f"{self._named()} makes something else of {self._described(item)} each time it is called; take ids and "
                "times from the source item, and leave nothing to a default_factory"
            )

    def _items(self, item: Item, prefix: str) -> list[Item]:
        if self.function is None:
            if not self.target.owns(item, prefix):
                raise UsageError(
                    f"{self.target.name} would not find {self._described(item)} by its key; give Copy a function"
                )
            return [item]
        given = self.function(self.source.decode(item, prefix))
        made = [given] if isinstance(given, Model) else list(given or ())
        return [self._encoded(instance, prefix) for instance in made]

    def _encoded(self, instance: Any, prefix: str) -> Item:
        if not isinstance(instance, self.target.model):
            raise UsageError(
                f"{self._named()} returns {self.target.name}, a list of them, or None; not {type(instance).__name__}"
            )
        schema = self.target
        values = dict(instance.__dict__)
        if schema.roles.version is not None:
            values[schema.roles.version] = values[schema.roles.version] or 1  # 0 is that of an item not yet stored
        if schema.roles.generated is not None and not values[schema.roles.generated]:
            raise UsageError(
                f"{self._named()} leaves {schema.name}.{schema.roles.generated} empty; take it from the source"
            )
        item = schema.encode_fields(values, instance.model_extra)
        schema.add_keys(item, prefix)
        return item

    def _named(self) -> str:
        return getattr(self.function, "__name__", "the function")

    def _described(self, item: Item) -> str:
        return f"the {self.source.name} {shown(self.source.key_of_item(item))}"


def deletion(write: Write) -> Write:
    """Turn a put into the deletion of what it has put; of a claim only where it is still the same owner's."""
    return replace(write, kind="delete", item=None)


def is_claim(write: Write) -> bool:
    return isinstance(write, Claim)


def equal(one: Item | None, other: Item | None) -> bool:
    """Compare two stored items: numbers by value, sets without order."""
    if one is None or other is None:
        return one is other
    return one.keys() == other.keys() and all(same(wire, other[name]) for name, wire in one.items())


def shown(key: Mapping[str, Any]) -> str:
    """Write a key for messages: ``pk=CONN#1, sk=METADATA``."""
    return ", ".join(f"{name}={next(iter(wire.values()))}" for name, wire in key.items())


def error_of(message: str, keys: Sequence[Mapping[str, Any]], most: int = 20) -> str:
    """Write a message with keys, the first of them by name."""
    more = f", and {len(keys) - most} more" if len(keys) > most else ""
    return f"{message}: {'; '.join(map(shown, keys[:most]))}{more}"
