"""What becomes of the writes of a route: one transaction, none allowed, or each at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from lift_dynamorm.errors import UsageError
from lift_dynamorm.work import Mode

if TYPE_CHECKING:
    from lift_middleware.asgi import Scope

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

MODES = ("transactional", "read-only", "immediate")
_MODE = "__lift_mode__"
_RETRIES = "__lift_conflict_retries__"


def transactional(*, conflict_retries: int | None = None) -> Callable[[Endpoint], Endpoint]:
    """Mark a route: its writes are one transaction, committed before it responds.

    conflict_retries: how often the route is called again, from its beginning, where the commit met a conflict. Such a
    route must have no effect but its writes: what else it has done by then, it does again. See `DynamORMMiddleware`.
    """
    if conflict_retries is not None:
        check_retries(conflict_retries)

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _MODE, "transactional")
        if conflict_retries is not None:
            setattr(endpoint, _RETRIES, conflict_retries)
        return endpoint

    return mark


def read_only(endpoint: Endpoint) -> Endpoint:
    """Mark a route: a write in it is a `SessionClosed`."""
    setattr(endpoint, _MODE, "read-only")
    return endpoint


def immediate(endpoint: Endpoint) -> Endpoint:
    """Mark a route: each write goes out at once, and stays whatever the response will be."""
    setattr(endpoint, _MODE, "immediate")
    return endpoint


def marked_mode(scope: Scope) -> Mode | None:
    """Tell how the route of a request was marked; None where it was not, or where no route is found yet."""
    found: Mode | None = _mark(scope, _MODE)
    return found


def marked_retries(scope: Scope) -> int | None:
    """Tell how often the route of a request was marked to be called again."""
    found: int | None = _mark(scope, _RETRIES)
    return found


def check_mode(mode: Any) -> Mode:
    """Refuse what is no mode."""
    if mode not in MODES:
        raise UsageError(f"{mode!r} is no mode of a route; there are {', '.join(MODES)}")
    known: Mode = mode
    return known


def check_retries(count: Any) -> None:
    """Refuse what is no number of retries."""
    if type(count) is not int or count < 0:
        raise UsageError(f"conflict_retries={count!r}: give a whole number, 0 for none")


def _mark(scope: Scope, name: str) -> Any:
    """Read a mark of the route that was found: of its function, or of a class and its method."""
    endpoint = scope.get("endpoint")
    if isinstance(endpoint, type):
        method = getattr(endpoint, scope.get("method", "").lower(), None)
        found = getattr(method, name, None)
        if found is not None:
            return found
    return getattr(endpoint, name, None)
