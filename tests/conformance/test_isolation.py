"""What a transaction depends on besides its writes: checks, and what it has read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import pytest
from pydantic import Field

from lift_dynamorm import (
    ConditionFailed,
    F,
    InvalidValue,
    ItemNotFound,
    Model,
    PartitionKey,
    TransactionConditionFailed,
    TransactionTooLarge,
    UsageError,
    VersionConflict,
)

from .models import Counter, Note, Plain, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Database, Session

    Open = Callable[..., Session]


# -- checks ------------------------------------------------------------------------------------------------------------


async def test_a_check_holds_or_nothing_is_written(opened: Open) -> None:
    s = opened(User, Plain)
    await s.put(Plain(id="1", count=1))
    async with s.transaction():
        await s.check(Plain, {"id": "1"}, if_=F.count == 1)
        await s.create(User(id="1"))
    with pytest.raises(TransactionConditionFailed) as error:
        async with s.transaction():
            await s.create(User(id="2"))
            await s.check(Plain, id="1", if_=F.count == 2)
    assert error.value.item == Plain(id="1", count=1)
    assert [reason is None for reason in error.value.reasons] == [True, False]
    with pytest.raises(ItemNotFound):
        async with s.transaction():
            await s.create(User(id="2"))
            await s.check(Plain, id="none", if_=F.note.not_exists())
    assert await s.find(User, id="2") is None
    assert await s.get(Plain, id="1") == Plain(id="1", count=1)


async def test_a_check_of_an_instance_is_of_its_version(opened: Open) -> None:
    s = opened(User, Plain)
    user = await s.create(User(id="1"))
    stale = await s.get(User, id="1")
    async with s.transaction():
        await s.check(user)
        await s.put(Plain(id="1"))
    await s.update(user, name="x")
    with pytest.raises(VersionConflict):
        async with s.transaction():
            await s.put(Plain(id="2"))
            await s.check(stale)
    assert (stale.name, stale.version) == ("", 1)
    await s.update(user, name="y")
    plain = await s.get(Plain, id="1")
    plain.tags.add("x")
    async with s.transaction():
        await s.check(plain)
    await s.update(plain)
    assert (await s.get(Plain, id="1")).tags == {"x"}


async def test_a_check_beside_a_write_of_the_same_item(opened: Open) -> None:
    s = opened(User, Plain)
    await s.put(Plain(id="1", count=1))
    async with s.transaction():
        await s.check(Plain, id="1", if_=F.count == 1)
        assert await s.get(Plain, id="1") == Plain(id="1", count=1)
        await s.update(Plain, {"id": "1"}, name="n", returning=False)
        await s.check(Plain, id="1", if_=F.note.not_exists())
        await s.check(Plain, id="1", if_=F.name == "n")
        with pytest.raises(ConditionFailed):
            await s.check(Plain, id="1", if_=F.name == "m")
        with pytest.raises(ItemNotFound):
            await s.delete(Plain, id="1")
            await s.check(Plain, id="1")
        await s.put(Plain(id="1", name="n", count=2))
    assert await s.get(Plain, id="1") == Plain(id="1", name="n", count=2)
    with pytest.raises(ConditionFailed):
        async with s.transaction():
            await s.check(Plain, id="1", if_=F.count == 1)
            await s.update(Plain, {"id": "1"}, name="no", returning=False)
    with pytest.raises(ConditionFailed):
        async with s.transaction():
            await s.update(Plain, {"id": "1"}, name="no", returning=False)
            await s.check(Plain, id="1", if_=F.count == 1)
    assert (await s.get(Plain, id="1")).name == "n"


async def test_a_check_is_part_of_a_transaction(opened: Open) -> None:
    s = opened(Plain)
    with pytest.raises(UsageError, match="part of a transaction"):
        await s.check(Plain, id="1")


# -- what was read -----------------------------------------------------------------------------------------------------


async def test_what_was_read_must_not_have_changed(opened: Open) -> None:
    s = opened(User, Plain, Counter)
    other = opened()
    await s.create(User(id="1"))
    await s.put(Plain(id="1", count=1))
    for change in (
        other.update(User, {"id": "1"}, name="x"),
        other.update(Plain, {"id": "1"}, count=5),
        other.update(Plain, {"id": "1"}, note="added"),
        other.delete(User, id="1"),
    ):
        with pytest.raises(VersionConflict) as error:
            async with s.transaction(isolation="serializable"):
                user, plain = await s.get(User, id="1"), await s.get(Plain, id="1")
                await change
                await s.put(Counter(number=1, hits=len(user.name) + plain.count))
        assert isinstance(error.value, TransactionConditionFailed)
        assert await s.find(Counter, number=1) is None
    async with s.transaction(isolation="serializable"):
        plain = await s.get(Plain, id="1")
        await s.put(Counter(number=1, hits=plain.count))
    assert (await s.get(Counter, number=1)).hits == 5


async def test_what_was_missing_must_still_be_missing(opened: Open) -> None:
    s = opened(Plain, Counter)
    other = opened()
    with pytest.raises(VersionConflict):
        async with s.transaction(isolation="serializable"):
            assert await s.find(Plain, id="1") is None
            await other.put(Plain(id="1"))
            await s.put(Counter(number=1))
    assert await s.find(Counter, number=1) is None


async def test_what_a_query_has_read_must_not_have_changed(opened: Open) -> None:
    s = opened(Note, Counter)
    other = opened()
    from .models import DAY

    await s.put(Note(owner="a", written=DAY, text="t"))
    with pytest.raises(VersionConflict):
        async with s.transaction(isolation="serializable"):
            assert [n.text for n in await s.query(Note).where(owner="a").all()] == ["t"]
            await other.put(Note(owner="a", written=DAY, text="u"))
            await s.put(Counter(number=1))


async def test_what_was_read_may_be_written(opened: Open) -> None:
    s = opened(User, Plain)
    other = opened()
    await s.create(User(id="1"))
    await s.put(Plain(id="1", count=1))
    async with s.transaction(isolation="serializable"):
        user, plain = await s.get(User, id="1"), await s.get(Plain, id="1")
        await s.update(user, name="n")
        plain.count += 1
        await s.put(plain)
        assert await s.get(Plain, id="1") == plain
    assert (await s.get(Plain, id="1")).count == 2
    with pytest.raises(VersionConflict):
        async with s.transaction(isolation="serializable"):
            plain = await s.get(Plain, id="1")
            await other.update(Plain, {"id": "1"}, count=F.count + 10)
            plain.count += 1
            await s.put(plain)
    assert (await s.get(Plain, id="1")).count == 12


async def test_without_isolation_a_read_is_no_condition(opened: Open) -> None:
    s = opened(Plain, Counter)
    other = opened()
    await s.put(Plain(id="1"))
    async with s.transaction():
        await s.get(Plain, id="1")
        await other.put(Plain(id="1", count=9))
        await s.put(Counter(number=1))
    assert await s.find(Counter, number=1)


async def test_an_inner_block_may_ask_for_isolation(opened: Open) -> None:
    s = opened(Plain, Counter)
    other = opened()
    await s.put(Plain(id="1"))
    with pytest.raises(VersionConflict):
        async with s.transaction():
            async with s.transaction(isolation="serializable"):
                await s.get(Plain, id="1")
            await other.put(Plain(id="1", count=9))
            await s.put(Counter(number=1))
    async with s.transaction():
        with pytest.raises(ZeroDivisionError):
            async with s.transaction(isolation="serializable"):
                await s.get(Plain, id="1")
                raise ZeroDivisionError
        await other.put(Plain(id="1", count=10))
        await s.put(Counter(number=1))


async def test_what_is_read_counts_as_operations(opened: Open) -> None:
    s = opened(Plain, Counter)
    with pytest.raises(TransactionTooLarge):
        async with s.transaction(isolation="serializable"):
            for n in range(100):
                await s.find(Plain, id=str(n))
            await s.put(Counter(number=1))
    assert await s.find(Counter, number=1) is None


# -- what a review found -----------------------------------------------------------------------------------------------


async def test_a_shallow_reading_hides_no_deeper_one(opened: Open) -> None:
    s, other = opened(Plain, Counter), opened()
    await s.put(Plain(id="1", count=1))
    with pytest.raises(VersionConflict):
        async with s.transaction(isolation="serializable"):
            await s.query(Plain).where(id="1").only("id").all()
            await s.get(Plain, id="1")
            await other.update(Plain, {"id": "1"}, count=1000)
            await s.put(Counter(number=1))


async def test_two_readings_that_differ_fail(opened: Open) -> None:
    s, other = opened(User), opened()
    await s.create(User(id="1"))
    with pytest.raises(VersionConflict):
        async with s.transaction(isolation="serializable"):
            await s.get(User, id="1")
            await other.update(User, {"id": "1"}, logins=7)
            second = await s.get(User, id="1")
            await s.update(second, name="x")
    assert (await s.get(User, id="1")).name == ""


async def test_what_a_failed_block_has_read_still_counts(opened: Open) -> None:
    s, other = opened(Plain, Counter), opened()
    await s.put(Plain(id="1"))
    with pytest.raises(VersionConflict):
        async with s.transaction(isolation="serializable"):
            with pytest.raises(ZeroDivisionError):
                async with s.transaction():
                    await s.get(Plain, id="1")
                    raise ZeroDivisionError
            await other.update(Plain, {"id": "1"}, count=9)
            await s.put(Counter(number=1))


async def test_what_a_projection_has_not_found_must_stay_away(opened: Open) -> None:
    s, other = opened(Plain, Counter), opened()
    await s.put(Plain(id="1"))
    with pytest.raises(VersionConflict):
        async with s.transaction(isolation="serializable"):
            (plain,) = await s.query(Plain).where(id="1").only("id", "note").all()
            assert plain.note is None
            await other.update(Plain, {"id": "1"}, note="x")
            await s.put(Counter(number=1))


async def test_an_update_from_a_stale_instance_does_not_hide_what_is_stored(opened: Open) -> None:
    s, other = opened(Plain, Note), opened()
    stale = await s.put(Plain(id="1", count=10))
    await other.update(Plain, {"id": "1"}, count=0)
    for read in ("get", "query", "scan", "batch"):
        async with s.transaction():
            await s.update(stale, note=read)
            if read == "get":
                found = await s.get(Plain, id="1")
            elif read == "query":
                (found,) = await s.query(Plain).where(id="1").all()
            elif read == "scan":
                (found,) = await s.scan(Plain).all()
            else:
                (found,) = await s.batch_get(Plain, [{"id": "1"}])
            assert (found.count, found.note) == (0, read)


async def test_a_verb_that_fails_is_not_enrolled(opened: Open, db: Database) -> None:
    s = opened(Limited, Counter)
    await s.put(Limited(id="1", n=10))
    limited = await s.get(Limited, id="1")
    async with s.transaction():
        with pytest.raises(InvalidValue):
            await s.update(Limited, {"id": "1"}, n=F.n + 5)

        @db.after_read(Limited)
        def refuse(_: Limited) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await s.update(limited, note="x")
        assert limited.note == ""
        await s.put(Counter(number=1))
    (stored,) = (await s.execute("Scan", {"TableName": "limited"}))["Items"]
    assert stored == {"id": {"S": "1"}, "n": {"N": "10"}, "note": {"S": ""}}


class Limited(Model, table="limited"):
    id: PartitionKey[str]
    n: Annotated[int, Field(le=10)] = 0
    note: str = ""


async def test_a_rollback_keeps_what_the_caller_assigned(opened: Open) -> None:
    s = opened(Plain)
    await s.put(Plain(id="1"))
    plain = await s.get(Plain, id="1")
    with pytest.raises(ZeroDivisionError):
        async with s.transaction():
            await s.update(plain, count=5)
            plain.note = "n"
            raise ZeroDivisionError
    assert (plain.count, plain.note) == (0, "n")
    await s.update(plain)
    assert await s.get(Plain, id="1") == Plain(id="1", note="n")
