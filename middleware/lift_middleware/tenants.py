"""Find out whose request it is: functions from the ASGI scope to a tenant's id."""

from __future__ import annotations

import inspect
import logging
import re
import threading
import time
from typing import TYPE_CHECKING, Any, Literal, overload

from lift_dynamorm.errors import TenantForbidden, TenantMissing, UsageError
from lift_middleware.principals import principal_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from lift_middleware.asgi import Scope
    from lift_middleware.principals import Claim

    Resolver = Callable[[Scope], str]
    AsyncResolver = Callable[[Scope], Awaitable[str]]
    AnyResolver = Callable[[Scope], str | Awaitable[str]]
    Status = Callable[[str], str | Awaitable[str | None] | None]

log: logging.Logger = logging.getLogger("lift_middleware")

TENANT_ID: re.Pattern[str] = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
"""What the id of a tenant looks like. Upper and lower case differ, and what is not ASCII could look like another's."""

_HOST = re.compile(r"([^:]+)(?::[0-9]{1,5})?", re.ASCII)
_LABEL = re.compile(
    r"(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII
)  # RFC 1123; "xn--" is unicode in disguise
_DOMAIN = re.compile(rf"(?:{_LABEL.pattern}\.)*{_LABEL.pattern}", re.ASCII)
_MOST_KEPT = 4096
_STATUSES = ("active", "suspended", "deleted", None)


def check_tenant_id(tenant: Any, source: str) -> str:
    """Give a tenant's id back where it is one (`TENANT_ID`), else `TenantForbidden`."""
    if not isinstance(tenant, str) or not TENANT_ID.fullmatch(tenant):
        raise TenantForbidden(f"{source} is not the id of a tenant.")
    return tenant


def tenant_from_header(name: str, *, trusted: Literal[True] | Callable[[Scope], bool] | None = None) -> Resolver:
    """Take the tenant from a request header, as a gateway that has authenticated the caller sets it.

    trusted: True says that every request comes through a gateway which sets the header or strips it. A function of the
    scope says it of one request, by the peer's address or a secret that the gateway adds; where it says no, the header
    is 403. Without either a warning is logged: a header that a client may set itself lets anyone be anyone.

    `TenantMissing` (401) without the header, `TenantForbidden` (403) where it is given twice and differs.
    """
    wanted = name.lower().encode("latin-1")
    if trusted is None:
        log.warning(
            "tenant_from_header(%r) believes every client: anyone can be any tenant. Behind a gateway that sets the "
            "header say trusted=True; else take the tenant from a token, with tenant_from_claim(...)",
            name,
        )

    def tenant(scope: Scope) -> str:
        values = {value.strip(b" \t") for key, value in scope["headers"] if key.lower() == wanted} - {b""}
        if not values:
            raise TenantMissing(f"The request names no tenant; send the header {name}.")
        if callable(trusted) and not trusted(scope):
            log.warning("the header %s came from where it is not trusted, and is refused", name)
            raise TenantForbidden(f"The header {name} is not for clients to send.")
        if len(values) > 1:
            raise TenantForbidden(f"The header {name} names several tenants.")
        (value,) = values
        return check_tenant_id(value.decode("latin-1"), f"The header {name}")

    return tenant


def tenant_from_claim(name: Claim) -> Resolver:
    """Take the tenant from a claim of the token that `JWTMiddleware` has verified.

    name: the claim, or the way into one: ``("organization", "id")``. A token without it is 403: its sender is known,
    and no other source may choose a tenant for him. A request without a token is 401.
    """
    if not name:
        raise UsageError('tenant_from_claim("tenant") names the claim')

    def tenant(scope: Scope) -> str:
        principal = principal_of(scope)
        if principal is None:
            raise TenantMissing("The request names no tenant; send a token.")
        return check_tenant_id(principal.claim(name), "The tenant of the token")

    return tenant


