"""The database: where DynamoDB is, and how to open sessions on it."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from lift_dynamorm.cursors import KEY_VARIABLE, CursorSigner
from lift_dynamorm.errors import TenantMissing, UsageError
from lift_dynamorm.hooks import Hooks, WriteEvent, check_hooked
from lift_dynamorm.ids import new_id
from lift_dynamorm.model import Model
from lift_dynamorm.reader import check_tenant
from lift_dynamorm.session import Session
from lift_dynamorm.sync import SyncDatabase
from lift_dynamorm.table import TableSettings
from lift_dynamorm.transport import Transport
from lift_dynamorm.transport.retry import RetryTransport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lift_dynamorm.reader import Tenant
    from lift_dynamorm.streams.stream import Start, Stream
    from lift_dynamorm.tables import Tables

M = TypeVar("M", bound=Model)
WriteHook = Callable[[WriteEvent[M]], Awaitable[None] | None]
ReadHook = Callable[[M], Awaitable[None] | None]

log: logging.Logger = logging.getLogger("lift_dynamorm")

_DAY = 86_400.0


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Database:
    """A DynamoDB account in a region, or something that speaks its protocol.

    endpoint: None finds AWS by the environment; ``"local://"`` is the embedded engine in this process,
    ``"local:///path/file"`` keeps its data; an ``http(s)://`` address is DynamoDB Local or the like.
    transport: a transport instead of an endpoint, as ``lift_dynamorm.transport.boto.BotoTransport(client)``; the
    database adds the retries.
    region, profile: as in the AWS command line, instead of what the environment says.
    table_names: how the tables of the models are called here: ``{"app": "app-production"}``, or a function.
    table_settings: how they are set up here, over what the models say: for all, or by the models' name of each.
    cursor_keys: secrets that sign page cursors; the first signs, all are accepted. Without, the environment's
    ``LIFT_DYNAMORM_CURSOR_KEY`` (comma separated), else a random one, and cursors are good in this process only.
    cursor_lifetime: seconds for which a cursor is good.
    timeout: seconds for one operation with all its retries; 10 by default.
    require_tenant: a session without a tenant is refused; only `unscoped` leaves the tenants.
    consumed_capacity: have every call say what it consumed, for `Session.capacity`.
    now: the clock of timestamps, of times to live and of cursors. new_id: makes the ids of `Generated` fields.

    Making a database does no I/O. It is meant to be made once, when the module is loaded.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        transport: Transport | None = None,
        region: str | None = None,
        profile: str | None = None,
        table_names: Mapping[str, str] | Callable[[str], str] | None = None,
        table_settings: TableSettings | Mapping[str, TableSettings] | None = None,
        cursor_keys: Sequence[str | bytes] = (),
        cursor_lifetime: float = _DAY,
        timeout: float | None = None,
        max_connections: int = 64,
        require_tenant: bool = False,
        consumed_capacity: bool = False,
        now: Callable[[], datetime] = _utc_now,
        new_id: Callable[[], str] = new_id,
    ) -> None:
        if endpoint is not None and transport is not None:
            raise UsageError("give an endpoint or a transport, not both")
        if transport is None:
            transport = _transport(endpoint, region=region, profile=profile, max_connections=max_connections)
        self.transport: RetryTransport = _with_retries(transport, timeout)
        self.now = now
        self.new_id = new_id
        self.require_tenant = require_tenant
        self.consumed_capacity = consumed_capacity
        self.table_name: Callable[[str], str]
        if callable(table_names):
            self.table_name = table_names
        else:
            names = dict(table_names or {})
            self.table_name = lambda name: names.get(name, name)
        self.table_settings: Callable[[str], TableSettings] = _table_settings(table_settings)
        self.cursors: CursorSigner = CursorSigner(_cursor_keys(cursor_keys), cursor_lifetime, lambda: now().timestamp())
        self.write_hooks: Hooks = Hooks()
        self.read_hooks: Hooks = Hooks()
        self.sync: SyncDatabase = SyncDatabase(self)

    def session(self, tenant: Tenant = None, *, deadline: float | None = None) -> Session:
        """Open a session; use it at once or in ``async with``.

        tenant: whose items it reads and writes; a function is asked when the session is first used. None, in an app
        without tenants: one space that all share.
        deadline: `time.monotonic()` seconds at which its operations give up.
        """
        if tenant is None and self.require_tenant:
            raise TenantMissing(
                "a session of this database needs a tenant; to leave the tenants say unscoped(reason=...)"
            )
        if not callable(tenant):
            check_tenant(tenant)
        return Session(self, self.transport, tenant=tenant, deadline=deadline)

    def unscoped(self, reason: str) -> Session:
        """Open a session outside of every tenant; the reason is logged as a warning."""
        if not reason:
            raise UsageError("unscoped() needs the reason for leaving the tenants' scope; it is logged")
        log.warning("unscoped session: %s", reason)
        return Session(self, self.transport)

    def before_write(self, model: type[M]) -> Callable[[WriteHook[M]], WriteHook[M]]:
        """Call a function before each write of a model, and of those derived from it: ``@db.before_write(User)``.

        It gets a `WriteEvent`, and may change the instance, or raise to refuse the write. It may be async; in a sync
        session it must not wait for the event loop.
        """
        check_hooked(model, "before_write")

        def add(hook: WriteHook[M]) -> WriteHook[M]:
            self.write_hooks.add(model, hook)
            return hook

        return add

    def after_read(self, model: type[M]) -> Callable[[ReadHook[M]], ReadHook[M]]:
        """Call a function with each instance of a model that is read, and of those derived from it.

        What it changes on the instance is not taken for a change by the caller: `update` does not store it.
        """
        check_hooked(model, "after_read")

        def add(hook: ReadHook[M]) -> ReadHook[M]:
            self.read_hooks.add(model, hook)
            return hook

        return add

    def tables(self, *models: type[Model]) -> Tables:
        """Give the tables of models, to plan, create, change, describe and delete."""
        from lift_dynamorm.tables import Tables  # a program in production makes none

        return Tables(self, self.transport, models)

    def stream(
        self,
        *models: type[M] | str,
        start: Start | str = "now",
        tenant: str | None = None,
        others: bool = False,
        follow: bool = True,
        poll: float = 1.0,
    ) -> Stream[M]:
        """Read the changes of a table as they happen; see `lift_dynamorm.streams.Stream`."""
        from lift_dynamorm.streams import Stream  # most programs read none

        return Stream(self, *models, start=start, tenant=tenant, others=others, follow=follow, poll=poll)

    async def create_tables(self, *models: type[Model]) -> None:
        """Create the tables of models that do not exist yet, and verify the others: ``tables(...).ensure()``."""
        await self.tables(*models).ensure()

    async def aclose(self) -> None:
        """Close the connections; the database may be used again afterwards."""
        await self.transport.aclose()


