"""Requests with an ``Idempotency-Key`` are carried out once, however often they are sent.

The header, and what a client is told: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import hashlib
import logging
import random
import re
import time
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

from pydantic import ConfigDict

from lift_dynamorm import TTL, F, Model, new_id
from lift_dynamorm.errors import (
    ConditionFailed,
    DynamORMError,
    ItemExists,
    ItemNotFound,
    OutcomeUnknown,
    ServiceError,
    UsageError,
)
from lift_middleware.concurrency import Renewal, see_through, session_of
from lift_middleware.problems import RETRY_AFTER, Problem, problem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lift_dynamorm import Database, Session
    from lift_dynamorm.expressions import Expression
    from lift_middleware.asgi import ASGIApp, Message, Receive, Scope, Send

log: logging.Logger = logging.getLogger("lift_middleware")

REPLAYED = (b"idempotent-replayed", b"true")
"""The header of a response that was given before."""
MAX_KEPT = 350_000
"""Bytes of headers and body that fit into an item, whose limit is 400 KB with everything else in it."""

_HEADER = b"idempotency-key"
_KEY = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\]){1,255})"|([!#-+\--:<-~]{1,255})')
"""A string of RFC 9651, as the draft has it, or what many clients send: the same without the quotes."""
_PASSING = frozenset({401, 403, 407, 408, 409, 412, 421, 423, 424, 425, 428, 429})
"""Answers to who asks, when and on what conditions: the same request may be answered otherwise the next time."""
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.5
_PARTING = 1.0
"""Seconds in which a claim is given back, whatever time the request had."""

_MISSING = Problem(HTTPStatus.BAD_REQUEST, "This request needs an Idempotency-Key header: a text that no other has.")
_MALFORMED = Problem(
    HTTPStatus.BAD_REQUEST,
    'The Idempotency-Key is one text of 1 to 255 printable ASCII characters in quotes: Idempotency-Key: "8e03978e"',
)
_TOO_LONG = Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too long for a request with an Idempotency-Key.")
_OTHER = Problem(
    HTTPStatus.UNPROCESSABLE_ENTITY, "This Idempotency-Key was used for another request. Send a new key with a new one."
)
_AT_WORK = Problem(
    HTTPStatus.CONFLICT,
    "A request with this Idempotency-Key is being carried out. Try again for its response.",
    {"retry-after": RETRY_AFTER},
)


def keeps(status: int) -> bool:
    """Tell whether a response would be the same the next time, and is kept: no 5xx, and no 4xx about who or when."""
    return status < 500 and status not in _PASSING


class IdempotencyRecord(Model):
    """A request with a key, and its response. Give it a table of yours, and create it with your other models.

    ``class Replay(IdempotencyRecord, table="app", pk="IDEMPOTENCY#{id}", sk="-"): pass``. Where the items of the table
    end by another attribute: ``expires_at: TTL = Field(None, alias="ttl")``.

    id, fingerprint: digests of method, path and key, and of the whole request. run: whose call of the app counts.
    lease_ends: when another run may take over, unless the response is there: `status`, None until then.
    whole: the response is kept, and not only that there was one.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(populate_by_name=True)

    id: str
    fingerprint: str
    run: str
    lease_ends: datetime
    status: int | None = None
    headers: list[tuple[str, str]] = []
    body: bytes = b""
    whole: bool = True
    expires_at: TTL = None