def tenant_from_authorizer(name: str) -> Resolver:
    """Take the tenant from what an authorizer of API Gateway has found out, as Mangum hands it on.

    name: of the claim (Cognito, JWT authorizers of HTTP APIs), or of the value in the context that a Lambda authorizer
    returns. A request that has passed no authorizer is 401; one whose authorizer names no tenant, or several, is 403.
    """
    if not name:
        raise UsageError('tenant_from_authorizer("custom:tenant") names the claim, or the value in the context')

    def tenant(scope: Scope) -> str:
        event = scope.get("aws.event") or {}
        authorizer = (event.get("requestContext") or {}).get("authorizer") or {}
        if not authorizer:
            raise TenantMissing("The request names no tenant; it has passed no authorizer.")
        jwt, context = authorizer.get("jwt"), authorizer.get("lambda")
        places = (authorizer, context, authorizer.get("claims"), jwt.get("claims") if isinstance(jwt, dict) else None)
        values = [place[name] for place in places if isinstance(place, dict) and place.get(name) is not None]
        if not values or any(value != values[0] for value in values):
            raise TenantForbidden("The authorizer of the request names no tenant, or several.")
        return check_tenant_id(values[0], "The tenant of the authorizer")

    return tenant


def tenant_from_subdomain(domain: str, *, besides: Collection[str] = ("www",)) -> Resolver:
    """Take the tenant from the host name: ``acme`` of ``acme.example.com``.

    besides: names below the domain that are no tenants, as ``("www", "api")``; they, the domain itself and other hosts
    name none (401). Host names are lower-cased. More than one level, and names in unicode (``xn--``), are 403.

    The client says it: this tells whose site is asked for, not who asks. With `tenant_from` it must agree with a token.
    """
    domain = domain.lower()
    if not _DOMAIN.fullmatch(domain):
        raise UsageError(f"tenant_from_subdomain('example.com') names a domain, not {domain!r}")
    others = {name.lower() for name in besides}
    suffix = f".{domain}"

    def tenant(scope: Scope) -> str:
        hosts = {value for key, value in scope["headers"] if key.lower() == b"host"}
        if len(hosts) > 1:
            raise TenantForbidden("The request names several hosts.")
        matched = _HOST.fullmatch(hosts.pop().decode("latin-1").lower()) if hosts else None
        host = matched[1].removesuffix(".") if matched else ""
        label = host.removesuffix(suffix)
        if label == host or label in others:
            raise TenantMissing("The host name of the request names no tenant.")
        if not _LABEL.fullmatch(label):
            raise TenantForbidden("The host name of the request is not that of a tenant.")
        return label

    return tenant


def tenant_from_path(template: str) -> Resolver:
    """Take the tenant from the path: ``tenant_from_path("/t/{tenant}")``, which other segments may follow.

    A path of another form names none (401). It is the decoded path below the app's root path, as routes see it.

    The client says it: this tells whose data is asked for, not who asks. With `tenant_from` it must agree with a token.
    """
    before, mark, after = template.partition("{tenant}")
    if not mark or not before.endswith("/") or not before.startswith("/") or after[:1] not in ("", "/") or "{" in after:
        raise UsageError(f"tenant_from_path('/t/{{tenant}}') has {{tenant}} as one of its segments, not {template!r}")
    wanted = re.compile(rf"{re.escape(before)}([^/]+){re.escape(after.rstrip('/'))}(?:/.*)?", re.DOTALL)

    def tenant(scope: Scope) -> str:
        # By the time that the session is used a Mount may have moved the root path; Starlette keeps the app's own.
        root: str = scope.get("app_root_path", scope.get("root_path", "")).rstrip("/")
        path: str = scope["path"]
        found = wanted.fullmatch(path[len(root) :] if f"{path}/".startswith(f"{root}/") else path)
        if found is None:
            raise TenantMissing("The path of the request names no tenant.")
        return check_tenant_id(found[1], "What stands for the tenant in the path")

    return tenant


