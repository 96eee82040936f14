"""A class that cannot work is refused where it is defined, with class, field and mend."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, Field, create_model

from lift_dynamorm import (
    GSI,
    LSI,
    TTL,
    CreatedAt,
    DefinitionError,
    F,
    Generated,
    Model,
    Null,
    PartitionKey,
    SortKey,
    Table,
    Unique,
    UpdatedAt,
    Version,
)
from lift_dynamorm.fields import CREATED_AT, GENERATED, NULL, PARTITION_KEY, TIME_TO_LIVE, VERSION
from lift_dynamorm.model import schema_of

KEY: dict[str, Any] = {"id": (PartitionKey[str], ...)}


def define(fields: dict[str, Any], **arguments: Any) -> Any:
    return create_model("Thing", __base__=Model, __cls_kwargs__={"table": "things", **arguments}, **fields)


@pytest.mark.parametrize(
    ("fields", "arguments", "words"),
    [
        ({"id": (str, ...)}, {}, ["Thing has no partition key", "id: PartitionKey[str]", "pk="]),
        ({**KEY, "two": (PartitionKey[str], ...)}, {}, ["two fields for its partition key, `id` and `two`"]),
        ({"id": (str, ...)}, {"pk": "T#{idd}"}, ["Thing(pk=...)", "no field `idd`", "did you mean `id`"]),
        (KEY, {"pk": "T#{id}"}, ["`id` is marked as a key too"]),
        (KEY, {"sk": "T#{id}"}, ["sk= is a template and goes with pk="]),
        ({"id": (PartitionKey[list[str]], ...)}, {}, ["`id` is stored as L", "a key is text"]),
        ({"id": (Annotated[str | None, PARTITION_KEY], None)}, {}, ["cannot be None"]),
        ({"id": (PartitionKey[bool], ...)}, {}, ["`id` is stored as BOOL"]),
        ({"id": (str, ...), "n": (list[int], ...)}, {"pk": "T#{n}"}, ["{n} in 'T#{n}' must be text"]),
        ({"id": (str, ...)}, {"pk": "T#{id:08d}"}, ["must be a whole number"]),
        ({"id": (str, ...), "pk": (str, "")}, {"pk": "T#{id}"}, ["stored as 'pk', which is also a field", "Table("]),
        (KEY, {"indexes": GSI("ggg", pk=F.id)}, ["Thing: indexes= takes a list: indexes=[GSI(...)]"]),
        (KEY, {"indexes": LSI("lll", sk=F.id)}, ["Thing: indexes= takes a list: indexes=[LSI(...)]"]),
        (KEY, {"indexes": [GSI("ggg", pk="")]}, ["index 'ggg'", "give pk="]),
        (KEY, {"indexes": [GSI("ggg", pk=F.nope)]}, ["index 'ggg'", "no field `nope`"]),
        (KEY, {"indexes": [GSI("ggg", pk=[F.id] * 5)]}, ["at most 4 attributes"]),
        (KEY, {"indexes": [GSI("ggg", pk=F.id.deep)]}, ["written F.name"]),
        (KEY, {"indexes": [LSI("lll", sk=F.id)]}, ["needs a table with a sort key"]),
        (KEY, {"indexes": [GSI("ggg", pk=F.id), GSI("ggg", pk=F.id)]}, ["two indexes called 'ggg'"]),
        (KEY, {"indexes": [GSI(f"gsi{n}", pk=F.id) for n in range(21)]}, ["21 global indexes; DynamoDB allows 20"]),
        (KEY, {"indexes": [GSI("ggg", pk=F.id, projection="SOME")]}, ['"ALL", "KEYS_ONLY"']),
        (KEY, {"indexes": [GSI("ggg", pk=F.id, projection=["nope"])]}, ["no field `nope`"]),
        (
            {**KEY, "n": (str, "")},
            {"indexes": [GSI("ggg", pk="A#{n}", pk_attribute="k"), GSI("hhh", pk="B#{n}", pk_attribute="k")]},
            ["two keys are stored as 'k'"],
        ),
        ({**KEY, "v": (Annotated[str, VERSION], "")}, {}, ["Thing.v", "v: Version = 0"]),
        ({**KEY, "v": (Version, 1)}, {}, ["Thing.v", "begins at 0", "v: Version = 0"]),
        ({**KEY, "v": (Version, Field(default_factory=lambda: 1))}, {}, ["Thing.v", "begins at 0"]),
        ({"id": (str, ...)}, {"pk": "id"}, ["Thing(pk=...)", "'id'", 'write braces: "{id}"']),
        ({"id": (str, ...)}, {"pk": "T#{id}", "sk": "id"}, ["Thing(sk=...)", '"{id}"']),
        (KEY, {"indexes": [GSI("ggg", pk="id")]}, ["index 'ggg'", 'write braces: "{id}"']),
        ({**KEY, "v": (Version, 0), "w": (Version, 0)}, {}, ["two fields for its version"]),
        ({**KEY, "g": (Annotated[int, GENERATED], 0)}, {}, ["Thing.g", 'g: Generated = ""']),
        ({**KEY, "g": (Annotated[str | None, GENERATED], None)}, {}, ['g: Generated = ""']),
        ({**KEY, "g": (Generated, ""), "h": (Generated, "")}, {}, ["two fields for its generated"]),
        ({**KEY, "u": (Unique[set[str]], ...)}, {}, ["Thing.u", "text or a number"]),
        ({**KEY, "u": (Unique[str], ...), "ends": (TTL, None)}, {}, ["Thing.u", "time to live"]),
        ({"id": (PartitionKey[int], ...), "u": (Unique[str], ...)}, {}, ["Thing.u", 'pk="THING#{...}"']),
        ({**KEY, "at": (Annotated[date, CREATED_AT], ...)}, {}, ["CreatedAt = None"]),
        ({**KEY, "at": (Annotated[datetime, CREATED_AT], ...)}, {}, ["CreatedAt = None"]),
        ({**KEY, "at": (Annotated[str, TIME_TO_LIVE], "")}, {}, ["at: TTL = None"]),
        ({**KEY, "a": (Null[str], "")}, {}, ["needs a type that allows None"]),
        ({**KEY, "a": (Annotated[str | None, NULL], None)}, {"indexes": [GSI("ggg", pk=F.a)]}, ["keeps None as NULL"]),
        ({**KEY, "a": (str, Field(alias="x")), "b": (str, Field(alias="x"))}, {}, ["both stored as 'x'"]),
        ({**KEY, "a": (str, Field(validation_alias=AliasPath("x", 0)))}, {}, ["AliasPath"]),
        ({**KEY, "a": (set[str], {"x"})}, {}, ["Thing.a", "default of a set must be empty"]),
        ({**KEY, "a": (dict[tuple[int, int], str], {})}, {}, ["Thing.a", "keys of a map are stored as text"]),
    ],
)
def test_what_cannot_work_is_refused_with_a_mend(
    fields: dict[str, Any], arguments: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(DefinitionError) as caught:
        define(fields, **arguments)
    assert "Thing" in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_keys_need_a_table() -> None:
    with pytest.raises(DefinitionError, match="write class Loose"):

        class Loose(Model, pk="A#{id}"):
            id: str


def test_a_base_class_is_stored_nowhere() -> None:
    class Base(Model):
        id: PartitionKey[str]
        version: Version = 0
        created_at: CreatedAt = None
        updated_at: UpdatedAt = None
        expires: TTL = None

    class One(Base, table="one"):
        name: str = ""

    class Two(Base, table="two", indexes=[GSI("by_name", pk="N#{name}")]):
        name: str = ""

    class Three(Two):
        more: int = 0

    with pytest.raises(DefinitionError, match="Base is not stored anywhere"):
        schema_of(Base)
    assert schema_of(One).table.name == "one"
    assert schema_of(Two).roles.version == "version"
    assert [str(index) for index in schema_of(Three).indexes] == ["by_name"]
    assert set(schema_of(Three).fields) == {*Two.model_fields, "more"}
    assert "more" not in schema_of(Two).fields


def test_names_on_the_wire() -> None:
    class Wired(
        Model,
        table=Table("app", pk="PK", sk="SK"),
        pk="A#{id}",
        sk="B",
        indexes=[
            GSI("gsi1", pk="C#{name}", sk="{id}", pk_attribute="GSI1PK", sk_attribute="GSI1SK"),
            GSI("gsi2", pk="D"),
        ],
    ):
        id: str = Field(alias="theId")
        name: str = Field(validation_alias=AliasChoices("called", "n"), serialization_alias="Name")

    schema = schema_of(Wired)
    item = schema.encode(Wired(theId="1", called="x"), "")
    assert item == {
        "PK": {"S": "A#1"},
        "SK": {"S": "B"},
        "GSI1PK": {"S": "C#x"},
        "GSI1SK": {"S": "1"},
        "gsi2_pk": {"S": "D"},
        "theId": {"S": "1"},
        "Name": {"S": "x"},
    }
    assert schema.decode(item, "") == Wired(theId="1", called="x")


class Leaf(BaseModel):
    owner: Tree | None = None


class Tree(Model, table="trees"):
    """Refers to a class that refers back, so its schema is made when it is first needed."""

    id: PartitionKey[str]
    n: SortKey[int]
    leaf: Leaf | None = None
    tree: Tree | None = None


def test_models_that_refer_to_each_other() -> None:
    tree = Tree(id="1", n=1, leaf=Leaf(owner=Tree(id="2", n=2)), tree=Tree(id="3", n=3))
    schema = schema_of(Tree)
    assert schema.decode(schema.encode(tree, ""), "") == tree
