"""`docs/migrations.md`: its files make a program that runs, and prints what stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "migrations.md"


def test_the_program_of_the_page_runs_and_prints_what_it_says(tmp_path: Path) -> None:
    text = PAGE.read_text().split("The program prints:")
    blocks = re.findall(r"```python\n(.*?)```", text[0], re.DOTALL)
    names = re.findall(r"`((?:app|migrations)/\w+\.py)`", text[0])
    *files, script = blocks[: len(names) + 1]
    for name, block in zip(names, files, strict=True):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(block)
    (tmp_path / "script.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-W", "error", "script.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (printed,) = re.findall(r"```\n(.*?)```", text[1], re.DOTALL)[:1]
    assert done.stdout == printed
