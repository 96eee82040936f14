"""Tables as a stack of the AWS CDK, version 2, in Python."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from lift_dynamorm.emit.template import checked, logical_ids, table_properties
from lift_dynamorm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lift_dynamorm.tables.specification import TableSpec

_STRUCTS = {
    "AttributeDefinitions": "AttributeDefinitionProperty",
    "ContributorInsightsSpecification": "ContributorInsightsSpecificationProperty",
    "GlobalSecondaryIndexes": "GlobalSecondaryIndexProperty",
    "KeySchema": "KeySchemaProperty",
    "LocalSecondaryIndexes": "LocalSecondaryIndexProperty",
    "OnDemandThroughput": "OnDemandThroughputProperty",
    "PointInTimeRecoverySpecification": "PointInTimeRecoverySpecificationProperty",
    "Projection": "ProjectionProperty",
    "ProvisionedThroughput": "ProvisionedThroughputProperty",
    "ResourcePolicy": "ResourcePolicyProperty",
    "SSESpecification": "SSESpecificationProperty",
    "StreamSpecification": "StreamSpecificationProperty",
    "TimeToLiveSpecification": "TimeToLiveSpecificationProperty",
}
"""What CfnTable calls the types of its properties.
https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_dynamodb/CfnTable.html
"""

_WIDTH = 100

_MODULE = '''\
"""DynamoDB tables, made of the models by lift-dynamorm."""

import aws_cdk as cdk
from aws_cdk.aws_dynamodb import CfnTable
from constructs import Construct


class {name}(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)

{body}

if __name__ == "__main__":
    app = cdk.App()
    {name}(app, "{name}")
    app.synth()
'''


def cdk(
    specs: Iterable[TableSpec], *, stack: str = "TablesStack", retain: bool = True, name_tables: bool = True
) -> str:
    """Write a module with a stack of tables that has the same resources and outputs as `cloudformation`.

    The tables are `CfnTable`s, which say all that a template can and add nothing of their own; grants are those of
    `iam`. Run the module (``cdk synth --app "python tables_stack.py"``), or import the stack.
    stack: what its class is called.
    """
    specs = checked(specs)
    if not stack.isidentifier():
        raise UsageError(f"stack={stack!r}: give the name of a class, as TablesStack")
    ids = logical_ids(spec.name for spec in specs)
    parts = [_table(spec, ids[spec.name], retain=retain, name_tables=name_tables) for spec in specs]
    return _MODULE.format(name=stack, body="\n".join(parts))


def _table(spec: TableSpec, resource: str, *, retain: bool, name_tables: bool) -> str:
    properties = table_properties(spec)
    if not name_tables:
        del properties["TableName"]
    variable = snake(resource)
    arguments = ["self", json.dumps(resource), *_arguments(properties, 12)]
    policy = "RETAIN" if retain else "DESTROY"
    said = [
        f"{variable} = {_enclosed('CfnTable(', arguments, ')', 8, _WIDTH)}",
        f"{variable}.apply_removal_policy(cdk.RemovalPolicy.{policy})",
        f'cdk.CfnOutput(self, "{resource}Name", value={variable}.ref)',
        f'cdk.CfnOutput(self, "{resource}Arn", value={variable}.attr_arn)',
    ]
    if spec.settings.stream:
        said.append(f'cdk.CfnOutput(self, "{resource}StreamArn", value={variable}.attr_stream_arn)')
    return "".join(f"        {line}\n" for line in said)


def snake(name: str) -> str:
    """Write the name of a property as Python does: SSESpecification is sse_specification."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _arguments(properties: dict[str, Any], indent: int) -> list[str]:
    return [f"{snake(name)}={_value(name, value, indent)}" for name, value in properties.items()]


def _value(name: str, value: Any, indent: int) -> str:
    column = indent + len(snake(name)) + 1
    if name == "Tags":
        tags = [f"cdk.CfnTag(key={_text(tag['Key'])}, value={_text(tag['Value'])})" for tag in value]
        return _enclosed("[", tags, "]", indent, column)
    if name not in _STRUCTS:
        return _plain(value, indent, column)
    struct = f"CfnTable.{_STRUCTS[name]}("
    if isinstance(value, list):
        inner = indent + 4
        parts = [_enclosed(struct, _arguments(part, inner + 4), ")", inner, inner) for part in value]
        return _enclosed("[", parts, "]", indent, column)
    return _enclosed(struct, _arguments(value, indent + 4), ")", indent, column)


def _plain(value: Any, indent: int, column: int) -> str:
    """Write data as Python does; what is in a policy keeps its own names."""
    inner = indent + 4
    match value:
        case str():
            return _text(value)
        case list():
            return _enclosed("[", [_plain(part, inner, inner) for part in value], "]", indent, column)
        case dict():
            texts = [(_text(name), part) for name, part in value.items()]
            parts = [f"{name}: {_plain(part, inner, inner + len(name) + 2)}" for name, part in texts]
            return _enclosed("{", parts, "}", indent, column)
    return repr(value)


def _text(value: str) -> str:
    plain = value.isprintable() and not ('"' in value and "'" not in value)
    return json.dumps(value, ensure_ascii=False) if plain else repr(value)


def _enclosed(begin: str, parts: list[str], end: str, indent: int, column: int) -> str:
    """Put parts on one line where they fit behind the column, else on a line each."""
    line = f"{begin}{', '.join(parts)}{end}"
    if "\n" not in line and column + len(line) < _WIDTH:
        return line
    space = " " * indent
    lines = "".join(f"{space}    {part},\n" for part in parts)
    return f"{begin}\n{lines}{space}{end}"
