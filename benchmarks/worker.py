"""The process of one contestant: does what it is told on standard input, and says what it took.

``python -m benchmarks.worker lift:Blocking http://127.0.0.1:8000`` takes lines ``get 0.3``: the row, and the seconds
to spend on it. With the name of a row behind, it does that once and ends.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contestants import Contestant


def contestant_of(name: str, endpoint: str) -> Contestant:
    module, _, cls = name.partition(":")
    made: Contestant = getattr(import_module(f"benchmarks.contestants.{module}"), cls)(endpoint)
    return made


def measure(work: Callable[[int], object], seconds: float) -> dict[str, Any]:
    """Repeat the work for about so long. Returns the CPU and wall time of one call, in seconds."""
    count, took = 1, 0.0
    while True:
        started = time.perf_counter()
        work(count)
        took = time.perf_counter() - started
        if took >= seconds / 8:
            break
        count *= 2
    count = max(1, round(count * seconds / took))
    cpu, wall = time.process_time(), time.perf_counter()
    work(count)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"count": count, "cpu": cpu / count, "wall": wall / count}


def serve(contestant: Contestant) -> None:
    import gc
    import json
    from importlib.metadata import version

    from benchmarks.rows import ROWS

    rows = [row.name for row in ROWS if hasattr(contestant, row.name)]
    versions = {package: version(package) for package in contestant.packages}
    print(json.dumps({"title": contestant.title, "rows": rows, "versions": versions}), flush=True)
    checked: set[str] = set()
    for line in sys.stdin:
        name, seconds = line.split()
        work = getattr(contestant, name)
        if name not in checked:
            contestant.check(name, work(1))
            checked.add(name)
        gc.collect()
        print(json.dumps(measure(work, float(seconds))), flush=True)


if __name__ == "__main__":
    contestant = contestant_of(*sys.argv[1:3])
    if sys.argv[3:]:
        getattr(contestant, sys.argv[3])(1)
    else:
        serve(contestant)
