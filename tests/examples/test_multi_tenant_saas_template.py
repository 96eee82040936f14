"""The SAM template of the multi-tenant example: what its models need, what its function does, and no more."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its types are a package of their own

from examples.multi_tenant_saas.saas.models import MODELS
from lift_dynamorm.emit import sam
from lift_dynamorm.tables import specifications
from lift_middleware import lambda_handler
from tests.emit.linter import complaints
from tests.lambdas.events import SOURCES

from .test_multi_tenant_saas_helpers import SECRET, Saas, person, saas
from .ways import ROOT, _Context, from_lambda

EXAMPLE = ROOT / "examples" / "multi_tenant_saas"


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((EXAMPLE / "template.yaml").read_text())
    return loaded


@pytest.fixture
def app() -> Iterator[Saas]:
    with saas() as found:
        yield found


def test_it_is_what_the_models_make_and_what_the_app_needs_beside(template: dict[str, Any]) -> None:
    emitted = sam(
        specifications(MODELS), handler="saas.main.handler", name_tables=False, description=template["Description"]
    )
    resources = {**template["Resources"]}
    secret = resources.pop("SigningKeys")
    assert secret["Properties"]["GenerateSecretString"]["PasswordLength"] >= 32
    table = {**resources["SaasTable"], "Properties": {**resources["SaasTable"]["Properties"]}}
    recovery = table["Properties"].pop("PointInTimeRecoverySpecification")
    assert recovery == {"PointInTimeRecoveryEnabled": True}
    function = {**resources["Function"], "Properties": {**resources["Function"]["Properties"]}}
    variables = {**function["Properties"]["Environment"]["Variables"]}
    assert variables.pop("SIGNING_KEYS") == {"Fn::Sub": "{{resolve:secretsmanager:${SigningKeys}}}"}
    function["Properties"]["Environment"] = {"Variables": variables}
    (policy,) = function["Properties"]["Policies"]
    *statements, readiness = policy["Statement"]
    assert readiness["Action"] == ["dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive"]
    function["Properties"]["Policies"] = [{**policy, "Statement": statements}]
    found = {**template, "Resources": {**resources, "SaasTable": table, "Function": function}}
    assert found == emitted


def test_the_linter_has_nothing_against_it(template: dict[str, Any]) -> None:
    assert complaints(template) == []


def test_the_function_finds_its_handler_and_its_table(
    template: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    function = template["Resources"]["Function"]["Properties"]
    module, _, name = function["Handler"].rpartition(".")
    assert (EXAMPLE / function["CodeUri"] / "requirements.txt").is_file()
    for variable, value in (("TABLE_NAME", "made"), ("SIGNING_KEYS", SECRET), ("AWS_REGION", "eu-west-1")):
        monkeypatch.setenv(variable, value)
    for variable in ("DYNAMODB_ENDPOINT", "PLAIN_HTTP"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.syspath_prepend(EXAMPLE / function["CodeUri"])
    try:
        loaded = importlib.import_module(module)
    finally:
        for imported in [found for found in sys.modules if found.partition(".")[0] == "saas"]:
            monkeypatch.delitem(sys.modules, imported)
    assert callable(getattr(loaded, name))
    settings = loaded.app.state.settings
    assert settings.database.table_name("saas") == "made"
    assert (settings.secure_cookies, settings.create_tables) == (True, False)


@pytest.mark.parametrize("keys", ["", "short", f"{SECRET},short"])
def test_without_a_good_key_it_does_not_start(keys: str) -> None:
    from examples.multi_tenant_saas.saas.settings import Settings

    with pytest.raises(SystemExit, match="SIGNING_KEYS: set it to a secret of 32 characters"):
        Settings.from_environment({"SIGNING_KEYS": keys, "DYNAMODB_ENDPOINT": "local://"})


def test_every_variable_of_the_function_is_one_that_is_read(template: dict[str, Any]) -> None:
    from lift_dynamorm.cursors import KEY_VARIABLE

    source = (EXAMPLE / "saas" / "settings.py").read_text()
    read = set(re.findall(r'environment\.get\("(\w+)"', source))
    assert set(template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]) <= read | {KEY_VARIABLE}
    assert all(re.search(rf"^{name} ", source, re.MULTILINE) for name in read)


@pytest.mark.parametrize("source", list(SOURCES))
def test_the_function_serves_the_api_and_the_pages(source: str, app: Saas) -> None:
    handler = lambda_handler(app.app)
    ask = from_lambda(SOURCES[source], lambda event: handler(event, _Context()))
    new = {"workspace": "acme", "title": "Acme", **person("ann")}
    token = ask("POST", "/api/sign-up", new).json()["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    created = ask("POST", "/api/projects", {"name": "Website"}, headers=headers)
    assert (created.status, created.etag) == (201, '"1"')
    assert ask("GET", created.headers["location"], headers=headers).json() == created.json()
    assert ask("GET", "/w/acme/", headers={"accept": "text/html"}).headers["location"] == "/w/acme/sign-in"
    assert ask("GET", "/api/projects").problem()["status"] == 401
    handler.close()


async def test_the_function_may_do_all_that_it_does(template: dict[str, Any], app: Saas) -> None:
    await app.seed()
    project = await app.project("ann")
    task = (await app.task("ann", project, assignee=app.users["bob"], due="2027-01-01")).headers["location"]
    for method, path, body in (
        ("GET", "/ready", None),
        ("PATCH", task, {"status": "done"}),
        ("GET", "/api/tasks?due_by=2030-01-01", None),
        ("GET", "/api/export", None),
        ("POST", "/api/projects", {"name": "x"}),
        ("DELETE", task, None),
        ("POST", "/api/users", person("eve")),
        ("DELETE", "/api/workspace", None),
    ):
        headers = {"If-Match": "*", "Idempotency-Key": '"k"'}
        assert (await app.ask("ann", method, path, body, headers)).status_code < 300, path
    needed = set()
    for operation, payload in app.spy.sent:
        if operation == "TransactWriteItems":  # allowed by what is in it
            needed |= {
                "ConditionCheckItem" if action == "ConditionCheck" else f"{action}Item"
                for entry in payload["TransactItems"]
                for action in entry
            }
        else:
            needed.add(operation)
    allowed = {
        action.removeprefix("dynamodb:")
        for policy in template["Resources"]["Function"]["Properties"]["Policies"]
        for statement in policy["Statement"]
        for action in statement["Action"]
    }
    assert needed <= allowed
    assert allowed - needed <= {"BatchGetItem"}  # for reads that this app does without
