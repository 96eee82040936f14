from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its types are a package of their own, for one module here

from lift_dynamorm import Database
from lift_dynamorm.model import schema_of
from lift_dynamorm.tables import specifications
from lift_dynamorm.transport.local import LocalTransport
from tests.wire import check

from .ways import EXAMPLE, Spy, User, in_process


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # untyped, as above
    """YAML with CloudFormation's short forms: `!Ref Table` is {"Ref": "Table"}, `!Sub x` is {"Fn::Sub": "x"}."""


def _function(loader: Any, tag: str, node: Any) -> dict[str, Any]:
    if isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        value = loader.construct_scalar(node)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _function)

Resource = dict[str, Any]


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load((EXAMPLE / "template.yaml").read_text(), _Loader)
    return loaded


@pytest.fixture(scope="module")
def table(template: dict[str, Any]) -> Resource:
    resource: Resource = template["Resources"]["Table"]
    return resource


@pytest.fixture(scope="module")
def function(template: dict[str, Any]) -> Resource:
    properties: Resource = template["Resources"]["Function"]["Properties"]
    return properties


def by_name(definitions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(definitions, key=lambda definition: str(definition["AttributeName"]))


def test_the_table_is_the_one_the_model_needs(table: Resource) -> None:
    request = specifications([User])[0].request()
    made = {name: value for name, value in table["Properties"].items() if not name.startswith("PointInTime")}
    made["AttributeDefinitions"] = by_name(made["AttributeDefinitions"])
    wanted = {**request, "AttributeDefinitions": by_name(request["AttributeDefinitions"])}
    del wanted["TableName"]  # CloudFormation gives it one
    ttl = schema_of(User).roles.time_to_live
    if ttl is not None:
        wanted["TimeToLiveSpecification"] = {"AttributeName": ttl, "Enabled": True}
    assert made == wanted
    check("CreateTable", {"TableName": "made-by-the-template", **made})


def test_the_data_outlives_mistakes(table: Resource) -> None:
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_the_function_finds_its_handler_and_its_table(function: Resource, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name = function["Handler"].split(".")
    root = EXAMPLE / function["CodeUri"]
    assert (root / f"{module}.py").resolve() == EXAMPLE / "app.py"
    assert (root / "requirements.txt").is_file()
    variables = function["Environment"]["Variables"]
    assert variables["TABLE_NAME"] == {"Ref": "Table"}
    monkeypatch.syspath_prepend(root)
    monkeypatch.setenv("TABLE_NAME", "made-by-cloudformation")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.delenv("DYNAMODB_ENDPOINT", raising=False)
    monkeypatch.delitem(sys.modules, module, raising=False)
    loaded = importlib.import_module(module)
    monkeypatch.delitem(sys.modules, module)
    assert callable(getattr(loaded, name))
    assert loaded.database.table_name(schema_of(loaded.User).table.name) == "made-by-cloudformation"


def test_every_variable_of_the_function_is_one_that_is_read(function: Resource) -> None:
    from lift_dynamorm.cursors import KEY_VARIABLE

    read = set(re.findall(r'os\.environ\.get\("(\w+)"', Path(EXAMPLE / "app.py").read_text()))
    assert set(function["Environment"]["Variables"]) <= read | {KEY_VARIABLE}


def test_every_reference_is_to_something_in_the_template(template: dict[str, Any]) -> None:
    def names(node: Any) -> list[str]:
        match node:
            case {"Ref": name}:
                return [name]
            case {"Fn::GetAtt": [name, _]}:
                return [name]
            case {"Fn::Sub": text}:
                return re.findall(r"\$\{(\w+)", text)
            case dict():
                return [name for value in node.values() for name in names(value)]
            case list():
                return [name for value in node for name in names(value)]
        return []

    found = set(names(template))
    assert {"Table", "Api", "CursorKey"} <= found
    assert found - {"AWS"} <= set(template["Resources"])


def test_the_function_may_do_what_it_does_and_no_more(function: Resource) -> None:
    """Transactions are allowed by their parts.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
    """
    spy = Spy(LocalTransport())
    database = Database(transport=spy)
    database.sync.create_tables(User)
    spy.sent.clear()
    with in_process(database) as ask:
        user = {"id": "ann", "email": "ann@example.com", "name": "Ann", "team": "core"}
        assert ask("POST", "/users", user).status == 201
        assert ask("GET", "/users/ann").status == 200
        assert ask("GET", "/users", query=[("team", "core")]).status == 200
        assert ask("PATCH", "/users/ann", {"name": "Ann Lee"}, headers={"If-Match": "*"}).status == 200
        assert ask("DELETE", "/users/ann").status == 204
        assert ask("GET", "/ready").status == 200
    needed = set()
    for operation, payload in spy.sent:
        if operation == "TransactWriteItems":
            needed |= {f"{action}Item" for entry in payload["TransactItems"] for action in entry}
        else:
            needed.add(operation)
    allowed: set[str] = set()
    for policy in function["Policies"]:
        for statement in policy["Statement"]:
            actions = statement["Action"]
            allowed |= {
                action.removeprefix("dynamodb:") for action in ([actions] if isinstance(actions, str) else actions)
            }
    assert needed == {"GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query"}
    assert allowed - needed == {"ConditionCheckItem"}  # a condition on an item that is only read, in a transaction
    assert needed <= allowed
