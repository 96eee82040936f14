"""Walk through the users API with real HTTP requests, on the embedded engine, and leave it serving.

demo.py [--check] [--port N]     --check ends after the walk: 0 if every answer was the expected one
"""

from __future__ import annotations

import argparse
import json
import logging
import os
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

SHOWN_REQUEST_HEADERS = ("if-match", "if-none-match")
SHOWN_RESPONSE_HEADERS = ("content-type", "location", "etag", "retry-after")
WIDTH = 80


class Walk:
    """Send requests, print each with its answer, and count the answers that were not expected."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=30)
        self.colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.requests = 0
        self.failures = 0

    def title(self, text: str) -> None:
        print(f"\n{self._paint('1', text)}")

    def __call__(
        self, expected: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        request = self.client.build_request(method, path, json=body, headers=headers)
        response = self.client.send(request)
        self.requests += 1
        print()
        self._line(">", f"{method} {request.url.raw_path.decode()}", "36")
        self._headers(">", request.headers, SHOWN_REQUEST_HEADERS)
        self._body(">", request.content)
        status = f"{response.status_code} {HTTPStatus(response.status_code).phrase}"
        self._line("<", status, "32" if response.status_code == expected else "31")
        self._headers("<", response.headers, SHOWN_RESPONSE_HEADERS)
        self._body("<", response.content)
        self.expect(response.status_code == expected, f"{expected} was expected")
        return response

    def expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.failures += 1
            self._line("!", otherwise, "31")

    def _headers(self, mark: str, headers: httpx.Headers, shown: tuple[str, ...]) -> None:
        for name in shown:
            value = headers.get(name)
            if value is not None and value != "application/json":
                self._line(mark, f"{name}: {value}")

    def _body(self, mark: str, content: bytes) -> None:
        if content:
            self._line(mark, json.dumps(json.loads(content), ensure_ascii=False))

    def _line(self, mark: str, text: str, colour: str = "") -> None:
        for line in textwrap.wrap(text, WIDTH - 4, break_on_hyphens=False):
            print(f"  {mark} {self._paint(colour, line)}")

    def _paint(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if colour and self.colours else text


def walk(visit: Walk) -> None:
    """Visit every route, in good order and in trouble."""
    visit.title("Is it there, and does its table answer?")
    visit(200, "GET", "/health")
    visit(200, "GET", "/ready")

    visit.title("Create a user. The commit is done when the answer leaves.")
    ann = {"id": "ann", "email": "ann@example.com", "name": "Ann", "team": "core", "joined": "2026-01-05T09:00:00Z"}
    created = visit(201, "POST", "/users", ann)
    first = created.headers.get("etag", "")
    where = created.headers.get("location", "/users/ann")

    visit.title("The same again: the route saw no error, but the commit failed. Not a 201.")
    visit(409, "POST", "/users", ann)

    visit.title("Read it, and ask again with the ETag.")
    visit(200, "GET", where)
    visit(304, "GET", where, headers={"If-None-Match": first})

    visit.title("Change some fields. It takes the ETag of what was read.")
    visit(428, "PATCH", where, {"name": "Ann Lee"})
    visit(200, "PATCH", where, {"name": "Ann Lee", "tags": ["admin"]}, {"If-Match": first})

    visit.title("A second writer still holds the old ETag: nothing of theirs is lost or mixed in.")
    visit(412, "PATCH", where, {"name": "Anna"}, {"If-Match": first})

    visit.title("Eight writers at once with the same ETag: one wins.")
    race(visit, where)
    visit(200, "GET", where)

    visit.title("What cannot be: a user that is not there, a body that is not valid.")
    visit(404, "GET", "/users/nobody")
    visit(422, "POST", "/users", {"email": "not an address", "name": "", "team": "core"})

    visit.title("List a team page by page, those who joined last first.")
    for name, day in (("bob", "06"), ("cid", "07")):
        joined = f"2026-01-{day}T09:00:00Z"
        visit(
            201, "POST", "/users", {**ann, "id": name, "email": f"{name}@example.com", "name": name, "joined": joined}
        )
    page = visit(200, "GET", "/users?team=core&limit=2").json()
    rest = visit(200, "GET", f"/users?team=core&limit=2&cursor={page['cursor']}").json()
    names = [user["id"] for user in page["items"] + rest["items"]]
    visit.expect(names == ["cid", "bob", "ann"], f"the pages hold {names}")
    visit.expect(rest["cursor"] is None, "the second page is not the last")

    visit.title("A cursor that was tampered with.")
    visit(400, "GET", f"/users?team=core&cursor={page['cursor'][:-4]}AAAA")

    visit.title("Delete it: only the version that was read, then whatever is there.")
    visit(412, "DELETE", where, headers={"If-Match": first})
    visit(204, "DELETE", where)
    visit(404, "DELETE", where)

    visit.title("The API describes itself.")
    response = visit.client.get("/openapi.json")
    visit.requests += 1
    visit.expect(response.status_code == 200, f"/openapi.json answers {response.status_code}")
    for path, methods in response.json()["paths"].items():
        print(f"    {path:16} {' '.join(methods)}")


def race(visit: Walk, where: str) -> None:
    read = visit.client.get(where)
    headers = {"If-Match": read.headers["etag"]}
    print(f"\n  > PATCH {where}   (8 times)\n  > if-match: {headers['If-Match']}")
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda n: visit.client.patch(where, json={"name": f"Ann {n}"}, headers=headers), range(8))
        )
    visit.requests += 9
    statuses = Counter(answer.status_code for answer in answers)
    for status, times in sorted(statuses.items()):
        print(f"  < {times} times {status} {HTTPStatus(status).phrase}")
    visit.expect(statuses[200] == 1, "one writer should have won")
    visit.expect(statuses[200] + statuses[409] + statuses[412] == 8, "the others should have got 409 or 412")


@contextmanager
def serving(port: int) -> Iterator[tuple[str, threading.Thread]]:
    """Run the app under uvicorn, in a thread, until the block ends."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        server = uvicorn.Server(uvicorn.Config("app:app", log_level="warning"))  # app.py, beside this file
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
    parser = argparse.ArgumentParser(description="Walk through the users API, and leave it serving.")
    parser.add_argument("--check", action="store_true", help="end after the walk, with 0 if all went as expected")
    parser.add_argument("--port", type=int, default=None, help="where to serve; 8000, and with --check a free one")
    arguments = parser.parse_args()
    os.environ["DYNAMODB_ENDPOINT"] = "local://"
    os.environ.setdefault("LIFT_DYNAMORM_CURSOR_KEY", "only for this demo")
    port = arguments.port if arguments.port is not None else 0 if arguments.check else 8000
    try:
        with serving(port) as (url, thread):
            print(f"The users API, under uvicorn at {url}, on the embedded engine.")
            visit = Walk(url)
            log = logging.getLogger("lift_middleware")
            log.setLevel(logging.ERROR)  # the walk gives it cause to warn
            with visit.client:
                walk(visit)
            log.setLevel(logging.NOTSET)
            if visit.failures:
                print(f"\n{visit.requests} requests, {visit.failures} unexpected answers")
                return 1
            print(f"\n{visit.requests} requests, every answer as expected")
            if not arguments.check:
                print(f"\nServing {url}   documentation: {url}/docs   Ctrl-C ends it", flush=True)
                thread.join()
    except OSError as error:
        print(f"demo: port {port}: {error.strerror}; choose another with --port", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
