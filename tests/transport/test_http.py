from __future__ import annotations

import asyncio
import datetime
import gc
import ipaddress
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from lift_dynamorm.errors import (
    ConnectionFailed,
    DeadlineExceeded,
    InvalidValue,
    RequestRefused,
    ServerError,
    Throttled,
    UsageError,
)
from lift_dynamorm.transport import Transport
from lift_dynamorm.transport.credentials import Credentials, RefreshingCredentials, StaticCredentials
from lift_dynamorm.transport.http import BlockingHttpTransport, HttpTransport

from .canned import CannedServer, Reply

KEYS = StaticCredentials(Credentials("AKID", "secret"))
ITEM = {"Item": {"pk": {"S": "1"}, "name": {"S": "Ånn"}}}
GET = {"TableName": "t", "Key": {"pk": {"S": "1"}}}
TOKEN = {"TransactItems": [], "ClientRequestToken": "once"}

Either = HttpTransport | BlockingHttpTransport
Run = Callable[..., Any]


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that must not suspend."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise AssertionError("a blocking send has suspended")


def transport_to(url: str, **options: Any) -> HttpTransport:
    return HttpTransport(endpoint=url, region="us-east-1", **{"credentials": KEYS, **options})


@pytest.fixture(params=["async", "blocking"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a scenario over the asyncio transport and over the blocking one."""

    def runner(url: str, scenario: Callable[[Either], Awaitable[Any]], **options: Any) -> Any:
        transport = transport_to(url, **options)

        async def whole(door: Either) -> Any:
            try:
                return await scenario(door)
            finally:
                await door.aclose()

        if request.param == "async":
            return asyncio.run(whole(transport))
        return drive(whole(transport.blocking))

    return runner


def failing(error: type[Exception], operation: str = "PutItem", payload: Any = None) -> Any:
    """Make a scenario that sends once and returns the error it must end in."""

    async def scenario(door: Either) -> Exception:
        with pytest.raises(error) as caught:
            await door.send(operation, payload or {})
        return caught.value

    return scenario


async def get(door: Transport) -> Any:
    return await door.send("GetItem", GET)


async def wait(door: Either, seconds: float) -> None:
    if isinstance(door, HttpTransport):
        await asyncio.sleep(seconds)
    else:
        threading.Event().wait(seconds)


# The answer


@pytest.mark.parametrize(
    "reply",
    [
        Reply(ITEM),
        Reply(ITEM, crc=""),
        Reply(ITEM, length="chunked"),
        Reply(ITEM, length="chunked", pause=0.02),
        Reply(ITEM, pause=0.02),
        Reply(ITEM, close=True),
        Reply(ITEM, length="closing"),
        Reply(ITEM, interim=True),
        Reply({"Items": [{"text": {"S": "x" * 700_000}}]}),
    ],
    ids=["plain", "no-crc", "chunked", "slow-chunks", "in-pieces", "close", "until-close", "interim", "large"],
)
def test_answers_in_every_shape(run: Run, reply: Reply) -> None:
    with CannedServer(reply, Reply({"second": True})) as server:

        async def scenario(door: Either) -> None:
            assert await get(door) == reply.body
            assert await get(door) == {"second": True}

        run(server.url, scenario)
        assert [(request.operation, request.body) for request in server.requests] == [("GetItem", GET)] * 2
        assert server.requests[0].headers["content-type"] == "application/x-amz-json-1.0"
        assert "accept-encoding" not in server.requests[0].headers
        assert server.connections == (2 if reply.close or reply.length == "closing" else 1)


def test_large_requests_arrive_whole(run: Run) -> None:
    payload = {"Item": {"text": {"S": "ü" * 3_000_000}}}
    with CannedServer() as server:
        run(server.url, lambda door: door.send("PutItem", payload))
        assert server.requests[0].body == payload


def test_errors_carry_what_dynamodb_said(run: Run) -> None:
    refused = {"__type": "com.amazonaws.dynamodb.v20120810#ValidationException", "message": "no"}
    throttled = {"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slow"}
    with CannedServer(Reply(refused, 400), Reply(throttled, 400), Reply({}, 500)) as server:

        async def scenario(door: Either) -> None:
            with pytest.raises(RequestRefused, match=r"PutItem: ValidationException: no") as caught:
                await door.send("PutItem", {})
            assert (caught.value.code, caught.value.status) == ("ValidationException", 400)
            assert caught.value.request_id == "REQUEST-1"
            assert caught.value.answer == refused
            with pytest.raises(Throttled):
                await door.send("PutItem", {})
            with pytest.raises(ServerError):
                await door.send("PutItem", {})

        run(server.url, scenario)
        assert server.connections == 1


@pytest.mark.parametrize(("status", "kind"), [(502, ServerError), (413, RequestRefused), (301, RequestRefused)])
def test_an_answer_that_is_not_json_is_shown_in_part(run: Run, status: int, kind: type[Exception]) -> None:
    with CannedServer(Reply(b"<html>" + b"y" * 5000, status)) as server:
        error = run(server.url, failing(kind))
        assert "<html>yyy" in str(error)
        assert len(str(error)) < 350


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null"])
def test_a_200_that_is_not_an_object_is_a_server_error(run: Run, body: bytes) -> None:
    with CannedServer(Reply(body)) as server:
        assert run(server.url, failing(ServerError)).status == 200


def test_a_wrong_checksum_is_a_server_error(run: Run) -> None:
    with CannedServer(Reply(ITEM, crc="wrong"), Reply(ITEM)) as server:
        assert "checksum" in str(run(server.url, failing(ServerError, "GetItem")))


def test_a_request_that_is_no_json_is_refused_before_it_is_sent(run: Run) -> None:
    with CannedServer() as server:
        run(server.url, failing(InvalidValue, payload={"bad": "\ud800"}))
        assert server.connections == 0


# Broken connections


@pytest.mark.parametrize(
    "reply",
    [
        Reply(drop="after"),
        Reply(ITEM, cut=0),
        Reply(ITEM, cut=10),
        Reply(ITEM, cut=190),
        Reply(ITEM, cut=60, length="chunked"),
        Reply(raw=b"SSH-2.0-OpenSSH\r\n"),
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    ],
    ids=["unanswered", "nothing", "in-status", "in-body", "in-chunks", "not-http", "two-answers"],
)
def test_a_lost_answer_says_that_the_request_was_sent(run: Run, reply: Reply) -> None:
    with CannedServer(reply) as server:
        error = run(server.url, failing(ConnectionFailed, "GetItem"))
        assert error.sent is True
        assert error.operation == "GetItem"
        assert len(server.requests) == 1


def test_a_server_that_is_not_there(run: Run) -> None:
    with CannedServer() as server:
        url = server.url
    error = run(url, failing(ConnectionFailed))
    assert error.sent is False
    assert url in str(error)


def test_a_half_read_answer_spoils_the_connection_only(run: Run) -> None:
    with CannedServer(Reply(ITEM, cut=100), Reply(ITEM)) as server:

        async def scenario(door: Either) -> None:
            with pytest.raises(ConnectionFailed):
                await get(door)
            assert await get(door) == ITEM
            assert door.stats == (1, 1, 0)

        run(server.url, scenario)
        assert server.connections == 2


@pytest.mark.parametrize(
    ("operation", "payload"),
    [("GetItem", GET), ("Query", {}), ("DescribeTable", {}), ("TransactWriteItems", TOKEN)],
)
def test_what_cannot_apply_twice_is_sent_again_on_a_stale_connection(run: Run, operation: str, payload: Any) -> None:
    with CannedServer(Reply(), Reply(drop="after"), Reply(ITEM)) as server:

        async def scenario(door: Either) -> None:
            await get(door)
            assert await door.send(operation, payload) == ITEM

        run(server.url, scenario)
        assert server.connections == 2
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("operation", "payload"), [("PutItem", {}), ("UpdateItem", {}), ("TransactWriteItems", {"TransactItems": []})]
)
@pytest.mark.parametrize("drop", ["before", "after"])
def test_a_write_is_never_sent_twice(run: Run, operation: str, payload: Any, drop: str) -> None:
    with CannedServer(Reply(), Reply(drop=drop), Reply(ITEM)) as server:

        async def scenario(door: Either) -> None:
            await get(door)
            with pytest.raises(ConnectionFailed) as caught:
                await door.send(operation, payload)
            assert caught.value.sent is True

        run(server.url, scenario)
        assert len(server.requests) == (1 if drop == "before" else 2)


def test_a_read_is_sent_again_once_only(run: Run) -> None:
    with CannedServer(Reply(), Reply(drop="after"), Reply(drop="after"), Reply(ITEM)) as server:

        async def scenario(door: Either) -> None:
            await get(door)
            with pytest.raises(ConnectionFailed):
                await get(door)

        run(server.url, scenario)
        assert len(server.requests) == 3


def test_a_read_whose_answer_has_begun_is_not_sent_again_here(run: Run) -> None:
    with CannedServer(Reply(), Reply(ITEM, cut=120), Reply(ITEM)) as server:

        async def scenario(door: Either) -> None:
            await get(door)
            with pytest.raises(ConnectionFailed) as caught:
                await get(door)
            assert caught.value.sent is True

        run(server.url, scenario)
        assert len(server.requests) == 2


def test_a_fresh_connection_that_breaks_is_not_replaced(run: Run) -> None:
    with CannedServer(Reply(drop="after"), Reply(ITEM)) as server:
        run(server.url, failing(ConnectionFailed, "GetItem", GET))
        assert len(server.requests) == 1


def test_a_connection_known_to_be_closed_is_not_picked(run: Run) -> None:
    """Even a write goes through: nothing of it was sent on the old connection."""
    with CannedServer() as server:

        async def scenario(door: Either) -> None:
            await get(door)
            server.hang_up()
            if isinstance(door, HttpTransport):
                await asyncio.sleep(0.05)
            await door.send("PutItem", {})

        run(server.url, scenario)
        assert server.connections == 2
        assert len(server.requests) == 2


def test_a_connection_that_speaks_unasked_is_not_picked(run: Run) -> None:
    twice = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with CannedServer(Reply(raw=twice)) as server:

        async def scenario(door: Either) -> None:
            await get(door)
            for connection in list(server._open):
                connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"not":"you"}')
            await wait(door, 0.05)
            assert await get(door) == {}

        run(server.url, scenario)
        assert server.connections == 2


def test_idle_connections_expire(run: Run) -> None:
    with CannedServer() as server:

        async def scenario(door: Either) -> None:
            await get(door)
            await wait(door, 0.2)
            if isinstance(door, HttpTransport):
                assert door.stats == (0, 0, 0)
            await get(door)

        run(server.url, scenario, keepalive=0.1, read_timeout=0.15)
        assert server.connections == 2


# Time


def test_a_slow_answer_ends_at_the_read_timeout(run: Run) -> None:
    with CannedServer(Reply(delay=0.5)) as server:

        async def scenario(door: Either) -> None:
            with pytest.raises(ConnectionFailed, match=r"within 0\.1 s") as caught:
                await get(door)
            assert caught.value.sent is True
            assert await door.send("GetItem", GET) == {}

        run(server.url, scenario, read_timeout=0.1)
        assert server.connections == 2


def test_an_answer_that_keeps_coming_is_not_cut_by_the_read_timeout(run: Run) -> None:
    with CannedServer(Reply(ITEM, length="chunked", pause=0.15)) as server:
        assert run(server.url, get, read_timeout=0.3) == ITEM


@pytest.mark.parametrize("reply", [Reply(delay=0.4), Reply(ITEM, length="chunked", pause=0.12)])
def test_a_deadline_that_passes_after_sending(run: Run, reply: Reply) -> None:
    with CannedServer(reply) as server:

        async def scenario(door: Either) -> None:
            with pytest.raises(DeadlineExceeded) as caught:
                await door.send("PutItem", {}, deadline=time.monotonic() + 0.2)
            assert caught.value.maybe_applied is True
            assert door.stats == (0, 0, 0)

        run(server.url, scenario)


def test_a_deadline_shorter_than_the_last_one_is_kept(run: Run) -> None:
    with CannedServer(Reply(), Reply(delay=0.5)) as server:

        async def scenario(door: Either) -> None:
            await door.send("GetItem", GET, deadline=time.monotonic() + 60)
            with pytest.raises(DeadlineExceeded):
                await door.send("GetItem", GET, deadline=time.monotonic() + 0.1)

        run(server.url, scenario)


def test_a_deadline_in_the_past_sends_nothing(run: Run) -> None:
    with CannedServer() as server:

        async def scenario(door: Either) -> None:
            await get(door)
            with pytest.raises(DeadlineExceeded) as caught:
                await door.send("PutItem", {}, deadline=time.monotonic() - 1)
            assert caught.value.maybe_applied is False
            await get(door)

        run(server.url, scenario)
        assert [request.operation for request in server.requests] == ["GetItem", "GetItem"]
        assert server.connections == 1


def test_a_handshake_without_end_is_bounded(run: Run) -> None:
    """The server accepts and says nothing to the TLS greeting."""
    with CannedServer(Reply(drop="before")) as server:
        url = server.url.replace("http:", "https:")
        error = run(url, failing(ConnectionFailed), connect_timeout=0.2)
        assert error.sent is False


# The pool


def test_200_at_once_share_a_bounded_pool() -> None:
    with CannedServer(default=Reply(ITEM, delay=0.002)) as server:
        transport = transport_to(server.url, max_connections=16)

        async def scenario() -> None:
            answers = await asyncio.gather(*(get(transport) for _ in range(200)))
            assert answers == [ITEM] * 200
            assert transport.stats == (16, 16, 0)
            await transport.aclose()
            assert transport.stats == (0, 0, 0)

        asyncio.run(scenario())
        assert server.connections == 16
        assert len(server.requests) == 200


def test_threads_share_a_bounded_pool() -> None:
    with CannedServer(default=Reply(ITEM, delay=0.002)) as server:
        transport = transport_to(server.url, max_connections=4).blocking
        answers: list[Any] = []

        def work() -> None:
            answers.extend(drive(get(transport)) for _ in range(20))

        threads = [threading.Thread(target=work) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [ITEM] * 240
        assert server.connections == 4
        assert transport.stats == (4, 4, 0)
        drive(transport.aclose())


def test_callers_queue_in_order() -> None:
    with CannedServer(default=Reply(delay=0.005)) as server:
        transport = transport_to(server.url, max_connections=1)
        order: list[int] = []

        async def one(number: int) -> None:
            await transport.send("GetItem", {"n": number})
            order.append(number)

        async def scenario() -> None:
            await asyncio.gather(*(one(number) for number in range(10)))
            await transport.aclose()

        asyncio.run(scenario())
        assert order == list(range(10))
        assert [request.body["n"] for request in server.requests] == order


def test_the_connection_used_last_is_used_next() -> None:
    with CannedServer(default=Reply(delay=0.01)) as server:
        transport = transport_to(server.url, keepalive=0.3, read_timeout=0.2)

        async def scenario() -> None:
            await asyncio.gather(get(transport), get(transport), get(transport))
            for _ in range(10):
                await get(transport)
                await asyncio.sleep(0.04)
            assert transport.stats == (1, 1, 0)
            await transport.aclose()

        asyncio.run(scenario())
        assert server.connections == 3


def test_waiting_for_a_connection_ends_at_the_deadline() -> None:
    with CannedServer(default=Reply(delay=0.3)) as server:
        transport = transport_to(server.url, max_connections=1)

        async def scenario() -> None:
            first = asyncio.create_task(get(transport))
            await asyncio.sleep(0.05)
            with pytest.raises(DeadlineExceeded, match="max_connections") as caught:
                await transport.send("PutItem", {}, deadline=time.monotonic() + 0.1)
            assert caught.value.maybe_applied is False
            assert transport.stats == (1, 0, 0)
            await first
            await transport.aclose()

        asyncio.run(scenario())
        assert len(server.requests) == 1


def test_a_thread_waiting_for_a_connection_ends_at_the_deadline() -> None:
    with CannedServer(default=Reply(delay=0.3)) as server:
        transport = transport_to(server.url, max_connections=1).blocking
        first = threading.Thread(target=lambda: drive(get(transport)))
        first.start()
        server.wait_until(lambda: server.requests)
        with pytest.raises(DeadlineExceeded, match="max_connections"):
            drive(transport.send("PutItem", {}, deadline=time.monotonic() + 0.1))
        first.join()
        assert transport.stats == (1, 1, 0)
        drive(transport.aclose())


def test_a_failed_connection_leaves_its_place_to_the_next() -> None:
    with CannedServer(Reply(drop="after"), Reply(drop="after"), default=Reply(ITEM)) as server:
        transport = transport_to(server.url, max_connections=1)

        async def scenario() -> None:
            results = await asyncio.gather(*(get(transport) for _ in range(5)), return_exceptions=True)
            assert [isinstance(result, ConnectionFailed) for result in results] == [True, True, False, False, False]
            await transport.aclose()

        asyncio.run(scenario())


def test_no_server_and_a_full_queue() -> None:
    with CannedServer() as server:
        url = server.url
    transport = transport_to(url, max_connections=2)

    async def scenario() -> None:
        results = await asyncio.gather(*(get(transport) for _ in range(20)), return_exceptions=True)
        assert {type(result) for result in results} == {ConnectionFailed}
        assert transport.stats == (0, 0, 0)
        await transport.aclose()

    asyncio.run(scenario())


# Cancellation


def test_a_cancelled_request_does_not_leave_its_answer_to_the_next() -> None:
    with CannedServer(Reply({"for": "cancelled"}, delay=0.1), default=Reply({"for": "next"})) as server:
        transport = transport_to(server.url, max_connections=1)

        async def scenario() -> None:
            task = asyncio.create_task(get(transport))
            await asyncio.to_thread(server.wait_until, lambda: server.requests)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert transport.stats == (0, 0, 0)
            assert await get(transport) == {"for": "next"}
            await asyncio.sleep(0.15)
            assert await get(transport) == {"for": "next"}
            await transport.aclose()

        asyncio.run(scenario())
        assert server.connections == 2


def test_a_cancelled_waiter_leaves_the_queue() -> None:
    with CannedServer(default=Reply(ITEM, delay=0.05)) as server:
        transport = transport_to(server.url, max_connections=1)

        async def scenario() -> None:
            tasks = [asyncio.create_task(get(transport)) for _ in range(4)]
            await asyncio.sleep(0.02)
            tasks[1].cancel()
            tasks[2].cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [isinstance(result, asyncio.CancelledError) for result in results] == [False, True, True, False]
            assert transport.stats == (1, 1, 0)
            await transport.aclose()

        asyncio.run(scenario())
        assert len(server.requests) == 2


def test_cancellation_at_any_moment_loses_no_connection() -> None:
    """Whatever the moment, the pool ends with all its places free and answers going to who asked."""
    with CannedServer(default=Reply(ITEM)) as server:
        transport = transport_to(server.url, max_connections=2)

        async def scenario() -> None:
            for steps in range(60):
                tasks = [asyncio.create_task(get(transport)) for _ in range(6)]
                for _ in range(steps % 20):
                    await asyncio.sleep(0)
                for task in tasks[steps % 3 :: 2]:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                open_, idle, waiting = transport.stats
                assert open_ == idle <= 2
                assert waiting == 0
            for _ in range(2):
                assert await asyncio.wait_for(get(transport), 5) == ITEM
            await transport.aclose()

        asyncio.run(scenario())
        assert server.most_at_once <= 4


def test_a_connection_handed_to_a_cancelled_waiter_is_passed_on() -> None:
    with CannedServer(default=Reply(ITEM, delay=0.01)) as server:
        transport = transport_to(server.url, max_connections=1)

        async def scenario() -> None:
            first = asyncio.create_task(get(transport))
            second = asyncio.create_task(get(transport))
            third = asyncio.create_task(get(transport))
            queued: list[int] = []
            while queued[-2:] != [2, 1]:
                await asyncio.sleep(0)
                queued.append(transport.stats.waiting)
            second.cancel()
            results = await asyncio.wait_for(asyncio.gather(first, second, third, return_exceptions=True), 5)
            assert isinstance(results[1], asyncio.CancelledError)
            assert [results[0], results[2]] == [ITEM, ITEM]
            assert transport.stats == (1, 1, 0)
            await transport.aclose()

        asyncio.run(scenario())


# Loops and processes


def test_each_event_loop_has_its_own_connections() -> None:
    with CannedServer() as server:
        transport = transport_to(server.url)
        for round_ in range(3):
            asyncio.run(get(transport))
            assert transport.stats == (0, 0, 0)
            assert server.connections == round_ + 1
        gc.collect()
        server.wait_until(lambda: server.open == 0)


def test_a_loop_that_is_only_paused_keeps_its_connections() -> None:
    """Mangum runs one loop for a while at each invocation."""
    with CannedServer() as server:
        transport = transport_to(server.url)
        with asyncio.Runner() as lambda_loop:
            lambda_loop.run(get(transport))
            with asyncio.Runner() as other:
                other.run(get(transport))
            lambda_loop.run(get(transport))
        assert server.connections == 2


def test_it_lives_on_after_closing(run: Run) -> None:
    with CannedServer() as server:

        async def scenario(door: Either) -> None:
            await get(door)
            await door.aclose()
            await door.aclose()
            await get(door)

        run(server.url, scenario)
        assert server.connections == 2


def test_closing_lets_requests_in_progress_finish() -> None:
    with CannedServer(default=Reply(ITEM, delay=0.1)) as server:
        transport = transport_to(server.url)

        async def scenario() -> None:
            task = asyncio.create_task(get(transport))
            await asyncio.to_thread(server.wait_until, lambda: server.requests)
            await transport.aclose()
            assert await task == ITEM
            await asyncio.to_thread(server.wait_until, lambda: server.open == 0)

        asyncio.run(scenario())


def test_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")
    with CannedServer(Reply(ITEM), Reply(delay=0.4), default=Reply(ITEM, length="chunked")) as server:
        transport = transport_to(server.url, max_connections=4)

        async def scenario() -> None:
            assert await get(transport) == ITEM
            with pytest.raises(DeadlineExceeded):
                await transport.send("GetItem", GET, deadline=time.monotonic() + 0.1)
            assert await asyncio.gather(*(get(transport) for _ in range(50))) == [ITEM] * 50

        uvloop.run(scenario())
        assert transport.stats == (0, 0, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_uses_none_of_its_parents_connections() -> None:
    with CannedServer(default=Reply(ITEM)) as server:
        transport = transport_to(server.url)
        runner = asyncio.Runner()
        assert runner.run(get(transport)) == ITEM
        assert drive(get(transport.blocking)) == ITEM
        assert server.connections == 2
        child = os.fork()
        if not child:
            status = 1
            try:
                if transport.stats == transport.blocking.stats == (0, 0, 0):
                    drive(get(transport.blocking))
                    asyncio.run(get(transport))
                    status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert server.connections == 4
        assert drive(get(transport.blocking)) == ITEM
        assert runner.run(get(transport)) == ITEM
        assert server.connections == 4
        runner.run(transport.aclose())
        runner.close()


def test_nothing_happens_before_the_first_request() -> None:
    def load() -> Credentials:
        raise AssertionError("asked for credentials")

    transport = transport_to("https://dynamodb.invalid", credentials=RefreshingCredentials(load))
    assert isinstance(transport, Transport)
    assert isinstance(transport.blocking, Transport)
    assert transport.blocking.blocking is transport.blocking
    assert transport.stats == transport.blocking.stats == (0, 0, 0)
    asyncio.run(transport.aclose())
    drive(transport.blocking.aclose())


def test_importing_and_sending_without_asyncio_loads_neither_asyncio_nor_botocore() -> None:
    with CannedServer() as server:
        code = (
            "import sys, lift_dynamorm.transport.http as http\n"
            f"t = http.HttpTransport.from_environment({server.url!r})\n"
            "try: t.blocking.send('GetItem', {}).send(None)\n"
            "except StopIteration: pass\n"
            "try: t.blocking.aclose().send(None)\n"
            "except StopIteration: pass\n"
            "print(sorted({'asyncio', 'botocore', 'boto3', 'ssl', 'http.client'} & set(sys.modules)))\n"
        )
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        command = [sys.executable, "-W", "error", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, env=clean, check=False)
        assert (done.stdout, done.stderr) == ("[]\n", "")
        assert "Credential=local/" in server.requests[0].headers["authorization"]


# Credentials


def test_credentials_are_renewed_without_a_request_noticing(run: Run) -> None:
    loaded: list[Credentials] = []

    def load() -> Credentials:
        loaded.append(Credentials(f"KEY{len(loaded)}", "s", "T", time.time() + 3600))
        return loaded[-1]

    with CannedServer() as server:

        async def scenario(door: Either) -> None:
            for _ in range(5):
                await get(door)

        run(server.url, scenario, credentials=RefreshingCredentials(load))
        assert len(loaded) == 1
        assert {request.headers["x-amz-security-token"] for request in server.requests} == {"T"}


# TLS


def certificate(folder: Path) -> tuple[str, ssl.SSLContext]:
    """Make a self-signed certificate for 127.0.0.1: its path, and a server's context with it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "canned")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "canned.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return str(path), context


def test_tls_with_a_trusted_authority(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, context = certificate(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", bundle)
    large = {"text": "x" * 600_000}
    with CannedServer(Reply(ITEM), Reply(large), Reply(ITEM, length="chunked", pause=0.02), tls=context) as server:

        async def scenario(door: Either) -> None:
            assert await get(door) == ITEM
            assert await get(door) == large
            assert await get(door) == ITEM

        run(server.url, scenario)
        assert server.connections == 1


def test_tls_with_an_unknown_authority_is_refused(run: Run, tmp_path: Path) -> None:
    _, context = certificate(tmp_path)
    with CannedServer(tls=context) as server:
        error = run(server.url, failing(ConnectionFailed))
        assert "CERTIFICATE_VERIFY_FAILED" in str(error)
        assert error.sent is False
        assert not server.requests


def test_tls_for_another_host_is_refused(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, context = certificate(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", bundle)
    with CannedServer(tls=context) as server:
        error = run(server.url.replace("127.0.0.1", "localhost"), failing(ConnectionFailed))
        assert "CERTIFICATE_VERIFY_FAILED" in str(error)


def test_tls_stale_connections_and_timeouts(run: Run, tmp_path: Path) -> None:
    bundle, context = certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=bundle)
    replies = (Reply(ITEM), Reply(drop="after"), Reply(ITEM), Reply(delay=0.5))
    with CannedServer(*replies, tls=context) as server:

        async def scenario(door: Either) -> None:
            await get(door)
            assert await get(door) == ITEM
            with pytest.raises(DeadlineExceeded):
                await door.send("GetItem", GET, deadline=time.monotonic() + 0.2)

        run(server.url, scenario, ssl_context=trusting)
        assert server.connections == 2


def test_a_bundle_that_is_not_there(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with CannedServer() as server:
        run(server.url.replace("http:", "https:"), failing(UsageError))
