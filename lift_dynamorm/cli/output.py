"""What a command says: its result on the standard output, everything else on the standard error."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

from lift_dynamorm.cli.failures import Exit, Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

EVERY = 5.0
"""Seconds between two lines of progress, where there is no terminal for a bar."""
_BAR = 16
_GAP = 2
_NARROW = 8
"""Columns of a terminal; where fewer are left for a text, the terminal wraps it."""


class Output:
    """Where the words of a command go. as_json: the result is one JSON document, and nothing else is said."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._out = Console(highlight=False, markup=False, emoji=False)
        self._err = Console(stderr=True, highlight=False, markup=False, emoji=False)

    # -- the result ----------------------------------------------------------------------------------------------------

    def result(self, document: Any) -> None:
        """Write the JSON document, where that is what was asked for."""
        if self.as_json:
            sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")
            sys.stdout.flush()

    def say(self, text: str = "", style: str = "") -> None:
        """Write a line of the result for people; a longer one is wrapped at the width of a terminal only."""
        if not self.as_json:
            self._out.print(Text(text, style), soft_wrap=not self._out.is_terminal)

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Write rows in columns: a line each in a pipe; in a terminal the last column is wrapped between words."""
        self._rows([headings, *rows], "bold", 0)

    def listing(self, entries: Mapping[str, Any], indent: int = 2) -> None:
        """Write names, each with its value behind it."""
        self._rows([(" " * indent + name, str(value)) for name, value in entries.items()], "", len(entries))

    def _rows(self, rows: Sequence[Sequence[str]], heading: str, dim: int) -> None:
        """Write rows. heading: the style of the first one. dim: of how many the first column is dim."""
        if self.as_json or not rows:
            return
        cells = [[" ".join(cell.splitlines()) if "\n" in cell else cell for cell in row] for row in rows]
        widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)][:-1]
        start = sum(widths) + _GAP * len(widths)
        left = self._out.width - start if self._out.is_terminal else None
        for number, row in enumerate(cells):
            lead = "".join(
                cell + " " * (width - cell_len(cell) + _GAP) for cell, width in zip(row, widths, strict=False)
            )
            first, *more = [row[-1]] if left is None else _wrapped(row[-1], left)
            text = Text((lead + first).rstrip(), heading if number == 0 else "")
            if number < dim:
                text.stylize("dim", 0, len(lead.rstrip()))
            for line in (text, *(Text(" " * start + line) for line in more)):
                self._out.print(line, soft_wrap=True)

    def flush(self) -> None:
        """Let who reads the result have it now."""
        sys.stdout.flush()

    # -- what happens meanwhile ----------------------------------------------------------------------------------------

    def note(self, text: str, style: str = "") -> None:
        """Say something that is not the result."""
        if not self.as_json:
            self._err.print(Text(text, style), soft_wrap=not self._err.is_terminal)

    @property
    def is_live(self) -> bool:
        """Tell whether somebody looks at a terminal that can move its cursor."""
        dumb = os.environ.get("TERM", "") in ("dumb", "unknown") or os.environ.get("CI", "") not in ("", "0", "false")
        return sys.stderr.isatty() and not dumb and not self.as_json

    @contextmanager
    def progress(self, what: str, *, alone: bool = True) -> Iterator[Meter]:
        """Show how far something has come: a bar in a terminal, elsewhere a line every few seconds.

        alone: nothing else is written to the terminal meanwhile.
        """
        if not (self.is_live and (alone or not sys.stdout.isatty())):
            yield Meter(self, what, None)
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.fields[what]}"),
            BarColumn(_BAR),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=self._err, transient=True, refresh_per_second=8) as shown:
            yield Meter(self, what, shown)

    def ask(self, question: str, *, yes: bool) -> None:
        """Have a question answered by yes, or end the command. yes: it was answered on the command line."""
        if yes:
            return
        if self.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise Failure(
                f"this needs an answer, and there is nobody to ask: {question}",
                "--yes answers it",
                code=Exit.USAGE,
                kind="Unanswered",
            )
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Failure("nothing was done: the answer was no", kind="Declined")

    def fail(self, failure: Failure) -> None:
        """Say why a command ends without a result."""
        if self.as_json:
            sys.stderr.write(json.dumps(failure.as_json(), ensure_ascii=False) + "\n")
            return
        soft = not self._err.is_terminal
        self._err.print(Text.assemble(("error: ", "bold red"), failure.message), soft_wrap=soft)
        if failure.mend:
            self._err.print(Text.assemble(("  mend: ", "bold"), failure.mend), soft_wrap=soft)


class Meter:
    """How far something has come."""

    def __init__(self, output: Output, what: str, shown: Progress | None) -> None:
        self._output = output
        self._what = what
        self._shown = shown
        self._task = shown.add_task("", total=None, what=what) if shown is not None else None
        self._said_at = time.monotonic()

    def show(self, text: str, done: float = 0, total: float | None = None) -> None:
        """Say where it is now. total: what `done` is a part of, None where that is not known."""
        if self._shown is not None and self._task is not None:
            self._shown.update(self._task, description=text, completed=done, total=total)
        elif time.monotonic() - self._said_at >= EVERY:
            self._said_at = time.monotonic()
            share = f"{min(done / total, 1):.0%}, " if total else ""
            self._output.note(f"{self._what}: {share}{text}")


def _wrapped(text: str, width: int) -> list[str]:
    """Break a text between words; a longer word is left to the terminal."""
    if cell_len(text) <= width or width < _NARROW:
        return [text]
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(joined) <= width or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines


def counted(number: int, one: str, many: str = "") -> str:
    """Write a number of things: ``1 item``, ``1,000 items``."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def duration(seconds: float) -> str:
    """Write seconds as people do: ``8 s``, ``3:20``, ``2:05:00``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
