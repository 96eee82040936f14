"""The item as a pydantic model, for those who make one themselves."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel


class Order(BaseModel):
    customer: str
    number: int
    email: str
    placed: datetime
    total: Decimal
    weight: float
    paid: bool
    tags: set[str]
    lines: list[str]
    revision: int
