"""IAM policies for what reads and writes the tables, and for what makes and changes them.

Actions and their conditions are those of
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html. A transaction is allowed
by the actions on the items in it, there is none of its own:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from lift_dynamorm.emit.template import checked
from lift_dynamorm.errors import UsageError
from lift_dynamorm.keys import SEPARATOR, TENANT_MARK, tenant_prefix
from lift_dynamorm.table import AWS_MANAGED, AWS_OWNED, OnDemand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lift_dynamorm.tables.specification import TableSpec

    Place = Callable[[TableSpec, str | None], Any]
    """The ARN of a table, or of one of its indexes."""

Payload = dict[str, Any]

MANAGED_SIZE = 6_144
INLINE_SIZE = 10_240
"""The most characters of a managed policy, and of all inline policies of a role together; white space is not counted.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
"""

ITEM_READS = ("BatchGetItem", "GetItem")
ITEM_WRITES = ("BatchWriteItem", "ConditionCheckItem", "DeleteItem", "PutItem", "UpdateItem")
STATEMENT_READS = ("PartiQLSelect",)
STATEMENT_WRITES = ("PartiQLDelete", "PartiQLInsert", "PartiQLUpdate")
TABLE_CHANGES = (
    "CreateTable",
    "DescribeContinuousBackups",
    "DescribeTable",
    "DescribeTimeToLive",
    "ListTagsOfResource",
    "TagResource",
    "UntagResource",
    "UpdateContinuousBackups",
    "UpdateTable",
    "UpdateTimeToLive",
)
INSIGHTS_CHANGES = ("DescribeContributorInsights", "UpdateContributorInsights")
POLICY_CHANGES = ("DeleteResourcePolicy", "GetResourcePolicy", "PutResourcePolicy")
KEY_USE = ("Decrypt",)
KEY_CHANGES = ("CreateGrant", "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey*", "ReEncrypt*")

_VARIABLE = re.compile(
    r"\$\{(aws:PrincipalTag/[\w .:/=+@-]+|aws:userid|aws:username|cognito-identity\.amazonaws\.com:sub)\}\Z"
)
"""The policy variables whose values hold neither ``#`` nor ``"``, so that a tenant's key begins with just the value."""

_PLACES = {
    "account": re.compile(r"[0-9]{12}|\*"),
    "region": re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}|(?=.*[*?])[a-z0-9*?-]+"),
    "partition": re.compile(r"aws(-[a-z]+)*"),
}
_FILLED_IN = re.compile(r"\$\{[^{}]+\}")

_INSIGHTS = "contributorinsights.dynamodb.amazonaws.com"


def iam(
    specs: Iterable[TableSpec],
    *,
    tenant: str | None = None,
    read_only: bool = False,
    scan: bool = False,
    partiql: bool = False,
    account: str = "*",
    region: str = "*",
    partition: str = "aws",
) -> Payload:
    """Make the policy of a program that uses these tables through sessions: what these send, and nothing else.

    tenant: whose items alone; a tenant's id, or a variable for it: ``${aws:PrincipalTag/tenant}``. A scan or a
    statement cannot be held to a tenant, and is refused with one.
    scan, partiql: also scans, and `execute_statement`, which then may not read a whole table unless scans may.
    Raises UsageError past what the inline policies of a role can take; see also `size_note`.
    """
    specs = checked(specs)
    _check_place(account=account, region=region, partition=partition)
    place = _place(account=account, region=region, partition=partition)
    said = statements(specs, place, tenant=tenant, read_only=read_only, scan=scan, partiql=partiql)
    return _policy([*said, *key_statements(specs, KEY_USE, account=account, region=region, partition=partition)])


