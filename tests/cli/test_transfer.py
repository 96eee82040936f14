"""``export`` and ``import``: files, streams, interruptions, and what is said of lines that are wrong."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm.cli.failures import Exit
from lift_dynamorm.transfer.files import write_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Engines

    from .conftest import Project

ALL = 2 * (3 + 60)


def lines(path: Path, opener: Callable[[Path], Any] = lambda path: path.open("rb")) -> list[dict[str, Any]]:
    with opener(path) as file:
        return [json.loads(line) for line in file]


def users(*numbers: int, **more: Any) -> str:
    made = ({"model": "User", "tenant": None, "item": {"id": f"{n}", "email": f"{n}@x", **more}} for n in numbers)
    return "".join(json.dumps(line) + "\n" for line in made)


@pytest.fixture
def ready(project: Project) -> Project:
    """A project whose tables are there, and hold nothing."""
    assert project.here("tables", "apply", "--yes").code == Exit.DONE
    return project


@pytest.mark.parametrize(
    ("suffix", "opener"), [("", lambda p: p.open("rb")), (".gz", gzip.open), (".bz2", bz2.open), (".xz", lzma.open)]
)
def test_there_and_back(project: Project, suffix: str, opener: Any) -> None:
    project.fill()
    name = f"out.jsonl{suffix}"
    done = project.here("export", name, "--json")
    assert (done.code, done.err) == (Exit.DONE, "")
    assert done.json["items"] == done.json["scanned"] - 6 == ALL  # the claims are not items
    assert len(lines(project.folder / name, opener)) == ALL
    assert os.listdir(project.folder).count(name) == 1
    assert not [left for left in os.listdir(project.folder) if left.endswith(".part")]

    before = project.here("export", "-", "--raw").out
    elsewhere = ("--endpoint", f"local://{project.folder / 'other.db'}")
    project.here("tables", "apply", "--yes", *elsewhere)
    back = project.here("import", name, "--json", *elsewhere)
    assert (back.code, back.json["written"], back.json["line"]) == (Exit.DONE, ALL, ALL)
    assert sorted(project.here("export", "-", "--raw", *elsewhere).out.splitlines()) == sorted(before.splitlines())


@pytest.mark.parametrize("engine", ["dynoxide", "extenddb"])
def test_there_and_back_on_a_server(ready: Project, engines: Engines, engine: str, monkeypatch: Any) -> None:
    from tests.engines import EXAMPLE_KEY

    engines.transport(engine)
    server: Any = engines._started[engine]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", EXAMPLE_KEY[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", EXAMPLE_KEY[1])
    ready.fill()
    there = ("--endpoint", server.url, "--region", "us-east-1")
    assert ready.here("tables", "apply", "--yes", *there).code == Exit.DONE
    try:
        ready.here("export", "out.jsonl.gz")
        assert ready.here("import", "out.jsonl.gz", "--json", *there).json["written"] == ALL
        assert ready.here("export", "back.jsonl", "--segments", "3", *there).code == Exit.DONE
        left, right = lines(ready.folder / "out.jsonl.gz", gzip.open), lines(ready.folder / "back.jsonl")
        assert sorted(map(json.dumps, left)) == sorted(map(json.dumps, right))
    finally:
        ready.here("tables", "delete", "app", "--yes", *there)


def test_pipes(project: Project) -> None:
    project.fill()
    out = project.process("export", "-", "--model", "User", "--tenant", "acme")
    assert out.code == Exit.DONE
    assert [json.loads(line)["item"]["id"] for line in sorted(out.out.splitlines())] == ["0", "1", "2"]
    said = r"3 items exported in \d+ s, 132 read, [\d.]+ read units; 60 are of no model here, --raw exports them too\n"
    assert re.fullmatch(said, out.err)
    back = project.process("import", "-", stdin=out.out.encode())
    assert (back.code, back.out) == (Exit.DONE, "")
    assert "3 there already just so" in back.err


def test_what_is_chosen(project: Project) -> None:
    project.fill()
    said = [
        json.loads(line) for line in project.here("export", "-", "--model", "Order", "--no-tenant").out.splitlines()
    ]
    assert {(line["model"], line["tenant"]) for line in said} == {("Order", None)}
    assert len(said) == 60
    assert project.here("export", "-", "--raw", "--table", "app").out.count("\n") == ALL + 6
    everything = project.here("export", "-").out
    (project.folder / "all.jsonl").write_text(everything)
    done = project.here("import", "all.jsonl", "--model", "User", "--tenant", "acme", "--json").json
    assert (done["unchanged"], done["left_out"]) == (3, ALL - 3)


def test_a_table_without_an_app(project: Project) -> None:
    project.fill()
    at = ("--endpoint", f"local://{project.data}")
    raw = project.here("export", "raw.jsonl", "--raw", "--table", "app", *at, app=False)
    assert raw.code == Exit.DONE, raw.err
    assert len(lines(project.folder / "raw.jsonl")) == ALL + 6
    again = project.here("import", "raw.jsonl", "--json", *at, app=False)
    assert again.json["unchanged"] == ALL + 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "out.jsonl", "--table", "app"), "--table goes with --raw"),
        (("export", "out.jsonl", "--raw", "--table", "app", "--model", "User"), "exclude each other"),
        (("export", "out.jsonl", "--raw", "--table", "nowhere"), "there is no table 'nowhere'"),
        (("export", "-", "--json"), "cannot both go to the output"),
        (("export", "out.zst"), "use a pipe"),
        (("export", "no/folder/out"), "No such file or directory"),
        (("export", "pipe"), "is no file"),
        (("export", "out", "--tenant", "a", "--no-tenant"), "exclude each other"),
        (("export", "out", "--segments", "0"), "Invalid value"),
        (("export",), "Missing argument"),
        (("import", "nowhere.jsonl"), "No such file or directory"),
        (("import", "in.jsonl", "--mode", "upsert"), "Invalid value"),
        (("import", "in.jsonl", "--write-units", "0"), "give a number above 0"),
    ],
)
def test_what_makes_no_sense(ready: Project, arguments: tuple[str, ...], said: str) -> None:
    (ready.folder / "in.jsonl").write_text(users(1))
    os.mkfifo(ready.folder / "pipe")  # and no device: what is in the way of an export must not be the machine's
    result = ready.here(*arguments)
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert said in (result.err if "--json" not in arguments else result.error["message"])
    assert not (ready.folder / "out.jsonl").exists()


def test_a_table_that_is_not_there(project: Project) -> None:
    (project.folder / "in.jsonl").write_text(users(1))
    for arguments in (("export", "out.jsonl"), ("import", "in.jsonl")):
        result = project.here(*arguments)
        assert result.code == Exit.ERROR
        assert "there is no table 'app'" in result.err
    assert os.listdir(project.folder).count("out.jsonl") == 0


# -- lines that are wrong ----------------------------------------------------------------------------------------------


def test_a_line_that_is_wrong(ready: Project) -> None:
    file = ready.folder / "in.jsonl"
    file.write_text(users(1, 2) + users(3, logins="many") + users(4))
    result = ready.here("import", "in.jsonl")
    assert (result.code, result.out) == (Exit.ERROR, "")
    error, mend = result.err.splitlines()
    assert error.startswith("error: line 3: it does not fit User: logins: ")
    assert mend == "  mend: correct line 3 of in.jsonl and go on with --start-line 3, or --keep-going"
    said = ready.here("import", "in.jsonl", "--json").error
    assert (said["kind"], said["exit_code"]) == ("InvalidItem", 1)
    file.write_text(users(1, 2, 3, 4))
    assert ready.here("import", "in.jsonl", "--start-line", "3", "--json").json["written"] == 2


def test_going_on(ready: Project) -> None:
    (ready.folder / "in.jsonl").write_text(users(1) + "{\n" + users(2, logins="many") + users(4))
    result = ready.here("import", "in.jsonl", "--keep-going")
    assert result.code == Exit.ERROR
    first, second, summary, error, mend = result.err.splitlines()
    assert first.startswith("line 2: it is no JSON")
    assert second.startswith("line 3: ")
    assert summary.startswith("2 items imported in ")
    assert "2 wrong" in summary
    assert error == "error: 2 lines are wrong"
    assert "named above" in mend
    again = ready.here("import", "in.jsonl", "--keep-going", "--json")
    assert [wrong["line"] for wrong in again.json["errors"]] == [2, 3]
    assert json.loads(again.err)["error"]["exit_code"] == again.code == Exit.ERROR


def test_the_modes(ready: Project) -> None:
    file = ready.folder / "in.jsonl"
    file.write_text(users(1, team="a"))
    assert ready.here("import", "in.jsonl").code == Exit.DONE
    file.write_text(users(1, team="b"))
    assert "line 1: create: User with id='1' exists already" in ready.here("import", "in.jsonl").err
    assert ready.here("import", "in.jsonl", "--mode", "skip", "--json").json["skipped"] == 1
    assert '"team":"a"' in ready.here("export", "-").out
    assert ready.here("import", "in.jsonl", "--mode", "put", "--json").json["written"] == 1
    assert '"team":"b"' in ready.here("export", "-").out


def test_a_dry_run(ready: Project) -> None:
    (ready.folder / "in.jsonl").write_text(users(1, 2))
    result = ready.here("import", "in.jsonl", "--dry-run")
    assert result.err.startswith("2 items would be imported in ")
    assert ready.here("import", "in.jsonl", "--dry-run", "--json").json["dry_run"] is True
    assert ready.here("export", "-").out == ""


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_a_file_that_is_damaged(ready: Project, suffix: str) -> None:
    (ready.folder / f"in{suffix}").write_bytes(b"this is not compressed")
    result = ready.here("import", f"in{suffix}")
    assert result.code == Exit.USAGE
    assert "damaged" in result.err


@pytest.mark.parametrize("damage", ["cut off", "overwritten", "at the end"])
@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_a_file_that_is_damaged_further_on(ready: Project, suffix: str, damage: str) -> None:
    compress: dict[str, Callable[[bytes], bytes]] = {
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
    }
    whole = compress[suffix]("".join(users(n, team=os.urandom(200).hex()) for n in range(400)).encode())
    broken = {
        "cut off": whole[: len(whole) // 2],
        "overwritten": whole[:12] + b"\xff" * 2000 + whole[2012:],
        "at the end": whole[:-8] + b"\xff" * 8,
    }[damage]
    (ready.folder / f"in{suffix}").write_bytes(broken)
    result = ready.here("import", f"in{suffix}")
    assert result.code == Exit.USAGE
    assert "damaged" in result.err
    assert "begin again" in result.err
    (ready.folder / f"in{suffix}").write_bytes(whole)
    assert ready.here("import", f"in{suffix}", "--json").json["failed"] == 0


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o444])
def test_an_export_is_for_the_eyes_of_those_that_the_file_was_for(ready: Project, mode: int) -> None:
    (ready.folder / "in.jsonl").write_text(users(1))
    assert ready.here("import", "in.jsonl").code == Exit.DONE
    file = ready.folder / "out.jsonl"
    file.touch()
    file.chmod(mode)
    fresh = ready.folder / "fresh.jsonl"
    before = os.umask(0o027)
    try:
        for name in (file, fresh):
            assert ready.here("export", name.name).code == Exit.DONE
    finally:
        os.umask(before)
    assert lines(file)
    assert stat.S_IMODE(file.stat().st_mode) == mode
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o640


def test_what_is_being_exported_is_never_readable_by_more_than_the_file(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    file.touch()
    file.chmod(0o600)
    with write_file(str(file)) as write:
        write(b"{}")
        (part,) = tmp_path.glob(".*.part")
        assert stat.S_IMODE(part.stat().st_mode) == 0o600


def test_the_wrong_lines_are_in_the_result(ready: Project) -> None:
    unknown = '{"table": "nowhere", "item": {"pk": {"S": "x"}}}\n'
    (ready.folder / "in.jsonl").write_text(unknown + users(1) + "{\n" + users(2))
    said = ready.here("import", "in.jsonl", "--keep-going", "--json")
    assert [wrong["line"] for wrong in said.json["errors"]] == [1, 3]
    assert said.json["written"] == 2
    assert "in `errors` of the result" in json.loads(said.err)["error"]["mend"]
    stopped = ready.here("import", "in.jsonl")
    error, mend = stopped.err.splitlines()
    assert error.startswith("error: line 1: DescribeTable: there is no table 'nowhere'")
    assert mend == "  mend: correct line 1 of in.jsonl and begin again, or --keep-going"


def test_wrong_lines_are_told_though_the_import_is_stopped(ready: Project) -> None:
    ready.here("tables", "delete", "app", "--yes")
    (ready.folder / "in.jsonl").write_text("{\n" + users(1))
    said = ready.here("import", "in.jsonl", "--keep-going", "--json")
    assert said.code == Exit.ERROR
    assert [wrong["line"] for wrong in said.json["errors"]] == [1]
    assert json.loads(said.err)["error"]["kind"] == "RequestRefused"


def test_models_choose_among_raw_lines(ready: Project) -> None:
    ready.fill()
    raw = ready.here("export", "-", "--raw").out
    (ready.folder / "raw.jsonl").write_text(raw)
    for model, count in (("User", 6), ("Order", 120)):
        done = ready.here("import", "raw.jsonl", "--model", model, "--json").json
        assert (done["unchanged"], done["left_out"]) == (count, ALL + 6 - count)
    both = ready.here("import", "raw.jsonl", "--model", "User", "--model", "Order", "--json").json
    assert (both["unchanged"], both["left_out"]) == (ALL, 6)  # claims are of no model
    without = ready.here("import", "raw.jsonl", "--model", "User", app=False)
    assert (without.code, "which app?" in without.err) == (Exit.USAGE, True)


def test_what_an_export_leaves_out_is_said(ready: Project) -> None:
    ready.fill(users=1, orders=1, tenants=(None,))
    text = (ready.folder / f"{ready.name}.py").read_text()
    ready.name += "x"
    ready.write(
        text.replace("number: int", "number: int\n    paid: bool").replace("    total: Decimal", "    sum: Decimal")
    )
    said = ready.here("export", "out.jsonl")
    assert said.code == Exit.DONE
    summary, dropped, unfit = said.err.splitlines()
    assert summary.startswith("2 items exported in ")
    assert dropped.startswith("note: 1 attribute that no field describes is not in it; --raw ")
    assert unfit.startswith("note: 1 item does not fit its model, and an import will refuse it; --raw ")
    done = ready.here("export", "out.jsonl", "--json")
    assert (done.json["dropped_attributes"], done.json["unfit"], done.err) == (1, 1, "")


def test_models_that_are_alike_are_told_by_options(ready: Project) -> None:
    text = (ready.folder / f"{ready.name}.py").read_text()
    ready.name += "x"
    ready.write(text + '\nclass Member(Model, table="app", pk="USER#{id}", sk="PROFILE"):\n    id: str\n')
    result = ready.here("export", "out.jsonl")
    assert result.code == Exit.USAGE
    error, mend = result.err.splitlines()
    assert error.endswith("cannot be told apart by their keys")
    assert mend == "  mend: --model User or --model Member, or --raw"


def test_one_is_one(ready: Project) -> None:
    (ready.folder / "in.jsonl").write_text(users(1))
    assert ready.here("import", "in.jsonl").err.startswith("1 item imported in ")
    assert ready.here("export", "out.jsonl").err.startswith("1 item exported in ")
    (ready.folder / "in.jsonl").write_text("{\n")
    *_, error, mend = ready.here("import", "in.jsonl", "--keep-going").err.splitlines()
    assert (error, mend) == ("error: 1 line is wrong", "  mend: it is named above; mend it, and import it again")


# -- interruptions -----------------------------------------------------------------------------------------------------


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def parts(project: Project) -> list[str]:
    return [name for name in os.listdir(project.folder) if name.endswith(".part")]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_export_that_is_killed_leaves_no_broken_file(project: Project, number: signal.Signals) -> None:
    project.fill()
    (project.folder / "out.jsonl").write_text("the export of yesterday\n")
    command = project.command("export", "out.jsonl", "--read-units", "0.5")
    with subprocess.Popen(command, cwd=project.folder, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: parts(project))
        time.sleep(0.3)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert (project.folder / "out.jsonl").read_text() == "the export of yesterday\n"
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        assert parts(project)  # which nobody takes for an export
    else:
        assert (process.returncode, said, parts(project)) == (Exit.INTERRUPTED, "error: interrupted\n", [])
    assert project.here("export", "out.jsonl").code == Exit.DONE
    assert len(lines(project.folder / "out.jsonl")) == ALL


def test_an_import_that_is_interrupted_says_where_to_go_on(ready: Project) -> None:
    (ready.folder / "in.jsonl").write_text(users(*range(1, 41)))
    command = ready.command("import", "in.jsonl", "--write-units", "20")
    with subprocess.Popen(command, cwd=ready.folder, stderr=subprocess.PIPE, text=True) as process:
        log = Path(f"{ready.data}-wal")
        until(lambda: log.exists() and log.stat().st_size > 200_000)
        size = 0
        while size != (size := log.stat().st_size):  # the first lines are stored, and the rate makes it wait
            time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == Exit.INTERRUPTED
    error, mend = said.splitlines()
    line = int(mend.rpartition(" ")[2])
    assert 1 < line <= 40
    assert error == f"error: interrupted; the lines before {line} are done with"
    assert mend == f"  mend: go on with --start-line {line}"
    done = ready.here("import", "in.jsonl", "--start-line", str(line), "--json").json
    assert done["written"] + done["unchanged"] == 41 - line
    assert ready.here("export", "-").out.count("\n") == 40


@pytest.mark.parametrize(("verb", "reader"), [("export -", "head -1"), ("emit iam", "true")])
def test_nobody_reads_the_output(project: Project, monkeypatch: pytest.MonkeyPatch, verb: str, reader: str) -> None:
    project.fill(orders=3000)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    command = f"{' '.join(project.command(*verb.split()))} | {reader}"
    done = subprocess.run(command, shell=True, cwd=project.folder, capture_output=True, text=True, timeout=60)
    assert done.stdout.count("\n") == (1 if verb == "export -" else 0)
    assert done.stderr in ("", "error: nobody reads the output any more\n")


def test_an_export_holds_a_page_at_a_time(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in memory does not grow with the table: the peak of a larger export is that of a smaller one."""
    import tracemalloc

    from lift_dynamorm.transport.local import LocalTransport

    class Endless(LocalTransport):
        """A table of many pages, made as they are asked for."""

        pages = 1

        async def send(self, operation: str, payload: Any, *, deadline: float | None = None) -> Any:
            if operation != "Scan":
                return await super().send(operation, payload, deadline=deadline)
            page = int(payload.get("ExclusiveStartKey", {"n": {"N": "0"}})["n"]["N"])
            items = [{"pk": {"S": "USER#1"}, "sk": {"S": "ORDER#1"}, "user": {"S": f"{page}-{n}"}} for n in range(500)]
            last = {} if page + 1 == self.pages else {"LastEvaluatedKey": {"n": {"N": f"{page + 1}"}}}
            return {"Items": items, "Count": 500, "ScannedCount": 500, **last}

    peaks = []
    for pages in (5, 100):
        monkeypatch.setattr(Endless, "pages", pages)
        module = project.module
        module.db = type(module.db)(transport=Endless())
        module.db.sync.tables(module.User).ensure()
        tracemalloc.start()
        assert project.here("export", "out.jsonl.gz", "--json").json["items"] == 500 * pages
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5
