"""CloudFormation templates: what AWS's linter says of them, and what comes of them."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lift_dynamorm import Database, OnDemand, Provisioned, RequestRefused, TableSettings, UsageError
from lift_dynamorm.emit import as_json, as_yaml, cloudformation, terraform
from lift_dynamorm.emit.template import logical_ids, table_properties
from lift_dynamorm.tables.specification import specifications
from tests.conftest import unique_tables
from tests.tables.models import FULL, LACKING, LOWEST
from tests.wire import check

from .linter import complaints
from .models import CASES, KEY_ARN, POLICY, SETTINGS, specs, thing

if TYPE_CHECKING:
    from lift_dynamorm.transport.retry import RetryTransport
    from tests.conftest import Engines

Payload = dict[str, Any]


# -- what the linter says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_a_template_has_no_faults(case: str) -> None:
    assert complaints(cloudformation(CASES[case])) == []


def test_the_linter_finds_faults() -> None:
    template = cloudformation(CASES["full"])
    properties = template["Resources"]["ThingsTable"]["Properties"]
    del properties["ProvisionedThroughput"]
    properties["StreamSpecification"]["StreamEnabled"] = True
    assert len(complaints(template)) >= 2


DRAWN = st.fixed_dictionaries(
    {},
    optional={
        "capacity": st.one_of(
            st.builds(OnDemand, st.none() | st.integers(1, 40_000), st.none() | st.integers(1, 40_000)),
            st.builds(Provisioned, st.integers(1, 40_000), st.integers(1, 40_000)),
        ),
        "table_class": st.sampled_from(["STANDARD", "STANDARD_INFREQUENT_ACCESS"]),
        "stream": st.sampled_from([False, "KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]),
        "point_in_time_recovery": st.booleans() | st.integers(1, 35),
        "encryption": st.sampled_from(["AWS_OWNED", "AWS_MANAGED", KEY_ARN]),
        "deletion_protection": st.booleans(),
        "tags": st.dictionaries(st.text("abc:/+ü", min_size=1, max_size=9), st.text("xyz $@.", max_size=9), max_size=3),
        "contributor_insights": st.booleans(),
        "resource_policy": st.sampled_from([{}, POLICY]),
    },
)


@settings(max_examples=12)
@given(said=DRAWN)
def test_whatever_the_settings_are(said: dict[str, Any]) -> None:
    assert complaints(cloudformation(specs(thing(said)))) == []


def test_every_setting_shows() -> None:
    """A setting that is new cannot be forgotten."""
    for setting in dataclasses.fields(TableSettings):
        said, other = {"capacity": Provisioned(5, 6)}, {"capacity": Provisioned(5, 6)}
        if setting.name == "index_capacity":
            said["index_capacity"] = {"by_a": Provisioned(1, 1)}  # type: ignore[assignment]
        else:
            said[setting.name], other[setting.name] = FULL[setting.name], LOWEST[setting.name]
        for emit in (cloudformation, terraform):
            assert emit(specs(thing(said))) != emit(specs(thing(other))), setting.name


def test_what_is_said_shows() -> None:
    """Apart from what is DynamoDB's default in any case, which leaves nothing to say."""
    texts = {case: as_json(cloudformation(CASES[case])) for case in SETTINGS}
    unsaid = {"on_demand", "no_stream", "no_tags", "no_policy"}
    assert {case for case in SETTINGS if texts[case] == texts["nothing"]} == {"nothing", *unsaid}
    assert len(set(texts.values())) == len(texts) - len(unsaid)


# -- names -------------------------------------------------------------------------------------------------------------


@given(names=st.lists(st.from_regex(r"[a-zA-Z0-9_.-]{3,40}", fullmatch=True), unique=True, min_size=1))
def test_the_names_of_resources_are_unique_and_plain(names: list[str]) -> None:
    ids = logical_ids(names)
    assert list(ids) == names
    assert len(set(ids.values())) == len(names)
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9]{0,254}", made) for made in ids.values())


def test_the_names_of_resources_are_those_of_the_tables() -> None:
    assert logical_ids(["users", "app-production", "OrdersTable"]) == {
        "users": "UsersTable",
        "app-production": "AppProductionTable",
        "OrdersTable": "OrdersTable",
    }


