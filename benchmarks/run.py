"""Measure what the work costs, side by side in one run: ``scripts/bench [row ...] [--rounds N] [--json FILE]``.

CPU is what the client's process took of it, user and system; wall is time. Every contestant has a process of its
own, the canned DynamoDB has another one, and the contestants take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from benchmarks.contestants import CONTESTANTS
from benchmarks.report import Report, Result
from benchmarks.rows import ROWS, Row

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {
    # Without bytecode of its own a library would be compiled at each start.
    **{
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "LIFT_")) and name != "PYTHONDONTWRITEBYTECODE"
    },
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


class Child:
    """A process that answers line by line, and ends with its input."""

    def __init__(self, *arguments: str) -> None:
        self._name = " ".join(arguments)
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._name} has failed; see above")
        return json.loads(line)

    def ask(self, question: str) -> Any:
        assert self._process.stdin is not None
        print(question, file=self._process.stdin, flush=True)
        return self.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


class Worker:
    """A contestant in its process."""

    def __init__(self, name: str, endpoint: str, started: ExitStack) -> None:
        self._arguments = ("benchmarks.worker", name, endpoint)
        self._child = started.enter_context(Child(*self._arguments))
        hello = self._child.read()
        self.title: str = hello["title"]
        self.rows: list[str] = hello["rows"]
        self.versions: dict[str, str] = hello["versions"]

    def measure(self, row: Row, seconds: float) -> tuple[float, float]:
        """Give CPU and wall time of the row's work, in its unit."""
        took = self._fresh(row) if row.fresh else self._child.ask(f"{row.name} {seconds}")
        return took["cpu"] * row.scale, took["wall"] * row.scale

    def _fresh(self, row: Row) -> dict[str, float]:
        cpu, wall = _cpu_of_children(), time.perf_counter()
        subprocess.run([sys.executable, "-m", *self._arguments, row.name], cwd=ROOT, env=ENVIRONMENT, check=True)
        return {"cpu": _cpu_of_children() - cpu, "wall": time.perf_counter() - wall}


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(rows: list[Row], *, rounds: int, seconds: float) -> Report:
    """Measure, each round beginning with another contestant."""
    report = Report(rounds)
    with ExitStack() as started:
        server = started.enter_context(Child("benchmarks.server"))
        endpoint = f"http://127.0.0.1:{server.read()}"
        workers = [Worker(name, endpoint, started) for name in CONTESTANTS]
        for row in rows:
            entered = [worker for worker in workers if row.name in worker.rows]
            report.results.append((row, [Result(worker.title) for worker in entered]))
            for worker in entered:
                report.versions |= worker.versions
        for turn in range(rounds):
            for row, results in report.results:
                order = list(zip((w for w in workers if row.name in w.rows), results, strict=True))
                for worker, result in order[turn % len(order) :] + order[: turn % len(order)]:
                    cpu, wall = worker.measure(row, seconds)
                    result.cpu.append(cpu)
                    result.wall.append(wall)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure this package beside others.")
    parser.add_argument("row", nargs="*", help=f"one or more of: {', '.join(row.name for row in ROWS)}; all without")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (5)")
    parser.add_argument("--quick", action="store_true", help="every work once: to see that it works, not what it costs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here")
    options = parser.parse_args()
    unknown = set(options.row) - {row.name for row in ROWS}
    if unknown or options.rounds < 1:
        parser.error(f"no row is called {', '.join(sorted(unknown))}" if unknown else "--rounds is at least 1")
    rows = [row for row in ROWS if not options.row or row.name in options.row]
    report = run(rows, rounds=options.rounds, seconds=0.0 if options.quick else 0.25)
    for line in report.lines():
        print(line)
    if options.json:
        options.json.write_text(json.dumps(report.as_json(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
