"""Files: numbers, names, checksums, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lift_dynamorm.migrations import MigrationError, MigrationFailed
from lift_dynamorm.migrations.files import find_files, new_file

if TYPE_CHECKING:
    from pathlib import Path


def test_files_are_found_by_number(tmp_path: Path) -> None:
    for name in ("0010_b.py", "0002_a.py", "helper.py", "_x.py", "0003_text.md", "10000_c.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "__pycache__").mkdir()
    assert [(file.number, file.name) for file in find_files(tmp_path)] == [
        (2, "0002_a"),
        (10, "0010_b"),
        (10000, "10000_c"),
    ]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["1_a.py"], "called 0001_what_it_does.py"),
        (["0001-a.py"], "called 0001_what_it_does.py"),
        (["0001_A.py"], "called 0001_what_it_does.py"),
        (["0001_a.py", "0001_b.py"], "0001_a and 0001_b have the same number"),
    ],
)
def test_names_that_are_none(tmp_path: Path, names: list[str], said: str) -> None:
    for name in names:
        (tmp_path / name).write_text("")
    with pytest.raises(MigrationError, match=said):
        find_files(tmp_path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match=r"new\('name'\)"):
        find_files(tmp_path / "none")


def test_new_ones_take_the_next_number_and_run(tmp_path: Path) -> None:
    first = new_file(tmp_path / "migrations", "full names")
    second = new_file(tmp_path / "migrations", "More-Names")
    assert [first.name, second.name] == ["0001_full_names.py", "0002_more_names.py"]
    (one, _) = find_files(tmp_path / "migrations")
    assert one.title == "Full names."
    assert "where:" in one.path.read_text()
    with pytest.raises(MigrationError, match=r"up = \[\] has no steps, .*write what it is to do"):
        one.steps()
    text = one.path.read_text()
    one.path.write_text(
        text.replace("up = [", "up = [ApplyTables(User)", 1).replace("# from myapp", "from tests.migrations")
    )
    assert [step.name for step in one.steps()] == ["ApplyTables(User)"]
    with pytest.raises(MigrationError, match="letters, digits"):
        new_file(tmp_path, "full/names")


def test_line_ends_do_not_change_a_file(tmp_path: Path) -> None:
    path = tmp_path / "0001_a.py"
    sums = set()
    for text in (b"up = []\n", b"up = []\r\n", b"up = [ ]\n"):
        path.write_bytes(text)
        sums.add(find_files(tmp_path)[0].checksum)
    assert len(sums) == 2


def test_a_title_is_read_without_running_the_file(tmp_path: Path) -> None:
    (tmp_path / "0001_a.py").write_text('"""Raise.\n\nMore."""\nraise ValueError\n')
    (tmp_path / "0002_b.py").write_text("no python")
    assert [file.title for file in find_files(tmp_path)] == ["Raise.", ""]
    with pytest.raises(MigrationFailed, match=r"0001_a.py cannot be loaded: ValueError"):
        find_files(tmp_path)[0].steps()
    with pytest.raises(MigrationFailed, match=r"0002_b.py cannot be loaded: SyntaxError"):
        find_files(tmp_path)[1].steps()


STEP = "from lift_dynamorm.migrations import Run\ndef f(work): pass\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"needs a list of steps: up = \["),
        ("up = Run(f)", "needs a list of steps"),
        ("up = [f]", "which is no step"),
        ("up = [Run(f), Run(f)]", r"two steps named 'Run\(f\)'; tell them apart: name="),
    ],
)
def test_steps_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "0001_a.py").write_text(STEP + text)
    with pytest.raises(MigrationError, match=said):
        find_files(tmp_path)[0].steps()


def test_steps_with_names_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "0001_a.py").write_text(STEP + "up = [Run(f), Run(f, name='again')]")
    (file,) = find_files(tmp_path)
    assert [step.name for step in file.steps()] == ["Run(f)", "again"]
    with pytest.raises(MigrationError, match="no `down`, so it cannot be taken back"):
        file.steps_down()
