"""``migrate``: files are written, applied and taken back; the exit codes say where they are."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm.cli.failures import Exit
from lift_dynamorm.migrations import Migrations

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
    assert "up = [" in file.read_text()
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
                waiting = project.here("migrate", "up", "--wait", "0.1", *at).err.splitlines()
                running = project.here("migrate", "status", "--json", *at).json["running"]
            finally:
                (project.folder / "end").touch()
        assert (first.returncode, second.code, third.code) == (Exit.DONE, Exit.LOCKED, Exit.LOCKED)
        assert len([line for line in second.err.splitlines() if line.startswith("error: ")]) == 1
        assert third.error["kind"] == "MigrationLocked"
        assert waiting[0].startswith("migrate: waiting for ")
        assert waiting[0].endswith(f"(process {first.pid})")
        assert "Wait for it: --wait SECONDS" in waiting[1]
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
    assert result.code == Exit.USAGE
    assert "there is no folder nowhere; make the first migration with lift-dynamorm migrate new NAME" in result.err
    (project.folder / "nothing").mkdir()
    status = project.here("migrate", "status", "--folder", "nothing", "--check")
    assert (status.code, status.out) == (Exit.DONE, "there are no migrations in nothing\n")


def test_what_is_not_filled_in_is_not_applied(project: Project) -> None:
    project.here("migrate", "new", "nothing", app=False)
    for arguments in (("up", "--dry-run"), ("up",)):
        result = project.here("migrate", *arguments, "--json")
        assert result.code == Exit.ERROR
        assert "0001_nothing.py: up = [] has no steps" in result.error["message"]
    assert project.here("migrate", "status", "--check").code == Exit.DIFFERENT


EVENT = '\nclass Event(Model, table="events"):\n    id: PartitionKey[str]\n'
COUNT = """
import pathlib
from lift_dynamorm.migrations import Run
from {name} import Event, Order, User


def count(work):
    with pathlib.Path("runs").open("a") as file:
        file.write("x")


