"""DynamoDB over HTTP/1.1, the default transport: `HttpTransport` and its blocking twin."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING
from weakref import WeakSet

from .credentials import default_credentials
from .endpoint import (
    STREAM_OPERATIONS,
    Settings,
    configured_region,
    environment_endpoint,
    environment_region,
    environment_streams_endpoint,
    parse_endpoint,
    regional_endpoint,
    streams_endpoint,
)
from .exchange import PoolStats, StaleConnection, decode, encode
from .sigv4 import Signer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from ssl import SSLContext
    from typing import Any

    from . import Payload
    from .credentials import CredentialsProvider
    from .pool import Pools
    from .sockets import SocketPool

_CLOSED = PoolStats(0, 0, 0)


class HttpTransport:
    """Send operations from asyncio, over connections that are kept alive. No I/O happens before the first request.

    endpoint: ``https://host`` or ``http://host:port``; "" is the region's own.
    streams_endpoint: of DynamoDB Streams; "" is the region's own where `endpoint` is AWS's, else `endpoint`.
    region: "" looks in AWS's configuration files at the first request; an endpoint on this machine needs none.
    credentials: from the environment, the container or botocore's resolver where not given.
    max_connections: per event loop, and once more for the blocking twin; who finds all in use waits in a queue.
    connect_timeout, read_timeout: seconds for a connection, and for the (next part of the) answer.
    keepalive: seconds a connection may be idle; DynamoDB Local closes its own after 30.
    ssl_context: in place of the one that verifies against the system's authorities or ``AWS_CA_BUNDLE``.

    Errors, for the retry layer: `ConnectionFailed` may be retried, `sent` says whether DynamoDB may have seen the
    request. `DeadlineExceeded` is final, and `maybe_applied` on it says the same. An old connection that the server
    had closed is replaced and the request sent again only if it was not taken, or is a read, or carries a
    ClientRequestToken.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        region: str,
        credentials: CredentialsProvider | None = None,
        profile: str | None = None,
        max_connections: int = 64,
        connect_timeout: float = 3.0,
        read_timeout: float = 10.0,
        keepalive: float = 20.0,
        ssl_context: SSLContext | None = None,
        streams_endpoint: str = "",
    ) -> None:
        def settings(endpoint: str) -> Settings:
            return Settings(
                parse_endpoint(endpoint), max_connections, connect_timeout, read_timeout, keepalive, ssl_context
            )

        self._stand_on(_Wire(endpoint, region, profile, credentials, settings, streams_endpoint))

    def _stand_on(self, wire: _Wire) -> None:
        self._wire = wire
        self._pools: Pools | None = None
        self._inherited: list[Pools] = []
        self._blocking = BlockingHttpTransport(wire)
        _TRANSPORTS.add(self)

    @classmethod
    def _over(cls, wire: _Wire) -> HttpTransport:
        transport = cls.__new__(cls)
        transport._stand_on(wire)
        return transport

    @classmethod
    def from_environment(
        cls,
        endpoint: str | None = None,
        region: str | None = None,
        *,
        credentials: CredentialsProvider | None = None,
        profile: str | None = None,
        max_connections: int = 64,
        connect_timeout: float = 3.0,
        read_timeout: float = 10.0,
        keepalive: float = 20.0,
        ssl_context: SSLContext | None = None,
    ) -> HttpTransport:
        """Take what is not given from AWS's environment variables; a missing region is an error of the first request.

        Read are AWS_REGION, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_DYNAMODB and AWS_ENDPOINT_URL, and where no endpoint
        is given AWS_ENDPOINT_URL_DYNAMODB_STREAMS; an endpoint in AWS's configuration file is not.
        """
        streams = "" if endpoint else environment_streams_endpoint() or ""
        endpoint = endpoint or environment_endpoint() or ""
        region = region or environment_region() or ""
        return cls(
            endpoint=endpoint,
            region=region,
            credentials=credentials,
            profile=profile,
            max_connections=max_connections,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            keepalive=keepalive,
            ssl_context=ssl_context,
            streams_endpoint=streams,
        )

    @property
    def blocking(self) -> BlockingHttpTransport:
        """The twin on plain sockets, with the same configuration and credentials."""
        return self._blocking

    @property
    def stats(self) -> PoolStats:
        """The connections of all event loops; the blocking twin has its own."""
        return self._pools.stats if self._pools else _CLOSED

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        wire = self._wire
        pool = (self._pools or await self._begin()).here()
        if operation in STREAM_OPERATIONS and (streams := wire.streams()) is not None:
            return await streams.send(operation, payload, deadline=deadline)
        now = time.time()
        credentials = wire.credentials.current(now) or await wire.credentials.aget()
        message = wire.signer.request(operation, encode(operation, payload), credentials, now)
        try:
            answer = await pool.exchange(operation, message, deadline)
        except StaleConnection as error:
            if error.sent and not _repeatable(operation, payload):
                raise
            answer = await pool.exchange(operation, message, deadline, fresh=True)
        return decode(operation, answer)

    async def aclose(self) -> None:
        if self._pools is not None:
            await self._pools.close()
        if self._wire.of_streams is not None:
            await self._wire.of_streams.aclose()
        await self._blocking.aclose()

    async def _begin(self) -> Pools:
        import asyncio

        from .pool import Pools

        if self._wire.needs_files:
            await asyncio.to_thread(self._wire.resolve)
        if self._pools is None:
            self._pools = Pools(self._wire.resolve())
        return self._pools

    def after_fork(self) -> None:
        self._wire.after_fork()
        # Kept, not closed: closing them would take the parent's sockets out of the event queue that both share.
        if self._pools is not None:
            self._inherited.append(self._pools)
            self._pools = None


