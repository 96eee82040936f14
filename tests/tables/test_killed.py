"""Killed at any step, and run again, a change of tables ends where it would have ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.engines import EngineUnavailable, start
from tests.engines.servers import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(params=["embedded", "dynoxide", "extenddb"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The name of an engine, and where it is."""
    if request.param == "embedded":
        yield "embedded", str(tmp_path)
        return
    try:
        server = start(request.param)
    except EngineUnavailable as unavailable:
        pytest.skip(str(unavailable))
    assert isinstance(server, Server)
    yield request.param, server.url
    server.stop()


def test_killed_at_every_step_it_ends_in_the_same_state(engine: tuple[str, str]) -> None:
    command = [sys.executable, "-m", "tests.tables.killed", *engine]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["states"]) == 1
    assert told["killed"] >= 2 * 9  # before and after each change that all of these engines know
