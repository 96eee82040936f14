"""What AWS's own linter, cfn-lint, has against a template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cfnlint.api import ManualArgs, lint  # type: ignore[import-untyped]  # it ships no types

from lift_dynamorm.emit import as_json

if TYPE_CHECKING:
    from collections.abc import Mapping


def complaints(template: Mapping[str, Any]) -> list[str]:
    """Its errors and warnings."""
    return [str(match) for match in lint(as_json(template), config=ManualArgs(regions=["eu-west-1"]))]
