"""Find out whose request it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lift_dynamorm.errors import TenantForbidden, TenantMissing

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_middleware.asgi import Scope


def tenant_from_header(name: str) -> Callable[[Scope], str]:
    """Take the tenant from a request header, as a gateway that has authenticated the caller sets it.

    Use it only behind such a gateway: a header that a client may set itself lets anyone be anyone.
    `TenantMissing` (401) without the header, `TenantForbidden` (403) where it is given twice and differs.
    """
    wanted = name.lower().encode("latin-1")

    def tenant(scope: Scope) -> str:
        values = {value for key, value in scope["headers"] if key == wanted and value}
        if not values:
            raise TenantMissing(f"The request names no tenant; send the header {name}.")
        if len(values) > 1:
            raise TenantForbidden(f"The header {name} names several tenants.")
        (value,) = values
        return str(value.decode("latin-1"))

    return tenant
