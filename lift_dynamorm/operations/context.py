"""What every operation needs to know of the session it runs in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lift_dynamorm.capacity import METERED
from lift_dynamorm.errors import RequestRefused
from lift_dynamorm.transport.retry import reads

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from lift_dynamorm.capacity import Meter
    from lift_dynamorm.cursors import CursorSigner
    from lift_dynamorm.hooks import Hooks
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.transport import Payload
    from lift_dynamorm.transport.retry import RetryTransport


@dataclass(frozen=True, slots=True)
class Context:
    """A way to DynamoDB, on behalf of a tenant, until a deadline.

    prefix: what stands in front of partition keys, "" without a tenant. deadline: `time.monotonic()` seconds.
    blocking: the transport never suspends, and there may be no event loop. after_read: hooks for what is read.
    meter: counts what the calls consume, None where nobody asked.
    """

    transport: RetryTransport
    prefix: str
    deadline: float | None
    table_name: Callable[[str], str]
    now: Callable[[], datetime]
    cursors: CursorSigner
    new_id: Callable[[], str]
    blocking: bool
    after_read: Hooks
    meter: Meter | None = None

    def table(self, schema: Schema[Any]) -> str:
        return self.table_name(schema.table.name)

    async def send(self, operation: str, payload: Payload) -> Payload:
        meter = self.meter if operation in METERED else None
        if meter is not None:
            payload = {**payload, "ReturnConsumedCapacity": "INDEXES"}
        try:
            answer = await self.transport.send(operation, payload, deadline=self.deadline)
        except RequestRefused as error:
            if error.code == "ResourceNotFoundException":
                parts = [part for item in payload.get("TransactItems", ()) for part in item.values()]
                named = {part["TableName"] for part in parts or [payload] if "TableName" in part}
                names = " or ".join(repr(name) for name in sorted(payload.get("RequestItems") or named))
                table = f"table {names}" if names else "such table"
                index = f", or it has no index {payload['IndexName']!r}" if "IndexName" in payload else ""
                error.args = (
                    f"{operation}: there is no {table} in this region and account{index}; "
                    "create it: database.create_tables(Model, ...)",
                )
            raise
        if meter is not None:
            meter.add(answer, reading=reads(operation, payload))
        return answer