def _transport(endpoint: str | None, *, region: str | None, profile: str | None, max_connections: int) -> Transport:
    if endpoint is not None and endpoint.startswith("local://"):
        from lift_dynamorm.transport.local import LocalTransport

        return LocalTransport(endpoint.removeprefix("local://") or None)
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        msg = (
            f'Database({endpoint!r}): an endpoint is "local://", "local:///path/file" or an http(s):// address; '
            "for AWS itself leave it out"
        )
        raise UsageError(msg)
    from lift_dynamorm.transport.http import HttpTransport

    return HttpTransport.from_environment(
        endpoint=endpoint, region=region, profile=profile, max_connections=max_connections
    )


def _with_retries(transport: Transport, timeout: float | None) -> RetryTransport:
    if isinstance(transport, RetryTransport):
        if timeout is not None:
            raise UsageError(
                "the timeout belongs to the RetryTransport that was given: RetryTransport(..., timeout=...)"
            )
        return transport
    if not isinstance(transport, Transport):
        raise UsageError(f"{type(transport).__name__} is no transport; wrap a boto3 client: BotoTransport(client)")
    return RetryTransport(transport, timeout=10.0 if timeout is None else timeout)


def _table_settings(given: TableSettings | Mapping[str, TableSettings] | None) -> Callable[[str], TableSettings]:
    if given is None or isinstance(given, TableSettings):
        for_all = given or TableSettings()
        return lambda _: for_all
    by_name = dict(given)
    return lambda name: by_name.get(name, TableSettings())


def _cursor_keys(given: Sequence[str | bytes]) -> list[bytes]:
    if isinstance(given, str | bytes):
        given = [given]
    keys = [key.encode() if isinstance(key, str) else key for key in given]
    if not keys:
        keys = [part.encode() for part in os.environ.get(KEY_VARIABLE, "").split(",") if part]
    return keys
