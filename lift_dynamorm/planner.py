"""Choose the index that answers a query, and split its conditions into key, filter and local ones.

The choice does not depend on the order of conditions: the table's own key first, then a local index where it
narrows more, then global indexes by how many conditions their keys take up, then the order of declaration.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any

from lift_dynamorm.conditions import (
    Condition,
    Every,
    Literal,
    Name,
    Predicate,
    attributes,
    conjuncts,
    every,
    sort_value,
)
from lift_dynamorm.errors import InvalidValue, QueryError
from lift_dynamorm.keys import LAST, SEPARATOR, Part, looks_like_tenant
from lift_dynamorm.limits import within_limits
from lift_dynamorm.restore import restorable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lift_dynamorm.indexes import Index, KeyAttribute
    from lift_dynamorm.schema import Schema

    Wire = dict[str, Any]

_LOWER = (">", ">=")
_UPPER = ("<", "<=")
_RANGES = (*_LOWER, *_UPPER, "between", "begins_with")
_NO_FIELD = "what is no field"
_UNSORTED = "is not sorted by"


@dataclass(frozen=True, slots=True)
class Considered:
    """An index that could have answered a query: whether it does, and why or why not."""

    index: str
    taken: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """How a query is answered.

    key: the key condition. filter: what DynamoDB evaluates on each item it reads. local: what is evaluated here,
    because DynamoDB cannot: no filter may look at a key, or at what the index lacks, or be too long. forward: in
    ascending order of the sort key. empty: no item can match, so nothing is sent. stored: the attributes that the
    index holds, None for all. fetch: it gives the keys, and the items are loaded by them. missing: the attributes
    without which an item is not in the index, though it may match.
    """

    index: Index
    key: Condition
    filter: Condition | None
    local: Condition | None
    forward: bool
    empty: bool
    stored: frozenset[str] | None
    fetch: bool
    missing: tuple[str, ...] = ()
    considered: tuple[Considered, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for besides conditions.

    order: the attribute to sort by, and whether ascending. index: the only index to consider. attributes: what is
    needed of each item; None for all of it. fetch: an index may lack some of that, for the items are loaded by their
    keys. others: models whose items are wanted too, out of the same partition.
    """

    order: tuple[str, bool] | None = None
    index: str | None = None
    consistent: bool = False
    attributes: frozenset[str] | None = None
    fetch: bool = False
    others: tuple[Schema[Any], ...] = ()


@dataclass(slots=True)
class _Candidate:
    index: Index
    key: list[Condition] = field(default_factory=list)
    used: list[Predicate] = field(default_factory=list)
    next: str | None = None
    empty: bool = False
    fetch: bool = False

    def add_range(self, name: Name, low: Wire, high: Wire) -> None:
        """Add a range to the key condition; DynamoDB refuses an empty bound, and one whose ends are crossed."""
        if _is_blank(low):
            self.key.append(Predicate("<=", name, (Literal(high),)))
        else:
            self.key.append(Predicate("between", name, (Literal(low), Literal(high))))
        self.empty |= _is_blank(high) or bool(sort_value(low) > sort_value(high))


_EVERYTHING = Wanted()


def plan(schema: Schema[Any], conditions: Sequence[Condition], prefix: str, wanted: Wanted = _EVERYTHING) -> Plan:
    """Plan a query; raises QueryError where no index answers it."""
    for each in (schema, *wanted.others):
        each.check_tenant(prefix)
    query = _Query(schema, conditions, prefix, wanted)
    candidates: list[_Candidate] = []
    considered: list[Considered] = []
    for index in (schema.key, *schema.indexes):
        found = query.consider(index)
        if isinstance(found, str):
            considered.append(Considered(str(index), False, found))
        else:
            candidates.append(found)
    if not candidates:
        raise _no_index(schema, wanted, considered)
    best = max(candidates, key=query.preference)
    considered = [Considered(str(best.index), True, query.merit(best)), *considered]
    considered += [Considered(str(c.index), False, query.demerit(c, best)) for c in candidates if c is not best]
    rest = [c for c in query.tests if not any(c is u for u in best.used)]
    if wanted.others and rest:
        raise QueryError(_only_the_partition(schema, best.index, rest))
    keys = frozenset(best.index.attributes)
    stored = query.stored(best.index)
    possible = [c for c in rest if attributes(c).isdisjoint(keys) and (stored is None or attributes(c) <= stored)]
    filters = within_limits(possible)
    return Plan(
        best.index,
        every(best.key) or Every(()),
        every(filters),
        every(c for c in rest if not any(c is f for f in filters)),
        wanted.order is None or wanted.order[1],
        best.empty,
        stored,
        best.fetch,
        query.missing(best.index),
        tuple(considered),
    )


