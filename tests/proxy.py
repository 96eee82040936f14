"""A TCP proxy in front of an engine: it counts connections, checks requests, and breaks the way where it is told to."""

from __future__ import annotations

import selectors
import socket
import threading
from typing import Any

import httptools
import orjson

from tests import wire

BEFORE, AFTER, HALF_WAY = "before the request is passed on", "after it was answered", "half-way through the answer"
STEPS = (BEFORE, AFTER, HALF_WAY)


class _Request:
    """Collects one request of a connection at a time; httptools calls the `on_` methods."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self.raw = self._body = b""
        self.operation = ""
        self.complete = False

    def feed(self, data: bytes) -> None:
        self.raw += data
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-amz-target":
            self.operation = value.decode().rpartition(".")[2]

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.complete = True

    def check(self) -> None:
        wire.check(self.operation, orjson.loads(self._body))


class Proxy:
    """Pass connections on to a port of this machine.

    accepted: how many connections there were. operations: the requests that arrived, in their order.
    break_next: cut the connection of the next request of that operation at a step. Every request is held
    against botocore's model of DynamoDB; `stop` raises what was found wrong.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._ended = False
        self._breaks: list[tuple[str, str]] = []
        self._wrong: list[BaseException] = []
        self._cutting: dict[Any, str] = {}
        self.accepted = 0
        self.operations: list[str] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def break_next(self, operation: str, step: str) -> None:
        self._breaks.append((operation, step))

    def cut(self) -> None:
        """Break every connection that is open."""
        with self._lock:
            self._close(*self._open())

    def stop(self) -> None:
        self._ended = True
        self._thread.join()
        self._close(*self._open())
        self._selector.close()
        self._listener.close()
        if self._wrong:
            raise self._wrong[0]

    def _run(self) -> None:
        while not self._ended:
            for key, _ in self._selector.select(0.02):
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj in self._open():
                        self._pass_on(key.fileobj, *key.data)

    def _open(self) -> list[Any]:
        return [key.fileobj for key in self._selector.get_map().values() if key.data is not None]

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        far = socket.create_connection(self._target)
        self.accepted += 1
        self._selector.register(near, selectors.EVENT_READ, (far, _Request()))
        self._selector.register(far, selectors.EVENT_READ, (near, None))

    def _pass_on(self, source: Any, target: socket.socket, request: _Request | None) -> None:
        try:
            data = source.recv(65536)
            if not data:
                self._close(source, target)
            elif request is not None:
                self._ask(source, target, request, data)
            else:
                self._answer(source, target, data)
        except OSError:
            self._close(source, target)

    def _ask(self, near: Any, far: socket.socket, request: _Request, data: bytes) -> None:
        request.feed(data)
        if not request.complete:
            return
        self.operations.append(request.operation)
        try:
            request.check()
        except Exception as error:
            self._wrong.append(error)
        raw, operation = request.raw, request.operation
        request.start()
        step = next((step for wanted, step in self._breaks if wanted == operation), None)
        if step is not None:
            self._breaks.remove((operation, step))
            if step == BEFORE:
                self._close(near, far)
                return
            self._cutting[far] = step
        far.sendall(raw)

    def _answer(self, far: Any, near: socket.socket, data: bytes) -> None:
        step = self._cutting.pop(far, None)
        if step == HALF_WAY:
            near.sendall(data[: len(data) // 2])
        elif step is None:
            near.sendall(data)
        if step is not None:
            self._close(far, near)

    def _close(self, *ends: Any) -> None:
        for end in ends:
            self._selector.unregister(end)
            end.close()
