"""A write to one item, before it is sent: alone, or as part of a transaction."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from lift_dynamorm import updates
from lift_dynamorm.conditions import (
    Condition,
    Every,
    Literal,
    Name,
    Negation,
    Placeholders,
    Predicate,
    Some,
    evaluate,
    every,
    joined,
    render,
    same,
)
from lift_dynamorm.errors import (
    ConditionFailed,
    DynamORMError,
    InvalidItem,
    ItemExists,
    ItemNotFound,
    OutcomeUnknown,
    RequestRefused,
    ServiceError,
    UsageError,
    VersionConflict,
)
from lift_dynamorm.limits import too_long
from lift_dynamorm.model import assign, remember, stored_item
from lift_dynamorm.scalars import NULL_WIRE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from lift_dynamorm.model import Model
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.schema import Schema
    from lift_dynamorm.updates import Change

    Item = dict[str, Any]

_OPERATIONS = {"put": "PutItem", "update": "UpdateItem", "delete": "DeleteItem"}


@dataclass(slots=True)
class Write:
    """One item's write.

    kind: ``put``, ``update``, ``delete``, or ``check``, which writes nothing. verb: what the caller said, for messages.
    guard: what must hold of the item as it is. expected: the version the caller holds, None without a lock.
    seen: the part of the guard that says that the item is still as the transaction, or the instance, has read it.
    now: when the write was planned; an item whose time to live was over then counts as absent.
    stamps: field values that the instance takes on once the write is done.
    key_values: the fields of the key, where there is no instance. returning: the caller is shown the outcome.
    """

    schema: Schema[Any]
    kind: str
    verb: str
    key: Item
    now: datetime
    item: Item | None = None
    changes: tuple[Change, ...] = ()
    guard: Condition | None = None
    expected: int | None = None
    seen: Condition | None = None
    instance: Model | None = None
    stamps: dict[str, Any] = field(default_factory=dict)
    missing_ok: bool = False
    upsert: bool = False
    returning: bool = True
    key_values: Mapping[str, Any] = field(default_factory=dict)

    # -- the request ---------------------------------------------------------------------------------------------------

    def payload(self, table: str) -> dict[str, Any]:
        """Write the part of the request that a single write and a transaction have in common."""
        to = Placeholders()
        payload: dict[str, Any] = {"TableName": table}
        if self.kind == "put":
            payload["Item"] = self.item
        else:
            payload["Key"] = self.key
        if self.kind == "update" and self.changes:
            payload["UpdateExpression"] = updates.render_update(self.changes, to)
        if self.guard is not None:
            payload["ConditionExpression"] = condition = render(self.guard, to)
            excess = too_long(condition, self.guard)
            if excess:
                raise UsageError(f"{self.verb}: the condition on {self.schema.name} {excess}")
            payload["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        to.add_to(payload)
        return payload

    def pin(self, current: Item | None) -> None:
        """Make the commit depend on what the outcome is calculated from, so that what the caller is shown is true."""
        version = self.schema.roles.version
        if version is not None:
            if self.expected is None:
                self.expected = stored_version(self.schema, current)
                self.guard = every((self.guard, version_guard(self.schema, self.expected, self.now)))
            return
        read = {attribute for change in self.changes for attribute in updates.reads(change)}
        pins = [unchanged(attribute, (current or {}).get(attribute)) for attribute in sorted(read)]
        self.guard = joined(self.guard, every(pins))

    def renewed(self, current: Item | None) -> Write:
        """Make of an upsert that meets an item whose time to live is over the put of a new one in its place."""
        expiry = self.schema.expiry
        if not self.upsert or current is None or expiry is None or not self.schema.has_expired(current, self.now):
            return self
        if self.guard is not None and not evaluate(self.guard, {}):
            raise ConditionFailed(f"{self.verb}: the condition does not hold: there is no {self._described()}")
        item = updates.apply(self.changes, dict(self.key))
        guard = unchanged(expiry, current.get(expiry))
        return replace(self, kind="put", item=item, changes=(), guard=guard, upsert=False)

    async def send(self, context: Context) -> Item | None:
        """Send it alone. Returns the item as it is now, None where it was deleted."""
        payload = self.payload(context.table(self.schema))
        if self.kind == "update" and self.returning:
            payload["ReturnValues"] = "ALL_NEW"
        try:
            answer = await context.send(_OPERATIONS[self.kind], payload)
        except RequestRefused as error:
            if error.code != "ConditionalCheckFailedException":
                raise
            current = error.answer.get("Item")
            if error.maybe_applied and self._shows_in(current):
                return current
            if error.maybe_applied and not self._is_foreign(current):
                unknown = self._unknown(error)
                self._keep_id(unknown)
                raise unknown from error
            again = self.renewed(current)
            if again is not self:
                return await again.send(context)
            failure = self.failure(current, context.prefix)
            if failure is None:
                return None
            raise failure from None
        except ServiceError as error:
            self._keep_id(error)
            raise
        return answer.get("Attributes") if self.kind == "update" else self.item

    def _shows_in(self, current: Item | None) -> bool:
        """Tell whether this write made the item what it is, so that a lost answer meant success.

        An equal item is no proof, for someone else may have written the same; the time of the write, to the
        microsecond, is.
        """
        if self.kind == "delete" or current is None:
            return self.kind == "delete" and not current
        stamp = self._stamp()
        return stamp is not None and same(stamp, current.get(stamp_attribute(self.schema), NULL_WIRE))

    def _stamp(self) -> Item | None:
        """The time of this write as the item keeps it; None for a model without `UpdatedAt`."""
        attribute = stamp_attribute(self.schema)
        if self.item is not None:
            return self.item.get(attribute)
        values = (change.value for change in self.changes if change.target.parts == (attribute,))
        return next((value.wire for value in values if isinstance(value, Literal)), None)

    def _is_foreign(self, current: Item | None) -> bool:
        """Tell by the version that someone else's write, and not this one, made the item what it is."""
        if self.schema.roles.version is None or current is None:
            return False
        stored, held = stored_version(self.schema, current), self.expected or 0
        if self.kind == "delete":
            return stored > held
        # The next version may be this very write, unless its time would show.
        return stored <= held + (self._stamp() is not None)

    def _keep_id(self, error: ServiceError) -> None:
        """Let the instance have its new id where it may be stored, so that it is not stored twice when repeated."""
        made = self.schema.roles.generated
        if error.maybe_applied and made in self.stamps and self.instance is not None:
            assign(self.instance, {made: self.stamps[made]})

    def _unknown(self, error: RequestRefused) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"the answer to the {self.verb} of {self.schema.name} was lost; read it to see whether it was applied",
            operation=error.operation,
        )

    # -- the outcome ---------------------------------------------------------------------------------------------------

    def project(self, before: Item | None) -> Item | None:
        """Make the item that this write leaves, from the item as it is."""
        if self.kind == "put":
            return self.item
        if self.kind == "check":
            return before
        if self.kind == "delete":
            return None
        return updates.apply(self.changes, before or self.key)

    def check(self, current: Item | None, prefix: str) -> None:
        """Hold the guard against the item as it is; raises as DynamoDB would make us raise."""
        if self.guard is None or evaluate(self.guard, current or {}):
            return
        failure = self.failure(current, prefix)
        if failure is not None:
            raise failure

    def failure(self, current: Item | None, prefix: str) -> DynamORMError | None:
        """Make the error for a guard that did not hold; None where that is what the caller allowed."""
        what = self._described()
        read = self.seen is not None and (current is not None or self.verb == "read")
        if read and not evaluate(self.seen, current or {}):
            item = None if current is None else _decoded(self.schema, current, prefix)
            msg = f"{self.verb}: the {what} was changed by someone else since it was read. Read it again and repeat"
            return VersionConflict(msg, item=item, wire_item=current)
        if current is None or (self.schema.has_expired(current, self.now) and not self.upsert):
            if self.missing_ok and self.kind == "delete":
                return None
            if self.verb == "create" or (self.expected is None and self.kind == "put"):
                return ConditionFailed(f"{self.verb}: the condition does not hold: there is no {what}")
            return ItemNotFound(f"{self.verb}: there is no {what}")
        item = _decoded(self.schema, current, prefix)
        if self.verb == "create":
            return ItemExists(f"create: {what} exists already", item=item, wire_item=current)
        version = self.schema.roles.version
        if self.expected is not None and version is not None:
            stored = current.get(self.schema.fields[version].attribute, {"N": "0"})
            if not same(stored, {"N": str(self.expected)}):
                msg = (
                    f"{self.verb}: the {what} was changed by someone else: version {self.expected} was read, "
                    f"{stored.get('N', '?')} is stored. Read it again and repeat the change"
                )
                return VersionConflict(msg, item=item, wire_item=current)
        return ConditionFailed(f"{self.verb}: the condition on the {what} does not hold", item=item, wire_item=current)

    def _described(self) -> str:
        """Name the item by the fields of its key, for messages."""
        names = [self.schema.name_of(attribute) for attribute in sorted(self.schema.key.fields)]
        values = self.key_values or ({**self.instance.__dict__, **self.stamps} if self.instance is not None else {})
        given = ", ".join(f"{name}={values[name]!r}" for name in names if name in values)
        return f"{self.schema.name} with {given}" if given else self.schema.name

    def settle(self, item: Item | None, prefix: str) -> None:
        """Let the instance show what is stored."""
        if self.instance is None or self.kind == "check":
            return
        if self.kind == "update" and item is not None:
            fresh = self.schema.decode(item, prefix)
            assign(self.instance, fresh.__dict__)
            if self.instance.model_extra is not None:
                self.instance.model_extra.clear()
                self.instance.model_extra.update(fresh.model_extra or {})
        else:
            assign(self.instance, self.stamps)
        remember(self.instance, item)


