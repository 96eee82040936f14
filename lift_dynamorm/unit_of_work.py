"""The writes of a transaction, held back until it commits, and seen by the reads inside it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lift_dynamorm.conditions import Condition, Literal, Name, attributes, conjuncts, every, joined, sort_value
from lift_dynamorm.errors import TransactionTooLarge, UsageError
from lift_dynamorm.model import note_shown, remember, shown_fields, stored_item
from lift_dynamorm.updates import Change, IfNotExists, Sum, apply, is_plain, reads, sources

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from lift_dynamorm.model import Model
    from lift_dynamorm.operations.write import Write
    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]
    Identity = tuple[Any, ...]
    Mark = tuple[dict[Identity, "Pending"], int, bool, int]


MAX_OPERATIONS = 100


class Pending:
    """One item that the transaction writes: the write as it will be sent, the item before and after it.

    confirmed: `before` is what is stored, and not only what an instance without a version was once read as.
    """

    __slots__ = ("after", "before", "confirmed", "write")

    def __init__(self, write: Write, before: Item | None, after: Item | None, *, confirmed: bool) -> None:
        self.confirmed: bool = confirmed
        self.write: Write = write
        self.before: Item | None = before
        self.after: Item | None = after

    def confirm(self, stored: Item | None) -> None:
        """Take note of what is stored under the key."""
        self.before, self.after, self.confirmed = stored, self.write.project(stored) if stored else None, True


class _Undo:
    """What an instance showed before a write was enrolled."""

    __slots__ = ("_added", "_changed", "_extra", "_fields_set", "_instance", "_shown", "_stored", "_values")

    def __init__(self, instance: Model) -> None:
        self._instance = instance
        self._values = dict(instance.__dict__)
        self._fields_set = set(instance.model_fields_set)
        self._extra = dict(instance.model_extra) if instance.model_extra is not None else None
        self._stored = stored_item(instance)
        self._shown = shown_fields(instance)

    def note_changes(self) -> None:
        """Note what the write changed, so that later changes by the caller are left alone."""
        now = self._instance.__dict__
        self._changed = {name: value for name, value in self._values.items() if now.get(name) is not value}
        self._added = {name: now.get(name) for name in self._instance.model_fields_set - self._fields_set}

    def restore(self) -> None:
        now = self._instance.__dict__
        untouched = {name for name, value in self._added.items() if now.get(name) is value}
        now.update(self._changed)
        self._instance.model_fields_set.difference_update(untouched)
        if self._extra is not None and self._instance.model_extra is not None:
            self._instance.model_extra.clear()
            self._instance.model_extra.update(self._extra)
        remember(self._instance, self._stored)
        if self._shown is not None:
            note_shown(self._instance, self._shown)


class UnitOfWork:
    """Collect writes; two writes to one item become one, or are refused.

    Instances show the outcome at once, so that a response can be made from them, and get their old values
    back when the transaction does not commit.

    afterwards: what is to be called once the writes are stored.
    """

    def __init__(self) -> None:
        self.afterwards: list[Callable[[], Awaitable[None] | None]] = []
        self._pending: dict[Identity, Pending] = {}
        self._undo: list[_Undo] = []
        self._reads: dict[Identity, Write] | None = None

    def __bool__(self) -> bool:
        return bool(self._pending)

    @property
    def writes(self) -> list[Write]:
        """The writes to send, in the order in which their items were first written, and checks of what was read."""
        writes = {at: pending.write for at, pending in self._pending.items()}
        for at, read in (self._reads or {}).items():
            write = writes.get(at)
            if write is None:
                writes[at] = read
            else:
                writes[at] = replace(write, guard=joined(write.guard, read.guard), seen=joined(write.seen, read.guard))
        if len(writes) > MAX_OPERATIONS:
            raise too_many(len(writes))
        return list(writes.values())

    def find(self, schema: Schema[Any], key: Item) -> Pending | None:
        """The pending write to an item, None where there is none."""
        pending = self._pending.get(identity(schema, key))
        return pending if pending is not None and pending.write.kind != "check" else None

    def touching(self, schema: Schema[Any]) -> Iterator[tuple[Identity, Pending]]:
        """Every pending write to the table of a model."""
        for key, pending in self._pending.items():
            if key[0] == schema.table.name and pending.write.kind != "check":
                yield key, pending

    @property
    def keeps_reads(self) -> bool:
        """What is read becomes a condition of the commit."""
        return self._reads is not None

    def keep_reads(self) -> None:
        """From now on make what is read a condition of the commit."""
        if self._reads is None:
            self._reads = {}

    def note_read(self, check: Write) -> None:
        """Keep a check of what was read.

        Every reading of an item counts: two that differ cannot both hold, and the commit fails, as it must.
        """
        assert self._reads is not None
        at = identity(check.schema, check.key)
        known = self._reads.get(at)
        if known is not None:
            seen = joined(known.guard, check.guard)
            check = replace(check, guard=seen, seen=seen)
        self._reads[at] = check

    def add(self, write: Write, before: Item | None, prefix: str) -> Item | None:
        """Enroll a write. Returns the item as it will be.

        before: the item as stored, as far as the caller knows; of use to an update only. A write to an item that
        is pending already is checked here and now. Raises what DynamoDB would make us raise, and UsageError
        where the two cannot be made one.
        """
        key = identity(write.schema, write.key)
        known = self._pending.get(key)
        confirmed = write.kind != "update" or write.instance is None or write.expected is not None
        if known is None:
            if len(self._pending) >= MAX_OPERATIONS:
                raise too_many(len(self._pending) + 1)
            after = write.project(before)
            pending = Pending(write, before, after, confirmed=confirmed)
        elif known.write.kind == "check":
            after = write.project(before)
            merged = replace(write, guard=joined(known.write.guard, write.guard))
            pending = Pending(merged, before, after, confirmed=confirmed)
        else:
            write.check(known.after, prefix)
            after = write.project(known.after)
            guard = _joined_guard(known, write)
            merged = replace(_merge(known, write, after), guard=guard)
            pending = Pending(merged, known.before, after, confirmed=known.confirmed)
        if pending.write.kind == "update" and write.returning:
            pending.write.pin(pending.before)
        self._settle(write, after, prefix)
        self._pending[key] = pending
        return after

    def _settle(self, write: Write, after: Item | None, prefix: str) -> None:
        if write.instance is not None:
            undo = _Undo(write.instance)
            write.settle(after, prefix)
            self._undo.append(undo)
            self.note_changes()

    def note_changes(self) -> None:
        """Note what the last write, and the hooks behind it, have made of its instance."""
        if self._undo:
            self._undo[-1].note_changes()

    def mark(self) -> Mark:
        """Remember the state as it is, for `rollback`."""
        return dict(self._pending), len(self._undo), self.keeps_reads, len(self.afterwards)

    def rollback(self, to: Mark | None = None) -> None:
        """Forget the writes, or those since a mark, and give instances back the values they had.

        What was read since the mark stays a condition where reads were kept already: the caller has seen it.
        """
        self._pending, undone, kept, afterwards = to or ({}, 0, False, 0)
        del self.afterwards[afterwards:]
        if not kept:
            self._reads = None
        while len(self._undo) > undone:
            self._undo.pop().restore()

    def clear(self) -> None:
        """Forget the writes, once they are stored."""
        self._pending.clear()
        self._undo.clear()


def identity(schema: Schema[Any], key: Mapping[str, Any]) -> Identity:
    """Tell items apart: table and key values, numbers by value."""
    return (schema.table.name, *(sort_value(key[attribute]) for attribute in schema.key.attributes))


def _merge(known: Pending, write: Write, after: Item | None) -> Write:
    """Make one write of two to the same item. The first one's guard stays: it is about the stored item."""
    first = known.write
    if write.kind == "check":
        return first
    if write.kind == "update":
        if first.kind == "update":
            changes = _merge_changes(first.changes, write.changes, known, write.schema.name)
            return replace(write, changes=changes, expected=first.expected, verb=first.verb)
        return replace(write, kind="put", item=after, changes=(), expected=first.expected, verb=first.verb)
    verb = first.verb if first.kind == "put" else write.verb
    return replace(write, expected=first.expected, verb=verb, missing_ok=first.missing_ok)


