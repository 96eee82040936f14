"""Templates as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lift_dynamorm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


def as_json(template: Mapping[str, Any]) -> str:
    """Write a template as JSON, which CloudFormation, SAM, Terraform (``.tf.json``) and IAM take."""
    return json.dumps(template, indent=2, ensure_ascii=False) + "\n"


def as_yaml(template: Mapping[str, Any]) -> str:
    """Write a template as YAML, with functions in their long form (``Ref: Table``). Needs PyYAML."""
    try:
        import yaml  # type: ignore[import-untyped]  # its types are a package of their own, for one function here
    except ModuleNotFoundError:
        raise UsageError(
            "YAML needs PyYAML: pip install 'lift-dynamorm[cli]'; or take JSON, which CloudFormation reads as well"
        ) from None

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]  # untyped, as above
        def ignore_aliases(self, data: Any) -> bool:
            """Write what occurs twice twice: CloudFormation does not know anchors."""
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
            """Set lists in from what they belong to."""
            return super().increase_indent(flow, False)

    text: str = yaml.dump(dict(template), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text