def _no_index(schema: Schema[Any], wanted: Wanted, considered: Sequence[Considered]) -> QueryError:
    if wanted.index is not None and wanted.index not in [each.index for each in considered]:
        return unknown_index(schema, wanted.index)
    asked = [each for each in considered if wanted.index in (None, each.index)]
    reasons = "; ".join(f"{each.index} {each.reason}" for each in asked)
    by = f" sorted by `{schema.name_of(wanted.order[0])}`" if wanted.order else ""
    mend = ""
    if "does not hold" in reasons:
        mend = "Name what is needed of each item by .only(...), or load the items by the keys in the index: .fetch(). "
        if schema.expiry is not None and f"`{schema.name_of(schema.expiry)}`" in reasons:
            mend += f"`{schema.name_of(schema.expiry)}` is needed unless you say .include_expired(). "
    if wanted.index is not None:
        return QueryError(f"that index does not answer this query on {schema.name}{by}: {reasons}. {mend}".rstrip())
    if _UNSORTED not in reasons:
        mend += (
            "A query needs an equality condition on each field of a partition key. "
            f"To read the whole table say scan({schema.name})"
        )
    return QueryError(f"no index answers this query on {schema.name}{by}: {reasons}. {mend}".rstrip())


def unknown_index(schema: Schema[Any], name: str) -> QueryError:
    """Make the error for an index that is not there, with those that are."""
    names = ", ".join(str(index) for index in (schema.key, *schema.indexes))
    return QueryError(f"{schema.name} has no index {name!r}; it has {names}")


def _only_the_partition(schema: Schema[Any], index: Index, rest: Sequence[Condition]) -> str:
    wrong = sorted({f"`{schema.name_of(a)}`" for condition in rest for a in attributes(condition)})
    fields = " and ".join(f"`{schema.name_of(a)}`" for key in index.partition for a in key.fields)
    return (
        f"a query for several models names a partition of {index} and nothing else: {fields} = ...; take the condition "
        f"on {' and '.join(wrong)} away, and pick from what comes"
    )


