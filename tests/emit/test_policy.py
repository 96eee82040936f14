"""Policies: held against the requests that sessions really send."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lift_dynamorm import (
    GSI,
    LSI,
    TTL,
    Database,
    F,
    Key,
    Model,
    OnDemand,
    PartitionKey,
    Provisioned,
    SortKey,
    Table,
    TableSettings,
    Unique,
    UsageError,
    Version,
)
from lift_dynamorm.emit import deploy_iam, iam, policy_size, size_note
from lift_dynamorm.emit.policy import INLINE_SIZE, MANAGED_SIZE
from lift_dynamorm.keys import tenant_prefix
from lift_dynamorm.tables.specification import specifications
from lift_dynamorm.transport.local import LocalTransport
from tests.tables.models import FULL

from .linter import complaints
from .models import CASES, KEY_ARN, KEY_ID, POLICY, thing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lift_dynamorm import Session
    from lift_dynamorm.tables.specification import TableSpec
    from lift_dynamorm.transport import Payload, Transport

REGION, ACCOUNT = "eu-west-1", "111122223333"


class User(
    Model,
    table=Table("app", settings=TableSettings(capacity=Provisioned(5, 5))),
    pk="USER#{id}",
    sk="PROFILE",
    indexes=[GSI("by_team", pk="TEAM#{team}", sk="{id}"), GSI("by_city", pk=F.city), LSI("by_age", sk="{age}")],
):
    id: str
    team: str = "core"
    city: str | None = None
    age: int = 0
    email: Unique[str]
    version: Version = 0


class Visit(Model, table="visits"):
    user: PartitionKey[str]
    at: SortKey[str]
    count: int = 0
    ends: TTL = None


SPECS = specifications([User, Visit])
OTHER = specifications([thing({})])


# -- what is sent, as IAM sees it --------------------------------------------------------------------------------------


class Recorder:
    """Pass requests on, and note them."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.sent: list[tuple[str, Payload]] = []

    @property
    def blocking(self) -> Recorder:
        return self

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        self.sent.append((operation, payload))
        return await self._inner.send(operation, payload, deadline=deadline)

    async def aclose(self) -> None:
        await self._inner.aclose()


class Asked:
    """One action on one resource. keys: the values of `dynamodb:LeadingKeys`, None for a request that has none."""

    def __init__(
        self, action: str, table: str, index: str | None = None, keys: Iterable[str] | None = None, **more: str
    ) -> None:
        self.action = f"dynamodb:{action}"
        below = f"/index/{index}" if index is not None else ""
        self.resource = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}{below}"
        self.context: dict[str, Any] = {**({"dynamodb:LeadingKeys": list(keys)} if keys is not None else {}), **more}

    def __repr__(self) -> str:
        return f"{self.action} on {self.resource} {self.context}"


_ITEM_ACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}
_EQUAL = re.compile(r"(#?\w+)\s*=\s*(:\w+)")
_STATEMENTS = {"SELECT": "Select", "INSERT": "Insert", "UPDATE": "Update", "DELETE": "Delete"}


