"""A pool of blocking sockets, for callers without an event loop."""

from __future__ import annotations

import select
import socket
import struct
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING

from ..errors import ConnectionFailed
from .exchange import READ_SIZE, AnswerParser, PoolStats, StaleConnection, all_in_use, timed_out, too_slow, unreachable

if TYPE_CHECKING:
    from .endpoint import Settings
    from .exchange import Answer

_TIMEVAL = struct.Struct("ll")
_STEPS = 16
"""Steps to a second in which time limits above a second are counted."""


class SocketConnection:
    """One connection to the endpoint, used by one thread at a time."""

    __slots__ = (
        "_buffer",
        "_kernel_timeouts",
        "_parser",
        "_poll",
        "_settings",
        "_socket",
        "_timeout",
        "idle_since",
        "used",
    )

    def __init__(self, sock: socket.socket, settings: Settings) -> None:
        self._socket = sock
        self._settings = settings
        self._parser = AnswerParser()
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll:
            self._poll.register(sock, select.POLLIN)
        self._timeout: float | None = None
        # `settimeout` costs a system call more for every send and receive than the kernel's own time limits do.
        self._kernel_timeouts = not settings.endpoint.secure and sys.platform != "win32"
        if self._kernel_timeouts:
            sock.settimeout(None)
        self.idle_since: float = 0.0
        self.used: bool = False
        self._wait_at_most(settings.read_timeout)

    def quiet(self) -> bool:
        """Tell whether the idle connection is as it was left: a server that closes, or says more, spoils it."""
        if self._poll:
            return not self._poll.poll(0)
        return not select.select([self._socket], [], [], 0)[0]

    def exchange(self, operation: str, message: bytes, deadline: float | None, now: float) -> Answer:
        parser = self._parser
        sock = self._socket
        buffer = self._buffer
        sent = False
        timeout = self._settings.read_timeout
        try:
            self._wait_at_most(timeout if deadline is None else min(timeout, max(deadline - now, 0.001)))
            count = sock.send(message)
            sent = True
            if count < len(message):
                sock.sendall(memoryview(message)[count:])
            while True:
                size = sock.recv_into(buffer)
                answer = parser.feed(buffer[:size]) if size else parser.end()
                if answer is not None:
                    self.used = True
                    return answer
                if not size:
                    raise self._closed(operation)
                if deadline is not None:
                    self._wait_at_most(min(timeout, max(deadline - time.monotonic(), 0.001)))
        except (TimeoutError, BlockingIOError):
            if deadline is not None and time.monotonic() >= deadline:
                raise timed_out(operation, sent=True, waited="and no answer has come") from None
            raise too_slow(operation, timeout) from None
        except (OSError, ValueError) as error:
            # A plain socket that refuses the first byte has taken none; TLS may have passed some on.
            raise self._failed(operation, error, sent=sent or self._settings.endpoint.secure) from error

    @property
    def reusable(self) -> bool:
        return self._parser.reusable

    def close(self) -> None:
        self._socket.close()

    def _closed(self, operation: str) -> ConnectionFailed:
        return self._failed(operation, ConnectionResetError("the server closed the connection"), sent=True)

    def _failed(self, operation: str, error: Exception, *, sent: bool) -> ConnectionFailed:
        stale = self.used and not self._parser.began
        kind = StaleConnection if stale else ConnectionFailed
        return kind(f"{operation}: the connection broke: {error}", operation=operation, sent=sent)

    def _wait_at_most(self, seconds: float) -> None:
        if seconds > 1:
            # In steps, so that deadlines which all lie about as far ahead do not cost system calls each time.
            seconds = ceil(seconds * _STEPS) / _STEPS
        if seconds == self._timeout:
            return
        self._timeout = seconds
        if not self._kernel_timeouts:
            self._socket.settimeout(seconds)
            return
        limit = _TIMEVAL.pack(int(seconds), max(int(seconds % 1 * 1_000_000), 1))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


class _Waiter:
    """A thread in the queue for a connection; `connection` None means: there is room, open one."""

    __slots__ = ("_ready", "connection", "served")

    def __init__(self) -> None:
        self._ready = threading.Lock()
        self._ready.acquire()
        self.connection: SocketConnection | None = None
        self.served = False

    def serve(self, connection: SocketConnection | None) -> None:
        self.connection = connection
        self.served = True
        self._ready.release()

    def wait(self, deadline: float | None) -> None:
        self._ready.acquire(timeout=-1 if deadline is None else max(deadline - time.monotonic(), 0))


