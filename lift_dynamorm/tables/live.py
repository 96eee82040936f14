"""What a table is, as DynamoDB tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lift_dynamorm.errors import RequestRefused
from lift_dynamorm.table import (
    AWS_MANAGED,
    AWS_OWNED,
    OnDemand,
    Provisioned,
    TableSettings,
    Throughput,
)
from lift_dynamorm.tables.specification import IndexSpec, TableSpec

if TYPE_CHECKING:
    from collections.abc import Collection

    from lift_dynamorm.transport.retry import RetryTransport

Payload = dict[str, Any]

_ON = ("ENABLED", "ENABLING")
_NOT_FOUND = ("ResourceNotFoundException", "TableNotFoundException")
_AGAIN = 0.5
_APART = ("point_in_time_recovery", "tags", "contributor_insights", "resource_policy")
"""The settings that DescribeTable does not tell; each takes a call of its own."""


@dataclass(frozen=True, slots=True)
class LiveTable:
    """A table that is there.

    spec: None in its settings is what was not asked for, or could not be told. indexes: the status of each.
    items, size: as DynamoDB counts them, every six hours or so; size in bytes.
    insights: the global indexes, and "" for the table, whose contributors are watched.
    """

    spec: TableSpec
    status: str
    indexes: Mapping[str, str]
    items: int
    size: int
    arn: str
    stream_arn: str | None
    description: Payload = field(repr=False, compare=False)
    insights: frozenset[str] = frozenset()

    @property
    def busy(self) -> str:
        """Say what it is still about, "" where it can be changed."""
        if self.status != "ACTIVE":
            return f"the table is {self.status}"
        at_work = [f"the index {name} is {status}" for name, status in self.indexes.items() if status != "ACTIVE"]
        return ", ".join(at_work)

    def as_json(self) -> Payload:
        """Write it as plain values, for people and programs."""
        spec, settings = self.spec, self.spec.settings
        return {
            "name": spec.name,
            "status": self.status,
            "arn": self.arn,
            "items": self.items,
            "size": self.size,
            "key": {name: spec.types[name] for name, _ in spec.keys},
            "capacity": capacity_text(settings.capacity),
            "table_class": settings.table_class,
            "stream": settings.stream,
            "stream_arn": self.stream_arn,
            "time_to_live": spec.time_to_live,
            "point_in_time_recovery": settings.point_in_time_recovery,
            "encryption": settings.encryption,
            "deletion_protection": settings.deletion_protection,
            "tags": dict(settings.tags) if settings.tags is not None else None,
            "contributor_insights": sorted(self.insights),
            "resource_policy": settings.resource_policy,
            "indexes": [
                {
                    "name": index.name,
                    "kind": kind,
                    "status": self.indexes.get(index.name, "ACTIVE"),
                    "key": {name: spec.types[name] for name, _ in index.keys},
                    "projected": sorted(index.projected) if index.projected is not None else "ALL",
                    "capacity": capacity_text(index.capacity),
                }
                for kind, indexes in (("global", spec.global_indexes), ("local", spec.local_indexes))
                for index in indexes.values()
            ],
        }


def capacity_text(capacity: Throughput | None) -> str | None:
    """Write a capacity in a few words: ``provisioned 5/5``, ``on demand``, ``on demand up to 100/50``."""
    if capacity is None:
        return None
    if isinstance(capacity, Provisioned):
        return f"provisioned {capacity.read}/{capacity.write}"
    if capacity == OnDemand():
        return "on demand"
    return f"on demand up to {capacity.max_read or 'any'}/{capacity.max_write or 'any'}"


async def read_table(
    transport: RetryTransport, name: str, asked: Collection[str] | None = None, *, patience: float = 60.0
) -> LiveTable | None:
    """Read what a table is, None where there is none.

    asked: the settings to read of those that take a call of their own; None reads all, and leaves out what DynamoDB
    does not tell (for want of permission, or because it is an emulator). patience: seconds for which one call may know
    the table and another one not.
    """
    try:
        description = (await transport.send("DescribeTable", {"TableName": name}))["Table"]
    except RequestRefused as error:
        if error.code == "ResourceNotFoundException":
            return None
        raise
    if description["TableStatus"] not in ("ACTIVE", "UPDATING"):  # nothing else is told of it yet, or any more
        return _live(description, None, None, {})
    reader = _Reader(transport, name, description)
    try:
        apart = await reader.apart(asked)
        time_to_live = await reader.time_to_live()
    except RequestRefused as error:
        if error.code not in _NOT_FOUND or patience <= 0:
            raise
        # It is about to be there everywhere, or about to be gone: the calls do not agree for some seconds.
        await transport.sleep(_AGAIN)
        return await read_table(transport, name, asked, patience=patience - _AGAIN)
    insights = apart.pop("contributor_insights", None)
    return _live(description, time_to_live, insights, apart)


def _live(description: Payload, time_to_live: str | None, insights: frozenset[str] | None, apart: Payload) -> LiveTable:
    capacity = _capacity(description, description)
    indexes = {
        kind: {
            given["IndexName"]: IndexSpec(
                given["IndexName"],
                _keys(given["KeySchema"]),
                _projected(given["Projection"]),
                _capacity(description, given) if kind == "Global" else None,
            )
            for given in description.get(f"{kind}SecondaryIndexes") or ()
        }
        for kind in ("Global", "Local")
    }
    settings = TableSettings(
        capacity=capacity,
        table_class=(description.get("TableClassSummary") or {}).get("TableClass", "STANDARD"),
        stream=_stream(description),
        encryption=_encryption(description),
        deletion_protection=bool(description.get("DeletionProtectionEnabled")),
        contributor_insights=None if insights is None else insights >= {"", *indexes["Global"]},
        **apart,
    )
    spec = TableSpec(
        description["TableName"],
        _keys(description["KeySchema"]),
        {given["AttributeName"]: given["AttributeType"] for given in description["AttributeDefinitions"]},
        indexes["Global"],
        indexes["Local"],
        time_to_live,
        settings,
    )
    return LiveTable(
        spec,
        description["TableStatus"],
        {i["IndexName"]: _index_status(i) for i in description.get("GlobalSecondaryIndexes") or ()},
        int(description.get("ItemCount", 0)),
        int(description.get("TableSizeBytes", 0)),
        description.get("TableArn", ""),
        description.get("LatestStreamArn") if settings.stream else None,
        description,
        insights or frozenset(),
    )


def _keys(schema: list[dict[str, str]]) -> tuple[tuple[str, str], ...]:
    # Partition keys before sort keys, each side in its own order, however the answer has them.
    return tuple((key["AttributeName"], side) for side in ("HASH", "RANGE") for key in schema if key["KeyType"] == side)


def _projected(projection: Payload) -> frozenset[str] | None:
    if projection.get("ProjectionType", "ALL") == "ALL":
        return None
    return frozenset(projection.get("NonKeyAttributes") or ())


def _index_status(index: Payload) -> str:
    status = str(index.get("IndexStatus", "ACTIVE"))
    return "BACKFILLING" if index.get("Backfilling") else status


def _capacity(table: Payload, described: Payload) -> Throughput:
    if (table.get("BillingModeSummary") or {}).get("BillingMode") == "PAY_PER_REQUEST":
        most = described.get("OnDemandThroughput") or {}
        read, write = most.get("MaxReadRequestUnits", -1), most.get("MaxWriteRequestUnits", -1)
        return OnDemand(read if read > 0 else None, write if write > 0 else None)
    units = described.get("ProvisionedThroughput") or {}
    return Provisioned(max(int(units.get("ReadCapacityUnits", 1)), 1), max(int(units.get("WriteCapacityUnits", 1)), 1))


def _stream(description: Payload) -> Any:
    stream = description.get("StreamSpecification") or {}
    return stream.get("StreamViewType", False) if stream.get("StreamEnabled") else False


def _encryption(description: Payload) -> str:
    given = description.get("SSEDescription") or {}
    if given.get("Status", "DISABLED") in ("DISABLED", "DISABLING"):
        return AWS_OWNED
    key = str(given.get("KMSMasterKeyArn", AWS_MANAGED))
    return AWS_MANAGED if "alias/" in key else key  # AWS tells the key; emulators tell the alias as well


class _Reader:
    """The calls that tell what DescribeTable does not."""

    def __init__(self, transport: RetryTransport, name: str, description: Payload) -> None:
        self._send = transport.send
        self._name = {"TableName": name}
        self._arn = {"ResourceArn": description.get("TableArn", "")}
        self._indexes = [index["IndexName"] for index in description.get("GlobalSecondaryIndexes") or ()]

    async def apart(self, asked: Collection[str] | None) -> dict[str, Any]:
        """Read the settings that are asked for; of all, those that DynamoDB tells."""
        found: dict[str, Any] = {}
        for setting in _APART:
            if asked is not None and setting not in asked:
                continue
            try:
                found[setting] = await getattr(self, setting)()
            except RequestRefused as error:
                if asked is not None or error.code in _NOT_FOUND:
                    raise
        return found

    async def time_to_live(self) -> str | None:
        answer = (await self._send("DescribeTimeToLive", self._name))["TimeToLiveDescription"]
        return answer.get("AttributeName") if answer.get("TimeToLiveStatus") in _ON else None

    async def point_in_time_recovery(self) -> bool | int:
        answer = (await self._send("DescribeContinuousBackups", self._name))["ContinuousBackupsDescription"]
        recovery = answer.get("PointInTimeRecoveryDescription") or {}
        if recovery.get("PointInTimeRecoveryStatus") not in _ON:
            return False
        return recovery.get("RecoveryPeriodInDays") or True  # emulators do not tell the days

    async def tags(self) -> Mapping[str, str]:
        tags: dict[str, str] = {}
        page: Payload = {}
        while True:
            answer = await self._send("ListTagsOfResource", {**self._arn, **page})
            tags.update((tag["Key"], tag["Value"]) for tag in answer.get("Tags") or ())
            if not answer.get("NextToken"):
                return {key: value for key, value in tags.items() if not key.startswith("aws:")}
            page = {"NextToken": answer["NextToken"]}

    async def contributor_insights(self) -> frozenset[str]:
        watched = set()
        for index in ("", *self._indexes):
            of_index = {"IndexName": index} if index else {}
            answer = await self._send("DescribeContributorInsights", {**self._name, **of_index})
            if answer.get("ContributorInsightsStatus") in _ON:
                watched.add(index)
        return frozenset(watched)

    async def resource_policy(self) -> Mapping[str, Any]:
        try:
            answer = await self._send("GetResourcePolicy", self._arn)
        except RequestRefused as error:
            if error.code == "PolicyNotFoundException":
                return {}
            raise
        policy: Mapping[str, Any] = json.loads(answer.get("Policy") or "{}")
        return policy