def asked(operation: str, payload: Payload, specs: Iterable[TableSpec] = SPECS) -> list[Asked]:
    """Tell what a request needs to be allowed.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
    """
    by_name = {spec.name: spec for spec in specs}

    def leading(part: Mapping[str, Any], table: str) -> list[str]:
        partition = by_name[table].keys[0][0]
        return [value for wire in [part[partition]] for value in wire.values()]

    match operation:
        case "TransactWriteItems" | "TransactGetItems":
            return [
                Asked(
                    _ITEM_ACTIONS[kind],
                    part["TableName"],
                    keys=leading(part.get("Item") or part["Key"], part["TableName"]),
                )
                for entry in payload["TransactItems"]
                for kind, part in entry.items()
            ]
        case "BatchGetItem":
            found = {
                table: [leading(key, table) for key in part["Keys"]] for table, part in payload["RequestItems"].items()
            }
            return [Asked(operation, table, keys=chain(*keys)) for table, keys in found.items()]
        case "BatchWriteItem":
            of_table = {
                table: [leading(r.get("Item") or r["Key"], table) for entry in entries for r in entry.values()]
                for table, entries in payload["RequestItems"].items()
            }
            return [Asked(operation, table, keys=chain(*keys)) for table, keys in of_table.items()]
        case "GetItem" | "PutItem" | "UpdateItem" | "DeleteItem":
            table = payload["TableName"]
            return [Asked(operation, table, keys=leading(payload.get("Item") or payload["Key"], table))]
        case "Query":
            spec, index = by_name[payload["TableName"]], payload.get("IndexName")
            indexes = {**spec.global_indexes, **spec.local_indexes}
            partition = (spec.keys if index is None else indexes[index].keys)[0][0]
            names, values = payload.get("ExpressionAttributeNames", {}), payload["ExpressionAttributeValues"]
            keys = [
                text
                for name, value in _EQUAL.findall(payload["KeyConditionExpression"])
                if names.get(name, name) == partition
                for text in values[value].values()
            ]
            assert keys, payload
            return [Asked(operation, spec.name, index, keys)]
        case "ExecuteStatement":
            verb, table = payload["Statement"].split()[0], re.findall(r'"(\w+)"', payload["Statement"])[0]
            whole = "WHERE" not in payload["Statement"]
            more = {"dynamodb:FullTableScan": str(whole).lower()} if verb == "SELECT" else {}
            return [Asked(f"PartiQL{_STATEMENTS[verb]}", table, **more)]
    if "ResourceArn" in payload:
        return [Asked(operation, payload["ResourceArn"].rpartition("/")[2])]
    table, index = payload["TableName"], payload.get("IndexName")
    made = [Asked(operation, table, index)]
    if operation == "CreateTable":  # what it takes beside itself
        made += [Asked("TagResource", table)] * ("Tags" in payload)
        made += [Asked("PutResourcePolicy", table)] * ("ResourcePolicy" in payload)
    return made


# -- what a policy allows ----------------------------------------------------------------------------------------------


def allows(policy: Mapping[str, Any], request: Asked, **tags: str) -> bool:
    """Decide as IAM does: a Deny that matches wins, and nothing is allowed that no Allow matches.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
    """
    context = {**request.context, **{f"aws:PrincipalTag/{name}": value for name, value in tags.items()}}
    effects = {
        statement["Effect"]
        for statement in policy["Statement"]
        if request.action in _listed(statement["Action"])
        and any(_like(request.resource, place, context) for place in _listed(statement["Resource"]))
        and _holds(statement.get("Condition", {}), context)
    }
    return effects == {"Allow"}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _holds(condition: Mapping[str, Mapping[str, Any]], context: Mapping[str, Any]) -> bool:
    for operator, tests in condition.items():
        for key, wanted in tests.items():
            have = context.get(key)
            match operator:
                case "Null":
                    held = (not have) == (wanted == "true")  # a key without a value is null as well
                case "ForAllValues:StringLike":
                    held = all(any(_like(value, w, context) for w in _listed(wanted)) for value in _listed(have or []))
                case "StringLike" | "StringEquals" | "Bool":
                    held = have is not None and any(_like(have, w, context) for w in _listed(wanted))
                case _:
                    raise AssertionError(f"what is {operator}?")
            if not held:
                return False
    return True


_PART = re.compile(r"\$\{([^}]*)\}|([*?])|(.)", re.DOTALL)


def _like(text: str, pattern: str, context: Mapping[str, Any]) -> bool:
    """Match a pattern of IAM; one with a variable that has no value matches nothing."""
    expression = ""
    for variable, wild, plain in _PART.findall(pattern):
        if wild:
            expression += {"*": ".*", "?": "."}[wild]
        elif not variable:
            expression += re.escape(plain)
        elif variable in ("*", "?", "$"):
            expression += re.escape(variable)
        elif variable in context:
            expression += re.escape(context[variable])
        else:
            return False
    return re.fullmatch(expression, text, re.DOTALL) is not None