class _Query:
    """The conditions of a query, by the attribute they are about."""

    def __init__(self, schema: Schema[Any], conditions: Sequence[Condition], prefix: str, wanted: Wanted) -> None:
        self.schema = schema
        self.prefix = prefix
        self.wanted = wanted
        self.tests = conjuncts(every(conditions))
        self.equal: dict[str, Wire] = {}
        self.equalities: dict[str, Predicate] = {}
        self.ranges: dict[str, list[Predicate]] = {}
        for test in self.tests:
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
        self.never = _contradict(self.tests)
        self.bare = schema.without_prefix(dict(self.equal), prefix) if prefix else self.equal

    def consider(self, index: Index) -> _Candidate | str:
        """Make an index a candidate, or say what speaks against it."""
        wanted = self.wanted
        if wanted.index is not None and wanted.index != str(index):
            return f"was not asked for: .index({wanted.index!r}) was"
        if wanted.consistent and index.kind == "global":
            return "is global and cannot be read consistently"
        for other in wanted.others:
            if not any(_alike(index, theirs) for theirs in (other.key, *other.indexes)):
                return f"is none of {other.name}"
        candidate = self.try_index(index)
        if candidate is None:
            missing = {self.schema.name_of(a) for k in index.partition for a in k.fields if a not in self.equal}
            return f"needs {' and '.join(f'`{name}`' for name in sorted(missing))} = ..."
        if wanted.order is not None and not self.sorts(candidate, wanted.order[0]):
            return f"{_UNSORTED} `{self.schema.name_of(wanted.order[0])}`{self.sorting(candidate, wanted.order[0])}"
        lacking = self.lacking(index)
        if lacking and not wanted.fetch:
            return f"does not hold {' and '.join(sorted(lacking))}"
        candidate.fetch = bool(lacking)
        return candidate

    def sorts(self, candidate: _Candidate, attribute: str) -> bool:
        """Tell whether what an index gives is sorted by an attribute; its own sort key attribute is one too."""
        first = candidate.index.sort[:1]
        return attribute in self.equal or attribute in (candidate.next, *(key.attribute for key in first))

    def sorting(self, candidate: _Candidate, attribute: str) -> str:
        """Say what an index is sorted by instead of an attribute."""
        if not candidate.index.sort:
            return ", for it has no sort key"
        first = candidate.index.sort[0]
        if first.template is None:
            return f", but by `{self.schema.name_of(candidate.next or first.attribute)}`"
        free = next((name for name in first.fields if name not in self.equal), None)
        if attribute == free and not self.wanted.others:
            return f', for other text follows it in `{first.attribute}`; sort by that: order_by("{first.attribute}")'
        names = (candidate.next, first.attribute)
        return f", but by {' or '.join(f'`{self.schema.name_of(name)}`' for name in names if name is not None)}"

    def stored(self, index: Index) -> frozenset[str] | None:
        """Name the attributes that an index holds; None for all."""
        return None if index.projected is None else index.projected.union(self.schema.key.attributes, index.attributes)

    def lacking(self, index: Index) -> list[str]:
        """Say which of the attributes that are needed an index does not hold, by the names of their fields."""
        stored = self.stored(index)
        if stored is None:
            return []
        needed = self.wanted.attributes
        whole = needed is None
        if needed is None:
            needed = frozenset().union(*(s.by_attribute for s in (self.schema, *self.wanted.others)))
        held = stored if self.wanted.others else stored | restorable(self.schema, index)
        lacks = needed.union(*map(attributes, self.tests)) - held
        names = [f"`{self.schema.name_of(attribute)}`" for attribute in sorted(lacks)]
        return [*names, _NO_FIELD] if whole and self.schema.model.model_config.get("extra") == "allow" else names

    def preference(self, candidate: _Candidate) -> tuple[int, ...]:
        """Rank a candidate: the table's own, then what holds every item, then what takes up most conditions."""
        index = candidate.index
        complete = not self.missing(index)
        kind = 1 if index.kind == "global" else 2 if index.kind == "table" or complete else 0
        return kind, complete, not candidate.fetch, len(candidate.used), index.name is None

    def merit(self, best: _Candidate) -> str:
        """Say why a candidate is taken."""
        used = {a for test in best.used for a in attributes(test)}
        if best.next in self.ranges:
            used.add(best.next)
        names = sorted(map(self.schema.name_of, used))
        taken = f"is narrowed by {' and '.join(f'`{name}`' for name in names)}" if names else "has a constant key"
        return taken + (", and the items are loaded by their keys" if best.fetch else "")

    def demerit(self, candidate: _Candidate, best: _Candidate) -> str:
        """Say why a candidate comes behind another."""
        reasons = (
            f"lags behind {best.index}" if candidate.index.kind == "global" else "may lack items that match",
            "may lack items that match",
            "would need the items to be loaded by their keys",
            f"is narrowed by fewer conditions than {best.index}",
        )
        ranks = zip(self.preference(best), self.preference(candidate), reasons, strict=False)
        return next((reason for ours, theirs, reason in ranks if ours != theirs), f"is no better than {best.index}")

    def missing(self, index: Index) -> tuple[str, ...]:
        """Name the fields without which an item that matches is not in an index; none where all that match are."""
        optional = (a for a in index.fields if self.schema.by_attribute[a].codec.nullable)
        known = self.equal.keys() | self.ranges.keys()
        return () if index.name is None else tuple(sorted(a for a in optional if a not in known))

    def try_index(self, index: Index) -> _Candidate | None:
        """See whether the conditions name one partition of an index, and how far they go into its sort key."""
        candidate = _Candidate(index, empty=self.never)
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
        for key in () if self.wanted.others else index.sort:
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

    def _bared(self, test: Predicate) -> Predicate:
        """Take the tenant off what a field is compared with, as templates hold it."""
        assert isinstance(test.left, Name)
        name = str(test.left.parts[0])
        bare = (self.schema.without_prefix({name: _wire(test, at)}, self.prefix) for at in range(len(test.right)))
        return replace(test, right=tuple(Literal(wires[name]) for wires in bare)) if self.prefix else test

    def _template(self, candidate: _Candidate, key: KeyAttribute) -> bool:
        assert key.template is not None
        name = Name((key.attribute,))
        try:
            text, part = key.template.lead(self.bare)
        except InvalidValue:  # a number that its padded part cannot hold: no item has such a key
            candidate.empty = True
            return False
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
            start = text + part.text(_wire(self._bared(longest)), ordered=True)
            if start:
                candidate.key.append(Predicate("begins_with", name, (Literal({"S": start}),)))
            candidate.used.append(longest)
        elif tests:
            bounds = _bounds([self._bared(test) for test in tests], part, final=final)
            if bounds is None:
                candidate.empty = True
                return False
            low, high = bounds
            candidate.add_range(name, {"S": text + low}, {"S": text + high})
            if final:
                candidate.used += [t for t in tests if t.op in (">=", "<=", "between")]
        elif text:
            candidate.key.append(Predicate("begins_with", name, (Literal({"S": text}),)))
        return False


