"""Make a transport fail on purpose: what no emulator does, and every network will."""

from __future__ import annotations

import contextlib
import copy
import math
import random
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from lift_dynamorm.errors import ConnectionFailed, RequestRefused, ServerError, service_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from . import Payload, Transport


@dataclass(frozen=True, slots=True)
class Call:
    """A call on its way: the transport it was meant for, what was asked, and how to wait."""

    inner: Transport
    operation: str
    payload: Payload
    deadline: float | None
    sleep: Callable[[float], Awaitable[object]]

    async def forward(self) -> Payload:
        """Send it as it is."""
        return await self.inner.send(self.operation, self.payload, deadline=self.deadline)

    async def discard(self) -> None:
        """Send it, and let nobody see the answer, or the refusal; errors on the way there are raised."""
        with contextlib.suppress(RequestRefused):
            await self.forward()


class Fault(Protocol):
    """One way to fail: `send` stands in for the transport's own."""

    async def send(self, call: Call) -> Payload: ...


class Plan(Protocol):
    """Which fault, if any, the next call meets."""

    def next(self, operation: str) -> Fault | None: ...


@dataclass(frozen=True, slots=True)
class Throttle:
    """Refuse the request as throttled; nothing is applied."""

    code: str = "ProvisionedThroughputExceededException"

    async def send(self, call: Call) -> Payload:
        raise service_error(
            call.operation, status=400, answer={"__type": self.code, "message": "Slow down (injected)."}
        )


@dataclass(frozen=True, slots=True)
class DropBeforeSend:
    """Lose the connection before anything is sent."""

    async def send(self, call: Call) -> Payload:
        raise ConnectionFailed(f"{call.operation}: no connection (injected)", operation=call.operation, sent=False)


@dataclass(frozen=True, slots=True)
class DropAfterSend:
    """Send the request, then lose the connection before the answer; errors of the inner transport are lost too."""

    async def send(self, call: Call) -> Payload:
        await call.discard()
        raise ConnectionFailed(f"{call.operation}: connection lost (injected)", operation=call.operation, sent=True)


@dataclass(frozen=True, slots=True)
class Delay:
    """Hold the request back for so many seconds, then send it."""

    seconds: float

    async def send(self, call: Call) -> Payload:
        await call.sleep(self.seconds)
        return await call.forward()


@dataclass(frozen=True, slots=True)
class InternalError:
    """Answer 500; `applied` says whether the request takes effect all the same."""

    applied: bool = False

    async def send(self, call: Call) -> Payload:
        if self.applied:
            await call.discard()
        answer = {"__type": "InternalServerError", "message": "Internal server error (injected)"}
        raise service_error(call.operation, status=500, answer=answer)


@dataclass(frozen=True, slots=True)
class BadAnswer:
    """Send the request and garble the answer."""

    async def send(self, call: Call) -> Payload:
        await call.discard()
        raise ServerError(
            f"{call.operation}: the answer cannot be read (injected)", operation=call.operation, status=200
        )


@dataclass(frozen=True, slots=True)
class Conflict:
    """Refuse the request because another transaction writes the same item.

    Transactions are canceled: the operations at `items` with TransactionConflict (all of them where it is None), the
    others with None. Single writes raise TransactionConflictException. Other operations pass.
    """

    items: frozenset[int] | None = None

    async def send(self, call: Call) -> Payload:
        if call.operation in ("TransactWriteItems", "TransactGetItems"):
            reasons: list[dict[str, str]] = [
                {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item (injected)"}
                if self.items is None or index in self.items
                else {"Code": "None"}
                for index in range(len(call.payload["TransactItems"]))
            ]
            codes = ", ".join(reason["Code"] for reason in reasons)
            answer: dict[str, Any] = {
                "__type": "TransactionCanceledException",
                "message": f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]",
                "CancellationReasons": reasons,
            }
            raise service_error(call.operation, status=400, answer=answer)
        if call.operation in ("PutItem", "UpdateItem", "DeleteItem"):
            answer = {"__type": "TransactionConflictException", "message": "Transaction is ongoing (injected)"}
            raise service_error(call.operation, status=400, answer=answer)
        return await call.forward()


@dataclass(frozen=True, slots=True)
class Unprocessed:
    """Pass on only part of a batch and return the rest, at least one, as unprocessed.

    share: how much is left over, from 0 to 1, the last of each request first; where nothing is left to pass on the
    whole batch is throttled, as DynamoDB does it. Other operations pass.
    """

    share: float = 0.5

    async def send(self, call: Call) -> Payload:
        if call.operation not in ("BatchWriteItem", "BatchGetItem"):
            return await call.forward()
        operation, request = call.operation, call.payload["RequestItems"]
        entries = list(_batch_entries(operation, request))
        kept = len(entries) - max(1, math.ceil(len(entries) * self.share))
        if kept <= 0:
            return await Throttle().send(call)
        passed = {**call.payload, "RequestItems": _batch_request(operation, request, entries[:kept])}
        answer = dict(await call.inner.send(operation, passed, deadline=call.deadline))
        name = "UnprocessedItems" if operation == "BatchWriteItem" else "UnprocessedKeys"
        left = [*_batch_entries(operation, answer.get(name) or {}), *entries[kept:]]
        answer[name] = _batch_request(operation, request, left)
        return answer


