"""What was measured, as a table and as JSON."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.rows import Row

_LINE = "{:<33} {:>6} {:>12} {:>6} {:>12} {:>5}"


@dataclass(slots=True)
class Result:
    """The rounds of one contestant in one row; CPU and wall time in the row's unit."""

    contestant: str
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """Everything that one run found out."""

    rounds: int
    versions: dict[str, str] = field(default_factory=dict)
    results: list[tuple[Row, list[Result]]] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield the table, at most 80 characters wide."""
        for row, results in self.results:
            what = "wall" if row.fresh else "CPU"
            yield row.title
            yield _LINE.format(f"  {row.unit}, median of {self.rounds}", "CPU", "min-max", "wall", "min-max", "x")
            for result in results:
                figures = [part for taken in (result.cpu, result.wall) for part in (median(taken), taken)]
                cells = [_figure(f) if isinstance(f, float) else _spread(f) for f in figures]
                ratio = _ratio(row, result, results[0])
                yield _LINE.format(f"  {result.contestant}", *cells, _figure(ratio))
            if row.difference and len(results) > 1:
                yield f"  The first takes {_difference(results):.1f} {row.unit} of CPU more than the second."
            yield f"  x: {what} time as a multiple of the first line's."
            yield ""
        yield from self._facts()

    def _facts(self) -> Iterator[str]:
        line = ""
        for text in (f"{package} {version}" for package, version in sorted(self.versions.items())):
            if len(line) + len(text) > 76:
                yield line
                line = ""
            line += f"{', ' if line else ''}{text}"
        yield line
        machine = machine_facts()
        yield f"{machine['python']}, {machine['system']}"[:80]
        yield f"{machine['processor']}, {machine['cores']} cores, load {machine['load']}"[:80]

    def as_json(self) -> dict[str, Any]:
        return {
            "rounds": self.rounds,
            "versions": self.versions,
            "machine": machine_facts(),
            "rows": [
                {
                    "name": row.name,
                    "title": row.title,
                    "unit": row.unit,
                    "difference": _difference(results) if row.difference and len(results) > 1 else None,
                    "results": [
                        {
                            "contestant": result.contestant,
                            "cpu": _summary(result.cpu),
                            "wall": _summary(result.wall),
                            "ratio": _ratio(row, result, results[0]),
                        }
                        for result in results
                    ],
                }
                for row, results in self.results
            ],
        }


def machine_facts() -> dict[str, Any]:
    """Tell what the figures depend on."""
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            processor = next(line.partition(": ")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}",
        "processor": processor,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def _summary(taken: list[float]) -> dict[str, Any]:
    return {"median": median(taken), "min": min(taken), "max": max(taken), "rounds": taken}


def _ratio(row: Row, result: Result, first: Result) -> float:
    if row.fresh:
        return median(result.wall) / median(first.wall)
    return median(result.cpu) / median(first.cpu)


def _difference(results: list[Result]) -> float:
    return median(results[0].cpu) - median(results[1].cpu)


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _spread(taken: list[float]) -> str:
    return f"{_figure(min(taken))}-{_figure(max(taken))}"
