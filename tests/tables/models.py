"""Tables before and after a change, drawn or fixed."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from pydantic import create_model

from lift_dynamorm import GSI, LSI, TTL, F, Model, OnDemand, Provisioned, SortKey, Table, TableSettings

LOWEST: dict[str, Any] = {
    "capacity": OnDemand(),
    "table_class": "STANDARD",
    "stream": False,
    "point_in_time_recovery": False,
    "encryption": "AWS_OWNED",
    "deletion_protection": False,
    "tags": {},
    "contributor_insights": False,
    "resource_policy": {},
}
"""Every setting, as a table has it that nobody has set up."""

FULL: dict[str, Any] = {
    "capacity": Provisioned(5, 6),
    "table_class": "STANDARD_INFREQUENT_ACCESS",
    "stream": "NEW_AND_OLD_IMAGES",
    "point_in_time_recovery": True,
    "encryption": "AWS_MANAGED",
    "deletion_protection": True,
    "tags": {"team": "core", "cost": "12"},
    "contributor_insights": True,
    "resource_policy": {"Version": "2012-10-17", "Statement": []},
}
"""Every setting, each otherwise than `LOWEST` has it."""

LACKING = {
    "embedded": frozenset[str](),
    "dynoxide": frozenset({"point_in_time_recovery", "contributor_insights", "resource_policy", "encryption"}),
    "extenddb": frozenset({"contributor_insights", "resource_policy", "encryption"}),
    "moto": frozenset({"contributor_insights", "table_class", "encryption"}),
    "endpoint": frozenset[str](),
}
"""The settings that an engine does not know, or that it does not tell or change. AWS knows all of them."""


INDEX_CAPACITY_LACKING = frozenset({"dynoxide", "extenddb"})
"""The engines that do not keep, or do not change, the capacity of an index."""


def known(engine: str, settings: dict[str, Any]) -> TableSettings:
    """Make settings of those that an engine knows."""
    return TableSettings(**{name: value for name, value in settings.items() if name not in LACKING[engine]})


def model(
    name: str = "Thing",
    *,
    settings: TableSettings | None = None,
    indexes: tuple[GSI | LSI, ...] = (),
    table: str = "things",
    **fields: Any,
) -> type[Model]:
    """Define a model of a table with a sort key: `id`, `at`, and the text fields a, b, c and the number n."""
    given: dict[str, Any] = {
        "id": (str, ...),
        "at": (SortKey[str], ...),
        **dict.fromkeys("abc", (str | None, None)),
        "n": (int | None, None),
        **fields,
    }
    given["at"] = (str, ...)
    arguments = {"table": Table(table, settings=settings or TableSettings()), "pk": "T#{id}", "sk": "{at}"}
    made: type[Model] = create_model(
        name, __base__=Model, __cls_kwargs__={**arguments, "indexes": list(indexes)}, **given
    )
    return made


def before(engine: str) -> type[Model]:
    """The table as it was: every setting at its lowest, three indexes, a time to live."""
    indexes = (GSI("by_a", pk=F.a), GSI("by_b", pk=F.b, sk=F.n), GSI("by_c", pk="C#{c}", projection="KEYS_ONLY"))
    return model(settings=known(engine, _indexed(engine, LOWEST)), indexes=indexes, ends=(TTL, None))


def after(engine: str) -> type[Model]:
    """The table as it should become: every setting changed; by_a gone, by_b with another key, by_n new."""
    indexes = (
        GSI("by_b", pk=F.b, sk=F.c),
        GSI("by_c", pk="C#{c}", projection="KEYS_ONLY"),
        GSI("by_n", pk=F.n, projection=["a"]),
    )
    return model(settings=known(engine, _indexed(engine, FULL)), indexes=indexes, expires=(TTL, None))


def _indexed(engine: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Take the capacity out of what is said of a table with indexes, where the engine has none for these."""
    return {**settings, "capacity": None} if engine in INDEX_CAPACITY_LACKING else settings


DROPPED = ("by_a", "by_b", "time_to_live")
"""What the way from `before` to `after` drops."""

_units = st.integers(1, 50)
_capacity = st.one_of(
    st.builds(Provisioned, _units, _units), st.builds(OnDemand, st.none() | _units, st.none() | _units), st.none()
)


def settings() -> st.SearchStrategy[TableSettings]:
    """Draw any settings."""
    return st.builds(
        TableSettings,
        capacity=_capacity,
        table_class=st.sampled_from([None, "STANDARD", "STANDARD_INFREQUENT_ACCESS"]),
        stream=st.sampled_from([None, False, "KEYS_ONLY", "NEW_IMAGE", "NEW_AND_OLD_IMAGES"]),
        point_in_time_recovery=st.sampled_from([None, False, True]),
        encryption=st.sampled_from([None, "AWS_OWNED", "AWS_MANAGED"]),
        deletion_protection=st.sampled_from([None, False, True]),
        tags=st.none() | st.dictionaries(st.text("abc", min_size=1, max_size=3), st.text("xyz", max_size=3)),
        contributor_insights=st.sampled_from([None, False, True]),
        resource_policy=st.sampled_from([None, {}, FULL["resource_policy"]]),
    )


_sides: list[Any] = [F.a, F.b, "C#{c}", F.n]


def indexes() -> st.SearchStrategy[tuple[GSI, ...]]:
    """Draw up to four global indexes, of few names, so that two draws have some in common."""
    one = st.builds(
        GSI,
        st.sampled_from(["one", "two", "three", "four"]),
        pk=st.sampled_from(_sides),
        sk=st.sampled_from([None, F.c, "{at}"]),
        projection=st.sampled_from(["ALL", "KEYS_ONLY", ["a"], ["a", "b"]]),
    )
    return st.lists(one, max_size=4, unique_by=lambda index: index.name).map(tuple)


def models() -> st.SearchStrategy[type[Model]]:
    """Draw models of one and the same table."""
    lives = st.sampled_from([{}, {"ends": (TTL, None)}, {"expires": (TTL, None)}])
    return st.builds(lambda s, i, f: model(settings=s, indexes=i, **f), settings(), indexes(), lives)
