"""The reading half of a session: where it reads, on whose behalf, and the verbs that read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from lift_dynamorm.capacity import Capacity, Meter
from lift_dynamorm.errors import ItemNotFound, TenantMissing, UsageError
from lift_dynamorm.key import Key, key_values
from lift_dynamorm.keys import tenant_prefix
from lift_dynamorm.model import Model, schema_of
from lift_dynamorm.operations.batch import batch_get
from lift_dynamorm.operations.context import Context
from lift_dynamorm.operations.get import current_item
from lift_dynamorm.operations.read import load_one, visible
from lift_dynamorm.operations.transact_get import transact_get
from lift_dynamorm.query import Query
from lift_dynamorm.scan import Scan
from lift_dynamorm.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lift_dynamorm.database import Database
    from lift_dynamorm.key import Found
    from lift_dynamorm.transport.retry import RetryTransport
    from lift_dynamorm.unit_of_work import UnitOfWork

    Tenant = str | Callable[[], str] | None

M = TypeVar("M", bound=Model)
A = TypeVar("A", bound=Model)
B = TypeVar("B", bound=Model)
C = TypeVar("C", bound=Model)
D = TypeVar("D", bound=Model)
E = TypeVar("E", bound=Model)


def check_tenant(tenant: Any) -> None:
    """Refuse what is no tenant's id, and not None either."""
    if tenant is not None and (not isinstance(tenant, str) or not tenant):
        raise UsageError(f"a tenant is a text that is not empty, not {tenant!r}")
    if tenant is not None and any("\ud800" <= character <= "\udfff" for character in tenant):
        raise UsageError(f"a tenant is a text that can be written as UTF-8, not {tenant!r}")


