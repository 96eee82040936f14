"""The item that every contestant reads and writes, as Python values and as DynamoDB's JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

TABLE = "orders"
PAGE = 1000
"""Items in the answer to a Query."""

ITEM: dict[str, Any] = {
    "customer": "c-10482",
    "number": 0,
    "email": "ann.example@example.com",
    "placed": datetime(2026, 11, 20, 11, 40, 31, 393087, tzinfo=UTC),
    "total": Decimal("129.95"),
    "weight": 2.75,
    "paid": True,
    "tags": {"gift", "express"},
    "lines": ["sku-1", "sku-7", "sku-9"],
    "revision": 3,
}
"""Ten attributes; `customer` is the partition key and `number` the sort key."""

KEY: dict[str, Any] = {"customer": {"S": "c-10482"}, "number": {"N": "0"}}

WIRE: dict[str, Any] = {
    **KEY,
    "email": {"S": "ann.example@example.com"},
    "placed": {"S": "2026-11-20T11:40:31.393087Z"},
    "total": {"N": "129.95"},
    "weight": {"N": "2.75"},
    "paid": {"BOOL": True},
    "tags": {"SS": ["express", "gift"]},
    "lines": {"L": [{"S": "sku-1"}, {"S": "sku-7"}, {"S": "sku-9"}]},
    "revision": {"N": "3"},
}


def wire_page() -> list[dict[str, Any]]:
    """The items of the customer, in the order of their numbers."""
    return [{**WIRE, "number": {"N": str(number)}} for number in range(PAGE)]
