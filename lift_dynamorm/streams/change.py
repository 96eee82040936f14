"""A change of an item, as a record of a stream tells it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from lift_dynamorm.collection import check_told_apart
from lift_dynamorm.keys import RESERVED, SEPARATOR, TENANT_MARK, looks_like_tenant
from lift_dynamorm.model import Model, schema_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lift_dynamorm.schema import Schema

    Item = dict[str, Any]

M = TypeVar("M", bound=Model)

Kind = Literal["insert", "modify", "remove"]

_ESCAPED = re.compile(r'"(["$])')
_TTL = "dynamodb.amazonaws.com"
_NOT_DECODED: Any = object()


class Change(Generic[M]):
    """An item that was written: what it was, and what it is.

    key, before_image, after_image: in wire form; the images are None where there was no item, or where the stream's
    view does not hold them. tenant: whose item it is, None outside of every tenant. at: when, to the second. sequence:
    of this change in its shard. by_ttl: DynamoDB deleted the item because its time to live was over. model: None for
    an item that is of none of the models asked for.

    Changes of one item come in their order; those of different items need not. After a crash some come again.
    """

    __slots__ = (
        "_after",
        "_before",
        "_prefix",
        "_schema",
        "after_image",
        "at",
        "before_image",
        "by_ttl",
        "key",
        "kind",
        "sequence",
        "shard",
        "tenant",
    )

    def __init__(
        self, record: Mapping[str, Any], *, schema: Schema[M] | None, tenant: str | None, prefix: str, shard: str = ""
    ) -> None:
        told = record["dynamodb"]
        self.kind: Kind = cast("Kind", record["eventName"].lower())
        self.key: Item = told["Keys"]
        self.before_image: Item | None = told.get("OldImage")
        self.after_image: Item | None = told.get("NewImage")
        self.tenant: str | None = tenant
        self.at: datetime = datetime.fromtimestamp(told.get("ApproximateCreationDateTime") or 0, UTC)
        self.sequence: str = told["SequenceNumber"]
        self.shard: str = shard
        identity = record.get("userIdentity") or {}
        self.by_ttl: bool = (identity.get("PrincipalId") or identity.get("principalId")) == _TTL
        self._schema = schema
        self._prefix = prefix
        self._before = self._after = _NOT_DECODED

    @property
    def model(self) -> type[M] | None:
        return None if self._schema is None else self._schema.model

    @property
    def before(self) -> M | None:
        """The item as it was; None for an insert. Raises InvalidItem where it does not fit the model."""
        if self._before is _NOT_DECODED:
            self._before = self._decode(self.before_image)
        return cast("M | None", self._before)

    @property
    def after(self) -> M | None:
        """The item as it is; None for a removal. Raises InvalidItem where it does not fit the model."""
        if self._after is _NOT_DECODED:
            self._after = self._decode(self.after_image)
        return cast("M | None", self._after)

    def _decode(self, image: Item | None) -> M | None:
        if image is None or self._schema is None:
            return None
        return self._schema.decode(image, self._prefix)

    def __repr__(self) -> str:
        key = ", ".join(f"{name}={next(iter(wire.values()))!r}" for name, wire in self.key.items())
        return f"<{self.kind} {self.model.__name__ if self.model else 'item'} {key} at {self.at:%Y-%m-%dT%H:%M:%S}>"


class Decoder(Generic[M]):
    """Make changes of the records of a stream, from GetRecords or from a Lambda event: both have one form.

    models: share a table, and can be told apart by their keys. others: items of no model are given too.
    tenant: only this tenant's. partition: the table's partition key; needed where there is no model to tell.
    """

    def __init__(
        self, models: Sequence[type[M]], *, others: bool = False, tenant: str | None = None, partition: str = ""
    ) -> None:
        self.schemas: tuple[Schema[M], ...] = tuple(schema_of(model) for model in models)
        if len(self.schemas) > 1:
            check_told_apart(self.schemas)
        self.partition: str = self.schemas[0].partition.attribute if self.schemas else partition
        self._others = others
        self._tenant = tenant

    def change(self, record: Mapping[str, Any], shard: str = "") -> Change[M] | None:
        """Make a change; None for an item that is not wanted, and for one that only the sessions use."""
        key = record["dynamodb"]["Keys"]
        prefix, tenant = whose(key[self.partition])
        if self._tenant is not None and tenant != self._tenant:
            return None
        schema = next((schema for schema in self.schemas if schema.owns(key, prefix)), None)
        if schema is None and (not self._others or _reserved(key[self.partition], prefix)):
            return None
        return Change(record, schema=schema, tenant=tenant, prefix=prefix, shard=shard)


def whose(partition: Mapping[str, Any]) -> tuple[str, str | None]:
    """Tell the tenant's prefix of a partition key in wire form, and the tenant; "" and None where it is nobody's."""
    text = partition.get("S", "")
    if not looks_like_tenant(text) or text.startswith(RESERVED):
        return "", None
    mark = text.partition(SEPARATOR)[0]
    tenant = _ESCAPED.sub(lambda match: SEPARATOR if match[1] == "$" else '"', mark.removeprefix(TENANT_MARK))
    return mark + SEPARATOR, tenant


def _reserved(partition: Mapping[str, Any], prefix: str) -> bool:
    text: str = partition.get("S", "")
    return text.startswith(RESERVED, len(prefix))
