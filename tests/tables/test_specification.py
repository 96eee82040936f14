"""What a table should be: the models that share it, merged, and their conflicts refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from lift_dynamorm import (
    GSI,
    LSI,
    TTL,
    Database,
    DefinitionError,
    F,
    Model,
    OnDemand,
    PartitionKey,
    Provisioned,
    SortKey,
    Table,
    TableSettings,
)
from lift_dynamorm.model import schema_of
from lift_dynamorm.tables import specifications

from .models import FULL, model


def test_models_that_share_a_table_are_one() -> None:
    one = model("One", indexes=(GSI("by_a", pk=F.a), GSI("by_b", pk=F.b)))
    two = model("Two", indexes=(GSI("by_b", pk=F.b), GSI("by_n", pk=F.n)), ends=(TTL, None))
    (spec,) = specifications([one, two, one])
    assert spec.models == ("One", "Two")
    assert list(spec.global_indexes) == ["by_a", "by_b", "by_n"]
    assert spec.time_to_live == "ends"
    assert dict(spec.types) == {"pk": "S", "sk": "S", "a": "S", "b": "S", "n": "N"}


def test_tables_in_the_order_of_their_models() -> None:
    specs = specifications([model("A", table="one"), model("B", table="two"), model("C", table="one")], str.upper)
    assert [(spec.name, spec.models) for spec in specs] == [("ONE", ("A", "C")), ("TWO", ("B",))]


class Plain(Model, table="things"):
    id: PartitionKey[str]


class Unsorted(Model, table=Table("things", pk="pk"), pk="U#{id}"):
    id: str


class Numbered(Model, table="plain"):
    id: PartitionKey[str]
    sk: SortKey[int]


class Lettered(Model, table="plain"):
    id: PartitionKey[str]
    sk: SortKey[str]


def settled(name: str, **said: Any) -> type[Model]:
    return model(name, settings=TableSettings(**said))


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([model("One"), Plain], ["One and Plain share the table 'things'", "names of its key: pk, sk and id"]),
        ([model("One"), Unsorted], ["One and Unsorted", "pk, sk and pk"]),
        ([Numbered, Lettered], ["Lettered: the key 'sk' of table 'plain' has two types, N and S"]),
        (
            [model("One", indexes=(GSI("by_x", pk=F.a),)), model("Two", indexes=(GSI("by_x", pk=F.b),))],
            ["One and Two declare the index 'by_x'", "global on a (all), and global on b (all)"],
        ),
        (
            [
                model("One", indexes=(GSI("by_x", pk=F.a),)),
                model("Two", indexes=(GSI("by_x", pk=F.a, projection=["b"]),)),
            ],
            ["differently: global on a (all), and global on a (b)"],
        ),
        (
            [model("One", indexes=(LSI("by_x", sk=F.a),)), model("Two", indexes=(GSI("by_x", pk=F.a),))],
            ["local on pk, a (all), and global on a (all)"],
        ),
        (
            [model("One", ends=(TTL, None)), model("Two", expires=(TTL, None))],
            ["One and Two share the table 'things'", "'ends' and 'expires'", "give both the same name"],
        ),
        (
            [settled("One", stream="NEW_IMAGE"), model("Between"), settled("Two", stream="KEYS_ONLY")],
            ["One and Two share a table, but not its stream: 'NEW_IMAGE' and 'KEYS_ONLY'; say it once"],
        ),
        (
            [settled("One", stream="NEW_IMAGE"), settled("Two", stream=False)],
            ["One and Two share a table, but not its stream"],
        ),
        ([settled("One", tags={"a": "b"}), settled("Two", tags={})], ["not its tags"]),
        (
            [settled("One", capacity=OnDemand(), index_capacity={"nope": OnDemand()})],
            ["index_capacity of table 'things' names no global index of it: nope"],
        ),
        (
            [
                model("One", indexes=tuple(GSI(f"one{n}", pk=F.a) for n in range(15))),
                model("Two", indexes=tuple(GSI(f"two{n}", pk=F.a) for n in range(6))),
            ],
            ["the models of table 'things' have 21 global indexes; DynamoDB allows 20"],
        ),
    ],
)
def test_conflicts_are_refused_by_name(models: list[type[Model]], words: list[str]) -> None:
    with pytest.raises(DefinitionError) as caught:
        specifications(models)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"point_in_time_recovery": 36}, "point_in_time_recovery=36: give the days to keep, from 1 to 35"),
        ({"point_in_time_recovery": 0}, "from 1 to 35"),
        ({"stream": "ALL"}, "stream='ALL': give KEYS_ONLY"),
        ({"stream": True}, "stream=True: give KEYS_ONLY"),
        ({"table_class": "COLD"}, "table_class='COLD': give STANDARD"),
        ({"encryption": ""}, "encryption=''"),
        ({"encryption": "alias/mine"}, "an alias cannot be compared"),
        ({"tags": {f"{n}": "" for n in range(51)}}, "51 tags; DynamoDB allows 50"),
        ({"tags": {"aws:x": "1"}}, "does not begin with aws:"),
        ({"tags": {"": "1"}}, "a key has 1 to 128 characters"),
        ({"tags": {"a": "x" * 257}}, "a value at most 256"),
        ({"index_capacity": {"by_a": OnDemand()}}, "index_capacity goes with capacity"),
        ({"capacity": OnDemand(), "index_capacity": {"by_a": Provisioned(1, 1)}}, "all Provisioned or all OnDemand"),
    ],
)
def test_settings_that_cannot_be(said: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        TableSettings(**said)
    assert words in str(caught.value)


@pytest.mark.parametrize("units", [0, -1, 1.5, True, "5"])
def test_units_are_whole_numbers(units: Any) -> None:
    with pytest.raises(DefinitionError, match="whole number"):
        Provisioned(units, 1)
    with pytest.raises(DefinitionError, match="whole number"):
        Provisioned(1, units)
    with pytest.raises(DefinitionError, match="whole number"):
        OnDemand(max_read=units)
    with pytest.raises(DefinitionError, match="whole number"):
        OnDemand(max_write=units)


def test_what_the_database_says_goes_over_the_models() -> None:
    thing = settled("One", stream="NEW_IMAGE", deletion_protection=False, tags={"a": "b"})
    production = TableSettings(deletion_protection=True, point_in_time_recovery=7)

    def of(given: Any) -> TableSettings:
        return Database("local://", table_settings=given).tables(thing).specs[0].settings

    assert of(production) == of({"things": production})
    assert of(production) == TableSettings(
        stream="NEW_IMAGE", deletion_protection=True, tags={"a": "b"}, point_in_time_recovery=7
    )
    assert of({"others": production}) == of(None) == schema_of(thing).table.settings


def test_capacity_is_said_as_a_whole() -> None:
    thing = model(
        settings=TableSettings(capacity=Provisioned(1, 1), index_capacity={"by_a": Provisioned(2, 2)}),
        indexes=(GSI("by_a", pk=F.a), GSI("by_b", pk=F.b)),
    )
    (spec,) = specifications([thing])
    assert [index.capacity for index in spec.global_indexes.values()] == [Provisioned(2, 2), Provisioned(1, 1)]
    (spec,) = specifications([thing], settings=lambda _: TableSettings(capacity=OnDemand()))
    assert [index.capacity for index in spec.global_indexes.values()] == [OnDemand(), OnDemand()]


def test_two_tables_that_are_one_here() -> None:
    indexed = model("B", table="two", indexes=(GSI("by_a", pk=F.a),))
    specs = specifications([model("A", table="one"), indexed], lambda _: "x")
    assert [(spec.name, spec.models, list(spec.global_indexes)) for spec in specs] == [("x", ("A", "B"), ["by_a"])]


def test_tables_of_nothing() -> None:
    tables = Database("local://").sync.tables()
    tables.ensure()
    assert not tables.plan()
    assert tables.describe() == []


def test_a_request_says_all_that_a_request_can() -> None:
    thing = model(
        settings=TableSettings(**FULL),
        indexes=(LSI("by_c", sk=F.c), GSI("by_a", pk=F.a), GSI("by_n", pk=F.n, projection="KEYS_ONLY")),
    )
    request = specifications([thing])[0].request()
    assert request == {
        "TableName": "things",
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": tag}
            for name, tag in (("pk", "S"), ("sk", "S"), ("c", "S"), ("a", "S"), ("n", "N"))
        ],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        "BillingMode": "PROVISIONED",
        "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
        "GlobalSecondaryIndexes": [
            {
                "IndexName": "by_a",
                "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
                "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
            },
            {
                "IndexName": "by_n",
                "KeySchema": [{"AttributeName": "n", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
                "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
            },
        ],
        "LocalSecondaryIndexes": [
            {
                "IndexName": "by_c",
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "c", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        "TableClass": "STANDARD_INFREQUENT_ACCESS",
        "SSESpecification": {"Enabled": True, "SSEType": "KMS"},
        "DeletionProtectionEnabled": True,
        "Tags": [{"Key": "team", "Value": "core"}, {"Key": "cost", "Value": "12"}],
        "ResourcePolicy": '{"Statement": [], "Version": "2012-10-17"}',
    }
    (spec,) = specifications([settled("Two", capacity=OnDemand(max_write=9), encryption="1234-key")])
    assert spec.request()["OnDemandThroughput"] == {"MaxWriteRequestUnits": 9}
    assert spec.request()["SSESpecification"] == {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": "1234-key"}
