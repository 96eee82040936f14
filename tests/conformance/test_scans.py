"""Scans of tables and indexes: what they give, in segments, in pages, from where they stopped, in transactions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import (
    GSI,
    LSI,
    CursorInvalid,
    CursorQueryMismatch,
    CursorTenantMismatch,
    F,
    InvalidItem,
    Model,
    PartitionKey,
    QueryError,
    SortKey,
    Unique,
    UsageError,
    VersionConflict,
)
from lift_dynamorm.errors import RequestRefused
from lift_dynamorm.tables import specifications

from .conftest import session_of
from .models import DAY, Blob, Counter, Note, Order, Plain, Reading, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Database, Session

    Open = Callable[..., Session]


class Card(
    Model,
    table="cards",
    indexes=[
        GSI("by_color", pk=F.color, projection="KEYS_ONLY"),
        LSI("by_rank", sk=F.rank, projection=["color"]),
    ],
):
    deck: PartitionKey[str]
    number: SortKey[int]
    color: str | None = None
    rank: int | None = None
    text: str = ""


class Task(
    Model,
    table="tasks",
    pk="TASK#{id}",
    sk="-",
    indexes=[GSI("by_state", pk="STATE#{state}", sk="{rank}", projection="KEYS_ONLY")],
):
    """Its index holds the keys, but not the fields that they are made of."""

    id: str
    state: str
    rank: int


class Member(Model, table="members"):
    """Its partition key is a text of the caller's, beside which siblings keep its unique field."""

    name: PartitionKey[str]
    email: Unique[str | None] = None


class Owner(Model, table="pairs", pk="OWNER#{id}"):
    id: str
    email: Unique[str | None] = None


class Pair(Model, table="pairs", pk="{left}#{right}#{third}"):
    """Its key begins with a value, and has as many parts as that of a sibling of `Owner`."""

    left: str
    right: str
    third: str


async def keys(scan: Any) -> list[Any]:
    """The keys of everything a scan gives, in order: a scan has none of its own."""
    return sorted([*schema_key(item)] for item in [item async for item in scan])


def schema_key(item: Any) -> tuple[Any, ...]:
    match item:
        case User():
            return (item.id,)
        case Order():
            return (item.user, item.number)
        case Card():
            return (item.deck, item.number)
        case Note():
            return (item.owner, item.written)
        case Member():
            return (item.name,)
        case Plain():
            return (item.id,)
    raise AssertionError(item)


