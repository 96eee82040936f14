"""Keys that hold anything, and sort by value."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import EmailStr, StringConstraints, create_model, field_validator

from lift_dynamorm import GSI, F, InvalidValue, ItemExists, Model, PartitionKey, QueryError
from lift_dynamorm.fields import SORT_KEY

from .models import DAY, Blob, Counter, Note, Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import Session

    Open = Callable[..., Session]

HOSTILE = ["#", "##", '"', '""', '"$', "$", "@", "@a#", "a#b", 'a"#', "a", "a ", " a", "ä", "a\u0308", "\x01", "\x1f",
           "\x7f", "😀", "\uffff", "a/b", "USER#a", "ORDER#", "{x}", "%s", "\\", "'", "a\nb"]  # fmt: skip


class Pair(Model, table="pairs", pk="A#{a}#B#{b}", sk="{c}#{d}"):
    a: str
    b: str
    c: str
    d: str


async def test_no_value_forges_the_key_of_another_item(opened: Open) -> None:
    s = opened(Pair)
    pairs = [Pair(a=a, b=b, c="c", d="d") for a, b in zip(HOSTILE, reversed(HOSTILE), strict=True)]
    pairs += [Pair(a="x", b="y", c=c, d=d) for c, d in zip(HOSTILE, reversed(HOSTILE), strict=True)]
    pairs += [Pair(a=a, b=b, c=c, d=d) for a, b, c, d in [
        ("a#B#b", "", "c", "d"), ("a", "b", "", ""), ("", "b#B#", "c", "d"), ("", "", "c#", "d"), ("", "", "c", "#d"),
    ]]  # fmt: skip
    for pair in pairs:
        await s.create(pair)
    for pair in pairs:
        assert await s.get(Pair, pair.model_dump()) == pair
        with pytest.raises(ItemExists):
            await s.create(pair.model_copy())
        assert await s.query(Pair).where(a=pair.a, b=pair.b, c=pair.c).all() == [
            p for p in pairs if (p.a, p.b, p.c) == (pair.a, pair.b, pair.c)
        ]
    for pair in pairs:
        await s.delete(pair)
        assert await s.find(Pair, pair.model_dump()) is None


class Bare(Model, table="bare", pk="{a}"):
    a: str


async def test_a_key_without_a_literal(opened: Open) -> None:
    s = opened(Bare)
    for value in HOSTILE:
        await s.create(Bare(a=value))
    for value in HOSTILE:
        assert (await s.get(Bare, a=value)).a == value
    with pytest.raises(InvalidValue, match="empty"):
        await s.create(Bare(a=""))


async def test_a_key_that_is_too_long(opened: Open) -> None:
    s = opened(Bare)
    await s.create(Bare(a="ä" * 1024))
    assert await s.find(Bare, a="ä" * 1024)
    with pytest.raises(InvalidValue, match="2050 bytes; DynamoDB allows 2048"):
        await s.create(Bare(a="ä" * 1025))


async def test_plain_keys_of_each_type(opened: Open) -> None:
    s = opened(Counter, Blob, Note)
    for number in (0, -5, 10**30, 7):
        await s.create(Counter(number=number))
    for number in (0, -5, 10**30, 7):
        assert (await s.update(Counter, {"number": number}, hits=number)).hits == number
        assert (await s.get(Counter, number=number)) == Counter(number=number, hits=number)
    with pytest.raises(ItemExists):
        await s.create(Counter(number=7))
    for digest in (b"\0", b"a", bytes(range(256))):
        await s.create(Blob(digest=digest, size=len(digest)))
    for digest in (b"\0", b"a", bytes(range(256))):
        assert (await s.get(Blob, digest=digest)).size == len(digest)
    note = await s.create(Note(owner="a", written=DAY + timedelta(microseconds=1), text="x"))
    assert await s.get(Note, owner="a", written=note.written) == note
    assert await s.get(Note, owner="a", written=note.written.isoformat()) == note
    await s.delete(note)
    assert await s.find(Note, owner="a", written=note.written) is None


SORTED: list[tuple[Any, list[Any]]] = [
    (int, [0, 1, -1, 9, 10, 11, 99, 100, -9, -10, -11, -99, -100, 10**37, -(10**37), 10**37 + 1, 5 * 10**36]),
    (float, [0.0, 0.1, -0.1, 0.11, 1.5, 1e-100, -1e-100, 1e100, -1e100, 9.99, 10.0, 2.5e-7, 25.0]),
    (Decimal, [Decimal(t) for t in ("0", "1.1", "1.10000000000000000000001", "1.2", "-1.1", "-1.11", "1E-130",
                                    "-1E-130", "9E125", "-9E125", "12", "120", "0.5")]),
    (datetime, [DAY, DAY + timedelta(microseconds=1), DAY - timedelta(days=9000), datetime(1, 1, 1, tzinfo=UTC),
                datetime(9999, 12, 31, tzinfo=UTC), DAY + timedelta(seconds=1)]),
    (date, [date(2020, 1, 9), date(2020, 1, 10), date(999, 12, 31), date(1, 1, 1)]),
    (str, HOSTILE),
]  # fmt: skip


def in_order(values: list[Any]) -> list[Any]:
    return sorted(values, key=lambda v: v.encode() if isinstance(v, str) else v)


@pytest.mark.parametrize("shape", ["plain", "template", "inner", "last"])
@pytest.mark.parametrize(("kind", "values"), SORTED, ids=[kind.__name__ for kind, _ in SORTED])
async def test_sort_keys_sort_by_value(opened: Open, kind: Any, values: list[Any], shape: str) -> None:
    if shape == "plain":
        fields: Any = {"pk": (PartitionKey[str], "p"), "value": (Annotated[kind, SORT_KEY], ...)}
        arguments: dict[str, Any] = {}
    else:
        fields = {"value": (kind, ...), "other": (str, "x")}
        sk = {"template": "{value}", "inner": "V#{value}#{other}", "last": "{other}#{value}"}[shape]
        arguments = {"pk": "P", "sk": sk}
    model: Any = create_model("Sorted", __base__=Model, __cls_kwargs__={"table": "sorted", **arguments}, **fields)
    s = opened(model)
    for value in values:
        await s.create(model(value=value))
    where: dict[str, Any] = {"pk": "p"} if shape == "plain" else {}
    if shape == "last":
        where["other"] = "x"
    query: Any = s.query(model).where(**where)
    if shape == "inner" and kind is str:
        # What stands behind a text is part of the order: "a#" lies behind 'a"', though "a" does not.
        with pytest.raises(QueryError, match="not sorted by `value`"):
            await query.order_by("value").all()
        return
    forward = [item.value async for item in query.order_by("value")]
    assert forward == in_order(values)
    backward = [item.value async for item in query.order_by("-value")]
    assert backward == forward[::-1]


async def test_a_local_index_sorts_the_same_partition_otherwise(opened: Open) -> None:
    s = opened(Reading)
    for value, place in ((1, "z"), (-2, "a"), (3, None), (20, "m")):
        await s.create(Reading(sensor="s", value=value, place=place))
    assert [r.value async for r in s.query(Reading).where(sensor="s")] == [-2, 1, 3, 20]
    assert [r.place async for r in s.query(Reading).where(sensor="s").index("by_place")] == ["a", "m", "z"]
    assert [r.place async for r in s.query(Reading).where(sensor="s").order_by("-place")] == ["z", "m", "a"]
    assert [r.value async for r in s.query(Reading).where(sensor="s", place="m").consistent()] == [20]


class Account(Model, table="accounts", pk="ACCOUNT#{id}", indexes=[GSI("by_mail", pk="MAIL#{mail}")]):
    id: Annotated[str, StringConstraints(to_lower=True, strip_whitespace=True, max_length=9)]
    mail: EmailStr

    @field_validator("mail")
    @classmethod
    def lower(cls, mail: str) -> str:
        return mail.lower()


async def test_a_key_is_looked_for_as_its_validators_would_store_it(opened: Open) -> None:
    s = opened(Account)
    account = await s.create(Account(id=" ABC ", mail="Ann@EXAMPLE.com"))
    assert (account.id, account.mail) == ("abc", "ann@example.com")
    assert await s.get(Account, id="Abc") == account
    assert await s.query(Account).where(mail="ANN@example.com").all() == [account]
    assert await s.query(Account).where(F.mail.is_in(["ANN@example.com", "x"]), F.id == "ABC").all() == [account]
    assert (await s.update(Account, {"id": "ABC"}, mail="Bob@x.org")).mail == "bob@x.org"
    assert await s.find(Account, id="longer than nine") is None
    await s.delete(Account, id="aBc")


async def test_an_item_whose_key_is_no_text_is_written_by_instance(opened: Open) -> None:
    s = opened(Counter, Blob)
    for item in (Counter(number=7), Blob(digest=b"\0\xff")):
        await s.create(item)
        (read,) = [i async for i in s.scan(type(item))]
        assert read == item
        changes: dict[str, Any] = {"hits": 1} if isinstance(read, Counter) else {"size": 1}
        await s.update(read, **changes)
        await s.delete(read)
        assert await s.scan(type(item)).first() is None
