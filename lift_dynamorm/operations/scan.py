"""Read a whole table or index: page by page, in segments at once, at a pace, from where an earlier run stopped."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lift_dynamorm.conditions import (
    Condition,
    Every,
    Literal,
    Name,
    Negation,
    Placeholders,
    Predicate,
    attributes,
    every,
    render,
)
from lift_dynamorm.errors import DeadlineExceeded, QueryError, UsageError
from lift_dynamorm.keys import SEPARATOR, TENANT_MARK
from lift_dynamorm.limits import within_limits
from lift_dynamorm.operations.concurrency import Race
from lift_dynamorm.operations.query import Reading
from lift_dynamorm.planner import Considered, Plan
from lift_dynamorm.restore import restorable
from lift_dynamorm.unit_of_work import identity

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from lift_dynamorm.indexes import Index
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.transport import Payload

    Item = dict[str, Any]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Scanning(Reading[R]):
    """A scan as it is carried out, in so many segments."""

    segments: int = 1

    def _asked(self) -> tuple[dict[str, Any], Placeholders]:
        plan, to = self.plan, Placeholders()
        payload: dict[str, Any] = {"TableName": self.context.table(self._schema)}
        if plan.index.name is not None:
            payload["IndexName"] = plan.index.name
        if plan.filter is not None:
            payload["FilterExpression"] = render(plan.filter, to)
        if self.segments > 1:
            payload["TotalSegments"] = self.segments
        return payload, to
