"""Terraform configurations: held against the provider's schema, and read back."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm.emit import as_json, terraform
from lift_dynamorm.emit.template import table_properties

from .models import CASES, KEY_ARN, KEY_ID, POLICY

if TYPE_CHECKING:
    from lift_dynamorm.tables.specification import TableSpec

Payload = dict[str, Any]

# The schema of hashicorp/aws 6.45.0 (https://registry.terraform.io/providers/hashicorp/aws/6.45.0/docs/resources/
# dynamodb_table, ..._contributor_insights, ..._resource_policy, and the data source kms_key), as @cdktn/provider-aws
# 24.1.0 on npm carries it (lib/dynamodb-table/index.d.ts). What is required has a "!". A dict is a block, a list of one
# dict is a block that may stand several times; blocks that tables of models cannot have are left out, and so are the
# arguments hash_key and range_key of a global index, which are deprecated for key_schema.
_UNITS = {"max_read_request_units": int, "max_write_request_units": int}
TABLE: Payload = {
    "name!": str,
    "billing_mode": str,
    "deletion_protection_enabled": bool,
    "hash_key": str,
    "range_key": str,
    "read_capacity": int,
    "write_capacity": int,
    "region": str,
    "stream_enabled": bool,
    "stream_view_type": str,
    "table_class": str,
    "tags": dict[str, str],
    "attribute": [{"name!": str, "type!": str}],
    "global_secondary_index": [
        {
            "name!": str,
            "projection_type!": str,
            "non_key_attributes": list[str],
            "read_capacity": int,
            "write_capacity": int,
            "key_schema": [{"attribute_name!": str, "key_type!": str}],
            "on_demand_throughput": _UNITS,
        }
    ],
    "local_secondary_index": [
        {"name!": str, "projection_type!": str, "range_key!": str, "non_key_attributes": list[str]}
    ],
    "on_demand_throughput": _UNITS,
    "point_in_time_recovery": {"enabled!": bool, "recovery_period_in_days": int},
    "server_side_encryption": {"enabled!": bool, "kms_key_arn": str},
    "ttl": {"attribute_name": str, "enabled": bool},
    "lifecycle": {"prevent_destroy": bool},  # of every resource
}
SCHEMA: Payload = {
    "aws_dynamodb_table": TABLE,
    "aws_dynamodb_contributor_insights": {"table_name!": str, "index_name": str, "mode": str, "region": str},
    "aws_dynamodb_resource_policy": {"policy!": str, "resource_arn!": str, "region": str},
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def faults(given: Any, schema: Any, where: str) -> list[str]:
    """Tell what a block has that the schema does not, and what it lacks."""
    if isinstance(schema, list):
        return [f for n, part in enumerate(given) for f in faults(part, schema[0], f"{where}[{n}]")]
    if not isinstance(schema, dict):
        if schema in (str, int, bool):
            return [] if type(given) is schema else [f"{where}: {given!r} is no {schema.__name__}"]
        parts = list(given.values()) if schema == dict[str, str] else given
        return [] if all(type(part) is str for part in parts) else [f"{where}: {given!r}"]
    known = {name.rstrip("!"): kind for name, kind in schema.items()}
    found = [f"{where}: lacks {name[:-1]}" for name in schema if name.endswith("!") and name[:-1] not in given]
    for name, value in given.items():
        found += faults(value, known[name], f"{where}.{name}") if name in known else [f"{where}: has {name}"]
    return found


def all_faults(configuration: Payload) -> list[str]:
    found = []
    for kind, resources in configuration["resource"].items():
        for label, block in resources.items():
            found += faults(block, SCHEMA[kind], f"{kind}.{label}")
            found += [] if _NAME.fullmatch(label) else [f"{kind}: {label!r} is no name"]
            if kind == "aws_dynamodb_table":
                found += _table_faults(block, label)
    for label, data in configuration.get("data", {"aws_kms_key": {}})["aws_kms_key"].items():
        found += faults(data, {"key_id!": str}, label)
    text = as_json(configuration)
    for kind, label in re.findall(r"\$\{(?:data\.)?(\w+)\.([\w-]+)\.\w+\}", text):
        there = {**configuration["resource"], **configuration.get("data", {})}
        found += [] if label in there.get(kind, ()) else [f"{kind}.{label} is not there"]
    return found


def _table_faults(block: Payload, label: str) -> list[str]:
    """What the provider checks of a table beyond its schema: all keys have an attribute, and no other attributes."""
    keys = {block["hash_key"], block.get("range_key", block["hash_key"])}
    for index in block.get("global_secondary_index", ()):
        keys |= {key["attribute_name"] for key in index["key_schema"]}
    keys |= {index["range_key"] for index in block.get("local_secondary_index", ())}
    named = [attribute["name"] for attribute in block["attribute"]]
    found = [] if sorted(keys) == sorted(named) else [f"{label}: keys {keys}, attributes {named}"]
    of_units = [block, *block.get("global_secondary_index", ())]
    provisioned = block["billing_mode"] == "PROVISIONED"
    if any(("read_capacity" in part, "write_capacity" in part) != (provisioned,) * 2 for part in of_units):
        found.append(f"{label}: units of a table or an index")
    if not block.get("stream_enabled") and "stream_view_type" in block:
        found.append(f"{label}: a view without a stream")
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_configuration_fits_the_schema(case: str) -> None:
    assert all_faults(terraform(CASES[case])) == []


def test_the_schema_finds_faults() -> None:
    configuration = terraform(CASES["full"])
    table = configuration["resource"]["aws_dynamodb_table"]["things"]
    del table["name"], table["attribute"][0], table["read_capacity"]
    table["ttl"]["on"] = True
    table["stream_enabled"] = "true"
    configuration["resource"]["aws_dynamodb_resource_policy"]["things"]["resource_arn"] = "${aws_dynamodb_table.x.arn}"
    assert len(all_faults(configuration)) == 6


def read_back(configuration: Payload, spec: TableSpec) -> Payload:
    """Read the properties of an AWS::DynamoDB::Table out of what the provider makes of a configuration."""

    def plain(text: str) -> str:
        return text.replace("$${", "${").replace("%%{", "%{")

    def units(block: Payload) -> Payload:
        if "read_capacity" in block:
            pair = {"ReadCapacityUnits": block["read_capacity"], "WriteCapacityUnits": block["write_capacity"]}
            return {"ProvisionedThroughput": pair}
        names = {"max_read_request_units": "MaxReadRequestUnits", "max_write_request_units": "MaxWriteRequestUnits"}
        if "on_demand_throughput" in block:
            return {"OnDemandThroughput": {names[name]: most for name, most in block["on_demand_throughput"].items()}}
        return {}

    def index(block: Payload, keys: list[Payload]) -> Payload:
        projection: Payload = {"ProjectionType": block["projection_type"]}
        if "non_key_attributes" in block:
            projection["NonKeyAttributes"] = block["non_key_attributes"]
        return {"IndexName": block["name"], "KeySchema": keys, "Projection": projection, **units(block)}

    (label,) = (
        label for label, block in configuration["resource"]["aws_dynamodb_table"].items() if block["name"] == spec.name
    )
    block = configuration["resource"]["aws_dynamodb_table"][label]
    hash_key = {"AttributeName": block["hash_key"], "KeyType": "HASH"}
    made: Payload = {
        "TableName": block["name"],
        "BillingMode": block["billing_mode"],
        **units(block),
        "AttributeDefinitions": [{"AttributeName": a["name"], "AttributeType": a["type"]} for a in block["attribute"]],
        "KeySchema": [hash_key],
    }
    if "range_key" in block:
        made["KeySchema"].append({"AttributeName": block["range_key"], "KeyType": "RANGE"})
    if "global_secondary_index" in block:
        made["GlobalSecondaryIndexes"] = [
            index(i, [{"AttributeName": k["attribute_name"], "KeyType": k["key_type"]} for k in i["key_schema"]])
            for i in block["global_secondary_index"]
        ]
    if "local_secondary_index" in block:
        made["LocalSecondaryIndexes"] = [
            index(i, [hash_key, {"AttributeName": i["range_key"], "KeyType": "RANGE"}])
            for i in block["local_secondary_index"]
        ]
    if block.get("stream_enabled"):
        made["StreamSpecification"] = {"StreamViewType": block["stream_view_type"]}
    if "ttl" in block:
        made["TimeToLiveSpecification"] = {
            "AttributeName": block["ttl"]["attribute_name"],
            "Enabled": block["ttl"]["enabled"],
        }
    if "point_in_time_recovery" in block:
        recovery = block["point_in_time_recovery"]
        made["PointInTimeRecoverySpecification"] = {"PointInTimeRecoveryEnabled": recovery["enabled"]}
        if "recovery_period_in_days" in recovery:
            days = recovery["recovery_period_in_days"]
            made["PointInTimeRecoverySpecification"]["RecoveryPeriodInDays"] = days
    if "server_side_encryption" in block:
        made["SSESpecification"] = {"SSEEnabled": block["server_side_encryption"]["enabled"]}
        if made["SSESpecification"]["SSEEnabled"]:
            made["SSESpecification"]["SSEType"] = "KMS"
        arn = block["server_side_encryption"].get("kms_key_arn")
        if arn is not None:
            looked_up = configuration.get("data", {}).get("aws_kms_key", {}).get(label, {}).get("key_id")
            by_id = arn == f"${{data.aws_kms_key.{label}.arn}}"
            made["SSESpecification"]["KMSMasterKeyId"] = looked_up if by_id else arn
    for name, theirs in (("TableClass", "table_class"), ("DeletionProtectionEnabled", "deletion_protection_enabled")):
        if theirs in block:
            made[name] = block[theirs]
    if "tags" in block:
        made["Tags"] = [{"Key": plain(key), "Value": plain(value)} for key, value in block["tags"].items()]
    policy = configuration["resource"].get("aws_dynamodb_resource_policy", {}).get(label)
    if policy is not None:
        made["ResourcePolicy"] = {"PolicyDocument": json.loads(plain(policy["policy"]))}
    mine = f"${{aws_dynamodb_table.{label}.name}}"
    insights = configuration["resource"].get("aws_dynamodb_contributor_insights", {}).values()
    watched = {block.get("index_name", "") for block in insights if block["table_name"] == mine}
    if watched or spec.settings.contributor_insights is False:  # what is not there is off
        made["ContributorInsightsSpecification"] = {"Enabled": "" in watched}
        for made_index in made["GlobalSecondaryIndexes"]:
            made_index["ContributorInsightsSpecification"] = {"Enabled": made_index["IndexName"] in watched}
    return made


@pytest.mark.parametrize("case", CASES)
def test_a_configuration_says_what_the_template_says(case: str) -> None:
    configuration = terraform(CASES[case])
    for spec in CASES[case]:
        assert read_back(configuration, spec) == table_properties(spec)


def test_text_that_looks_like_a_template_is_none() -> None:
    table = terraform(CASES["tags"])["resource"]["aws_dynamodb_table"]["things"]
    assert 'x $${y} %%{z} "ü"' in table["tags"].values()
    policy = terraform(CASES["policy"])["resource"]["aws_dynamodb_resource_policy"]["things"]["policy"]
    assert "$${aws:ResourceTag/team}" in policy
    assert json.loads(policy.replace("$${", "${")) == POLICY


def test_a_key_by_its_id_is_looked_up() -> None:
    by_id = terraform(CASES["key_by_id"])
    assert by_id["data"] == {"aws_kms_key": {"things": {"key_id": KEY_ID}}}
    by_arn = terraform(CASES["key_by_arn"])
    assert "data" not in by_arn
    encryption = by_arn["resource"]["aws_dynamodb_table"]["things"]["server_side_encryption"]
    assert encryption == {"enabled": True, "kms_key_arn": KEY_ARN}


def test_a_table_is_not_destroyed_unless_it_may_be() -> None:
    kept, gone = (
        terraform(CASES["plain"], retain=retain)["resource"]["aws_dynamodb_table"]["things"] for retain in (True, False)
    )
    assert kept.pop("lifecycle") == {"prevent_destroy": True}
    assert kept == gone