def stamp_attribute(schema: Schema[Any]) -> str:
    """Name the attribute that holds the time of the last write; "" where there is none."""
    name = schema.roles.updated_at
    return schema.fields[name].attribute if name is not None else ""


def not_expired(schema: Schema[Any], now: datetime) -> Condition | None:
    """Require that an item's time to live is not over, if there is an item; None for a model without one."""
    expired = _expired(schema, now)
    return None if expired is None else Negation(expired)


def where_live(schema: Schema[Any], condition: Condition | None, now: datetime) -> Condition | None:
    """Let a condition look at an item whose time to live is over as at none."""
    expired = _expired(schema, now)
    if condition is None or expired is None:
        return condition
    return Some((condition, expired)) if evaluate(condition, {}) else Every((condition, Negation(expired)))


def exists(schema: Schema[Any], now: datetime) -> Condition:
    """Require an item whose time to live is not over."""
    there = Predicate("attribute_exists", Name((schema.partition.attribute,)))
    live = not_expired(schema, now)
    return there if live is None else Every((there, live))


def not_exists(schema: Schema[Any], now: datetime) -> Condition:
    """Require that there is no item, or one whose time to live is over."""
    return _or_expired(Predicate("attribute_not_exists", Name((schema.partition.attribute,))), schema, now)


