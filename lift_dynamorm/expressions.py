"""Conditions and updates as users write them: ``F.team == "core"``, ``F.tags.add({"x"})``.

`F` knows no model. An expression meets the model's schema when a session uses it: `Schema.condition` and
`Schema.changes` check every name, encode every value, and give the wire forms of `conditions` and `updates`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lift_dynamorm.errors import QueryError, did_you_mean


class Expression:
    """A condition; join conditions with ``&``, ``|`` and ``~``."""

    __slots__ = ()

    def __and__(self, other: Expression) -> Expression:
        return AllOf((*(self.conditions if isinstance(self, AllOf) else (self,)), other))

    def __or__(self, other: Expression) -> Expression:
        return AnyOf((*(self.conditions if isinstance(self, AnyOf) else (self,)), other))

    def __invert__(self) -> Expression:
        return NotThis(self)

    def __bool__(self) -> bool:
        msg = "a condition has no truth value of its own; join conditions with &, | and ~ instead of and, or, not"
        raise TypeError(msg)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison(Expression):
    """`operands` are compared with `left` by `op`, one of the keys of `OPERATORS`."""

    op: str
    left: Path | Size
    operands: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class AllOf(Expression):
    conditions: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, eq=False)
class AnyOf(Expression):
    conditions: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, eq=False)
class NotThis(Expression):
    condition: Expression


class _Countable:
    """What DynamoDB adds to and subtracts from."""

    __slots__ = ()

    def __add__(self, other: Any) -> Arithmetic:
        return Arithmetic("+", self, other)

    def __radd__(self, other: Any) -> Arithmetic:
        return Arithmetic("+", other, self)

    def __sub__(self, other: Any) -> Arithmetic:
        return Arithmetic("-", self, other)

    def __rsub__(self, other: Any) -> Arithmetic:
        return Arithmetic("-", other, self)

    if not TYPE_CHECKING:  # so that a type checker refuses them too

        def __mul__(self, other):
            raise QueryError("DynamoDB adds and subtracts, and no more: read the item, calculate, and set the outcome")

        __rmul__ = __truediv__ = __rtruediv__ = __floordiv__ = __mod__ = __pow__ = __mul__


@dataclass(frozen=True, slots=True)
class Arithmetic(_Countable):
    """``left + right`` or ``left - right``, calculated by DynamoDB."""

    op: str
    left: Any
    right: Any


@dataclass(frozen=True, slots=True)
class Default(_Countable):
    """The attribute's value, or `value` where it has none."""

    path: Path
    value: Any


@dataclass(frozen=True, slots=True)
class Appended:
    """The list at `path` with `values` behind it, or in front of it."""

    path: Path
    values: Any
    front: bool


@dataclass(frozen=True, slots=True)
class Assignment:
    """A change to one path: `action` is ``SET``, ``REMOVE``, ``ADD`` or ``DELETE``."""

    action: str
    path: Path
    value: Any = None


class _Comparable:
    """The six comparisons, each giving an `Expression`."""

    __slots__ = ()
    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # a path compares to anything, so it cannot be a dict key

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]  # builds a condition on purpose
        return _compare("=", self, other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]  # builds a condition on purpose
        return _compare("<>", self, other)

    def __lt__(self, other: Any) -> Expression:
        return _compare("<", self, other)

    def __le__(self, other: Any) -> Expression:
        return _compare("<=", self, other)

    def __gt__(self, other: Any) -> Expression:
        return _compare(">", self, other)

    def __ge__(self, other: Any) -> Expression:
        return _compare(">=", self, other)

    def between(self, low: Any, high: Any) -> Expression:
        """At least `low` and at most `high`."""
        return _compare("between", self, low, high)

    def is_in(self, values: Iterable[Any]) -> Expression:
        """Equal to one of any number of values."""
        return _compare("in", self, *values)


class Size(_Comparable):
    """``size(path)``: UTF-16 units of a text, bytes, or elements."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path: Path = path


class Path(_Comparable, _Countable):
    """An attribute, or what lies inside one: ``F.address.city``, ``F.items[0].sku``.

    A part that is called like one of these methods is written ``F.box["size"]``.
    """

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[str | int, ...]) -> None:
        self.parts: tuple[str | int, ...] = parts

    def __getattr__(self, name: str) -> Path:
        if name.startswith("_"):  # what a notebook or a debugger asks for; an attribute that is called so is F[name]
            raise AttributeError(name)
        return Path((*self.parts, name))

    def __getitem__(self, part: str | int) -> Path:
        if isinstance(part, int) and part < 0:
            msg = f"{self}[{part}]: DynamoDB counts list elements from the front; indexes start at 0"
            raise QueryError(msg)
        return Path((*self.parts, part))

    def __iter__(self) -> Any:
        msg = f"{self} is a path and cannot be iterated"
        raise TypeError(msg)

    def __str__(self) -> str:
        first, *rest = self.parts
        return f"{first}" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)

    def __repr__(self) -> str:
        return f"F.{self}"

    if not TYPE_CHECKING:  # so that a type checker still refuses to call a path

        def __call__(self, *arguments, **named):
            name = str(self.parts[-1])
            methods = [method for method in dir(Path) if not method.startswith("_") and method != "parts"]
            mend = did_you_mean(name, methods, "there are")
            raise QueryError(f"{self!r}(...): there is no method `{name}`; {mend}")

    # conditions

    def begins_with(self, prefix: str | bytes) -> Expression:
        return _compare("begins_with", self, prefix)

    def contains(self, value: Any) -> Expression:
        """The text contains it, or it is an element of the set or list."""
        return _compare("contains", self, value)

    def not_contains(self, value: Any) -> Expression:
        return NotThis(self.contains(value))

    def exists(self) -> Expression:
        return _compare("exists", self)

    def not_exists(self) -> Expression:
        return _compare("not_exists", self)

    def is_type(self, tag: str) -> Expression:
        """The attribute is of DynamoDB type ``S N B BOOL NULL L M SS NS BS``."""
        return _compare("type", self, tag)

    def size(self) -> Size:
        return Size(self)

    # changes

    def set(self, value: Any) -> Assignment:
        """Store a value, or the value of another path, or arithmetic of both; None removes."""
        return Assignment("SET", self, value)

    def remove(self) -> Assignment:
        return Assignment("REMOVE", self)

    def add(self, value: Any) -> Assignment:
        """Add elements to a set, or a number to a number; a missing attribute counts as empty or 0."""
        return Assignment("ADD", self, value)

    def delete(self, elements: Any) -> Assignment:
        """Take elements out of a set."""
        return Assignment("DELETE", self, elements)

    def append(self, values: Iterable[Any]) -> Assignment:
        """Put values behind the end of a list; a missing list counts as empty."""
        return Assignment("SET", self, Appended(self, _elements(self, "append", values), front=False))

    def prepend(self, values: Iterable[Any]) -> Assignment:
        """Put values in front of a list; a missing list counts as empty."""
        return Assignment("SET", self, Appended(self, _elements(self, "prepend", values), front=True))

    def if_not_exists(self, value: Any) -> Default:
        """This attribute's value, or where it is missing another: ``F.n.set(F.n.if_not_exists(0) + 1)``."""
        return Default(self, value)


