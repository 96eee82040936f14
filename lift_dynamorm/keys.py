"""Key templates: text keys from fields, injective, and in the order of the values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from string import Formatter
from typing import TYPE_CHECKING, Any

from lift_dynamorm.errors import DefinitionError, InvalidValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    Wire = dict[str, Any]

SEPARATOR = "#"
TENANT_MARK = "@"
RESERVED = f"{TENANT_MARK}{SEPARATOR}"
"""Stands behind a tenant's prefix in front of keys that are no model's; no tenant's id is empty, so it is none's."""
LAST = "\U0010ffff"
"""Sorts behind every other text, so ``BETWEEN prefix AND prefix + LAST`` is every key with the prefix."""

_ESCAPES = str.maketrans({'"': '""', SEPARATOR: '"$'})
_DIGIT_COMPLEMENT = str.maketrans("0123456789", "9876543210")
_WIDTH = re.compile(r"0([1-9][0-9]?)d?\Z")
_FORMATTER = Formatter()


def escape(text: str) -> str:
    """Rewrite text so that it holds no ``#``, differs for every text, and sorts as the text does.

    ``"`` becomes ``""`` and ``#`` becomes ``"$``: both stay between ``!`` and ``$`` in UTF-8 order.
    """
    return text.translate(_ESCAPES) if SEPARATOR in text or '"' in text else text


def tenant_prefix(tenant: str) -> str:
    """What stands in front of every partition key of a tenant: ``@acme#``.

    With it, a policy can pin a tenant by ``"dynamodb:LeadingKeys": ["@acme#*"]``.
    """
    return f"{TENANT_MARK}{escape(tenant)}{SEPARATOR}"


def looks_like_tenant(text: str) -> bool:
    """Tell whether a key could be taken for one of a tenant's."""
    return text.startswith(TENANT_MARK) and SEPARATOR in text


def without_tenant(text: str) -> str:
    """Take a tenant's prefix off a key, whoever it is."""
    return text.partition(SEPARATOR)[2] if looks_like_tenant(text) else text


def ordered_number(text: str) -> str:
    """Turn a DynamoDB number into text that sorts by value: sign, exponent, digits."""
    number = Decimal(text)
    if not number:
        return "0"
    digits = "".join(map(str, number.as_tuple().digits)).rstrip("0")
    exponent = number.adjusted() + 200
    if number > 0:
        return f"1{exponent:03d}{digits}"
    return f"-{999 - exponent:03d}{digits.translate(_DIGIT_COMPLEMENT)}~"


def plain_number(text: str) -> str:
    """Write a DynamoDB number in one way only: 1.50 and 1.5 are one key."""
    number = Decimal(text)
    if not number:
        return "0"
    written = format(number, "f")  # not normalize(): it rounds to the 28 digits of Python's default context
    return written.rstrip("0").rstrip(".") if "." in written else written


@dataclass(frozen=True, slots=True)
class Part:
    """One ``{field}`` of a template; `width` is the zero padding of ``{field:08d}``, 0 where there is none."""

    field: str
    width: int = 0

    def text(self, wire: Wire, *, ordered: bool) -> str:
        """Render a value in wire form."""
        ((tag, value),) = wire.items()
        if tag == "S":
            return escape(value)
        if tag == "N":
            if self.width:
                return self._padded(value)
            return ordered_number(value) if ordered else plain_number(value)
        if tag == "BOOL":
            return "true" if value else "false"
        msg = f"`{self.field}` holds a {tag} value, which cannot be part of a key"
        raise InvalidValue(msg, field=self.field)

    def _padded(self, text: str) -> str:
        digits = plain_number(text)
        if not digits.isdecimal() or len(digits) > self.width:
            msg = (
                f"`{self.field}` is {text}, which does not fit {{{self.field}:0{self.width}d}}: "
                f"a padded key part is a whole number from 0 to {'9' * self.width}"
            )
            raise InvalidValue(msg, field=self.field)
        return digits.zfill(self.width)


@dataclass(frozen=True, slots=True)
class KeyTemplate:
    """A key attribute made of literals and fields: ``USER#{id}``.

    `literals` has one more entry than `parts`. In a sort key (`ordered`) numbers sort by value.
    """

    source: str
    literals: tuple[str, ...]
    parts: tuple[Part, ...]
    ordered: bool
    _steps: tuple[tuple[Part, str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_steps", tuple(zip(self.parts, self.literals[1:], strict=True)))

    @classmethod
    def parse(cls, source: str, *, ordered: bool, where: str) -> KeyTemplate:
        """Read a template; `where` names it in a `DefinitionError`."""
        literals: list[str] = [""]
        parts: list[Part] = []
        try:
            pieces = list(_FORMATTER.parse(source))
        except ValueError as error:
            msg = f"{where}: the template {source!r} cannot be read: {error}. Write fields as {{name}}"
            raise DefinitionError(msg) from None
        for literal, name, spec, conversion in pieces:
            literals[-1] += literal
            if name is None:
                continue
            width = _WIDTH.match(spec or "")
            if conversion or not name.isidentifier() or (spec and not width):
                msg = f"{where}: {source!r}: a part is {{field}} or, for padded whole numbers, {{field:08d}}"
                raise DefinitionError(msg)
            parts.append(Part(name, int(width[1]) if width else 0))
            literals.append("")
        template = cls(source, tuple(literals), tuple(parts), ordered)
        template._check(where)
        return template

    def _check(self, where: str) -> None:
        if not self.source:
            msg = f"{where}: an empty template cannot be a key"
            raise DefinitionError(msg)
        if not self.ordered and self.literals[0].startswith(TENANT_MARK):
            msg = f"{where}: {self.source!r} begins with {TENANT_MARK!r}, which marks tenants; begin it otherwise"
            raise DefinitionError(msg)
        for literal in self.literals[1:-1]:
            if SEPARATOR not in literal:
                msg = f"{where}: {self.source!r}: put {SEPARATOR!r} between two fields, or their values run together"
                raise DefinitionError(msg)
        if self.parts and self.literals[-1] and not self.literals[-1].startswith(SEPARATOR):
            msg = f"{where}: {self.source!r}: text behind a field begins with {SEPARATOR!r}"
            raise DefinitionError(msg)

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(part.field for part in self.parts)

    @property
    def prefix(self) -> str:
        """The text in front of the first field; all of the key where there is no field."""
        return self.literals[0]

    def render(self, values: Mapping[str, Wire]) -> str | None:
        """Make the key from field values in wire form; None where a field has no value."""
        text = self.literals[0]
        for part, literal in self._steps:
            wire = values.get(part.field)
            if wire is None or "NULL" in wire:
                return None
            text += part.text(wire, ordered=self.ordered) + literal
        if not self.ordered and not self.literals[0] and text.startswith(TENANT_MARK):
            return f'"{text}'
        return text

    def lead(self, values: Mapping[str, Wire]) -> tuple[str, Part | None]:
        """Render as many leading fields as `values` has: the text so far, and the next field or None."""
        text = self.literals[0]
        for part, literal in self._steps:
            wire = values.get(part.field)
            if wire is None:
                return text, part
            text += part.text(wire, ordered=self.ordered) + literal
        return text, None

    def pattern(self) -> re.Pattern[str]:
        """Match exactly the keys that this template can make."""
        body = re.escape(self.literals[0])
        for literal in self.literals[1:]:
            body += f"[^{SEPARATOR}]*{re.escape(literal)}"
        return re.compile(body, re.DOTALL)
