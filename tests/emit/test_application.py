"""SAM templates: of any models, and of the example's, beside the one it ships."""

from __future__ import annotations

from typing import Any

import pytest

from lift_dynamorm import UsageError
from lift_dynamorm.emit import iam, sam
from lift_dynamorm.emit.template import table_properties
from lift_dynamorm.tables.specification import specifications
from tests.examples.test_sam_template import table, template
from tests.examples.ways import User

from .linter import complaints
from .models import CASES, KEY_ID, specs, thing
from .test_policy import actions

__all__ = ["table", "template"]  # fixtures

Payload = dict[str, Any]


def function(made: Payload) -> Payload:
    properties: Payload = made["Resources"]["Function"]["Properties"]
    return properties


@pytest.mark.parametrize("case", ["plain", "full", "key_by_id"])
def test_a_template_has_no_faults(case: str) -> None:
    assert complaints(sam(CASES[case])) == []


def test_the_linter_knows_sam() -> None:
    made = sam(CASES["plain"])
    function(made)["MemorySize"] = "much"
    assert complaints(made) != []


def test_the_tables_are_those_of_the_template() -> None:
    made = sam(CASES["full"])
    assert made["Resources"]["ThingsTable"]["Properties"] == table_properties(CASES["full"][0])
    assert made["Resources"]["ThingsTable"]["DeletionPolicy"] == "Retain"
    assert "TableName" not in sam(CASES["full"], name_tables=False)["Resources"]["ThingsTable"]["Properties"]


def test_what_is_the_users_own() -> None:
    properties = function(sam(CASES["plain"], handler="shop.main.handler", code="src", memory=512, timeout=29))
    chosen = {"Handler": "shop.main.handler", "CodeUri": "src", "MemorySize": 512, "Timeout": 29}
    assert chosen.items() <= properties.items()


def test_the_function_is_told_its_tables() -> None:
    from lift_dynamorm.cursors import KEY_VARIABLE

    one = function(sam(CASES["plain"]))["Environment"]["Variables"]
    assert one == {"TABLE_NAME": {"Ref": "ThingsTable"}, KEY_VARIABLE: one[KEY_VARIABLE]}
    two = function(sam(specs(thing({}, "app-users"), thing({}, "orders"))))["Environment"]["Variables"]
    assert two["APP_USERS_TABLE_NAME"] == {"Ref": "AppUsersTable"}
    assert two["ORDERS_TABLE_NAME"] == {"Ref": "OrdersTable"}


def resolved(node: Any, ids: dict[str, str]) -> Any:
    """Fill in what CloudFormation would, with the placeholders of `iam`."""
    match node:
        case {"Fn::GetAtt": [resource, "Arn"]}:
            return f"arn:aws:dynamodb:*:*:table/{ids[resource]}"
        case {"Fn::Sub": text}:
            for resource, name in ids.items():
                text = text.replace(f"${{{resource}.Arn}}", f"arn:aws:dynamodb:*:*:table/{name}")
            for variable, value in (("Partition", "aws"), ("Region", "*"), ("AccountId", "*")):
                text = text.replace(f"${{AWS::{variable}}}", value)
            return text
        case dict():
            return {key: resolved(value, ids) for key, value in node.items()}
        case list():
            return [resolved(value, ids) for value in node]
    return node


@pytest.mark.parametrize("case", ["plain", "full", "key_by_id"])
@pytest.mark.parametrize("asked", [{}, {"read_only": True}, {"scan": True, "partiql": True}])
def test_the_function_may_do_what_the_policy_says(case: str, asked: dict[str, bool]) -> None:
    (policy,) = function(sam(CASES[case], **asked))["Policies"]  # type: ignore[arg-type]  # flags only
    assert resolved(policy, {"ThingsTable": "things"}) == iam(CASES[case], **asked)  # type: ignore[arg-type]
    assert (KEY_ID in str(policy)) == (case == "key_by_id")


def test_a_policy_that_no_role_can_hold_is_refused() -> None:
    many = tuple(spec for n in range(40) for spec in specs(thing({}, f"things-{n:03}")))
    with pytest.raises(UsageError, match="10,240"):
        sam(many)


# -- the example -------------------------------------------------------------------------------------------------------


def test_the_table_of_the_example_is_what_its_models_emit(table: Payload) -> None:
    (spec,) = specifications([User])
    emitted = sam([spec], name_tables=False)["Resources"]["UsersTable"]
    said = {**table["Properties"]}
    assert said.pop("PointInTimeRecoverySpecification") == {"PointInTimeRecoveryEnabled": True}  # the template's own
    assert {**table, "Properties": said} == emitted


def test_the_function_of_the_example_is_what_its_models_emit(template: Payload) -> None:
    made, shipped = function(sam(specifications([User]), name_tables=False)), function(template)
    for name in ("CodeUri", "Handler", "Runtime", "Architectures", "MemorySize", "Timeout"):
        assert shipped[name] == made[name]
    assert shipped["Environment"]["Variables"].keys() == made["Environment"]["Variables"].keys()
    # The example uses less: its test holds its policy against what it sends.
    assert actions({"Statement": shipped["Policies"][0]["Statement"]}) < actions(made["Policies"][0])
    assert complaints(template) == []
