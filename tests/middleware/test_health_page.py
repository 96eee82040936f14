"""`docs/reliability.md` is a program, and prints what stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

PAGE = Path(__file__).parent.parent.parent / "docs" / "reliability.md"


def test_the_program_of_the_page_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```(\w*)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    program = "".join(text for kind, text in blocks if kind == "python")
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(program, str(PAGE), "exec", dont_inherit=True), names)
    (printed,) = [text for kind, text in blocks if not kind]
    assert capsys.readouterr().out == printed
