"""The modules of `lift_dynamorm` import what stands below them in the layout of `docs/design.md`, and nothing above."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lift_dynamorm"


def floors() -> dict[str, int]:
    """Read the layout: modules by name, and how far down they stand."""
    text = (ROOT / "docs" / "design.md").read_text()
    block = text.split("each floor imports only those below:\n```\n")[1].split("```")[0]
    return {name: n for n, line in enumerate(block.splitlines()) for name in re.findall(r"^\w+/|\b\w+\.py\b", line)}


def imports(path: Path) -> set[str]:
    """Name what a module imports of the package when it is loaded."""
    tree = ast.parse(path.read_text())
    later = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and id(node) not in later
            and (node.module or "").startswith("lift_dynamorm")
        ):
            _, _, inside = str(node.module).partition(".")
            found |= {inside.split(".")[0]} if inside else {alias.name for alias in node.names}
    return found


def test_every_module_stands_on_a_floor() -> None:
    names = {path.name if path.is_file() else f"{path.name}/" for path in PACKAGE.iterdir() if path.name[0].isalpha()}
    assert names - {"py.typed"} == floors().keys()


def test_imports_go_down() -> None:
    level = {name.rstrip("/").removesuffix(".py"): n for name, n in floors().items()}
    upwards = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in PACKAGE.rglob("*.py")
        if path != PACKAGE / "__init__.py"
        for name in imports(path)
        if level[name] < level[path.relative_to(PACKAGE).parts[0].removesuffix(".py")]
    ]
    assert upwards == []
