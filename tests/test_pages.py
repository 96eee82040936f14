"""Pages of `docs/` that are programs: they run, and print what stands there."""

from __future__ import annotations

import ast
import asyncio
import codeop
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("page", ["queries.md", "streams.md", "tables.md"])
def test_the_program_of_the_page_runs_and_prints_what_it_says(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```(\w*)\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    program = textwrap.indent("".join(text for kind, text in blocks if kind == "python"), "    ")
    names: dict[str, object] = {"__name__": "page"}
    exec(compile(f"async def main():\n{program}", page, "exec", dont_inherit=True), names)
    main = names["main"]
    assert callable(main)
    asyncio.run(main())
    (printed,) = [text for kind, text in blocks if not kind]
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("page", ["queries.md", "scans.md", "tables.md"])
def test_a_block_and_an_empty_line_can_be_pasted_into_the_interpreter(page: str) -> None:
    compiled = codeop.CommandCompiler()
    compiled.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
        statement: list[str] = []
        for line in [*block.splitlines(), ""]:
            statement.append(line)
            if compiled("\n".join(statement), page) is not None:
                statement = []
        assert not statement


@pytest.mark.parametrize("part", [0, 1], ids=["migrations", "copies"])
def test_the_files_of_the_page_are_a_program_that_prints_what_it_says(part: int, tmp_path: Path) -> None:
    text = (DOCS / "migrations.md").read_text().split("## Copying to a new table")[part]
    before, printed = re.split(r"^(?:The program|It) prints:$", text, maxsplit=1, flags=re.MULTILINE)
    names = [*re.findall(r"^`((?:\w+/)?\w+\.py)`", before, re.MULTILINE), "script.py"]
    blocks = re.findall(r"```python\n(.*?)```", before, re.DOTALL)
    for name, block in zip(names, blocks, strict=True):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(block)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{DOCS.parent}"}
    command = [sys.executable, "-W", "error", "script.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == re.findall(r"```\n(.*?)```", printed, re.DOTALL)[0]