def _joined_guard(known: Pending, write: Write) -> Condition | None:
    """Make the guard of two writes: what the second one requires and the first one does not settle joins the first's.

    A put or a deletion settles everything, and so does a version lock. An update settles what it sets to a plain
    value, and what it calculates where the values it read are conditions of the commit.
    """
    first = known.write
    if first.kind != "update" or first.expected is not None or write.guard is None:
        return first.guard
    whole = [change for change in first.changes if len(change.target.parts) == 1]
    settled = {str(change.target.parts[0]) for change in whole if first.returning or is_plain(change)}
    written = {str(c.target.parts[0]) for c in first.changes}
    more = []
    for test in conjuncts(write.guard):
        looked_at = attributes(test)
        if not looked_at & written:
            more.append(test)
        elif not looked_at <= settled:
            raise UsageError(
                f"the transaction changes a {write.schema.name}, and then makes a write depend on what it cannot "
                "know of the outcome; give both in one update"
            )
    return joined(first.guard, every(more))


def _merge_changes(first: Sequence[Change], second: Sequence[Change], known: Pending, model: str) -> tuple[Change, ...]:
    by_target = {change.target.parts: change for change in first}
    written = {parts[0] for parts in by_target}
    for change in second:
        parts = change.target.parts
        earlier = by_target.get(parts)
        if earlier is None and any(p[: len(parts)] == parts or parts[: len(p)] == p for p in by_target):
            raise _unmergeable(model, change)
        if any(_moves(p, parts) for p in by_target):
            raise _unmergeable(model, change)
        plain = isinstance(change.value, Literal | None) and change.action in ("SET", "REMOVE")
        if plain or (earlier is None and not (sources(change.value) & written)):
            by_target[parts] = change
        else:
            by_target[parts] = _combine(earlier, change, by_target, known, model)
    return tuple(by_target.values())


