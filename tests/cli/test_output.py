"""What every command has in common: pipes, widths, colors, errors in a line, help, and how it is started."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm.cli import output
from lift_dynamorm.cli.failures import Exit, Failure
from lift_dynamorm.cli.output import Output, duration
from tests.test_imports import imported

if TYPE_CHECKING:
    from .conftest import Project

ESCAPE = "\x1b"
SCRIPT = Path(sys.executable).parent / "lift-dynamorm"


def commands() -> list[tuple[str, ...]]:
    """Name every command there is."""
    from typer.main import get_command

    from lift_dynamorm.cli.root import app

    def walk(command: Any, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            return [path]
        return [found for name, one in inner.items() for found in walk(one, (*path, name))]

    return walk(get_command(app), ())


def test_these_are_the_commands() -> None:
    assert sorted(" ".join(command) for command in commands()) == [
        "emit cdk",
        "emit cloudformation",
        "emit iam",
        "emit sam",
        "emit terraform",
        "explain",
        "export",
        "import",
        "local",
        "migrate accept",
        "migrate down",
        "migrate new",
        "migrate status",
        "migrate up",
        "tables apply",
        "tables delete",
        "tables describe",
        "tables plan",
    ]


@pytest.mark.parametrize("command", [(), ("tables",), ("migrate",), ("emit",), *commands()], ids=" ".join)
def test_help_is_plain_and_narrow(project: Project, command: tuple[str, ...]) -> None:
    result = project.here(*command, "--help", app=False)
    assert (result.code, result.err) == (Exit.DONE, "")
    assert result.out.startswith(f"Usage: {' '.join(('lift-dynamorm', *command))} ")
    assert max(map(len, result.out.splitlines())) <= 80
    assert ESCAPE not in result.out
    if command in commands():
        assert "--json" in result.out
        assert "--debug" in result.out


# Each command once as a process of its own, with pipes for all it says, in this order in one project.
RUNS: list[tuple[tuple[str, ...], int]] = [
    (("tables", "plan"), Exit.DIFFERENT),
    (("tables", "apply", "--yes"), Exit.DONE),
    (("tables", "describe"), Exit.DONE),
    (("import", "in.jsonl"), Exit.DONE),
    (("export", "out.jsonl.gz"), Exit.DONE),
    (("explain", "--model", "User", "--where", "team=core"), Exit.DONE),
    (("migrate", "new", "nothing"), Exit.DONE),
    (("migrate", "status"), Exit.DONE),
    (("migrate", "up"), Exit.DONE),
    (("migrate", "accept", "1"), Exit.DONE),
    (("migrate", "down", "--yes"), Exit.ERROR),
    (("emit", "cloudformation"), Exit.DONE),
    (("emit", "sam"), Exit.DONE),
    (("emit", "terraform"), Exit.DONE),
    (("emit", "cdk"), Exit.DONE),
    (("emit", "iam"), Exit.DONE),
    (("tables", "delete", "app", "--yes"), Exit.DONE),
]


@pytest.mark.parametrize("as_json", [False, True], ids=["people", "programs"])
def test_every_command_as_a_process(project: Project, as_json: bool) -> None:
    (project.folder / "in.jsonl").write_text('{"model": "User", "item": {"id": "1", "email": "a@x"}}\n')
    covered = {" ".join(run[: 2 if run[0] in ("tables", "migrate", "emit") else 1]) for run, _ in RUNS}
    assert covered == {" ".join(command) for command in commands()} - {"local"}  # which has tests of its own
    for arguments, code in RUNS:
        more = ("--json",) if as_json else ()
        result = project.process(*arguments, *more, app=arguments[:2] != ("migrate", "new"))
        assert result.code == code, (arguments, result)
        assert ESCAPE not in result.out + result.err
        assert "Traceback" not in result.err
        if as_json and code != Exit.ERROR:
            assert isinstance(result.json, dict)
            assert result.err == ""
        elif as_json:
            assert result.error["exit_code"] == code


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"CI": "1"}])
def test_pipes_are_plain_whatever_the_environment(project: Project, environment: dict[str, str]) -> None:
    for arguments in (("tables", "plan"), ("tables", "describe"), ("tables", "describe", "--model", "Usr")):
        result = project.process(*arguments, environment=environment)
        assert ESCAPE not in result.out + result.err


def test_eighty_columns(project: Project) -> None:
    project.fill()
    for arguments in (("tables", "plan"), ("tables", "describe"), ("migrate", "status", "--folder", ".")):
        result = project.process(*arguments, environment={"COLUMNS": "80"})
        assert result.code == Exit.DONE
        assert max(map(len, result.out.splitlines())) <= 80, result.out


def in_terminal(project: Project, command: list[str], **environment: str) -> str:
    """Run a command in a terminal, and give all it has said there."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80", **environment}
    with subprocess.Popen(command, cwd=project.folder, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                got = os.read(ours, 65536)
            except OSError:
                break
            if not got:
                break
            said += got
        process.wait(timeout=30)
    os.close(ours)
    return said.decode()


def test_a_terminal_has_colors_and_a_bar(project: Project) -> None:
    project.fill(orders=300)
    command = project.command("export", "out.jsonl", "--read-units", "1")
    bar = re.compile("[━╸╺]")

    def brief(**environment: str) -> str:
        return in_terminal(project, [*command[:3], "export", "out.jsonl", "--app", project.app], **environment)

    assert bar.search(brief())
    assert re.search(r"\x1b\[[0-9;]*3\dm", brief())
    plain = brief(NO_COLOR="1")
    assert bar.search(plain)
    assert not re.search(r"\x1b\[[0-9;]*3\d(;[0-9;]*)?m", plain)
    for environment in ({"TERM": "dumb"}, {"CI": "1"}):
        said = brief(**environment)
        assert not bar.search(said)
        assert "items exported" in said
    assert ESCAPE not in brief(TERM="dumb")
    assert not bar.search(in_terminal(project, project.command("export", "-")))  # the lines go there


def test_lines_of_progress(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Output().progress("export") as meter:
        for n in range(12):
            now[0] += 1
            meter.show(f"{n} items", n, 12)
    assert capsys.readouterr().err == "export: 33%, 4 items\nexport: 75%, 9 items\n"
    with Output(as_json=True).progress("export") as meter:
        now[0] += 60
        meter.show("1 item")
    assert capsys.readouterr().err == ""
    assert output.EVERY == 5


def test_tables_lose_nothing_where_it_is_narrow(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    Output().table(("NAME", "WHAT"), [("a_rather_long_name", "0123456789" * 5)])
    said = capsys.readouterr().out
    assert all(len(line) <= 30 and line == line.rstrip() for line in said.splitlines())
    assert re.sub(r"\s", "", said).count("0123456789") >= 1
    assert sum(character.isdigit() for character in said) == 50


def test_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    said = Output()
    said.say("[red]a[/red] :smile:")
    said.table(("[b]N",), [("[i]x",)])
    said.fail(Failure("[bold]wrong", "[/nothing]"))
    captured = capsys.readouterr()
    assert captured.out == "[red]a[/red] :smile:\n[b]N\n[i]x\n"
    assert captured.err == "error: [bold]wrong\n  mend: [/nothing]\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59, "59 s"), (60, "1:00"), (200, "3:20"), (7500, "2:05:00")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said", "help_of"),
    [
        (("tables", "paln"), "No such command 'paln'", "lift-dynamorm tables --help"),
        (("tables", "plan", "--jsno"), "No such option: --jsno", "lift-dynamorm tables plan --help"),
        (("import",), "Missing argument 'FILE'", "lift-dynamorm import --help"),
        (("local", "--port", "x"), "Invalid value for '--port'", "lift-dynamorm local --help"),
        (("tables",), "Missing command", "lift-dynamorm tables --help"),
        (("nothing",), "No such command 'nothing'", "lift-dynamorm --help"),
    ],
)
def test_a_command_line_that_is_wrong(project: Project, arguments: tuple[str, ...], said: str, help_of: str) -> None:
    result = project.here(*arguments, app=False)
    assert (result.code, result.out) == (Exit.USAGE, "")
    error, mend = result.err.splitlines()
    assert error.startswith(f"error: {said}")
    assert mend == f"  mend: {help_of}"
    said_so = project.here(*arguments, "--json", app=False).error
    assert (said_so["exit_code"], said_so["mend"]) == (Exit.USAGE, help_of)


def test_an_error_is_one_line_and_a_mend(project: Project) -> None:
    project.write((project.folder / f"{project.name}.py").read_text() + "\ndb.table_name = lambda name: 1 / 0\n")
    result = project.here("tables", "plan")
    assert result.code == Exit.ERROR
    assert result.err.splitlines() == ["error: ZeroDivisionError: division by zero", "  mend: --debug shows where"]
    debugged = project.here("tables", "plan", "--debug").err
    assert "Traceback (most recent call last)" in debugged
    assert debugged.splitlines()[-2:] == result.err.splitlines()
    assert project.here("tables", "plan", "--json").error == {
        "kind": "ZeroDivisionError",
        "message": "ZeroDivisionError: division by zero",
        "mend": "--debug shows where",
        "exit_code": 1,
    }


def test_nothing_listens(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    from lift_dynamorm.transport.retry import RetryTransport

    monkeypatch.setattr(RetryTransport, "backoff", no_more)
    result = project.here("tables", "plan", "--endpoint", "http://127.0.0.1:9", "--region", "us-east-1")
    assert result.code == Exit.ERROR
    error, mend = result.err.splitlines()
    assert "127.0.0.1:9" in error
    assert mend.startswith("  mend: is --endpoint")


async def no_more(self: Any, attempts: int, deadline: float) -> bool:
    return False


def test_the_log_is_shown_when_debugging(project: Project) -> None:
    text = (project.folder / f"{project.name}.py").read_text()
    project.write(text + "\nimport logging\n\nlogging.basicConfig()\n")
    project.fill()
    assert "unscoped" not in project.process("export", "-", "--model", "User").err
    assert "unscoped session: export" in project.process("export", "-", "--model", "User", "--debug").err


# -- how it is started -------------------------------------------------------------------------------------------------


def test_the_installed_script(project: Project) -> None:
    """The current folder is importable, which is the interpreter's doing with ``python -m`` only."""
    done = subprocess.run([SCRIPT, "tables", "plan", "--app", project.app], cwd=project.folder, capture_output=True)
    assert done.returncode == Exit.DIFFERENT, done.stderr
    version = subprocess.run([SCRIPT, "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"lift-dynamorm \d+\.\d+\.\d+\n", version.stdout)
    alone = subprocess.run([SCRIPT], capture_output=True, text=True, check=True)
    assert alone.stdout.startswith("Usage: lift-dynamorm ")


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra(missing: str) -> None:
    code = f"import sys; sys.modules['{missing}'] = None; from lift_dynamorm.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (Exit.ERROR, "")
    assert done.stderr == ('error: the command line is not installed; install it: pip install "lift-dynamorm[cli]"\n')


def test_the_library_does_not_load_it() -> None:
    assert imported("import lift_dynamorm, lift_dynamorm.transfer") & {"typer", "rich", "click"} == set()
    assert imported("import lift_dynamorm.cli.root") >= {"typer", "rich"}


def test_the_json_of_an_error_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).fail(Failure("two\nlines", code=Exit.LOCKED, kind="MigrationLocked"))
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["error"] == {
        "kind": "MigrationLocked",
        "message": "two\nlines",
        "mend": None,
        "exit_code": 5,
    }
