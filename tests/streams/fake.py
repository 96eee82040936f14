"""A stream with shards that split, records that are trimmed and iterators that expire, as DynamoDB has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from lift_dynamorm.errors import service_error

if TYPE_CHECKING:
    from lift_dynamorm.transport import Payload

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/app/stream/2026-01-01T00:00:00.000"


def shard_id(number: int) -> str:
    return f"shardId-{number:020d}-{number:08d}"


@dataclass
class Shard:
    parent: int | None
    records: list[dict[str, Any]] = field(default_factory=list)
    trimmed: int = 0
    closed: bool = False
    listed: bool = True


@dataclass
class FakeStream:
    """A transport that answers for one table with a stream. now: epoch seconds.

    page: records in an answer. empty: answer now and then without records, as DynamoDB may.
    """

    now: float = 1_800_000_000.0
    page: int = 1000
    empty: bool = False
    shards: dict[int, Shard] = field(default_factory=dict)
    status: str = "ENABLED"
    expired: set[str] = field(default_factory=set)
    asked: list[tuple[str, Payload]] = field(default_factory=list)
    hide: int = 0  # how many times DescribeStream leaves out the shards without children
    _sequence: int = 0
    _turn: int = 0
    _chance: Random = field(default_factory=lambda: Random(0))

    @property
    def blocking(self) -> FakeStream:
        return self

    async def aclose(self) -> None:
        pass

    def split(self, number: int | None, *children: int) -> None:
        if number is not None:
            self.shards[number].closed = True
        for child in children:
            self.shards[child] = Shard(number)

    def write(self, number: int, pk: str, value: int, *, at: float | None = None, who: str = "") -> None:
        self._sequence += 1
        key = {"pk": {"S": pk}}
        record: dict[str, Any] = {
            "eventName": "MODIFY",
            "dynamodb": {
                "Keys": key,
                "NewImage": {**key, "n": {"N": str(value)}},
                "SequenceNumber": f"{self._sequence:021d}",
                "ApproximateCreationDateTime": float(int(self.now if at is None else at)),
            },
        }
        if who:
            record["userIdentity"] = {"Type": "Service", "PrincipalId": who}
        self.shards[number].records.append(record)

    def trim(self, number: int, *, unlist: bool = False) -> None:
        """Forget all that a shard holds, and perhaps that there was such a shard."""
        shard = self.shards[number]
        shard.trimmed = len(shard.records)
        shard.listed = not unlist

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        self.asked.append((operation, payload))
        answer: Payload = getattr(self, f"_{operation}")(payload)
        return answer

    def _DescribeTable(self, payload: Payload) -> Payload:
        table = {
            "TableName": "app",
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "LatestStreamArn": ARN,
            "StreamSpecification": {"StreamEnabled": self.status == "ENABLED", "StreamViewType": "NEW_IMAGE"},
        }
        return {"Table": table}

    def _DescribeStream(self, payload: Payload) -> Payload:
        """List one shard a page."""
        names = [number for number, shard in self.shards.items() if shard.listed]
        if self.hide:
            self.hide -= 1
            parents = {shard.parent for shard in self.shards.values()}
            names = [number for number in names if number in parents]
        start = payload.get("ExclusiveStartShardId")
        at = 0 if start is None else [shard_id(number) for number in names].index(start) + 1
        described: dict[str, Any] = {"StreamArn": ARN, "StreamStatus": self.status, "Shards": []}
        if at < len(names):
            shard = self.shards[names[at]]
            limits = {"StartingSequenceNumber": "0" * 21}
            if shard.closed:
                limits["EndingSequenceNumber"] = "9" * 21
            listed: dict[str, Any] = {"ShardId": shard_id(names[at]), "SequenceNumberRange": limits}
            if shard.parent is not None:
                listed["ParentShardId"] = shard_id(shard.parent)
            described["Shards"] = [listed]
            if at + 1 < len(names):
                described["LastEvaluatedShardId"] = shard_id(names[at])
        return {"StreamDescription": described}

    def _GetShardIterator(self, payload: Payload) -> Payload:
        number = next((n for n, s in self.shards.items() if shard_id(n) == payload["ShardId"] and s.listed), None)
        if number is None:
            raise self._refused("GetShardIterator", "ResourceNotFoundException")
        shard, kind = self.shards[number], payload["ShardIteratorType"]
        if kind == "LATEST":
            at = len(shard.records)
        elif kind == "TRIM_HORIZON":
            at = shard.trimmed
        else:
            sequences = [record["dynamodb"]["SequenceNumber"] for record in shard.records]
            at = sequences.index(payload["SequenceNumber"]) + 1
            if at < shard.trimmed:
                raise self._refused("GetShardIterator", "TrimmedDataAccessException")
        self._turn += 1
        return {"ShardIterator": f"{number}|{at}|{self._turn}"}

    def _GetRecords(self, payload: Payload) -> Payload:
        iterator = payload["ShardIterator"]
        if iterator in self.expired:
            raise self._refused("GetRecords", "ExpiredIteratorException")
        number, at = map(int, iterator.split("|")[:2])
        shard = self.shards[number]
        if at < shard.trimmed:
            raise self._refused("GetRecords", "TrimmedDataAccessException")
        self._turn += 1
        records = shard.records[at : at + self.page]
        if self.empty and self._chance.random() < 0.5:
            records = []
        answer: Payload = {"Records": records}
        if not shard.closed or at + len(records) < len(shard.records):
            answer["NextShardIterator"] = f"{number}|{at + len(records)}|{self._turn}"
        return answer

    def _refused(self, operation: str, code: str) -> Exception:
        return service_error(operation, status=400, answer={"__type": code, "message": "so it is"})
