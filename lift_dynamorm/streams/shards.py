"""The shards of a stream: which there are, how far each has been read, and what comes next."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from lift_dynamorm.errors import ChangesLost, DynamORMError, RequestRefused, UsageError
from lift_dynamorm.operations.concurrency import at_once

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping

    from lift_dynamorm.transport import Payload
    from lift_dynamorm.transport.retry import RetryTransport

    Item = dict[str, Any]

RETENTION = 24 * 3600.0
"""Seconds for which DynamoDB keeps the records of a stream."""
_SKEW = 900.0  # seconds that the clocks of this machine and of DynamoDB may differ, which accepts no signature beyond
_AT_ONCE = 8  # shards that are asked at once, each for up to 1 MB
_LOOK_AGAIN = 60.0  # seconds between two looks at which shards are open
_PATIENCE = 5  # looks at a list of shards that has a gap, before it counts as one


class Records(NamedTuple):
    """An answer of one shard: its records in order, none where there is nothing new."""

    shard: str
    records: list[Item]


@dataclass(slots=True)
class Position:
    """How far a stream has been read.

    stream: its ARN. shards: of each what has been read: up to a sequence number (a text); or nothing yet of what came
    since epoch seconds (a number; 0 for whatever is there). ended: shards of which all has been read, and until which
    epoch seconds each is known to have gone on.
    """

    stream: str
    shards: dict[str, str | float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return orjson.dumps({"stream": self.stream, "shards": self.shards, "ended": self.ended}).decode()

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read what `str` has written. Raises UsageError."""
        try:
            read = orjson.loads(text)
            return cls(read["stream"], dict(read["shards"]), dict(read["ended"]))
        except (ValueError, KeyError, TypeError) as error:
            msg = f'{text[:60]!r} is no position of a stream; start at "oldest", "now", or what Stream.position was'
            raise UsageError(msg) from error

    def age(self, now: float) -> float:
        """Tell how many seconds ago the moment was from which on a shard was not read yet; 0 where all have been."""
        return max((now - since for since in self.shards.values() if isinstance(since, float) and since), default=0.0)


