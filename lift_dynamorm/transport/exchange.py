"""One HTTP exchange without its I/O: bytes in, an answer or an error out."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import orjson
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from ..errors import ConnectionFailed, DeadlineExceeded, InvalidValue, ServerError, service_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..errors import ServiceError
    from . import Payload
    from .endpoint import Settings

Answer = tuple[int, bytes, dict[bytes, bytes]]
"""A complete HTTP answer: status, body, and headers as they were spelled."""

READ_SIZE = 256 * 1024
"""Bytes a connection reads at most at once, into a buffer that it keeps: to allocate so much per read is slow."""
_EXCERPT = 200
_INTERIM = 200
"""Answers below this status announce the real one."""


class PoolStats(NamedTuple):
    """How many connections are open (or being opened), how many of those idle, and how many callers wait for one."""

    open: int
    idle: int
    waiting: int


class StaleConnection(ConnectionFailed):
    """A connection that had been idle was closed by the server before the first byte of an answer."""


class AnswerParser:
    """Parse the answers that arrive on one connection, one after the other.

    `began` tells whether any byte of the current answer has arrived, `reusable` whether the connection may carry
    another exchange.
    """

    __slots__ = ("_chunks", "_complete", "_parser", "_status", "began", "headers", "on_body", "on_header", "reusable")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self.on_body: Callable[[bytes], None] = self._chunks.append
        self.headers: dict[bytes, bytes] = {}
        self.on_header: Callable[[bytes, bytes], None] = self.headers.__setitem__
        self._parser = HttpResponseParser(self)
        self._status = 0
        self._complete = False
        self.began: bool = False
        self.reusable: bool = True

    def feed(self, data: bytes | memoryview) -> Answer | None:
        """Take what has arrived, and return the answer once it is complete. Raises ValueError for what is not HTTP."""
        self.began = True
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.reusable = False
            raise ValueError(f"not an HTTP answer: {error}") from error
        return self._take() if self._complete else None

    def end(self) -> Answer | None:
        """Take note that the server closed; an answer of no declared length is complete by that."""
        self.reusable = False
        lengths = {b"content-length", b"transfer-encoding"}
        if not self._chunks or lengths & {name.lower() for name in self.headers}:
            return None
        self._status = self._parser.get_status_code()
        return self._take()

    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("more than one answer to one request")

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < _INTERIM:
            self.headers.clear()
            return
        self._status = status
        self._complete = True
        if not self._parser.should_keep_alive():
            self.reusable = False

    def _take(self) -> Answer:
        chunks = self._chunks
        answer = (self._status, chunks[0] if len(chunks) == 1 else b"".join(chunks), self.headers.copy())
        chunks.clear()
        self.headers.clear()
        self._complete = self.began = False
        return answer


def encode(operation: str, payload: Payload) -> bytes:
    """Return the body of a request. Raises InvalidValue for text that is not Unicode, or values not in wire form."""
    try:
        return orjson.dumps(payload)
    except TypeError as error:
        raise InvalidValue(f"{operation}: the request cannot be written as JSON: {error}") from error


def decode(operation: str, answer: Answer) -> Payload:
    """Return the decoded body of an answer. Raises a ServiceError for all but a sound 200."""
    status, body, headers = answer
    checksum = headers.get(b"x-amz-crc32")
    if checksum is not None and checksum != b"%d" % crc32(body):
        raise _unreadable(operation, answer, f"its checksum is wrong (x-amz-crc32) in {len(body)} bytes")
    try:
        content = orjson.loads(body)
    except ValueError:
        content = None
    if status == 200:
        if not isinstance(content, dict):
            raise _unreadable(operation, answer, f"it is not a JSON object: {_excerpt(body)}")
        return content
    if not isinstance(content, dict):
        content = {"message": f"not an answer of DynamoDB: {_excerpt(body)}"}
    raise service_error(operation, status=status, answer=content, request_id=_request_id(headers))


def timed_out(operation: str, *, sent: bool, waited: str) -> DeadlineExceeded:
    """Make the error for a deadline that passed. `maybe_applied` tells whether DynamoDB may have seen the request."""
    error = DeadlineExceeded(f"{operation}: the time allowed is over, {waited}", operation=operation)
    error.maybe_applied = sent
    return error


def too_slow(operation: str, seconds: float) -> ConnectionFailed:
    """Make the error for an answer that did not come, or not go on, within the read timeout."""
    return ConnectionFailed(f"{operation}: no answer within {seconds:g} s", operation=operation, sent=True)


def unreachable(operation: str, settings: Settings, problem: Exception, deadline: float | None) -> ServiceError:
    """Make the error for a connection that could not be made."""
    if deadline is not None and monotonic() >= deadline:
        return timed_out(operation, sent=False, waited="and there is no connection yet")
    endpoint = settings.endpoint
    scheme = "https" if endpoint.secure else "http"
    if isinstance(problem, TimeoutError):
        problem = TimeoutError(f"no connection within {settings.connect_timeout:g} s")
    return ConnectionFailed(
        f"{operation}: cannot connect to {scheme}://{endpoint.authority}: {problem}", operation=operation, sent=False
    )


def all_in_use(operation: str, settings: Settings) -> DeadlineExceeded:
    """Make the error for a deadline that passed in the queue for a connection."""
    waited = f"and all {settings.max_connections} connections were in use (max_connections)"
    return timed_out(operation, sent=False, waited=waited)


def _unreadable(operation: str, answer: Answer, problem: str) -> ServerError:
    return ServerError(
        f"{operation}: the answer cannot be read: {problem}",
        operation=operation,
        status=answer[0],
        request_id=_request_id(answer[2]),
    )


def _request_id(headers: Mapping[bytes, bytes]) -> str:
    return next((headers[name].decode("latin-1") for name in headers if name.lower() == b"x-amzn-requestid"), "")


def _excerpt(body: bytes) -> str:
    return body[:_EXCERPT].decode("utf-8", "replace") or "an empty body"