@overload
def tenant_from(
    *sources: Resolver, status: Callable[[str], str | None] | None = None, remember: float = 5.0
) -> Resolver: ...
@overload
def tenant_from(*sources: AnyResolver, status: Status | None = None, remember: float = 5.0) -> AnyResolver: ...
def tenant_from(*sources: Any, status: Any = None, remember: float = 5.0) -> Any:
    """Ask several sources. The first that names a tenant counts; where another names another one, it is 403.

    sources: resolvers of this module, or functions of the scope, plain or async, that give an id, give None or raise
    `TenantMissing` (this source says nothing), or raise `TenantForbidden` (403, whatever the others say). Ids are held
    to `TENANT_ID`. Where none names a tenant, the error is the first one's.
    status: tells "active", "suspended" (403), "deleted" or None (403, the two alike) of a tenant; plain or async, and
    async where it does I/O. remember: seconds for which its answer is kept; 0 asks every time.
    """
    if not sources or not all(map(callable, sources)):
        raise UsageError('tenant_from(...) names its sources: tenant_from(tenant_from_claim("tenant"))')
    known = _Statuses(status, remember)

    def tenant(scope: Scope) -> str:
        found = _agreed([_said(source, scope) for source in sources])
        known.check(found)
        return found

    async def tenant_async(scope: Scope) -> str:
        found = _agreed([await _said_async(source, scope) for source in sources])
        await known.check_async(found)
        return found

    return tenant_async if any(map(_is_async, [*sources, status])) else tenant


def _is_async(function: object) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 - to see whether an object's call is async
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _said(source: Any, scope: Scope) -> str | TenantMissing:
    """Ask one source; `TenantMissing` is given, not raised, for another may know."""
    try:
        found = source(scope)
    except TenantMissing as missing:
        return missing
    return _read(found)


async def _said_async(source: Any, scope: Scope) -> str | TenantMissing:
    try:
        found = source(scope)
        return _read(await found if inspect.isawaitable(found) else found)
    except TenantMissing as missing:
        return missing


def _read(found: Any) -> str | TenantMissing:
    if inspect.iscoroutine(found):
        found.close()
        raise UsageError("a source of tenant_from(...) gives what is to be awaited: make it an `async def`")
    if found is None:
        return TenantMissing("The request names no tenant.")
    return check_tenant_id(found, "What the request names")


def _agreed(answers: list[str | TenantMissing]) -> str:
    named = [answer for answer in answers if isinstance(answer, str)]
    if not named:
        (first, *_) = answers
        raise first if isinstance(first, TenantMissing) else TenantMissing("The request names no tenant.")
    if any(tenant != named[0] for tenant in named):
        raise TenantForbidden("The request names several tenants.")
    return named[0]


class _Statuses:
    """What a hook says of tenants, kept for a few seconds."""

    def __init__(self, hook: Any, remember: float) -> None:
        if hook is not None and not callable(hook):
            raise UsageError("status= is a function from a tenant's id to 'active', 'suspended', 'deleted' or None")
        if not remember >= 0:
            raise UsageError(f"remember= is a number of seconds, not {remember!r}")
        self._hook = hook
        self._remember = remember
        self._kept: dict[str, tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def check(self, tenant: str) -> None:
        """Refuse a tenant that is not active."""
        if self._hook is None:
            return
        kept = self._recall(tenant)
        self._judge(kept[1] if kept is not None else self._keep(tenant, self._hook(tenant)))

    async def check_async(self, tenant: str) -> None:
        if self._hook is None:
            return
        kept = self._recall(tenant)
        if kept is None:
            answer = self._hook(tenant)
            kept = 0, self._keep(tenant, await answer if inspect.isawaitable(answer) else answer)
        self._judge(kept[1])

    def _recall(self, tenant: str) -> tuple[float, Any] | None:
        kept = self._kept.get(tenant)
        return kept if kept is not None and time.monotonic() < kept[0] else None

    def _keep(self, tenant: str, status: Any) -> Any:
        if status not in _STATUSES:
            raise UsageError(f"status= tells 'active', 'suspended', 'deleted' or None, not {status!r}")
        with self._lock:  # a plain route asks in a thread
            self._kept.pop(tenant, None)
            if len(self._kept) >= _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[tenant] = time.monotonic() + self._remember, status
        return status

    def _judge(self, status: Any) -> None:
        if status == "suspended":
            raise TenantForbidden("The tenant is suspended.")
        if status != "active":
            raise TenantForbidden("The request names no tenant that there is.")