def _batch_entries(operation: str, request: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for table, entry in request.items():
        for one in entry if operation == "BatchWriteItem" else entry["Keys"]:
            yield table, one


def _batch_request(operation: str, request: Mapping[str, Any], entries: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for table, one in entries:
        if operation == "BatchWriteItem":
            made.setdefault(table, []).append(one)
        else:
            made.setdefault(table, {**request[table], "Keys": []})["Keys"].append(one)
    return made


@dataclass(frozen=True, slots=True)
class On:
    """In a `Script`: wait for one of these operations, and fail that call with `fault` (None lets it pass)."""

    operations: str | frozenset[str]
    fault: Fault | None

    def meets(self, operation: str) -> bool:
        return operation == self.operations if isinstance(self.operations, str) else operation in self.operations


class Script:
    """Meet each call with the next of these faults; None lets a call pass, and so does the end of the script.

    An `On` whose operation is not the call's lets the call pass and stays the next.
    """

    def __init__(self, *faults: Fault | On | None) -> None:
        self._faults: Iterator[Fault | On | None] = iter(faults)
        self._waiting: On | None = None
        self._lock = threading.Lock()

    @classmethod
    def of(cls, faults: Iterable[Fault | On | None]) -> Script:
        """Take the faults from an iterable, which may be endless."""
        script = cls()
        script._faults = iter(faults)
        return script

    def next(self, operation: str) -> Fault | None:
        with self._lock:
            entry: Fault | On | None = self._waiting or next(self._faults, None)
            if not isinstance(entry, On):
                return entry
            if not entry.meets(operation):
                self._waiting = entry
                return None
            self._waiting = None
            return entry.fault


class Chaos:
    """Meet calls with faults at random, the same for the same seed and order of calls.

    odds: the probability of each fault, which must not add up to more than 1.
    operations: only these are disturbed; None is all of them.
    """

    def __init__(self, seed: int, odds: Mapping[Fault, float], *, operations: Iterable[str] | None = None) -> None:
        if min(odds.values(), default=0.0) < 0 or sum(odds.values()) > 1 + 1e-9:
            raise ValueError("the odds of the faults must be positive and add up to 1 at most")
        self._random = random.Random(seed)
        self._odds = dict(odds)
        self._operations = None if operations is None else frozenset(operations)
        self._lock = threading.Lock()

    def next(self, operation: str) -> Fault | None:
        if self._operations is not None and operation not in self._operations:
            return None
        with self._lock:
            drawn = self._random.random()
        for fault, odds in self._odds.items():
            drawn -= odds
            if drawn < 0:
                return fault
        return None


async def _asyncio_sleep(seconds: float) -> None:
    from asyncio import sleep

    await sleep(seconds)


async def _blocking_sleep(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 - the blocking twin has no event loop to block


class FaultTransport:
    """Wrap a transport and make calls fail as a plan says: a `Script`, a `Chaos`, or an iterable of faults.

    Put it under the retries: ``RetryTransport(FaultTransport(transport, [Throttle(), DropAfterSend()]))``.
    """

    def __init__(self, inner: Transport, plan: Plan | Iterable[Fault | On | None]) -> None:
        self._inner = inner
        self._plan: Plan = Script.of(plan) if isinstance(plan, Iterable) else plan
        self._sleep: Callable[[float], Awaitable[object]] = _asyncio_sleep
        self._blocking: FaultTransport | None = None

    @property
    def blocking(self) -> FaultTransport:
        """The same plan over the inner transport's blocking twin; both consume one script."""
        if self._blocking is None:
            twin = FaultTransport(self._inner.blocking, self._plan)
            twin._sleep = _blocking_sleep
            twin._blocking = twin
            self._blocking = twin
        return self._blocking

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        fault = self._plan.next(operation)
        if fault is None:
            return await self._inner.send(operation, payload, deadline=deadline)
        return await fault.send(Call(self._inner, operation, payload, deadline, self._sleep))

    async def aclose(self) -> None:
        await self._inner.aclose()


class RecordingTransport:
    """Wrap a transport and keep what is sent in `calls`, as ``(operation, payload)``."""

    def __init__(self, inner: Transport, calls: list[tuple[str, Payload]] | None = None) -> None:
        self._inner = inner
        self.calls: list[tuple[str, Payload]] = [] if calls is None else calls
        self._blocking: RecordingTransport | None = None

    @property
    def blocking(self) -> RecordingTransport:
        """The same list of calls over the inner transport's blocking twin."""
        if self._blocking is None:
            self._blocking = RecordingTransport(self._inner.blocking, self.calls)
            self._blocking._blocking = self._blocking
        return self._blocking

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        self.calls.append((operation, copy.deepcopy(payload)))
        return await self._inner.send(operation, payload, deadline=deadline)

    async def aclose(self) -> None:
        await self._inner.aclose()
