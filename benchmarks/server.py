"""A DynamoDB that knows one customer: prepared bytes for every request, in a process of its own.

Run as ``python -m benchmarks.server``: writes its port, and ends with its standard input.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
from decimal import Decimal
from typing import Any
from zlib import crc32

from benchmarks.items import KEY, PAGE, TABLE, WIRE, wire_page

_BUFFER = 256 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_OPERATION = re.compile(rb"DynamoDB_20120810\.([A-Za-z]+)\r\n")


def answer(body: Any, status: str = "200 OK") -> bytes:
    """Write a whole HTTP answer, with the headers that DynamoDB sends."""
    content = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"HTTP/1.1 {status}\r\nServer: Server\r\nDate: Fri, 20 Nov 2026 11:40:31 GMT\r\n"
        f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {len(content)}\r\nConnection: keep-alive\r\n"
        "x-amzn-RequestId: 8B6V1C0KQJ7VJ3H7TV0F2JHVPBVV4KQNSO5AEMVJF66Q9ASUAAJG\r\n"
        f"x-amz-crc32: {crc32(content)}\r\n\r\n"
    )
    return head.encode() + content


_ANSWERS = {
    "GetItem": answer({"Item": WIRE}),
    "PutItem": answer({}),
    "Query": answer({"Count": PAGE, "Items": wire_page(), "ScannedCount": PAGE}),
}


def answer_to(operation: str, body: bytes) -> bytes:
    """Choose the answer, once the request has proved to be the one that everybody sends."""
    request = json.loads(body)
    asked = request.get("TableName") == TABLE and (
        (operation == "GetItem" and request.get("Key") == KEY)
        or (operation == "PutItem" and _plain({"M": request.get("Item")}) == _plain({"M": WIRE}))
        or (operation == "Query" and KEY["customer"] in request.get("ExpressionAttributeValues", {}).values())
    )
    if asked:
        return _ANSWERS[operation]
    return answer({"__type": "ValidationException", "message": f"not what is measured: {operation} {request}"}, "400 -")


def _plain(wire: dict[str, Any]) -> Any:
    """Make values that are equal where DynamoDB takes them for equal."""
    ((tag, value),) = wire.items()
    match tag:
        case "M":
            return {name: _plain(inner) for name, inner in value.items()}
        case "L":
            return [_plain(inner) for inner in value]
        case "N":
            return Decimal(value)
        case "SS":
            return set(value)
    return value


class Server:
    """Answer requests until standard input ends. Every request that differs is looked at once."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._selector = selectors.DefaultSelector()
        self._unfinished: dict[socket.socket, bytes] = {}
        self._known: dict[tuple[bytes, bytes], bytes] = {}
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    connection, _ = self._listener.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._selector.register(connection, selectors.EVENT_READ)
                elif isinstance(key.fileobj, socket.socket):
                    self._read(key.fileobj)
                else:
                    return

    def _read(self, connection: socket.socket) -> None:
        try:
            received = connection.recv(_BUFFER)
            if received:
                self._take(connection, self._unfinished.pop(connection, b"") + received)
                return
        except OSError:
            pass
        self._unfinished.pop(connection, None)
        self._selector.unregister(connection)
        connection.close()

    def _take(self, connection: socket.socket, data: bytes) -> None:
        head, end, body = data.partition(b"\r\n\r\n")
        length = _LENGTH.search(data, 0, len(head) + 2)
        if not end or length is None or len(body) < int(length[1]):
            self._unfinished[connection] = data
            return
        operation = _OPERATION.search(data, 0, len(head) + 2)
        name = operation[1] if operation is not None else b""
        known = self._known.get((name, body))
        if known is None:
            known = self._known[name, body] = answer_to(name.decode(), body)
        connection.sendall(known)


if __name__ == "__main__":
    server = Server()
    print(server.port, flush=True)
    server.serve()
