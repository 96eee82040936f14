"""``migrate``: files are written, applied and taken back; the exit codes say where they are."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from lift_dynamorm.cli.failures import Exit

from .test_local import served

if TYPE_CHECKING:
    from .conftest import Project

UP = '''"""Raise the logins."""

from lift_dynamorm.migrations import ApplyTables, Run
from {name} import Order, User


async def fill(work):
    """Create a user."""
    if await work.session.find(User, id="new") is None:
        await work.session.create(User(id="new", email="new@x"))


async def empty(work):
    """Delete it."""
    await work.session.delete(User, id="new", missing_ok=True)


up = [ApplyTables(User, Order), Run(fill)]
down = [Run(empty)]
'''


@pytest.fixture
def migrations(project: Project) -> Project:
    made = project.here("migrate", "new", "first user", app=False)
    assert (made.code, made.out) == (Exit.DONE, "migrations/0001_first_user.py\n")
    file = project.folder / "migrations" / "0001_first_user.py"
    assert "up = []" in file.read_text()
    file.write_text(UP.format(name=project.name))
    return project


def test_up_and_down(migrations: Project) -> None:
    project = migrations
    status = project.here("migrate", "status", "--check")
    assert status.code == Exit.DIFFERENT
    assert status.out.splitlines()[1].split() == ["0001_first_user", "pending"]
    assert project.here("migrate", "status").code == Exit.DONE

    dry = project.here("migrate", "up", "--dry-run")
    assert dry.code == Exit.DONE
    assert "would be applied  0001_first_user" in dry.out
    assert "Create a user" in dry.out
    assert project.here("tables", "plan").code == Exit.DIFFERENT

    up = project.here("migrate", "up")
    assert up.code == Exit.DONE
    assert up.out.startswith("applied  0001_first_user\n  ")
    assert project.here("migrate", "status", "--check").code == Exit.DONE
    assert '"id":"new"' in project.here("export", "-").out
    assert project.here("migrate", "up").out == "nothing to be applied\n"

    assert project.here("migrate", "down").code == Exit.USAGE  # nobody has answered
    down = project.here("migrate", "down", "--yes")
    assert (down.code, down.out.splitlines()[0]) == (Exit.DONE, "taken back  0001_first_user")
    assert project.here("export", "-").out == ""
    assert project.here("migrate", "status", "--check").code == Exit.DIFFERENT


def test_the_same_for_programs(migrations: Project) -> None:
    project = migrations
    assert project.here("migrate", "up", "--dry-run", "--json").json["dry_run"] is True
    up = project.here("migrate", "up", "--json")
    assert up.err == ""
    assert [one["name"] for one in up.json["applied"]] == ["0001_first_user"]
    status = project.here("migrate", "status", "--json").json
    (one,) = status["migrations"]
    assert (one["number"], one["name"], one["state"]) == (1, "0001_first_user", "applied")
    assert one["title"] == "Raise the logins."
    assert one["finished"] is not None
    assert status["running"] is None
    assert project.here("migrate", "down", "--yes", "--json").json["taken_back"][0]["name"] == "0001_first_user"
    new = project.here("migrate", "new", "more", "--json", app=False).json
    assert new == {"file": "migrations/0002_more.py"}


def test_a_file_that_was_changed(migrations: Project) -> None:
    project = migrations
    project.here("migrate", "up")
    file = project.folder / "migrations" / "0001_first_user.py"
    file.write_text(file.read_text() + "\n# a remark\n")
    assert project.here("migrate", "status", "--check", "--json").code == Exit.DIFFERENT
    assert project.here("migrate", "up").code == Exit.ERROR
    assert project.here("migrate", "accept", "1").code == Exit.DONE
    assert project.here("migrate", "status", "--check").code == Exit.DONE


def test_a_migration_that_fails(migrations: Project) -> None:
    project = migrations
    file = project.folder / "migrations" / "0001_first_user.py"
    file.write_text(file.read_text().replace('email="new@x"', "email=5"))
    result = project.here("migrate", "up")
    assert (result.code, result.out) == (Exit.ERROR, "")
    assert len([line for line in result.err.splitlines() if not line.startswith(("migrate:", "done"))]) == 1
    assert "0001_first_user: Run(fill): ValidationError" in result.err
    assert project.here("migrate", "status", "--json").json["migrations"][0]["state"] == "unfinished"


def test_somebody_else_migrates(migrations: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project = migrations
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    (project.folder / "migrations" / "0001_first_user.py").write_text(
        """
import pathlib, time
from lift_dynamorm.migrations import Run


def wait(work):
    pathlib.Path("begun").touch()
    while not pathlib.Path("end").exists():
        time.sleep(0.05)


up = [Run(wait)]
"""
    )
    with served(project, app=True) as (_, url):
        at = ("--endpoint", url, "--region", "us-east-1")
        with subprocess.Popen(project.command("migrate", "up", *at), cwd=project.folder) as first:
            try:
                while not (project.folder / "begun").exists():
                    assert first.poll() is None
                    time.sleep(0.05)
                second = project.here("migrate", "up", *at)
                third = project.here("migrate", "up", "--wait", "0.5", "--json", *at)
                running = project.here("migrate", "status", "--json", *at).json["running"]
            finally:
                (project.folder / "end").touch()
        assert (first.returncode, second.code, third.code) == (Exit.DONE, Exit.LOCKED, Exit.LOCKED)
        assert len([line for line in second.err.splitlines() if line.startswith("error: ")]) == 1
        assert third.error["kind"] == "MigrationLocked"
        assert f"(process {first.pid})" in running["owner"]
        assert project.here("migrate", "status", "--check", *at).code == Exit.DONE


def test_the_journal_of_several_tables(migrations: Project) -> None:
    project = migrations
    text = (project.folder / f"{project.name}.py").read_text()
    project.write(text + '\nclass Event(Model, table="events"):\n    id: PartitionKey[int]\n')
    result = project.here("migrate", "status")
    assert result.code == Exit.USAGE
    assert "app, events: one of them keeps the journal" in result.err
    assert project.here("migrate", "up", "--table", "app").code == Exit.DONE
    assert project.here("migrate", "status", "--table", "app", "--check").code == Exit.DONE


def test_there_are_no_migrations(project: Project) -> None:
    result = project.here("migrate", "up", "--folder", "nowhere")
    assert result.code == Exit.ERROR
    assert "there is no folder nowhere" in result.err
    (project.folder / "nothing").mkdir()
    status = project.here("migrate", "status", "--folder", "nothing", "--check")
    assert (status.code, status.out) == (Exit.DONE, "there are no migrations in nothing\n")