@pytest.fixture
def page_by_page(db: Database) -> list[float]:
    """Makes no scan wait for its rate, which then only makes its pages small; gives what the waits would have been."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    for transport in (db.transport, db.transport.blocking):
        transport.sleep = sleep
    return waits


def small_pages(scan: Any) -> Any:
    """One item a page: with units this cheap, a second pays for no more."""
    return scan.rate(read_units=1e-9)


async def test_a_scan_gives_every_item_of_its_model_and_no_other(opened: Open) -> None:
    s = opened(User, Order)
    users = [await s.create(User(id=str(n))) for n in range(5)]
    orders = [await s.create(Order(user=str(n % 5), number=n, amount=n / 2)) for n in range(9)]
    assert sorted(await s.scan(User).all(), key=schema_key) == users
    assert sorted(await s.scan(Order).all(), key=schema_key) == sorted(orders, key=schema_key)
    assert await keys(s.scan(User)) == [[u.id] for u in users]
    assert await s.scan(Order).count() == 9
    assert await s.scan(User).consistent().count() == 5
    assert await s.scan(User).first() in users
    assert await s.scan(User).where(name="nobody").first() is None


async def test_a_scan_stays_within_its_tenant(opened: Open, db: Database, way: str) -> None:
    sessions = {name: session_of(db, way, name) for name in ("a", "b", None)}
    opened(Member, Owner, Pair, Plain)
    for tenant, s in sessions.items():
        for item in (Member(name=f"m{tenant}", email=f"{tenant}@x"), Plain(id=f"p{tenant}"), Owner(id="1", email="x")):
            await s.create(item)
        await s.create(Member(name="@x"))  # looks like a tenant's mark, and is none without a #
        await s.create(Pair(left=f"l{tenant}", right="r", third="t"))
        await s.create(Pair(left="@", right="Owner.email", third="x"))  # looks like a sibling that keeps a value
    for tenant, s in sessions.items():
        assert await keys(s.scan(Member)) == [["@x"], [f"m{tenant}"]]
        assert await keys(s.scan(Plain)) == [[f"p{tenant}"]]
        assert sorted([p.left for p in await s.scan(Pair).all()]) == ["@", f"l{tenant}"]
        assert await s.scan(Member).segments(3).count() == 2


async def test_what_other_tenants_have_is_not_even_read_out(opened: Open, db: Database, way: str) -> None:
    s = opened(Plain, tenant="a")
    await s.create(Plain(id="1"))
    await session_of(db, way, "b").create(Plain(id="2"))
    request = s.scan(Plain).explain().request
    everyones: Any = session_of(db, way)
    answer = await everyones.execute("Scan", {**request, "TableName": "plain"})
    assert answer["Count"] == 1
    assert answer["ScannedCount"] == 2


async def test_conditions_on_values(opened: Open) -> None:
    s = opened(User)
    for n in range(8):
        await s.create(User(id=str(n), logins=n, team="red" if n % 2 else None, tags={str(n)}))
    scan = s.scan(User)
    assert await keys(scan.where(F.logins > 5)) == [["6"], ["7"]]
    assert await keys(scan.where(team="red").where("logins", "<", 4)) == [["1"], ["3"]]
    assert await keys(scan.where(F.team.not_exists(), F.logins < 3)) == [["0"], ["2"]]
    assert await keys(scan.where((F.logins == 1) | F.tags.contains("2"))) == [["1"], ["2"]]
    assert await keys(scan.where(~(F.logins > 0))) == [["0"]]
    assert await scan.where(F.logins > 5).count() == 2
    assert await scan.where(F.logins > 5).consistent().count() == 2


async def test_conditions_on_keys(opened: Open) -> None:
    for tenant in (None, "acme"):
        s = opened(Note, Counter, tenant=tenant) if tenant is None else opened(Note, tenant=tenant)
        for owner in ("ann", "bob"):
            for n in range(3):
                await s.create(Note(owner=owner, written=DAY + timedelta(days=n), text=str(n)))
        scan = s.scan(Note)
        assert await keys(scan.where(owner="ann", text="1")) == [["ann", DAY + timedelta(days=1)]]
        assert await keys(scan.where(F.owner.begins_with("b"), F.written > DAY + timedelta(days=1))) == [
            ["bob", DAY + timedelta(days=2)]
        ]
        assert await keys(scan.where(F.owner.is_in(["bob", "eve"]), F.text == "0")) == [["bob", DAY]]
        assert await scan.where(F.owner != "ann").count() == 3
    s = opened(Counter)
    for n in range(4):
        await s.create(Counter(number=n))
    assert sorted([c.number for c in await s.scan(Counter).where(F.number >= 2).all()]) == [2, 3]


async def test_a_condition_too_long_for_dynamodb(opened: Open) -> None:
    s = opened(Plain)
    for n in range(6):
        await s.create(Plain(id=str(n), count=n))
    many = s.scan(Plain).where(F.count.is_in(range(2, 2000)), F.count < 5)
    assert await keys(many) == [["2"], ["3"], ["4"]]
    assert await many.count() == 3
    assert sorted([p.id for p in await many.only("id").all()]) == ["2", "3", "4"]


async def test_keys_of_bytes(opened: Open) -> None:
    s = opened(Blob)
    blobs = [await s.create(Blob(digest=bytes([n, 255]), size=n)) for n in range(3)]
    assert sorted(await s.scan(Blob).all(), key=lambda blob: blob.size) == blobs
    with pytest.raises(UsageError, match="cannot carry a tenant"):
        await opened(Blob, tenant="a").scan(Blob).all()


async def test_less_than_all_of_an_item(opened: Open) -> None:
    s = opened(User)
    await s.create(User(id="1", name="Ann", team="red", logins=4))
    scan = s.scan(User).where(F.logins == 4)
    part = await scan.only("name").first()
    assert part is not None
    assert (part.id, part.name) == ("1", "Ann")
    assert not hasattr(part, "team")
    with pytest.raises(QueryError, match="did you mean `logins`"):
        scan.only("login")


async def test_items_whose_time_is_over(opened: Open) -> None:
    s = opened(User)
    await s.create(User(id="1", expires_at=datetime(2001, 1, 1, tzinfo=UTC)))
    await s.create(User(id="2"))
    assert await keys(s.scan(User)) == [["2"]]
    assert await s.scan(User).count() == 1
    assert [u.id for u in await s.scan(User).only("name").all()] == ["2"]
    assert await keys(s.scan(User).include_expired()) == [["1"], ["2"]]
    assert await s.scan(User).include_expired().count() == 2


async def test_a_limit_is_a_total(opened: Open) -> None:
    s = opened(Plain)
    for n in range(7):
        await s.create(Plain(id=str(n), count=n))
    for scan in (s.scan(Plain), s.scan(Plain).segments(3), s.scan(Plain).where(F.count > 0)):
        for limit in (1, 3, 6):
            assert len(await scan.limit(limit).all()) == limit
            assert await scan.limit(limit).count() == limit
        assert len(await scan.limit(50).all()) == await scan.count()


async def cards(s: Any) -> None:
    for n in range(12):
        await s.create(Card(deck=f"d{n % 3}", number=n, color="red" if n % 2 else None, rank=n if n > 8 else None))


async def test_an_index(opened: Open) -> None:
    s = opened(Card, User)
    await cards(s)
    by_color, by_rank = s.scan(Card).index("by_color"), s.scan(Card).index("by_rank")
    assert sorted([c.number for c in await by_color.only("number").all()]) == [1, 3, 5, 7, 9, 11]
    assert await by_color.count() == 6
    assert await by_rank.only("color").segments(2).count() == 3
    assert sorted([c.number for c in await by_rank.only("color").consistent().where(F.color == "red").all()]) == [9, 11]
    for refused, words in (
        (by_color, "does not hold `rank` and `text`"),
        (by_rank.only("number").where(text="a"), "does not hold `text`"),
        (s.scan(Card).index("by_text"), "it has table, by_color, by_rank"),
        (by_color.only("number").consistent(), "cannot be read consistently"),
    ):
        with pytest.raises(QueryError, match=words):
            await refused.all()
    await s.create(User(id="1", team="red"))
    await s.create(User(id="2"))
    assert await keys(s.scan(User).index("by_team")) == [["1"]]
    assert await keys(s.scan(User).index("table")) == [["1"], ["2"]]


async def test_fields_that_are_in_the_keys_of_an_index_only(opened: Open) -> None:
    s = opened(Task)
    tasks = [await s.create(Task(id=str(n), state="open" if n % 2 else "done", rank=n)) for n in range(6)]
    scan = s.scan(Task).index("by_state")
    assert sorted(await scan.all(), key=lambda task: task.id) == tasks
    found = scan.where(F.state == "open", F.rank > 1)
    assert sorted([task.id for task in await found.all()]) == ["3", "5"]
    assert await found.count() == 2
    assert found.explain().local == "state = 'open' AND rank > 1"


@pytest.mark.parametrize("segments", [1, 2, 5])
async def test_segments_give_every_item_once(opened: Open, segments: int) -> None:
    s = opened(User, Order)
    for n in range(30):
        await s.create(User(id=str(n), logins=n))
        await s.create(Order(user=str(n), number=n, amount=1.0))
    scan = s.scan(User).segments(segments)
    everything = sorted([str(n)] for n in range(30))
    assert await keys(scan) == everything
    assert sorted([u.id] for u in await scan.all()) == everything
    assert await scan.count() == 30
    assert await keys(scan.where(F.logins >= 28)) == [["28"], ["29"]]


async def test_pages_of_more_than_a_megabyte_together(opened: Open) -> None:
    s = opened(Note)
    for n in range(9):
        await s.create(Note(owner=f"o{n % 4}", written=DAY + timedelta(days=n), text=str(n) * 200_000))
    for scan in (s.scan(Note), s.scan(Note).segments(2)):
        assert sorted([note.text[0] async for note in scan]) == [str(n) for n in range(9)]
        assert await scan.count() == 9
        assert [note.text[0] for note in await scan.where(F.text.begins_with("8")).all()] == ["8"]
    pages = [page async for page in s.scan(Note).pages()]
    assert len(pages) > 1
    first = pages[0]
    rest = await s.scan(Note).resume(first.cursor).all()
    assert sorted(note.text[0] for note in [*first, *rest]) == [str(n) for n in range(9)]


@pytest.mark.parametrize("segments", [1, 3])
@pytest.mark.parametrize("which", ["table", "filter", "index"])
async def test_a_scan_resumes_behind_any_page(
    opened: Open, page_by_page: list[float], segments: int, which: str
) -> None:
    s = opened(Card, tenant="acme")
    await cards(s)
    scan = s.scan(Card).segments(segments)
    if which == "filter":
        scan = scan.where((F.color == "red") | (F.number == 2))
    if which == "index":
        scan = scan.index("by_color").only("number")
    everything = await keys(scan)
    given: list[Any] = []
    cursors = [None]
    async for page in small_pages(scan).pages():
        given += page
        cursors.append(page.cursor)
        rest = [item async for item in scan.resume(page.cursor)] if page.cursor else []
        assert sorted([*schema_key(item)] for item in [*given, *rest]) == everything
    assert cursors.pop() is None
    assert None not in cursors[1:]
    assert len(cursors) >= len(everything)
    assert await keys(scan.resume("")) == await keys(scan.resume(None)) == everything


@pytest.mark.parametrize("size", [1, 2, 5, 11, 12, 13])
@pytest.mark.parametrize("which", ["table", "filter", "index", "segments"])
async def test_pages_of_a_size(opened: Open, size: int, which: str) -> None:
    s = opened(Card)
    await cards(s)
    scan: Any = {
        "table": s.scan(Card),
        "filter": s.scan(Card).where(F.number > 3),
        "index": s.scan(Card).index("by_color").only("number"),
        "segments": s.scan(Card).segments(3),
    }[which]
    paged: list[Any] = []
    cursor = None
    for _ in range(20):
        page = await scan.limit(size).page(cursor)
        paged += page
        cursor = page.cursor
        if cursor is None:
            break
        assert len(page) == size
        assert cursor.replace("-", "").replace("_", "").isalnum()
    assert cursor is None
    assert sorted([*schema_key(item)] for item in paged) == await keys(scan)


async def test_a_cursor_is_bound_to_its_scan_and_tenant(opened: Open, db: Database, way: str) -> None:
    s = opened(Card, Plain, tenant="a")
    await cards(s)
    scan = s.scan(Card).limit(2)
    cursor = (await scan.page()).cursor
    assert cursor is not None
    for same in (scan, scan.limit(7), scan.consistent(), scan.only("number"), scan.rate(read_units=1e6)):
        assert len(await same.resume(cursor).all()) > 0
    for foreign in (
        scan.where(F.number > 0),
        scan.segments(2),
        scan.index("by_rank").only("number"),
        s.scan(Plain),
        s.query(Card).where(deck="d1"),
    ):
        with pytest.raises(CursorQueryMismatch):
            await foreign.page(cursor)
    with pytest.raises(CursorTenantMismatch):
        await session_of(db, way, "b").scan(Card).page(cursor)
    with pytest.raises(CursorInvalid):
        await scan.resume(cursor[:-1]).all()
    of_query = (await s.query(Card).where(deck="d1").limit(1).page()).cursor
    with pytest.raises(CursorQueryMismatch):
        await scan.resume(of_query).count()


async def test_progress_tells_what_has_been_taken(opened: Open, way: str, page_by_page: list[float]) -> None:
    s = opened(Plain)
    for n in range(6):
        await s.create(Plain(id=str(n), count=n))
    told: list[Any] = []
    taken: list[str] = []

    def note(progress: Any) -> None:
        assert progress.items == len(taken)
        told.append(progress)

    async def note_later(progress: Any) -> None:
        note(progress)

    for report in (note, note_later):
        told.clear()
        taken.clear()
        scan = s.scan(Plain).where(F.count > 1)
        async for plain in small_pages(scan.segments(2)).progress(report):
            taken += [plain.id]
        assert [p.items for p in told] == sorted(p.items for p in told)
        assert (told[-1].items, told[-1].scanned, told[-1].segments) == (4, 6, 2)
        assert told[-1].read_units > 0
        assert told[-1].segments_done == 2
        assert told[-1].cursor is None
        for progress in told[:-1]:
            assert progress.segments_done < 2 or progress.cursor is None
            rest = await scan.segments(2).resume(progress.cursor).count()
            assert progress.items + rest == 4


async def test_a_scan_sees_what_its_transaction_writes(opened: Open) -> None:
    s = opened(User, Order)
    for n in range(6):
        await s.create(User(id=str(n), logins=n))
    async with s.transaction():
        await s.update(User, {"id": "0"}, logins=10)  # comes to match
        await s.update(User, {"id": "5"}, logins=0)  # matches no more
        await s.update(User, {"id": "4"}, name="Ann")  # goes on to match
        await s.delete(User, id="3")
        await s.create(User(id="new", logins=7))
        await s.create(Order(user="new", number=1, amount=1.0))
        for scan in (s.scan(User), s.scan(User).segments(3)):
            assert await keys(scan) == [["0"], ["1"], ["2"], ["4"], ["5"], ["new"]]
            matching = scan.where(F.logins >= 3)
            assert await keys(matching) == [["0"], ["4"], ["new"]]
            assert await matching.count() == 3
            assert [u.name for u in await scan.where(name="Ann").all()] == ["Ann"]
            assert await matching.limit(2).count() == 2
        assert await keys(s.scan(Order)) == [["new", 1]]
        pages = [page async for page in s.scan(User).pages()]
        assert pages[-1].cursor is None
        assert sorted(u.id for page in pages for u in page) == ["0", "1", "2", "4", "5", "new"]


async def test_what_a_transaction_writes_and_a_scan_does_not_give(opened: Open) -> None:
    for tenant in (None, "acme"):
        s = opened(Member, User, tenant=tenant)
        async with s.transaction():
            await s.create(Member(name="m", email="e"))  # with a sibling that keeps its email
            await s.create(User(id="1", expires_at=datetime(2001, 1, 1, tzinfo=UTC)))
            assert await keys(s.scan(Member)) == [["m"]]
            assert await s.scan(User).all() == []
            assert await s.scan(User).include_expired().count() == 1


@pytest.mark.parametrize("size", [1, 2, 4])
async def test_pages_inside_of_a_transaction(opened: Open, size: int) -> None:
    s = opened(Plain)
    for n in range(3):
        await s.create(Plain(id=str(n)))
    async with s.transaction():
        for n in range(2, 8):
            await s.put(Plain(id=str(n), name="pending"))
        paged: list[str] = []
        cursor = None
        for _ in range(20):
            page = await s.scan(Plain).limit(size).page(cursor)
            paged += [plain.id for plain in page]
            cursor = page.cursor
            if cursor is None:
                break
        assert cursor is None
        assert sorted(paged) == [str(n) for n in range(8)]


async def test_what_a_serializable_transaction_scanned_must_not_change(opened: Open, db: Database, way: str) -> None:
    s = opened(User)
    for n in range(3):
        await s.create(User(id=str(n)))
    for read in ("all", "count"):
        with pytest.raises(VersionConflict):
            async with s.transaction(isolation="serializable"):
                assert len(await s.scan(User).all()) == 3 if read == "all" else await s.scan(User).count() == 3
                await s.create(User(id=f"new {read}", team="x"))
                await session_of(db, way).update(User, {"id": "1"}, name=read)
    async with s.transaction(isolation="serializable"):
        assert await s.scan(User).where(F.id == "2").segments(2).count() == 1
        await s.create(User(id="new"))
        await session_of(db, way).update(User, {"id": "1"}, name="unseen")
    assert await keys(s.scan(User)) == [["0"], ["1"], ["2"], ["new"]]


async def test_hooks_see_what_is_taken(opened: Open, db: Database) -> None:
    s = opened(Plain)
    for n in range(4):
        await s.create(Plain(id=str(n)))
    seen: list[str] = []

    @db.after_read(Plain)
    def note(plain: Plain) -> None:
        seen.append(plain.id)
        plain.name = "seen"

    taken = []
    async for plain in s.scan(Plain):
        assert plain.name == "seen"
        taken += [plain.id]
        assert taken == seen
        if len(taken) == 3:
            break
    seen.clear()
    await s.scan(Plain).count()
    assert seen == []


async def test_an_item_that_does_not_fit_its_model(opened: Open) -> None:
    s = opened(Plain)
    await s.execute("PutItem", {"TableName": "plain", "Item": {"id": {"S": "1"}, "count": {"S": "many"}}})
    with pytest.raises(InvalidItem, match="id=1"):
        await s.scan(Plain).segments(2).all()


async def test_a_table_that_is_not_there(opened: Open, db: Database, way: str) -> None:
    opened(Plain)
    for scan in (session_of(db, way).scan(Reading), session_of(db, way).scan(Reading).segments(3)):
        with pytest.raises(RequestRefused, match=r"there is no table .*readings"):
            await scan.all()
    opened(Reading)


async def test_a_share_of_what_an_on_demand_table_has(opened: Open) -> None:
    s = opened(Card)
    for scan in (s.scan(Card), s.scan(Card).index("by_color").only("number")):
        with pytest.raises(UsageError, match=r"on demand.*read_units"):
            await scan.rate(share=0.5).all()


@pytest.mark.parametrize(("index", "units"), [("table", 10), ("by_rank", 10), ("by_color", 40)])
async def test_a_share_of_what_is_provisioned(
    opened: Open, db: Database, way: str, page_by_page: list[float], index: str, units: int
) -> None:
    request = specifications([Card])[0].request()
    request |= {"BillingMode": "PROVISIONED", "ProvisionedThroughput": provisioned(10)}
    request["GlobalSecondaryIndexes"] = [
        {**made, "ProvisionedThroughput": provisioned(40)} for made in request["GlobalSecondaryIndexes"]
    ]
    s: Any = session_of(db, way)
    await s.execute("CreateTable", request)
    for n in range(9):
        await s.put(Card(deck="d", number=n, color="red", rank=n))
    told: list[Any] = []
    scan = s.scan(Card).index(index).only("number").rate(share=0.0001).progress(told.append)
    assert await scan.count() == 9
    # The clock of these waits stands still, so the last one is for all pages but the last.
    assert len(page_by_page) >= 8
    taken = told[len(page_by_page) - 1].read_units
    assert page_by_page[-1] == pytest.approx(taken / (units * 0.0001), rel=0.1)


def provisioned(read_units: int) -> dict[str, int]:
    return {"ReadCapacityUnits": read_units, "WriteCapacityUnits": 5}