def test_the_evaluator_itself() -> None:
    assert _like("@a*b#x", "@a${*}b#*", {})
    assert not _like("@axb#x", "@a${*}b#*", {})
    assert _like("x", "${tag}", {"tag": "x"})
    assert not _like("x", "${tag}*", {})
    empty = {"ForAllValues:StringLike": {"k": ["a"]}}
    assert _holds(empty, {})  # the trap: true of no values
    assert not _holds({**empty, "Null": {"k": "false"}}, {})
    assert not _like("ABC", "a*", {})


# -- every verb of a session -------------------------------------------------------------------------------------------


async def reads(session: Session) -> None:
    key = Key(User, id="1")
    await session.get(User, id="1")
    await session.find(Visit, user="1", at="x")
    await session.batch_get([key, Key(Visit, user="1", at="x")])
    await session.transact_get(key)
    await session.query(Visit).where(user="1").all()
    await session.query(User).where(team="core").all()
    await session.query(User).index("by_city").where(city="Ghent").count()
    await session.query(User).where(F.age > 3, id="1").first()
    async with session.transaction(isolation="serializable"):
        await session.get(User, id="1")


async def writes(session: Session) -> None:
    user = await session.create(User(id="1", email="a@example.com", city="Ghent"))
    await session.update(user, email="b@example.com")
    await session.update(user, team="crew")
    visit = await session.put(Visit(user="1", at="x"))
    await session.update(Visit, {"user": "2", "at": "y"}, F.count.add(1), upsert=True)
    await session.update(visit, count=3)
    async with session.transaction():
        await session.check(user)
        await session.put(Visit(user="1", at="z"))
        await session.delete(visit)
    async with session.batch() as batch:
        batch.put(Visit(user="3", at="x"))
        batch.delete(Key(Visit, user="2", at="y"))
    await session.delete(Visit, user="1", at="z")
    await session.create(User(id="2", email="c@example.com"))
    await session.delete(User, id="2")


async def scans(session: Session) -> None:
    await session.scan(Visit).all()
    await session.scan(User).rate(share=0.5).all()
    await session.scan(User).index("by_team").count()


async def statements(session: Session) -> None:
    await session.execute_statement('SELECT * FROM "visits" WHERE "user" = ?', ["1"])
    await session.execute_statement("INSERT INTO \"visits\" VALUE {'user': '9', 'at': 'p'}")
    await session.execute_statement('UPDATE "visits" SET "count" = 1 WHERE "user" = \'9\' AND "at" = \'p\'')
    await session.execute_statement('DELETE FROM "visits" WHERE "user" = \'9\' AND "at" = \'p\'')


async def recorded(*verbs: Any, tenant: str | None = None) -> list[Asked]:
    recorder = Recorder(LocalTransport())
    database = Database(transport=recorder)
    await database.tables(User, Visit).ensure()
    session = database.session(tenant)
    found: list[Asked] = []
    for verb in (writes, *(verb for verb in verbs if verb is not writes)):
        recorder.sent.clear()
        await verb(session)
        if verb in verbs:
            found += [request for sent in recorder.sent for request in asked(*sent)]
    await database.aclose()
    return found


def actions(policy: Mapping[str, Any]) -> set[str]:
    allowed = [s for s in policy["Statement"] if s["Effect"] == "Allow"]
    return {action for statement in allowed for action in _listed(statement["Action"])}


@pytest.mark.parametrize("tenant", [None, "acme", 'a*?$"#b'])
async def test_all_that_sessions_send_is_allowed_and_no_action_more(tenant: str | None) -> None:
    policy = iam(SPECS, tenant=tenant, account=ACCOUNT, region=REGION)
    sent = await recorded(reads, writes, tenant=tenant)
    assert [request for request in sent if not allows(policy, request)] == []
    assert actions(policy) == {request.action for request in sent}


