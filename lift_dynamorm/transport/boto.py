"""Send through boto3: for proxies, custom sessions, X-Ray, and tests under `moto.mock_aws`."""

from __future__ import annotations

import base64
import contextvars
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lift_dynamorm.errors import (
    ConnectionFailed,
    CredentialsError,
    DeadlineExceeded,
    DynamORMError,
    RequestRefused,
    ServerError,
    UsageError,
    service_error,
)

from .endpoint import STREAM_OPERATIONS
from .retry import reads

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

    from . import Payload


class BotoTransport:
    """Send through a boto3 client, or through clients made from a boto3 or botocore session.

    A client is used as it is and is not closed; make it with
    ``Config(retries={"total_max_attempts": 1})``, or boto3 retries within our retries. A client reaches no DynamoDB
    Streams: give a session for those, or as `streams` a client of ``dynamodbstreams``. None is a new session with the
    environment's settings.

    `send` runs boto3 in a thread, as many at once as the client has pooled connections; at the deadline it stops
    waiting, while the thread goes on until boto3's own timeouts. `blocking` calls boto3 in the caller's thread, where
    only boto3's timeouts apply.
    """

    def __init__(self, client_or_session: Any = None, /, *, streams: Any = None) -> None:
        self._clients = _Clients(client_or_session, streams)
        self._blocking = _BlockingBotoTransport(self._clients)

    @property
    def blocking(self) -> _BlockingBotoTransport:
        return self._blocking

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        import asyncio

        left = _time_left(operation, deadline)
        call = contextvars.copy_context().run
        future = asyncio.get_running_loop().run_in_executor(
            self._clients.executor(), call, self._clients.call, operation, payload
        )
        try:
            return await asyncio.wait_for(future, left)
        except TimeoutError as error:
            late = DeadlineExceeded(f"{operation}: no answer from boto3 before the deadline.", operation=operation)
            late.maybe_applied = not reads(operation, payload)
            raise late from error

    async def aclose(self) -> None:
        import asyncio

        await asyncio.to_thread(self._clients.close)


class _BlockingBotoTransport:
    def __init__(self, clients: _Clients) -> None:
        self._clients = clients

    @property
    def blocking(self) -> _BlockingBotoTransport:
        return self

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        _time_left(operation, deadline)
        return self._clients.call(operation, payload)

    async def aclose(self) -> None:
        self._clients.close()


def _time_left(operation: str, deadline: float | None) -> float | None:
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise DeadlineExceeded(f"{operation}: no time left to send it.", operation=operation)
    return left


