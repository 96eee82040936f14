"""Writes that are collected, and sent many at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from lift_dynamorm.errors import BatchIncomplete, UsageError
from lift_dynamorm.hooks import WriteEvent
from lift_dynamorm.key import Key
from lift_dynamorm.model import Model, assign, schema_of
from lift_dynamorm.operations.batch import write_items
from lift_dynamorm.operations.delete import delete_instance, delete_key
from lift_dynamorm.operations.put import put
from lift_dynamorm.unit_of_work import identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm.hooks import Hooks
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.operations.write import Write
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.unit_of_work import Identity


class Batch:
    """Puts and deletions of any models, collected in a block and sent at its end; see `Session.batch`.

    context: gives the session's context, and refuses where a batch may not be written now.
    """

    __slots__ = ("_context", "_hooks", "_open", "_unchecked", "_writes")

    def __init__(self, context: Callable[[], Context], hooks: Hooks, *, unchecked: bool) -> None:
        context()
        self._context = context
        self._hooks = hooks
        self._unchecked = unchecked
        self._open = False
        self._writes: dict[Identity, Write] = {}

    async def __aenter__(self) -> Self:
        self._open = True
        return self

    async def __aexit__(self, exception_type: type[BaseException] | None, *_: object) -> None:
        try:
            if exception_type is None:
                await self.flush()
        finally:
            self._open, self._writes = False, {}

    def __len__(self) -> int:
        """Count the items that are waiting to be written."""
        return len(self._writes)

    def put(self, item: Model, /) -> None:
        """Store a whole item as it is now, new or in place of the one that is there."""
        context = self._ready()
        write = put(context, item, None)
        self._check(write.schema, locked=True)
        made = write.schema.roles.generated
        if made in write.stamps:  # at once, so that another attempt does not store another item
            assign(item, {made: write.stamps[made]})
        self._add(write)

    def delete(self, target: Model | Key[Any], /) -> None:
        """Delete an item if it is there, by instance or by key."""
        context = self._ready()
        if isinstance(target, Key):
            schema = schema_of(target.model)
            self._check(schema, locked=False)
            key = schema.key_from(target.values, context.prefix)
            write = delete_key(context, schema, key, target.values, None, missing_ok=True)
        elif isinstance(target, Model):
            write = delete_instance(context, target, None, missing_ok=True)
            self._check(write.schema, locked=True)
            names = map(write.schema.name_of, write.schema.key.fields)
            write.key_values = {name: target.__dict__[name] for name in names}
        else:
            raise UsageError(f'delete takes an instance or a key: delete(Key(User, id="1")); not {target!r}')
        self._add(write)

    async def flush(self) -> None:
        """Write what has been collected so far, which an exception then does not take back."""
        context = self._ready()
        writes = [await self._hooked(context, at, write) for at, write in self._writes.items()]
        self._writes = {}
        try:
            await write_items(context, writes)
        except BatchIncomplete as error:
            error.unprocessed = tuple(_given(write) for write in error.unprocessed)
            raise

    def _ready(self) -> Context:
        if not self._open:
            raise UsageError("a batch takes writes inside of its block: async with session.batch() as batch: ...")
        return self._context()

    def _check(self, schema: Schema[Any], *, locked: bool) -> None:
        """Refuse what a batch would break: it carries no conditions. locked: the version, if any, is to be held."""
        if schema.uniques:
            names = ", ".join(f"`{field.name}`" for field in schema.uniques)
            msg = f"a batch cannot keep {names} of {schema.name} unique; use put(), delete(), or a transaction()"
            raise UsageError(msg)
        if locked and schema.roles.version is not None and not self._unchecked:
            msg = (
                f"a batch cannot look at the version of a {schema.name}; use put(), delete(), or a transaction(). "
                "batch(unchecked=True) writes over whatever is there"
            )
            raise UsageError(msg)

    def _add(self, write: Write) -> None:
        self._writes[identity(write.schema, write.key)] = write

    async def _hooked(self, context: Context, at: Identity, write: Write) -> Write:
        """Call the hooks for a write, and give it as they leave it."""
        schema, instance = write.schema, write.instance
        if not self._hooks.of(schema.model):
            return write
        verb: Literal["put", "delete"] = "put" if write.kind == "put" else "delete"
        key = write.key_values if instance is None else {}
        await self._hooks.run(schema.model, WriteEvent(verb, schema.model, instance, key))
        if instance is None or verb == "delete":
            return write
        write = put(context, instance, None)
        if identity(schema, write.key) != at:
            raise UsageError(f"the key of a {schema.name} was changed after it was put into a batch; put a copy")
        return write


def _given(write: Write) -> Model | Key[Any]:
    """Name a write to the caller: the instance that it puts, or the key that it deletes."""
    if write.kind == "put" and write.instance is not None:
        return write.instance
    return Key(write.schema.model, write.key_values)