class BlockingHttpTransport:
    """Send operations from threads without an event loop; made by `HttpTransport.blocking`. `send` never suspends."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._pool: SocketPool | None = None
        self._lock = threading.Lock()
        _TRANSPORTS.add(self)

    @property
    def blocking(self) -> BlockingHttpTransport:
        return self

    @property
    def stats(self) -> PoolStats:
        return self._pool.stats if self._pool else _CLOSED

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        wire = self._wire
        pool = self._pool or self._begin()
        if operation in STREAM_OPERATIONS and (streams := wire.streams()) is not None:
            return await streams.blocking.send(operation, payload, deadline=deadline)
        now = time.time()
        credentials = wire.credentials.current(now) or wire.credentials.get()
        message = wire.signer.request(operation, encode(operation, payload), credentials, now)
        try:
            answer = pool.exchange(operation, message, deadline)
        except StaleConnection as error:
            if error.sent and not _repeatable(operation, payload):
                raise
            answer = pool.exchange(operation, message, deadline, fresh=True)
        return decode(operation, answer)

    async def aclose(self) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()
        if self._wire.of_streams is not None:
            await self._wire.of_streams.blocking.aclose()

    def _begin(self) -> SocketPool:
        from .sockets import SocketPool

        with self._lock:
            if self._pool is None:
                self._pool = SocketPool(self._wire.resolve())
            return self._pool

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.forget()


class _Wire:
    """Where requests go and who signs them: what the twins share.

    `signer` is there once `resolve` has run. `of_streams` is the transport to the host of DynamoDB Streams, once it
    was needed and where that is another.
    """

    signer: Signer
    of_streams: HttpTransport | None = None

    def __init__(
        self,
        endpoint: str,
        region: str,
        profile: str | None,
        credentials: CredentialsProvider | None,
        settings: Callable[[str], Settings],
        streams: str = "",
    ) -> None:
        if not endpoint and region:
            endpoint = regional_endpoint(region)
        local = bool(endpoint) and parse_endpoint(endpoint).loopback
        self._endpoint = endpoint
        self._region = region or ("us-east-1" if local else "")
        self._profile = profile
        self._settings = settings
        self._streams = streams
        self._lock = threading.Lock()
        self.credentials: CredentialsProvider = credentials or default_credentials(profile=profile, local=local)

    @property
    def needs_files(self) -> bool:
        """Whether `resolve` will block, to read AWS's configuration files."""
        return not self._region

    def resolve(self) -> Settings:
        if not self._region:
            self._region = configured_region(self._profile)
        settings = self._settings(self._endpoint or regional_endpoint(self._region))
        self.signer = Signer(settings.endpoint.authority, self._region)
        return settings

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    def streams(self) -> HttpTransport | None:
        """Give the way to DynamoDB Streams, None where it is this one; after `resolve`."""
        with self._lock:
            here = self._endpoint or regional_endpoint(self._region)
            url = self._streams or streams_endpoint(here)
            if self.of_streams is None and parse_endpoint(url) != parse_endpoint(here):
                wire = _Wire(url, self._region, self._profile, self.credentials, self._settings, url)
                self.of_streams = HttpTransport._over(wire)
            return self.of_streams


def _repeatable(operation: str, payload: Mapping[str, Any]) -> bool:
    """Tell whether a request may be sent again at once: it reads, or its token keeps it from applying twice."""
    from .retry import reads

    return reads(operation, payload) or (operation == "TransactWriteItems" and bool(payload.get("ClientRequestToken")))


_TRANSPORTS: WeakSet[HttpTransport | BlockingHttpTransport] = WeakSet()


def _after_fork() -> None:
    for transport in list(_TRANSPORTS):
        transport.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
