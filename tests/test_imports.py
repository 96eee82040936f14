"""What `import lift_dynamorm` loads: nothing of the web, nothing of AWS's SDK, no engine, no event loop."""

from __future__ import annotations

import subprocess
import sys

import pytest

UNWANTED = {"asyncio", "boto3", "botocore", "fastapi", "httpx", "mangum", "ministack", "moto", "ssl", "starlette"}
UNWANTED |= {"rich", "typer", "yaml"}


def imported(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter loads for this code."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "importtime", "-c", code], capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_an_import_loads_nothing_heavy() -> None:
    # What pydantic loads is pydantic's own affair; we add nothing to it.
    ours = imported("import lift_dynamorm") - imported("import pydantic")
    assert ours & UNWANTED == set()


def test_a_database_that_is_made_loads_neither_sdk_nor_engine() -> None:
    loaded = imported("import lift_dynamorm; lift_dynamorm.Database('http://127.0.0.1:1', region='us-east-1')")
    assert loaded & (UNWANTED - {"asyncio", "ssl"}) == set()


@pytest.mark.parametrize("code", ["import botocore.session", "import asyncio, ssl"])
def test_the_check_sees_what_is_loaded(code: str) -> None:
    assert imported(f"import lift_dynamorm, pydantic; {code}") & UNWANTED


def test_everything_in_all_is_there() -> None:
    import lift_dynamorm

    assert [name for name in lift_dynamorm.__all__ if not hasattr(lift_dynamorm, name)] == []
    assert sorted(lift_dynamorm.__all__) == sorted(set(lift_dynamorm.__all__))
