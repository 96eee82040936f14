"""What the plans allow."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from .models import Plan


@dataclass(frozen=True, slots=True)
class Limits:
    """How many there may be in a workspace; None is no limit."""

    projects: int | None
    users: int | None
    tasks: int | None

    def by_name(self) -> dict[str, int | None]:
        return asdict(self)


LIMITS: dict[Plan, Limits] = {
    "free": Limits(projects=2, users=3, tasks=25),
    "pro": Limits(projects=20, users=25, tasks=2000),
    "enterprise": Limits(projects=None, users=None, tasks=None),
}

EXPORTS_AT_ONCE = 2
"""Of one tenant; an export reads everything."""
