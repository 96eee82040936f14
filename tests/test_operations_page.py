"""`docs/operations.md` names tests that exist, and every group of the conformance suite."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONFORMANCE = ROOT / "tests" / "conformance"
NAMED = re.findall(r"(test_\w+)::(test_\w+)", (ROOT / "docs" / "operations.md").read_text())


def test_every_row_names_a_test() -> None:
    rows = [line for line in (ROOT / "docs" / "operations.md").read_text().splitlines() if line.startswith("| ")]
    bare = [row for row in rows if "::" not in row and not row.startswith("| feature")]
    assert bare == []
    assert len(rows) > 70


def test_every_test_that_is_named_exists() -> None:
    missing = [f"{module}::{name}" for module, name in NAMED if name not in _tests(CONFORMANCE / f"{module}.py")]
    assert missing == []


def test_every_module_of_the_suite_is_named() -> None:
    modules = {path.stem for path in CONFORMANCE.glob("test_*.py")}
    assert modules == {module for module, _ in NAMED}


def _tests(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