class _Clients:
    """The boto3 clients and threads that a transport and its blocking twin share; made when first needed."""

    def __init__(self, client_or_session: Any, streams: Any) -> None:
        meta = getattr(client_or_session, "meta", None)
        self._given = client_or_session if hasattr(meta, "service_model") else None
        self._session = None if self._given is not None else client_or_session
        if self._session is not None and not (
            hasattr(self._session, "client") or hasattr(self._session, "create_client")
        ):
            raise UsageError(
                "BotoTransport takes a boto3 DynamoDB client, a boto3 or botocore session, or nothing; it was given a"
                f" {type(client_or_session).__qualname__}. Make a client with session.client('dynamodb')."
            )
        self._streams = streams
        self._made: dict[str, Any] = {}
        self._executor: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def client(self, operation: str) -> Any:
        service = "dynamodbstreams" if operation in STREAM_OPERATIONS else "dynamodb"
        given = self._streams if service == "dynamodbstreams" and self._streams is not None else self._given
        if given is not None:
            return given
        client = self._made.get(service)
        return client if client is not None else self._make(service)

    def _make(self, service: str) -> Any:
        with self._lock:
            if service not in self._made:
                from botocore.config import Config

                config = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
                if self._session is None:
                    import boto3

                    self._session = boto3.session.Session()
                make = getattr(self._session, "create_client", None) or self._session.client
                self._made[service] = make(service, config=config)
            return self._made[service]

    def executor(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                from concurrent.futures import ThreadPoolExecutor

                size = self._given.meta.config.max_pool_connections if self._given is not None else 10
                self._executor = ThreadPoolExecutor(size, thread_name_prefix="lift-dynamorm-boto")
            return self._executor

    def close(self) -> None:
        with self._lock:
            executor, self._executor = self._executor, None
            made, self._made = self._made, {}
        if executor is not None:
            executor.shutdown()
        for client in made.values():
            client.close()

    def call(self, operation: str, payload: Payload) -> Payload:
        from botocore import exceptions, parsers, xform_name

        try:
            client = self.client(operation)
            service = client.meta.service_model
            if operation not in service.operation_names:
                raise UsageError(
                    f"{operation} is not an operation of {service.service_name}; give BotoTransport a session, or"
                    " streams=session.client('dynamodbstreams')."
                )
            shapes = service.operation_model(operation)
            arguments = to_botocore(shapes.input_shape, payload)
            try:
                answer = getattr(client, xform_name(operation))(**arguments)
                metadata = answer.pop("ResponseMetadata", {})
            except (AttributeError, KeyError, TypeError) as error:
                # What botocore's parser raises for JSON of another shape than the operation's.
                raise ServerError(
                    f"{operation}: botocore failed on the answer: {error!r}", operation=operation
                ) from error
            _check_readable(operation, answer, metadata)
            converted: Payload = from_botocore(shapes.output_shape, answer) if shapes.output_shape is not None else {}
            return converted
        except NotImplementedError as error:  # what moto raises for an operation that it does not know
            raise RequestRefused(
                f"{operation}: {error}", operation=operation, code="UnknownOperationException"
            ) from error
        except exceptions.ClientError as error:
            raise _refused(operation, service, error.response) from error
        except parsers.ResponseParserError as error:
            raise ServerError(f"{operation}: the answer cannot be read: {error}", operation=operation) from error
        except (exceptions.BotoCoreError, ValueError) as error:
            raise _failed(operation, error) from error


def _check_readable(operation: str, answer: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Refuse an answer that botocore could not read: it makes an empty one of it, which would be an absent item."""
    headers = metadata.get("HTTPHeaders", {})
    if not answer and "content-encoding" not in headers and int(headers.get("content-length") or 0) > len("{}\r\n"):
        raise ServerError(f"{operation}: the answer cannot be read", operation=operation, status=200)


def _refused(operation: str, service: Any, response: dict[str, Any]) -> DynamORMError:
    described = response.get("Error", {})
    metadata = response.get("ResponseMetadata", {})
    code = str(described.get("Code", ""))
    members = {name: value for name, value in response.items() if name not in ("Error", "ResponseMetadata")}
    shape = service.shape_for_error_code(code)
    if shape is not None:
        members = from_botocore(shape, members)
    return service_error(
        operation,
        status=int(metadata.get("HTTPStatusCode", 0)),
        answer={**members, "__type": code, "message": described.get("Message", "")},
        request_id=str(metadata.get("RequestId", "")),
    )


def _failed(operation: str, error: Exception) -> DynamORMError:
    """Make our error from one of botocore's; what might have been sent counts as sent."""
    from botocore import exceptions

    text = f"{operation}: {error}"
    if isinstance(
        error,
        exceptions.NoCredentialsError
        | exceptions.PartialCredentialsError
        | exceptions.CredentialRetrievalError
        | exceptions.TokenRetrievalError
        | exceptions.SSOError,
    ):
        return CredentialsError(f"{text}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile, or a role.")
    if isinstance(error, exceptions.NoRegionError):
        return UsageError(f"{text} Set AWS_REGION, or give the session or client a region.")
    if isinstance(
        error,
        exceptions.EndpointConnectionError | exceptions.ConnectTimeoutError | exceptions.ProxyConnectionError,
    ):
        return ConnectionFailed(text, operation=operation, sent=False)
    if isinstance(error, exceptions.ChecksumError):
        return ServerError(text, operation=operation)
    if isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError):
        return ConnectionFailed(text, operation=operation, sent=True)
    return RequestRefused(text, operation=operation, code=type(error).__name__)


def to_botocore(shape: Any, value: Any) -> Any:
    """Turn base64 text into bytes wherever the service model has binary values."""
    return _convert(shape, value, _to_bytes)


def from_botocore(shape: Any, value: Any) -> Any:
    """Turn bytes into base64 text, and datetimes into epoch seconds, wherever the service model has them."""
    return _convert(shape, value, _to_json)


def _convert(shape: Any, value: Any, leaf: Callable[[str, Any], Any]) -> Any:
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        members = shape.members
        return {
            name: _convert(members[name], inner, leaf) if name in members else inner for name, inner in value.items()
        }
    if kind == "map" and isinstance(value, dict):
        return {name: _convert(shape.value, inner, leaf) for name, inner in value.items()}
    if kind == "list" and isinstance(value, list):
        return [_convert(shape.member, inner, leaf) for inner in value]
    return leaf(kind, value)


def _to_bytes(kind: str, value: Any) -> Any:
    return base64.b64decode(value, validate=True) if kind == "blob" and isinstance(value, str) else value


def _to_json(kind: str, value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    return value.timestamp() if isinstance(value, datetime) else value
