"""The session: what a request or a job reads and writes models through."""

from __future__ import annotations

import inspect
import logging
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from lift_dynamorm.batch import Batch
from lift_dynamorm.errors import UsageError
from lift_dynamorm.expressions import Assignment
from lift_dynamorm.hooks import WriteEvent
from lift_dynamorm.key import key_values
from lift_dynamorm.model import Model, schema_of
from lift_dynamorm.operations import raw
from lift_dynamorm.operations.check import check_instance, check_key
from lift_dynamorm.operations.context import Context
from lift_dynamorm.operations.delete import delete_instance, delete_key
from lift_dynamorm.operations.put import create, put
from lift_dynamorm.operations.read import load_one
from lift_dynamorm.operations.store import store
from lift_dynamorm.operations.transact import commit
from lift_dynamorm.operations.update import update_instance, update_key
from lift_dynamorm.operations.write import item_as_read
from lift_dynamorm.reader import Reader
from lift_dynamorm.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

    from lift_dynamorm.conditions import Condition
    from lift_dynamorm.database import Database
    from lift_dynamorm.expressions import Expression
    from lift_dynamorm.operations.wire import Execute
    from lift_dynamorm.reader import Tenant
    from lift_dynamorm.sync import SyncSession
    from lift_dynamorm.transport.retry import RetryTransport
    from lift_dynamorm.work import Mode

    Item = dict[str, Any]
    Verb = Literal["create", "put", "update", "delete"]
    Isolation = Literal["read-committed", "serializable"]

M = TypeVar("M", bound=Model)

log: logging.Logger = logging.getLogger("lift_dynamorm")

_NO_KEY: Mapping[str, Any] = MappingProxyType({})


