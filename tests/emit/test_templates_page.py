"""`docs/templates.md` shows what comes out."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "templates.md"
_BLOCK = re.compile(r"^```([\w-]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_what_is_shown_is_what_is_printed() -> None:
    names: dict[str, Any] = {"__name__": "page"}
    printed, shown = "", 0
    for language, text in _BLOCK.findall(PAGE.read_text()):
        if language == "python":
            assert printed == "", "what the last block prints is not shown"
            output = io.StringIO()
            with redirect_stdout(output):
                exec(compile(text, str(PAGE), "exec"), names)
            printed = output.getvalue()
        else:
            assert text.rstrip("\n") == printed.rstrip("\n")
            printed, shown = "", shown + 1
    assert shown == 6
