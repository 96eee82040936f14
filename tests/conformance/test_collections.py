"""Item collections: several models out of one partition, each as its class."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import GSI, TTL, CursorQueryMismatch, F, Model, QueryError, UsageError, Version

from .models import DAY, Note

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Session

    Open = Callable[..., Session]


class Customer(Model, table="shop", pk="C#{id}", sk="A", indexes=[GSI("by_day", pk="DAY#{day}", sk="{name}")]):
    id: str
    name: str = "x"
    day: str | None = None
    version: Version = 0


class Order(
    Model,
    table="shop",
    pk="C#{customer}",
    sk="ORDER#{number:04d}",
    indexes=[GSI("by_day", pk="DAY#{day}", sk="{placed}"), GSI("by_state", pk="S#{state}")],
):
    customer: str
    number: int
    day: str | None = None
    placed: datetime = DAY
    state: str = "open"
    expires_at: TTL = None


class Line(Model, table="shop", pk="C#{customer}", sk="ORDER#{number:04d}#LINE#{n}"):
    customer: str
    number: int
    n: int


class Message(Model, table="shop", pk="C#{customer}", sk="MESSAGE#{at}"):
    customer: str
    at: datetime
    text: str = ""


Anything = Customer | Order | Line | Message


async def filled(s: Session) -> list[Anything]:
    """Store a partition of each model, in the order of the sort key, beside another partition."""
    await s.put(Customer(id="2"))
    await s.put(Order(customer="2", number=1))
    items: list[Anything] = [
        Customer(id="1", name="Ann"),
        *(Message(customer="1", at=DAY + timedelta(days=n), text=str(n)) for n in range(3)),
        Order(customer="1", number=1),
        Line(customer="1", number=1, n=-2),
        Line(customer="1", number=1, n=10),
        Order(customer="1", number=2),
        Line(customer="1", number=2, n=1),
    ]
    for item in reversed(items):
        await s.put(item)
    return items


@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_every_item_comes_as_its_class_in_order(opened: Open, tenant: str | None) -> None:
    s = opened(Customer, Order, tenant=tenant)
    items = await filled(s)
    everything = s.query(Customer).including(Order, Line, Message).where(id="1")
    assert await everything.all() == items
    assert [item async for item in everything] == items
    assert await everything.order_by("-sk").all() == items[::-1]
    assert await everything.count() == 9
    assert await everything.limit(5).count() == 5
    some = s.query(Order).including(Line).where(customer="1")
    assert await some.all() == items[4:]
    assert await some.first() == items[4]
    assert await s.query(Order).including(Line).where(customer="2").one() == Order(customer="2", number=1)
    assert await s.query(Customer).including(Order).including(Message).where("id", "=", "1").count() == 6
    ann = items[0]
    assert isinstance(ann, Customer)
    await s.update(ann, name="Anna")


async def test_pages_of_a_collection(opened: Open) -> None:
    s = opened(Customer, Order)
    items = [item for item in await filled(s) if not isinstance(item, Message)]
    query = s.query(Customer).including(Order, Line).where(id="1")
    for size in (1, 2, 4, 7):
        paged: list[Anything] = []
        cursor = None
        while cursor is not None or not paged:
            page = await query.limit(size).page(cursor)
            paged += page
            cursor = page.cursor
        assert paged == [*items[:1], *items[1:]]
    cursor = (await query.limit(2).page()).cursor
    for other in (
        s.query(Customer).where(id="1"),
        s.query(Customer).including(Order).where(id="1"),
        query.order_by("-sk"),
    ):
        with pytest.raises(CursorQueryMismatch):
            await other.page(cursor)


async def test_a_collection_of_an_index(opened: Open) -> None:
    s = opened(Customer, Order)
    order = await s.put(Order(customer="1", number=1, day="mo"))
    ann = await s.put(Customer(id="9", name="Ann", day="mo"))
    await s.put(Customer(id="8", name="Zoe", day="tu"))
    query = s.query(Customer).including(Order).where(day="mo")
    assert await query.all() == [order, ann]
    assert await query.order_by("-by_day_sk").all() == [ann, order]
    assert query.explain().index == "by_day"


async def test_pending_writes_to_any_of_the_models_are_seen(opened: Open) -> None:
    s = opened(Customer, Order)
    items = await filled(s)
    async with s.transaction():
        await s.delete(items[1])
        await s.update(Customer, {"id": "1"}, name="Anna", returning=False)
        new = await s.put(Message(customer="1", at=DAY + timedelta(hours=30), text="new"))
        await s.put(Line(customer="2", number=1, n=1))
        found = await s.query(Customer).including(Order, Message).where(id="1").all()
        assert found[1:] == [items[2], new, items[3], items[4], items[7]]
        assert isinstance(found[0], Customer)
        assert found[0].name == "Anna"
        assert await s.query(Customer).including(Order, Message).where(id="1").count() == 6


async def test_what_is_over_is_not_there(opened: Open) -> None:
    s = opened(Customer, Order)
    await s.put(Customer(id="1"))
    await s.put(Order(customer="1", number=1, expires_at=datetime(2020, 1, 1, tzinfo=UTC)))
    query = s.query(Customer).including(Order).where(id="1")
    assert [type(item) for item in await query.all()] == [Customer]
    assert [type(item) for item in await query.include_expired().all()] == [Customer, Order]
    assert (await query.count(), await query.include_expired().count()) == (1, 2)


class Loose(Model, table="shop", pk="C#{customer}", sk="{name}"):
    customer: str
    name: str


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda s: s.query(Customer).including(Note), QueryError, "Note is not stored in the table of Customer"),
        (lambda s: s.query(Customer).including(Loose), QueryError, "Customer and Loose cannot be told apart"),
        (lambda s: s.query(Customer).including(Customer), QueryError, "cannot be told apart"),
        (lambda s: s.query(Customer).only("id").including(Order), UsageError, "do not go together"),
        (lambda s: s.query(Customer).including(Order).only("id"), UsageError, "do not go together"),
    ],
)
async def test_models_that_do_not_fit_together(opened: Open, ask: Any, error: Any, words: str) -> None:
    s = opened(Customer, Order, Note)
    with pytest.raises(error, match=words):
        await ask(s).where(id="1").all()


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda q: q.where(F.name == "x", id="1"), "take the condition on `name` away"),
        (lambda q: q.where(F.id == "1", F.id != "2"), "names a partition of table and nothing else: `id` = ..."),
        (lambda q: q, "needs `id`"),
        (lambda q: q.where(day="mo").index("by_state"), "Customer has no index 'by_state'"),
        (lambda q: q.where(id="1").order_by("name"), "table is not sorted by `name`, but by `sk`"),
    ],
)
async def test_conditions_that_do_not_name_a_partition(opened: Open, ask: Any, words: str) -> None:
    s = opened(Customer, Order)
    with pytest.raises(QueryError, match=words):
        await ask(s.query(Customer).including(Order)).all()


async def test_an_index_of_one_of_the_models_is_none_of_the_collection(opened: Open) -> None:
    s = opened(Customer, Order)
    with pytest.raises(QueryError, match="by_state is none of Customer"):
        await s.query(Order).including(Customer).where(state="open").all()