class IdempotencyMiddleware:
    """Carry out a request with an ``Idempotency-Key`` once, and answer those that repeat it with its response.

    Place it inside of `DynamORMMiddleware`, and inside of what authenticates. The response is written in the
    transaction of the request, so either all of what the request does is stored and its response too, or nothing is.
    Before, the key is claimed, so that requests at the same time wait for the first. For that the response is held
    back until it is whole.

    record: the model that keeps them. methods: of the requests that it is about; those without a key pass.
    required: whether a key must be there, or a function from the ASGI scope to that; 400 where it is not.
    caller: tells from the scope who asks, where two callers of a tenant may send the same key.
    keeps: tells of a status from 400 on whether the response is kept; one that is not leaves the key unused.
    lifetime: seconds for which a key is known. lease: seconds after which a request that is not heard of counts as
    dead; it is renewed every third of that. wait: seconds for which a request waits for another one with the same key,
    before it gets 409. max_request: bytes of a request's body, 413 beyond. max_response: bytes of a response that is
    kept. name: the attribute of ``request.state``.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        database: Database,
        record: type[IdempotencyRecord],
        methods: Collection[str] = ("POST", "PATCH"),
        required: bool | Callable[[Scope], bool] = False,
        caller: Callable[[Scope], str] | None = None,
        keeps: Callable[[int], bool] = keeps,
        lifetime: float = 86_400.0,
        lease: float = 10.0,
        wait: float = 5.0,
        max_request: int = 1_048_576,
        max_response: int = 300_000,
        name: str = "db",
    ) -> None:
        if isinstance(methods, str):
            raise UsageError(f"methods= is a list of methods: methods=[{methods!r}]")
        if not 0 < lease < lifetime:
            raise UsageError(f"lease={lease}, lifetime={lifetime}: a lease is shorter than what is known of the key")
        if not 0 <= max_response <= MAX_KEPT:
            raise UsageError(f"max_response={max_response}: an item has room for {MAX_KEPT} bytes of a response")
        self.app = app
        self.database = database
        self.record = record
        self.methods: frozenset[str] = frozenset(method.upper() for method in methods)
        self.required = required
        self.caller = caller
        self.keeps = keeps
        self.lifetime: timedelta = timedelta(seconds=lifetime)
        self.lease: timedelta = timedelta(seconds=lease)
        self.wait = wait
        self.max_request = max_request
        self.max_response = max_response
        self.name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in self.methods:
            await self.app(scope, receive, send)
            return
        key = _key_of(scope)
        if isinstance(key, Problem):
            await key.send(send)
        elif key is not None:
            await self._once(key, scope, receive, send)
        elif self.required(scope) if callable(self.required) else self.required:
            await _MISSING.send(send)
        else:
            await self.app(scope, receive, send)

    async def _once(self, key: str, scope: Scope, receive: Receive, send: Send) -> None:
        session = session_of(scope, self.name, type(self).__name__)
        body = await _read(receive, self.max_request)
        if body is None:  # the client has gone
            return
        if len(body) > self.max_request:
            await _TOO_LONG.send(send)
            return
        place = _digest(scope["method"], scope["path"], self.caller(scope) if self.caller else "", key)
        request = _digest(scope["method"], scope["path"], scope["query_string"], *_content_type(scope), body)
        # The session of the request is not touched before its route is found: the mode of its transaction is not known.
        own = self.database.session(session.tenant, deadline=session.deadline)
        claim = _Claim(self, own, place, request)
        found = await claim.take()
        if isinstance(found, Problem):
            await found.send(send)
        elif found is not None:
            await _replay(found, send)
        else:
            await _Run(self, claim, scope, send).serve(_replaying(body, receive))


class _Claim:
    """The claim of one run on a key.

    Clocks tell only when another run may take over. Whose run counts, its id tells: the response is written on the
    condition that the claim is still its own, and with it all that the run has done.
    """

    __slots__ = ("_fingerprint", "_id", "_middleware", "_run", "_session")

    def __init__(self, middleware: IdempotencyMiddleware, session: Session, id: str, fingerprint: str) -> None:
        self._middleware = middleware
        self._session = session
        self._id = id
        self._fingerprint = fingerprint
        self._run = new_id()

    async def take(self) -> IdempotencyRecord | Problem | None:
        """Claim the key, None where that was done; else the response that is there, or why there is none."""
        give_up = time.monotonic() + self._middleware.wait
        if self._session.deadline is not None:
            give_up = min(give_up, self._session.deadline)
        pause = _FIRST_PAUSE
        there = await self._create()
        while there is not None:
            if there.fingerprint != self._fingerprint:
                return _OTHER
            if there.status is not None:
                return there
            if there.lease_ends <= self._middleware.database.now() and await self._take_over(there):
                return None
            left = give_up - time.monotonic()
            if left <= 0:
                return _AT_WORK
            await self._middleware.database.transport.sleep(min(left, pause * random.uniform(0.5, 1.0)))
            pause = min(pause * 1.5, _LONGEST_PAUSE)
            there = await self._find() or await self._create()
        return None

    async def renew(self) -> bool:
        """Claim the key for another lease; False where it is no longer ours, or has its response."""
        record, key = self._middleware.record, {"id": self._id}
        try:
            await self._session.update(
                record, key, lease_ends=self._lease_end(), if_=self._still_ours(), returning=False
            )
        except (ConditionFailed, ItemNotFound):
            return False
        return True

    async def fulfil(self, session: Session, status: int, headers: list[tuple[str, str]], body: bytes | None) -> None:
        """Write the response, None of which is too long to keep; nothing is written where the claim has been lost."""
        record = self._record(status=status, headers=headers, body=body or b"", whole=body is not None)
        await session.put(record, if_=self._still_ours())

    async def fulfil_alone(self, status: int, headers: list[tuple[str, str]], body: bytes | None) -> Problem | None:
        """Write a response at once, that goes with no transaction; why it may not be given, where it cannot be."""
        try:
            await self.fulfil(self._session, status, headers, body)
        except OutcomeUnknown as unknown:
            there = await self._find()
            if there is None or there.run != self._run or there.status is None:
                return problem_of(unknown)
        except ConditionFailed:
            return _AT_WORK
        except ServiceError as error:
            log.warning("a response could not be kept: %s", error)
            return problem_of(error) or _AT_WORK
        return None

    async def release(self) -> None:
        """Leave the key unused, where it has no response and the claim is still ours."""
        session = self._middleware.database.session(self._session.tenant, deadline=time.monotonic() + _PARTING)
        try:
            await session.delete(self._middleware.record, {"id": self._id}, if_=self._still_ours(), missing_ok=True)
        except ConditionFailed:
            pass
        except DynamORMError as error:
            log.warning("an Idempotency-Key could not be given free, and is after the lease: %s", error)

    async def _create(self) -> IdempotencyRecord | None:
        """Store the claim; gives what is there instead, where it is another run's."""
        while True:
            there: object = None
            try:
                await self._session.create(self._record())
                return None
            except ItemExists as error:
                there = error.item
            except OutcomeUnknown:  # some answer was lost: whose claim is stored, it says itself
                pass
            found = there if isinstance(there, IdempotencyRecord) else await self._find()
            if found is not None:
                return None if found.run == self._run else found

    async def _take_over(self, there: IdempotencyRecord) -> bool:
        """Claim the key that another run has left."""
        same = (F.run == there.run) & (F.lease_ends == there.lease_ends) & F.status.not_exists()
        mine = self._record()
        changes = {name: getattr(mine, name) for name in ("run", "lease_ends", "expires_at")}
        try:
            await self._session.update(self._middleware.record, {"id": self._id}, if_=same, returning=False, **changes)
        except OutcomeUnknown:
            found = await self._find()
            return found is not None and found.run == self._run
        except (ConditionFailed, ItemNotFound):
            return False
        log.warning("a request with an Idempotency-Key was not heard of for its lease, and is carried out again")
        return True

    async def _find(self) -> IdempotencyRecord | None:
        return await self._session.find(self._middleware.record, id=self._id, consistent=True)

    def _still_ours(self) -> Expression:
        return (F.run == self._run) & F.status.not_exists()

    def _lease_end(self) -> datetime:
        return self._middleware.database.now() + self._middleware.lease

    def _record(
        self,
        *,
        status: int | None = None,
        headers: list[tuple[str, str]] | None = None,
        body: bytes = b"",
        whole: bool = True,
    ) -> IdempotencyRecord:
        return self._middleware.record(
            id=self._id,
            fingerprint=self._fingerprint,
            run=self._run,
            lease_ends=self._lease_end(),
            status=status,
            headers=headers or [],
            body=body,
            whole=whole,
            expires_at=self._middleware.database.now() + self._middleware.lifetime,
        )


