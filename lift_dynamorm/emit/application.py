"""Tables, and a function that uses them, as a SAM template."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lift_dynamorm.cursors import KEY_VARIABLE
from lift_dynamorm.emit.policy import KEY_USE, iam, key_statements, statements
from lift_dynamorm.emit.template import VERSION, checked, logical_ids, outputs, resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lift_dynamorm.tables.specification import TableSpec

Payload = dict[str, Any]

TABLE_VARIABLE = "TABLE_NAME"

_LONGEST = {"account": "123456789012", "region": "ap-southeast-2", "partition": "aws-us-gov"}
_HERE = {"account": "${AWS::AccountId}", "region": "${AWS::Region}", "partition": "${AWS::Partition}"}


def sam(
    specs: Iterable[TableSpec],
    *,
    description: str = "An application on DynamoDB tables, made of its models by lift-dynamorm.",
    handler: str = "app.handler",
    code: str = ".",
    runtime: str = "python3.13",
    memory: int = 1024,
    timeout: int = 15,
    read_only: bool = False,
    scan: bool = False,
    partiql: bool = False,
    retain: bool = True,
    name_tables: bool = True,
) -> Payload:
    """Make a template of tables, a function that may use them (see `iam`), and an HTTP API in front of it.

    The function finds the name of its table in ``TABLE_NAME``; of several in ``<LOGICAL ID>_NAME`` each, as
    ``ORDERS_TABLE_NAME``.
    memory: in MB. timeout: in seconds; the database work of a request ends a little before.
    """
    specs = checked(specs)
    iam(specs, read_only=read_only, scan=scan, partiql=partiql, **_LONGEST)  # refuses what a role could not hold
    ids = logical_ids(spec.name for spec in specs)
    said = statements(specs, _in_template(ids), read_only=read_only, scan=scan, partiql=partiql)
    said += _filled_in(key_statements(specs, KEY_USE, **_HERE))
    function = {
        "CodeUri": code,
        "Handler": handler,
        "Runtime": runtime,
        "Architectures": ["arm64"],
        "MemorySize": memory,
        "Timeout": timeout,
        "Environment": {"Variables": _variables(specs, ids)},
        "Policies": [{"Version": "2012-10-17", "Statement": said}],
        "Events": {"Request": {"Type": "HttpApi", "Properties": {"ApiId": {"Ref": "Api"}}}},
    }
    secret = {
        "Description": "Signs the page cursors.",
        # A comma would make two keys of it.
        "GenerateSecretString": {"PasswordLength": 48, "ExcludePunctuation": True},
    }
    url = {"Fn::Sub": "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}"}
    return {
        "AWSTemplateFormatVersion": VERSION,
        "Transform": "AWS::Serverless-2016-10-31",
        "Description": description,
        "Resources": {
            "Api": {"Type": "AWS::Serverless::HttpApi"},
            "Function": {"Type": "AWS::Serverless::Function", "Properties": function},
            **resources(specs, ids, retain=retain, name_tables=name_tables),
            "CursorKey": {"Type": "AWS::SecretsManager::Secret", "Properties": secret},
        },
        "Outputs": {"Url": {"Value": url}, **outputs(specs, ids)},
    }


def _variables(specs: Sequence[TableSpec], ids: Mapping[str, str]) -> Payload:
    names = {ids[spec.name]: {"Ref": ids[spec.name]} for spec in specs}
    if len(names) > 1:
        tables = {f"{_constant(resource)}_NAME": name for resource, name in names.items()}
    else:
        tables = dict(zip((TABLE_VARIABLE,), names.values(), strict=True))
    # Every instance has to know the key that signs page cursors.
    return {**tables, KEY_VARIABLE: {"Fn::Sub": "{{resolve:secretsmanager:${CursorKey}}}"}}


def _constant(resource: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", resource).upper()


def _in_template(ids: Mapping[str, str]) -> Callable[[TableSpec, str | None], Any]:
    def place(spec: TableSpec, index: str | None) -> Payload:
        resource = ids[spec.name]
        if index is None:
            return {"Fn::GetAtt": [resource, "Arn"]}
        return {"Fn::Sub": f"${{{resource}.Arn}}/index/{index}"}

    return place


def _filled_in(node: Any) -> Any:
    """Have CloudFormation fill account, region and partition into texts."""
    match node:
        case str() if "${AWS::" in node:
            return {"Fn::Sub": node}
        case list():
            return [_filled_in(part) for part in node]
        case dict():
            return {name: _filled_in(part) for name, part in node.items()}
    return node