class Reader:
    """Read models, on behalf of one tenant; see `Session`."""

    __slots__ = ("_blocking", "_context", "_database", "_meter", "_transport", "_work", "deadline", "tenant")

    def __init__(
        self, database: Database, transport: RetryTransport, *, tenant: Tenant = None, deadline: float | None = None
    ) -> None:
        self._database = database
        self._transport = transport
        self._blocking = False
        self._work = Work()
        self._meter = Meter(database.table_name) if database.consumed_capacity else None
        self._context: Context | None = None
        self.tenant: Tenant = tenant
        self.deadline: float | None = deadline

    @property
    def unit_of_work(self) -> UnitOfWork | None:
        """The writes held back, None outside of a transaction."""
        return self._work.unit

    def context(self) -> Context:
        """What the operations of this session need to know; finds out the tenant on first use."""
        if self._context is None:
            self._work.settle()
            tenant: Any = self.tenant
            if callable(tenant):
                tenant = tenant()
                if tenant is None or tenant == "":
                    raise TenantMissing(f"the function that tells this session's tenant returned {tenant!r}")
            check_tenant(tenant)
            self.tenant = tenant
            database = self._database
            self._context = Context(
                self._transport,
                tenant_prefix(tenant) if tenant is not None else "",
                self.deadline,
                database.table_name if self._meter is None else self._meter.table_name,
                database.now,
                database.cursors,
                database.new_id,
                self._blocking,
                database.read_hooks,
                self._meter,
            )
        return self._context

    @property
    def capacity(self) -> Capacity:
        """What the calls of this session and its sync twin have consumed so far; `UsageError` where nobody asked.

        ``before = session.capacity``, and later ``print(session.capacity - before)``. Tables have their names in the
        models. What fails, or is answered by nobody, is not reported and not counted.
        """
        if self._meter is None:
            msg = "the capacity that calls consume is not counted; ask for it: Database(consumed_capacity=True)"
            raise UsageError(msg)
        return self._meter.consumed

    async def open(self) -> Context:
        """Prepare for an operation."""
        return self._context or self.context()

    async def get(
        self,
        model: type[M],
        key: Mapping[str, Any] | None = None,
        /,
        *,
        consistent: bool = False,
        include_expired: bool = False,
        **fields: Any,
    ) -> M:
        """Read an item by the fields of its key; `ItemNotFound` where there is none.

        consistent: read what was written last, at twice the cost. include_expired: also an item whose time to live
        is over, and which DynamoDB has not deleted yet.
        """
        item = await self.find(model, key, consistent=consistent, include_expired=include_expired, **fields)
        if item is None:
            given = ", ".join(f"{name}={value!r}" for name, value in {**(key or {}), **fields}.items())
            raise ItemNotFound(f"there is no {model.__name__} with {given}")
        return item

    async def find(
        self,
        model: type[M],
        key: Mapping[str, Any] | None = None,
        /,
        *,
        consistent: bool = False,
        include_expired: bool = False,
        **fields: Any,
    ) -> M | None:
        """Read an item by the fields of its key; None where there is none. See `get`."""
        context = await self.open()
        schema = schema_of(model)
        wire = schema.key_from(key_values(schema, key, fields), context.prefix)
        item = await current_item(context, self._work.unit, schema, wire, consistent=consistent)
        if item is None or not visible(context, schema, item, expired=include_expired):
            return None
        return await load_one(context, schema, item)

    @overload
    async def batch_get(
        self, keys: Iterable[Key[M]], /, *, consistent: bool = False, include_expired: bool = False
    ) -> Found[M]: ...

    @overload
    async def batch_get(
        self,
        model: type[M],
        keys: Iterable[Mapping[str, Any]],
        /,
        *,
        consistent: bool = False,
        include_expired: bool = False,
    ) -> Found[M]: ...

    async def batch_get(
        self, target: Any, keys: Any = None, /, *, consistent: bool = False, include_expired: bool = False
    ) -> Found[Any]:
        """Read any number of items: ``batch_get([Key(User, id="1"), ...])`` or ``batch_get(User, [{"id": "1"}, ...])``.

        What is found comes in the order of the keys, once each; `missing` are the keys of the others.
        `BatchIncomplete`, with what was found, where the deadline came first.
        """
        context = await self.open()
        wanted = target if keys is None else (Key(target, key) for key in keys)
        return await batch_get(context, self._work.unit, wanted, consistent=consistent, expired=include_expired)

    @overload
    async def transact_get(self, a: Key[A], /, *, include_expired: bool = False) -> tuple[A | None]: ...

    @overload
    async def transact_get(
        self, a: Key[A], b: Key[B], /, *, include_expired: bool = False
    ) -> tuple[A | None, B | None]: ...

    @overload
    async def transact_get(
        self, a: Key[A], b: Key[B], c: Key[C], /, *, include_expired: bool = False
    ) -> tuple[A | None, B | None, C | None]: ...

    @overload
    async def transact_get(
        self, a: Key[A], b: Key[B], c: Key[C], d: Key[D], /, *, include_expired: bool = False
    ) -> tuple[A | None, B | None, C | None, D | None]: ...

    @overload
    async def transact_get(
        self, a: Key[A], b: Key[B], c: Key[C], d: Key[D], e: Key[E], /, *, include_expired: bool = False
    ) -> tuple[A | None, B | None, C | None, D | None, E | None]: ...

    @overload
    async def transact_get(self, *keys: Key[M], include_expired: bool = False) -> tuple[M | None, ...]: ...

    async def transact_get(self, *keys: Key[Any], include_expired: bool = False) -> tuple[Any, ...]:
        """Read up to 100 items as they are at one moment; None for each that is not there.

        `TransactionConflict` where one of them was being written until the deadline.
        """
        return await transact_get(await self.open(), self._work.unit, keys, expired=include_expired)

    def query(self, model: type[M]) -> Query[M]:
        """Ask for items by a partition key: ``session.query(User).where(team="core").order_by("-joined")``."""
        schema_of(model)
        return Query(self, model)

    def scan(self, model: type[M]) -> Scan[M]:
        """Read a model's whole table, in no order: ``session.scan(User).where(team="core").segments(8)``."""
        schema_of(model)
        return Scan(self, model)
