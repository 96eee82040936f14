"""Choose the index that answers a query, and split its conditions into key, filter and local ones.

The choice does not depend on the order of conditions: the table's own key first, then a local index where it
narrows more, then global indexes by how many conditions their keys take up, then the order of declaration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lift_dynamorm.conditions import Condition, Every, Literal, Name, Predicate, attributes, every, sort_value
from lift_dynamorm.errors import InvalidValue, QueryError
from lift_dynamorm.keys import LAST, SEPARATOR, Part, looks_like_tenant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lift_dynamorm.indexes import Index, KeyAttribute
    from lift_dynamorm.schema import Schema

    Wire = dict[str, Any]

_LOWER = (">", ">=")
_UPPER = ("<", "<=")
_RANGES = (*_LOWER, *_UPPER, "between", "begins_with")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a query is answered.

    key: the key condition. filter: what DynamoDB evaluates on each item it reads. local: what is evaluated
    here, because DynamoDB allows no filter on a key. forward: in ascending order of the sort key. empty: no
    item can match, so nothing is sent. rejected: why the other indexes were not taken.
    """

    index: Index
    key: Condition
    filter: Condition | None
    local: Condition | None
    forward: bool
    empty: bool
    rejected: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Candidate:
    index: Index
    key: list[Condition] = field(default_factory=list)
    used: list[Predicate] = field(default_factory=list)
    next: str | None = None
    empty: bool = False

    def add_range(self, name: Name, low: Wire, high: Wire) -> None:
        """Add a range to the key condition; DynamoDB refuses an empty bound, and one whose ends are crossed."""
        if _is_blank(low):
            self.key.append(Predicate("<=", name, (Literal(high),)))
        else:
            self.key.append(Predicate("between", name, (Literal(low), Literal(high))))
        self.empty |= _is_blank(high) or bool(sort_value(low) > sort_value(high))


def plan(
    schema: Schema[Any],
    conditions: Sequence[Condition],
    prefix: str,
    *,
    order: tuple[str, bool] | None = None,
    index: str | None = None,
    consistent: bool = False,
) -> Plan:
    """Plan a query; raises QueryError where no index answers it.

    order: the attribute to sort by, and whether ascending. index: the only index to consider.
    """
    schema.check_tenant(prefix)
    query = _Query(schema, conditions, prefix)
    candidates: list[_Candidate] = []
    rejected: list[tuple[str, str]] = []
    for possible in (schema.key, *schema.indexes):
        reason = _unwanted(possible, index, consistent)
        candidate = None if reason else query.try_index(possible)
        if candidate is None:
            missing = sorted(
                f"`{schema.name_of(a)}`" for k in possible.partition for a in k.fields if a not in query.equal
            )
            reason = reason or f"needs {' and '.join(missing)} = ..."
        elif order is not None and order[0] not in query.equal and candidate.next != order[0]:
            reason = f"is not sorted by `{schema.name_of(order[0])}`"
        elif beyond := query.beyond(possible):
            reason = f"does not hold {' and '.join(f'`{schema.name_of(a)}`' for a in sorted(beyond))}"
        if reason:
            rejected.append((str(possible), reason))
        elif candidate is not None:
            candidates.append(candidate)
    if not candidates:
        raise _no_index(schema, index, order, rejected)
    best = max(candidates, key=query.preference)
    rejected += [(str(c.index), f"comes behind {best.index}") for c in candidates if c is not best]
    rest = [c for c in query.conjuncts if not any(c is u for u in best.used)]
    keys = frozenset(best.index.attributes)
    return Plan(
        best.index,
        every(best.key) or Every(()),
        every(c for c in rest if attributes(c).isdisjoint(keys)),
        every(c for c in rest if not attributes(c).isdisjoint(keys)),
        order is None or order[1],
        best.empty,
        tuple(rejected),
    )


def _unwanted(index: Index, wanted: str | None, consistent: bool) -> str:
    if wanted is not None and wanted != str(index):
        return f"was not asked for: .index({wanted!r}) was"
    if consistent and index.kind == "global":
        return "is global and cannot be read consistently"
    return ""


