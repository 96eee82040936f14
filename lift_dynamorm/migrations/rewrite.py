"""What a transform makes of one stored item: the writes that do it, and what must hold for them."""

from __future__ import annotations

import copy
import inspect
import typing
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lift_dynamorm import updates
from lift_dynamorm.conditions import (
    Literal,
    Name,
    Placeholders,
    Predicate,
    Some,
    attributes,
    conjuncts,
    evaluate,
    every,
    render,
    same,
)
from lift_dynamorm.errors import DynamORMError, MigrationFailed, UsageError
from lift_dynamorm.keys import SEPARATOR, TENANT_MARK, looks_like_tenant
from lift_dynamorm.limits import MAX_BYTES, within_limits
from lift_dynamorm.model import Model, schema_of
from lift_dynamorm.operations.transact import wire_size
from lift_dynamorm.operations.unique import Claim, claims
from lift_dynamorm.operations.write import Write, stored_version, unchanged
from lift_dynamorm.resolve import resolve
from lift_dynamorm.scalars import NULL_WIRE
from lift_dynamorm.unit_of_work import identity
from lift_dynamorm.updates import Change

if TYPE_CHECKING:
    from lift_dynamorm.conditions import Condition
    from lift_dynamorm.expressions import Expression
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]

Result = Model | Sequence[Model] | None
Function = Callable[[Any], Result | Awaitable[Result]]

