"""boto3's resource, which converts to Python values, and a pydantic model made of them."""

from __future__ import annotations

from typing import Any, ClassVar

import boto3
from boto3.dynamodb.conditions import Key

from benchmarks.contestants import Contestant
from benchmarks.contestants.orders import Order
from benchmarks.items import TABLE


class Resource(Contestant):
    title: ClassVar[str] = "boto3 resource + pydantic"

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self._table = boto3.resource("dynamodb", endpoint_url=endpoint).Table(TABLE)

    def get(self, count: int) -> Order:
        for _ in range(count):
            order = Order(**self._table.get_item(Key={"customer": "c-10482", "number": 0})["Item"])
        return order

    def query(self, count: int) -> list[Order]:
        for _ in range(count):
            answer = self._table.query(KeyConditionExpression=Key("customer").eq("c-10482"))
            orders = [Order(**item) for item in answer["Items"]]
        return orders

    first = get

    def values(self, item: Order) -> dict[str, Any]:
        return item.model_dump()
