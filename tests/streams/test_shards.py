"""Shards that split, end, are trimmed and expire: what no engine here does, and DynamoDB all the time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lift_dynamorm import ChangesLost, Database, Model, PartitionKey
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.streams import Decoder, Position, Shards, Stream
from lift_dynamorm.streams.shards import RETENTION
from lift_dynamorm.transport.retry import RetryTransport
from tests.streams.fake import FakeStream, shard_id

HOUR = 3600.0


class Thing(Model, table="app"):
    pk: PartitionKey[str]
    n: int


class Reader:
    """What a consumer does: it reads in rounds, keeps its position, dies, and begins again."""

    def __init__(self, fake: FakeStream, start: str | Position) -> None:
        async def sleep(_: float) -> None:
            fake.now += 1

        self.fake = fake
        self.transport = RetryTransport(fake, max_attempts=1, sleep=sleep)
        self.given: list[tuple[str, int]] = []
        self.shards: Shards = self.begin(start)

    def begin(self, start: str | Position) -> Shards:
        self.shards = drive(Shards.begin(self.transport, "app", start, blocking=True, clock=lambda: self.fake.now))
        return self.shards

    def restart(self) -> None:
        self.begin(Position.parse(str(self.shards.position)))

    def round(self, most: int | None = None) -> list[tuple[str, int]]:
        """Read one round, or die after so many records of it."""

        async def read() -> list[tuple[str, int]]:
            new: list[tuple[str, int]] = []
            async for shard, records in self.shards.round():
                for record in records:
                    if len(new) == most:
                        return new
                    told = record["dynamodb"]
                    self.shards.position.shards[shard] = told["SequenceNumber"]
                    new.append((told["Keys"]["pk"]["S"], int(told["NewImage"]["n"]["N"])))
            return new

        found = drive(read())
        self.given += found
        return found

    def rounds(self, count: int = 10) -> None:
        for _ in range(count):
            self.round()


@pytest.fixture
def fake() -> FakeStream:
    made = FakeStream()
    made.split(None, 1)
    return made


def test_parents_are_read_to_their_end_before_their_children(fake: FakeStream) -> None:
    fake.page = 1
    for n in range(3):
        fake.write(1, "a", n)
    fake.split(1, 2, 3)
    fake.write(2, "a", 3)
    fake.write(3, "b", 0)
    fake.split(2, 4)
    fake.write(4, "a", 4)
    reader = Reader(fake, "oldest")
    assert [reader.round() for _ in range(4)] == [[("a", 0)], [("a", 1)], [("a", 2)], [("a", 3), ("b", 0)]]
    reader.rounds()
    assert [n for pk, n in reader.given if pk == "a"] == [0, 1, 2, 3, 4]


def test_new_shards_are_found_and_read_from_their_beginning(fake: FakeStream) -> None:
    fake.write(1, "a", 0)
    reader = Reader(fake, "now")
    assert reader.round() == []
    fake.write(1, "a", 1)
    fake.split(1, 2)
    fake.write(2, "a", 2)
    fake.split(2, 3)
    fake.write(3, "a", 3)
    reader.rounds()
    assert reader.given == [("a", 1), ("a", 2), ("a", 3)]
    assert set(reader.shards.position.shards) == {shard_id(3)}


def test_ancestors_of_what_is_open_now_are_left_alone(fake: FakeStream) -> None:
    fake.write(1, "a", 0)
    fake.split(1, 2)
    fake.write(2, "a", 1)
    fake.split(2, 3)
    reader = Reader(fake, "now")
    fake.write(3, "a", 2)
    reader.rounds()
    assert reader.given == [("a", 2)]


def test_a_child_that_is_listed_late_is_waited_for(fake: FakeStream) -> None:
    reader = Reader(fake, "now")
    fake.write(1, "a", 0)
    fake.split(1, 2)
    fake.write(2, "a", 1)
    fake.hide = 6
    reader.rounds()
    assert reader.given == [("a", 0), ("a", 1)]


def test_answers_without_records_are_no_end(fake: FakeStream) -> None:
    fake.empty, fake.page = True, 2
    for n in range(9):
        fake.write(1, "a", n)
    fake.split(1, 2)
    fake.write(2, "a", 9)
    reader = Reader(fake, "oldest")
    reader.rounds(40)
    assert [n for _, n in reader.given] == list(range(10))


def test_iterators_that_expire_are_renewed(fake: FakeStream) -> None:
    reader = Reader(fake, "oldest")
    fake.write(1, "a", 0)
    reader.rounds(2)
    fake.expired.update(iterator for iterator, _ in reader.shards._iterators.values())
    fake.write(1, "a", 1)
    reader.rounds(2)
    assert reader.given == [("a", 0), ("a", 1)]


def test_an_iterator_for_now_that_expires_before_anything_came_loses_nothing(fake: FakeStream) -> None:
    fake.write(1, "a", 0, at=fake.now - 2 * HOUR)
    reader = Reader(fake, "now")
    reader.round()
    fake.now += HOUR
    fake.write(1, "a", 1)
    fake.expired.update(iterator for iterator, _ in reader.shards._iterators.values())
    reader.rounds(2)
    assert reader.given == [("a", 1)]


def test_trimmed_changes_are_an_error(fake: FakeStream) -> None:
    reader = Reader(fake, "oldest")
    fake.write(1, "a", 0)
    reader.round()
    fake.write(1, "a", 1)
    fake.now += 25 * HOUR
    fake.trim(1)
    reader.restart()
    with pytest.raises(ChangesLost, match="24 hours"):
        reader.rounds(1)


def test_a_shard_that_is_gone_is_an_error(fake: FakeStream) -> None:
    reader = Reader(fake, "oldest")
    fake.write(1, "a", 0)
    reader.round()
    fake.split(1, 2)
    fake.trim(1, unlist=True)
    reader.restart()
    with pytest.raises(ChangesLost):
        reader.rounds(3)


def test_a_gap_between_shards_is_an_error(fake: FakeStream) -> None:
    reader = Reader(fake, "oldest")
    fake.write(1, "a", 0)
    fake.split(1, 2)
    fake.hide = 1  # the reader has ended with the first shard, and does not know the second yet
    reader.rounds(1)
    assert reader.shards.position.shards == {}
    fake.write(2, "a", 1)
    fake.split(2, 3)
    fake.trim(1, unlist=True)
    fake.trim(2, unlist=True)
    reader.restart()
    with pytest.raises(ChangesLost, match="follows on none"):
        reader.rounds(3)
    assert reader.given == [("a", 0)]


def test_oldest_begins_behind_what_was_trimmed_meanwhile(fake: FakeStream) -> None:
    fake.write(1, "a", 0)
    reader = Reader(fake, "oldest")
    drive(reader.shards._look())
    drive(reader.shards._iterator(shard_id(1)))
    fake.trim(1)
    fake.write(1, "a", 1)
    reader.rounds(2)
    assert reader.given == [("a", 1)]


@pytest.mark.parametrize(("hours", "lost"), [(23, False), (25, True)])
def test_a_noted_moment_is_good_for_as_long_as_the_stream_keeps(fake: FakeStream, hours: int, lost: bool) -> None:
    reader = Reader(fake, "now")
    fake.write(1, "a", 0)
    fake.now += hours * HOUR
    reader.restart()
    assert reader.shards.position.age(fake.now) == hours * HOUR
    if lost:
        with pytest.raises(ChangesLost, match="25 hours old"):
            reader.rounds(1)
    else:
        reader.rounds(2)
        assert reader.given == [("a", 0)]


def test_an_idle_stream_that_is_followed_never_grows_old(fake: FakeStream) -> None:
    """DynamoDB ends shards every few hours: nobody wrote for days, and the position is good all the same."""
    reader = Reader(fake, "now")
    number = 1
    for _ in range(24):
        for _ in range(4):
            fake.now += HOUR
            reader.round()
        fake.split(number, number + 1)
        number += 1
        reader.rounds(3)
    reader.restart()
    fake.write(number, "a", 1)
    reader.rounds(3)
    assert reader.given == [("a", 1)]
    assert fake.now - 1_800_000_000 > 3 * RETENTION


def test_a_child_known_for_too_long_before_it_is_read_is_an_error(fake: FakeStream) -> None:
    """A reader that lags a day behind: the parent is still there, but the beginning of its child is not."""
    reader = Reader(fake, "oldest")
    fake.write(1, "a", 0)
    fake.split(1, 2)
    fake.write(2, "a", 1)
    reader.round()
    fake.now += 25 * HOUR
    fake.trim(2)
    fake.write(2, "a", 2)
    reader.restart()
    with pytest.raises(ChangesLost):
        reader.rounds(3)


def test_changes_of_a_lambda_event_have_the_same_form(fake: FakeStream) -> None:
    fake.write(1, "a", 5, who="dynamodb.amazonaws.com")
    (record,) = fake.shards[1].records
    event = {**record, "userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"}}
    for one in (record, event):
        change = Decoder([Thing]).change(one)
        assert change is not None
        assert change.by_ttl
        assert change.after == Thing(pk="a", n=5)
    fake.write(1, "a", 6)
    other = Decoder([Thing]).change(fake.shards[1].records[1])
    assert other is not None
    assert not other.by_ttl


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.booleans(), st.integers(1, 4))
def test_whatever_splits_and_whenever_the_reader_dies_each_change_comes_in_order(
    seed: int, empty: bool, page: int
) -> None:
    """At least once, and what comes again comes again in order: the last state that is given is the last there was."""
    chance = random.Random(seed)
    fake = FakeStream(page=page, empty=empty)
    fake.split(None, 1, 2)
    owners = {pk: chance.choice((1, 2)) for pk in "abcdef"}
    reader = Reader(fake, "now")
    counts = dict.fromkeys(owners, 0)
    for _ in range(60):
        match chance.randrange(8):
            case 0:
                parent = chance.choice(sorted(set(owners.values())))
                children = [len(fake.shards) + n + 1 for n in range(chance.choice((1, 2)))]
                fake.split(parent, *children)
                owners = {pk: chance.choice(children) if at == parent else at for pk, at in owners.items()}
                fake.hide = chance.choice((0, 0, 3))
            case 1:
                kept = str(reader.shards.position)
                reader.round()
                reader.begin(Position.parse(kept))  # it dies before it has kept where it is
            case 2:
                reader.round(chance.randrange(4))
                reader.restart()
            case 3 | 4:
                reader.round()
            case _:
                pk = chance.choice("abcdef")
                counts[pk] += 1
                fake.write(owners[pk], pk, counts[pk])
        fake.now += chance.choice((0, 1, 90))
    reader.rounds(60)
    for pk, count in counts.items():
        values = [n for key, n in reader.given if key == pk]
        assert set(values) == set(range(1, count + 1))
        assert not values or values[-1] == count
        assert all(after <= before + 1 for before, after in zip([0, *values], values, strict=False))


def test_the_shards_of_a_stream_are_asked_for_once_a_round(fake: FakeStream) -> None:
    database = Database(transport=RetryTransport(fake, max_attempts=1))
    fake.write(1, "a", 0)
    list(Stream(database, Thing, start="oldest", follow=False).sync)
    asked = [operation for operation, _ in fake.asked]
    assert asked == [
        "DescribeTable",
        "DescribeStream",
        "DescribeStream",
        "GetShardIterator",
        "GetRecords",
        "GetRecords",
    ]
