"""The users API inside AWS's own runtime client, on a database over a socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import pytest

from lift_dynamorm import Database
from tests.engines.servers import Server
from tests.examples.ways import EXAMPLE, PYTHONPATH, Ask, User, from_lambda
from tests.proxy import Proxy

from .events import SOURCES, Builder
from .runtime_api import RuntimeProcess

pytest.importorskip("awslambdaric", reason="awslambdaric, AWS's Lambda runtime client, has wheels for Linux only")


@pytest.fixture
def table(server: Server) -> Iterator[str]:
    """A table of the test's own, made as a deployment makes it: the function never does."""
    name = f"users-{time.monotonic_ns()}"
    database = Database(transport=server.transport(), table_names={"users": name})
    database.sync.create_tables(User)
    yield name
    database.sync.close()


class Start(Protocol):
    def __call__(self, endpoint: str = "") -> RuntimeProcess:
        """Make an execution environment whose database is behind the proxy, or at another endpoint."""


@pytest.fixture
def function(proxy: Proxy, table: str) -> Start:
    def make(endpoint: str = "") -> RuntimeProcess:
        environment = {
            "PYTHONPATH": PYTHONPATH,
            "DYNAMODB_ENDPOINT": endpoint or proxy.url,
            "TABLE_NAME": table,
            "LIFT_DYNAMORM_CURSOR_KEY": "of-all-instances",
        }
        return RuntimeProcess("app.handler", root=EXAMPLE, env=environment)

    return make


@contextmanager
def running(start: Start) -> Iterator[tuple[RuntimeProcess, dict[str, Ask]]]:
    """One execution environment, and a way in from each source."""
    with start() as process:
        yield process, {name: from_lambda(build, process.invoke) for name, build in SOURCES.items()}


ANN = {"id": "ann", "email": "ann@example.com", "name": "Ann", "team": "core"}


@pytest.mark.parametrize("build", SOURCES.values(), ids=SOURCES.keys())
def test_the_app_works_from_every_source(function: Start, build: Builder) -> None:
    with function() as process:
        ask = from_lambda(build, process.invoke)
        created = ask("POST", "/users", ANN)
        assert (created.status, created.etag, created.headers["location"]) == (201, '"1"', "/users/ann")
        taken = ask("POST", "/users", {**ANN, "name": "Other"})
        assert taken.status == 409
        taken.problem()
        assert ask("GET", "/users/ann").body == created.body
        assert ask("GET", "/users/ann", headers={"If-None-Match": created.etag}).status == 304
        assert ask("PATCH", "/users/ann", {"name": "Ann Lee"}, headers={"If-Match": created.etag}).status == 200
        assert ask("PATCH", "/users/ann", {"name": "Anna"}, headers={"If-Match": created.etag}).status == 412
        assert ask("POST", "/users", {**ANN, "id": "bob"}).status == 201
        first = ask("GET", "/users", query=[("team", "core"), ("limit", "1")]).json()
        rest = ask("GET", "/users", query=[("team", "core"), ("limit", "1"), ("cursor", first["cursor"])]).json()
        assert [user["id"] for user in first["items"] + rest["items"]] == ["bob", "ann"]
        assert ask("DELETE", "/users/ann").status == 204
        assert ask("GET", "/users/ann").status == 404
        assert "Traceback" not in process.log
        assert "Warning" not in process.log


def test_warm_invocations_share_one_connection(function: Start, proxy: Proxy) -> None:
    with running(function) as (process, ways):
        assert all(ask("GET", "/health").status == 200 for ask in ways.values())
        assert proxy.accepted == 0
        pid = process.pid
        for n, ask in enumerate([*ways.values()] * 3):
            assert ask("POST", "/users", {**ANN, "id": f"user-{n}"}).status == 201
            assert ask("GET", f"/users/user-{n}").status == 200
            assert ask("PATCH", f"/users/user-{n}", {"name": str(n)}, headers={"If-Match": '"1"'}).status == 200
            assert proxy.accepted == 1
        os.kill(pid, 0)  # it is there still, so that it was the one that answered all


def test_every_environment_has_a_connection_of_its_own(function: Start, proxy: Proxy) -> None:
    for environments in (1, 2):
        with running(function) as (_, ways):
            for ask in ways.values():
                assert ask("GET", "/ready").status == 200
        assert proxy.accepted == environments


def test_environments_know_each_others_cursors(function: Start) -> None:
    with running(function) as (_, one), running(function) as (_, other):
        for name in ("ann", "bob"):
            one["http-api"]("POST", "/users", {**ANN, "id": name})
        query = [("team", "core"), ("limit", "1")]
        cursor = one["http-api"]("GET", "/users", query=query).json()["cursor"]
        page = other["rest-api"]("GET", "/users", query=[*query, ("cursor", cursor)]).json()
        assert [user["id"] for user in page["items"]] == ["ann"]


def test_a_connection_that_broke_between_invocations_is_made_anew(function: Start, proxy: Proxy) -> None:
    with running(function) as (_, ways):
        ask = ways["http-api"]
        assert ask("POST", "/users", ANN).status == 201
        proxy.cut()
        assert ask("GET", "/users/ann").status == 200
        assert proxy.accepted == 2
        proxy.cut()
        assert ask("PATCH", "/users/ann", {"name": "Ann Lee"}, headers={"If-Match": '"1"'}).etag == '"2"'
        proxy.cut()
        assert ask("POST", "/users", {**ANN, "id": "bob"}).status == 201
        assert proxy.accepted == 4


def test_a_database_that_never_answers_does_not_take_the_function_with_it(function: Start) -> None:
    """The client gets 503 while there is time, not the 502 of a killed function, and the next request is served."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        function(f"http://127.0.0.1:{silent.getsockname()[1]}") as process,
    ):

        def invoke(event: dict[str, Any]) -> dict[str, Any]:
            response: dict[str, Any] = process.invoke(event, timeout=2)
            return response

        ask = from_lambda(SOURCES["http-api"], invoke)
        assert ask("GET", "/health").status == 200
        for method, path, body in (("GET", "/users/ann", None), ("POST", "/users", ANN)):
            reply = ask(method, path, body)
            assert reply.status == 503
            assert int(reply.headers["retry-after"]) > 0
            reply.problem()
        assert ask("GET", "/health").status == 200
