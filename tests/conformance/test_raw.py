"""Operations in wire form and PartiQL, past the models; tables by their names in the models all the same."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from lift_dynamorm import (
    ConditionFailed,
    F,
    ItemExists,
    Model,
    PartitionKey,
    ServiceError,
    SortKey,
    TransactionConditionFailed,
)

from .models import Order, Plain, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Database, Session

    Open = Callable[..., Session]


def item(key: str, **attributes: Any) -> dict[str, Any]:
    return {"id": {"S": key}, **attributes}


# -- execute -----------------------------------------------------------------------------------------------------------


async def test_an_operation_goes_out_and_comes_back_in_wire_form(opened: Open) -> None:
    s = opened(Plain)
    stored = item("1", b={"B": "AAH+/w=="}, n={"N": "1.5"}, m={"M": {"l": {"L": [{"NULL": True}]}}})
    answer = await s.execute("PutItem", {"TableName": "plain", "Item": stored})
    assert answer == {}
    read = await s.execute("GetItem", {"TableName": "plain", "Key": item("1"), "ConsistentRead": True})
    assert read == {"Item": stored}
    assert (await s.get(Plain, id="1")).id == "1"
    missing = await s.execute("GetItem", {"TableName": "plain", "Key": item("2")})
    assert missing.get("Item") is None


async def test_batches_name_tables_as_the_models_do(opened: Open) -> None:
    s = opened(Plain, User)
    user: dict[str, Any] = {"pk": {"S": "USER#1"}, "sk": {"S": "PROFILE"}}
    written = await s.execute(
        "BatchWriteItem",
        {"RequestItems": {"plain": [{"PutRequest": {"Item": item("1")}}], "app": [{"PutRequest": {"Item": user}}]}},
    )
    assert not written.get("UnprocessedItems")
    read = await s.execute(
        "BatchGetItem", {"RequestItems": {"plain": {"Keys": [item("1"), item("2")]}, "app": {"Keys": [user]}}}
    )
    assert read.get("Responses") == {"plain": [item("1")], "app": [user]}


async def test_transactions_name_tables_as_the_models_do(opened: Open) -> None:
    s = opened(Plain, User)
    user: dict[str, Any] = {"pk": {"S": "USER#1"}, "sk": {"S": "PROFILE"}}
    await s.execute(
        "TransactWriteItems",
        {
            "TransactItems": [
                {"Put": {"TableName": "plain", "Item": item("1")}},
                {"Put": {"TableName": "app", "Item": user}},
            ]
        },
    )
    read = await s.execute(
        "TransactGetItems",
        {
            "TransactItems": [
                {"Get": {"TableName": "app", "Key": user}},
                {"Get": {"TableName": "plain", "Key": item("1")}},
            ]
        },
    )
    assert read.get("Responses") == [{"Item": user}, {"Item": item("1")}]


async def test_what_is_known_of_a_table(opened: Open, db: Database) -> None:
    s = opened(Plain)
    described = (await s.execute("DescribeTable", {"TableName": "plain"})).get("Table", {})
    assert described.get("TableName") == db.table_name("plain")
    assert described.get("KeySchema") == [{"AttributeName": "id", "KeyType": "HASH"}]


async def test_the_tags_of_a_table(opened: Open) -> None:
    s = opened(Plain)
    arn = (await s.execute("DescribeTable", {"TableName": "plain"})).get("Table", {}).get("TableArn", "")
    await s.execute("TagResource", {"ResourceArn": arn, "Tags": [{"Key": "team", "Value": "core"}]})
    tags = await s.execute("ListTagsOfResource", {"ResourceArn": arn})
    assert tags.get("Tags") == [{"Key": "team", "Value": "core"}]


async def test_a_raw_condition_that_fails(opened: Open) -> None:
    s = opened(Plain)
    await s.create(Plain(id="1", name="Ann"))
    with pytest.raises(ConditionFailed, match="PutItem: the condition does not hold") as failed:
        await s.execute(
            "PutItem",
            {
                "TableName": "plain",
                "Item": item("1"),
                "ConditionExpression": "attribute_not_exists(id)",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            },
        )
    assert type(failed.value) is ConditionFailed
    assert failed.value.item["name"] == "Ann"
    assert failed.value.wire_item is not None
    assert failed.value.wire_item["name"] == {"S": "Ann"}


async def test_a_raw_transaction_that_is_canceled(opened: Open) -> None:
    s = opened(Plain)
    await s.create(Plain(id="1", name="Ann"))
    guarded = {
        "TableName": "plain",
        "Item": item("1"),
        "ConditionExpression": "attribute_not_exists(id)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    payload: dict[str, Any] = {
        "TransactItems": [{"Put": {"TableName": "plain", "Item": item("2")}}, {"Put": guarded}],
    }
    with pytest.raises(TransactionConditionFailed, match="nothing was written") as canceled:
        await s.execute("TransactWriteItems", payload)
    first, second = canceled.value.reasons
    assert first is None
    assert type(second) is ConditionFailed
    assert canceled.value.item["name"] == "Ann"
    assert await s.find(Plain, id="2") is None


async def test_what_dynamodb_refuses(opened: Open) -> None:
    s = opened(Plain)
    with pytest.raises(ServiceError, match="ValidationException"):
        await s.execute("GetItem", {"TableName": "plain", "Key": {"other": {"S": "1"}}})


# -- PartiQL -----------------------------------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"


async def test_rows_are_plain_values(opened: Open) -> None:
    s = opened(Plain)
    await s.create(Plain(id="1", name="Ann", count=3, tags={"x", "y"}, lines=["a"], box={"k": 1}))
    await s.create(Plain(id="2", name="Bob"))
    rows = await s.execute_statement("SELECT * FROM plain WHERE id = ?", ["1"])
    assert rows == [
        {"id": "1", "name": "Ann", "count": 3, "tags": {"x", "y"}, "lines": ["a"], "box": {"k": 1}},
    ]
    assert await s.execute_statement("SELECT name FROM plain WHERE id = '2'") == [{"name": "Bob"}]
    assert await s.execute_statement("SELECT * FROM plain WHERE id = ?", ["3"]) == []
    everything = await s.execute_statement("SELECT id FROM plain", consistent=True)
    assert sorted(row["id"] for row in everything) == ["1", "2"]


async def test_parameters_are_stored_as_fields_of_their_types_are(opened: Open) -> None:
    class Typed(Model, table="typed"):
        id: PartitionKey[UUID]
        at: datetime
        day: date
        price: Decimal
        colour: Colour
        blob: bytes
        tags: set[str]
        parts: list[dict[str, date]]

    s = opened(Typed)
    values: dict[str, Any] = {
        "id": UUID(int=7),
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "day": date(2026, 1, 2),
        "price": Decimal("1.50"),
        "colour": Colour.RED,
        "blob": b"\x00\xff",
        "tags": {"a", "b"},
        "parts": [{"k": date(2026, 1, 3)}],
    }
    fields = ", ".join(f"'{name}': ?" for name in values)
    assert await s.execute_statement(f"INSERT INTO typed VALUE {{{fields}}}", list(values.values())) == []
    assert await s.get(Typed, id=UUID(int=7)) == Typed(**values)


async def test_rows_of_a_model(opened: Open) -> None:
    s = opened(User)
    user = await s.create(User(id="1", name="Ann", team="core"))
    await s.create(Order(user="1", number=1, amount=1.5))
    assert len(await s.execute_statement("SELECT * FROM app WHERE pk = ?", ["USER#1"])) == 2
    found = await s.execute_statement("SELECT * FROM app WHERE pk = ?", ["USER#1"], model=User)
    assert found == [user]
    changed = await s.update(found[0], name="Anna")
    assert changed.version == 2
    (order,) = await s.execute_statement('SELECT * FROM "app" WHERE pk = ?', ["USER#1"], model=Order, limit=1)
    assert order.amount == 1.5


async def test_rows_of_an_index(opened: Open) -> None:
    s = opened(User)
    user = await s.create(User(id="1", team="core"))
    await s.create(User(id="2", team="other"))
    statement = 'SELECT * FROM "app"."by_team" WHERE "by_team_pk" = ?'
    assert await s.execute_statement(statement, ["TEAM#core"], model=User) == [user]


async def test_statements_that_write(opened: Open) -> None:
    s = opened(Plain)
    assert await s.execute_statement("INSERT INTO plain VALUE {'id': ?, 'name': ?}", ["1", "Ann"]) == []
    assert await s.execute_statement("UPDATE plain SET name = ? WHERE id = ?", ["Anna", "1"]) == []
    assert (await s.get(Plain, id="1")).name == "Anna"
    assert await s.execute_statement("DELETE FROM plain WHERE id = ?", ["1"]) == []
    assert await s.find(Plain, id="1") is None


async def test_an_insert_of_what_is_there(opened: Open) -> None:
    s = opened(Plain)
    await s.create(Plain(id="1", name="Ann"))
    with pytest.raises(ItemExists):
        await s.execute_statement("INSERT INTO plain VALUE {'id': '1', 'name': 'Bob'}")
    assert (await s.get(Plain, id="1")).name == "Ann"


async def test_a_statement_whose_condition_fails(opened: Open) -> None:
    s = opened(Plain)
    await s.create(Plain(id="1", name="Ann"))
    with pytest.raises(ConditionFailed) as failed:
        await s.execute_statement("UPDATE plain SET name = 'x' WHERE id = ? AND name = ?", ["1", "Bob"])
    assert type(failed.value) is ConditionFailed
    assert (await s.get(Plain, id="1")).name == "Ann"


async def test_a_statement_whose_condition_fails_has_the_item(opened: Open) -> None:
    s = opened(Plain)
    await s.create(Plain(id="1", name="Ann"))
    with pytest.raises(ConditionFailed) as failed:
        await s.execute_statement("UPDATE plain SET name = 'x' WHERE id = ? AND name = ?", ["1", "Bob"])
    assert failed.value.item["name"] == "Ann"


async def test_an_update_by_statement_of_what_is_missing(opened: Open) -> None:
    s = opened(Plain)
    with pytest.raises(ConditionFailed):
        await s.execute_statement("UPDATE plain SET name = 'x' WHERE id = 'no'")
    assert await s.find(Plain, id="no") is None


async def test_a_statement_goes_on_past_its_first_page(opened: Open) -> None:
    class Page(Model, table="pages"):
        book: PartitionKey[str]
        number: SortKey[int]
        text: str

    s = opened(Page)
    for number in range(5):
        await s.create(Page(book="b", number=number, text="x" * 300_000))
    rows = await s.execute_statement("SELECT * FROM pages WHERE book = 'b'", model=Page)
    assert [row.number for row in rows] == [0, 1, 2, 3, 4]
    some = await s.execute_statement("SELECT * FROM pages WHERE book = 'b'", limit=3)
    assert [row["number"] for row in some] == [0, 1, 2]


async def test_a_limit_counts_rows_and_not_what_is_read(opened: Open) -> None:
    s = opened(User)
    for number in range(5):
        await s.create(Order(user="1", number=number, amount=1.0, state="open" if number > 2 else "shut"))
    await s.create(User(id="1"))
    statement = "SELECT * FROM app WHERE pk = 'USER#1' AND state = 'open'"
    rows = await s.execute_statement(statement, model=Order, limit=1)
    assert [row.number for row in rows] == [3]
    assert [row["id"] for row in await s.execute_statement("SELECT * FROM app WHERE id = '1'", limit=1)] == ["1"]


async def test_statements_in_batches_and_transactions(opened: Open) -> None:
    s = opened(Plain)
    insert = {"Statement": "INSERT INTO plain VALUE {'id': ?}", "Parameters": [{"S": "1"}]}
    written: dict[str, Any] = {"TransactStatements": [insert]}
    await s.execute("ExecuteTransaction", written)
    read: dict[str, Any] = {"Statements": [{"Statement": "SELECT * FROM plain WHERE id = '1'"}]}
    answer = await s.execute("BatchExecuteStatement", read)
    assert answer["Responses"][0]["Item"] == item("1")
    assert await s.query(Plain).where(F.id == "1").count() == 1
