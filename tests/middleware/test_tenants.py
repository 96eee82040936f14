"""Finding out the tenant."""

from __future__ import annotations

import pytest

from lift_dynamorm import TenantMissing
from lift_middleware import tenant_from_header


def test_the_header_in_any_case() -> None:
    assert tenant_from_header("X-Tenant-ID")({"headers": [(b"x-tenant-id", b"acme")]}) == "acme"


def test_the_same_header_twice_is_one_tenant() -> None:
    headers = [(b"x-tenant-id", b"acme"), (b"x-tenant-id", b"acme")]
    assert tenant_from_header("x-tenant-id")({"headers": headers}) == "acme"


@pytest.mark.parametrize("headers", [[], [(b"x-tenant-id", b"")], [(b"tenant", b"acme")]])
def test_no_header_is_no_tenant(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(TenantMissing, match="x-tenant-id"):
        tenant_from_header("x-tenant-id")({"headers": headers})