def _no_index(
    schema: Schema[Any], index: str | None, order: tuple[str, bool] | None, rejected: Sequence[tuple[str, str]]
) -> QueryError:
    if index is not None and index not in {name for name, _ in rejected if name == index}:
        names = ", ".join(str(i) for i in (schema.key, *schema.indexes))
        return QueryError(f"{schema.name} has no index {index!r}; it has {names}")
    reasons = "; ".join(f"{name} {reason}" for name, reason in rejected)
    by = f" sorted by `{schema.name_of(order[0])}`" if order else ""
    return QueryError(
        f"no index answers this query on {schema.name}{by}: {reasons}. "
        "A query needs an equality condition on each field of a partition key"
    )


class _Query:
    """The conditions of a query, by the attribute they are about."""

    def __init__(self, schema: Schema[Any], conditions: Sequence[Condition], prefix: str) -> None:
        self.schema = schema
        self.prefix = prefix
        joined = every(conditions)
        self.conjuncts = joined.tests if isinstance(joined, Every) else () if joined is None else (joined,)
        self.equal: dict[str, Wire] = {}
        self.equalities: dict[str, Predicate] = {}
        self.ranges: dict[str, list[Predicate]] = {}
        for test in self.conjuncts:
            if not isinstance(test, Predicate) or not isinstance(test.left, Name) or len(test.left.parts) > 1:
                continue
            if not all(isinstance(operand, Literal) for operand in test.right):
                continue
            attribute = str(test.left.parts[0])
            if test.op == "=":
                # Of several that contradict each other any will do, as long as it is the same in any order.
                if attribute not in self.equal or repr(_wire(test)) < repr(self.equal[attribute]):
                    self.equalities[attribute] = test
                    self.equal[attribute] = _wire(test)
            elif test.op in _RANGES:
                self.ranges.setdefault(attribute, []).append(test)
        self.bare = schema.without_prefix(dict(self.equal), prefix) if prefix else self.equal

    def beyond(self, index: Index) -> frozenset[str]:
        """Name the attributes of the model that an index does not hold; none for one that projects all."""
        if index.projected is None:
            return frozenset()
        held = index.projected.union(self.schema.key.attributes, index.attributes)
        return frozenset(self.schema.by_attribute) - held

    def preference(self, candidate: _Candidate) -> tuple[object, ...]:
        """Rank a candidate: the table's own, then what holds every item, then what takes up most conditions."""
        index = candidate.index
        complete = not self.may_lack(index)
        kind = (
            2 if index.kind == "table" or (index.kind == "local" and complete) else 1 if index.kind == "global" else 0
        )
        return kind, complete, len(candidate.used), index.name is None

    def may_lack(self, index: Index) -> bool:
        """Tell whether items that match the query may be missing in an index, for want of a field of its key."""
        for attribute in index.fields if index.name is not None else ():
            codec = self.schema.by_attribute[attribute].codec
            known = attribute in self.equal or attribute in self.ranges
            if codec.nullable and not known:
                return True
        return False

    def try_index(self, index: Index) -> _Candidate | None:
        """See whether the conditions name one partition of an index, and how far they go into its sort key."""
        candidate = _Candidate(index)
        for key in index.partition:
            if any(attribute not in self.equal for attribute in key.fields):
                return None
            try:
                wire = key.render(self.bare, self.prefix, "partition")
            except InvalidValue as error:  # empty or too long: no item has such a key
                if (
                    not self.prefix
                    and key.template is None
                    and looks_like_tenant(self.bare[key.attribute].get("S", ""))
                ):
                    raise self.schema.invalid(self.schema.name_of(key.attribute), error) from None
                candidate.empty, wire = True, {"S": ""}
            if wire is None:
                return None
            candidate.key.append(Predicate("=", Name((key.attribute,)), (Literal(wire),)))
            candidate.used += [self.equalities[a] for a in key.fields]
        for key in index.sort:
            going_on = self._template(candidate, key) if key.template is not None else self._plain(candidate, key)
            if not going_on:
                break
        return candidate

    def _plain(self, candidate: _Candidate, key: KeyAttribute) -> bool:
        name = Name((key.attribute,))
        equal = self.equalities.get(key.attribute)
        if equal is not None:
            candidate.key.append(equal)
            candidate.used.append(equal)
            candidate.empty |= _is_blank(_wire(equal))
            return True
        candidate.next = key.attribute
        tests = []
        for test in self.ranges.get(key.attribute, []):
            if test.op != "between" and _is_blank(_wire(test)):  # DynamoDB refuses it, and every key is more
                candidate.used.append(test)
                candidate.empty |= test.op in _UPPER
            else:
                tests.append(test)
        prefixes = [test for test in tests if test.op == "begins_with"]
        if prefixes:
            longest = _longest(prefixes)
            candidate.key.append(longest)
            candidate.used.append(longest)
            return False
        if len(tests) == 1 and tests[0].op != "between":
            candidate.key.append(tests[0])
            candidate.used.append(tests[0])
            return False
        lows = [_wire(t) for t in tests if t.op in (*_LOWER, "between")]
        highs = [_wire(t, -1) for t in tests if t.op in (*_UPPER, "between")]
        low = max(lows, key=sort_value, default=None)
        high = min(highs, key=sort_value, default=None)
        if low is not None and high is not None:
            candidate.add_range(name, low, high)
            candidate.used += [t for t in tests if t.op in (">=", "<=", "between")]
        elif tests:
            strongest = max(tests, key=_strength) if low is not None else min(tests, key=_strength)
            candidate.key.append(strongest)
            candidate.used += tests
        return False

    def _template(self, candidate: _Candidate, key: KeyAttribute) -> bool:
        assert key.template is not None
        name = Name((key.attribute,))
        text, part = key.template.lead(self.bare)
        used = key.fields if part is None else key.fields[: key.fields.index(part.field)]
        candidate.used += [self.equalities[a] for a in used]
        if part is None:
            candidate.key.append(Predicate("=", name, (Literal({"S": text}),)))
            return True
        tests = self.ranges.get(part.field, [])
        final = part.field == key.fields[-1] and not key.template.literals[-1]
        if final or self.schema.by_attribute[part.field].codec.kinds[0] is not str:
            candidate.next = part.field  # text in front of other text sorts by what follows it
        prefixes = [test for test in tests if test.op == "begins_with"]
        if prefixes:
            longest = _longest(prefixes)
            start = text + part.text(_wire(longest), ordered=True)
            if start:
                candidate.key.append(Predicate("begins_with", name, (Literal({"S": start}),)))
            candidate.used.append(longest)
        elif tests:
            low, high = _bounds(tests, part, final=final)
            candidate.add_range(name, {"S": text + low}, {"S": text + high})
            if final:
                candidate.used += [t for t in tests if t.op in (">=", "<=", "between")]
        elif text:
            candidate.key.append(Predicate("begins_with", name, (Literal({"S": text}),)))
        return False


