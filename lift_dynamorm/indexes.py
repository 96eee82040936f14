"""Secondary indexes, as declared and as compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from lift_dynamorm.errors import InvalidValue
from lift_dynamorm.expressions import Path
from lift_dynamorm.keys import RESERVED, KeyTemplate, looks_like_tenant

if TYPE_CHECKING:
    from collections.abc import Mapping

    Wire = dict[str, Any]

Key = str | Path | Sequence[Path]
"""A template (``"TEAM#{team}"``), a plain attribute (``F.team``), or up to four of them."""

MAX_PARTITION_BYTES = 2048
MAX_SORT_BYTES = 1024


@dataclass(frozen=True, slots=True)
class GSI:
    """A global secondary index: ``GSI("by_team", pk="TEAM#{team}", sk="{joined}")``.

    pk, sk: a template, or plain attributes as ``F.name`` (up to four of them a side, in a list).
    projection: ``"ALL"``, ``"KEYS_ONLY"``, or the names of the fields that the index copies.
    pk_attribute, sk_attribute: what template keys are called; ``<index>_pk`` and ``<index>_sk`` by default.
    An item in which a field of the keys is None is not in the index.
    """

    name: str
    pk: Key
    sk: Key | None = None
    projection: str | Sequence[str] = field(default="ALL", kw_only=True)
    pk_attribute: str | None = field(default=None, kw_only=True)
    sk_attribute: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class LSI:
    """A local secondary index: the table's partition key with another sort key. See `GSI`."""

    name: str
    sk: Key
    projection: str | Sequence[str] = field(default="ALL", kw_only=True)
    sk_attribute: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class KeyAttribute:
    """One attribute of a key: made by a template, or a field's own attribute.

    tag: its DynamoDB type, ``S``, ``N`` or ``B``. fields: the attributes of the fields it is made of.
    prefixed: the tenant stands in front of it.
    """

    attribute: str
    tag: str
    template: KeyTemplate | None
    fields: tuple[str, ...]
    prefixed: bool

    def render(self, item: Mapping[str, Wire], prefix: str, side: str) -> Wire | None:
        """Make the key value from an item's fields; None where one of them is missing."""
        if self.template is None:
            wire = item.get(self.attribute)
            if wire is None:
                return None
        else:
            text = self.template.render(item)
            if text is None:
                return None
            wire = {"S": text}
        ((tag, value),) = wire.items()
        if self.prefixed and tag == "S":
            if value.startswith(RESERVED) or (not prefix and looks_like_tenant(value)):
                refuse_marked_key(value, self.fields[0])
            if prefix:
                value = prefix + value
                wire = {tag: value}
        if tag != "N" and (not value or len(value) > 256):
            self._check_length(value, side)
        return wire

    def _check_length(self, value: str, side: str) -> None:
        what = "the partition key made of it" if side == "partition" else "the sort key made of it"
        field = self.fields[0] if self.fields else self.attribute
        if not value:
            raise InvalidValue(f"{what} is empty, which DynamoDB does not allow", field=field)
        size, most = len(value.encode()), MAX_PARTITION_BYTES if side == "partition" else MAX_SORT_BYTES
        if size > most:
            msg = f"{what} takes {size} bytes; DynamoDB allows {most}"
            raise InvalidValue(msg, field=field)


def refuse_marked_key(value: str, field: str) -> NoReturn:
    msg = f"{value!r} looks like a key of a tenant; no partition key begins with @#, nor outside of a tenant with @...#"
    raise InvalidValue(msg, field=field)


@dataclass(frozen=True, slots=True)
class Index:
    """A compiled index; `name` is None for the table itself.

    kind: ``table``, ``global`` or ``local``. projected: the attributes it holds, None for all.
    attributes: its key attributes. fields: the attributes of all the fields its keys are made of.
    """

    name: str | None
    kind: str
    partition: tuple[KeyAttribute, ...]
    sort: tuple[KeyAttribute, ...]
    projected: frozenset[str] | None = None
    attributes: tuple[str, ...] = field(init=False)
    fields: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        keys = (*self.partition, *self.sort)
        object.__setattr__(self, "attributes", tuple(key.attribute for key in keys))
        object.__setattr__(self, "fields", frozenset(name for key in keys for name in key.fields))

    def keys(self, item: Mapping[str, Wire], prefix: str) -> dict[str, Wire] | None:
        """Make the key attributes from an item's fields; None where the item is not in the index."""
        keys: dict[str, Wire] = {}
        for side, attributes in (("partition", self.partition), ("sort", self.sort)):
            for key in attributes:
                wire = key.render(item, prefix, side)
                if wire is None:
                    return None
                keys[key.attribute] = wire
        return keys

    def __str__(self) -> str:
        return self.name or "table"
