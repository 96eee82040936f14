"""A project of its own for each test, and two ways to run the command line in it: here, and as a process."""

from __future__ import annotations

import importlib
import json
import logging
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import Database

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parent.parent.parent
APP = """
from datetime import UTC, datetime
from decimal import Decimal

from lift_dynamorm import GSI, Database, Model, PartitionKey, Unique, Version


class User(Model, table="app", pk="USER#{id}", sk="PROFILE", indexes=[GSI("by_team", pk="TEAM#{team}", sk="{joined}")]):
    id: str
    email: Unique[str]
    team: str = "core"
    logins: int = 0
    active: bool = True
    tags: set[str] = set()
    balance: Decimal = Decimal(0)
    photo: bytes = b""
    joined: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    version: Version = 0


class Order(Model, table="app", pk="USER#{user}", sk="ORDER#{number}"):
    user: str
    number: int
    total: Decimal = Decimal("1.5")


db = Database("local://DATA_FILE")
"""
"""What a project's module holds; DATA_FILE is the project's data."""

_numbers = count(1)


@dataclass(frozen=True)
class Result:
    """What a command has said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The error object, which is all that is said."""
        assert self.out == ""
        (line,) = self.err.splitlines()
        error: dict[str, Any] = json.loads(line)["error"]
        return error


class Project:
    """A folder with the module of an app, and its data in a file."""

    def __init__(self, folder: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
        self.folder = folder
        self.name = f"project_{next(_numbers)}"  # a module is imported once in a process
        self.data = folder / "data.db"
        self.write(APP)
        self._captured = capsysbinary

    def write(self, text: str, name: str = "") -> None:
        """Write a module of the project."""
        text = textwrap.dedent(text).replace("DATA_FILE", str(self.data))
        (self.folder / f"{name or self.name}.py").write_text(text)

    @property
    def app(self) -> str:
        return f"{self.name}:db"

    @property
    def module(self) -> Any:
        importlib.invalidate_caches()
        return importlib.import_module(self.name)

    def here(self, *arguments: str, app: bool = True) -> Result:
        """Run a command in this process."""
        from lift_dynamorm.cli.root import run

        importlib.invalidate_caches()
        self._captured.readouterr()
        code = run([*arguments, *(["--app", self.app] if app else [])])
        said = self._captured.readouterr()
        return Result(code, said.out.decode(), said.err.decode())

    def process(
        self, *arguments: str, app: bool = True, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> Result:
        """Run a command as a process of its own, its output and its input being pipes."""
        done = subprocess.run(
            self.command(*arguments, app=app),
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            env={**os.environ, **(environment or {})},
            timeout=60,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    def command(self, *arguments: str, app: bool = True) -> list[str]:
        return [sys.executable, "-m", "lift_dynamorm.cli", *arguments, *(["--app", self.app] if app else [])]

    def database(self) -> Database:
        """Open the data; to be closed before a command uses it."""
        return Database(f"local://{self.data}")

    def fill(self, users: int = 3, orders: int = 60, *, tenants: tuple[str | None, ...] = ("acme", None)) -> None:
        module, database = self.module, self.database()
        database.sync.tables(module.User, module.Order).ensure()
        for tenant in tenants:
            s = database.sync.session(tenant)
            for n in range(users):
                s.put(module.User(id=f"{n}", email=f"{n}@x", tags={"a"}, photo=b"\0\xff"))
            with s.batch() as batch:
                for n in range(orders):
                    batch.put(module.Order(user=f"{n % 3}", number=n))
        database.sync.close()


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Iterator[Project]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for variable in ("LIFT_DYNAMORM_APP", "LIFT_DYNAMORM_MIGRATIONS", "AWS_PROFILE", "NO_COLOR", "FORCE_COLOR", "CI"):
        monkeypatch.delenv(variable, raising=False)
    logger = logging.getLogger("lift_dynamorm")
    before = logger.level, logger.propagate, logger.handlers[:]
    loaded = set(sys.modules)
    yield Project(tmp_path, capsysbinary)
    logger.level, logger.propagate, logger.handlers[:] = before
    for name in set(sys.modules) - loaded:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
