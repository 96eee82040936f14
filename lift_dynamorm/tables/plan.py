"""What there is to do between a table as it is and as its models say it should be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lift_dynamorm.errors import UsageError
from lift_dynamorm.table import (
    AWS_MANAGED,
    AWS_OWNED,
    MAX_RECOVERY_DAYS,
    OnDemand,
    Provisioned,
    Throughput,
)
from lift_dynamorm.tables.live import LiveTable, capacity_text
from lift_dynamorm.tables.specification import (
    IndexSpec,
    TableSpec,
    billing_mode,
    definitions,
    encryption_specification,
    policy_text,
    stream_specification,
    tag_list,
    throughput,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

Payload = dict[str, Any]
Request = tuple[str, Payload]

StepKind = Literal[
    "create table",
    "deletion protection",
    "table class",
    "encryption",
    "capacity",
    "stream",
    "drop index",
    "create index",
    "time to live",
    "point in time recovery",
    "contributor insights",
    "tags",
    "resource policy",
]

COMPLETING: frozenset[str] = frozenset(
    {"time to live", "point in time recovery", "contributor insights", "resource policy"}
)
"""What a new table is given by calls of their own, once it is there; the policy only where it came without."""

MAX_DECREASES_A_DAY = 27
_NOTHING = (None, "off", "none")


@dataclass(frozen=True, slots=True)
class Step:
    """One change of one table. before, after: in words, None for nothing. Two steps to the same `after` are equal.

    subject: the name of the index; "" where the change is one of the table itself. requests: what makes the change.
    notes: what DynamoDB's rules make of it: limits, time, what is lost.
    """

    table: str
    kind: StepKind
    subject: str
    before: str | None = field(compare=False)
    after: str | None
    notes: tuple[str, ...] = field(default=(), compare=False)
    requests: tuple[Request, ...] = field(default=(), repr=False, compare=False)

    @property
    def adds(self) -> bool:
        """Whether it makes something of nothing, and takes nothing away."""
        return self.before in _NOTHING and self.after not in _NOTHING

    def __str__(self) -> str:
        what = f"{self.kind} {self.subject}" if self.subject else self.kind
        if self.before is None:
            return f"{self.table}: {what}" + (f" ({self.after})" if self.after else "")
        return f"{self.table}: {what}: {self.before} -> {self.after or 'none'}"

    def as_json(self) -> Payload:
        return {
            "table": self.table,
            "kind": self.kind,
            "subject": self.subject,
            "before": self.before,
            "after": self.after,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Drop:
    """Something that the plan would drop if it were asked to, by `name`: ``app.by_old`` or ``app.time_to_live``.

    needed: the models cannot have what they say while it is there.
    """

    name: str
    what: str
    needed: bool

    def __str__(self) -> str:
        if self.needed:
            return f"{self.what}; it has to be dropped and made anew: ask for it by name, drop {self.name}"
        return f"{self.what}; it is left alone: to drop it ask by name, drop {self.name}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A difference that no change of the table can mend."""

    table: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.table}: {self.what}; {self.mend}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, in its order; empty, and so false, where there is nothing to do.

    drops: what was not asked to be dropped. refused: what can never be changed.
    """

    steps: tuple[Step, ...] = ()
    drops: tuple[Drop, ...] = ()
    refused: tuple[Refusal, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)

    @property
    def in_the_way(self) -> tuple[Drop | Refusal, ...]:
        """What keeps the tables from being what the models say, whatever steps are taken."""
        return (*self.refused, *(drop for drop in self.drops if drop.needed))

    def __str__(self) -> str:
        return "\n".join(map(str, (*self.steps, *self.drops, *self.refused))) or "nothing to do"

    def as_json(self) -> Payload:
        """Write it as plain values, for programs."""
        return {
            "steps": [step.as_json() for step in self.steps],
            "drops": [{"name": d.name, "what": d.what, "needed": d.needed} for d in self.drops],
            "refused": [{"table": r.table, "what": r.what, "mend": r.mend} for r in self.refused],
        }


def plan(pairs: Iterable[tuple[TableSpec, LiveTable | None]], drop: Collection[str] = ()) -> Plan:
    """Compare tables as they should be with what they are, None for those that are not there.

    drop: the names of what may be dropped: ``app.by_old`` for an index, ``app.time_to_live``. What is gone already, or
    is as the models say, is not dropped. Raises UsageError where a name is of none of the tables.
    """
    pairs = tuple(pairs)
    for name in sorted(drop):
        if not any(name.startswith(f"{wanted.name}.") for wanted, _ in pairs):
            tables = ", ".join(wanted.name for wanted, _ in pairs)
            raise UsageError(f"drop {name}: it begins with none of the tables, {tables}; write TABLE.INDEX")
    differences = [_Difference(wanted, live, drop) for wanted, live in pairs]
    return Plan(
        tuple(step for difference in differences for step in difference.steps),
        tuple(drop for difference in differences for drop in difference.drops),
        tuple(refusal for difference in differences for refusal in difference.refused),
    )


def next_step(wanted: TableSpec, live: LiveTable | None, drop: Collection[str]) -> Step | None:
    """Tell the first thing to do about a table."""
    return next(iter(_Difference(wanted, live, drop).steps), None)


class _Difference:
    """The difference of one table."""

    def __init__(self, wanted: TableSpec, live: LiveTable | None, asked: Collection[str]) -> None:
        self.wanted = wanted
        self.asked = asked
        self.steps: list[Step] = []
        self.drops: list[Drop] = []
        self.refused: list[Refusal] = []
        if live is None or live.status == "DELETING":
            self._create()
            self._completing(None, False, frozenset())
            return
        self._keys(live.spec)
        if not self.refused:
            self._settings(live)
            self._indexes(live)
            self._completing(live.spec.time_to_live, live.spec.settings.point_in_time_recovery, live.insights)
            self._apart(live)

    def _step(
        self,
        kind: StepKind,
        before: str | None,
        after: str | None,
        *requests: Request,
        subject: str = "",
        notes: Sequence[str] = (),
    ) -> None:
        self.steps.append(Step(self.wanted.name, kind, subject, before, after, tuple(notes), requests))

    def _update(self, **changes: Any) -> Request:
        return "UpdateTable", {"TableName": self.wanted.name, **changes}

    def _create(self) -> None:
        spec = self.wanted
        indexes = [*spec.global_indexes, *spec.local_indexes]
        parts = [
            " ".join(f"{name}:{spec.types[name]}" for name, _ in spec.keys),
            capacity_text(spec.settings.capacity or OnDemand()) or "",
            *([f"indexes {', '.join(indexes)}"] if indexes else []),
            *([f"stream {spec.settings.stream}"] if spec.settings.stream else []),
            *([f"tags {_tags_text(spec.settings.tags)}"] if spec.settings.tags else []),
        ]
        self._step("create table", None, "; ".join(parts), ("CreateTable", spec.request()))

    # -- what can never change -----------------------------------------------------------------------------------------

    def _keys(self, live: TableSpec) -> None:
        wanted = self.wanted
        mend = "a table keeps its key: copy it to a new one (see Copying to a new table in docs/migrations.md)"
        if live.keys != wanted.keys:
            self._refuse(f"its key is {_keys_text(live, live.keys)}, not {_keys_text(wanted, wanted.keys)}", mend)
        else:
            for name, _ in wanted.keys:
                if live.types[name] != wanted.types[name]:
                    what = f"its key {name} is of type {live.types[name]}, not {wanted.types[name]}"
                    self._refuse(what, mend)
        mend = "local indexes are made and dropped with their table: use a GSI, or copy it to a new table"
        for name, index in wanted.local_indexes.items():
            there = live.local_indexes.get(name)
            if there is None:
                self._refuse(f"it lacks the local index {name}", mend)
            elif self._differs(index, live, there):
                self._refuse(
                    f"the local index {name} is {_index_text(live, there)}, not {_index_text(wanted, index)}", mend
                )

    def _refuse(self, what: str, mend: str) -> None:
        self.refused.append(Refusal(self.wanted.name, what, mend))

    def _differs(self, index: IndexSpec, live: TableSpec, there: IndexSpec) -> bool:
        if (index.keys, index.projected) != (there.keys, there.projected):
            return True
        return any(self.wanted.types[name] != live.types[name] for name, _ in index.keys)

    # -- settings that UpdateTable changes -----------------------------------------------------------------------------

    def _settings(self, live: LiveTable) -> None:
        wanted, there = self.wanted.settings, live.spec.settings
        if wanted.deletion_protection not in (None, there.deletion_protection):
            change = self._update(DeletionProtectionEnabled=wanted.deletion_protection)
            self._step("deletion protection", _on(there.deletion_protection), _on(wanted.deletion_protection), change)
        if wanted.table_class not in (None, there.table_class):
            self._step(
                "table class",
                there.table_class,
                wanted.table_class,
                self._update(TableClass=wanted.table_class),
                notes=["a table's class can be changed twice in 30 days"],
            )
        if wanted.encryption is not None and not _same_key(wanted.encryption, there.encryption):
            self._step(
                "encryption",
                there.encryption,
                wanted.encryption,
                self._update(SSESpecification=encryption_specification(wanted.encryption)),
                notes=["the key can be changed four times in 24 hours"],
            )
        self._capacity(live)
        if wanted.stream is not None and wanted.stream != there.stream:
            off = self._update(StreamSpecification=stream_specification(False))
            on = self._update(StreamSpecification=stream_specification(wanted.stream))
            requests = [request for request, needed in ((off, there.stream), (on, wanted.stream)) if needed]
            notes = ["it ends the stream that is there, with the records that nobody has read"] if there.stream else []
            for request in requests:
                after = str(wanted.stream) if request is on else None
                before = str(there.stream) if there.stream and request is requests[0] else None
                self._step("stream", before, after, request, notes=notes if request is off else [])

    def _capacity(self, live: LiveTable) -> None:
        wanted, there = self.wanted.settings.capacity, live.spec.settings.capacity
        if wanted is None or there is None:
            return
        switches = type(wanted) is not type(there)
        changes: Payload = {}
        if switches:
            changes["BillingMode"] = billing_mode(wanted)
        if wanted != there and not (switches and wanted == OnDemand()):
            changes.update(_units(wanted))
        updates, described = [], []
        for name, index in live.spec.global_indexes.items():
            kept = self.wanted.global_indexes.get(name)
            target = kept.capacity if kept is not None else None
            if target is None and switches:
                target = wanted
            if target is None or target == index.capacity:
                continue
            if not switches or target != OnDemand():
                updates.append({"Update": {"IndexName": name, **_units(target)}})
            if target != wanted:
                described.append(f"{name} {capacity_text(target)}")
        if updates:
            changes["GlobalSecondaryIndexUpdates"] = updates
        if not changes:
            return
        notes = []
        if switches and isinstance(wanted, OnDemand):
            notes.append("a table can be switched to on demand four times in 24 hours")
        if isinstance(wanted, Provisioned) and isinstance(there, Provisioned) and _less(wanted, there):
            done = (live.description.get("ProvisionedThroughput") or {}).get("NumberOfDecreasesToday", 0)
            notes.append(
                f"capacity can be decreased four times a day, and then once an hour, {MAX_DECREASES_A_DAY} times a day "
                f"at most; {done} done today"
            )
        before, after = capacity_text(there), ", ".join([capacity_text(wanted) or "", *described])
        if before == after:  # it is the indexes that differ
            before, after = f"{before}, indexes otherwise", f"{after}, indexes too"
        self._step("capacity", before, after, self._update(**changes), notes=notes)

    # -- global indexes ------------------------------------------------------------------------------------------------

    def _indexes(self, live: LiveTable) -> None:
        wanted, there = self.wanted.global_indexes, live.spec.global_indexes
        gone: set[str] = set()
        for name, index in there.items():
            changed = name in wanted and self._differs(wanted[name], live.spec, index)
            if name in wanted and not changed:
                continue
            what = f"{self.wanted.name}: the index {name}, {_index_text(live.spec, index)}, is in no model"
            if changed:
                new = _index_text(self.wanted, wanted[name])
                what = f"{self.wanted.name}: the index {name} is {_index_text(live.spec, index)}, not {new}"
            if self._may_drop(name, what, needed=changed):
                gone.add(name)
                change = {"Delete": {"IndexName": name}}
                self._step(
                    "drop index",
                    _index_text(live.spec, index),
                    None,
                    self._update(GlobalSecondaryIndexUpdates=[change]),
                    subject=name,
                    notes=["queries on it fail from now on" + (", until it is there again" if changed else "")],
                )
        for name, index in wanted.items():
            if name not in there or name in gone:
                self._create_index(live, index)

    def _create_index(self, live: LiveTable, index: IndexSpec) -> None:
        capacity, of_table = index.capacity, live.spec.settings.capacity
        notes = ["one index at a time is made; it is filled from the table, which takes time and write units"]
        if capacity is None and isinstance(of_table, Provisioned):
            capacity = of_table
            notes.append(f"it gets the table's capacity, {capacity_text(of_table)}")
        if index.made:
            notes.append(
                f"items stored before lack {' and '.join(index.made)}, and are not in it until they are written again: "
                "by a migration, Transform(Model, lambda item: item)"
            )
        given = IndexSpec(index.name, index.keys, index.projected, capacity)
        # What is there of the others has to be repeated, the types of keys that no index has are not allowed.
        types = {name: self.wanted.types[name] for name, _ in index.keys}
        types = {**{name: tag for name, tag in live.spec.types.items() if name not in types}, **types}
        change = self._update(
            AttributeDefinitions=definitions(types), GlobalSecondaryIndexUpdates=[{"Create": given.request()}]
        )
        self._step(
            "create index",
            None,
            _index_text(self.wanted, index),
            change,
            subject=index.name,
            notes=notes,
        )

    def _may_drop(self, thing: str, what: str, *, needed: bool) -> bool:
        name = f"{self.wanted.name}.{thing}"
        if name not in self.asked:
            self.drops.append(Drop(name, what, needed))
        return name in self.asked

    # -- what has calls of its own -------------------------------------------------------------------------------------

    def _completing(self, time_to_live: str | None, has: bool | int | None, watched: frozenset[str]) -> None:
        self._time_to_live(time_to_live)
        wanted = self.wanted.settings.point_in_time_recovery
        if wanted is not None and _days(wanted) != _days(has) and not (wanted and has is True):
            specification: Payload = {"PointInTimeRecoveryEnabled": bool(wanted)}
            if wanted:
                specification["RecoveryPeriodInDays"] = _days(wanted)
            payload = {"TableName": self.wanted.name, "PointInTimeRecoverySpecification": specification}
            self._step(
                "point in time recovery",
                _days_text(has),
                _days_text(wanted),
                ("UpdateContinuousBackups", payload),
                notes=[] if wanted else ["the table can no longer be restored to a moment of the past"],
            )
        self._insights(watched)

    def _time_to_live(self, has: str | None) -> None:
        wanted = self.wanted.time_to_live
        if wanted == has:
            return
        hour = "DynamoDB takes up to an hour over it, and refuses another change meanwhile"
        if has is not None:
            what = f"{self.wanted.name}: items end by the attribute {has!r}, "
            what += f"not by {wanted!r}" if wanted else "which is in no model"
            if not self._may_drop("time_to_live", what, needed=wanted is not None):
                return
            self._step("time to live", has, None, self._ttl(has, enabled=False), notes=[hour])
        if wanted is not None:
            self._step("time to live", None, wanted, self._ttl(wanted, enabled=True), notes=[hour] if has else [])

    def _ttl(self, attribute: str, *, enabled: bool) -> Request:
        specification = {"Enabled": enabled, "AttributeName": attribute}
        return "UpdateTimeToLive", {"TableName": self.wanted.name, "TimeToLiveSpecification": specification}

    def _insights(self, watched: frozenset[str]) -> None:
        wanted = self.wanted.settings.contributor_insights
        if wanted is None:
            return
        for index in ("", *self.wanted.global_indexes):
            if (index in watched) == wanted:
                continue
            payload = {
                "TableName": self.wanted.name,
                **({"IndexName": index} if index else {}),
                "ContributorInsightsAction": "ENABLE" if wanted else "DISABLE",
            }
            request = "UpdateContributorInsights", payload
            self._step("contributor insights", _on(not wanted), _on(wanted), request, subject=index)

    def _apart(self, live: LiveTable) -> None:
        wanted, there = self.wanted.settings, live.spec.settings
        if wanted.tags is not None and wanted.tags != there.tags:
            has = there.tags or {}
            set_ = {key: value for key, value in wanted.tags.items() if has.get(key) != value}
            unset = sorted(has.keys() - wanted.tags.keys())
            requests: list[Request] = []
            if unset:
                requests.append(("UntagResource", {"ResourceArn": live.arn, "TagKeys": unset}))
            if set_:
                requests.append(("TagResource", {"ResourceArn": live.arn, "Tags": tag_list(set_)}))
            self._step("tags", _tags_text(has), _tags_text(wanted.tags), *requests)
        text = policy_text(wanted.resource_policy) if wanted.resource_policy is not None else None
        if text is not None and json.loads(text) != there.resource_policy:
            request: Request = ("DeleteResourcePolicy", {"ResourceArn": live.arn})
            if wanted.resource_policy:
                request = ("PutResourcePolicy", {"ResourceArn": live.arn, "Policy": text})
            self._step(
                "resource policy", _policy_text(there.resource_policy), _policy_text(wanted.resource_policy), request
            )


# -- in words, and by the rules ----------------------------------------------------------------------------------------


def _keys_text(spec: TableSpec, keys: Iterable[tuple[str, str]]) -> str:
    return " ".join(f"{name}:{spec.types[name]}" for name, _ in keys)


def _index_text(spec: TableSpec, index: IndexSpec) -> str:
    return f"{_keys_text(spec, index.keys)}, {_projection_text(index.projected)}"


def _projection_text(projected: frozenset[str] | None) -> str:
    return "all attributes" if projected is None else ", ".join(["keys", *sorted(projected)])


def _on(setting: bool | None) -> str:
    return "on" if setting else "off"


def _days(setting: bool | int | None) -> int:
    return MAX_RECOVERY_DAYS if setting is True else int(setting or 0)


def _days_text(setting: bool | int | None) -> str:
    return f"{_days(setting)} days" if setting else "off"


def _tags_text(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(tags.items())) or "none"


def _policy_text(policy: Mapping[str, Any] | None) -> str:
    return f"{len((policy or {}).get('Statement', ()))} statements" if policy else "none"


def _same_key(wanted: str, there: str | None) -> bool:
    if AWS_OWNED in (wanted, there):
        return wanted == there
    return wanted == AWS_MANAGED or wanted.rpartition("/")[2] == (there or "").rpartition("/")[2]


def _units(capacity: Throughput) -> Payload:
    """Write the units of an UpdateTable, which takes -1 where a limit ends."""
    if isinstance(capacity, Provisioned):
        return throughput(capacity)
    most = {"MaxReadRequestUnits": capacity.max_read or -1, "MaxWriteRequestUnits": capacity.max_write or -1}
    return {"OnDemandThroughput": most}


def _less(wanted: Provisioned, there: Provisioned) -> bool:
    return wanted.read < there.read or wanted.write < there.write


def asked_settings(spec: TableSpec) -> Iterator[str]:
    """Name the settings that have to be read to compare a table with `spec`."""
    for name in ("point_in_time_recovery", "tags", "contributor_insights", "resource_policy"):
        if getattr(spec.settings, name) is not None:
            yield name
