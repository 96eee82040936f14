from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="the benchmarks read the CPU time of processes as Unix tells it")

RUN = Path(__file__).parent.parent / "benchmarks" / "run.py"

ROWS = {
    "get": {"lift-dynamorm", "boto3 client (dicts)", "boto3 resource + pydantic", "raw socket (the limit)"},
    "get_async": {"lift-dynamorm, asyncio", "boto3 client in threads (dicts)"},
    "query": {"lift-dynamorm", "boto3 resource + pydantic"},
    "put": {"lift-dynamorm", "boto3 client (dicts)"},
    "first": {"lift-dynamorm", "boto3 client (dicts)", "the same model in pydantic alone"},
    "middleware": {"Starlette + DynamORMMiddleware", "Starlette alone"},
}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(RUN), *arguments], capture_output=True, text=True, timeout=100)


def test_every_row_has_figures_of_every_contestant(tmp_path: Path) -> None:
    done = bench("--quick", "--rounds", "2", "--json", str(tmp_path / "figures.json"))
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads((tmp_path / "figures.json").read_text())
    assert [row["name"] for row in report["rows"]] == list(ROWS)
    for row in report["rows"]:
        assert {result["contestant"] for result in row["results"]} >= ROWS[row["name"]]
        assert row["title"] in done.stdout
        for result in row["results"]:
            assert f"\n  {result['contestant']} " in done.stdout
            for taken in (result["cpu"], result["wall"]):
                assert len(taken["rounds"]) == 2
                assert 0 < taken["min"] <= taken["median"] <= taken["max"]
            assert result["ratio"] > 0
        assert row["results"][0]["ratio"] == 1
    assert {"boto3", "pydantic", "starlette"} <= report["versions"].keys()
    assert report["machine"]["cores"] > 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout.isascii()


def test_only_the_rows_that_are_named() -> None:
    done = bench("--quick", "--rounds", "1", "put", "middleware")
    assert (done.returncode, done.stderr) == (0, "")
    assert "PutItem" in done.stdout
    assert "GetItem" not in done.stdout


def test_a_row_that_does_not_exist_is_refused() -> None:
    done = bench("puts")
    assert done.returncode == 2
    assert "no row is called puts" in done.stderr
