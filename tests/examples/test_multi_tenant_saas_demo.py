"""The demo of the multi-tenant example, run as its README says."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from .ways import PYTHONPATH, ROOT

DEMO = ROOT / "examples" / "multi_tenant_saas" / "demo.py"


@contextmanager
def demo(*arguments: str, code: str | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run the demo; `code` runs in its place, and may change it first."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", *(("-c", code) if code else (str(DEMO),)), *arguments],
        cwd=DEMO.parent if code else ROOT,
        env={**os.environ, "PYTHONPATH": PYTHONPATH, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_check_walks_through_the_api_and_ends() -> None:
    with demo("--check") as process:
        output, errors = process.communicate(timeout=90)
    assert (process.returncode, errors) == (0, "")
    for status in (200, 201, 204, 304, 401, 403, 404, 409, 412, 422, 428):
        assert re.search(rf"^  < {status} ", output, re.MULTILINE), status
    assert "  < 1 times 201 Created\n  < 11 times 409 Conflict\n" in output
    assert re.search(r"every answer as expected\n\Z", output)
    assert "\x1b" not in output
    assert max(map(len, output.splitlines())) <= 80
    (port,) = re.findall(r"http://127\.0\.0\.1:(\d+)", output)
    with socket.socket() as closed:
        assert closed.connect_ex(("127.0.0.1", int(port))) != 0


def test_an_answer_that_was_not_expected_fails_the_check() -> None:
    changed = """
import os, sys
os.environ.update(DYNAMODB_ENDPOINT="local://", SIGNING_KEYS="x" * 40)
import demo
from saas.api import http
http._matches = lambda *_, **__: True
sys.exit(demo.main())
"""
    with demo("--check", code=changed) as process:
        output, _ = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "  ! 412 was expected" in output
    assert "every answer as expected" not in output


def test_without_check_it_serves_two_tenants_until_it_is_interrupted() -> None:
    with demo("--port", "0") as process:
        assert process.stdout is not None
        lines = []
        for line in iter(process.stdout.readline, ""):
            lines.append(line)
            if line.startswith("Serving "):
                break
        pages = re.findall(r"^  (http://\S+/sign-in) ", "".join(lines), re.MULTILINE)
        assert [page.split("/")[4] for page in pages] == ["acme", "globex"]
        for page in pages:
            assert "Sign in to" in httpx.get(page).text
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (0, "\nStopped.\n", "")


def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with demo("--check", "--port", port) as process:
            output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert port in errors
    assert len(errors.splitlines()) == 1
