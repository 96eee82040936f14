"""The README's app, run as it stands, and its transcript, typed as it stands."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.examples.ways import PYTHONPATH

if TYPE_CHECKING:
    from collections.abc import Iterator

README = (Path(__file__).parent.parent / "README.md").read_text()
APP, DATA_LAYER = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
(TRANSCRIPT,) = re.findall(r"```console\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "notes.py").write_text(APP.replace("port=8001", f"port={port}"))
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
    server = subprocess.Popen([sys.executable, "notes.py"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    try:
        for _ in range(1000):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.communicate()


def same(text: str) -> str:
    """Leave out what differs from run to run: times and cursors."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    return re.sub(r'"next":"[^"]*"', '"next":"CURSOR"', text)


def test_the_first_app_answers_as_printed(address: str) -> None:
    lines = TRANSCRIPT.splitlines()
    assert lines.pop(0).startswith("$ python notes.py &")
    for command, answer in zip(lines[::2], lines[1::2], strict=True):
        _, curl, *arguments, url = shlex.split(command)
        assert curl == "curl"
        options = dict(zip(arguments[::2], arguments[1::2], strict=True))
        headers = dict([options["-H"].split(": ")]) if "-H" in options else {}
        body = options.get("-d")
        response = httpx.request(
            "GET" if body is None else "POST",
            url.replace("http://127.0.0.1:8001", address),
            headers=headers,
            content=body,
        )
        assert same(response.text) == same(answer), command


def test_the_data_layer_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    program = f"async def main():\n{textwrap.indent(DATA_LAYER, '    ')}"
    names: dict[str, object] = {}
    exec(program, names)
    main = names["main"]
    assert callable(main)
    asyncio.run(main())
    printed = capsys.readouterr().out
    assert printed.startswith("Anna 1\n")
    assert "query User by by_team" in printed
