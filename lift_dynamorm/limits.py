"""What DynamoDB allows of one expression.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lift_dynamorm.conditions import MAX_IN, Condition, Every, Negation, Placeholders, Predicate, SizeOf, Some, render

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BYTES = 4096
MAX_OPERATORS = 300
_SHORTEST = 4  # bytes that an operator takes at least, with its operand: "NOT "
_KEY_PLACEHOLDERS = 64  # bytes by which the placeholders of a key condition may lengthen those behind them


def too_long(expression: str, condition: Condition) -> str:
    """Say what is too much of a rendered condition; "" where DynamoDB takes it."""
    if len(expression) < MAX_OPERATORS * _SHORTEST:
        return ""
    if len(expression) > MAX_BYTES:
        return f"takes {len(expression)} bytes as an expression; DynamoDB allows {MAX_BYTES}"
    count = operators(condition)
    if count > MAX_OPERATORS:
        return f"has {count} operators; DynamoDB allows {MAX_OPERATORS}"
    return ""


def operators(condition: Condition) -> int:
    """Count comparisons, functions, AND, OR and NOT."""
    match condition:
        case Every(tests) | Some(tests):
            return sum(map(operators, tests)) + max(0, len(tests) - 1)
        case Negation(test):
            return 1 + operators(test)
        case Predicate(op, left, right):
            groups = -(-len(right) // MAX_IN) if op == "in" else 1
            return 2 * groups - 1 + sum(isinstance(operand, SizeOf) for operand in (left, *right))


def within_limits(conditions: Sequence[Condition]) -> list[Condition]:
    """Choose those of some conditions that one filter expression can hold, the longest ones left out first."""
    texts = [render(condition, Placeholders()) for condition in conditions]
    order = sorted(range(len(texts)), key=lambda at: (len(texts[at]), repr(conditions[at])))
    while order and not _fit([conditions[at] for at in order]):
        order.pop()
    return [conditions[at] for at in sorted(order)]


def _fit(conditions: Sequence[Condition]) -> bool:
    joined = Every(tuple(conditions))
    return not too_long(render(joined, Placeholders()) + " " * _KEY_PLACEHOLDERS, joined)
