"""What a condition means, over the Python values of an instance: written from DynamoDB's documentation alone.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from lift_dynamorm import F
from lift_dynamorm.fields import NULL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lift_dynamorm.expressions import Expression

Kinded = tuple[str, Any]
"""A DynamoDB type, and a value that compares and sorts as DynamoDB does it."""


@dataclass(frozen=True)
class At:
    """What lies at a path, or how big it is."""

    path: tuple[str | int, ...]
    size: bool = False


@dataclass(frozen=True)
class Test:
    op: str
    left: At
    right: tuple[Any, ...] = ()

    __test__ = False


@dataclass(frozen=True)
class Both:
    one: Tree
    other: Tree


@dataclass(frozen=True)
class Either:
    one: Tree
    other: Tree


@dataclass(frozen=True)
class Not:
    test: Tree


Tree = Test | Both | Either | Not

NOTHING: Kinded = ("NULL", None)
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def leaves(tree: Tree) -> Iterator[Test]:
    match tree:
        case Test():
            yield tree
        case Both(one, other) | Either(one, other):
            yield from leaves(one)
            yield from leaves(other)
        case Not(test):
            yield from leaves(test)


# -- as a user writes it -----------------------------------------------------------------------------------------------


def expression(tree: Tree) -> Expression:
    """Write a tree as an expression over `F`."""
    match tree:
        case Both(one, other):
            return expression(one) & expression(other)
        case Either(one, other):
            return expression(one) | expression(other)
        case Not(test):
            return ~expression(test)
        case Test(op, left, right):
            target, operands = _path(left), [_path(value) if isinstance(value, At) else value for value in right]
            compared = {"=": operator.eq, "<>": operator.ne, **ORDERS}.get(op)
            if compared is not None:
                return compared(target, *operands)  # type: ignore[no-any-return]  # `F` builds a condition
            return getattr(target, op)(operands) if op == "is_in" else getattr(target, op)(*operands)  # type: ignore[no-any-return]  # as above


def _path(at: At) -> Any:
    path: Any = F
    for part in at.path:
        path = path[part] if isinstance(part, int) or part == "size" else getattr(path, part)
    return path.size() if at.size else path


# -- what it means -----------------------------------------------------------------------------------------------------


def holds(tree: Tree, item: BaseModel) -> bool:
    """Tell whether a condition holds for an item."""
    match tree:
        case Both(one, other):
            return holds(one, item) and holds(other, item)
        case Either(one, other):
            return holds(one, item) or holds(other, item)
        case Not(test):
            return not holds(test, item)
        case Test(op, at, operands):
            left = look(at, item)
            others = [look(value, item) if isinstance(value, At) else kinded(value) for value in operands]
            if op in ("=", "<>", "is_in") and None in operands and left in (None, NOTHING):
                return op != "<>"  # our own way to say that there is nothing, or NULL
            return _holds(op, left, others)


def _holds(op: str, left: Kinded | None, others: list[Kinded | None]) -> bool:
    match op:
        case "exists":
            return left is not None
        case "not_exists":
            return left is None
        case "=" | "is_in":
            return left is not None and left in others
        case "<>":
            return left is None or left != others[0]
        case "not_contains":
            return not _holds("contains", left, others)
        case "is_type":
            return left is not None and left[0] == others[0][1].decode()  # type: ignore[index]  # a type is a text
        case "between":
            return _holds(">=", left, others[:1]) and _holds("<=", left, others[1:])
    (other,) = others
    if left is None or other is None:
        return False
    (kind, value), (other_kind, sought) = left, other
    match op:
        case "begins_with":
            return kind == other_kind and kind in ("S", "B") and value.startswith(sought)
        case "contains" if kind in ("S", "B"):
            return kind == other_kind and sought in value
        case "contains" if kind == "L":
            return other in value
        case "contains":
            return kind == f"{other_kind}S" and sought in value
    return kind == other_kind and kind in ("S", "N", "B") and ORDERS[op](value, sought)


def look(at: At, item: BaseModel) -> Kinded | None:
    """Follow a path; None where it leads nowhere."""
    found: Kinded | None = kinded(item)
    for part in at.path:
        if found is None or found[0] != ("L" if isinstance(part, int) else "M"):
            return None
        inside = found[1]
        if isinstance(part, int):
            found = inside[part] if part < len(inside) else None
        else:
            found = inside.get(part)
    if not at.size or found is None:
        return found
    kind, value = found
    if kind == "S":  # in the units of UTF-16, of which some characters take two
        text = value.decode()
        return "N", Decimal(len(text) + sum(character > "\uffff" for character in text))
    return ("N", Decimal(len(value))) if kind in ("B", "SS", "NS", "BS", "L", "M") else None


def kinded(value: Any) -> Kinded:
    """Give a value its DynamoDB type."""
    match value:
        case None:
            return NOTHING
        case bool():
            return "BOOL", value
        case int() | float() | Decimal():
            return "N", Decimal(str(value))
        case datetime():
            return "S", value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
        case str():
            return "S", value.encode()
        case bytes():
            return "B", value
        case list():
            return "L", [kinded(element) for element in value]
        case dict():
            return "M", {name: kinded(element) for name, element in value.items()}
        case BaseModel():
            fields = type(value).model_fields
            stored = {name: held for name, held in value if held not in (None, set()) or NULL in fields[name].metadata}
            return kinded(stored)
        case set() if value:
            ((kind,),) = {(kinded(element)[0],) for element in value}
            return f"{kind}S", {kinded(element)[1] for element in value}
    raise AssertionError(value)