def test_no_table_is_lost_to_the_name_of_another() -> None:
    assert len(cloudformation(CASES["several"])["Resources"]) == len(CASES["several"]) == 6


def test_a_table_keeps_its_resource_when_another_joins_behind_it() -> None:
    first = logical_ids(["app-x", "app_x"])
    assert logical_ids(["app-x", "app_x", "app.x"]).items() >= first.items()


# -- what is chosen ----------------------------------------------------------------------------------------------------


def test_data_outlives_the_stack_unless_it_need_not() -> None:
    kept = cloudformation(CASES["plain"])["Resources"]["ThingsTable"]
    assert (kept["DeletionPolicy"], kept["UpdateReplacePolicy"]) == ("Retain", "Retain")
    gone = cloudformation(CASES["plain"], retain=False)["Resources"]["ThingsTable"]
    assert (gone["DeletionPolicy"], gone["UpdateReplacePolicy"]) == ("Delete", "Delete")


def test_cloudformation_may_name_the_tables() -> None:
    properties = cloudformation(CASES["plain"], name_tables=False)["Resources"]["ThingsTable"]["Properties"]
    assert "TableName" not in properties
    assert {**properties, "TableName": "things"} == table_properties(CASES["plain"][0])


def test_outputs() -> None:
    assert list(cloudformation(CASES["full"])["Outputs"]) == [
        "ThingsTableName",
        "ThingsTableArn",
        "ThingsTableStreamArn",
    ]
    assert list(cloudformation(CASES["plain"])["Outputs"]) == ["ThingsTableName", "ThingsTableArn"]


def test_without_tables_there_is_nothing_to_emit() -> None:
    with pytest.raises(UsageError, match="give the models"):
        cloudformation([])


# -- as text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_text_reads_back(case: str) -> None:
    import yaml  # type: ignore[import-untyped]  # its types are a package of their own

    template = cloudformation(CASES[case])
    assert json.loads(as_json(template)) == template
    text = as_yaml(template)
    assert yaml.safe_load(text) == template
    assert not re.search(r"[&*]id\d", text), "CloudFormation has no anchors"
    assert list(yaml.safe_load(text)) == list(template)


def test_yaml_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(UsageError, match=r"pip install 'lift-dynamorm\[cli\]'"):
        as_yaml({})


# -- what comes of it --------------------------------------------------------------------------------------------------


def calls(properties: Payload) -> list[tuple[str, Payload]]:
    """The calls that CloudFormation makes of the properties of an AWS::DynamoDB::Table."""
    made = json.loads(json.dumps(properties))
    name = {"TableName": made["TableName"]}
    insights = {"": made.pop("ContributorInsightsSpecification", None)}
    for index in made.get("GlobalSecondaryIndexes", ()):
        insights[index["IndexName"]] = index.pop("ContributorInsightsSpecification", None)
    time_to_live = made.pop("TimeToLiveSpecification", None)
    recovery = made.pop("PointInTimeRecoverySpecification", None)
    if "StreamSpecification" in made:
        made["StreamSpecification"]["StreamEnabled"] = True
    if "SSESpecification" in made:
        made["SSESpecification"]["Enabled"] = made["SSESpecification"].pop("SSEEnabled")
    if "ResourcePolicy" in made:
        made["ResourcePolicy"] = json.dumps(made["ResourcePolicy"]["PolicyDocument"])
    more = [
        ("UpdateContributorInsights", {"IndexName": index} if index else {}, watched["Enabled"])
        for index, watched in insights.items()
        if watched is not None
    ]
    sent = [("CreateTable", made)]
    if time_to_live is not None:
        sent.append(("UpdateTimeToLive", {**name, "TimeToLiveSpecification": time_to_live}))
    if recovery is not None:
        sent.append(("UpdateContinuousBackups", {**name, "PointInTimeRecoverySpecification": recovery}))
    for operation, of_index, on in more:
        sent.append((operation, {**name, **of_index, "ContributorInsightsAction": "ENABLE" if on else "DISABLE"}))
    return sent


async def deploy(transport: RetryTransport, properties: Payload) -> None:
    for operation, payload in calls(properties):
        await transport.send(operation, payload)
        while (await transport.send("DescribeTable", {"TableName": payload["TableName"]}))["Table"][
            "TableStatus"
        ] != "ACTIVE":
            await transport.sleep(0.05)