def deploy_iam(
    specs: Iterable[TableSpec],
    *,
    delete: bool = False,
    account: str = "*",
    region: str = "*",
    partition: str = "aws",
) -> Payload:
    """Make the policy of who creates these tables and changes their settings; it reads and writes no item.

    What reaches beyond the tables is allowed only where their settings need it: to let others in (a resource policy),
    to use a key, to have DynamoDB watch contributors. delete: also tables.
    """
    specs = checked(specs)
    _check_place(account=account, region=region, partition=partition)
    place = _place(account=account, region=region, partition=partition)
    tables, indexes = _tables(specs, place), _indexes(specs, place)
    said = [
        _allow("Tables", (*TABLE_CHANGES, *(("DeleteTable",) if delete else ())), tables),
        _allow("Insights", INSIGHTS_CHANGES, [*tables, *indexes]),
    ]
    with_policy = [spec for spec in specs if spec.settings.resource_policy is not None]
    if with_policy:
        said.append(_allow("Policies", POLICY_CHANGES, _tables(with_policy, place)))
    said += key_statements(specs, KEY_CHANGES, account=account, region=region, partition=partition)
    if any(spec.settings.contributor_insights for spec in specs):
        role = f"arn:{partition}:iam::{account}:role/aws-service-role/{_INSIGHTS}/*"
        watch = {"Sid": "Watch", "Effect": "Allow", "Action": "iam:CreateServiceLinkedRole", "Resource": role}
        said.append({**watch, "Condition": {"StringEquals": {"iam:AWSServiceName": _INSIGHTS}}})
    return _policy(said)


def statements(
    specs: Sequence[TableSpec],
    place: Place,
    *,
    tenant: str | None = None,
    read_only: bool = False,
    scan: bool = False,
    partiql: bool = False,
) -> list[Payload]:
    """Write the statements of `iam` on the tables and indexes that `place` names."""
    if tenant is not None:
        _check_tenant(specs, scan=scan, partiql=partiql)
    held = _of_tenant(tenant) if tenant is not None else {}
    tables = _tables(specs, place)
    places = [arn for spec in specs for arn in (*_tables([spec], place), *_indexes([spec], place))]
    said = [
        _allow("Items", ITEM_READS if read_only else (*ITEM_READS, *ITEM_WRITES), tables, held),
        _allow("Queries", ("Query", "Scan") if scan else ("Query",), places, held),
    ]
    shared = [spec for spec in specs if not isinstance(spec.settings.capacity, OnDemand)]
    if scan and shared:  # a share of the provisioned units: the scan asks how many there are
        said.append(_allow("Capacity", ("DescribeTable",), _tables(shared, place)))
    if partiql:
        said.append(_allow("Statements", STATEMENT_READS, places))
        if not read_only:
            said.append(_allow("StatementWrites", STATEMENT_WRITES, tables))
        if not scan:
            whole = {"Bool": {"dynamodb:FullTableScan": "true"}}
            said.append({**_allow("NoScans", STATEMENT_READS, places, whole), "Effect": "Deny"})
    return said


def policy_size(policy: Mapping[str, Any]) -> int:
    """Count the characters of a policy as IAM does, without the white space between its parts."""
    return len(json.dumps(policy, separators=(",", ":"), ensure_ascii=False))


def size_note(policy: Mapping[str, Any]) -> str | None:
    """Say where a policy cannot be attached; None where it can be both managed and inline."""
    size = policy_size(policy)
    if size <= MANAGED_SIZE:
        return None
    return (
        f"the policy takes {size:,} characters: too long for a managed policy ({MANAGED_SIZE:,}); put it into the role "
        f"as an inline policy ({INLINE_SIZE:,} for all of them), or emit one for some of the models at a time"
    )


# -- parts -------------------------------------------------------------------------------------------------------------


def _policy(said: list[Payload]) -> Payload:
    policy = {"Version": "2012-10-17", "Statement": said}
    size = policy_size(policy)
    if size > INLINE_SIZE:
        raise UsageError(
            f"the policy takes {size:,} characters, and a role holds {INLINE_SIZE:,} of inline policies; emit one for "
            f"some of the models at a time, each a managed policy of at most {MANAGED_SIZE:,}"
        )
    return policy


def _allow(
    sid: str, actions: Iterable[str], places: Sequence[Any], condition: Mapping[str, Any] | None = None
) -> Payload:
    said: Payload = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": sorted(f"dynamodb:{action}" for action in actions),
        "Resource": list(places),
    }
    if condition:
        said["Condition"] = dict(condition)
    return said


