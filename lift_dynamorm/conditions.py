"""Conditions in wire form: rendered as an expression for DynamoDB, or evaluated here on a stored item.

Both follow https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html:
a comparison with a missing attribute, or between two types, does not hold.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    Wire = dict[str, Any]

MAX_IN = 100


@dataclass(frozen=True, slots=True)
class Name:
    """A document path: attribute name, then map keys and list indexes."""

    parts: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Literal:
    """A value in wire form."""

    wire: Wire


@dataclass(frozen=True, slots=True)
class SizeOf:
    """``size(path)``."""

    name: Name


Operand = Name | Literal | SizeOf


@dataclass(frozen=True, slots=True)
class Predicate:
    """One comparison or function; `op` is ``=``, ``begins_with``, ``between``, ``in``, ``attribute_exists`` ..."""

    op: str
    left: Operand
    right: tuple[Operand, ...] = ()


@dataclass(frozen=True, slots=True)
class Every:
    """All of these hold; nothing in it holds always."""

    tests: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of these holds; nothing in it never holds."""

    tests: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """This does not hold."""

    test: Condition


Condition = Predicate | Every | Some | Negation


class Placeholders:
    """The names and values of one request: every attribute name and every value goes through one."""

    __slots__ = ("_by_name", "names", "values")

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, Wire] = {}
        self._by_name: dict[str, str] = {}

    def name(self, name: Name) -> str:
        text = ""
        for part in name.parts:
            if isinstance(part, int):
                text += f"[{part}]"
                continue
            placeholder = self._by_name.get(part)
            if placeholder is None:
                placeholder = f"#{len(self.names)}"
                self._by_name[part] = placeholder
                self.names[placeholder] = part
            text += f".{placeholder}" if text else placeholder
        return text

    def value(self, wire: Wire) -> str:
        placeholder = f":{len(self.values)}"
        self.values[placeholder] = wire
        return placeholder

    def operand(self, operand: Operand) -> str:
        if isinstance(operand, Literal):
            return self.value(operand.wire)
        if isinstance(operand, SizeOf):
            return f"size({self.name(operand.name)})"
        return self.name(operand)

    def add_to(self, payload: dict[str, Any]) -> None:
        """Put the placeholders that are in use into a request."""
        if self.names:
            payload["ExpressionAttributeNames"] = self.names
        if self.values:
            payload["ExpressionAttributeValues"] = self.values


def every(tests: Iterable[Condition | None]) -> Condition | None:
    """Join conditions by AND, leaving out None and unwrapping a single one."""
    flat: list[Condition] = []
    for test in tests:
        if isinstance(test, Every):
            flat.extend(test.tests)
        elif test is not None:
            flat.append(test)
    if len(flat) < 2:
        return flat[0] if flat else None
    return Every(tuple(flat))


def joined(first: Condition | None, second: Condition | None) -> Condition | None:
    """Join two conditions by AND, each test once."""
    tests = conjuncts(first)
    return every((*tests, *(test for test in conjuncts(second) if test not in tests)))


def conjuncts(condition: Condition | None) -> tuple[Condition, ...]:
    """Take apart what `every` joined: the conditions that must all hold."""
    if condition is None:
        return ()
    return condition.tests if isinstance(condition, Every) else (condition,)


def attributes(condition: Condition) -> frozenset[str]:
    """Name the attributes that a condition looks at."""
    match condition:
        case Predicate(_, left, right):
            names = [o.name if not isinstance(o, Name) else o for o in (left, *right) if not isinstance(o, Literal)]
            return frozenset(str(name.parts[0]) for name in names)
        case Every(tests):
            return frozenset().union(*map(attributes, tests))
    tests = getattr(condition, "tests", None) or (condition.test,)  # type: ignore[union-attr]  # Some or Negation
    return frozenset().union(*map(attributes, tests))


def render(condition: Condition, to: Placeholders) -> str:
    """Write a condition as a DynamoDB expression."""
    match condition:
        case Every(tests) | Some(tests):
            word = " AND " if isinstance(condition, Every) else " OR "
            return word.join(_group(test, to) for test in tests)
        case Negation(test):
            return f"NOT {_group(test, to)}"
        case Predicate(op, left, right):
            return _render_predicate(op, to.operand(left), right, to)


def _group(condition: Condition, to: Placeholders) -> str:
    text = render(condition, to)
    return text if isinstance(condition, Predicate) and condition.op != "in" else f"({text})"