def _elements(path: Path, method: str, values: Any) -> list[Any]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise QueryError(f"{path!r}.{method}(...) takes a list: {path!r}.{method}([{values!r:.60}])")
    return list(values)


class Spelled(Path):
    """A path as text: ``"items[0].sku"``. Where its first name ends, the model tells, for a name may hold a dot."""

    __slots__ = ()

    def __init__(self, text: str) -> None:
        super().__init__((text,))

    def read(self, names: Iterable[str]) -> Path:
        """Read the text as a path that begins with one of these names, or with whatever stands before a dot."""
        text = str(self.parts[0])
        first = max(
            (name for name in names if text.startswith(name) and text[len(name) :][:1] in "[."), key=len, default=""
        )
        first = first or re.split(r"[.\[]", text, maxsplit=1)[0]
        rest = text[len(first) :]
        if not re.fullmatch(r"(\.[^.\[\]]+|\[\d+\])*", rest):
            raise QueryError(f"{text!r} is no path; write one as items[0].sku, or with F: F.items[0].sku")
        steps = re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", rest)
        return Path((first, *(name or int(index) for name, index in steps)))


class _Fields:
    """The start of every path: ``F.name`` or ``F["any name"]``; ``F("age", ">", 18)`` is a condition at once."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Path:
        if name.startswith("_"):  # what a notebook or a debugger asks for; an attribute that is called so is F[name]
            raise AttributeError(name)
        return Path((name,))

    def __getitem__(self, name: str) -> Path:
        return Path((name,))

    def __call__(self, name: str, op: str, *operands: Any) -> Expression:
        """Build a condition in the explicit form: ``F("age", ">", 18) | F("items[0].sku", "begins_with", "x")``.

        ``F("size(tags)", "<", 9)`` compares a size.
        """
        return explicit(name, op, operands)


F = _Fields()

OPERATORS = {
    "=": "=",
    "==": "=",
    "eq": "=",
    "!=": "<>",
    "<>": "<>",
    "ne": "<>",
    "<": "<",
    "lt": "<",
    "<=": "<=",
    "le": "<=",
    "lte": "<=",
    ">": ">",
    "gt": ">",
    ">=": ">=",
    "ge": ">=",
    "gte": ">=",
    "between": "between",
    "in": "in",
    "begins_with": "begins_with",
    "contains": "contains",
    "not_contains": "not_contains",
    "exists": "exists",
    "attribute_exists": "exists",
    "not_exists": "not_exists",
    "attribute_not_exists": "not_exists",
    "attribute_type": "type",
}
"""The names of operators in the explicit form ``where("age", ">", 18)``, in any case."""


def _compare(op: str, left: Any, *operands: Any) -> Expression:
    return Comparison(op, left, operands)


def explicit(name: str, op: str, operands: tuple[Any, ...]) -> Expression:
    """Build ``("age", ">", 18)``, ``("age", "between", 1, 9)``, ``("team", "in", [...])``, ``("nick", "exists")``."""
    said = ", ".join(map(repr, (name, op, *operands)))
    known = OPERATORS.get(str(op).lower().replace(" ", "_"))
    if known is None:
        raise QueryError(f"({said}) is no condition: the operators are {', '.join(OPERATORS)}, behind the name")
    if known in ("between", "in") and len(operands) == 1:
        if isinstance(operands[0], str | bytes) or not hasattr(operands[0], "__iter__"):
            raise QueryError(f"({said}): {op} takes {'two values' if known == 'between' else 'a list of values'}")
        operands = tuple(operands[0])
    wanted = {"between": 2, "exists": 0, "not_exists": 0}.get(known, 1)
    if known != "in" and len(operands) != wanted:
        raise QueryError(f"({said}): {op} takes {wanted} value(s), not {len(operands)}")
    size = re.fullmatch(r"size\((.+)\)", name, re.IGNORECASE)
    if known == "not_contains":
        return NotThis(_compare("contains", Spelled(name), *operands))
    return _compare(known, Spelled(size[1]).size() if size else Spelled(name), *operands)