def _check_place(*, account: str, region: str, partition: str) -> None:
    for name, value, form in (
        ("account", account, "12 digits, or *"),
        ("region", region, "as in eu-west-1, or a pattern of them, eu-*"),
        ("partition", partition, "as in aws, aws-cn, aws-us-gov"),
    ):
        if not _PLACES[name].fullmatch(value) and not _FILLED_IN.fullmatch(value):
            raise UsageError(f"{name}={value!r}: write it {form}, or ${{...}} for what another tool fills in")


def _place(*, account: str, region: str, partition: str) -> Place:
    def place(spec: TableSpec, index: str | None) -> str:
        table = f"arn:{partition}:dynamodb:{region}:{account}:table/{spec.name}"
        return table if index is None else f"{table}/index/{index}"

    return place


def _tables(specs: Iterable[TableSpec], place: Place) -> list[Any]:
    return [place(spec, None) for spec in specs]


def _indexes(specs: Iterable[TableSpec], place: Place) -> list[Any]:
    return [place(spec, name) for spec in specs for name in (*spec.global_indexes, *spec.local_indexes)]


# -- tenants -----------------------------------------------------------------------------------------------------------


def _check_tenant(specs: Sequence[TableSpec], *, scan: bool, partiql: bool) -> None:
    if scan or partiql:
        raise UsageError(
            f"a {'scan' if scan else 'statement'} reads across tenants, and no condition holds it to one; emit a "
            "policy without tenant for what needs it, on a role of its own"
        )
    for spec in specs:
        for keys in (spec.keys, *(index.keys for index in spec.global_indexes.values())):
            first, _ = keys[0]
            if spec.types[first] != "S":
                raise UsageError(
                    f"the partition key {first!r} of table {spec.name!r} is of type {spec.types[first]} and cannot "
                    "carry a tenant; use a key template, or a table per tenant"
                )


def _of_tenant(tenant: str) -> Payload:
    """Hold every key of a request to those of a tenant.

    ForAllValues is true of a request without keys, so that there are keys is a condition of its own.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
    """
    if not tenant:
        raise UsageError("a tenant's id is not empty; leave tenant= out for a policy without tenants")
    variable = _VARIABLE.match(tenant)
    begins = f"{TENANT_MARK}{tenant}{SEPARATOR}" if variable else _literal(tenant_prefix(tenant))
    condition: Payload = {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": [f"{begins}*"]},
        "Null": {"dynamodb:LeadingKeys": "false"},
    }
    if variable:  # a tag may be empty, and "@#" stands before keys that are no tenant's
        condition["StringLike"] = {variable[1]: "?*"}
    elif "${" in tenant:
        raise UsageError(
            f"tenant={tenant!r}: write a tenant's id, or nothing but ${{aws:PrincipalTag/...}}, ${{aws:username}}, "
            "${aws:userid} or ${cognito-identity.amazonaws.com:sub}: other variables may hold a #, which ends a tenant"
        )
    return condition


def _literal(text: str) -> str:
    """Write a text so that a pattern of IAM means just that.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars
    """
    return re.sub(r"[*?$]", lambda found: f"${{{found[0]}}}", text)


# -- keys --------------------------------------------------------------------------------------------------------------


def key_statements(
    specs: Sequence[TableSpec], actions: Sequence[str], *, account: str, region: str, partition: str
) -> list[Payload]:
    """Allow the use of the customers' keys that encrypt the tables, through DynamoDB only.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
    """
    given = {spec.settings.encryption or AWS_OWNED for spec in specs} - {AWS_OWNED, AWS_MANAGED}
    if not given:
        return []
    here = f"arn:{partition}:kms:{region}:{account}:key/"
    return [
        {
            "Sid": "Keys",
            "Effect": "Allow",
            "Action": [f"kms:{action}" for action in actions],
            "Resource": sorted(key if key.startswith("arn:") else here + key for key in given),
            "Condition": {"StringLike": {"kms:ViaService": f"dynamodb.{region}.amazonaws.com"}},
        }
    ]
