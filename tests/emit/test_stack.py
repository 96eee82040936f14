"""CDK stacks: run against a stand-in that knows the names of the real thing."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from lift_dynamorm.emit import cdk, cloudformation
from lift_dynamorm.errors import UsageError

from .models import CASES

Payload = dict[str, Any]

# The names of aws-cdk-lib 2.275.0, as `inspect.signature` gives them for aws_cdk.aws_dynamodb.CfnTable and its structs,
# each with the property of CloudFormation that it is.
TABLE = """
    table_name=TableName key_schema=KeySchema attribute_definitions=AttributeDefinitions billing_mode=BillingMode
    contributor_insights_specification=ContributorInsightsSpecification tags=Tags table_class=TableClass
    deletion_protection_enabled=DeletionProtectionEnabled global_secondary_indexes=GlobalSecondaryIndexes
    local_secondary_indexes=LocalSecondaryIndexes on_demand_throughput=OnDemandThroughput
    point_in_time_recovery_specification=PointInTimeRecoverySpecification resource_policy=ResourcePolicy
    provisioned_throughput=ProvisionedThroughput sse_specification=SSESpecification
    stream_specification=StreamSpecification time_to_live_specification=TimeToLiveSpecification
"""
STRUCTS = {
    "AttributeDefinitionProperty": "attribute_name=AttributeName attribute_type=AttributeType",
    "ContributorInsightsSpecificationProperty": "enabled=Enabled",
    "GlobalSecondaryIndexProperty": """
        index_name=IndexName key_schema=KeySchema projection=Projection on_demand_throughput=OnDemandThroughput
        contributor_insights_specification=ContributorInsightsSpecification provisioned_throughput=ProvisionedThroughput
    """,
    "KeySchemaProperty": "attribute_name=AttributeName key_type=KeyType",
    "LocalSecondaryIndexProperty": "index_name=IndexName key_schema=KeySchema projection=Projection",
    "OnDemandThroughputProperty": """
        max_read_request_units=MaxReadRequestUnits max_write_request_units=MaxWriteRequestUnits
    """,
    "PointInTimeRecoverySpecificationProperty": """
        point_in_time_recovery_enabled=PointInTimeRecoveryEnabled recovery_period_in_days=RecoveryPeriodInDays
    """,
    "ProjectionProperty": "non_key_attributes=NonKeyAttributes projection_type=ProjectionType",
    "ProvisionedThroughputProperty": "read_capacity_units=ReadCapacityUnits write_capacity_units=WriteCapacityUnits",
    "ResourcePolicyProperty": "policy_document=PolicyDocument",
    "SSESpecificationProperty": "sse_enabled=SSEEnabled kms_master_key_id=KMSMasterKeyId sse_type=SSEType",
    "StreamSpecificationProperty": "stream_view_type=StreamViewType",
    "TimeToLiveSpecificationProperty": "enabled=Enabled attribute_name=AttributeName",
}


def struct(names: str) -> Any:
    known = dict(pair.split("=") for pair in names.split())
    return lambda **given: {known[name]: value for name, value in given.items()}


class Stack:
    def __init__(self, scope: Any, construct_id: str, **kwargs: Any) -> None:
        self.template: Payload = {"Resources": {}, "Outputs": {}}


class CfnTable:
    def __init__(self, stack: Stack, construct_id: str, **given: Any) -> None:
        self.made = {"Type": "AWS::DynamoDB::Table", "Properties": struct(TABLE)(**given)}
        assert construct_id not in stack.template["Resources"]
        stack.template["Resources"][construct_id] = self.made
        self.ref = {"Ref": construct_id}
        self.attr_arn = {"Fn::GetAtt": [construct_id, "Arn"]}
        self.attr_stream_arn = {"Fn::GetAtt": [construct_id, "StreamArn"]}

    def apply_removal_policy(self, policy: str) -> None:
        self.made["DeletionPolicy"] = self.made["UpdateReplacePolicy"] = policy


for _name, _fields in STRUCTS.items():
    setattr(CfnTable, _name, staticmethod(struct(_fields)))


def output(stack: Stack, construct_id: str, *, value: Any) -> None:
    stack.template["Outputs"][construct_id] = {"Value": value}


@pytest.fixture
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    core, dynamodb, constructs = (ModuleType(n) for n in ("aws_cdk", "aws_cdk.aws_dynamodb", "constructs"))
    core.__dict__.update(
        Stack=Stack,
        CfnOutput=output,
        CfnTag=struct("key=Key value=Value"),
        RemovalPolicy=type("RemovalPolicy", (), {"RETAIN": "Retain", "DESTROY": "Delete"}),
    )
    dynamodb.__dict__.update(CfnTable=CfnTable)
    constructs.__dict__.update(Construct=object)
    for module in (core, dynamodb, constructs):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def built(text: str, stack: str = "TablesStack") -> Payload:
    made: Payload = {"__name__": "tables_stack"}
    exec(compile(text, "tables_stack.py", "exec"), made)
    template: Payload = made[stack](None, stack).template
    return template


@pytest.mark.usefixtures("_stand_in")
@pytest.mark.parametrize("case", CASES)
def test_a_stack_is_the_template(case: str) -> None:
    template = cloudformation(CASES[case])
    assert built(cdk(CASES[case])) == {name: template[name] for name in ("Resources", "Outputs")}


@pytest.mark.usefixtures("_stand_in")
def test_what_is_chosen_is_as_in_a_template() -> None:
    template = cloudformation(CASES["full"], retain=False, name_tables=False)
    made = built(cdk(CASES["full"], stack="Data", retain=False, name_tables=False), "Data")
    assert made == {name: template[name] for name in ("Resources", "Outputs")}


@pytest.mark.parametrize("case", ["plain", "full", "policy", "tags"])
def test_a_stack_is_formatted_as_ruff_does(case: str) -> None:
    text = cdk(CASES[case])
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "100", "-"]
    assert subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout == text


def test_a_stack_has_a_name() -> None:
    with pytest.raises(UsageError, match="name of a class"):
        cdk(CASES["plain"], stack="tables stack")
