"""The query builder: what is asked of a model, until something asks for the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from pydantic import BaseModel

from lift_dynamorm.collection import check_told_apart
from lift_dynamorm.errors import ItemNotFound, QueryError, UsageError
from lift_dynamorm.explain import Explanation, explain
from lift_dynamorm.expressions import Expression, F, Path
from lift_dynamorm.model import Model, schema_of
from lift_dynamorm.operations.query import Reading
from lift_dynamorm.operations.shape import Part, Shape
from lift_dynamorm.planner import Wanted, plan
from lift_dynamorm.projection import Selection
from lift_dynamorm.resolve import resolve, resolve_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.reader import Reader
    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]

R = TypeVar("R")
P = TypeVar("P", bound=BaseModel)
A = TypeVar("A", bound=Model)
B = TypeVar("B", bound=Model)
C = TypeVar("C", bound=Model)
D = TypeVar("D", bound=Model)

DEFAULT_PAGE = 50


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Some items, and the cursor to the next ones; None where there are none."""

    items: list[R]
    cursor: str | None

    def __iter__(self) -> Iterator[R]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True)
class Asked(Generic[R]):
    """What has been said so far of a read of a model that gives `R`; every call of the builder gives a new one."""

    session: Reader
    model: type[Model]
    conditions: tuple[Expression, ...] = ()
    most: int | None = None
    chosen: str | None = None
    is_consistent: bool = False
    selection: Selection[Any] | None = None
    with_expired: bool = False

    def where(self, *conditions: Any, **equal: Any) -> Self:
        """Keep items for which all conditions hold.

        Three forms: ``where(F.joined > day)``, ``where(team="core")`` and ``where("joined", ">", day)``. In the third
        one too conditions can be joined: ``where(F("joined", ">", day) | F("nick", "not_exists"))``.
        """
        if conditions and isinstance(conditions[0], str):
            name, *rest = conditions
            if not rest:
                raise QueryError(f'where({name!r}) is no condition; write F.{name}.exists() or ("{name}", "exists")')
            conditions = (F(name, *rest),)
        for condition in conditions:
            if not isinstance(condition, Expression):
                msg = (
                    f'where({condition!r}) is no condition; write F.field == value, field=value or "field", "=", value'
                )
                raise QueryError(msg)
        more = (*conditions, *(F[name] == value for name, value in equal.items()))
        return replace(self, conditions=(*self.conditions, *more))

    def limit(self, most: int) -> Self:
        """Stop after so many items; for `page`, the size of a page."""
        if type(most) is not int or most < 1:
            raise UsageError(f"limit({most!r}): give a whole number from 1")
        return replace(self, most=most)

    def index(self, name: str) -> Self:
        """Use this index and no other; ``"table"`` is the table itself."""
        return replace(self, chosen=name)

    def consistent(self) -> Self:
        """Read what was written last, at twice the cost; not possible on a global index."""
        return replace(self, is_consistent=True)

    def include_expired(self) -> Self:
        """Give items whose time to live is over too, where DynamoDB has not deleted them yet."""
        return replace(self, with_expired=True)

    def _only(self, what: tuple[Any, ...]) -> Any:
        """Select what is given of each item; see `Query.only`."""
        if self.selection is not None or not what:
            raise UsageError("only() is said once, and names fields or a smaller model")
        schema = schema_of(self.model)
        if isinstance(what[0], type) and issubclass(what[0], BaseModel):
            smaller, *more = what
            if more:
                raise UsageError(f"only({smaller.__name__}, ...): give one model, or names of fields")
            return replace(self, selection=Selection(schema, smaller.model_fields, smaller))
        for name in what:
            if not isinstance(name, str):
                raise UsageError(f"only({name!r}): give names of fields, or a smaller model")
        return replace(self, selection=Selection(schema, what))

    def _shape(self, schemas: tuple[Schema[Any], ...], *, counting: bool) -> Shape[R]:
        """Tell what is given of each item; counting: nothing but that it is there."""
        over = frozenset(s.expiry for s in schemas if s.expiry is not None and not self.with_expired)
        if counting:
            return Shape(schemas, over)
        if self.selection is None:
            return Shape(schemas)
        if len(schemas) > 1:
            raise UsageError("only() and including() do not go together: the models have different fields")
        return Part(schemas, self.selection.attributes | over, self.selection)