def _moves(one: tuple[str | int, ...], other: tuple[str | int, ...]) -> bool:
    """Tell whether one of two paths may add an element to, or take one out of, the list that both lead into."""
    shared = min(len(one), len(other)) - 1
    return any(
        isinstance(one[i], int) and isinstance(other[i], int) and one[:i] == other[:i]
        for i in {len(one) - 1, len(other) - 1}
        if i <= shared
    )


def _combine(
    earlier: Change | None, change: Change, by_target: Mapping[Any, Change], known: Pending, model: str
) -> Change:
    """Make one change of two to the same attribute: on top of a plain value, or as one sum."""
    target = change.target
    read = reads(change)
    plain = {str(c.target.parts[0]) for c in by_target.values() if is_plain(c)}
    if read <= plain and len(target.parts) == 1:
        wire = apply([change], known.after or {}).get(str(target.parts[0]))
        return Change("REMOVE", target) if wire is None else Change("SET", target, Literal(wire))
    match earlier, change:
        case (
            Change("SET", _, Sum(first_op, left, Literal(a))),
            Change("SET", _, Sum(second_op, again, Literal(b))),
        ) if left == again:
            start = {"n": {"N": "0"}}
            name = Name(("n",))
            for op, wire in ((first_op, a), (second_op, b)):
                start = apply([Change("SET", name, Sum(op, name, Literal(wire)))], start)
            return Change("SET", target, Sum("+", left, Literal(start["n"])))
        case (
            Change("SET", _, IfNotExists(name, _)),
            Change("SET", _, IfNotExists(again, _)),
        ) if name == again == target:
            return earlier  # there is a value now, whichever it is
        case Change("ADD", _, Literal(a)), Change("ADD", _, Literal(b)):
            total = apply([Change("ADD", Name(("n",)), Literal(b))], {"n": a})
            return Change("ADD", target, Literal(total["n"]))
    raise _unmergeable(model, change)


def _unmergeable(model: str, change: Change) -> UsageError:
    return UsageError(
        f"the transaction changes `{change.target.parts[0]}` of one {model} twice in ways that cannot be made one "
        "operation; give both changes in one update"
    )


def too_many(count: int) -> TransactionTooLarge:
    return TransactionTooLarge(
        f"the transaction holds {count} operations; DynamoDB allows {MAX_OPERATIONS}. "
        "Split the work over several transactions, or write outside of one"
    )