@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_who_only_reads_may_only_read(tenant: str | None) -> None:
    policy = iam(SPECS, tenant=tenant, read_only=True, account=ACCOUNT, region=REGION)
    read, written = await recorded(reads, tenant=tenant), await recorded(writes, tenant=tenant)
    refused = [request for request in read if not allows(policy, request)]
    assert refused == []
    assert actions(policy) == {request.action for request in read}
    assert {r.action for r in written if allows(policy, r)} <= {"dynamodb:GetItem", "dynamodb:BatchGetItem"}


async def test_scans_are_allowed_where_asked_for() -> None:
    sent = await recorded(scans)
    without, with_ = (iam(SPECS, scan=scan, account=ACCOUNT, region=REGION) for scan in (False, True))
    assert [request for request in sent if allows(without, request)] == []
    assert [request for request in sent if not allows(with_, request)] == []
    assert actions(with_) - actions(without) == {request.action for request in sent}
    assert {r.action for r in sent} == {"dynamodb:Scan", "dynamodb:DescribeTable"}


def test_a_share_is_of_what_is_provisioned() -> None:
    limited = specifications([Visit], settings=lambda name: TableSettings(capacity=OnDemand()))
    assert "dynamodb:DescribeTable" not in actions(iam(limited, scan=True))


async def test_statements_are_allowed_where_asked_for() -> None:
    sent = await recorded(statements)
    without, with_ = (iam(SPECS, partiql=partiql, account=ACCOUNT, region=REGION) for partiql in (False, True))
    assert [request for request in sent if allows(without, request)] == []
    assert [request for request in sent if not allows(with_, request)] == []
    assert actions(with_) - actions(without) == {request.action for request in sent}
    only_read = iam(SPECS, partiql=True, read_only=True, account=ACCOUNT, region=REGION)
    assert {request.action for request in sent if allows(only_read, request)} == {"dynamodb:PartiQLSelect"}


def test_a_statement_does_not_scan_unless_scans_may() -> None:
    (whole,) = asked("ExecuteStatement", {"Statement": 'SELECT * FROM "visits"'})
    assert not allows(iam(SPECS, partiql=True, account=ACCOUNT, region=REGION), whole)
    assert allows(iam(SPECS, partiql=True, scan=True, account=ACCOUNT, region=REGION), whole)


async def test_other_tables_are_not_allowed() -> None:
    policy = iam(OTHER, account=ACCOUNT, region=REGION)
    sent = await recorded(reads, writes)
    assert [request for request in sent if allows(policy, request)] == []
    for account, region in (("999999999999", REGION), (ACCOUNT, "eu-west-2")):
        elsewhere = iam(SPECS, account=account, region=region)
        assert not any(allows(elsewhere, request) for request in sent)
    assert all(allows(iam(SPECS), request) for request in sent), "without a place, it is any"


# -- tenants -----------------------------------------------------------------------------------------------------------


async def test_other_tenants_are_not_allowed() -> None:
    ours, theirs, nobodys = [await recorded(reads, writes, tenant=tenant) for tenant in ("acme", "acme2", None)]
    for said, tags in (("acme", {}), ("${aws:PrincipalTag/tenant}", {"tenant": "acme"})):
        policy = iam(SPECS, tenant=said, account=ACCOUNT, region=REGION)
        assert [request for request in ours if not allows(policy, request, **tags)] == []
        assert [request for request in (*theirs, *nobodys) if allows(policy, request, **tags)] == []


async def test_claims_of_unique_values_lie_behind_the_tenant() -> None:
    sent = await recorded(writes, tenant="acme")
    keys = {key for request in sent for key in request.context["dynamodb:LeadingKeys"]}
    assert any(key.startswith("@acme#@#User.email#") for key in keys)


async def test_without_a_tag_or_with_an_empty_one_nothing_is_allowed() -> None:
    policy = iam(SPECS, tenant="${aws:PrincipalTag/tenant}", account=ACCOUNT, region=REGION)
    sent = [*await recorded(reads, writes), *await recorded(reads, writes, tenant="acme")]
    assert any(key.startswith("@#") for request in sent for key in request.context["dynamodb:LeadingKeys"])
    assert [request for request in sent if allows(policy, request)] == []
    assert [request for request in sent if allows(policy, request, tenant="")] == []


