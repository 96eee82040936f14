"""``docs/cli.md``: its transcripts are what the commands say, and every command, option and exit code is on it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from lift_dynamorm.cli.failures import Exit
from lift_dynamorm.cli.root import app

from .test_output import commands

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "cli.md").read_text()
FILES = {
    "shop.py": re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0],
    "users.jsonl": re.findall(r"\$ cat users\.jsonl\n(.*?)\$ ", PAGE, re.DOTALL)[0],
    "wrong.jsonl": """\
{"model": "Order", "tenant": "acme", "item": {"user": "1", "number": 8}}
{"model": "Order", "tenant": "acme", "item": {"user": "1", "number": "nine"}}
{"model": "Order", "tenant": "acme", "item": {"user": "1", "nubmer": 10}}
""",
}


def transcripts() -> Iterator[tuple[str, str]]:
    """Yield each command of the page, and what it is to say."""
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, said = part.partition("\n")
            yield command, said


def settled(text: str) -> str:
    """Take out what differs from one time to the next."""
    text = re.sub(r"\b\d+ s\b", "N s", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)", "TIME", text)
    return re.sub(r"by \S+ \(process \d+\)", "by WHO", text)


def test_the_transcripts(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "LIFT_DYNAMORM_APP": "shop:db", "COLUMNS": "100", "LC_ALL": "C"}
    said = list(transcripts())
    assert len(said) > 20
    for command, expected in said:
        done = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        ordered = sorted if "export -" in command else list  # a table has no order
        assert ordered(settled(done.stdout).splitlines()) == ordered(settled(expected).splitlines()), command


def parameters(command: tuple[str, ...]) -> Iterator[Any]:
    found: Any = get_command(app)
    for name in command:
        found = found.commands[name]
    yield from found.params


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_and_option_is_named(command: tuple[str, ...]) -> None:
    assert f"`{' '.join(command)}" in PAGE
    section = PAGE.partition(f"\n## {command[0]}\n")[2].partition("\n## ")[0]
    assert section
    common = PAGE.partition("## Which app")[2].partition("\n## tables")[0]
    for parameter in parameters(command):
        for option in (*parameter.opts, *parameter.secondary_opts):
            if option.startswith("--"):
                assert re.search(rf"`[^`]*{option}\b", section + common), f"{' '.join(command)} {option}"


@pytest.mark.parametrize("code", Exit)
def test_every_exit_code_is_listed(code: Exit) -> None:
    assert f"\n| {int(code)} | " in PAGE