class _Run:
    """A call of the app under a claim, and its response, held back until it is whole."""

    __slots__ = (
        "_body",
        "_claim",
        "_done",
        "_middleware",
        "_refused",
        "_renewal",
        "_scope",
        "_send",
        "_size",
        "_start",
    )

    def __init__(self, middleware: IdempotencyMiddleware, claim: _Claim, scope: Scope, send: Send) -> None:
        self._middleware = middleware
        self._claim = claim
        self._scope = scope
        self._send = send
        self._renewal = Renewal(claim.renew, middleware.lease.total_seconds() / 3)
        self._start: Message = {}
        self._body: list[bytes] = []
        self._size = 0
        self._done = False
        self._refused = False

    async def serve(self, receive: Receive) -> None:
        self._renewal.start()
        try:
            await self._middleware.app(self._scope, receive, self._take)
        finally:
            await see_through(self._part())

    async def _part(self) -> None:
        await self._renewal.stop()
        if not self._done:
            await self._claim.release()

    async def _take(self, message: Message) -> None:
        """Take a message of the app's response."""
        kind = message["type"]
        if self._refused:
            return
        if self._done or (not self._start and kind != "http.response.start"):
            await self._send(message)
        elif kind == "http.response.start":
            await self._begin(message)
        elif kind != "http.response.body":  # a file, that the server sends by itself
            await self._finish(None, message)
        else:
            more = message.get("more_body", False)
            self._body.append(message.get("body", b""))
            self._size += len(self._body[-1])
            if not more and self._size <= self._middleware.max_response:
                await self._finish(b"".join(self._body))
            elif self._size > self._middleware.max_response or not self._has_length():
                await self._finish(None, more=more)

    async def _begin(self, message: Message) -> None:
        self._start = message
        status = message["status"]
        if status >= 400 and not self._middleware.keeps(status):
            await see_through(self._part())
            self._done = True
            await self._send(message)
            return
        self._size = sum(len(name) + len(value) for name, value in message.get("headers", ()))

    def _has_length(self) -> bool:
        """Tell whether the app knows how long its response is; else it is a stream."""
        return any(name.lower() == b"content-length" for name, _ in self._start.get("headers", ()))

    async def _finish(self, body: bytes | None, *others: Message, more: bool = False) -> None:
        """Write the response, and let it go out; None is one that is not kept."""
        await self._renewal.stop()
        status = self._start["status"]
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._start.get("headers", ())]
        session = session_of(self._scope, self._middleware.name, type(self._middleware).__name__)
        if status < 400:
            await session.open()
        if status < 400 and session.unit_of_work is not None:
            await self._claim.fulfil(session, status, headers if body is not None else [], body)
        else:
            problem = await self._claim.fulfil_alone(status, headers if body is not None else [], body)
            if problem is not None:
                self._refused = True
                await problem.send(self._send)
                return
        await self._send(self._start)  # commits
        self._done = True
        if self._body or not others:
            await self._send({"type": "http.response.body", "body": b"".join(self._body), "more_body": more})
        for other in others:
            await self._send(other)