def _bounds(tests: Sequence[Predicate], part: Part, *, final: bool) -> tuple[str, str]:
    """Give the narrowest range of key text that holds every value the tests allow.

    Where more text follows the part, a value that is a prefix of another one sorts by that text, so the upper
    bound is cut at the first character in front of ``#``.
    """
    lows = [part.text(_wire(t), ordered=True) for t in tests if t.op in (*_LOWER, "between")]
    highs = [part.text(_wire(t, -1), ordered=True) for t in tests if t.op in (*_UPPER, "between")]
    high = min(highs, default=None)
    if high is None:
        return max(lows, default=""), LAST
    if not final:
        cut = next((i for i, character in enumerate(high) if character < SEPARATOR), len(high))
        high = high[:cut] + LAST
    return max(lows, default=""), high


def _wire(test: Predicate, at: int = 0) -> Wire:
    operand = test.right[at]
    assert isinstance(operand, Literal)
    return operand.wire


def _strength(test: Predicate) -> tuple[Any, bool]:
    return sort_value(_wire(test)), test.op in (">", "<=")


def _longest(prefixes: Sequence[Predicate]) -> Predicate:
    return max(prefixes, key=lambda test: (len(sort_value(_wire(test))), sort_value(_wire(test))))


def _is_blank(wire: Wire) -> bool:
    return wire in ({"S": ""}, {"B": ""})  # empty text, or empty bytes in base64
