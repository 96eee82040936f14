"""Compile a model class into its schema, and refuse what cannot work with a mend."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lift_dynamorm.annotations import FieldSchema, codec_of, field_schema
from lift_dynamorm.codec import EPOCH, EPOCH_SECONDS, Codec
from lift_dynamorm.errors import DefinitionError, did_you_mean
from lift_dynamorm.expressions import Path
from lift_dynamorm.fields import (
    CREATED_AT,
    GENERATED,
    NULL,
    PARTITION_KEY,
    SORT_KEY,
    TIME_TO_LIVE,
    UNIQUE,
    UPDATED_AT,
    VERSION,
    Role,
)
from lift_dynamorm.indexes import GSI, LSI, Index, KeyAttribute
from lift_dynamorm.keys import KeyTemplate, Part
from lift_dynamorm.schema import Roles, Schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from lift_dynamorm.indexes import Key
    from lift_dynamorm.table import Table

MAX_GLOBAL_INDEXES = 20
MAX_LOCAL_INDEXES = 5
MAX_KEY_ATTRIBUTES = 4
_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_KEY_TAGS = frozenset({"S", "N", "B"})


@dataclass(frozen=True, slots=True)
class Definition:
    """What stands in the brackets of ``class User(Model, table="app", pk="USER#{id}", ...)``."""

    table: Table
    pk: str | None = None
    sk: str | None = None
    indexes: tuple[GSI | LSI, ...] = ()


def compile_schema(model: type[BaseModel], definition: Definition) -> Schema[Any]:
    """Compile a model; raises DefinitionError naming class, field and mend."""
    return _Compiler(model, definition).schema()


class _Compiler:
    def __init__(self, model: type[BaseModel], definition: Definition) -> None:
        self.model = model
        self.definition = definition
        self.name = model.__name__
        self.roles: dict[Role, str] = {}
        self.fields: dict[str, FieldSchema] = {}
        self.unique: list[str] = []

    def schema(self) -> Schema[Any]:
        self._check_names()
        for name in self.model.model_fields:
            self.fields[name] = self._field(name)
        self._check_attribute_names()
        key = self._table_key()
        indexes = tuple(self._index(index, key) for index in self.definition.indexes)
        self._check_indexes(key, indexes)
        key, *rest = self._mark_prefixed(key, indexes)
        return Schema(
            self.model,
            table=self.definition.table,
            fields=self.fields,
            key=key,
            indexes=tuple(rest),
            uniques=self._uniques(key),
            roles=Roles(
                version=self.roles.get(VERSION),
                created_at=self.roles.get(CREATED_AT),
                updated_at=self.roles.get(UPDATED_AT),
                time_to_live=self.roles.get(TIME_TO_LIVE),
                generated=self.roles.get(GENERATED),
            ),
        )

    def _check_names(self) -> None:
        for what, name in (
            ("table", self.definition.table.name),
            *(("index", i.name) for i in self.definition.indexes),
        ):
            if not _NAME.fullmatch(str(name)):
                msg = f"{self.name}: the {what} {name!r} needs a name of 3 to 255 letters, digits, _, - and ."
                raise DefinitionError(msg)

    # -- fields --------------------------------------------------------------------------------------------------------

    def _field(self, name: str) -> FieldSchema:
        where = f"{self.name}.{name}"
        info = self.model.model_fields[name]
        roles = [mark for mark in info.metadata if isinstance(mark, Role)]
        codec = codec_of(info.annotation, where)
        for role in roles:
            codec = self._take_role(role, name, codec, where)
        return field_schema(self.model, name, codec, null=NULL in roles)

    def _take_role(self, role: Role, name: str, codec: Codec, where: str) -> Codec:
        if role is NULL:
            if not codec.nullable:
                raise DefinitionError(f"{where}: Null[...] needs a type that allows None: Null[{'...'} | None]")
            return codec
        if role is UNIQUE:
            self.unique.append(name)
            return codec
        other = self.roles.setdefault(role, name)
        if other != name:
            raise DefinitionError(f"{self.name} has two fields for its {role.name}, `{other}` and `{name}`; keep one")
        if role is GENERATED and (codec.kinds != (str,) or codec.nullable):
            raise DefinitionError(f'{where}: a generated id is a str; declare it as `{name}: Generated = ""`')
        if role is VERSION and codec.kinds != (int,):
            raise DefinitionError(f"{where}: a version is an int; declare it as `{name}: Version = 0`")
        if role is VERSION and self._default(name) != 0:
            raise DefinitionError(
                f"{where}: a version begins at 0, which means never stored; declare it as `{name}: Version = 0`"
            )
        if role in (CREATED_AT, UPDATED_AT) and (codec.kinds[0].__name__ != "datetime" or not codec.nullable):
            raise DefinitionError(
                f"{where}: {role.name} is a datetime or None; use `CreatedAt = None`, `UpdatedAt = None`"
            )
        if role is TIME_TO_LIVE:
            kind = codec.kinds[0].__name__
            if kind not in ("datetime", "int"):
                raise DefinitionError(f"{where}: a time to live is a datetime; declare it as `{name}: TTL = None`")
            epoch = EPOCH if kind == "datetime" else EPOCH_SECONDS
            return replace(epoch, nullable=codec.nullable)
        return codec

    def _default(self, name: str) -> Any:
        """Give the default of a version; one that is required has none, which is as good as 0."""
        info = self.model.model_fields[name]
        return 0 if info.is_required() else info.get_default(call_default_factory=True, validated_data={})

    def _check_attribute_names(self) -> None:
        seen: dict[str, str] = {}
        for field in self.fields.values():
            other = seen.setdefault(field.attribute, field.name)
            if other != field.name:
                msg = (
                    f"{self.name}: `{other}` and `{field.name}` are both stored as {field.attribute!r}; change an alias"
                )
                raise DefinitionError(msg)

    def _uniques(self, key: Index) -> tuple[FieldSchema, ...]:
        fields = tuple(self.fields[name] for name in self.unique)
        for field in fields:
            where = f"{self.name}.{field.name}"
            if field.codec.tags not in ({"S"}, {"N"}):
                raise DefinitionError(f"{where}: a unique field is text or a number")
            if key.partition[0].tag != "S":
                raise DefinitionError(
                    f"{where}: unique values are kept under keys of text, and the partition key of the table is none; "
                    f'use a key template (pk="{self.name.upper()}#{{...}}")'
                )
            if TIME_TO_LIVE in self.roles:
                raise DefinitionError(
                    f"{where}: a unique field and a time to live do not go together: DynamoDB would delete the item "
                    "and keep its value taken"
                )
        return fields

    # -- keys ----------------------------------------------------------------------------------------------------------

    def _table_key(self) -> Index:
        definition = self.definition
        partition, sort = self.roles.get(PARTITION_KEY), self.roles.get(SORT_KEY)
        if definition.pk is not None:
            for name in (partition, sort):
                if name is not None:
                    msg = (
                        f"{self.name}: pk= and sk= give the key, and `{name}` is marked as a key too; keep one of them"
                    )
                    raise DefinitionError(msg)
            table = definition.table
            pk = self._template(definition.pk, table.pk, ordered=False, where=f"{self.name}(pk=...)")
            sk = None
            if definition.sk is not None:
                sk = self._template(definition.sk, table.sk, ordered=True, where=f"{self.name}(sk=...)")
            return Index(None, "table", (pk,), (sk,) if sk else ())
        if partition is None:
            msg = (
                f"{self.name} has no partition key: mark a field (`id: PartitionKey[str]`), "
                f'or give a template (`class {self.name}(Model, table=..., pk="{self.name.upper()}#{{id}}")`)'
            )
            raise DefinitionError(msg)
        if definition.sk is not None:
            raise DefinitionError(
                f"{self.name}: sk= is a template and goes with pk=; mark a field as SortKey[...] instead"
            )
        keys = tuple(self._plain(name, f"{self.name}.{name}", required=True) for name in (partition, sort) if name)
        return Index(None, "table", keys[:1], keys[1:])

    def _index(self, index: GSI | LSI, key: Index) -> Index:
        where = f"{self.name}, index {index.name!r}"
        sort = self._side(index.sk, index.sk_attribute or f"{index.name}_sk", ordered=True, where=where)
        if isinstance(index, LSI):
            if len(sort) != 1:
                raise DefinitionError(f"{where}: a local index needs one sort key; give sk=")
            if not key.sort:
                raise DefinitionError(f"{where}: a local index needs a table with a sort key; use a GSI")
            return Index(index.name, "local", key.partition, sort, self._projected(index, where))
        partition = self._side(index.pk, index.pk_attribute or f"{index.name}_pk", ordered=False, where=where)
        if not partition:
            raise DefinitionError(f"{where}: a global index needs a partition key; give pk=")
        return Index(index.name, "global", partition, sort, self._projected(index, where))

    def _side(self, key: Key | None, attribute: str, *, ordered: bool, where: str) -> tuple[KeyAttribute, ...]:
        if not key:
            return ()
        if isinstance(key, str):
            return (self._template(key, attribute, ordered=ordered, where=where),)
        paths: Sequence[Any] = [key] if isinstance(key, Path) else key
        if len(paths) > MAX_KEY_ATTRIBUTES:
            raise DefinitionError(f"{where}: an index has at most {MAX_KEY_ATTRIBUTES} attributes a side")
        names = []
        for path in paths:
            if not isinstance(path, Path) or len(path.parts) != 1:
                raise DefinitionError(f"{where}: an attribute of an index is written F.name; got {path!r}")
            names.append(str(path))
        return tuple(self._plain(name, where, required=False) for name in names)

    def _plain(self, name: str, where: str, *, required: bool) -> KeyAttribute:
        field = self._known(name, where)
        if len(field.codec.tags) != 1 or not field.codec.tags <= _KEY_TAGS:
            raise DefinitionError(
                f"{where}: `{name}` is stored as {'/'.join(sorted(field.codec.tags))}; a key is text, a number or bytes"
            )
        if field.null:
            msg = f"{where}: `{name}` keeps None as NULL, which a key cannot be; give it the default None"
            raise DefinitionError(msg)
        if required and field.codec.nullable:
            raise DefinitionError(f"{where}: a key of the table cannot be None; take `| None` away")
        (tag,) = field.codec.tags
        return KeyAttribute(field.attribute, tag, None, (field.attribute,), prefixed=False)

    def _template(self, source: str, attribute: str, *, ordered: bool, where: str) -> KeyAttribute:
        template = KeyTemplate.parse(source, ordered=ordered, where=where)
        if not template.parts and source in self.fields:
            raise DefinitionError(
                f"{where}: {source!r} is a text that is the same for every item, and the name of a field; "
                f'for the value of the field write braces: "{{{source}}}"'
            )
        parts = []
        for part in template.parts:
            field = self._known(part.field, where)
            tags = field.codec.tags
            if not tags <= {"S", "N", "BOOL"} or (part.width and tags != {"N"}):
                wanted = "a whole number" if part.width else "text, a number, a date, an id or a bool"
                raise DefinitionError(f"{where}: {{{part.field}}} in {source!r} must be {wanted}")
            parts.append(Part(field.attribute, part.width))
        if attribute in {field.attribute for field in self.fields.values()}:
            msg = (
                f"{where}: the template is stored as {attribute!r}, which is also a field. Rename the field, or the "
                f"key: Table({self.definition.table.name!r}, pk=..., sk=...), GSI(..., pk_attribute=...)"
            )
            raise DefinitionError(msg)
        compiled = replace(template, parts=tuple(parts))
        return KeyAttribute(attribute, "S", compiled, compiled.fields, prefixed=False)

    def _known(self, name: str, where: str) -> FieldSchema:
        field = self.fields.get(name)
        if field is None:
            mend = did_you_mean(name, self.fields, "the fields are")
            raise DefinitionError(f"{where}: there is no field `{name}`; {mend}")
        return field

    def _projected(self, index: GSI | LSI, where: str) -> frozenset[str] | None:
        projection = index.projection
        if projection == "ALL":
            return None
        if projection == "KEYS_ONLY":
            return frozenset()
        if isinstance(projection, str):
            raise DefinitionError(f'{where}: projection is "ALL", "KEYS_ONLY" or a list of fields')
        return frozenset(self._known(name, where).attribute for name in projection)

    def _check_indexes(self, key: Index, indexes: tuple[Index, ...]) -> None:
        names: set[str | None] = set()
        for index in indexes:
            if index.name in names:
                raise DefinitionError(f"{self.name} has two indexes called {index.name!r}; rename one")
            names.add(index.name)
        for kind, most in (("global", MAX_GLOBAL_INDEXES), ("local", MAX_LOCAL_INDEXES)):
            count = sum(index.kind == kind for index in indexes)
            if count > most:
                raise DefinitionError(f"{self.name} has {count} {kind} indexes; DynamoDB allows {most}")
        by_attribute: dict[str, KeyAttribute] = {}
        for attribute in (a for index in (key, *indexes) for a in (*index.partition, *index.sort)):
            other = by_attribute.setdefault(attribute.attribute, attribute)
            if other != attribute:
                raise DefinitionError(
                    f"{self.name}: two keys are stored as {attribute.attribute!r}; name one otherwise"
                )

    def _mark_prefixed(self, key: Index, indexes: tuple[Index, ...]) -> list[Index]:
        """Mark what the tenant stands in front of: the first partition attribute of the table and each index.

        A plain attribute that is one of these has the tenant wherever it is a key.
        """
        first = {index.partition[0].attribute for index in (key, *indexes)}

        def marked(keys: tuple[KeyAttribute, ...]) -> tuple[KeyAttribute, ...]:
            return tuple(replace(k, prefixed=k.attribute in first) for k in keys)

        return [replace(i, partition=marked(i.partition), sort=marked(i.sort)) for i in (key, *indexes)]
