"""Models of one table are told apart by their key templates, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from lift_dynamorm import Model, PartitionKey, QueryError, SortKey, Table
from lift_dynamorm.collection import check_told_apart
from lift_dynamorm.model import schema_of


def model(sk: str | None, pk: str = "P#{a}", **options: Any) -> Any:
    class Made(Model, table="shared", pk=pk, sk=sk, **options):
        a: str
        b: str = ""
        n: int = 0

    return schema_of(Made)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("PROFILE", "ORDER#{n}"),
        ("ORDER#{n}", "NOTE#{n}"),
        ("ORDER#{n}", "{b}"),
        ("ORDER#{n}", "ORDER#{n}#LINE#{b}"),
        ("ORDER#{n}#x", "ORDER#{n}#y"),
        ("PROFILE", "P#{n}"),
        ("{n}#a", "{n}#b"),
        ("x{n}", "y{n}"),
        ("x{n}", "yes"),
        ("{b}#X#{n}", "{b}#Y#{n}"),
        ("{b}x#{n}", "by#{n}"),
        ("{b}x#{n}", "{b}y#{n}"),
        ("ab{b}bc#{n}", "abc#{n}"),
    ],
)
def test_models_that_can_be_told_apart(one: str, other: str) -> None:
    check_told_apart([model(one), model(other)])
    check_told_apart([model(other), model(one)])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ORDER#{n}", "ORDER#{b}"),
        ("PROFILE", "{b}"),
        ("PROFILE", "PROFILE"),
        ("PRO{n}", "PROFILE"),
        ("x{n}", "xy{n}"),
        ("{n}#{b}", "{b}#x"),
        ("A#{n}", "{b}#{n}"),
        ("{b}x#{n}", "bx#{n}"),
        ("{b}x#{n}", "{b}yx#{n}"),
        ("a{b}c#{n}", "ac#{n}"),
    ],
)
def test_models_that_cannot_be_told_apart(one: str, other: str) -> None:
    for pair in ([model(one), model(other)], [model(other), model(one)]):
        with pytest.raises(QueryError, match="cannot be told apart"):
            check_told_apart(pair)


def test_partition_keys_tell_apart_too() -> None:
    check_told_apart([model("{b}", pk="A#{a}"), model("{b}", pk="B#{a}")])
    check_told_apart([model(None, pk="A#{a}"), model(None, pk="B#{a}")])


def test_each_pair_is_looked_at() -> None:
    with pytest.raises(QueryError, match="cannot be told apart"):
        check_told_apart([model("A#{n}"), model("B#{n}"), model("B#{b}")])


def test_models_of_other_tables_are_refused() -> None:
    class Elsewhere(Model, table="elsewhere", pk="P#{a}", sk="E"):
        a: str

    class Renamed(Model, table=Table("shared", pk="PK"), pk="P#{a}", sk="E"):
        a: str

    class Plain(Model, table="shared"):
        pk: PartitionKey[str]
        sk: SortKey[str]

    for other, words in ((Elsewhere, "table of Made"), (Renamed, "table of Made"), (Plain, "told apart")):
        with pytest.raises(QueryError, match=words):
            check_told_apart([model("X"), schema_of(other)])