def _render_predicate(op: str, left: str, right: tuple[Operand, ...], to: Placeholders) -> str:
    if op == "between":
        return f"{left} BETWEEN {to.operand(right[0])} AND {to.operand(right[1])}"
    if op == "in":
        groups = [right[i : i + MAX_IN] for i in range(0, len(right), MAX_IN)]
        return " OR ".join(f"{left} IN ({', '.join(map(to.operand, group))})" for group in groups)
    if op[0].isalpha():
        return f"{op}({', '.join([left, *map(to.operand, right)])})"
    return f"{left} {op} {to.operand(right[0])}"


# -- evaluation --------------------------------------------------------------------------------------------------------


def find(item: Wire, name: Name) -> Wire | None:
    """Follow a path into a stored item; None where it leads nowhere."""
    first, *rest = name.parts
    wire: Wire | None = item.get(first)  # type: ignore[arg-type]  # the first part of a path is always a name
    for part in rest:
        if wire is None:
            return None
        if isinstance(part, int):
            values = wire.get("L", ())
            wire = values[part] if part < len(values) else None
        else:
            wire = wire.get("M", {}).get(part)
    return wire


def evaluate(condition: Condition | None, item: Wire) -> bool:
    """Tell whether a condition holds for a stored item (``{}`` stands for one that does not exist)."""
    match condition:
        case None:
            return True
        case Every(tests):
            return all(evaluate(test, item) for test in tests)
        case Some(tests):
            return any(evaluate(test, item) for test in tests)
        case Negation(test):
            return not evaluate(test, item)
        case Predicate(op, left, right):
            return _holds(op, _wire(left, item), [_wire(operand, item) for operand in right])


def _wire(operand: Operand, item: Wire) -> Wire | None:
    if isinstance(operand, Literal):
        return operand.wire
    if isinstance(operand, Name):
        return find(item, operand)
    wire = find(item, operand.name)
    size = None if wire is None else _size(wire)
    return None if size is None else {"N": str(size)}


def _size(wire: Wire) -> int | None:
    ((tag, value),) = wire.items()
    if tag == "S":  # DynamoDB counts as Java does: https://github.com/ExtendDB/extenddb/issues/60
        return len(value.encode("utf-16-le")) // 2
    if tag == "B":
        return len(b64decode(value))
    return len(value) if tag in ("L", "M", "SS", "NS", "BS") else None


def _holds(op: str, left: Wire | None, right: list[Wire | None]) -> bool:
    if op == "attribute_exists":
        return left is not None
    if op == "attribute_not_exists":
        return left is None
    if op == "<>":
        return left is None or right[0] is None or not same(left, right[0])
    others: list[Wire] = [wire for wire in right if wire is not None]
    if op == "in":
        return left is not None and any(same(left, other) for other in others)
    if left is None or len(others) < len(right):
        return False
    if op == "=":
        return same(left, others[0])
    if op == "attribute_type":
        return str(others[0]["S"]) in left
    if op == "contains":
        return _contains(left, others[0])
    if op == "between":
        return _ordered(">=", left, others[0]) and _ordered("<=", left, others[1])
    if op == "begins_with":
        (tag,) = left
        return tag in ("S", "B") and tag in others[0] and bool(sort_value(left).startswith(sort_value(others[0])))
    return _ordered(op, left, others[0])


def _ordered(op: str, left: Wire, right: Wire) -> bool:
    (tag,) = left
    if tag not in ("S", "N", "B") or tag not in right:
        return False
    a, b = sort_value(left), sort_value(right)
    return bool(a < b if op == "<" else a <= b if op == "<=" else a > b if op == ">" else a >= b)


def sort_value(wire: Wire) -> Any:
    """Turn a key value into what sorts as DynamoDB sorts it: text and bytes by byte, numbers by value."""
    ((tag, value),) = wire.items()
    if tag == "N":
        return Decimal(value)
    return value.encode() if tag == "S" else b64decode(value)


def same(left: Wire, right: Wire) -> bool:
    """Compare two values as DynamoDB does: numbers by value, sets without order."""
    ((tag, a),) = left.items()
    if tag not in right:
        return False
    b = right[tag]
    match tag:
        case "N":
            return a == b or Decimal(a) == Decimal(b)
        case "SS" | "BS":
            return set(a) == set(b)
        case "NS":
            return {Decimal(n) for n in a} == {Decimal(n) for n in b}
        case "L":
            return len(a) == len(b) and all(map(same, a, b))
        case "M":
            return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return bool(a == b)


def _contains(left: Wire, right: Wire) -> bool:
    ((tag, value),) = left.items()
    if tag in ("S", "B"):
        return tag in right and sort_value(right) in sort_value(left)
    if tag == "L":
        return any(same(element, right) for element in value)
    if tag in ("SS", "NS", "BS") and tag[0] in right:
        return any(same({tag[0]: element}, right) for element in value)
    return False
