"""Who may call a route: scopes and roles of the principal, for Starlette and FastAPI."""

from __future__ import annotations

import functools
import inspect
import re
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from lift_dynamorm.errors import UsageError
from lift_middleware.principals import principal_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_middleware.principals import Principal

F = TypeVar("F", bound="Callable[..., Any]")

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_CONNECTIONS = ("request", "websocket", "connection")


class Requirement:
    """What a principal must be; a decorator for routes, and a dependency for FastAPI that gives the principal."""

    def __init__(self, holds: Callable[[Principal], bool], scope: str = "") -> None:
        self._holds = holds
        self._challenge = f', scope="{scope}"' if scope else ""
        # What FastAPI reads: as a dependency it is called with the connection.
        parameter = inspect.Parameter("connection", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=HTTPConnection)
        self.__signature__: inspect.Signature = inspect.Signature([parameter])

    @overload
    def __call__(self, connection: HTTPConnection) -> Principal: ...
    @overload
    def __call__(self, connection: F) -> F: ...
    def __call__(self, connection: Any) -> Any:
        return self.check(connection) if isinstance(connection, HTTPConnection) else self._guard(connection)

    def check(self, connection: HTTPConnection) -> Principal:
        """Give the principal of a request, or raise: 401 without one, 403 where it may not."""
        principal = principal_of(connection.scope)
        if principal is None:
            _deny(connection, 401, "The request brings no token.", "Bearer")
        if not self._holds(principal):
            challenge = f'Bearer error="insufficient_scope"{self._challenge}'
            _deny(connection, 403, "The token does not allow this.", challenge)
        return principal

    def _guard(self, route: F) -> F:
        if not any(name in _CONNECTIONS for name in inspect.signature(route).parameters):
            raise UsageError(
                f"{getattr(route, '__qualname__', route)!r} has no parameter called request, websocket or connection: "
                "add one, or in FastAPI say dependencies=[Depends(...)]"
            )
        if inspect.iscoroutinefunction(route):

            @functools.wraps(route)
            async def guarded(*args: Any, **kwargs: Any) -> Any:
                self.check(_connection(args, kwargs))
                return await route(*args, **kwargs)
        else:

            @functools.wraps(route)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                self.check(_connection(args, kwargs))
                return route(*args, **kwargs)

        return guarded  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


def require_principal() -> Requirement:
    """Ask for a principal, where `JWTMiddleware` is optional."""
    return Requirement(lambda principal: True)


def require_scope(*scopes: str) -> Requirement:
    """Ask for scopes, all of them: ``@require_scope("orders:write")``, ``Depends(require_scope("orders:write"))``."""
    wanted = frozenset(scopes)
    if not wanted or not all(map(_SCOPE.fullmatch, wanted)):
        raise UsageError('require_scope("orders:write") names scopes: ASCII without spaces, quotes and backslashes')
    return Requirement(lambda principal: wanted <= principal.scopes, " ".join(scopes))


def require_role(*roles: str) -> Requirement:
    """Ask for a role, any of these: ``@require_role("admin", "owner")``."""
    wanted = frozenset(roles)
    if not wanted or not all(wanted):
        raise UsageError('require_role("admin") names one role or several, of which one will do')
    return Requirement(lambda principal: not wanted.isdisjoint(principal.roles))


def _connection(args: tuple[Any, ...], kwargs: dict[str, Any]) -> HTTPConnection:
    for value in (*args, *kwargs.values()):
        if isinstance(value, HTTPConnection):
            return value
    raise UsageError("a guarded route was called without its request")


def _deny(connection: HTTPConnection, status: int, detail: str, challenge: str) -> NoReturn:
    if isinstance(connection, WebSocket):
        raise WebSocketException(4000 + status, detail)
    raise HTTPException(status, detail, {"www-authenticate": challenge})
