"""Partial instances and smaller models: what they are made of, and what they refuse."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from lift_dynamorm import GSI, InvalidItem, Model, PartitionKey, QueryError, SortKey, UsageError, Version
from lift_dynamorm.model import schema_of
from lift_dynamorm.projection import Selection

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import SyncSession

    Open = Callable[..., SyncSession]

DAY = datetime(2026, 1, 1, tzinfo=UTC)


class Address(BaseModel):
    street: str = Field(alias="Street")
    city: str
    built: datetime = DAY


class Person(Model, table="people", indexes=[GSI("by_email", pk="E#{email}", projection="KEYS_ONLY")]):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True)

    id: PartitionKey[str]
    born: SortKey[datetime]
    full_name: Annotated[str, AfterValidator(str.title)] = "nobody"
    email: str | None = None
    score: Decimal = Decimal("1.5")
    tags: set[str] = set()
    address: Address | None = None
    others: list[Address] = []
    version: Version = 0
    _notes: list[str] = []
    _unset: str

    @field_validator("email", "score", mode="before")
    @classmethod
    def stripped(cls, value: Any) -> Any:
        assert cls is Person
        return value.strip() if isinstance(value, str) else value

    @model_validator(mode="after")
    def whole(self) -> Person:
        assert self.email is not None, "a person needs an email"
        return self


def stored(**values: Any) -> dict[str, Any]:
    ann = Person(id="1", born=DAY, full_name="ann lee", email="a@b.c", **values)
    return schema_of(Person).encode(ann, "") | {"extra": {"S": "kept"}}


def partial(*names: str, item: dict[str, Any] | None = None) -> Person:
    person: Person = Selection(schema_of(Person), names).partial(item or stored(), "")
    return person


def test_a_partial_instance_has_its_fields_and_those_of_its_key() -> None:
    person = partial("full_name", "address", item=stored(address=Address(Street="s", city="c")))
    assert isinstance(person, Person)
    assert person.model_fields_set == {"id", "born", "full_name", "address"}
    assert (person.id, person.born, person.full_name) == ("1", DAY, "Ann Lee")
    assert person.address == Address(Street="s", city="c")
    assert person.model_dump() == {
        "id": "1",
        "born": DAY,
        "full_name": "Ann Lee",
        "address": person.address.model_dump(),
    }
    assert person == partial("full_name", "address", item=stored(address=Address(Street="s", city="c")))
    assert person != partial("full_name")
    assert "full_name='Ann Lee'" in repr(person)
    assert "email" not in repr(person)


def test_another_field_is_an_attribute_error_that_says_why() -> None:
    person = partial("full_name")
    for field in ("email", "tags", "version"):
        with pytest.raises(
            AttributeError, match=f"`{field}` of this Person was not read, only `id`, `born`, `full_name`"
        ):
            getattr(person, field)
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        person.nope  # type: ignore[attr-defined]  # on purpose
    assert not hasattr(person, "email")
    assert person.model_extra is None
    person._notes.append("x")
    assert (person._notes, partial("full_name")._notes) == (["x"], [])
    assert not hasattr(person, "_unset")


def test_fields_are_read_as_in_the_whole_model() -> None:
    item = stored(tags={"x"}) | {"email": {"S": " padded "}}
    person = partial("email", "score", "tags", item=item)
    assert (person.email, person.score, person.tags) == ("padded", Decimal("1.5"), {"x"})
    bare = partial("full_name", "email", "score", "tags", "others", item={"id": {"S": "1"}, "born": item["born"]})
    assert (bare.full_name, bare.email, bare.score, bare.tags, bare.others) == (
        "nobody",
        None,
        Decimal("1.5"),
        set(),
        [],
    )


class Strict(Model, table="strict", pk="S#{id}"):
    model_config = ConfigDict(extra="forbid")

    id: str
    name: str = ""
    note: str = ""


def test_what_is_not_asked_for_is_passed_over() -> None:
    schema = schema_of(Strict)
    item = schema.encode(Strict(id="1", name="n", note="x"), "") | {"strange": {"S": "s"}}
    found = Selection(schema, ["name"]).partial(item, "")
    assert (found.model_fields_set, found.name) == ({"id", "name"}, "n")


def test_what_does_not_fit_is_an_invalid_item() -> None:
    with pytest.raises(InvalidItem, match=r"the item id=1, born=.* does not fit Person: score"):
        partial("score", item=stored() | {"score": {"S": "much"}})
    assert partial("full_name", item=stored() | {"score": {"S": "much"}}).full_name == "Ann Lee"


def test_unknown_fields_are_refused_with_a_suggestion() -> None:
    with pytest.raises(QueryError, match="Person has no field for `fullname`; did you mean `full_name`"):
        partial("fullname")
    with pytest.raises(QueryError, match="its fields are id, born"):
        partial("zzz")

    class Small(BaseModel):
        id: str
        full_nam: str = "default"

    with pytest.raises(QueryError, match=r"Person has no field for Small\.full_nam; did you mean `full_name`"):
        Selection(schema_of(Person), Small.model_fields, Small)


def test_a_smaller_model_is_made_of_the_fields_by_their_names() -> None:
    class Place(BaseModel):
        city: str

    class Small(BaseModel):
        model_config = ConfigDict(extra="forbid")

        full_name: str = Field(alias="n")
        address: Place | None
        others: list[Place]
        score: float

    assert schema_of(Person).fields["full_name"].attribute == "fullName"
    selection = Selection(schema_of(Person), Small.model_fields, Small)
    assert selection.attributes == {"id", "born", "fullName", "address", "others", "score"}
    home = Address(Street="s", city="c")
    small = selection.give(selection.partial(stored(address=home, others=[home, home]), ""))
    assert small == Small(n="Ann Lee", address=Place(city="c"), others=[Place(city="c")] * 2, score=1.5)

    class Strict(BaseModel):
        email: int

    strict = Selection(schema_of(Person), Strict.model_fields, Strict)
    with pytest.raises(InvalidItem, match=r"Person\(.*email='a@b.c'.* does not fit Strict"):
        strict.give(strict.partial(stored(), ""))


def test_a_partial_instance_cannot_be_written(opened: Open) -> None:
    s = opened(Person)
    s.put(Person(id="1", born=DAY, full_name="ann", email="e"))
    person = s.query(Person).where(id="1").only("full_name").one()
    copies = [person, person.model_copy(), pickle.loads(pickle.dumps(person))]
    for partial in copies:
        for write in (s.put, s.create, s.delete, s.update):
            with pytest.raises(UsageError, match=r"partial and cannot be written: `email`, .*update\(Person, \{...\}"):
                write(partial)
        with s.transaction(), pytest.raises(UsageError, match="partial"):
            s.check(partial)
    assert s.get(Person, id="1", born=DAY).version == 1
    s.update(Person, {"id": person.id, "born": person.born}, full_name="new")
    assert s.query(Person).where(id="1").only("full_name").one().full_name == "New"


def test_only_is_said_once_with_names_or_a_model(opened: Open) -> None:
    class Small(BaseModel):
        id: str

    query: Any = opened(Person).query(Person)
    for wrong in ((), (3,), (Small, "id"), ("id", Small)):
        with pytest.raises(UsageError, match="only"):
            query.only(*wrong)
    with pytest.raises(UsageError, match="said once"):
        query.only("id").only("email")
