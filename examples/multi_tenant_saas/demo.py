"""Seed two tenants, walk through the API with real HTTP requests, on the embedded engine, and leave it serving.

demo.py [--check] [--port N]     --check ends after the walk: 0 if every answer was the expected one
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import secrets
import socket
import sys
import textwrap
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "correct horse"
SHOWN_REQUEST_HEADERS = ("if-match", "if-none-match", "idempotency-key")
SHOWN_RESPONSE_HEADERS = ("content-type", "location", "etag", "retry-after", "idempotent-replayed")
WIDTH = 80


class UnexpectedAnswer(Exception):
    """Ends the walk: what follows builds on what came before."""


class Walk:
    """Send requests, and print each with its answer, until one is not the expected one."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=60)
        self.colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.tokens: dict[str, str] = {}
        self.requests = 0

    def title(self, text: str) -> None:
        print()
        for line in textwrap.wrap(text, WIDTH):
            print(self._paint("1", line))

    def __call__(
        self,
        who: str,
        expected: int,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        quiet: bool = False,
    ) -> httpx.Response:
        """Send a request for someone, by the name of a token, "" for nobody."""
        sent = dict(headers or {})
        if who:
            sent["authorization"] = f"Bearer {self.tokens[who]}"
        request = self.client.build_request(method, path, json=body, headers=sent)
        response = self.client.send(request)
        self.requests += 1
        if not quiet or response.status_code != expected:
            print()
            self._line(">", f"{method} {request.url.raw_path.decode()}{f'   ({who})' if who else ''}", "36")
            self._headers(">", request.headers, SHOWN_REQUEST_HEADERS)
            self._body(">", request.content)
            status = f"{response.status_code} {HTTPStatus(response.status_code).phrase}"
            self._line("<", status, "32" if response.status_code == expected else "31")
            self._headers("<", response.headers, SHOWN_RESPONSE_HEADERS)
            self._body("<", response.content)
        self.expect(response.status_code == expected, f"{expected} was expected")
        return response

    def sign_in(self, who: str, workspace: str) -> str:
        """Get a token for someone; gives the id of the user."""
        given = {"workspace": workspace, "email": f"{who}@example.com", "password": PASSWORD}
        answer = self("", 200, "POST", "/api/sign-in", given, quiet=True).json()
        self.tokens[who] = answer["access_token"]
        return str(answer["user"])

    def expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self._line("!", otherwise, "31")
            raise UnexpectedAnswer

    def _headers(self, mark: str, headers: httpx.Headers, shown: tuple[str, ...]) -> None:
        for name in shown:
            value = headers.get(name)
            if value is not None and value != "application/json":
                self._line(mark, f"{name}: {value}")

    def _body(self, mark: str, content: bytes) -> None:
        for line in content.decode().splitlines()[:3]:
            self._line(mark, json.dumps(_shortened(json.loads(line)), ensure_ascii=False))
        if content.count(b"\n") > 3:
            self._line(mark, f"... {content.count(bytes([10])) - 3} more lines")

    def _line(self, mark: str, text: str, colour: str = "") -> None:
        for line in textwrap.wrap(text, WIDTH - 4, break_on_hyphens=False):
            print(f"  {mark} {self._paint(colour, line)}")

    def _paint(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if colour and self.colours else text


def _shortened(shown: Any) -> Any:
    """Leave out what is long and says nothing: the middle of tokens, all but the first items of lists."""
    if isinstance(shown, dict):
        return {name: _shortened(value) for name, value in shown.items()}
    if isinstance(shown, list):
        return [_shortened(value) for value in shown[:2]] + (["..."] if len(shown) > 2 else [])
    return f"{shown[:12]}..." if isinstance(shown, str) and len(shown) > 60 and " " not in shown else shown


def seed(visit: Walk) -> None:
    """Two tenants, with people, a project and tasks each."""
    visit.title("Two tenants sign up: each is one transaction of workspace, admin, address, counts and activity.")
    plans = {"acme": ("Acme, Inc.", "pro", "ann", "Ann"), "globex": ("Globex", "free", "gil", "Gil")}
    for workspace, (title, plan, who, name) in plans.items():
        new = {"workspace": workspace, "title": title, "plan": plan, "name": name}
        answer = visit(
            "", 201, "POST", "/api/sign-up", {**new, "email": f"{who}@example.com", "password": PASSWORD}
        ).json()
        visit.tokens[who] = answer["access_token"]
    visit.title("The same name again: nothing is written, and nobody learns whose it is.")
    taken = {"workspace": "acme", "title": "x", "name": "Eve", "email": "eve@example.com", "password": PASSWORD}
    visit("", 409, "POST", "/api/sign-up", taken)

    visit.title("Ann and Gil add people; both know an ann@example.com, an address is one per workspace.")
    for admin, who, name, role in (
        ("ann", "bob", "Bob", "member"),
        ("ann", "vic", "Vic", "viewer"),
        ("gil", "ann", "Ann of Globex", "member"),
    ):
        new = {"name": name, "email": f"{who}@example.com", "role": role, "password": PASSWORD}
        visit(admin, 201, "POST", "/api/users", new, quiet=who != "bob")
    bob = visit.sign_in("bob", "acme")
    visit.sign_in("vic", "acme")

    for who, project, tasks in (
        (
            "ann",
            "Website",
            (("Write the imprint", "todo", 3), ("Choose a typeface", "doing", 2), ("Buy it", "done", 4)),
        ),
        ("gil", "Moon base", (("Dig", "todo", 1), ("Order air", "doing", 1))),
    ):
        where = visit(who, 201, "POST", "/api/projects", {"name": project}, quiet=True).headers["location"]
        for title, status, priority in tasks:
            task = {"title": title, "status": status, "priority": priority, "due": "2027-01-15"}
            if who == "ann":
                task["assignee"] = bob
            visit(who, 201, "POST", f"{where}/tasks", task, quiet=True)


def walk(visit: Walk) -> None:
    """Visit the API, in good order and in trouble."""
    visit.title("What acme has, what its plan allows.")
    visit("vic", 200, "GET", "/api/usage")
    project = visit("bob", 200, "GET", "/api/projects").json()["items"][0]["id"]
    board = f"/api/projects/{project}/tasks"

    visit.title("A member creates a task. Sent twice with one Idempotency-Key, it is there once.")
    new = {"title": "Launch", "priority": 1, "due": "2026-12-01"}
    first = visit("bob", 201, "POST", board, new, {"Idempotency-Key": '"launch-1"'})
    again = visit("bob", 201, "POST", board, new, {"Idempotency-Key": '"launch-1"'})
    visit.expect(again.content == first.content, "the second answer is another one")
    visit("bob", 422, "POST", board, {**new, "title": "Lunch"}, {"Idempotency-Key": '"launch-1"'})

    visit.title("Move it: with the ETag that was read; a second writer with the same one is refused.")
    where, etag = first.headers["location"], first.headers["etag"]
    visit("bob", 304, "GET", where, headers={"If-None-Match": etag})
    visit("bob", 200, "PATCH", where, {"status": "doing"}, {"If-Match": etag})
    visit("ann", 412, "PATCH", where, {"status": "done"}, {"If-Match": etag})
    visit("ann", 428, "PATCH", where, {"status": "done"})

    visit.title("Roles: a viewer reads, a member writes, an admin administers.")
    visit("vic", 403, "POST", board, new)
    visit("bob", 403, "GET", "/api/export")

    visit.title("Gil is another tenant: for him Ann's task does not exist, nor does one that nobody has.")
    hers = visit("gil", 404, "GET", where)
    nobody = visit("gil", 404, "GET", where[:-4] + "0000")
    same = [
        answer.text.replace(path[-36:], "").split('"request_id"')[0]
        for answer, path in ((hers, where), (nobody, where[:-4] + "0000"))
    ]
    visit.expect(same[0] == same[1], "the two answers differ")

    visit.title("Page by page, the latest first; the cursor of one tenant is none for another.")
    page = visit("ann", 200, "GET", "/api/activity?limit=2").json()
    visit("ann", 200, "GET", f"/api/activity?limit=2&cursor={page['cursor']}", quiet=True)
    visit("gil", 400, "GET", f"/api/activity?limit=2&cursor={page['cursor']}", quiet=True)

    visit.title("What was done to the task, written in the transactions that did it.")
    visit("vic", 200, "GET", f"{where}/activity")

    visit.title("Globex has a free plan: two projects. Twelve requests at once for the one that is left.")
    race(visit)
    visit("gil", 200, "GET", "/api/usage")

    visit.title("All of one tenant, as lines of JSON.")
    visit("gil", 200, "GET", "/api/export")

    visit.title("A tenant that comes and goes: afterwards its name is free, and its token good for nothing.")
    new = {"workspace": "initech", "title": "Initech", "name": "Ida", "email": "ida@example.com", "password": PASSWORD}
    visit.tokens["ida"] = visit("", 201, "POST", "/api/sign-up", new, quiet=True).json()["access_token"]
    visit("ida", 428, "DELETE", "/api/workspace", quiet=True)
    visit("ida", 204, "DELETE", "/api/workspace", headers={"If-Match": '"1"'})
    visit("ida", 401, "GET", "/api/workspace")


def race(visit: Walk) -> None:
    print("\n  > POST /api/projects   (gil, 12 times)")
    headers = {"authorization": f"Bearer {visit.tokens['gil']}"}
    with ThreadPoolExecutor(12) as threads:
        answers = list(
            threads.map(
                lambda n: visit.client.post("/api/projects", json={"name": f"Project {n}"}, headers=headers), range(12)
            )
        )
    visit.requests += 12
    statuses = Counter(answer.status_code for answer in answers)
    for status, times in sorted(statuses.items()):
        print(f"  < {times} times {status} {HTTPStatus(status).phrase}")
    visit.expect(statuses == {201: 1, 409: 11}, "one project should have been created")


@contextmanager
def serving(port: int) -> Iterator[tuple[str, threading.Thread]]:
    """Run the app under uvicorn, in a thread, until the block ends."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        server = uvicorn.Server(uvicorn.Config("saas.main:app", log_level="warning"))  # saas/, beside this file
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                if not thread.is_alive():
                    sys.exit("demo: the app did not start; the reason stands above")
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", thread
        finally:
            server.should_exit = True
            thread.join()


def main() -> int:
    parser = argparse.ArgumentParser(description="Seed two tenants, walk through the API, and leave it serving.")
    parser.add_argument("--check", action="store_true", help="end after the walk, with 0 if all went as expected")
    parser.add_argument("--port", type=int, default=None, help="where to serve; 8000, and with --check a free one")
    arguments = parser.parse_args()
    os.environ["DYNAMODB_ENDPOINT"] = "local://"
    os.environ["PLAIN_HTTP"] = "1"
    os.environ.setdefault("SIGNING_KEYS", secrets.token_urlsafe(48))
    os.environ.setdefault("LIFT_DYNAMORM_CURSOR_KEY", "only for this demo")
    port = arguments.port if arguments.port is not None else 0 if arguments.check else 8000
    try:
        with serving(port) as (url, thread):
            print(f"Tenants and tasks, under uvicorn at {url}, on local://.")
            visit = Walk(url)
            log = logging.getLogger("lift_middleware")
            log.setLevel(logging.ERROR)  # the walk gives it cause to warn
            with visit.client:
                seed(visit)
                walk(visit)
            log.setLevel(logging.NOTSET)
            print(f"\n{visit.requests} requests, every answer as expected")
            if not arguments.check:
                print(f"\nSee the isolation in two windows; the password is {PASSWORD!r}:")
                print(f"  {url}/w/acme/sign-in     bob@example.com (or ann, an admin; vic, a viewer)")
                print(f"  {url}/w/globex/sign-in   gil@example.com (or ann, another Ann)")
                print(f"\nServing {url}   Ctrl-C ends it", flush=True)
                thread.join()
    except OSError as error:
        print(f"demo: port {port}: {error.strerror}; choose another with --port", file=sys.stderr)
        return 2
    except UnexpectedAnswer:
        print("\nThat was not to be expected, and the walk ends here.")
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
