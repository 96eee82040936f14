"""Tables to emit: every setting at least once, and names that make trouble."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lift_dynamorm import GSI, LSI, TTL, F, OnDemand, Provisioned, TableSettings
from lift_dynamorm.tables.specification import specifications
from tests.tables.models import FULL, LOWEST, model

if TYPE_CHECKING:
    from lift_dynamorm import Model
    from lift_dynamorm.tables.specification import TableSpec

KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
KEY_ARN = f"arn:aws:kms:eu-west-1:111122223333:key/{KEY_ID}"
POLICY: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
            "Action": "dynamodb:GetItem",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:PrincipalTag/team": "${aws:ResourceTag/team}"}},
        }
    ],
}

SETTINGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "on_demand": {"capacity": OnDemand()},
    "on_demand_to_read": {"capacity": OnDemand(max_read=100)},
    "on_demand_by_index": {"capacity": OnDemand(100, 50), "index_capacity": {"by_b": OnDemand(max_write=7)}},
    "provisioned": {"capacity": Provisioned(5, 6)},
    "provisioned_by_index": {"capacity": Provisioned(5, 6), "index_capacity": {"by_b": Provisioned(1, 2)}},
    "standard": {"table_class": "STANDARD"},
    "infrequent": {"table_class": "STANDARD_INFREQUENT_ACCESS"},
    "no_stream": {"stream": False},
    **{f"stream_{view}": {"stream": view} for view in ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")},
    "no_recovery": {"point_in_time_recovery": False},
    "recovery": {"point_in_time_recovery": True},
    "recovery_of_a_week": {"point_in_time_recovery": 7},
    "key_of_dynamodb": {"encryption": "AWS_OWNED"},
    "key_of_the_account": {"encryption": "AWS_MANAGED"},
    "key_by_id": {"encryption": KEY_ID},
    "key_by_arn": {"encryption": KEY_ARN},
    "protected": {"deletion_protection": True},
    "unprotected": {"deletion_protection": False},
    "tags": {"tags": {"team": "core", "a:b/c": 'x ${y} %{z} "ü"', "on": "yes"}},
    "no_tags": {"tags": {}},
    "watched": {"contributor_insights": True},
    "unwatched": {"contributor_insights": False},
    "policy": {"resource_policy": POLICY},
    "no_policy": {"resource_policy": {}},
    "lowest": LOWEST,
    "full": {**FULL, "resource_policy": POLICY},
}


def thing(settings: dict[str, Any], table: str = "things") -> type[Model]:
    """A model with every kind of index, and a time to live."""
    indexes = (
        GSI("by_a", pk="A#{a}", sk="{n}"),
        GSI("by_b", pk=F.b, projection=["c"]),
        GSI("by_many", pk=[F.b, F.c], sk=[F.n, F.a], projection="KEYS_ONLY"),
        LSI("by_n", sk=F.n, projection=["c", "b"]),
    )
    return model(settings=TableSettings(**settings), indexes=indexes, table=table, ends=(TTL, None))


def specs(*models: type[Model]) -> tuple[TableSpec, ...]:
    return specifications(models)


CASES = {
    **{name: specs(thing(settings)) for name, settings in SETTINGS.items()},
    "plain": specs(model()),
    "several": specs(*(thing({}, name) for name in ("app-x", "app_x", "App.X", "123", "...", "z" * 255))),
}
