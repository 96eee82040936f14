"""The examples of this folder under mypy and pyright, and whether they leave anything public out.

`assert_type` says what a type is; an `ignore` comment says that a call is an error, and is itself one where it is not.
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import pytest

import lift_dynamorm
import lift_middleware
from lift_dynamorm.expressions import Path
from tests.engines import EngineUnavailable
from tests.engines.fetch import PYRIGHT, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(300)  # mypy without its cache, beside other tests

HERE = FilePath(__file__).parent
ROOT = HERE.parent.parent


def pyright(*arguments: str) -> dict[str, Any]:
    """Run pyright, and return what it says; skips where it cannot be had."""
    try:
        folder = unpack(PYRIGHT)
    except EngineUnavailable as error:
        pytest.skip(str(error))
    node = shutil.which("node")
    if node is None:
        pytest.skip("pyright: node is not installed")
    command = [node, str(folder / "index.js"), "--outputjson", "--pythonpath", sys.executable, *arguments]
    path = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "middleware")))}
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE, env={**os.environ, **path})
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_mypy() -> None:
    options = ["--config-file", str(HERE / "mypy.ini"), "--cache-dir", str(ROOT / ".mypy_cache" / "typing")]
    command = [sys.executable, "-m", "mypy", *options, str(HERE)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright() -> None:
    said = pyright("--project", str(HERE / "pyrightconfig.json"))
    assert said["summary"]["filesAnalyzed"] >= len(EXAMPLES)
    found = [f"{d['file']}:{d['range']['start']['line'] + 1}: {d['message']}" for d in said["generalDiagnostics"]]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", ["lift_dynamorm", "lift_middleware"])
def test_every_type_is_known(package: str) -> None:
    """Every public name of the package has a type, and one that all checkers take for the same."""
    said = pyright("--ignoreexternal", "--verifytypes", package)["typeCompleteness"]
    assert said["packageName"] == package
    unclear = [symbol for symbol in said["symbols"] if symbol["isTypeAmbiguous"] or not symbol["isTypeKnown"]]
    assert len(said["symbols"]) > 40
    # Most are unclear for the sake of another one, which is in the list too.
    messages = [f"{symbol['name']}: {fault['message']}" for symbol in unclear for fault in symbol["diagnostics"]]
    assert not unclear, "\n".join(m for m in messages if "partially" not in m and "docstring" not in m)


# -- whether the examples speak of everything --------------------------------------------------------------------------

EXAMPLES = sorted(path for path in HERE.glob("*.py") if path.name not in ("__init__.py", "test_typing.py"))
PUBLIC = [getattr(module, name) for module in (lift_dynamorm, lift_middleware) for name in module.__all__]
FOR_THE_FLOORS_ABOVE = {"context", "open"}
"""Methods that are public for other modules of ours."""


@functools.cache
def spoken_of() -> frozenset[str]:
    """Every name that the examples use."""
    nodes = [node for path in EXAMPLES for node in ast.walk(ast.parse(path.read_text()))]
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return frozenset({node.arg for node in nodes if isinstance(node, ast.keyword) and node.arg} | names | attributes)


@pytest.mark.parametrize("module", [lift_dynamorm, lift_middleware], ids=lambda module: module.__name__)
def test_no_public_name_is_left_out(module: Any) -> None:
    left_out = sorted(set(module.__all__) - spoken_of())
    assert not left_out, f"no example in tests/typing has {', '.join(left_out)}"


@pytest.mark.parametrize(
    "kind", [Path, *(kind for kind in PUBLIC if inspect.isclass(kind))], ids=lambda kind: kind.__name__
)
def test_no_method_and_no_option_is_left_out(kind: type) -> None:
    left_out = sorted(set(methods_and_options(kind)) - spoken_of() - FOR_THE_FLOORS_ABOVE)
    assert not left_out, f"no example in tests/typing has {kind.__name__}'s {', '.join(left_out)}"


def methods_and_options(kind: type) -> Iterator[str]:
    """Name the public methods and properties of a class, and the parameters that are given by name only."""
    for base in kind.__mro__:
        for name, value in vars(base).items() if base.__module__.startswith("lift_") else ():
            if name.startswith("_") and name != "__init__":
                continue
            if isinstance(value, property) or (inspect.isfunction(value) and name != "__init__"):
                yield name
            if inspect.isfunction(value):
                parameters = inspect.signature(value).parameters.values()
                yield from (p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
