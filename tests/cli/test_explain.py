"""``explain``: conditions as they are typed, and what is said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm.cli.failures import Exit

if TYPE_CHECKING:
    from .conftest import Project


def explained(project: Project, *arguments: str) -> Any:
    result = project.here("explain", "--model", "User", "--json", *arguments)
    assert result.code == Exit.DONE, result.err
    return result.json


def test_for_people(project: Project) -> None:
    result = project.here("explain", "--model", "User", "--where", "team=core", "--order-by", "-joined")
    assert result.code == Exit.DONE
    lines = result.out.splitlines()
    assert lines[0].startswith("query User by by_team, which is narrowed by ")
    assert "  key      by_team_pk = 'TEAM#core'" in lines
    assert '    "ScanIndexForward": false,' in lines
    assert not project.data.exists()  # nothing was sent


@pytest.mark.parametrize(
    ("where", "filter"),
    [
        ("email=a=b", "email = 'a=b'"),
        ("email=7", "email = '7'"),
        ("email= a ", "email = ' a '"),
        ('email="7"', "email = '7'"),
        ("logins=7", "logins = 7"),
        ("logins >= 7", "logins >= 7"),
        ("logins<>7", "logins <> 7"),
        ("logins!=7", "logins <> 7"),
        ("balance=0.10", "balance = 0.10"),
        ("active=false", "active = False"),
        ("email begins_with a@", "begins_with(email, 'a@')"),
        ("tags contains x", "contains(tags, 'x')"),
        ("photo exists", "attribute_exists(photo)"),
        ("photo not_exists", "attribute_not_exists(photo)"),
        ("logins between [1, 9]", "logins BETWEEN 1 AND 9"),
        ('email in ["a", "b"]', "email IN ('a', 'b')"),
        ("size(email) > 3", "size(email) > 3"),
        ("joined<2026-02-01T00:00:00Z", "joined < '2026-02-01T00:00:00.000000Z'"),
    ],
)
def test_conditions(project: Project, where: str, filter: str | None) -> None:
    said = explained(project, "--where", "id=1", "--where", where)
    assert said["key"] == "pk = 'USER#1' AND sk = 'PROFILE'"
    if filter is not None:
        assert said["filter"] == filter


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("team", "is no condition"),
        ("team like x", "is no condition"),
        ("taem=x", "did you mean `team`"),
        ("logins=many", "logins"),
        ("logins in 5", "takes a list"),
    ],
)
def test_conditions_that_are_none(project: Project, where: str, said: str) -> None:
    result = project.here("explain", "--model", "User", "--where", where)
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert said in result.err


def test_the_options(project: Project) -> None:
    plain = explained(project, "--where", "team=core")
    assert plain["index"] == "by_team"
    assert explained(project, "--where", "team=core", "--limit", "7")["request"]["Limit"] == 7
    assert explained(project, "--where", "id=1", "--index", "table", "--consistent")["request"]["ConsistentRead"]
    assert "ProjectionExpression" in explained(project, "--where", "team=core", "--only", "id")["request"]
    assert explained(project, "--where", "team=core", "--item-size", "8192")["read_units"] > plain["read_units"]
    tenant = explained(project, "--where", "team=core", "--tenant", "acme")
    assert tenant["key"] == "by_team_pk = '@acme#TEAM#core'"
    scan = explained(project, "--scan", "--where", "logins>3")
    assert (scan["verb"], scan["index"]) == ("scan", "table")
    assert project.here("explain", "--model", "User", "--scan", "--order-by", "joined").code == Exit.USAGE


def test_what_cannot_be_asked(project: Project) -> None:
    result = project.here("explain", "--model", "User", "--where", "logins>3")
    assert result.code == Exit.USAGE
    assert "no index answers this query on User" in result.err
    several = project.here("explain", "--where", "team=core")
    assert several.code == Exit.USAGE
    assert "--model NAME, one of User, Order" in several.err


def test_fetch(project: Project) -> None:
    text = (project.folder / f"{project.name}.py").read_text()
    project.write(text.replace('sk="{joined}")', 'sk="{joined}", projection="KEYS_ONLY")'))
    assert project.here("explain", "--model", "User", "--where", "team=core").code == Exit.USAGE
    assert any("twice" in warning for warning in explained(project, "--where", "team=core", "--fetch")["warnings"])
