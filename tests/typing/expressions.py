"""Conditions and changes: `F` gives paths, comparisons give conditions, methods give changes."""

from __future__ import annotations

from typing import assert_type

from lift_dynamorm import F
from lift_dynamorm.expressions import Arithmetic, Assignment, Default, Expression, Path, Size


def paths() -> None:
    assert_type(F.name, Path)
    assert_type(F["any name"], Path)
    assert_type(F.address.city, Path)
    assert_type(F.lines[0].sku, Path)
    assert_type(F.box["size"], Path)
    assert_type(F.name.size(), Size)
    assert_type(str(F.name), str)


def conditions() -> None:
    assert_type(F.age == 1, Expression)
    assert_type(F.age != 1, Expression)
    assert_type(F.age < 1, Expression)
    assert_type(F.age <= 1, Expression)
    assert_type(F.age > F.other, Expression)
    assert_type(F.age >= 1, Expression)
    assert_type(F.age.between(1, 2), Expression)
    assert_type(F.age.is_in([1, 2]), Expression)
    assert_type(F.name.begins_with("A"), Expression)
    assert_type(F.tags.contains("x"), Expression)
    assert_type(F.tags.not_contains("x"), Expression)
    assert_type(F.nick.exists(), Expression)
    assert_type(F.nick.not_exists(), Expression)
    assert_type(F.nick.is_type("S"), Expression)
    assert_type(F.name.size() > 3, Expression)
    assert_type(F("age", ">", 18) | F("nick", "exists"), Expression)
    F("nick")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type((F.a == 1) & (F.b == 2) | ~(F.c == 3), Expression)
    F.name.begins_with(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    F.age.between(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    F.age.is_in(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    (F.a == 1) & True  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]


def changes() -> None:
    assert_type(F.name.set("x"), Assignment)
    assert_type(F.name.remove(), Assignment)
    assert_type(F.n.add(1), Assignment)
    assert_type(F.tags.delete({"x"}), Assignment)
    assert_type(F.lines.append(["x"]), Assignment)
    assert_type(F.lines.prepend(["x"]), Assignment)
    assert_type(F.n.if_not_exists(0), Default)
    assert_type(F.n.if_not_exists(0) + 1, Arithmetic)
    assert_type(F.n + 1, Arithmetic)
    assert_type(F.n - 1 + F.other, Arithmetic)
    assert_type(1 + F.n, Arithmetic)
    assert_type(1 - (F.n + 1), Arithmetic)
    F.n * 2  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
    F.n.betwen(1, 2)  # type: ignore[operator]  # pyright: ignore[reportCallIssue]
    F.lines.append(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
