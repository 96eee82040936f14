"""Tables as a CloudFormation template."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from lift_dynamorm.errors import UsageError
from lift_dynamorm.table import AWS_MANAGED, AWS_OWNED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lift_dynamorm.tables.specification import TableSpec

Payload = dict[str, Any]

VERSION = "2010-09-09"
DESCRIPTION = "DynamoDB tables, made of the models by lift-dynamorm."

_AS_REQUESTED = (
    "BillingMode",
    "ProvisionedThroughput",
    "OnDemandThroughput",
    "AttributeDefinitions",
    "KeySchema",
    "GlobalSecondaryIndexes",
    "LocalSecondaryIndexes",
    "TableClass",
    "DeletionProtectionEnabled",
    "Tags",
)
"""What CloudFormation writes as CreateTable does."""

_MAX_ID = 200


def cloudformation(
    specs: Iterable[TableSpec],
    *,
    description: str = DESCRIPTION,
    retain: bool = True,
    name_tables: bool = True,
) -> Payload:
    """Make a template of tables, with their names, ARNs and stream ARNs as its outputs.

    retain: tables that are taken out of the stack, or would be replaced, stay as they are.
    name_tables: False leaves the names to CloudFormation, which can then replace a table; the program has to be told
    what they are.
    """
    specs = checked(specs)
    ids = logical_ids(spec.name for spec in specs)
    return {
        "AWSTemplateFormatVersion": VERSION,
        "Description": description,
        "Resources": resources(specs, ids, retain=retain, name_tables=name_tables),
        "Outputs": outputs(specs, ids),
    }


def checked(specs: Iterable[TableSpec]) -> tuple[TableSpec, ...]:
    """Take tables that can go into one template; raises UsageError where there are none."""
    specs = tuple(specs)
    if not specs:
        raise UsageError("there are no tables to emit; give the models: specifications([User, ...])")
    return specs


def logical_ids(names: Iterable[str]) -> dict[str, str]:
    """Name the resource of each table: ``app-production`` is AppProductionTable.

    Where two names come to the same, those behind the first have a part of their hash at the end.
    """
    ids: dict[str, str] = {}
    for name in names:
        words = re.findall(r"[A-Za-z0-9]+", name)
        made = "".join(word[0].upper() + word[1:] for word in words)[:_MAX_ID].removesuffix("Table") + "Table"
        if made in ids.values() or made[0].isdigit():
            made = f"Table{sha256(name.encode()).hexdigest()[:8]}{made}"
        ids[name] = made
    return ids


def resources(
    specs: Sequence[TableSpec], ids: Mapping[str, str], *, retain: bool = True, name_tables: bool = True
) -> Payload:
    policy = "Retain" if retain else "Delete"
    made: Payload = {}
    for spec in specs:
        properties = table_properties(spec)
        if not name_tables:
            del properties["TableName"]
        made[ids[spec.name]] = {
            "Type": "AWS::DynamoDB::Table",
            "DeletionPolicy": policy,
            "UpdateReplacePolicy": policy,
            "Properties": properties,
        }
    return made


def outputs(specs: Sequence[TableSpec], ids: Mapping[str, str]) -> Payload:
    made: Payload = {}
    for spec in specs:
        resource = ids[spec.name]
        made[f"{resource}Name"] = {"Value": {"Ref": resource}}
        made[f"{resource}Arn"] = {"Value": {"Fn::GetAtt": [resource, "Arn"]}}
        if spec.settings.stream:
            made[f"{resource}StreamArn"] = {"Value": {"Fn::GetAtt": [resource, "StreamArn"]}}
    return made


def table_properties(spec: TableSpec) -> Payload:
    """Write the properties of an AWS::DynamoDB::Table.

    What the settings do not say is left out, and DynamoDB's default then holds.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html
    """
    settings = spec.settings
    request = spec.request()
    made: Payload = {"TableName": spec.name}
    made.update((name, request[name]) for name in _AS_REQUESTED if name in request)
    if settings.stream:
        made["StreamSpecification"] = {"StreamViewType": settings.stream}
    if spec.time_to_live is not None:
        made["TimeToLiveSpecification"] = {"AttributeName": spec.time_to_live, "Enabled": True}
    if settings.point_in_time_recovery is not None:
        made["PointInTimeRecoverySpecification"] = _recovery(settings.point_in_time_recovery)
    if settings.encryption is not None:
        made["SSESpecification"] = _encryption(settings.encryption)
    if settings.contributor_insights is not None:
        watched = {"ContributorInsightsSpecification": {"Enabled": settings.contributor_insights}}
        made.update(watched)
        for index in made.get("GlobalSecondaryIndexes", ()):
            index.update(watched)
    if settings.resource_policy:
        made["ResourcePolicy"] = {"PolicyDocument": json.loads(json.dumps(settings.resource_policy))}
    return made


def _recovery(days: bool | int) -> Payload:
    if type(days) is bool:
        return {"PointInTimeRecoveryEnabled": days}
    return {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": days}


def _encryption(key: str) -> Payload:
    if key == AWS_OWNED:
        return {"SSEEnabled": False}
    if key == AWS_MANAGED:
        return {"SSEEnabled": True, "SSEType": "KMS"}
    return {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": key}
