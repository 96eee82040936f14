"""Whose a stored item is: a model's and a tenant's, or none of these."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from lift_dynamorm.collection import check_told_apart
from lift_dynamorm.errors import DefinitionError, QueryError, UsageError
from lift_dynamorm.keys import RESERVED, SEPARATOR, TENANT_MARK, looks_like_tenant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lift_dynamorm.schema import Schema

    Item = Mapping[str, Any]

_ESCAPED = re.compile(r'"(["$])')


class NotToldApart(UsageError):
    """Two models share a table, and no key tells whose an item is. names: what they are called."""

    def __init__(self, message: str, names: tuple[str, str]) -> None:
        super().__init__(message)
        self.names = names


class EveryTenant:
    """The type of `EVERY_TENANT`."""

    def __repr__(self) -> str:
        return "EVERY_TENANT"


EVERY_TENANT: Final = EveryTenant()
"""Items of every tenant, and of none."""


def prefix_of(item: Item, partition: str) -> str:
    """Tell the tenant's prefix of an item, "" where it is no tenant's."""
    text = item[partition].get("S", "")
    if text.startswith(RESERVED) or not looks_like_tenant(text):
        return ""
    return f"{text.partition(SEPARATOR)[0]}{SEPARATOR}"


def tenant_of(prefix: str) -> str | None:
    """Undo `tenant_prefix`."""
    if not prefix:
        return None
    escaped = prefix.removeprefix(TENANT_MARK).removesuffix(SEPARATOR)
    return _ESCAPED.sub(lambda match: SEPARATOR if match[1] == "$" else match[1], escaped)


def is_reserved(item: Item, partition: str, prefix: str) -> bool:
    """Tell whether an item is one that the library keeps for itself, as the claim of a unique value."""
    return bool(item[partition].get("S", "").startswith(RESERVED, len(prefix)))


def owner_of(schemas: Sequence[Schema[Any]], item: Item, prefix: str) -> Schema[Any] | None:
    """Find the model of an item."""
    return next((schema for schema in schemas if schema.owns(item, prefix)), None)


def check_owners(schemas: Sequence[Schema[Any]]) -> None:
    """Refuse models of one table whose items cannot be told apart."""
    for one, other in combinations(schemas, 2):
        try:
            check_told_apart([one, other])
        except QueryError:
            raise NotToldApart(
                f"{one.name} and {other.name} share the table {one.table.name!r}, and their items cannot be told apart "
                "by their keys: take one of the two, or whole items with raw",
                (one.name, other.name),
            ) from None


def named(schemas: Iterable[Schema[Any]]) -> dict[str, Schema[Any]]:
    """File models by the names that stand in the lines."""
    found: dict[str, Schema[Any]] = {}
    for schema in schemas:
        if found.setdefault(schema.name, schema) is not schema:
            raise DefinitionError(f"two models are called {schema.name}; take one of them, or rename it")
    return found
