"""Operations in wire form, typed by their names, and PartiQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

from lift_dynamorm import Session, SyncSession

from .models import User

if TYPE_CHECKING:
    from lift_dynamorm.operations.wire import (
        AttributeValue,
        BatchGetItemOutput,
        ConsumedCapacity,
        DescribeTableOutput,
        GetItemInput,
        GetItemOutput,
        ListTablesOutput,
        PutItemOutput,
    )


async def operations(s: Session, name: str, payload: dict[str, Any], unknown: dict[str, object]) -> None:
    answer = await s.execute("GetItem", {"TableName": "app", "Key": {"pk": {"S": "1"}}})
    assert_type(answer, GetItemOutput)
    assert_type(answer.get("Item"), dict[str, AttributeValue] | None)
    assert_type(answer.get("ConsumedCapacity"), ConsumedCapacity | None)
    assert_type(answer.get("Item", {})["pk"].get("SS"), list[str] | None)
    item: dict[str, AttributeValue] = {"pk": {"S": "1"}, "m": {"M": {"l": {"L": [{"NULL": True}]}}}}
    assert_type(await s.execute("PutItem", {"TableName": "app", "Item": item}), PutItemOutput)
    keys = {"RequestItems": {"app": {"Keys": [{"pk": {"S": "1"}}]}}}
    assert_type(await s.execute("BatchGetItem", {"RequestItems": {"app": {"Keys": [item]}}}), BatchGetItemOutput)
    assert_type(await s.execute("DescribeTable", {"TableName": "app"}), DescribeTableOutput)
    assert_type(await s.execute("ListTables", {}), ListTablesOutput)
    written: GetItemInput = {"TableName": "app", "Key": item, "ConsistentRead": True}
    assert_type(await s.execute("GetItem", written), GetItemOutput)
    # Other operations, and payloads that are not checked.
    assert_type(await s.execute("CreateBackup", {"TableName": "app", "BackupName": "b"}), dict[str, Any])
    assert_type(await s.execute("GetItem", payload), dict[str, Any])
    assert_type(await s.execute(name, payload), dict[str, Any])
    # What cannot be right.
    await s.execute("GetItem", {"TableName": "app"})  # type: ignore[dict-item]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await s.execute("GetItem", {"TableNam": "app", "Key": item})  # type: ignore[dict-item]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await s.execute("GetItem", {"TableName": "app", "Key": {"pk": {"X": "1"}}})  # type: ignore[dict-item]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await s.execute("GetItems", {"TableName": "app"})  # type: ignore[dict-item]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await s.execute("PutItem", written)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await s.execute("BatchGetItem", keys)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await s.execute("GetItem", unknown)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    s.execute("ListTables", {})  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]


async def statements(s: Session) -> None:
    assert_type(await s.execute_statement("SELECT * FROM app"), list[dict[str, Any]])
    assert_type(await s.execute_statement("SELECT * FROM app WHERE pk = ?", ["1"], limit=3), list[dict[str, Any]])
    assert_type(await s.execute_statement("SELECT * FROM app", model=User, consistent=True), list[User])
    await s.execute_statement("SELECT * FROM app", model=str)  # type: ignore[type-var]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await s.execute_statement("SELECT * FROM app", limit="3")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def without_await(s: SyncSession, payload: dict[str, Any]) -> None:
    assert_type(s.execute("GetItem", {"TableName": "app", "Key": {"pk": {"S": "1"}}}), GetItemOutput)
    assert_type(s.execute("GetItem", payload), dict[str, Any])
    assert_type(s.execute("CreateBackup", {"TableName": "app", "BackupName": "b"}), dict[str, Any])
    assert_type(s.execute_statement("SELECT * FROM app"), list[dict[str, Any]])
    assert_type(s.execute_statement("SELECT * FROM app", ["1"], model=User), list[User])
    s.execute("GetItem", {"TableName": "app"})  # type: ignore[dict-item]  # pyright: ignore[reportCallIssue, reportArgumentType]