@dataclass(frozen=True, slots=True)
class AskedByKey(Asked[R]):
    """What has been said so far of a query."""

    order: tuple[str, bool] | None = None
    fetches: bool = False
    others: tuple[type[Model], ...] = ()

    def order_by(self, field: str | Path) -> Self:
        """Sort by the sort key: ``"joined"``, or ``"-joined"`` for descending.

        The sort key's own attribute is a name for it too, where it is made by a template: ``"-sk"``.
        """
        if isinstance(field, Path):
            return replace(self, order=(str(field), True))
        return replace(self, order=(field.removeprefix("-"), not field.startswith("-")))

    def fetch(self) -> Self:
        """Load the items by their keys, 100 at a time, where the index does not hold all that is needed of them."""
        return replace(self, fetches=True)

    def explain(self, *, item_size: int = 1024) -> Explanation:
        """Say what the query will do, without doing it. item_size: bytes that an item is assumed to take."""
        if callable(self.session.tenant):
            raise UsageError("explain() needs a session whose tenant is known")
        return explain(self._reading(self.session.context()), self.most, item_size)

    def _including(self, models: tuple[type[Model], ...]) -> Any:
        """Give items of other models in the same partition too; see `Query.including`."""
        others = (*self.others, *models)
        check_told_apart([schema_of(model) for model in (self.model, *others)])
        return replace(self, others=others)

    def _reading(self, context: Context, *, counting: bool = False) -> Reading[R]:
        schema, *others = (schema_of(model) for model in (self.model, *self.others))
        shape = self._shape((schema, *others), counting=counting)
        order = None
        if self.order is not None:
            name, forward = self.order
            hidden = name in schema.hidden
            order = (name if hidden else str(resolve_path(schema, Path((name,))).name.parts[0]), forward)
        chosen = plan(
            schema,
            [resolve(schema, condition, context.prefix) for condition in self.conditions],
            context.prefix,
            Wanted(order, self.chosen, self.is_consistent, shape.attributes, self.fetches, tuple(others)),
        )
        return Reading(context, self.session.unit_of_work, shape, chosen, self.is_consistent, self.with_expired)


class Query(AskedByKey[R]):
    """A query on a model. Build it with `where`, `order_by`, `limit`; read it with ``async for`` or a verb."""

    __slots__ = ()

    @overload
    def only(self, *fields: str) -> Self: ...

    @overload
    def only(self, model: type[P], /) -> Query[P]: ...

    def only(self, *what: Any) -> Any:
        """Read less of each item: ``only("id", "name")`` gives partial instances, ``only(Small)`` a smaller model's.

        A partial instance has these fields and those of its key, and cannot be written.
        """
        return self._only(what)

    @overload
    def including(self, a: type[A], /) -> Query[R | A]: ...

    @overload
    def including(self, a: type[A], b: type[B], /) -> Query[R | A | B]: ...

    @overload
    def including(self, a: type[A], b: type[B], c: type[C], /) -> Query[R | A | B | C]: ...

    @overload
    def including(self, a: type[A], b: type[B], c: type[C], d: type[D], /) -> Query[R | A | B | C | D]: ...

    def including(self, *models: type[Model]) -> Any:
        """Give the items of other models in the same partition too, each as its class, in the order of the sort key.

        The conditions name the partition, by the fields of the first model.
        """
        return self._including(models)

    if not TYPE_CHECKING:  # so that a type checker still refuses it

        def __iter__(self):
            raise UsageError("a query is read by `async for`; without await: db.sync.session(...)")

    async def __aiter__(self) -> AsyncIterator[R]:
        reading = self._reading(await self.session.open())
        async for items in self._limited(reading):
            for at in range(0, len(items), reading.at_once):
                for given in await reading.give(items[at : at + reading.at_once]):
                    yield given

    async def _limited(self, reading: Reading[R]) -> AsyncIterator[Sequence[Item]]:
        left = self.most
        async for found in reading.pages(left):
            yield found.items[:left]
            if left is not None:
                left -= len(found.items)
                if left <= 0:
                    return

    async def all(self) -> list[R]:
        """Read every item, up to the limit, into a list."""
        reading = self._reading(await self.session.open())
        return [given async for items in self._limited(reading) for given in await reading.give(items)]

    async def first(self) -> R | None:
        """Read the first item; None where there is none."""
        items = await self.limit(1).all()
        return items[0] if items else None

    async def one(self) -> R:
        """Read the only item; `ItemNotFound` where there is none, `QueryError` where there are several."""
        item = await self._at_most_one("one()")
        if item is None:
            raise ItemNotFound(f"one(): no {self.model.__name__} matches; one_or_none() allows that")
        return item

    async def one_or_none(self) -> R | None:
        """Read the only item, None where there is none; `QueryError` where there are several."""
        return await self._at_most_one("one_or_none()")

    async def _at_most_one(self, verb: str) -> R | None:
        items = await self.limit(2).all()
        if len(items) > 1:
            raise QueryError(f"{verb}: several {self.model.__name__} items match; first() takes the first of them")
        return items[0] if items else None

    async def count(self) -> int:
        """Count the items, up to the limit. Reading them is paid for all the same."""
        return await self._reading(await self.session.open(), counting=True).count(self.most)

    async def page(self, after: str | None = None) -> Page[R]:
        """Read one page of `limit` items (50 by default), with the cursor to the next one.

        after: the cursor of the page before; None or "" for the first. Raises CursorError.
        """
        context = await self.session.open()
        reading, size = self._reading(context), self.most or DEFAULT_PAGE
        start = None
        if after:
            start = context.cursors.open(after, query=reading.fingerprint, tenant=context.prefix)
        items: list[Item] = []
        places: list[Item] = []
        async for found in reading.pages(size + 1, start):
            items += found.items
            places += found.places
            if len(items) > size:
                position = reading.position_of(places[size - 1])
                cursor = context.cursors.sign(position, query=reading.fingerprint, tenant=context.prefix)
                return Page(await reading.give(items[:size]), cursor)
        return Page(await reading.give(items), None)
