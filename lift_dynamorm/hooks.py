"""What an app wants to happen before a write and after a read, by model."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from lift_dynamorm.errors import UsageError
from lift_dynamorm.model import Model

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Hook = Callable[[Any], Awaitable[None] | None]

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class WriteEvent(Generic[M]):
    """A write that is about to be made.

    instance: what is written; None for an update or a deletion by key. key: the fields of the key by name, where
    there is no instance.
    """

    verb: Literal["create", "put", "update", "delete"]
    model: type[M]
    instance: M | None
    key: Mapping[str, Any]


def check_hooked(model: Any, decorator: str) -> None:
    """Refuse what is no model: a function that was decorated without brackets would never be called."""
    if not isinstance(model, type) or not issubclass(model, Model):
        said = f"`{getattr(model, '__name__', None) or repr(model)}`"
        raise UsageError(f"{decorator} takes a model class, and {said} is none; write @db.{decorator}(User)")


class Hooks:
    """Functions by model, called in the order in which they were added, those of a base class too."""

    __slots__ = ("_added", "_known")

    def __init__(self) -> None:
        self._added: list[tuple[type[Model], Hook]] = []
        self._known: dict[type[Model], tuple[Hook, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._added)

    def add(self, model: type[Model], hook: Hook) -> None:
        self._added.append((model, hook))
        self._known.clear()

    def of(self, model: type[Model]) -> tuple[Hook, ...]:
        """The functions for a model."""
        known = self._known.get(model)
        if known is None:
            known = self._known[model] = tuple(hook for of, hook in self._added if issubclass(model, of))
        return known

    async def run(self, model: type[Model], argument: Any) -> None:
        """Call the functions for a model, one after the other; what they raise goes to the caller of the verb."""
        for hook in self.of(model):
            result = hook(argument)
            if inspect.isawaitable(result):
                await result
