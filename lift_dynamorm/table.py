"""A table: what its keys are called, and how it is set up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lift_dynamorm.errors import DefinitionError

StreamView = Literal["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]
TableClass = Literal["STANDARD", "STANDARD_INFREQUENT_ACCESS"]

AWS_OWNED = "AWS_OWNED"
AWS_MANAGED = "AWS_MANAGED"

MAX_RECOVERY_DAYS = 35
MAX_TAGS = 50


@dataclass(frozen=True, slots=True)
class Provisioned:
    """Capacity paid for by the hour: read and write units a second."""

    read: int
    write: int

    def __post_init__(self) -> None:
        for name, units in (("read", self.read), ("write", self.write)):
            if type(units) is not int or units < 1:
                raise DefinitionError(
                    f"Provisioned({name}={units!r}): give a whole number of units a second, 1 or more"
                )


@dataclass(frozen=True, slots=True)
class OnDemand:
    """Capacity paid for by the request; at most so many units a second, None for no limit of its own."""

    max_read: int | None = None
    max_write: int | None = None

    def __post_init__(self) -> None:
        for name, units in (("max_read", self.max_read), ("max_write", self.max_write)):
            if units is not None and (type(units) is not int or units < 1):
                raise DefinitionError(f"OnDemand({name}={units!r}): give a whole number of units a second, or None")


Throughput = Provisioned | OnDemand


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSettings:
    """How a table is set up. What is None is not managed: a new table has DynamoDB's default, one that is there keeps
    what it has.

    capacity: of the table; what is provisioned is so for each of its global indexes too, and the limits of what is on
    demand are the table's own, unless `index_capacity` names an index. A new table is on demand.
    stream: what the records of its stream hold, False for no stream.
    point_in_time_recovery: True for 35 days, a number of days from 1 to 35, False for none.
    encryption: ``"AWS_OWNED"``, ``"AWS_MANAGED"``, or a KMS key by its id or ARN; not by an alias, which a table does
    not tell. A table under any KMS key passes for ``"AWS_MANAGED"``: only KMS could tell whose it is.
    tags: all tags of the table; those that begin with ``aws:`` are left alone.
    contributor_insights: for the table and its global indexes.
    resource_policy: the policy document; ``{}`` for none.
    """

    capacity: Throughput | None = None
    index_capacity: Mapping[str, Throughput] | None = None
    table_class: TableClass | None = None
    stream: StreamView | Literal[False] | None = None
    point_in_time_recovery: bool | int | None = None
    encryption: str | None = None
    deletion_protection: bool | None = None
    tags: Mapping[str, str] | None = None
    contributor_insights: bool | None = None
    resource_policy: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        days = self.point_in_time_recovery
        if type(days) is int and not 1 <= days <= MAX_RECOVERY_DAYS:
            raise DefinitionError(
                f"point_in_time_recovery={days}: give the days to keep, from 1 to {MAX_RECOVERY_DAYS}, or True or False"
            )
        if self.stream not in (None, False, "KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"):
            raise DefinitionError(
                f"stream={self.stream!r}: give KEYS_ONLY, NEW_IMAGE, OLD_IMAGE, NEW_AND_OLD_IMAGES, or False for none"
            )
        if self.table_class not in (None, "STANDARD", "STANDARD_INFREQUENT_ACCESS"):
            raise DefinitionError(f"table_class={self.table_class!r}: give STANDARD or STANDARD_INFREQUENT_ACCESS")
        if self.encryption is not None and (not self.encryption or "alias/" in self.encryption):
            raise DefinitionError(
                f"encryption={self.encryption!r}: give {AWS_OWNED}, {AWS_MANAGED}, or a KMS key by its id or ARN; an "
                "alias cannot be compared with what a table tells"
            )
        if self.tags is not None:
            self._check_tags(self.tags)
        capacities = (self.capacity, *(self.index_capacity or {}).values())
        kinds = {type(capacity) for capacity in capacities if capacity is not None}
        if len(kinds) > 1:
            raise DefinitionError("a table and its indexes are all Provisioned or all OnDemand")
        if self.index_capacity and self.capacity is None:
            raise DefinitionError("index_capacity goes with capacity, that of the table")

    def _check_tags(self, tags: Mapping[str, str]) -> None:
        if len(tags) > MAX_TAGS:
            raise DefinitionError(f"{len(tags)} tags; DynamoDB allows {MAX_TAGS}")
        for key, value in tags.items():
            if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
                raise DefinitionError(
                    f"the tag {key!r}: a key has 1 to 128 characters and does not begin with aws:, a value at most 256"
                )


@dataclass(frozen=True, slots=True)
class Table:
    """A table, and what its key attributes are called for models with key templates.

    settings: how it is set up; models that share the table need to say it once.
    """

    name: str
    pk: str = "pk"
    sk: str = "sk"
    settings: TableSettings = field(default_factory=TableSettings, kw_only=True)
