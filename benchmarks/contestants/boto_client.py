"""boto3's client, which gives and takes DynamoDB's own dicts: no model is made."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

import boto3

from benchmarks.contestants import AT_ONCE, Contestant
from benchmarks.items import KEY, TABLE, WIRE


class Client(Contestant):
    title: ClassVar[str] = "boto3 client (dicts)"
    packages: ClassVar[tuple[str, ...]] = ("boto3", "botocore", "urllib3")

    def __init__(self, endpoint: str) -> None:
        from botocore.config import Config

        super().__init__(endpoint)
        self.client = boto3.client("dynamodb", endpoint_url=endpoint, config=Config(max_pool_connections=AT_ONCE))

    def get(self, count: int) -> dict[str, Any]:
        for _ in range(count):
            item: dict[str, Any] = self.client.get_item(TableName=TABLE, Key=KEY)["Item"]
        return item

    def query(self, count: int) -> list[dict[str, Any]]:
        for _ in range(count):
            items: list[dict[str, Any]] = self.client.query(
                TableName=TABLE,
                KeyConditionExpression="customer = :customer",
                ExpressionAttributeValues={":customer": {"S": "c-10482"}},
            )["Items"]
        return items

    def put(self, count: int) -> None:
        for _ in range(count):
            self.client.put_item(TableName=TABLE, Item=WIRE)

    first = get

    def values(self, item: dict[str, Any]) -> dict[str, Any]:
        from boto3.dynamodb.types import TypeDeserializer

        values = {name: TypeDeserializer().deserialize(wire) for name, wire in item.items()}
        return {**values, "placed": datetime.fromisoformat(values["placed"])}