up = [Run(count)]
"""


def of_two_tables(project: Project) -> None:
    text = (project.folder / f"{project.name}.py").read_text()
    project.write(text + EVENT)
    (project.folder / "migrations" / "0001_first_user.py").write_text(COUNT.format(name=project.name))
    assert project.here("tables", "apply", "--yes").code == Exit.DONE


def test_a_second_journal_does_not_run_them_again(migrations: Project) -> None:
    project = migrations
    of_two_tables(project)
    assert project.here("migrate", "up").code == Exit.USAGE
    assert project.here("migrate", "up", "--table", "app").code == Exit.DONE
    for command in ("up", "status", "down"):
        result = project.here("migrate", command, "--table", "events", "--json")
        assert result.code == Exit.USAGE
        assert "--table events: the journal of the migrations is in app" in result.error["message"]
        assert result.error["mend"] == "leave --table out, or --table app"
    assert project.here("migrate", "up").out == "nothing to be applied\n"
    assert project.here("migrate", "status", "--check").code == Exit.DONE
    assert (project.folder / "runs").read_text() == "x"


def test_two_journals_from_before_are_told(migrations: Project) -> None:
    project = migrations
    of_two_tables(project)
    database = project.database()
    for table in ("app", "events"):
        Migrations(database, project.folder / "migrations", table=table).sync.up()
    database.sync.close()
    result = project.here("migrate", "up", "--json")
    assert (result.code, result.error["message"]) == (
        Exit.USAGE,
        "app and events each have a journal of migrations: which is the right one?",
    )
    assert project.here("migrate", "status", "--check", "--table", "events").code == Exit.DONE


def test_a_table_that_is_not_there(migrations: Project) -> None:
    project = migrations
    assert project.here("migrate", "status", "--table", "app").code == Exit.DONE  # to be created
    result = project.here("migrate", "status", "--table", "typo", "--json")
    assert result.code == Exit.USAGE
    assert result.error["message"] == "--table typo: there is no such table"
    assert result.error["mend"] == "those of the models are app"


@pytest.mark.parametrize(
    "arguments",
    [("up", "99"), ("down", "99", "--yes"), ("accept", "7"), ("up", "--folder", "nofolder"), ("new", "../evil")],
)
def test_names_that_cannot_be_right(migrations: Project, arguments: tuple[str, ...]) -> None:
    result = migrations.here("migrate", *arguments, "--json", app=arguments[0] != "new")
    assert result.code == Exit.USAGE
    assert result.error["kind"] == "UsageError"
    assert "new('" not in result.error["message"]


def test_tables_that_are_refused(migrations: Project) -> None:
    project = migrations
    database = project.database()
    request: Any = {
        "TableName": "app",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    database.sync.unscoped("a table with another key").execute("CreateTable", request)
    database.sync.close()
    dry = project.here("migrate", "up", "--dry-run", "--json")
    assert dry.code == Exit.REFUSED
    assert dry.json["failed"] == 1
    (tables, run) = dry.json["applied"][0]["steps"]
    assert (tables["name"], tables["failed"]) == ("ApplyTables(User, Order)", 1)
    assert "would fail: app: " in tables["lines"][1]
    assert run == {"name": "Run(fill)", "lines": ["Create a user."], "failed": 0}
    up = project.here("migrate", "up", "--json")
    assert (up.code, up.error["kind"]) == (Exit.REFUSED, "MigrationFailed")


def test_a_dry_run_that_finds_what_would_fail(migrations: Project) -> None:
    project = migrations
    project.fill(1, 3, tenants=(None,))
    (project.folder / "migrations" / "0001_first_user.py").write_text(
        f"from lift_dynamorm.migrations import Transform\nfrom {project.name} import Order\n"
        "def fail(order):\n    assert order.number\n    order.total += 1\n    return order\n"
        "up = [Transform(Order, fail)]\n"
    )
    dry = project.here("migrate", "up", "--dry-run", "--json")
    assert (dry.code, dry.json["failed"]) == (Exit.ERROR, 1)
    assert dry.json["applied"][0]["steps"][0]["lines"][0].endswith("2 to transform, 0 to leave, 1 that would fail")


def test_mends_are_in_the_words_of_the_shell(migrations: Project) -> None:
    project = migrations
    file = project.folder / "migrations" / "0001_first_user.py"
    good = file.read_text()
    file.write_text(good.replace('email="new@x"', "email=5"))
    said = [project.here("migrate", "up").err]
    assert "mend the cause and run lift-dynamorm migrate up again" in said[0]
    said.append(project.here("migrate", "down", "--yes").err)
    assert "end it by lift-dynamorm migrate up, or take back what there is of it: lift-dynamorm migrate down" in said[1]
    assert "--unfinished" in said[1]
    file.write_text(good)
    project.here("migrate", "up")
    file.write_text(good + "# more\n")
    said.append(project.here("migrate", "up").err)
    assert "where the change has no effect: lift-dynamorm migrate accept 1" in said[2]
    accepted = project.here("migrate", "accept", "1", "--json")
    assert accepted.json == {"accepted": "0001_first_user"}
    assert not [text for text in said if "()" in text]


def test_what_is_taken_back_is_asked_by_name(migrations: Project) -> None:
    project = migrations
    project.here("migrate", "up")
    for arguments in ((), ("0",)):
        result = project.here("migrate", "down", *arguments, "--json")
        assert result.code == Exit.USAGE
        assert "Take back 0001_first_user?" in result.error["message"]
    assert project.here("migrate", "down", "1").out == "nothing to be taken back\n"


def test_nothing_is_said_of_sessions(migrations: Project) -> None:
    result = migrations.process("migrate", "up")
    assert result.code == Exit.DONE
    assert "unscoped" not in result.err
