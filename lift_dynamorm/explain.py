"""What a query will do, in words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lift_dynamorm.conditions import Condition, Placeholders, Predicate, conjuncts, render

if TYPE_CHECKING:
    from lift_dynamorm.operations.query import Reading
    from lift_dynamorm.planner import Considered, Plan

_UNIT = 4096
_ITEMS = 100
_ENTRY = 128
_SHOWN = 300
_PLACEHOLDER = re.compile(r"[#:][0-9]+")


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a query, or a scan, will do.

    key: the conditions by which the index is narrowed. filter: what DynamoDB drops of that. local: what is dropped
    here. request: what is sent first. read_units: what that costs; cost: the same, and for how many items. considered:
    every index, the one that is taken first, with the reason.
    """

    model: str
    index: str
    key: str
    filter: str
    local: str
    request: dict[str, Any]
    read_units: float
    cost: str
    warnings: tuple[str, ...]
    considered: tuple[Considered, ...]
    verb: str = "query"

    def __str__(self) -> str:
        taken, *others = self.considered
        lines = [f"{self.verb} {self.model} by {self.index}, which {taken.reason}"]
        for title, text in (("key", self.key), ("filter", self.filter), ("local", self.local), ("cost", self.cost)):
            if text:
                lines.append(f"  {title:8} {text if len(text) <= _SHOWN else text[:_SHOWN] + ' ...'}")
        lines += [f"  warning  {warning}" for warning in self.warnings]
        lines += [f"  not by   {other.index}, which {other.reason}" for other in others]
        return "\n".join(lines)


def explain(reading: Reading[Any], most: int | None, item_size: int) -> Explanation:
    """Explain a query that wants so many items."""
    chosen = reading.plan
    limit = reading.page_size(most).next()
    units, cost = _cost(reading, most, item_size)
    return Explanation(
        ", ".join(schema.name for schema in reading.shape.schemas),
        str(chosen.index),
        _readable(chosen.key),
        _readable(chosen.filter),
        _readable(chosen.local),
        reading.request() | ({} if limit is None else {"Limit": limit}),
        units,
        cost,
        tuple(_warnings(reading)),
        chosen.considered,
    )


def _cost(reading: Reading[Any], most: int | None, item_size: int) -> tuple[float, str]:
    """Estimate the read units of so many items.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
    """
    chosen, share = reading.plan, 1.0 if reading.consistent else 0.5
    if chosen.empty:
        return 0.0, "nothing: no item can match, and nothing is sent"
    items, of = _ITEMS, f"for each {_ITEMS} items read"
    if _is_one_item(chosen):
        items, of = 1, "for one item"
    elif most is not None and chosen.filter is None and chosen.local is None:
        items, of = most, f"for {most} items"
    units = _units(items * (_ENTRY if chosen.fetch else item_size)) * share
    if chosen.fetch:
        units += items * _units(item_size) * share
    return units, f"{units:g} read units {of}, at {item_size} bytes an item"


def _units(size: int) -> int:
    return -(-size // _UNIT)


def _is_one_item(chosen: Plan) -> bool:
    equal = [test for test in conjuncts(chosen.key) if isinstance(test, Predicate) and test.op == "="]
    return chosen.index.kind == "table" and len(equal) == len(chosen.index.attributes)


def _warnings(reading: Reading[Any]) -> list[str]:
    chosen, schema = reading.plan, reading.shape.schemas[0]
    warnings = []
    if chosen.filter is not None or chosen.local is not None:
        warnings.append("items that the filter drops are read and paid for")
    if chosen.missing:
        warnings.append(f"items without {' or '.join(map(schema.name_of, chosen.missing))} are not in the index")
    if chosen.index.kind == "global":
        warnings.append("a global index lags behind the table")
    if chosen.fetch:
        warnings.append("every item is read twice: its key in the index, and all of it by that key")
    return warnings


def _readable(condition: Condition | None) -> str:
    if condition is None:
        return ""
    to = Placeholders()
    text = render(condition, to)
    return _PLACEHOLDER.sub(lambda match: _shown(match[0], to), text)


def _shown(placeholder: str, to: Placeholders) -> str:
    if placeholder in to.names:
        return to.names[placeholder]
    ((tag, value),) = to.values[placeholder].items()
    return str(value) if tag == "N" else repr(value)
