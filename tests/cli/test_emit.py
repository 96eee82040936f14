"""``emit``: each template is what the library makes of the app's tables, in the place that was asked for."""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm.cli.failures import Exit
from lift_dynamorm.emit import cdk, cloudformation, deploy_iam, iam, sam, terraform
from lift_dynamorm.tables import specifications

if TYPE_CHECKING:
    from .conftest import Project


def specs(project: Project) -> Any:
    return specifications([project.module.User, project.module.Order])


@pytest.mark.parametrize(
    ("arguments", "make"),
    [
        (("cloudformation",), cloudformation),
        (("cloudformation", "--no-retain", "--no-names"), lambda s: cloudformation(s, retain=False, name_tables=False)),
        (("sam",), sam),
        (
            ("sam", "--handler", "a.b", "--code", "src", "--read-only", "--scan", "--partiql"),
            lambda s: sam(s, handler="a.b", code="src", read_only=True, scan=True, partiql=True),
        ),
        (("terraform",), terraform),
        (("terraform", "--no-retain"), lambda s: terraform(s, retain=False)),
        (("iam",), iam),
        (("iam", "--tenant", "acme", "--read-only"), lambda s: iam(s, tenant="acme", read_only=True)),
        (
            ("iam", "--account", "123456789012", "--region", "eu-west-1", "--partition", "aws-cn", "--scan"),
            lambda s: iam(s, account="123456789012", region="eu-west-1", partition="aws-cn", scan=True),
        ),
        (("iam", "--deploy", "--delete"), lambda s: deploy_iam(s, delete=True)),
    ],
)
def test_what_is_emitted(project: Project, arguments: tuple[str, ...], make: Any) -> None:
    for extra in ((), ("--json",)):
        result = project.here("emit", *arguments, *extra)
        assert (result.code, result.err) == (Exit.DONE, "")
        assert result.json == make(specs(project))


def test_yaml(project: Project) -> None:
    import yaml  # type: ignore[import-untyped]

    result = project.here("emit", "cloudformation", "--format", "yaml")
    assert yaml.safe_load(result.out) == cloudformation(specs(project))
    assert not result.out.startswith("{")
    # One JSON document is what --json promises.
    assert project.here("emit", "cloudformation", "--format", "yaml", "--json").json == cloudformation(specs(project))


def test_cdk(project: Project) -> None:
    result = project.here("emit", "cdk", "--stack", "Tables")
    assert result.out == cdk(specs(project), stack="Tables")
    ast.parse(result.out)
    assert project.here("emit", "cdk", "--json").json == {"module": cdk(specs(project))}


def test_a_file(project: Project) -> None:
    result = project.here("emit", "iam", "--output", "policy.json")
    assert (result.code, result.out, result.err) == (Exit.DONE, "", "written to policy.json\n")
    assert json.loads((project.folder / "policy.json").read_text()) == iam(specs(project))
    assert project.here("emit", "iam", "-o", "policy.json", "--json").json == {"file": "policy.json"}


def test_the_names_of_this_app(project: Project) -> None:
    text = (project.folder / f"{project.name}.py").read_text()
    project.write(text.replace('data.db")', 'data.db", table_names={"app": "app-production"})'))
    assert "app-production" in project.here("emit", "cloudformation").out
    project.name += "x"
    project.write(text + "\nboth = [User, Order]\n")
    assert project.here("emit", "cloudformation", "--app", f"{project.name}:both", app=False).code == Exit.DONE


def test_what_makes_no_sense(project: Project) -> None:
    result = project.here("emit", "iam", "--tenant", "acme", "--scan")
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert project.here("emit", "cdk", "--stack", "no name").code == Exit.USAGE


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--delete",), "--delete goes with --deploy"),
        (("--deploy", "--tenant", "acme"), "--deploy does not go with --tenant"),
        (("--deploy", "--read-only", "--scan", "--partiql"), "with --read-only or --scan or --partiql"),
        (("--account", "12345"), "--account '12345': write it 12 digits, or *"),
        (("--account", "١٢٣٤٥٦٧٨٩٠١٢"), "write it 12 digits"),
        (("--region", "Frankfurt"), "--region 'Frankfurt'"),
        (("--deploy", "--region", ""), "--region ''"),
        (("--partition", "amazon"), "--partition 'amazon'"),
        (("--partition", "*"), "--partition '*'"),
    ],
)
def test_options_without_an_effect_and_places_that_are_none(
    project: Project, arguments: tuple[str, ...], said: str
) -> None:
    result = project.here("emit", "iam", *arguments)
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert said in result.err


@pytest.mark.parametrize(
    ("account", "region", "partition"),
    [
        ("123456789012", "ap-southeast-2", "aws-cn"),
        ("*", "eu-*", "aws-us-gov"),
        ("${AWS::AccountId}", "${AWS::Region}", "${AWS::Partition}"),
        ("*", "us-gov-west-1", "aws-iso-b"),
    ],
)
def test_places(project: Project, account: str, region: str, partition: str) -> None:
    given = ("--account", account, "--region", region, "--partition", partition)
    for more in ((), ("--deploy",)):
        result = project.here("emit", "iam", *given, *more)
        assert result.code == Exit.DONE
        assert f"arn:{partition}:dynamodb:{region}:{account}:table/app" in result.out
