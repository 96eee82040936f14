"""Where an expression meets a model: names, values, the tenant."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from lift_dynamorm import GSI, F, InvalidValue, Model, PartitionKey, QueryError, UsageError
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