def test_a_request_without_keys_is_not_allowed() -> None:
    policy = iam(SPECS, tenant="acme", account=ACCOUNT, region=REGION)
    assert not any(allows(policy, Asked(action, "app")) for action in ("Query", "GetItem", "Scan"))


def test_one_foreign_key_among_ours_is_one_too_many() -> None:
    policy = iam(SPECS, tenant="acme", account=ACCOUNT, region=REGION)
    assert allows(policy, Asked("BatchGetItem", "app", keys=["@acme#USER#1", "@acme#USER#2"]))
    assert not allows(policy, Asked("BatchGetItem", "app", keys=["@acme#USER#1", "@other#USER#2"]))


TENANTS = st.text('ab*?$#"{}@:', min_size=1, max_size=6).filter(lambda tenant: "${" not in tenant)


@example(ours="?", theirs="a", key="")
@example(ours="*", theirs="a", key="")
@example(ours="a", theirs="a#b", key="")
@given(ours=TENANTS, theirs=TENANTS, key=st.text('ab*?$#"@', max_size=6))
def test_no_tenant_is_taken_for_another(ours: str, theirs: str, key: str) -> None:
    policy = iam(SPECS, tenant=ours, account=ACCOUNT, region=REGION)
    request = Asked("GetItem", "app", keys=[tenant_prefix(theirs) + key])
    assert allows(policy, request) == (ours == theirs)


@pytest.mark.parametrize(
    "tenant", ["${aws:PrincipalTag/tenant}x", "${aws:RequestTag/tenant}", "${*}", "a${", "${aws:sub}"]
)
def test_what_could_hold_two_tenants_is_refused(tenant: str) -> None:
    with pytest.raises(UsageError, match="write a tenant's id, or nothing but"):
        iam(SPECS, tenant=tenant)


def test_what_no_condition_holds_is_refused_with_a_tenant() -> None:
    with pytest.raises(UsageError, match="a scan reads across tenants"):
        iam(SPECS, tenant="acme", scan=True)
    with pytest.raises(UsageError, match="a statement reads across tenants"):
        iam(SPECS, tenant="acme", partiql=True)
    with pytest.raises(UsageError, match="not empty"):
        iam(SPECS, tenant="")


def test_a_partition_key_that_cannot_carry_a_tenant_is_refused() -> None:
    class Counter(Model, table="counters"):
        number: PartitionKey[int]

    class Reading(Model, table="readings", indexes=[GSI("by_value", pk=F.value)]):
        device: PartitionKey[str]
        at: SortKey[int]
        value: int

    for model, name in ((Counter, "number"), (Reading, "value")):
        with pytest.raises(UsageError, match=f"'{name}' of table '.*' is of type N and cannot carry a tenant"):
            iam(specifications([model]), tenant="acme")

    class Log(Model, table="logs"):
        device: PartitionKey[str]
        at: SortKey[int]

    assert iam(specifications([Log]), tenant="acme")  # a sort key carries none


# -- tables ------------------------------------------------------------------------------------------------------------


async def deploying(*settings: dict[str, Any]) -> list[Asked]:
    """Make a table, change its settings again and again, and look at it."""
    recorder = Recorder(LocalTransport())
    made = Database(transport=recorder)
    for said in settings:
        await made.tables(thing(said)).apply()
    await made.tables(thing({})).describe()
    await made.aclose()
    return [request for sent in recorder.sent for request in asked(*sent, OTHER)]


async def test_a_deployment_may_do_what_it_does_and_no_action_more() -> None:
    settings = {**FULL, "encryption": KEY_ARN, "resource_policy": POLICY}
    sent = await deploying({"tags": {"old": "1"}}, settings, {**settings, "resource_policy": {}})
    policy = deploy_iam(CASES["full"], account=ACCOUNT, region=REGION)
    assert [request for request in sent if not allows(policy, request)] == []
    assert {a for a in actions(policy) if a.startswith("dynamodb:")} == {request.action for request in sent}
    data = iam(CASES["full"], scan=True, account=ACCOUNT, region=REGION)
    assert {r.action for r in sent if allows(data, r)} == {"dynamodb:DescribeTable"}


