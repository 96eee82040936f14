"""`docs/streams.md`: its program runs, and prints what stands there."""

from __future__ import annotations

import asyncio
import re
import textwrap
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent.parent / "docs" / "streams.md").read_text()


def test_the_program_of_the_page_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```(\w*)\n(.*?)```", PAGE, re.DOTALL)
    program = textwrap.indent("".join(text for kind, text in blocks if kind == "python"), "    ")
    names: dict[str, object] = {"__name__": "streams"}
    exec(compile(f"async def main():\n{program}", "streams.md", "exec", dont_inherit=True), names)
    main = names["main"]
    assert callable(main)
    asyncio.run(main())
    (printed,) = [text for kind, text in blocks if not kind]
    assert capsys.readouterr().out == printed
