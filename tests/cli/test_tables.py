"""``tables``: what is shown, asked and done, and the exit codes."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest

from lift_dynamorm.cli.failures import Exit

if TYPE_CHECKING:
    from .conftest import Project


def changed(project: Project, *pairs: tuple[str, str]) -> None:
    """Change the app, as a developer does between two deploys: a module of another name, for this process."""
    text = (project.folder / f"{project.name}.py").read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    project.name += "x"
    project.write(text)


def test_from_nothing_to_done(project: Project) -> None:
    planned = project.here("tables", "plan")
    assert planned.code == Exit.DIFFERENT
    assert planned.out.splitlines() == [
        "TABLE  CHANGE",
        "app    + create table  pk:S sk:S; on demand; indexes by_team",
    ]
    applied = project.here("tables", "apply", "--yes")
    assert applied.code == Exit.DONE
    assert "done  app: create table" in applied.err
    assert applied.out == "1 step taken; the tables are as the models say\n"
    for verb in ("plan", "apply"):
        again = project.here("tables", verb)
        assert (again.code, again.out) == (Exit.DONE, "the tables are as the models say\n")


def test_the_same_for_programs(project: Project) -> None:
    planned = project.here("tables", "plan", "--json")
    assert planned.code == Exit.DIFFERENT
    assert planned.err == ""
    (step,) = planned.json["steps"]
    assert (step["table"], step["kind"], step["before"]) == ("app", "create table", None)
    applied = project.here("tables", "apply", "--yes", "--json")
    assert (applied.code, applied.err) == (Exit.DONE, "")
    assert applied.json == {"applied": [step], "drops": []}
    assert project.here("tables", "apply", "--yes", "--json").json == {"applied": [], "drops": []}
    (table,) = project.here("tables", "describe", "--json").json["tables"]
    assert (table["name"], table["status"]) == ("app", "ACTIVE")


def test_an_index_that_no_model_has(project: Project) -> None:
    project.here("tables", "apply", "--yes")
    changed(project, (', indexes=[GSI("by_team", pk="TEAM#{team}", sk="{joined}")]', ""))
    planned = project.here("tables", "plan")
    assert planned.code == Exit.DONE  # nothing is done about it
    assert "--drop app.by_team drops it" in planned.out
    planned = project.here("tables", "plan", "--drop", "app.by_team")
    assert planned.code == Exit.DIFFERENT
    assert "- drop index by_team" in planned.out
    assert project.here("tables", "apply", "--drop", "app.by_team", "--yes").code == Exit.DONE
    assert "by_team" not in project.here("tables", "describe").out
    wrong = project.here("tables", "plan", "--drop", "nowhere.by_team")
    assert (wrong.code, wrong.out) == (Exit.USAGE, "")


def test_a_drop_without_its_table_is_suggested_with_it(project: Project) -> None:
    project.here("tables", "apply", "--yes")
    changed(project, (', indexes=[GSI("by_team", pk="TEAM#{team}", sk="{joined}")]', ""))
    for verb in ("plan", "apply"):
        result = project.here("tables", verb, "--drop", "by_team")
        assert (result.code, result.out) == (Exit.USAGE, "")
        assert result.err.splitlines() == [
            "error: --drop by_team: it begins with none of the tables, app",
            "  mend: did you mean --drop app.by_team?",
        ]


def test_an_index_that_differs_has_to_be_dropped_by_name(project: Project) -> None:
    project.here("tables", "apply", "--yes")
    changed(project, ('pk="TEAM#{team}", sk="{joined}"', 'pk="TEAM#{team}"'))
    planned = project.here("tables", "plan")
    assert planned.code == Exit.REFUSED
    assert planned.out.startswith("needed: app: the index by_team is ")
    assert "kept:" not in planned.out
    refused = project.here("tables", "apply", "--yes")
    assert refused.code == Exit.REFUSED
    assert "the index by_team is" not in refused.out  # the error says it, once
    *_, error, mend = refused.err.splitlines()
    assert error.startswith("error: the tables cannot become what the models say: app: the index by_team is ")
    assert mend == "  mend: lift-dynamorm tables apply --drop app.by_team"
    assert project.here("tables", "apply", "--yes", "--json").error["exit_code"] == Exit.REFUSED
    assert project.here("tables", "apply", "--yes", "--drop", "app.by_team").code == Exit.DONE


def test_a_key_that_can_never_change(project: Project) -> None:
    project.here("tables", "apply", "--yes")
    changed(project, (', sk="PROFILE"', ""), (', sk="ORDER#{number}"', ""))
    planned = project.here("tables", "plan")
    assert planned.code == Exit.REFUSED
    assert "refused: app: its key is pk:S sk:S" in planned.out
    assert project.here("tables", "plan", "--json").json["refused"]


def test_a_question_is_asked_on_a_terminal_only(project: Project) -> None:
    refused = project.here("tables", "apply")
    assert refused.code == Exit.USAGE
    assert "nobody to ask: Take 1 step?" in refused.err
    assert "mend: --yes" in refused.err
    assert project.here("tables", "apply", "--json").error["kind"] == "Unanswered"
    assert project.here("tables", "plan").code == Exit.DIFFERENT


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("y\n", Exit.DONE), ("Yes\n", Exit.DONE), ("\n", 1), ("n\n", 1), ("", 1)])
def test_the_answer_counts(project: Project, monkeypatch: pytest.MonkeyPatch, answer: str, code: int) -> None:
    said = Terminal()
    monkeypatch.setenv("CI", "1")
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys, "stderr", said)
    assert project.here("tables", "apply").code == code
    assert "Take 1 step? [y/N] " in said.getvalue()
    assert project.here("tables", "plan").code == (Exit.DIFFERENT if code else Exit.DONE)


def test_describe(project: Project) -> None:
    assert project.here("tables", "describe").out == "app  not there; lift-dynamorm tables apply creates it\n"
    assert project.here("tables", "describe", "--json").json == {"tables": [], "missing": ["app"]}
    project.fill()
    lines = project.here("tables", "describe").out.splitlines()
    assert lines[0] == "app  ACTIVE"
    assert "  models       User, Order" in lines
    assert any(line.startswith("  items        about ") for line in lines)
    assert lines[-1] == "  index by_team  global, ACTIVE: by_team_pk (S), by_team_sk (S); all attributes"


def test_delete(project: Project) -> None:
    project.fill()
    unknown = project.here("tables", "delete", "other", "--yes")
    assert unknown.code == Exit.USAGE
    assert unknown.err.splitlines() == ["error: other is no table of these models", "  mend: there is app"]
    assert project.here("tables", "delete", "app").code == Exit.USAGE  # nobody has answered
    deleted = project.here("tables", "delete", "app", "--yes", "--json")
    assert deleted.json == {"deleted": ["app"]}
    assert project.here("tables", "plan").code == Exit.DIFFERENT


def test_models_are_narrowed(project: Project) -> None:
    text = (project.folder / f"{project.name}.py").read_text()
    project.write(text + '\nclass Event(Model, table="events"):\n    id: PartitionKey[int]\n')
    said = project.here("tables", "plan", "--model", "Event", "--json").json
    assert [step["table"] for step in said["steps"]] == ["events"]
    assert len(project.here("tables", "plan", "--json").json["steps"]) == 2
