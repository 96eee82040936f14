"""Tables as a configuration of Terraform, in its JSON form: what ``main.tf.json`` holds."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from lift_dynamorm.emit.template import checked
from lift_dynamorm.table import AWS_MANAGED, AWS_OWNED, OnDemand, Provisioned, Throughput
from lift_dynamorm.tables.specification import billing_mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lift_dynamorm.tables.specification import IndexSpec, TableSpec

Payload = dict[str, Any]

PROVIDER = {"source": "hashicorp/aws", "version": "~> 6.45"}
"""The AWS provider; this release has ``key_schema`` for the keys of global indexes, of which there may be several."""


def terraform(specs: Iterable[TableSpec], *, retain: bool = True) -> Payload:
    """Make a configuration of tables, with their names, ARNs and stream ARNs as its outputs.

    retain: a plan that would destroy a table is refused (``prevent_destroy``).
    A key that is given by its id is looked up when the plan is made.
    https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/dynamodb_table
    """
    specs = checked(specs)
    labels = _labels(spec.name for spec in specs)
    made: dict[str, Payload] = {}
    keys: Payload = {}
    for spec in specs:
        label = labels[spec.name]
        table = _table(spec, label)
        if retain:
            table["lifecycle"] = {"prevent_destroy": True}
        made.setdefault("aws_dynamodb_table", {})[label] = table
        if spec.settings.contributor_insights:
            watched = made.setdefault("aws_dynamodb_contributor_insights", {})
            watched[label] = {"table_name": f"${{aws_dynamodb_table.{label}.name}}"}
            for index, index_label in _labels(spec.global_indexes).items():
                watched[f"{label}-{index_label}"] = {**watched[label], "index_name": _literal(index)}
        if spec.settings.resource_policy:
            made.setdefault("aws_dynamodb_resource_policy", {})[label] = {
                "resource_arn": f"${{aws_dynamodb_table.{label}.arn}}",
                "policy": _literal(json.dumps(spec.settings.resource_policy)),
            }
        if _looked_up(spec.settings.encryption):
            keys[label] = {"key_id": _literal(str(spec.settings.encryption))}
    configuration: Payload = {"terraform": {"required_providers": {"aws": dict(PROVIDER)}}}
    if keys:
        configuration["data"] = {"aws_kms_key": keys}
    return {**configuration, "resource": made, "output": _outputs(specs, labels)}


def _table(spec: TableSpec, label: str) -> Payload:
    settings = spec.settings
    capacity = settings.capacity or OnDemand()
    made: Payload = {
        "name": _literal(spec.name),
        "billing_mode": billing_mode(capacity),
        **_capacity(capacity),
        **{{"HASH": "hash_key", "RANGE": "range_key"}[side]: _literal(name) for name, side in spec.keys},
        "attribute": [{"name": _literal(name), "type": tag} for name, tag in spec.types.items()],
    }
    if spec.global_indexes:
        made["global_secondary_index"] = [_global(index) for index in spec.global_indexes.values()]
    if spec.local_indexes:
        made["local_secondary_index"] = [_local(index) for index in spec.local_indexes.values()]
    if settings.table_class is not None:
        made["table_class"] = settings.table_class
    if settings.stream is not None:
        made["stream_enabled"] = bool(settings.stream)
    if settings.stream:
        made["stream_view_type"] = settings.stream
    if spec.time_to_live is not None:
        made["ttl"] = {"attribute_name": _literal(spec.time_to_live), "enabled": True}
    if settings.point_in_time_recovery is not None:
        made["point_in_time_recovery"] = _recovery(settings.point_in_time_recovery)
    if settings.encryption is not None:
        made["server_side_encryption"] = _encryption(settings.encryption, label)
    if settings.deletion_protection is not None:
        made["deletion_protection_enabled"] = settings.deletion_protection
    if settings.tags:
        made["tags"] = {_literal(key): _literal(value) for key, value in settings.tags.items()}
    return made


def _capacity(capacity: Throughput | None) -> Payload:
    if isinstance(capacity, Provisioned):
        return {"read_capacity": capacity.read, "write_capacity": capacity.write}
    if capacity is None or capacity == OnDemand():
        return {}
    most = {"max_read_request_units": capacity.max_read, "max_write_request_units": capacity.max_write}
    return {"on_demand_throughput": {name: units for name, units in most.items() if units is not None}}


def _global(index: IndexSpec) -> Payload:
    keys = [{"attribute_name": _literal(name), "key_type": side} for name, side in index.keys]
    return {"name": _literal(index.name), "key_schema": keys, **_projection(index), **_capacity(index.capacity)}


def _local(index: IndexSpec) -> Payload:
    (sort,) = (name for name, side in index.keys if side == "RANGE")
    return {"name": _literal(index.name), "range_key": _literal(sort), **_projection(index)}


def _projection(index: IndexSpec) -> Payload:
    if index.projected is None:
        return {"projection_type": "ALL"}
    if not index.projected:
        return {"projection_type": "KEYS_ONLY"}
    return {"projection_type": "INCLUDE", "non_key_attributes": [_literal(name) for name in sorted(index.projected)]}


def _recovery(days: bool | int) -> Payload:
    if type(days) is bool:
        return {"enabled": days}
    return {"enabled": True, "recovery_period_in_days": days}


def _encryption(key: str, label: str) -> Payload:
    if key in (AWS_OWNED, AWS_MANAGED):
        return {"enabled": key == AWS_MANAGED}
    arn = f"${{data.aws_kms_key.{label}.arn}}" if _looked_up(key) else _literal(key)
    return {"enabled": True, "kms_key_arn": arn}


def _looked_up(key: str | None) -> bool:
    """Tell of a key whether its ARN has to be asked for: the provider takes no id."""
    return key not in (None, AWS_OWNED, AWS_MANAGED) and not str(key).startswith("arn:")


def _outputs(specs: Sequence[TableSpec], labels: Mapping[str, str]) -> Payload:
    made: Payload = {}
    for spec in specs:
        label = labels[spec.name]
        exported = ("name", "arn", "stream_arn") if spec.settings.stream else ("name", "arn")
        made[label] = {"value": {what: f"${{aws_dynamodb_table.{label}.{what}}}" for what in exported}}
    return made


def _labels(names: Iterable[str]) -> dict[str, str]:
    """Name the resource of each table; one whose name comes to another's has a part of its hash at the end."""
    labels: dict[str, str] = {}
    for name in names:
        label = _label(name)
        labels[name] = f"{label}_{sha256(name.encode()).hexdigest()[:8]}" if label in labels.values() else label
    return labels


def _label(name: str) -> str:
    """Write a name with what Terraform allows in one: no dots, and no digit in front."""
    label = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return label if label[0].isalpha() or label[0] == "_" else f"_{label}"


def _literal(text: str) -> str:
    """Write a text so that Terraform takes it as it stands: it reads every one as a template."""
    return re.sub(r"[$%](?=\{)", lambda found: found[0] * 2, text)