@pytest.mark.parametrize("case", CASES)
def test_a_template_asks_for_what_create_table_asks_for(case: str) -> None:
    for spec in CASES[case]:
        operation, made = calls(table_properties(spec))[0]
        if made.get("SSESpecification") == {"Enabled": False}:  # the default, said
            del made["SSESpecification"]
        wanted = spec.request()
        for request in (made, wanted):
            check(operation, request)
            if "ResourcePolicy" in request:
                request["ResourcePolicy"] = json.loads(request["ResourcePolicy"])
        assert made == wanted


_OWN = re.compile(r"TableName|TableId|.*Arn|.*DateTime|LatestStreamLabel|RevisionId|.*Timestamp|ItemCount|.*SizeBytes")
"""What is each table's own."""


def alike(answer: Any, name: str) -> Any:
    """Take out of an answer what is the table's own, and put lists in order."""
    match answer:
        case dict():
            off = {"SSEDescription"} if answer.get("SSEDescription", {}).get("Status") == "DISABLED" else set()
            own = {key for key in answer if _OWN.fullmatch(key)}
            return {key: alike(value, name) for key, value in answer.items() if key not in own | off}
        case list() if answer and isinstance(answer[0], dict) and "KeyType" not in answer[0]:
            return sorted((alike(part, name) for part in answer), key=lambda part: json.dumps(part, sort_keys=True))
        case str():
            return answer.replace(name, "NAME")
    return answer


async def told(transport: RetryTransport, name: str, indexes: list[str]) -> Payload:
    """Everything that DynamoDB tells of a table; an operation that an engine lacks tells its refusal."""
    arn = (await transport.send("DescribeTable", {"TableName": name}))["Table"]["TableArn"]
    found: Payload = {}
    for operation, payload in (
        *((operation, {"TableName": name}) for operation in ("DescribeTable", "DescribeTimeToLive")),
        ("DescribeContinuousBackups", {"TableName": name}),
        ("DescribeContributorInsights", {"TableName": name}),
        *(("DescribeContributorInsights", {"TableName": name, "IndexName": index}) for index in indexes),
        ("ListTagsOfResource", {"ResourceArn": arn}),
        ("GetResourcePolicy", {"ResourceArn": arn}),
    ):
        try:
            answer = await transport.send(operation, payload)
        except RequestRefused as error:
            answer = {"refused": error.code}
        if "Policy" in answer:
            answer = {"Policy": json.loads(answer["Policy"])}
        found[f"{operation} {payload.get('IndexName', '')}"] = alike(answer, name)
    return found


def unlike(made: Payload, wanted: Payload) -> Payload:
    return {name: (made[name], wanted[name]) for name in wanted if made[name] != wanted[name]}


CANNOT = {
    "embedded": {"recovery_of_a_week", "policy", "full"},  # no days, and no policy in a CreateTable
    "dynoxide": {"on_demand_to_read", "on_demand_by_index"},  # does not tell the limits of an index
}
ON_ENGINES = [
    (engine, case)
    for engine in CANNOT
    for case, said in SETTINGS.items()
    if case not in CANNOT[engine] and (not said or said.keys() - LACKING[engine])  # else it is the one of no settings
]


@pytest.mark.parametrize(("engine", "case"), ON_ENGINES)
async def test_a_table_of_a_template_is_the_one_that_ensure_makes(engine: str, case: str, engines: Engines) -> None:
    said = {name: value for name, value in SETTINGS[case].items() if name not in LACKING[engine]}
    thing_ = thing(said)
    by_template, by_ensure = (
        Database(transport=engines.transport(engine), table_names=unique_tables()) for _ in range(2)
    )
    (spec,) = specifications([thing_], by_template.table_name)
    await deploy(by_template.transport, table_properties(spec))
    await by_ensure.tables(thing_).ensure()
    assert await by_template.tables(thing_).plan() == await by_ensure.tables(thing_).plan()
    assert not await by_template.tables(thing_).plan()
    indexes = list(spec.global_indexes)
    made = await told(by_template.transport, spec.name, indexes)
    wanted = await told(by_ensure.transport, by_ensure.table_name("things"), indexes)
    assert unlike(made, wanted) == {}
    assert made["DescribeTimeToLive "]["TimeToLiveDescription"]["AttributeName"] == "ends"