class SocketPool:
    """Up to `max_connections` connections, shared by threads; the one used last is used next.

    Threads queue in order. What is idle is taken without a lock; the lock guards the count and the queue.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: deque[SocketConnection] = deque()
        self._waiters: deque[_Waiter] = deque()
        self._lock = threading.Lock()
        self._open = 0
        self._closed = False

    @property
    def stats(self) -> PoolStats:
        return PoolStats(self._open, len(self._idle), len(self._waiters))

    def exchange(self, operation: str, message: bytes, deadline: float | None, *, fresh: bool = False) -> Answer:
        """Send a request and return its answer; `fresh` takes a new connection."""
        now = time.monotonic()
        connection = None if fresh or self._waiters else self._take(now)
        if connection is None:
            connection = self._acquire(operation, deadline, fresh=fresh)
            now = time.monotonic()
        if deadline is not None and deadline <= now:
            self._release(connection)
            raise timed_out(operation, sent=False, waited="and nothing was sent")
        try:
            answer = connection.exchange(operation, message, deadline, now)
        except BaseException:
            self._discard(connection)
            raise
        if connection.reusable:
            self._release(connection)
        else:
            self._discard(connection)
        return answer

    def close(self) -> None:
        """Close what is idle now, and what is in use as soon as it is done."""
        self._closed = True
        with suppress(IndexError):
            while True:
                self._discard(self._idle.pop())

    def forget(self) -> None:
        """Let go of the idle connections in a forked child; they stay open in the parent."""
        for connection in self._idle:
            connection.close()

    def _take(self, now: float) -> SocketConnection | None:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if now - connection.idle_since < self._settings.keepalive and connection.quiet():
                return connection
            self._discard(connection)

    def _acquire(self, operation: str, deadline: float | None, *, fresh: bool) -> SocketConnection:
        waiter = _Waiter()
        with self._lock:
            self._waiters.append(waiter)
            self._serve()
        try:
            waiter.wait(deadline)
        finally:
            self._leave(waiter)
        if not waiter.served:
            raise all_in_use(operation, self._settings)
        if waiter.connection is not None:
            if not fresh and waiter.connection.quiet():
                return waiter.connection
            waiter.connection.close()
        try:
            return self._connect(operation, deadline)
        except BaseException:
            self._offer_room()
            raise

    def _leave(self, waiter: _Waiter) -> None:
        if not waiter.served:
            with self._lock:
                if not waiter.served:
                    self._waiters.remove(waiter)

    def _serve(self) -> None:
        """Give idle connections, then room, to the threads that wait; the lock is held."""
        while self._waiters:
            connection = None
            try:
                connection = self._idle.pop()
            except IndexError:
                if self._open >= self._settings.max_connections:
                    return
                self._open += 1
            self._waiters.popleft().serve(connection)

    def _release(self, connection: SocketConnection) -> None:
        connection.idle_since = now = time.monotonic()
        self._idle.append(connection)
        if self._waiters:
            with self._lock:
                self._serve()
        elif self._closed:
            self.close()
        else:
            self._expire(now - self._settings.keepalive)

    def _expire(self, before: float) -> None:
        """Close what has been idle since `before`; the longest idle is leftmost."""
        try:
            while self._idle[0].idle_since < before:
                self._discard(self._idle.popleft())
        except IndexError:
            pass

    def _discard(self, connection: SocketConnection) -> None:
        connection.close()
        self._offer_room()

    def _offer_room(self) -> None:
        """Count one connection less."""
        with self._lock:
            self._open -= 1
            self._serve()

    def _connect(self, operation: str, deadline: float | None) -> SocketConnection:
        settings = self._settings
        endpoint = settings.endpoint
        give_up = time.monotonic() + settings.connect_timeout
        if deadline is not None:
            give_up = min(give_up, deadline)
        problem: Exception = TimeoutError("timed out")
        sock: socket.socket | None = None
        try:
            for family, kind, protocol, _, address in socket.getaddrinfo(
                endpoint.host, endpoint.port, type=socket.SOCK_STREAM
            ):
                left = give_up - time.monotonic()
                if left <= 0:
                    break
                sock = socket.socket(family, kind, protocol)
                try:
                    sock.settimeout(left)
                    sock.connect(address)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    if (tls := settings.tls()) is not None:
                        sock.settimeout(max(give_up - time.monotonic(), 0.001))
                        sock = tls.wrap_socket(sock, server_hostname=endpoint.host)
                    return SocketConnection(sock, settings)
                except BaseException as error:
                    sock.close()
                    if not isinstance(error, OSError):
                        raise
                    problem = error
        except OSError as error:
            problem = error
        raise unreachable(operation, settings, problem, deadline) from problem