class Session(Reader):
    """Read and write models, on behalf of one tenant.

    Writes go out at once, or, inside `transaction()` and in a request, together when it commits: then reads
    see them already. A session does no I/O before its first verb, and is meant for one task at a time.

    tenant: the tenant's id, None without tenants, or a function that tells it when the session is first used.
    deadline: `time.monotonic()` seconds at which every operation gives up.
    """

    __slots__ = ("_sync",)

    def __init__(
        self, database: Database, transport: RetryTransport, *, tenant: Tenant = None, deadline: float | None = None
    ) -> None:
        super().__init__(database, transport, tenant=tenant, deadline=deadline)
        self._sync: SyncSession | None = None

    if not TYPE_CHECKING:  # so that a type checker still refuses it

        def __enter__(self):
            raise UsageError("a session is opened by `async with`; without await: with db.sync.session(...)")

        def __exit__(self, *_):
            pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exception_type: type[BaseException] | None, *_: object) -> None:
        if exception_type is None:
            await self.commit()
        else:
            self.rollback()

    @property
    def sync(self) -> SyncSession:
        """This session for code that cannot await: same tenant, same transaction."""
        if self._sync is None:
            from lift_dynamorm.sync import SyncSession

            tenant = self._told if callable(self.tenant) else self.tenant
            twin = Session(self._database, self._transport.blocking, tenant=tenant, deadline=self.deadline)
            twin._blocking, twin._work, twin._meter = True, self._work, self._meter
            self._sync = SyncSession(twin)
        return self._sync

    def _told(self) -> Any:
        """Find out the tenant, once for this session and its twin."""
        self.context()
        return self.tenant

    # -- writes --------------------------------------------------------------------------------------------------------

    async def create(self, item: M, /, *, if_: Expression | None = None) -> M:
        """Store a new item; `ItemExists` where there is one with its key. Returns the item."""
        context = await self._writable()
        await self._before("create", item)
        await store(context, self._work.unit, create(context, item, self._condition(context, type(item), if_)))
        return item

    async def put(self, item: M, /, *, if_: Expression | None = None) -> M:
        """Store a whole item, new or in place of the one that is there. Returns the item.

        With a version field, `VersionConflict` where the stored item changed since this one was read.
        """
        context = await self._writable()
        await self._before("put", item)
        await store(context, self._work.unit, put(context, item, self._condition(context, type(item), if_)))
        return item

    @overload
    async def update(self, item: M, /, *changes: Assignment, if_: Expression | None = None, **values: Any) -> M: ...

    @overload
    async def update(
        self,
        model: type[M],
        key: Mapping[str, Any],
        /,
        *changes: Assignment,
        if_: Expression | None = None,
        upsert: bool = False,
        returning: Literal[True] = True,
        **values: Any,
    ) -> M: ...

    @overload
    async def update(
        self,
        model: type[M],
        key: Mapping[str, Any],
        /,
        *changes: Assignment,
        if_: Expression | None = None,
        upsert: bool = False,
        returning: Literal[False],
        **values: Any,
    ) -> None: ...

    async def update(
        self,
        target: Any,
        /,
        *changes: Any,
        if_: Expression | None = None,
        upsert: bool = False,
        returning: bool = True,
        **values: Any,
    ) -> Any:
        """Change some fields of an item. Returns its new state.

        ``update(user, name="Ann", tags=F.tags.add({"x"}))`` also stores what was changed on the instance since
        it was read, and with a version field raises `VersionConflict` where the stored item changed meanwhile.
        ``update(User, {"id": "42"}, logins=F.logins + 1)`` needs no read. `ItemNotFound` where there is no item;
        upsert: create it then.

        In a transaction an update by key reads the item once, and what it calculates from that becomes a condition
        of the commit, so that the state it returns is true. returning=False returns None instead, and lets others
        change the item at the same time: for counters that many write.
        """
        context = await self._writable()
        if isinstance(target, Model):
            if upsert or not returning:
                raise UsageError("upsert and returning go with an update by key; to store an instance, use put()")
            _check_assignments("instance", changes)
            await self._before("update", target)
            condition = self._condition(context, type(target), if_)
            planned = update_instance(context, target, changes, values, condition)
            if planned is not None:
                before = item_as_read(target, planned.key) or planned.schema.encode(target, context.prefix)
                await store(context, self._work.unit, planned, before)
            return target
        schema = schema_of(target)
        if not changes or isinstance(changes[0], str) or not hasattr(changes[0], "keys"):
            raise UsageError(f"update({schema.name}, ...) needs the key: update({schema.name}, {{...}}, field=value)")
        key_values, *assignments = changes
        _check_assignments(f"{schema.name}, {{...}}", assignments)
        await self._before("update", target, key_values)
        key = schema.key_from(key_values, context.prefix)
        condition = self._condition(context, target, if_)
        planned = update_key(context, schema, key, key_values, assignments, values, condition, upsert=upsert)
        planned.returning = returning
        after = await store(context, self._work.unit, planned)
        return await load_one(context, schema, after) if returning and after is not None else None

    async def delete(
        self,
        target: Model | type[Model],
        key: Mapping[str, Any] | None = None,
        /,
        *,
        if_: Expression | None = None,
        missing_ok: bool = False,
        **fields: Any,
    ) -> None:
        """Delete an item, by instance or by key: ``delete(user)``, ``delete(User, id="42")``.

        `ItemNotFound` where there is none, unless `missing_ok`. By instance, with a version field,
        `VersionConflict` where the stored item changed since it was read.
        """
        context = await self._writable()
        if isinstance(target, Model):
            if key or fields:
                raise UsageError("delete(instance) takes its key from the instance; leave the key out")
            await self._before("delete", target)
            condition = self._condition(context, type(target), if_)
            planned = delete_instance(context, target, condition, missing_ok=missing_ok)
            await store(context, self._work.unit, planned)
            return
        schema = schema_of(target)
        values = key_values(schema, key, fields)
        await self._before("delete", target, values)
        wire = schema.key_from(values, context.prefix)
        condition = self._condition(context, target, if_)
        planned = delete_key(context, schema, wire, values, condition, missing_ok=missing_ok)
        await store(context, self._work.unit, planned)

    async def check(
        self,
        target: Model | type[Model],
        key: Mapping[str, Any] | None = None,
        /,
        *,
        if_: Expression | None = None,
        **fields: Any,
    ) -> None:
        """Require, in a transaction, that an item is there and that a condition holds when it commits.

        By instance, with a version field, also that it has not changed since it was read:
        ``check(order)``, ``check(Account, {"id": "1"}, if_=F.balance > 0)``.
        """
        context = await self._writable()
        unit = self._work.unit
        if unit is None:
            raise UsageError("check() is part of a transaction: async with session.transaction(): ...")
        if isinstance(target, Model):
            if key or fields:
                raise UsageError("check(instance) takes its key from the instance; leave the key out")
            planned = check_instance(context, target, self._condition(context, type(target), if_))
        else:
            schema = schema_of(target)
            values = key_values(schema, key, fields)
            wire = schema.key_from(values, context.prefix)
            planned = check_key(context, schema, wire, values, self._condition(context, target, if_))
        unit.add(planned, None, context.prefix)

    def batch(self, *, unchecked: bool = False) -> Batch:
        """Collect writes of any models in a block, and send them at its end; none of them if the block raises.

        ``async with session.batch() as batch: batch.put(note); batch.delete(Key(Note, id="9"))``. Of two writes to
        one item, the last counts. It is no transaction: `BatchIncomplete` tells what is left where not all could be
        written. A batch carries no conditions; unchecked: write models with a version field all the same.
        """
        return Batch(self._outside_transaction, self._database.write_hooks, unchecked=unchecked)

    def _outside_transaction(self) -> Context:
        self._work.check_open()
        if self._work.unit is not None:
            raise UsageError(
                "a batch goes out in several requests, and cannot be part of the open transaction. "
                "Use put() and delete(), or a session of its own: database.session(...)"
            )
        return self.context()

    async def _before(self, verb: Verb, target: Any, key: Mapping[str, Any] = _NO_KEY) -> None:
        """Call the hooks for what is about to be written."""
        hooks = self._database.write_hooks
        if hooks:
            model, instance = (type(target), target) if isinstance(target, Model) else (target, None)
            await hooks.run(model, WriteEvent(verb, model, instance, key))

    def _condition(self, context: Context, model: type[Model], expression: Expression | None) -> Condition | None:
        return None if expression is None else resolve(schema_of(model), expression, context.prefix)

    async def _writable(self) -> Context:
        self._work.check_open()
        return self._context or self.context()

    # -- past the models -----------------------------------------------------------------------------------------------

    @property
    def execute(self) -> Execute:
        """Send an operation in DynamoDB's own form: ``await session.execute("GetItem", {"TableName": "app", ...})``.

        Tables go by their names in the models, and binary values are base64 text. Not for a tenant's session, and a
        write not inside a transaction.
        """
        return self._execute

    async def _execute(self, operation: str, payload: Mapping[str, Any]) -> Any:
        return await raw.execute(await self.open(), self._work, operation, payload)

    @overload
    async def execute_statement(
        self,
        statement: str,
        parameters: Sequence[Any] = (),
        *,
        model: None = None,
        consistent: bool = False,
        limit: int | None = None,
    ) -> list[dict[str, Any]]: ...

    @overload
    async def execute_statement(
        self,
        statement: str,
        parameters: Sequence[Any] = (),
        *,
        model: type[M],
        consistent: bool = False,
        limit: int | None = None,
    ) -> list[M]: ...

    async def execute_statement(
        self,
        statement: str,
        parameters: Sequence[Any] = (),
        *,
        model: type[M] | None = None,
        consistent: bool = False,
        limit: int | None = None,
    ) -> list[Any]:
        """Run a PartiQL statement: ``await session.execute_statement("SELECT * FROM app WHERE pk = ?", ["USER#1"])``.

        Returns all rows, up to `limit`, as dicts, or with ``SELECT *`` the instances of a `model` among them; nothing
        for a write. `ConditionFailed` where its condition does not hold, `ItemExists` where an INSERT finds an item.
        Not for a tenant's session, and a write not inside a transaction.
        """
        context = await self.open()
        return await raw.execute_statement(
            context, self._work, statement, parameters, model, consistent=consistent, limit=limit
        )

    # -- transactions --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def transaction(self, *, isolation: Isolation = "read-committed") -> AsyncIterator[Self]:
        """Hold back the writes of the block, and commit them as one DynamoDB transaction at its end.

        An exception inside the block, or from the commit, means that nothing was written. Inside another
        transaction the block's writes join it, and an exception takes back the block's own.
        isolation: ``"serializable"`` makes every item that the block reads a condition of the commit, so that
        a change by someone else meanwhile is a `VersionConflict`. Each such item counts as an operation.
        Raises `TransactionCanceled` with one reason per operation.
        """
        if isolation not in ("read-committed", "serializable"):
            raise UsageError(f'transaction(isolation={isolation!r}): it is "read-committed" or "serializable"')
        with self._work.block(serializable=isolation == "serializable") as begun:
            yield self
        if begun:
            await self.commit()

    def begin(self) -> None:
        """Hold back writes from now on, until `commit` or `rollback`."""
        self._work.begin()

    def begin_as(self, mode: Callable[[], Mode]) -> None:
        """Begin in the mode that the function tells when the session is first used.

        ``transactional``: hold back writes; a commit begins the next transaction. ``immediate``: each write goes out
        at once, as in a new session. ``read-only``: refuse writes with `SessionClosed`.
        """
        self._work.begin_as(mode)

    async def commit(self, *, end: str = "") -> None:
        """Write what was held back as one transaction, and end it. Does nothing where none is open.

        end: from now on refuse every write with `SessionClosed(end)`. A write that comes while the commit is under
        way is refused, or belongs to the next transaction.
        """
        unit = self._work.take(end=end)
        if unit:
            await commit(self.context(), unit)
        for function in unit.afterwards if unit is not None else ():
            await _call(function)

    def on_commit(self, function: Callable[[], Awaitable[None] | None]) -> None:
        """Call a function, async or not, once the open transaction is stored; never where it is not.

        In a request that is before the response goes out. What it raises is logged, for what is stored is stored.
        """
        self._work.settle()
        unit = self._work.unit
        if unit is None:
            raise UsageError("on_commit() is for a transaction, and none is open; call the function behind the write")
        unit.afterwards.append(function)

    def rollback(self) -> None:
        """Forget what was held back, give instances their old values, and end the transaction."""
        self._work.rollback()

    def end(self, reason: str) -> None:
        """Roll back what is held back, and refuse every write from now on with `SessionClosed(reason)`; reads go on."""
        self._work.end(reason)


async def _call(function: Callable[[], Awaitable[None] | None]) -> None:
    try:
        called = function()
        if inspect.isawaitable(called):
            await called
    except Exception:
        log.exception("a function of on_commit failed; the transaction is stored")


def _check_assignments(target: str, changes: Iterable[Any]) -> None:
    if any(not isinstance(change, Assignment) for change in changes):
        raise UsageError(f"update({target}, ...) takes fields, as in name=..., and changes, as in F.n.add(1)")
