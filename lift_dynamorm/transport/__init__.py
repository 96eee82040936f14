"""The one door to DynamoDB: `Transport.send(operation, payload)`."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

Payload = dict[str, Any]
"""A request or an answer in DynamoDB's JSON form: ``{"TableName": ..., "Key": {"pk": {"S": "1"}}}``."""


@runtime_checkable
class Transport(Protocol):
    """Send DynamoDB operations, one attempt per call; `RetryTransport` adds the retries.

    Binary values in payloads and answers are base64 text, as on the wire.
    """

    @property
    def blocking(self) -> Transport:
        """The same door for callers without an event loop: its `send` never suspends."""
        ...

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        """Send one operation (``"PutItem"``) and return the decoded answer.

        deadline: `time.monotonic()` seconds at which to give up. Raises a `ServiceError`.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections. The transport may be used again afterwards, and opens new ones."""
        ...
