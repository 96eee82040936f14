"""The section on copies in `docs/migrations.md`: its files make a program that runs, and prints what stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_program_of_the_section_runs_and_prints_what_it_says(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "migrations.md").read_text().partition("## Copying to a new table")[2]
    *files, script = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for name, block in zip(re.findall(r"^`(\w+(?:/\w+)?\.py)`", text, re.MULTILINE), files, strict=True):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(block)
    (tmp_path / "script.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-W", "error", "script.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (printed,) = re.findall(r"```\n(.*?)```", text.partition("It prints:")[2], re.DOTALL)
    assert done.stdout == printed
