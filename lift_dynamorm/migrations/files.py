"""The files of migrations: found by their numbers, read without being run, run when their turn comes."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

from lift_dynamorm.errors import MigrationError, MigrationFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from lift_dynamorm.migrations.steps import Step

_FILE = re.compile(r"(\d{4,})_([a-z0-9_]+)\.py")
_NAME = re.compile(r"[a-z0-9_]+")
_TEMPLATE = '''"""{title}."""

from lift_dynamorm import F
from lift_dynamorm.migrations import ApplyTables, Run, Transform

# from myapp.models import OldUser, User


# def full_name(user: OldUser) -> User:
#     return User(id=user.id, full_name=f"{{user.first}} {{user.last}}")


# The steps, in their order. where: which items are still to be transformed; the function makes it false. With it, what
# old code stores meanwhile is transformed too.
up = [
    # ApplyTables(User),
    # Transform(OldUser, full_name, where=~F.full_name.exists()),
]

# The steps that take it back; without `down` it cannot be taken back.
# down = [Transform(User, first_and_last, where=F.full_name.exists())]
'''


class WrongName(MigrationError, UsageError):
    """What is named cannot be right: a folder, a migration, what a new one is to be called."""


@dataclass(frozen=True, slots=True)
class File:
    """The file of one migration, ``0003_full_names.py``; name: that without ``.py``."""

    number: int
    name: str
    path: Path

    @property
    def checksum(self) -> str:
        """Sum up the text of the file; line ends do not count, for git may change them."""
        return hashlib.sha256(self.path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()

    @property
    def title(self) -> str:
        """The first line of its docstring; "" where it has none. The file is not run."""
        try:
            return (ast.get_docstring(ast.parse(self.path.read_bytes())) or "").partition("\n")[0]
        except SyntaxError:
            return ""

    def steps(self) -> list[Step]:
        """Run the file, and give the steps of its `up`."""
        return _steps(self, _load(self), "up")

    def steps_down(self) -> list[Step]:
        """Run the file, and give the steps of its `down`; MigrationError where it has none."""
        module = _load(self)
        if not hasattr(module, "down"):
            msg = f"{self.name} has no `down`, so it cannot be taken back; write the steps into it, or a new migration"
            raise MigrationError(msg)
        return _steps(self, module, "down")


def find_files(folder: Path) -> list[File]:
    """List the migrations of a folder by number; names that begin otherwise than with a digit are no migrations."""
    if not folder.is_dir():
        raise WrongName(f"there is no folder {folder}; make the first migration with new('name')")
    files: dict[int, File] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix != ".py" or not path.name[0].isdigit():
            continue
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path}: a migration is called 0001_what_it_does.py, in small letters; rename it")
        file = File(int(match[1]), path.stem, path)
        other = files.setdefault(file.number, file)
        if other is not file:
            raise MigrationError(f"{other.name} and {file.name} have the same number; rename the later one")
    return [files[number] for number in sorted(files)]


def chosen(files: Sequence[File], wanted: int | str) -> File:
    """Find the one that is meant by a number or name. Raises WrongName."""
    for file in files:
        if wanted in (file.number, file.name, f"{file.number:04d}", str(file.number)):
            return file
    known = ", ".join(file.name for file in files) or "none"
    raise WrongName(f"there is no migration {wanted!r}; there are: {known}")


def new_file(folder: Path, name: str) -> Path:
    """Write the next migration from a template."""
    name = name.strip().lower().replace(" ", "_").replace("-", "_")
    if not _NAME.fullmatch(name):
        raise WrongName(f"{name!r} is no name for a migration; use letters, digits and _: new('full_names')")
    folder.mkdir(parents=True, exist_ok=True)
    number = max((file.number for file in find_files(folder)), default=0) + 1
    path = folder / f"{number:04d}_{name}.py"
    with path.open("x") as file:
        file.write(_TEMPLATE.format(title=name.replace("_", " ").strip().capitalize()))
    return path


def _load(file: File) -> ModuleType:
    name = f"_lift_dynamorm_migration_{file.name}"
    spec = spec_from_file_location(name, file.path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # where pydantic looks up the names in annotations of models defined there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise MigrationFailed(f"{file.path} cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def _steps(file: File, module: ModuleType, side: str) -> list[Step]:
    steps: Sequence[Step] | None = getattr(module, side, None)
    if not isinstance(steps, list | tuple):
        raise MigrationError(f"{file.path} needs a list of steps: {side} = [ApplyTables(...), Transform(...)]")
    if not steps and side == "up":
        raise MigrationError(
            f"{file.path}: up = [] has no steps, and would be noted as applied all the same; write what it is to do "
            "into it: up = [ApplyTables(...), Transform(...)], or delete the file"
        )
    names: set[str] = set()
    for step in steps:
        name = getattr(step, "name", None)
        if not isinstance(name, str) or not hasattr(step, "run") or not hasattr(step, "preview"):
            msg = (
                f"{file.path}: {side} holds {step!r}, which is no step; give ApplyTables(...), Run(...), Transform(...)"
            )
            raise MigrationError(msg)
        if name in names:
            raise MigrationError(f"{file.path}: {side} has two steps named {name!r}; tell them apart: name='...'")
        names.add(name)
    return list(steps)
