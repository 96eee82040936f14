"""Changes to an item in wire form: rendered as an UpdateExpression, or applied here to a stored item."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from lift_dynamorm.conditions import Literal, Name, Placeholders, find, same
from lift_dynamorm.errors import UsageError
from lift_dynamorm.scalars import EXACT

if TYPE_CHECKING:
    from collections.abc import Sequence

    Wire = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sum:
    """``left + right`` or ``left - right``."""

    op: str
    left: Source
    right: Source


@dataclass(frozen=True, slots=True)
class IfNotExists:
    """The attribute, or where it is missing a default."""

    name: Name
    default: Source


@dataclass(frozen=True, slots=True)
class Append:
    """Two lists, one behind the other."""

    left: Source
    right: Source


Source = Name | Literal | Sum | IfNotExists | Append


@dataclass(frozen=True, slots=True)
class Change:
    """One clause of an update: `action` is ``SET``, ``REMOVE``, ``ADD`` or ``DELETE``; REMOVE has no value."""

    action: str
    target: Name
    value: Source | None = None


def render_update(changes: Sequence[Change], to: Placeholders) -> str:
    """Write changes as an UpdateExpression."""
    clauses: dict[str, list[str]] = {}
    for change in changes:
        target = to.name(change.target)
        if change.value is None:
            text = target
        elif change.action == "SET":
            text = f"{target} = {_render(change.value, to)}"
        else:
            text = f"{target} {_render(change.value, to)}"
        clauses.setdefault(change.action, []).append(text)
    return " ".join(f"{action} {', '.join(texts)}" for action, texts in clauses.items())


def _render(source: Source, to: Placeholders) -> str:
    match source:
        case Sum(op, left, right):
            return f"{_render(left, to)} {op} {_render(right, to)}"
        case IfNotExists(name, default):
            return f"if_not_exists({to.name(name)}, {_render(default, to)})"
        case Append(left, right):
            return f"list_append({_render(left, to)}, {_render(right, to)})"
        case Name() | Literal():
            return to.operand(source)


def apply(changes: Sequence[Change], item: Wire) -> dict[str, Any]:
    """Make the item that DynamoDB would make of `item` by these changes.

    Every value is taken from the item as it was. Raises UsageError where DynamoDB would refuse.
    """
    new: dict[str, Any] = dict(item)
    for change in _in_order(changes):
        value = None if change.value is None else _value(change.value, item)
        if change.action == "ADD":
            value = _added(find(item, change.target), value or {}, change.target)
        elif change.action == "DELETE":
            value = _without(find(item, change.target), value or {}, change.target)
        _store(new, change.target.parts, value)
    return new


def _in_order(changes: Sequence[Change]) -> list[Change]:
    """Sort changes so that list positions stay those of the item as it was.

    What lies behind the end is appended in order of position; elements are removed last, from the back.
    """
    stays = [change for change in changes if change.action != "REMOVE"]
    goes = [change for change in changes if change.action == "REMOVE"]
    return sorted(stays, key=_position) + sorted(goes, key=_position, reverse=True)


def _position(change: Change) -> list[tuple[int, str]]:
    return [(part, "") if isinstance(part, int) else (-1, part) for part in change.target.parts]


def sources(source: Source | None) -> set[str]:
    """Name the attributes that a value is calculated from."""
    match source:
        case Name(parts):
            return {str(parts[0])}
        case Sum(_, left, right) | Append(left, right):
            return sources(left) | sources(right)
        case IfNotExists(name, default):
            return sources(name) | sources(default)
    return set()


def is_plain(change: Change) -> bool:
    """Tell whether a change sets or removes a whole attribute, whatever it was."""
    whole = len(change.target.parts) == 1
    return whole and change.action in ("SET", "REMOVE") and isinstance(change.value, Literal | None)


def reads(change: Change) -> set[str]:
    """Name the attributes that the outcome of a change is calculated from."""
    own = {str(change.target.parts[0])} if change.action in ("ADD", "DELETE") else set()
    return sources(change.value) | own


def _value(source: Source, item: Wire) -> Wire:
    match source:
        case Literal(wire):
            return wire
        case Name():
            found = find(item, source)
            if found is None:
                raise UsageError(f"an update reads `{_path(source)}`, which the item does not have")
            return found
        case IfNotExists(name, default):
            found = find(item, name)
            return _value(default, item) if found is None else found
        case Sum(op, left, right):
            a, b = _number(left, item), _number(right, item)
            return {"N": str(EXACT.add(a, b) if op == "+" else EXACT.subtract(a, b))}
        case Append(left, right):
            return {"L": [*_list(left, item), *_list(right, item)]}


def _number(source: Source, item: Wire) -> Decimal:
    wire = _value(source, item)
    if "N" not in wire:
        raise UsageError(f"an update counts on {_said(source)}, which is no number")
    return Decimal(wire["N"])


def _list(source: Source, item: Wire) -> list[Wire]:
    wire = _value(source, item)
    if "L" not in wire:
        raise UsageError(f"an update appends to {_said(source)}, which is no list")
    return list(wire["L"])


def _said(source: Source) -> str:
    name = source.name if isinstance(source, IfNotExists) else source
    return f"`{_path(name)}`" if isinstance(name, Name) else "a value"


def _added(old: Wire | None, value: Wire, target: Name) -> Wire:
    ((tag, more),) = value.items()
    if old is None:
        return value
    if tag not in old:
        raise UsageError(f"an update adds {tag} to `{_path(target)}`, which holds {next(iter(old))}")
    if tag == "N":
        return {"N": str(EXACT.add(Decimal(old["N"]), Decimal(more)))}
    return {tag: [*old[tag], *(m for m in more if not _holds(tag, old[tag], m))]}


def _without(old: Wire | None, value: Wire, target: Name) -> Wire | None:
    ((tag, less),) = value.items()
    if old is None:
        return None
    if tag not in old:
        raise UsageError(f"an update deletes {tag} from `{_path(target)}`, which holds {next(iter(old))}")
    left = [element for element in old[tag] if not _holds(tag, less, element)]
    return {tag: left} if left else None


def _holds(tag: str, elements: Sequence[str], element: str) -> bool:
    return any(same({tag[0]: e}, {tag[0]: element}) for e in elements)


def _store(new: dict[str, Any], parts: tuple[str | int, ...], value: Wire | None) -> None:
    """Put a value at a path, or remove it; containers on the way are copied, for the old item keeps its own."""
    container: Any = new
    for depth, (part, following) in enumerate(pairwise(parts), 1):
        tag = "L" if isinstance(following, int) else "M"
        try:
            inner = container[part][tag]
        except (KeyError, IndexError):
            if value is None:
                return
            parent = _path(Name(parts[:depth]))
            raise UsageError(
                f"an update writes into `{_path(Name(parts))}`, whose parent does not exist; "
                f"set the whole of `{parent}`"
            ) from None
        copy = inner.copy()
        container[part] = {tag: copy}
        container = copy
    last: Any = parts[-1]
    if isinstance(container, list):
        if value is None:
            del container[last : last + 1]
        elif last < len(container):
            container[last] = value
        else:
            container.append(value)
    elif value is None:
        container.pop(last, None)
    else:
        container[last] = value


def _path(name: Name) -> str:
    first, *rest = name.parts
    return f"{first}" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
