"""Pages of `docs/` that are programs: they run, and print what stands there."""

from __future__ import annotations

import ast
import asyncio
import codeop
import re
import textwrap
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("page", ["queries.md", "tables.md"])
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