def version_guard(schema: Schema[Any], version: int, now: datetime) -> Condition:
    """Require the version that the caller holds; 0 stands for an item that has none, or that is not there."""
    assert schema.roles.version is not None
    attribute = schema.fields[schema.roles.version].attribute
    if version:
        return unchanged(attribute, {"N": str(version)})
    return _or_expired(unchanged(attribute, None), schema, now)


def _or_expired(test: Condition, schema: Schema[Any], now: datetime) -> Condition:
    expired = _expired(schema, now)
    return test if expired is None else Some((test, expired))


def _expired(schema: Schema[Any], now: datetime) -> Condition | None:
    if schema.expiry is None:
        return None
    return Predicate("<=", Name((schema.expiry,)), (Literal({"N": str(int(now.timestamp()))}),))


def stored_version(schema: Schema[Any], item: Item | None) -> int:
    """Tell the version of a stored item, 0 where it has none."""
    assert schema.roles.version is not None
    return int((item or {}).get(schema.fields[schema.roles.version].attribute, {}).get("N", "0"))


def unchanged(attribute: str, wire: Item | None) -> Condition:
    """Require an attribute to be what it was, or still to be missing."""
    name = Name((attribute,))
    return Predicate("attribute_not_exists", name) if wire is None else Predicate("=", name, (Literal(wire),))


class Held(NamedTuple):
    """What an instance knows of the item under a key: how it was read, its version, and what must hold of it still.

    lock: the version, and `seen`, which tells an item that was deleted and created again, whose versions began anew.
    """

    stored: Item | None
    version: int | None
    lock: Condition | None
    seen: Condition | None


def item_as_read(instance: Model, key: Item) -> Item | None:
    """Give the item that an instance was read from; None where it was read under another key, or for another tenant."""
    stored = stored_item(instance)
    if stored is None or any(not same(stored.get(a, NULL_WIRE), wire) for a, wire in key.items()):
        return None
    return dict(stored)


def held(schema: Schema[Any], instance: Model, key: Item, now: datetime) -> Held:
    """Tell what an instance holds of the item under `key`: nothing where it was read under another one.

    Raises UsageError for what is no version.
    """
    version, item = held_version(schema, instance), item_as_read(instance, key)
    if version is not None and item is None and stored_item(instance) is not None:
        version = 0
    if version is None:
        return Held(item, None, None, None)
    roles = schema.roles
    role = roles.updated_at or roles.created_at or roles.time_to_live
    telling = [schema.fields[role]] if role is not None else []
    seen = None
    if version and item is not None:
        seen = every(unchanged(f.attribute, item.get(f.attribute)) for f in (*telling, *schema.uniques))
    return Held(item, version, every((version_guard(schema, version, now), seen)), seen)


def held_version(schema: Schema[Any], instance: Model) -> int | None:
    """Tell the version an instance holds; None for a model without one."""
    schema.check_whole(instance)
    name = schema.roles.version
    if name is None:
        return None
    version = instance.__dict__[name]
    if type(version) is not int or version < 0:
        raise UsageError(
            f"{schema.name}.{name} is {version!r}; a version is a whole number from 0, kept by the session"
        )
    return version


def _decoded(schema: Schema[Any], item: Item, prefix: str) -> Any:
    try:
        return schema.decode(item, prefix)
    except InvalidItem:
        return None
