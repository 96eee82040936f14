from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import httpx
import pytest

from .ways import EXAMPLE, PYTHONPATH

DEMO = EXAMPLE / "demo.py"


@contextmanager
def demo(*arguments: str, code: str | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run the demo as scripts/demo does; `code` runs in its place, and may change it first."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", *(("-c", code) if code else (str(DEMO),)), *arguments],
        cwd=EXAMPLE,
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


def out(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def test_check_walks_through_every_route_and_ends() -> None:
    with demo("--check") as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    for status in (200, 201, 204, 304, 400, 404, 409, 412, 422, 428):
        assert re.search(rf"^  < {status} ", output, re.MULTILINE), status
    requests = set(re.findall(r"^  > (?:GET|POST|PATCH|DELETE) /(?:users(?:/\w+)?|health|ready)", output, re.MULTILINE))
    assert {line.split()[1] for line in requests} == {"GET", "POST", "PATCH", "DELETE"}
    assert re.search(r"every answer as expected\n\Z", output)
    assert "\x1b" not in output
    assert max(map(len, output.splitlines())) <= 80
    (port,) = re.findall(r"http://127\.0\.0\.1:(\d+)", output)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)))


def test_an_answer_that_was_not_expected_fails_the_check() -> None:
    changed = """
import os, sys
os.environ["DYNAMODB_ENDPOINT"] = "local://"
import app, demo
app.matches = lambda *_, **__: True
sys.exit(demo.main())
"""
    with demo("--check", code=changed) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "  ! 412 was expected" in output
    assert re.search(r"[1-9]\d* unexpected answers\n\Z", output)


def test_an_app_that_does_not_start_fails_the_check() -> None:
    broken = "import sys; sys.modules['app'] = None; import demo; sys.exit(demo.main())"
    with demo("--check", code=broken) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the app did not start" in errors
    assert "every answer as expected" not in output


def test_without_check_it_serves_until_it_is_interrupted() -> None:
    with demo("--port", "0") as process:
        lines = iter(out(process).readline, "")
        serving = next(line for line in lines if line.startswith("Serving "))
        url, docs = re.findall(r"http://\S+", serving)
        assert httpx.get(f"{url}/users/bob").json()["name"] == "bob"
        assert httpx.get(docs).status_code == 200
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