class Shards:
    """Read a stream from a position, which moves on with what has been taken.

    blocking: the transport never suspends, and there may be no event loop. clock: `time.time()`. ended: the stream was
    turned off, and all of it has been read. partition: the name of the table's partition key.
    """

    def __init__(
        self,
        transport: RetryTransport,
        position: Position,
        partition: str,
        *,
        blocking: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.position = position
        self.partition = partition
        self.ended: bool = False
        self.transport = transport
        self.blocking = blocking
        self._clock = clock
        self._latest: set[str] = set()  # shards whose iterators point behind what was there at the beginning
        self._iterators: dict[str, tuple[str, str | float]] = {}  # each with the position that it is for
        self._heard: dict[str, float] = {}  # of each shard the last moment at which it is known not to have ended
        self._looked = 0.0
        self._enabled = True

    @classmethod
    async def begin(
        cls,
        transport: RetryTransport,
        table: str,
        start: str | Position,
        *,
        blocking: bool,
        clock: Callable[[], float] = time.time,
    ) -> Shards:
        """Open the stream of a table, at "oldest", "now" or a position.

        Raises UsageError where the table has no stream, and ChangesLost where the position is another one's.
        """
        described = (await transport.send("DescribeTable", {"TableName": table}))["Table"]
        partition = next(key["AttributeName"] for key in described["KeySchema"] if key["KeyType"] == "HASH")
        arn = described.get("LatestStreamArn")
        if isinstance(start, Position):
            if arn is None or arn != start.stream:
                msg = (
                    f"the position is of the stream {start.stream}, and the table {table!r} now has "
                    f"{arn or 'none'}: what was changed between the two is in neither"
                )
                raise ChangesLost(msg)
            return cls(transport, start, partition, blocking=blocking, clock=clock)
        if arn is None or not (described.get("StreamSpecification") or {}).get("StreamEnabled"):
            raise UsageError(
                f'the table {table!r} has no stream; turn it on: Table(..., stream="NEW_AND_OLD_IMAGES"), or by '
                "UpdateTable"
            )
        if start not in ("oldest", "now"):
            raise UsageError(f'a stream starts at "oldest", "now" or a position, not {start!r}')
        now = clock()
        shards = cls(transport, Position(arn), partition, blocking=blocking, clock=clock)
        listed = await shards._listed()
        for name, shard in listed.items():
            if start == "oldest" and shard.get("ParentShardId") not in listed:
                shards.position.shards[name] = 0.0
            elif start == "now" and "EndingSequenceNumber" not in shard["SequenceNumberRange"]:
                shards.position.shards[name] = now
                shards._latest.add(name)
        for name in shards._latest:
            await shards._iterator(name)
        return shards

    # -- reading -------------------------------------------------------------------------------------------------------

    async def round(self) -> AsyncGenerator[Records, None]:
        """Ask every open shard once. What is given counts as read when the next is asked for.

        Raises ChangesLost.
        """
        await self._look()
        waiting = list(self.position.shards)
        for at in range(0, len(waiting), _AT_ONCE):
            names = waiting[at : at + _AT_ONCE]
            answers = await at_once([self._ask(name) for name in names], _AT_ONCE, blocking=self.blocking)
            for name, answer in zip(names, answers, strict=True):
                yield Records(name, self._wanted(name, answer["Records"]))
                self._note(name, answer)
        self.ended = not self._enabled and not self.position.shards

    def _note(self, name: str, answer: Payload) -> None:
        records, following = answer["Records"], answer.get("NextShardIterator")
        if records:
            last = records[-1]["dynamodb"]
            self.position.shards[name] = last["SequenceNumber"]
            self._heard[name] = max(self._heard.get(name, 0.0), _at(records[-1]))
        if following is not None:
            self._iterators[name] = following, self.position.shards[name]
            return
        self._iterators.pop(name, None)
        since = self.position.shards.pop(name)
        self.position.ended[name] = max(self._heard.get(name, 0.0), since if isinstance(since, float) else 0.0)
        self._looked = 0.0

    def _wanted(self, name: str, records: list[Item]) -> list[Item]:
        """Leave out what was there before the moment that was noted, as surely as clocks tell."""
        since = self.position.shards[name]
        if not isinstance(since, float) or not since or name in self._latest:
            return records
        return [record for record in records if _at(record) >= since - _SKEW]

    async def _ask(self, name: str) -> Payload:
        while True:
            iterator, place = self._iterators.get(name, ("", None))
            if place != self.position.shards[name]:  # the caller left within a page
                iterator = await self._iterator(name)
            try:
                return await self.transport.send("GetRecords", {"ShardIterator": iterator})
            except RequestRefused as error:
                self._iterators.pop(name, None)
                if error.code == "ExpiredIteratorException":
                    self._latest.discard(name)
                elif error.code != "TrimmedDataAccessException" or self.position.shards[name] != 0:
                    raise self._lost(name, error) from error

    async def _iterator(self, name: str) -> str:
        read = self.position.shards[name]
        if isinstance(read, str):
            self._latest.discard(name)
        payload: Payload = {"StreamArn": self.position.stream, "ShardId": name}
        if isinstance(read, str):
            payload |= {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": read}
        else:
            age = self._clock() - read if read else 0.0
            if age >= RETENTION:
                raise ChangesLost(
                    f"the position is {age / 3600:.0f} hours old, and DynamoDB keeps changes for "
                    f'{RETENTION / 3600:.0f}. Start anew: at "oldest", and compare with the table itself'
                )
            payload["ShardIteratorType"] = "LATEST" if name in self._latest else "TRIM_HORIZON"
        try:
            answer = await self.transport.send("GetShardIterator", payload)
        except RequestRefused as error:
            raise self._lost(name, error) from error
        iterator: str = answer["ShardIterator"]
        self._iterators[name] = iterator, read
        return iterator

    def _lost(self, name: str, error: RequestRefused) -> DynamORMError:
        if error.code not in ("TrimmedDataAccessException", "ResourceNotFoundException"):
            return error
        return ChangesLost(
            f"the changes behind {self.position.shards[name] or 'the beginning'} of the shard {name} are not in the "
            f'stream any more: DynamoDB keeps them for {RETENTION / 3600:.0f} hours. Start anew: at "oldest", and '
            "compare with the table itself"
        )

    # -- which shards there are ----------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Find the shards that follow those that have ended; once a minute where none has."""
        if self._clock() - self._looked < _LOOK_AGAIN:
            return
        for _ in range(_PATIENCE):
            asked = self._clock()
            listed = await self._listed()
            gap = self._adopt(listed)
            if gap is None:
                break
            await self.transport.sleep(1.0)
        else:
            raise ChangesLost(
                f"the shard {gap} follows on none that has been read: those between are not in the stream any more, as "
                f'DynamoDB keeps changes for 24 hours. Start anew: at "oldest", and compare with the table itself'
            )
        for name, shard in listed.items():
            if "EndingSequenceNumber" not in shard["SequenceNumberRange"]:
                self._heard[name] = asked
        followed = {shard.get("ParentShardId") for shard in listed.values()}
        if followed.issuperset(self.position.ended) or not self._enabled:
            self._looked = asked

    def _adopt(self, listed: Mapping[str, Item]) -> str | None:
        """Begin with the children of what has been read; names a shard that is no descendant, where there is one."""
        shards, ended = self.position.shards, self.position.ended
        known = {*shards, *ended}
        ancestors = {parent for name in known for parent in _ancestors(name, listed)}
        for name, shard in listed.items():
            parent = shard.get("ParentShardId")
            if name in known or name in ancestors:
                continue
            if not known:
                if parent not in listed:
                    shards[name] = self._clock()
            elif parent in ended:
                shards[name] = ended[parent]
            elif known.isdisjoint(_ancestors(name, listed)):
                return name
        for name in [name for name in ended if name not in listed]:
            del ended[name]
        return None

    async def _listed(self) -> dict[str, Item]:
        listed: dict[str, Item] = {}
        payload: Payload = {"StreamArn": self.position.stream}
        while True:
            try:
                described = (await self.transport.send("DescribeStream", payload))["StreamDescription"]
            except RequestRefused as error:
                if error.code == "ResourceNotFoundException":
                    raise ChangesLost(f"there is no stream {self.position.stream} any more") from error
                raise
            self._enabled = described["StreamStatus"] in ("ENABLED", "ENABLING")
            listed.update((shard["ShardId"], shard) for shard in described["Shards"])
            following = described.get("LastEvaluatedShardId")
            if following is None:
                return listed
            payload["ExclusiveStartShardId"] = following


def _ancestors(name: str, listed: Mapping[str, Item]) -> Iterator[str]:
    while name in listed and (parent := listed[name].get("ParentShardId")) is not None:
        yield parent
        name = parent


def _at(record: Item) -> float:
    return float(record["dynamodb"].get("ApproximateCreationDateTime") or 0)