async def _replay(record: IdempotencyRecord, send: Send) -> None:
    """Send a response once more."""
    if not record.whole:
        detail = (
            f"This request has been carried out, and was answered with {record.status}. The response was too long, "
            "or a stream, and was not kept."
        )
        await Problem(HTTPStatus.CONFLICT, detail, {"idempotent-replayed": "true"}).send(send)
        return
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in record.headers]
    await send({"type": "http.response.start", "status": record.status, "headers": [*headers, REPLAYED]})
    await send({"type": "http.response.body", "body": record.body})


def _key_of(scope: Scope) -> str | Problem | None:
    values = [value for name, value in scope["headers"] if name == _HEADER]
    if not values:
        return None
    found = _KEY.fullmatch(values[0].decode("latin-1").strip(" \t"))
    if found is None or len(values) > 1:
        return _MALFORMED
    quoted, bare = found.groups()
    return re.sub(r"\\(.)", r"\1", quoted) if bare is None else str(bare)


def _content_type(scope: Scope) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == b"content-type"]


async def _read(receive: Receive, most: int) -> bytes | None:
    """Read a request's body, not much further than `most` bytes; None where the client has gone."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most or not message.get("more_body"):
            return b"".join(parts)


def _replaying(body: bytes, receive: Receive) -> Receive:
    """Give the app the body that has been read, and then what comes."""
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return unread.pop() if unread else await receive()

    return receive_again


def _digest(*parts: str | bytes) -> str:
    """Hash texts so that no two lists of them are taken for each other."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
