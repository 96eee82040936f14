"""The embedded engine behind a socket: DynamoDB's protocol over HTTP/1.1, for tools that are other processes.

Signatures are not looked at, and there is one database, whatever region and key a client names.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httptools
import orjson

from lift_dynamorm.errors import DynamORMError, ServiceError

if TYPE_CHECKING:
    from lift_dynamorm.transport.local import LocalTransport

log: logging.Logger = logging.getLogger("lift_dynamorm.server")

_MAX_BODY = 64 * 1024 * 1024
"""DynamoDB takes 16 MB of a BatchWriteItem and less of all others; enough to refuse in its own words."""
_MAX_WAITING = 100
_TARGETS = ("DynamoDB_20120810.", "DynamoDBStreams_20120810.")
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 413: "Content Too Large", 500: "Internal Server Error"}
_FAULT = "com.amazonaws.dynamodb.v20120810#"


class Server:
    """Serve a database of the embedded engine until it is closed.

    Requests are answered one after the other, as the engine does.
    """

    def __init__(self, transport: LocalTransport) -> None:
        self._transport = transport
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Begin to listen, at a free port where it is 0. Returns the URL. Raises OSError where that cannot be."""
        self._server = await asyncio.get_running_loop().create_server(self._connection, host, port)
        address, bound = self._server.sockets[0].getsockname()[:2]
        return f"http://[{address}]:{bound}" if ":" in address else f"http://{address}:{bound}"

    def _connection(self) -> _Connection:
        return _Connection(self._transport, self._connections)

    async def close(self) -> None:
        """Stop listening, close every connection, and then the database."""
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                connection.end()
            await self._server.wait_closed()
            self._server = None
        await self._transport.aclose()


class _Connection(asyncio.Protocol):
    """One client's connection, which may ask again and again."""

    def __init__(self, database: LocalTransport, connections: set[_Connection]) -> None:
        self._database = database
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[bytes, str, bytes, bool]] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._target = self._url = b""
        self._body: list[bytes] = []
        self._size = 0

    # -- the socket ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        if self._answering is not None:
            self._answering.cancel()
        self._transport = None

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "no protocol but HTTP/1.1 is spoken here")
        except httptools.HttpParserError as error:
            if self._transport is not None and not self._transport.is_closing():
                self._refuse(400, f"this is no HTTP/1.1: {error}")

    def end(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # -- what the parser finds -----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._target = self._url = b""
        self._body = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower == b"x-amz-target":
            self._target = value
        elif lower == b"expect" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > _MAX_BODY:
            self._refuse(413, f"the body is larger than {_MAX_BODY} bytes")
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        method = self._parser.get_method()
        asked = (method, self._target.decode("latin-1"), b"".join(self._body), self._parser.should_keep_alive())
        self._waiting.append(asked)
        if len(self._waiting) >= _MAX_WAITING and self._transport is not None:
            self._transport.pause_reading()
        if self._answering is None:
            self._answering = asyncio.get_running_loop().create_task(self._answer_all())

    # -- the answers ---------------------------------------------------------------------------------------------------

    async def _answer_all(self) -> None:
        while self._waiting and self._transport is not None:
            method, target, body, keep = self._waiting.popleft()
            status, answer = await _answer(self._database, method, target, body)
            self._send(status, answer, keep=keep)
            self._transport.resume_reading()
            await asyncio.sleep(0)  # whoever else is connected has a turn
        self._answering = None

    def _refuse(self, status: int, why: str) -> None:
        self._send(status, {"__type": f"{_FAULT}SerializationException", "message": why}, keep=False)

    def _send(self, status: int, answer: dict[str, Any] | str, *, keep: bool) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        content = answer.encode() if isinstance(answer, str) else orjson.dumps(answer)
        kind = "text/plain" if isinstance(answer, str) else "application/x-amz-json-1.0"
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nServer: lift-dynamorm\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(content)}\r\nx-amzn-RequestId: {uuid4()}\r\n"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
        )
        self._transport.write(head.encode() + content)
        if not keep:
            self._transport.close()


async def _answer(
    database: LocalTransport, method: bytes, target: str, body: bytes
) -> tuple[int, dict[str, Any] | str]:
    if method == b"GET" and not target:
        return 200, "healthy: the embedded engine of lift-dynamorm, which speaks DynamoDB's protocol\n"
    service = next((service for service in _TARGETS if target.startswith(service)), None)
    if method != b"POST" or service is None:
        return 400, _fault("UnknownOperationException", "a request is a POST that says X-Amz-Target")
    try:
        payload = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        payload = None
    if not isinstance(payload, dict):
        return 400, _fault("SerializationException", "the body is no JSON object")
    try:
        return 200, await database.send(target.removeprefix(service), payload)
    except ServiceError as error:
        log.debug("%s", error, exc_info=error.__cause__)
        if error.answer:
            return error.status, dict(error.answer)
        return 500, _fault("InternalServerError", str(error))
    except DynamORMError as error:
        return 400, _fault("ValidationException", str(error))


def _fault(code: str, message: str) -> dict[str, Any]:
    return {"__type": f"{_FAULT}{code}", "message": message}
