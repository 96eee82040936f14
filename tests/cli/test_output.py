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
from lift_dynamorm.cli.failures import Exit, Failure, failure_of
from lift_dynamorm.cli.output import Output, duration
from lift_dynamorm.errors import (
    CredentialsError,
    DefinitionError,
    MigrationError,
    TablesDiffer,
    UsageError,
    service_error,
)
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
        if arguments[:2] == ("migrate", "new"):
            file = project.folder / "migrations" / "0001_nothing.py"
            file.write_text(file.read_text().replace("up = [", "up = [Run(lambda work: None)", 1))
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


LONG = "a note of many words, of which each is to stay in one piece, however narrow it is where it is said; yes"


def test_a_pipe_wraps_nothing(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = Output()
    said.table(("NAME", "WHAT"), [("one", LONG), ("two", "line\nline")])
    said.listing({"name": LONG, "other": "1"})
    said.say(LONG)
    said.note(LONG)
    said.fail(Failure(LONG, LONG))
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "NAME  WHAT",
        f"one   {LONG}",
        "two   line line",
        f"  name   {LONG}",
        "  other  1",
        LONG,
    ]
    assert captured.err.splitlines() == [LONG, f"error: {LONG}", f"  mend: {LONG}"]


def test_a_terminal_wraps_between_words(project: Project) -> None:
    code = (
        "from lift_dynamorm.cli.output import *\n"
        f"said, text = Output(), {LONG!r}\n"
        "said.table(('NAME', 'WHAT'), [('one', text), ('two', 'x' * 60)])\n"
        "said.listing({'name': text})\n"
        "said.say(text)\n"
        "said.note(text)\n"
        "said.fail(Failure(text, text))\n"
    )
    written = in_terminal(project, [sys.executable, "-c", code], COLUMNS="40", NO_COLOR="1")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", written).splitlines()
    assert all(len(line.rstrip()) <= 40 for line in lines if "xxx" not in line)
    assert set(" ".join(lines).split()) <= {*LONG.split(), "NAME", "WHAT", "one", "two", "x" * 60, "name"} | {
        "error:",
        "mend:",
    }
    assert " ".join(" ".join(lines).split()).count("however narrow it is where it is said; yes") == 6


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
    assert said == "NAME                WHAT\na_rather_long_name  " + "0123456789" * 5 + "\n"


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


@pytest.mark.parametrize(("number", "text"), [(0, "0 items"), (1, "1 item"), (2, "2 items"), (12345, "12,345 items")])
def test_numbers_of_things(number: int, text: str) -> None:
    assert output.counted(number, "item") == text


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


@pytest.mark.parametrize(
    ("error", "said", "mend"),
    [
        (
            service_error("Scan", status=400, answer={"__type": "x#AccessDeniedException", "message": "no"}),
            "Scan: AccessDeniedException: no",
            "lift-dynamorm emit iam",
        ),
        (TablesDiffer("they differ. apply() changes what can be", None), "they differ. lift-dynamorm tables apply", ""),
        (MigrationError("end it by up(), or: down(unfinished=True)"), "migrate down --unfinished", ""),
        (UsageError("Database('ftp://x'): an endpoint is none"), "--endpoint ftp://x: an endpoint is none", ""),
        (CredentialsError("No AWS region. Set AWS_REGION, pass region=..., or"), "give --region NAME", ""),
        (UsageError("read_units=0: give a number above 0"), "--read-units 0: give a number above 0", ""),
        (DefinitionError("two models are called User"), "two models are called User", ""),
    ],
)
def test_errors_are_in_the_words_of_a_shell(error: Exception, said: str, mend: str) -> None:
    failure = failure_of(error)
    assert said in failure.message
    assert "()" not in failure.message
    assert failure.mend.startswith(mend)
    if isinstance(error, DefinitionError):
        assert failure.code == Exit.USAGE


def test_a_table_that_is_missing_is_made_from_the_shell(project: Project) -> None:
    (project.folder / "in.jsonl").write_text('{"model": "User", "item": {"id": "1", "email": "a@x"}}\n')
    for arguments in (("export", "out.jsonl"), ("import", "in.jsonl")):
        error, mend = project.here(*arguments).err.splitlines()
        assert "there is no table 'app'" in error
        assert "database." not in error
        assert mend.startswith("  mend: lift-dynamorm tables apply creates the tables of the models")
        assert "--start-line" not in mend
