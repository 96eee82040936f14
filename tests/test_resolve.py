"""Where an expression meets a model: names, values, the tenant."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from lift_dynamorm import GSI, TTL, F, InvalidValue, Model, PartitionKey, QueryError, UsageError
from lift_dynamorm.conditions import Literal, Name, Placeholders, Predicate, render
from lift_dynamorm.expressions import Expression
from lift_dynamorm.model import schema_of
from lift_dynamorm.resolve import resolve, resolve_changes
from lift_dynamorm.updates import render_update


class Address(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    zip_code: str = ""
    lines: list[str] = []


class Person(Model, table="people", indexes=[GSI("by-mail", pk=F.mail)]):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    id: PartitionKey[UUID]
    first_name: str = ""
    mail: str | None = None
    born: datetime | None = None
    home: Address = Field(default_factory=Address)
    points: list[float] = []


SCHEMA = schema_of(Person)


def wired(expression: Expression, prefix: str = "") -> tuple[str, dict[str, str], list[Any]]:
    to = Placeholders()
    text = render(resolve(SCHEMA, expression, prefix), to)
    for placeholder in sorted(to.names, reverse=True):
        text = text.replace(placeholder, to.names[placeholder])
    return text, to.names, list(to.values.values())


@pytest.mark.parametrize(
    ("expression", "text", "values"),
    [
        (F.first_name == "x", "firstName = :0", [{"S": "x"}]),
        (F.firstName == "x", "firstName = :0", [{"S": "x"}]),
        (F.home.zip_code == "1", "home.zipCode = :0", [{"S": "1"}]),
        (F.home.zipCode == "1", "home.zipCode = :0", [{"S": "1"}]),
        (F.home.lines[0].begins_with("a"), "begins_with(home.lines[0], :0)", [{"S": "a"}]),
        (F.points.contains(1.5), "contains(points, :0)", [{"N": "1.5"}]),
        (F.points[2] > 1, "points[2] > :0", [{"N": "1"}]),
        (F.points.size() >= 2, "size(points) >= :0", [{"N": "2"}]),
        (F.born > "2020-01-01T00:00:00+01:00", "born > :0", [{"S": "2019-12-31T23:00:00.000000Z"}]),
        (F.id == str(UUID(int=1)), "id = :0", [{"S": str(UUID(int=1))}]),
        (F.born == datetime(2020, 1, 1, tzinfo=UTC), "born = :0", [{"S": "2020-01-01T00:00:00.000000Z"}]),
        (F.first_name == F.mail, "firstName = mail", []),
    ],
)
def test_names_and_values_on_the_wire(expression: Expression, text: str, values: list[Any]) -> None:
    found, _, given = wired(expression)
    assert (found, given) == (text, values)


def test_the_tenant_stands_in_front_of_partition_keys_only() -> None:
    for expression, value in (
        (F.mail == "m", "@t#m"),
        (F.mail.begins_with("m"), "@t#m"),
        (F.mail != "m", "@t#m"),
        (F.first_name == "m", "m"),
        (F.id == UUID(int=0), f"@t#{UUID(int=0)}"),
    ):
        assert wired(expression, "@t#")[2] == [{"S": value}]
    assert resolve(SCHEMA, F.mail.is_in(["a", "b"]), "@t#") == Predicate(
        "in", Name(("mail",)), (Literal({"S": "@t#a"}), Literal({"S": "@t#b"}))
    )


@pytest.mark.parametrize(
    "expression", [F.nope == 1, F.home.nope == 1, F.home[0] == 1, F.first_name.x == 1, F.points.x == 1, F.mial == "x"]
)
def test_paths_that_lead_nowhere_are_refused(expression: Expression) -> None:
    with pytest.raises(QueryError, match="Person"):
        resolve(SCHEMA, expression, "")


@pytest.mark.parametrize(
    "expression", [F.first_name == 1, F.born > "soon", F.id == "x", F.points[0] == "a", F.points.contains("a")]
)
def test_values_that_do_not_fit_are_refused(expression: Expression) -> None:
    with pytest.raises(InvalidValue, match="Person"):
        resolve(SCHEMA, expression, "")


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (F.first_name.is_type("TEXT"), "'TEXT' is no type of DynamoDB; they are S N B BOOL"),
        (F.points[0].size() > 1, r"size is for text.*`points\[0\]` has no size"),
        (F.first_name.size() > F.points[0].size(), "has no size"),
        (F.points[0].contains(1), "contains nothing"),
    ],
)
def test_functions_that_a_type_does_not_have_are_refused(expression: Expression, words: str) -> None:
    with pytest.raises(QueryError, match=words):
        resolve(SCHEMA, expression, "")


def test_changes_on_the_wire() -> None:
    changes = resolve_changes(
        SCHEMA, [F.home.zip_code.set("9"), F.points.append([1])], {"mail": "m", "first_name": None}, "@t#"
    )
    to = Placeholders()
    assert (
        render_update(changes, to) == "SET #0.#1 = :0, #2 = list_append(if_not_exists(#2, :1), :2), #3 = :3 REMOVE #4"
    )
    assert to.names == {"#0": "home", "#1": "zipCode", "#2": "points", "#3": "mail", "#4": "firstName"}
    assert to.values[":3"] == {"S": "@t#m"}


@pytest.mark.parametrize(
    "changes",
    [
        [F.id.set(UUID(int=1))],
        [F.home.set(Address()), F.home.zip_code.set("x")],
        [F.mail.set(F.first_name)],
        [F.points.add({1.0})],
        [F.points[0].set(F.points[0] + None)],
    ],
)
def test_changes_that_cannot_be_are_refused(changes: list[Any]) -> None:
    with pytest.raises(UsageError):
        resolve_changes(SCHEMA, changes, {}, "@t#")


# -- whole numbers -----------------------------------------------------------------------------------------------------


class Shelf(Model, table="shelves"):
    id: PartitionKey[str]
    n: int = 0
    m: int | None = None
    price: Decimal = Decimal(0)
    weight: float = 0.0
    either: int | float = 0
    lines: list[int] = []
    counts: dict[str, int] = {}
    anything: Any = None
    title: str = ""
    keywords: set[str] = set()
    ends: TTL = None


def changed(*changes: Any, **values: Any) -> str:
    to = Placeholders()
    text = render_update(resolve_changes(schema_of(Shelf), changes, values, ""), to)
    for placeholder, wire in to.values.items():
        text = text.replace(placeholder, str(wire.get("N", wire)))
    for placeholder in sorted(to.names, reverse=True):
        text = text.replace(placeholder, to.names[placeholder])
    return text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (F.n.set(F.n + 1), "SET n = n + 1"),
        (F.n.set(F.n + 2.0), "SET n = n + 2"),
        (F.n.set(F.n - Decimal("2.00")), "SET n = n - 2"),
        (F.n.set(5 + F.n), "SET n = 5 + n"),
        (F.n.set(5 - F.n), "SET n = 5 - n"),
        (F.n.set(1 + F.n.if_not_exists(0)), "SET n = 1 + if_not_exists(n, 0)"),
        (F.n.set(F.m), "SET n = m"),
        (F.n.set(F.counts.x + F.lines[0]), "SET n = counts.x + lines[0]"),
        (F.n.set(F.anything), "SET n = anything"),
        (F.n.set(F.ends - F.n), "SET n = ends - n"),
        (F.ends.set(F.ends + 60), "SET ends = ends + 60"),
        (F.n.add(Decimal(10) ** 60), "ADD n 1.0E60"),
        (F.price.set(F.n + 0.5), "SET price = n + 0.5"),
        (F.weight.set(F.n), "SET weight = n"),
        (F.either.set(F.price + 0.5), "SET either = price + 0.5"),
    ],
)
def test_numbers_that_fit(change: Any, text: str) -> None:
    assert changed(change) == text


@pytest.mark.parametrize(
    "change",
    [
        F.n.set(F.n + 0.5),
        F.n.set(Decimal("0.5") + F.n),
        F.n.set(F.n.if_not_exists(0.5) + 1),
        F.n.set(F.m.if_not_exists(0.5)),
        F.n.add(0.5),
        F.n.add(Decimal("-0.1")),
        F.m.set(F.m + 0.5),
        F.lines[0].add(0.5),
        F.lines.append([1, 0.5]),
        F.counts.x.set(F.counts.x - 0.5),
        F.ends.set(F.ends + 0.5),
        F.n.add(float("nan")),
    ],
)
def test_a_part_of_a_number_does_not_fit_an_int(change: Any) -> None:
    with pytest.raises(InvalidValue, match=rf"Shelf\.{change.path}".replace("[", r"\[")):
        changed(change)


@pytest.mark.parametrize("name", ["price", "weight", "either"])
def test_what_may_be_a_part_of_a_number_is_no_source_for_an_int(name: str) -> None:
    source = F[name]
    for value in (source, source + 1, F.n + source, source.if_not_exists(0), source.if_not_exists(0) + 1):
        with pytest.raises(UsageError, match=f"`n` takes whole numbers, and `{name}` may be another"):
            changed(n=value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (F.title.set(F.title + "x"), "counts on `title`, which is no number"),
        (F.title.set(F.title + 1), "counts on `title`"),
        (F.n.set(F.title + 1), "`title` and `n` are of different types"),
        (F.n.set(F.title.if_not_exists(1)), "`title` and `n` are of different types"),
        (F.keywords.append(["x"]), r"`keywords`, which is no list; for a set write F\.keywords\.add"),
        (F.title.append(["x"]), "`title`, which is no list"),
        (F.n.set(F.n - (F.m - 1)), "two operands"),
        (F.n.set(10 - (F.m + 1)), "two operands"),
    ],
)
def test_what_cannot_be_counted_or_appended_to(change: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        changed(change)


def test_an_empty_set_is_an_absent_one() -> None:
    with pytest.raises(QueryError, match=r"write F\.keywords\.not_exists\(\)"):
        resolve(schema_of(Shelf), F.keywords == set(), "")
    with pytest.raises(QueryError, match=r"write F\.keywords\.exists\(\)"):
        resolve(schema_of(Shelf), F.keywords != frozenset(), "")


# -- what an expression refuses by itself ------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["great", b"great", {"a": 1}, 7])
def test_a_list_takes_a_list(wrong: Any) -> None:
    for method in ("append", "prepend"):
        with pytest.raises(QueryError, match=rf"F\.names\.{method}\(\.\.\.\) takes a list: F\.names\.{method}\(\["):
            getattr(F.names, method)(wrong)


def test_methods_that_are_not_there_are_named() -> None:
    path: Any = F["age"]
    with pytest.raises(QueryError, match="no method `betwen`; did you mean `between`"):
        path.betwen(1, 2)
    with pytest.raises(QueryError, match=r"F\.age\.zzz\(\.\.\.\).* there are add, append, begins_with"):
        path.zzz()


def test_there_is_no_multiplication() -> None:
    n: Any = F.n
    wrong: list[Any] = [lambda: n * 2, lambda: 2 * n, lambda: n / 2, lambda: (n + 1) * 2, lambda: n % 2]
    for calculate in wrong:
        with pytest.raises(QueryError, match="adds and subtracts"):
            calculate()