def _bounds(tests: Sequence[Predicate], part: Part, *, final: bool) -> tuple[str, str] | None:
    """Give the narrowest range of key text that holds every value the tests allow; None where they allow none.

    Where more text follows the part, a value that is a prefix of another one sorts by that text, so the upper
    bound is cut at the first character in front of ``#``.
    """
    lows = [_bound(part, _wire(t), low=True) for t in tests if t.op in (*_LOWER, "between")]
    highs = [_bound(part, _wire(t, -1), low=False) for t in tests if t.op in (*_UPPER, "between")]
    if None in lows or None in highs:
        return None
    low = max((text for text in lows if text is not None), default="")
    high = min((text for text in highs if text is not None), default=None)
    if high is None:
        return low, LAST
    if not final:
        cut = next((i for i, character in enumerate(high) if character < SEPARATOR), len(high))
        high = high[:cut] + LAST
    return low, high


def _bound(part: Part, wire: Wire, *, low: bool) -> str | None:
    """Render a bound of a range; for a padded part the nearest number that it can hold, None where there is none."""
    if part.width:
        most = 10**part.width - 1
        number = Decimal(wire["N"]).to_integral_value(ROUND_CEILING if low else ROUND_FLOOR)
        if number > most if low else number < 0:
            return None
        wire = {"N": str(max(0, min(int(number), most)))}
    return part.text(wire, ordered=True)


def _contradict(tests: Sequence[Condition]) -> bool:
    """Tell whether a condition that can never hold is one of those that must, as `is_in` nothing."""
    there, absent = (
        {test.left for test in tests if isinstance(test, Predicate) and test.op == op and isinstance(test.left, Name)}
        for op in ("attribute_exists", "attribute_not_exists")
    )
    return not there.isdisjoint(absent)


def _alike(index: Index, other: Index) -> bool:
    """Tell whether two models mean the same index of a table: by its name and by what its key attributes are called."""
    return (index.name, index.kind, index.attributes, len(index.partition)) == (
        other.name,
        other.kind,
        other.attributes,
        len(other.partition),
    )


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
