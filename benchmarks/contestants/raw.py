"""The limit: a socket, bytes that were prepared, and nothing looked at but the length of the answer."""

from __future__ import annotations

import json
import socket
import time
from typing import Any, ClassVar

import orjson

from benchmarks.contestants import Contestant
from benchmarks.items import KEY, TABLE, WIRE, wire_page
from benchmarks.server import answer_to
from lift_dynamorm.transport.credentials import Credentials
from lift_dynamorm.transport.sigv4 import Signer

_REQUESTS: dict[str, dict[str, Any]] = {
    "GetItem": {"Key": KEY},
    "PutItem": {"Item": WIRE},
    "Query": {"KeyConditionExpression": "#0 = :0", "ExpressionAttributeValues": {":0": KEY["customer"]}},
}


class Raw(Contestant):
    title: ClassVar[str] = "raw socket (the limit)"

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        authority = endpoint.removeprefix("http://")
        host, _, port = authority.partition(":")
        self._signer = Signer(authority, "us-east-1")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(1 << 20))

    def _exchange(self, operation: str, count: int) -> bytes:
        body = orjson.dumps({"TableName": TABLE, **_REQUESTS[operation]})
        message = self._signer.request(operation, body, Credentials("local", "local"), time.time())
        size = len(answer_to(operation, body))
        for _ in range(count):
            self._socket.send(message)
            received = 0
            while received < size:
                received += self._socket.recv_into(self._buffer[received:])
        return bytes(self._buffer[:size])

    def get(self, count: int) -> bytes:
        return self._exchange("GetItem", count)

    def query(self, count: int) -> bytes:
        return self._exchange("Query", count)

    def put(self, count: int) -> None:
        self._exchange("PutItem", count)

    def check(self, row: str, answer: Any) -> None:
        if row != "put":
            content = json.loads(answer.partition(b"\r\n\r\n")[2])
            self._expect({"Item": WIRE} if row == "get" else wire_page(), content.get("Items", content))
