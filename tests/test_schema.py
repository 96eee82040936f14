"""The compiled form of a model: items, keys, owners."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lift_dynamorm import GSI, F, InvalidValue, Model, PartitionKey, UsageError
from lift_dynamorm.keys import tenant_prefix
from lift_dynamorm.model import schema_of
from tests.strategies import hostile, text

texts = (hostile | text).filter(bool)


class User(
    Model,
    table="app",
    pk="USER#{id}",
    sk="PROFILE",
    indexes=[GSI("by_team", pk="TEAM#{team}", sk="{name}"), GSI("by_name", pk=F.name, sk=F.id)],
):
    id: str
    team: str | None = None
    name: str | None = None


NOBODY: dict[str, Any] = {"id": None}
BLANK = User.model_construct(**NOBODY)


class Order(Model, table="app", pk="USER#{user}", sk="ORDER#{id}"):
    user: str
    id: str


class Plain(Model, table="plain", extra="allow"):
    id: PartitionKey[str]


@given(texts, texts, st.none() | texts, st.none() | texts)
def test_an_item_belongs_to_one_tenant_and_reads_back(tenant: str, id: str, team: str | None, name: str | None) -> None:
    user, prefix = User(id=id, team=team, name=name), tenant_prefix(tenant)
    schema = schema_of(User)
    item = schema.encode(user, prefix)
    assert schema.decode(item, prefix) == user
    assert schema.owns(item, prefix)
    assert not schema.owns(item, tenant_prefix(tenant + "x"))
    assert not schema_of(Order).owns(item, prefix)
    assert schema.key_of_item(item) == schema.key_from({"id": id}, prefix) == schema.key_of_instance(user, prefix)
    assert ("by_team_pk" in item, "by_team_sk" in item, "name" in item) == (
        team is not None,
        name is not None,
        name is not None,
    )
    for attribute in ("pk", "by_team_pk", "name"):
        assert attribute not in item or item[attribute]["S"].startswith(prefix)


def test_models_of_one_table_do_not_own_each_others_items() -> None:
    user, order = schema_of(User), schema_of(Order)
    assert order.owns(order.encode(Order(user="1", id="2"), ""), "")
    assert not user.owns(order.encode(Order(user="1", id="2"), ""), "")
    assert not order.owns({"pk": {"S": "USER#1"}, "sk": {"S": "ORDER#1#2"}}, "")
    assert not order.owns({"pk": {"N": "1"}, "sk": {"S": "ORDER#1"}}, "")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: schema_of(User).key_from({"id": 7}, ""), InvalidValue, "User.id"),
        (lambda: schema_of(User).encode(BLANK, ""), InvalidValue, "User.id"),
        (lambda: schema_of(Plain).encode(Plain(id=""), ""), InvalidValue, "empty"),
        (lambda: schema_of(Plain).encode(Plain(id="x", when=object()), ""), InvalidValue, "Plain.when"),
        (lambda: schema_of(User).encode(User(id="1", name=""), ""), InvalidValue, "empty"),
        (lambda: schema_of(User).key_from({"nope": 7}, ""), UsageError, "id=..."),
    ],
)
def test_what_cannot_be_stored_is_named(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)