async def test_a_deployment_reads_and_deletes_nothing() -> None:
    policy = deploy_iam(SPECS, account=ACCOUNT, region=REGION)
    assert [r for r in await recorded(reads, writes) if allows(policy, r)] == []
    assert not allows(policy, Asked("DeleteTable", "app"))
    assert allows(deploy_iam(SPECS, delete=True, account=ACCOUNT, region=REGION), Asked("DeleteTable", "app"))


def test_a_deployment_reaches_beyond_the_tables_only_where_it_must() -> None:
    assert {a.split(":")[0] for a in actions(deploy_iam(CASES["nothing"]))} == {"dynamodb"}
    assert not any("ResourcePolicy" in action for action in actions(deploy_iam(CASES["nothing"])))
    assert "dynamodb:DeleteResourcePolicy" in actions(deploy_iam(CASES["no_policy"]))
    assert "iam:CreateServiceLinkedRole" in actions(deploy_iam(CASES["watched"]))
    assert "kms:CreateGrant" in actions(deploy_iam(CASES["key_by_arn"]))


def test_a_key_of_the_customer_is_used_through_dynamodb() -> None:
    (*_, by_arn) = iam(CASES["key_by_arn"], region=REGION)["Statement"]
    assert by_arn == {
        "Sid": "Keys",
        "Effect": "Allow",
        "Action": ["kms:Decrypt"],
        "Resource": [KEY_ARN],
        "Condition": {"StringLike": {"kms:ViaService": f"dynamodb.{REGION}.amazonaws.com"}},
    }
    (*_, by_id) = iam(CASES["key_by_id"], region=REGION, account=ACCOUNT)["Statement"]
    assert by_id["Resource"] == [f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY_ID}"]
    for case in ("key_of_dynamodb", "key_of_the_account"):
        assert {a.split(":")[0] for a in actions(iam(CASES[case]))} == {"dynamodb"}


# -- as IAM takes it ---------------------------------------------------------------------------------------------------

POLICIES = {
    "plain": iam(SPECS),
    "tenant": iam(SPECS, tenant="${aws:PrincipalTag/tenant}"),
    "all": iam(CASES["full"], scan=True, partiql=True),
    "keys": iam(CASES["key_by_id"]),
    "deploy": deploy_iam((*CASES["full"], *CASES["key_by_id"]), delete=True),
    "deploy_plain": deploy_iam(SPECS),
}


def faults(policy: Mapping[str, Any]) -> list[str]:
    properties = {"PolicyDocument": policy, "ManagedPolicyName": "policy"}
    resource = {"Type": "AWS::IAM::ManagedPolicy", "Properties": properties}
    return complaints({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Policy": resource}})


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_has_no_faults(name: str) -> None:
    assert faults(POLICIES[name]) == []


def test_the_linter_knows_the_actions() -> None:
    assert faults({"Version": "2012-10-17", "Statement": [{**iam(SPECS)["Statement"][0], "Action": "dynamodb:Qery"}]})


def test_a_policy_that_is_too_long_says_so() -> None:
    def of(count: int) -> tuple[TableSpec, ...]:
        return tuple(spec for n in range(count) for spec in specifications([thing({}, f"things-{n:03}")]))

    assert size_note(iam(of(3))) is None
    long = iam(of(21))
    assert MANAGED_SIZE < policy_size(long) <= INLINE_SIZE
    assert "too long for a managed policy (6,144)" in str(size_note(long))
    with pytest.raises(UsageError, match="a role holds 10,240 of inline policies"):
        iam(of(40))


def test_white_space_does_not_count() -> None:
    assert policy_size({"a": [1, 2]}) == len('{"a":[1,2]}')