MOST_WRITES = 99
"""What one item may take of a transaction: one of its hundred entries is the checkpoint."""
_ACTIONS = {"put": "Put", "update": "Update", "delete": "Delete", "check": "ConditionCheck"}


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What is to be done about one item: the entries of a transaction, which are those of `writes` in their order.

    The first is that of the item itself. after: what stands in its place, one item or several or none.
    """

    writes: tuple[Write, ...]
    entries: tuple[dict[str, Any], ...]
    after: tuple[Item, ...]
    size: int

    @property
    def touches(self) -> frozenset[Any]:
        """Which items it writes: no two entries of one transaction may be of the same item."""
        return frozenset((write.schema.table.name, identity(write.schema, write.key)) for write in self.writes)


class Rewriter:
    """Make rewrites of a source model's items by a function.

    where: which items are to be rewritten; what comes of it must not be one of them. claim: claim the values of unique
    fields also where they stay what they are. context: of no tenant; each item's own is found in its key.
    """

    def __init__(
        self,
        context: Context,
        source: type[Model],
        function: Function,
        where: Expression | None,
        *,
        claim: bool,
        migration: str,
    ) -> None:
        self.source: Schema[Any] = schema_of(source)
        self._context = context
        self._function = function
        self._where = where
        self._claim = claim
        self._migration = migration
        self._wide = _with_results(self.source, function)
        self.condition: Condition | None = None if where is None else resolve(self._wide, where, "")
        touched = frozenset() if self.condition is None else attributes(self.condition)
        self._by_tenant = bool(touched & self.source.prefixed)
        self._may_carry = self.source.partition.tag == "S"

    def request(self, table: str) -> dict[str, Any]:
        """Write a scan of the source's items, and of others that only a look at them tells apart."""
        to = Placeholders()
        request: dict[str, Any] = {"TableName": table, "ReturnConsumedCapacity": "TOTAL"}
        by_where = None if self._by_tenant else self.condition
        tests = every(within_limits([*_whose(self.source), *conjuncts(by_where)]))
        if tests is not None:
            request["FilterExpression"] = render(tests, to)
            to.add_to(request)
        return request

    def prefix_of(self, item: Item) -> str | None:
        """Tell the tenant's prefix of an item of the source, "" for an item of none; None for what is not one."""
        text = item[self.source.partition.attribute].get("S", "") if self._may_carry else ""
        prefix = text.partition(SEPARATOR)[0] + SEPARATOR if looks_like_tenant(text) else ""
        if prefix == TENANT_MARK + SEPARATOR or not self.source.owns(item, prefix):
            return None
        return prefix

    async def rewrite(self, item: Item) -> Rewrite | None:
        """Transform an item; None where it is to be left as it is. Raises MigrationFailed naming it."""
        prefix = self.prefix_of(item)
        if prefix is None:
            return None
        try:
            condition = self._condition(prefix)
            if not evaluate(condition, item):
                return None
            made = self._function(self.source.decode(item, prefix))
            if inspect.isawaitable(made):
                made = await made
            if made is None:
                return None
            results = [made] if isinstance(made, Model) else list(made)
            return self._rewrite(item, prefix, condition, results)
        except DynamORMError as error:
            raise self._failed(item, str(error)) from error
        except Exception as error:
            name = getattr(self._function, "__name__", "the function")
            raise self._failed(item, f"{name} raised {type(error).__name__}: {error}") from error

    def refused(self, item: Item, write: Write, current: Item | None) -> MigrationFailed:
        """Make the error for a write beside the item's own whose condition does not hold."""
        prefix = self.prefix_of(item) or ""
        said: object = write.failure(current, prefix)
        if write.kind == "put" and not isinstance(write, Claim):
            key = ", ".join(f"{name}={next(iter(wire.values()))}" for name, wire in write.key.items())
            said = f"there is an item already where it is to go, {key}; decide in the function what becomes of the two"
        return self._failed(item, str(said))

    # -- one item ------------------------------------------------------------------------------------------------------

    def _rewrite(self, item: Item, prefix: str, condition: Condition | None, results: list[Model]) -> Rewrite | None:
        now, source = self._context.now(), self.source
        own = source.key_of_item(item)
        writes: list[Write] = []
        after: list[tuple[Schema[Any], Item]] = []
        here: Write | None = None
        for model in results:
            schema = schema_of(type(model))
            new = self._encode(schema, model, prefix, item)
            key = schema.key_of_item(new)
            if self._same_place(schema, key, own):
                if here is not None:
                    raise UsageError("two of the models that replace it have its own key")
                changes = _changes(source, schema, item, new)
                here = Write(source, "update" if changes else "check", "transform", own, now, changes=tuple(changes))
                after.append((schema, updates.apply(changes, item)))
                continue
            if not after and not any(self._same_place(*_placed(m, prefix), own) for m in results[1:]):
                new = {**_unknown(source, schema, item), **new}
            absent = Predicate("attribute_not_exists", Name((schema.partition.attribute,)))
            writes.append(Write(schema, "put", "transform", key, now, item=new, guard=absent))
            after.append((schema, new))
        siblings = self._claims(item, prefix, own, after)
        if here is not None and here.kind == "check" and not writes and not siblings:
            return None
        self._check_outcome(prefix, own, after)
        if here is None:
            here = Write(source, "delete", "transform", own, now)
        if 1 + len(writes) + len(siblings) > MOST_WRITES:
            count = 1 + len(writes) + len(siblings)
            raise UsageError(f"what replaces it takes {count} writes, and a transaction {MOST_WRITES} at most")
        own_payload = self._held(item, here, condition)
        others = [*writes, *siblings]
        writes = [here, *others]
        table = self._context.table
        payloads = [own_payload, *(self._payload(write, table(write.schema)) for write in others)]
        made = Rewrite(
            tuple(writes),
            tuple({_ACTIONS[write.kind]: payload} for write, payload in zip(writes, payloads, strict=True)),
            tuple(new for _, new in after),
            wire_size(item) + sum(wire_size(new) for _, new in after),
        )
        if len(made.touches) < len(writes):
            raise UsageError("two of the items that replace it have the same key, or the same unique value")
        return made

    def _encode(self, schema: Schema[Any], model: Model, prefix: str, before: Item) -> Item:
        roles = schema.roles
        schema.check_whole(model)
        stamps: dict[str, Any] = {}
        if roles.version is not None:
            counted = self.source if self.source.roles.version is not None else schema
            stamps[roles.version] = stored_version(counted, before) + 1
        if roles.updated_at is not None:
            stamps[roles.updated_at] = self._context.now()
        if roles.generated is not None and not model.__dict__[roles.generated]:
            stamps[roles.generated] = self._context.new_id()
        item = schema.encode_fields({**model.__dict__, **stamps}, model.model_extra)
        schema.add_keys(item, prefix)
        return item

    def _same_place(self, schema: Schema[Any], key: Item, own: Item) -> bool:
        return schema.table.name == self.source.table.name and key.keys() == own.keys() and _all_same(key, own)

    def _held(self, item: Item, write: Write, condition: Condition | None) -> dict[str, Any]:
        """Make the request of the item's own write, which requires that the item is what was read.

        That is all that the function may have looked at. A version stands for it; but an item that was deleted and
        created anew may have the same one, so the rest is required too, as much of it as an expression holds.
        """
        source, roles = self.source, self.source.roles
        version = "" if roles.version is None else source.fields[roles.version].attribute
        changed = {str(change.target.parts[0]) for change in write.changes}
        every_one = write.kind == "delete" or source.keeps_extra
        names = {a for a in item if every_one or a in self._wide.by_attribute or a in source.hidden} | changed
        names |= {version} if version else set()
        first = names
        if version in item:
            telling = roles.updated_at or roles.created_at or roles.time_to_live
            first = {version, *(field.attribute for field in source.uniques)}
            first |= set() if telling is None else {source.fields[telling].attribute}
        order = [*sorted(first), *sorted(changed - first), *sorted(names - first - changed)]
        there = Predicate("attribute_exists", Name((source.partition.attribute,)))
        tests = [unchanged(name, item.get(name)) for name in order if name not in write.key]
        least = len(first - write.key.keys())
        while True:
            write.guard = every((condition, there, *tests))
            try:
                return self._payload(write, self._context.table(source))
            except UsageError:
                if len(tests) == least:
                    raise
                del tests[max(least, len(tests) // 2) :]

    def _payload(self, write: Write, table: str) -> dict[str, Any]:
        try:
            payload = write.payload(table)
        except UsageError as error:
            mend = (
                f"it must hold that each attribute is still what was read. Give {self.source.name} a Version, which "
                "takes the place of all of them, or leave the fields out that the function does not need"
            )
            raise UsageError(f"{error}: {mend}") from None
        if len(payload.get("UpdateExpression", "")) > MAX_BYTES:
            raise UsageError(
                f"it changes {len(write.changes)} attributes, and one update takes {MAX_BYTES} bytes of them"
            )
        return payload

    def _check_outcome(self, prefix: str, own: Item, after: list[tuple[Schema[Any], Item]]) -> None:
        condition, table = self._condition(prefix), self.source.table.name
        for schema, item in after:
            here = self._same_place(schema, schema.key_of_item(item), own)
            if (condition is None and here) or schema.table.name != table or not self.source.owns(item, prefix):
                continue
            if condition is None:
                raise UsageError(
                    f"it has a new key and still is a {self.source.name}, so that the scan may meet it again; say by "
                    "where=... which items are still to be transformed"
                )
            if evaluate(condition, item):
                raise UsageError(
                    "what the function makes of it still meets `where`, and would be transformed again; let the "
                    "function make it false, or leave `where` out"
                )

    def _condition(self, prefix: str) -> Condition | None:
        if self._by_tenant and prefix and self._where is not None:
            return resolve(self._wide, self._where, prefix)
        return self.condition

    # -- unique values -------------------------------------------------------------------------------------------------

    def _claims(self, item: Item, prefix: str, own: Item, after: list[tuple[Schema[Any], Item]]) -> list[Write]:
        """Give the writes of the sibling items: what the item had is given free, what comes of it is claimed."""
        source = self.source
        if not source.uniques and not any(schema.uniques for schema, _ in after):
            return []
        context, now = replace(self._context, prefix=prefix), self._context.now()
        gone = Write(source, "delete", "transform", own, now)
        freed: dict[Any, Write] = {_place(claim): claim for claim in claims(context, gone, item, None)}
        taken: list[Write] = []
        for schema, new in after:
            key = schema.key_of_item(new)
            for claim in claims(context, Write(schema, "put", "transform", key, now, item=new), None, new):
                before = freed.pop(_place(claim), None)
                stays = before is not None and self._same_place(schema, key, own)
                if before is not None and before.guard is not None and claim.guard is not None:
                    claim.guard = Some((before.guard, claim.guard))
                if not stays or self._claim:
                    taken.append(claim)
        return [*freed.values(), *taken]

    # -- errors --------------------------------------------------------------------------------------------------------

    def _failed(self, item: Item, said: str) -> MigrationFailed:
        key = ", ".join(f"{a}={next(iter(item[a].values()))}" for a in self.source.key.attributes if a in item)
        return MigrationFailed(f"{self._migration}: the {self.source.name} {key}: {said}")


def _whose(schema: Schema[Any]) -> list[Condition]:
    tests: list[Condition] = []
    for key in (schema.partition, schema.sort):
        if key is None or key.template is None or not key.template.prefix:
            continue
        name = Name((key.attribute,))
        test: Condition = Predicate("begins_with", name, (Literal({"S": key.template.prefix}),))
        if key is schema.partition:
            test = Some((test, Predicate("begins_with", name, (Literal({"S": TENANT_MARK}),))))
        tests.append(test)
    return tests


def _with_results(source: Schema[Any], function: Function) -> Schema[Any]:
    """Let `where` name also the fields of the models that the function says it returns."""
    wide = copy.copy(source)
    results = [schema_of(model) for model in _models(_annotation(function))]
    wide.fields = {**{n: f for schema in results for n, f in schema.fields.items()}, **source.fields}
    known = {a: f for schema in results for a, f in schema.by_attribute.items()}
    wide.by_attribute = {**known, **source.by_attribute}
    return wide


def _annotation(function: Function) -> Any:
    try:
        return typing.get_type_hints(function).get("return")
    except Exception:  # a name that only type checkers see, or something that has no annotations
        return None


def _models(annotation: Any) -> list[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return [annotation] if annotation.__dynamorm_definition__ is not None else []
    return [model for part in typing.get_args(annotation) for model in _models(part)]


def _placed(model: Model, prefix: str) -> tuple[Schema[Any], Item]:
    schema = schema_of(type(model))
    return schema, schema.key_of_instance(model, prefix)


def _place(write: Write) -> Any:
    return write.schema.table.name, identity(write.schema, write.key)


def _all_same(one: Item, other: Item) -> bool:
    return all(same(wire, other[name]) for name, wire in one.items())


def _knows(source: Schema[Any], target: Schema[Any], attribute: str) -> bool:
    """Tell whether an attribute is the models' business; any is, where both keep what they have no field for."""
    known = any(attribute in schema.by_attribute or attribute in schema.hidden for schema in (source, target))
    return known or (source.keeps_extra and target.keeps_extra)


def _unknown(source: Schema[Any], target: Schema[Any], item: Item) -> Item:
    return {a: wire for a, wire in item.items() if not _knows(source, target, a) and a not in source.key.attributes}


def _changes(source: Schema[Any], target: Schema[Any], item: Item, new: Item) -> list[Change]:
    """Find what differs between an item and what is to stand in its place; nothing where only the stamps would."""
    changes = [
        Change("SET", Name((a,)), Literal(wire)) for a, wire in new.items() if a not in item or not same(wire, item[a])
    ]
    changes += [
        Change("REMOVE", Name((a,)))
        for a, wire in item.items()
        if a not in new and wire != NULL_WIRE and _knows(source, target, a)
    ]
    return changes if any(change.target.parts[0] not in target.kept for change in changes) else []
