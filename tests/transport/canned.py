"""A DynamoDB that says what it is told to: a scripted HTTP server on a free port of 127.0.0.1."""

from __future__ import annotations

import json
import select
import socket
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32


@dataclass
class Reply:
    """How one request is answered.

    drop: close "before" the request is read, or "after" it, and answer nothing.
    cut: send only so many bytes of the answer, then close.
    crc: "right", "wrong" or "" for no checksum.
    close: say ``Connection: close``, and leave the closing to the client.
    length: "declared", "chunked" or "closing" (the end of the connection is the end of the body).
    delay, then pause in the middle of the answer: seconds.
    """

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drop: str = ""
    cut: int | None = None
    crc: str = "right"
    close: bool = False
    length: str = "declared"
    delay: float = 0.0
    pause: float = 0.0
    interim: bool = False
    raw: bytes | None = None

    def pieces(self) -> list[bytes]:
        if self.raw is not None:
            return [self.raw]
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {"Content-Type": "application/x-amz-json-1.0", "x-amzn-RequestId": "REQUEST-1", **self.headers}
        if self.crc:
            headers["x-amz-crc32"] = str(crc32(body) + (self.crc == "wrong"))
        if self.length == "chunked":
            headers["Transfer-Encoding"] = "chunked"
            middle = len(body) // 2
            parts = [part for part in (body[:middle], body[middle:]) if part]
            chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts] + [b"0\r\n\r\n"]
        else:
            chunks = [body]
        if self.length == "declared":
            headers["Content-Length"] = str(len(body))
        if self.close:
            headers["Connection"] = "close"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        interim = "HTTP/1.1 100 Continue\r\n\r\n" if self.interim else ""
        return [f"{interim}HTTP/1.1 {self.status} Said\r\n{lines}\r\n".encode(), *chunks]


@dataclass
class Request:
    operation: str
    headers: dict[str, str]
    body: Any


class CannedServer:
    """Answer with `replies` in order, then with `default`; count what happens."""

    def __init__(self, *replies: Reply, default: Reply | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.replies = deque(replies)
        self.default = default or Reply()
        self.requests: list[Request] = []
        self.connections = 0
        self.most_at_once = 0
        self._tls = tls
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._stopped = False

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> CannedServer:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    @property
    def open(self) -> int:
        return len(self._open)

    def hang_up(self) -> None:
        """Close every open connection from the server's side, and wait until that is done."""
        with self._lock:
            leaving = list(self._open)
        for connection in leaving:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self.wait_until(lambda: not self._open & set(leaving))

    def wait_until(self, true: Any) -> None:
        end = time.monotonic() + 5
        while not true():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.002)

    def _start(self, work: Any, *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopped:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(connection)
                self.most_at_once = max(self.most_at_once, len(self._open))
            self._start(self._serve, connection)

    def _serve(self, plain: socket.socket) -> None:
        connection = plain
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                plain = connection.dup()
                connection = self._tls.wrap_socket(connection, server_side=True)
            while self._exchange(connection):
                pass
        except OSError:
            pass
        finally:
            connection.close()
            plain.close()
            with self._lock:
                self._open = {held for held in self._open if held.fileno() != -1}

    def _exchange(self, connection: socket.socket) -> bool:
        if self.replies and self.replies[0].drop == "before":
            select.select([connection], [], [])
            if connection.recv(1, socket.MSG_PEEK):
                self.replies.popleft()
            return False
        request = self._read(connection)
        if request is None:
            return False
        with self._lock:
            self.requests.append(request)
            reply = self.replies.popleft() if self.replies else self.default
        if reply.drop:
            return False
        time.sleep(reply.delay)
        pieces = reply.pieces()
        if reply.cut is not None:
            connection.sendall(b"".join(pieces)[: reply.cut])
            return False
        for index, piece in enumerate(pieces):
            if index:
                time.sleep(reply.pause)
            connection.sendall(piece)
        if reply.close and connection.recv(1):
            self.requests.append(Request("sent after Connection: close", {}, None))
        return not reply.close and reply.length != "closing"

    def _read(self, connection: socket.socket) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[0] == "POST / HTTP/1.1", lines[0]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        while len(body) < int(headers["content-length"]):
            more = connection.recv(65536)
            if not more:
                return None
            body += more
        return Request(headers["x-amz-target"].rpartition(".")[2], headers, json.loads(body))
