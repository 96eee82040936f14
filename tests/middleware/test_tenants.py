"""Finding out the tenant: no source ever gives one that was not said, and two that differ give none."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from lift_dynamorm import Database, Model, TenantForbidden, TenantMissing, UsageError
from lift_middleware import DynamORMMiddleware, tenant_from_header
from lift_middleware import tenants as module
from lift_middleware.principals import Principal
from lift_middleware.tenants import (
    TENANT_ID,
    tenant_from,
    tenant_from_authorizer,
    tenant_from_claim,
    tenant_from_path,
    tenant_from_subdomain,
)
from tests.lambdas.events import SOURCES
from tests.middleware.drivers import on_lambda

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from lift_middleware.asgi import Scope

MISSING, FORBIDDEN = "missing", "forbidden"


def ask(resolver: Any, scope: Scope) -> str:
    """Give what a resolver says: a tenant's id in angle brackets, or how it refuses."""
    try:
        found = resolver(scope)
        return f"<{asyncio.run(found) if asyncio.iscoroutine(found) else found}>"
    except TenantMissing:
        return MISSING
    except TenantForbidden:
        return FORBIDDEN


def header_scope(*values: bytes, name: bytes = b"x-tenant-id") -> Scope:
    return {"type": "http", "headers": [(name, value) for value in values]}


def host_scope(*hosts: bytes) -> Scope:
    return header_scope(*hosts, name=b"host")


def claim_scope(**claims: Any) -> Scope:
    return {"type": "http", "headers": [], "state": {"principal": Principal("ann", claims=claims)}}


HOSTILE = [
    "acme ",
    "a me",
    "acme,other",
    "acme, acme",
    "acme#",
    "acme/other",
    "../acme",
    ".",
    "..",
    "-acme",
    "_acme",
    "@acme",
    "acme\n",
    "acme\0",
    "acme\x7f",
    "\N{CYRILLIC SMALL LETTER A}cme",
    "ａcme",  # noqa: RUF001 - FULLWIDTH LATIN SMALL LETTER A, as attackers write it
    "acm\N{LATIN SMALL LETTER E WITH ACUTE}",
    "acme\N{ZERO WIDTH SPACE}",
    "acme\N{COMBINING ACUTE ACCENT}",
    "\N{ARABIC-INDIC DIGIT ONE}",
    "\N{KELVIN SIGN}",
    "a" * 129,
    "*",
    "%61cme",
]
HONEST = ["acme", "Acme", "ACME", "a", "0", "org_2fK", "6bc28136-0000-4365-b021-0ce6b2e64ab0", "a.b", "a" * 128]


# -- the id ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", HONEST)
def test_an_id_is_taken_as_it_is(id: str) -> None:
    assert ask(tenant_from_header("x-tenant-id"), header_scope(id.encode())) == f"<{id}>"
    assert ask(tenant_from_claim("tenant"), claim_scope(tenant=id)) == f"<{id}>"
    assert ask(tenant_from_path("/t/{tenant}"), {"path": f"/t/{id}"}) == f"<{id}>"
    assert ask(tenant_from(lambda scope: id), {}) == f"<{id}>"


@pytest.mark.parametrize("id", HOSTILE)
def test_what_is_no_id_is_403(id: str) -> None:
    assert ask(tenant_from_claim("tenant"), claim_scope(tenant=id)) == FORBIDDEN
    assert ask(tenant_from(lambda scope: id), {}) == FORBIDDEN
    assert ask(tenant_from_authorizer("tenant"), authorized({"tenant": id})) == FORBIDDEN
    raw = id.encode()
    assert ask(tenant_from_header("x-tenant-id"), header_scope(raw)) in (FORBIDDEN, f"<{id.strip()}>")
    if "/" not in id:
        assert ask(tenant_from_path("/t/{tenant}"), {"path": f"/t/{id}"}) == FORBIDDEN
        assert ask(tenant_from_subdomain("example.com"), host_scope(raw + b".example.com")) in (FORBIDDEN, MISSING)


# -- header ------------------------------------------------------------------------------------------------------------


def test_the_header_in_any_case() -> None:
    assert tenant_from_header("X-Tenant-ID")({"headers": [(b"x-tenant-id", b"acme")]}) == "acme"
    assert tenant_from_header("x-tenant-id")({"headers": [(b"X-Tenant-Id", b" acme\t")]}) == "acme"


def test_the_same_header_twice_is_one_tenant() -> None:
    assert tenant_from_header("x-tenant-id")(header_scope(b"acme", b"acme")) == "acme"
    assert ask(tenant_from_header("x-tenant-id"), header_scope(b"acme", b"other")) == FORBIDDEN
    assert ask(tenant_from_header("x-tenant-id"), header_scope(b"acme", b"Acme")) == FORBIDDEN


@pytest.mark.parametrize("headers", [[], [(b"x-tenant-id", b"")], [(b"x-tenant-id", b" ")], [(b"tenant", b"acme")]])
def test_no_header_is_no_tenant(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(TenantMissing, match="x-tenant-id"):
        tenant_from_header("x-tenant-id")({"headers": headers})


def test_a_header_that_nobody_vouches_for_is_not_believed_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    tenant_from_header("x-tenant-id", trusted=True)
    tenant_from_header("x-tenant-id", trusted=lambda scope: True)
    assert caplog.records == []
    tenant_from_header("x-tenant-id")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "trusted=True" in caplog.text


def test_a_header_from_elsewhere_is_403() -> None:
    def behind_the_gateway(scope: Scope) -> bool:
        return (scope.get("client") or ("",))[0] == "10.0.0.1"

    resolver = tenant_from_header("x-tenant-id", trusted=behind_the_gateway)
    assert ask(resolver, {**header_scope(b"acme"), "client": ("10.0.0.1", 1)}) == "<acme>"
    assert ask(resolver, {**header_scope(b"acme"), "client": ("10.0.0.2", 1)}) == FORBIDDEN
    assert ask(resolver, {**header_scope(b"acme"), "client": None}) == FORBIDDEN
    assert ask(resolver, {**header_scope(), "client": ("10.0.0.2", 1)}) == MISSING


@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"acme", b"other", b"acme ", b""]), max_size=3))
@example([b"acme\xa0"])
def test_no_header_gives_what_was_not_said(values: list[bytes]) -> None:
    found = ask(tenant_from_header("x-tenant-id", trusted=True), header_scope(*values))
    said = {value.strip(b" \t") for value in values} - {b""}
    if found.startswith("<"):
        assert said == {found[1:-1].encode()}
        assert TENANT_ID.fullmatch(found[1:-1])
    assert (found == MISSING) == (not said)


# -- claim -------------------------------------------------------------------------------------------------------------


def test_the_claim_of_a_verified_token() -> None:
    assert ask(tenant_from_claim("tenant"), claim_scope(tenant="acme")) == "<acme>"
    nested = claim_scope(organization={"id": "acme"})
    assert ask(tenant_from_claim(("organization", "id")), nested) == "<acme>"
    assert ask(tenant_from_claim("organization"), nested) == FORBIDDEN
    assert ask(tenant_from_claim("organization.id"), nested) == FORBIDDEN


@pytest.mark.parametrize("value", [None, "", 1, True, ["acme"], {"acme": 1}, b"acme"])
def test_a_token_without_a_tenant_is_403(value: Any) -> None:
    assert ask(tenant_from_claim("tenant"), claim_scope(tenant=value)) == FORBIDDEN
    assert ask(tenant_from_claim("tenant"), claim_scope()) == FORBIDDEN


def test_no_token_is_401() -> None:
    assert ask(tenant_from_claim("tenant"), {"state": {"principal": None}}) == MISSING


@pytest.mark.parametrize("state", [{}, {"state": {}}, {"state": {"principal": {"tenant": "acme"}}}])
def test_without_the_jwt_middleware_the_mend_is_named(state: Scope) -> None:
    with pytest.raises(UsageError, match="put JWTMiddleware outside"):
        tenant_from_claim("tenant")(state)


# -- authorizer --------------------------------------------------------------------------------------------------------


def authorized(authorizer: Any) -> Scope:
    return {"type": "http", "aws.event": {"requestContext": {"authorizer": authorizer}}}


AUTHORIZERS: list[tuple[Any, str]] = [
    ({"principalId": "ann", "tenant": "acme", "integrationLatency": 3}, "<acme>"),  # Lambda, REST API
    ({"lambda": {"tenant": "acme"}}, "<acme>"),  # Lambda, HTTP API
    ({"claims": {"sub": "ann", "tenant": "acme"}}, "<acme>"),  # Cognito, REST API
    ({"jwt": {"claims": {"sub": "ann", "tenant": "acme"}, "scopes": None}}, "<acme>"),  # JWT, HTTP API
    ({"claims": {"tenant": "acme"}, "tenant": "acme"}, "<acme>"),
    ({"claims": {"tenant": "acme"}, "tenant": "other"}, FORBIDDEN),
    ({"claims": {"tenant": "acme"}, "jwt": {"claims": {"tenant": "other"}}}, FORBIDDEN),
    ({"claims": {"sub": "ann"}}, FORBIDDEN),
    ({"iam": {"accessKey": "A"}}, FORBIDDEN),
    ({"lambda": None, "principalId": "ann"}, FORBIDDEN),
    ({"tenant": None}, FORBIDDEN),
    ({"tenant": ""}, FORBIDDEN),
    ({"tenant": 7}, FORBIDDEN),
    ({"tenant": ["acme"]}, FORBIDDEN),
    ({"jwt": "tenant", "claims": "tenant"}, FORBIDDEN),
    (None, MISSING),
    ({}, MISSING),
]


@pytest.mark.parametrize(("authorizer", "found"), AUTHORIZERS)
def test_what_an_authorizer_found_out(authorizer: Any, found: str) -> None:
    assert ask(tenant_from_authorizer("tenant"), authorized(authorizer)) == found


@pytest.mark.parametrize("scope", [{}, {"aws.event": {}}, {"aws.event": {"requestContext": None}}])
def test_no_authorizer_is_401(scope: Scope) -> None:
    assert ask(tenant_from_authorizer("tenant"), scope) == MISSING


@pytest.mark.parametrize("source", ["rest-api", "http-api"])
def test_an_authorizer_through_mangum(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = tenant_from_authorizer("tenant")
    build: Any = SOURCES[source]
    authorizer = {"claims": {"tenant": "acme"}} if source == "rest-api" else {"jwt": {"claims": {"tenant": "acme"}}}

    def with_authorizer(*args: Any, **kwargs: Any) -> dict[str, Any]:
        event: dict[str, Any] = build(*args, **kwargs)
        event["requestContext"]["authorizer"] = authorizer
        return event

    async def tell(request: Request) -> Response:
        return PlainTextResponse(ask(resolver, request.scope))

    app = Starlette(routes=[Route("/", tell)])
    forged = {"authorizer": '{"tenant": "acme"}', "tenant": "acme"}
    with on_lambda(app, source) as client:
        assert client("GET", "/", headers=forged).body == b"missing"
    monkeypatch.setitem(SOURCES, source, with_authorizer)
    with on_lambda(app, source) as client:
        assert client("GET", "/").body == b"<acme>"


# -- subdomain ---------------------------------------------------------------------------------------------------------

HOSTS: list[tuple[bytes, str]] = [
    (b"acme.example.com", "<acme>"),
    (b"ACME.Example.COM", "<acme>"),
    (b"acme.example.com:8443", "<acme>"),
    (b"acme.example.com.", "<acme>"),
    (b"a-1.example.com", "<a-1>"),
    (b"example.com", MISSING),
    (b"www.example.com", MISSING),
    (b"WWW.example.com", MISSING),
    (b"", MISSING),
    (b"localhost:8000", MISSING),
    (b"127.0.0.1", MISSING),
    (b"[::1]:80", MISSING),
    (b"acme.example.com.evil.com", MISSING),
    (b"acme.example.com@evil.com", MISSING),
    (b"evil.com/acme.example.com", FORBIDDEN),
    (b"evil.com#.example.com", FORBIDDEN),
    (b"acmeexample.com", MISSING),
    (b".example.com", FORBIDDEN),
    (b"acme..example.com", FORBIDDEN),
    (b"a.acme.example.com", FORBIDDEN),
    (b"acme.example.com:80:80", MISSING),
    (b"acme.example.com:http", MISSING),
    (b"acme.example.com ", MISSING),
    (b" acme.example.com", FORBIDDEN),
    (b"acme.example.com\n", MISSING),
    (b"acme_1.example.com", FORBIDDEN),
    (b"-acme.example.com", FORBIDDEN),
    (b"acme-.example.com", FORBIDDEN),
    (b"xn--cme-8cd.example.com", FORBIDDEN),
    ("\N{CYRILLIC SMALL LETTER A}cme.example.com".encode(), FORBIDDEN),
    (b"\xe4cme.example.com", FORBIDDEN),
    (b"acme%00.example.com", FORBIDDEN),
    (b"a" * 64 + b".example.com", FORBIDDEN),
    (b"acme.example\xb7com", MISSING),
]


@pytest.mark.parametrize(("host", "found"), HOSTS)
def test_hosts(host: bytes, found: str) -> None:
    assert ask(tenant_from_subdomain("Example.com"), host_scope(host)) == found


def test_only_the_host_header_counts_and_only_one() -> None:
    resolver = tenant_from_subdomain("example.com")
    assert ask(resolver, header_scope(b"acme.example.com", name=b"x-forwarded-host")) == MISSING
    assert ask(resolver, {**host_scope(), "server": ("acme.example.com", 80)}) == MISSING
    assert ask(resolver, host_scope(b"acme.example.com", b"other.example.com")) == FORBIDDEN
    assert ask(resolver, host_scope(b"acme.example.com", b"example.com")) == FORBIDDEN


def test_names_besides_tenants() -> None:
    resolver = tenant_from_subdomain("example.com", besides=["api"])
    assert ask(resolver, host_scope(b"API.example.com")) == MISSING
    assert ask(resolver, host_scope(b"www.example.com")) == "<www>"


@given(st.binary(max_size=30) | st.text(alphabet="acme.xn-:80@/\\ \u0430", max_size=16).map(str.encode))
def test_no_host_gives_what_was_not_said(left: bytes) -> None:
    for host in (left, left + b".example.com", b"acme" + left, b"acme.example.com" + left):
        found = ask(tenant_from_subdomain("example.com"), host_scope(host))
        if found.startswith("<"):
            plain = host.decode("latin-1").lower().partition(":")[0].removesuffix(".")
            assert plain == f"{found[1:-1]}.example.com"
            assert plain.isascii()
            assert "." not in found


@pytest.mark.parametrize("wrong", ["", ".", "example.com:80", "https://example.com", "exa mple.com", "*.example.com"])
def test_a_domain_that_is_none(wrong: str) -> None:
    with pytest.raises(UsageError, match="domain"):
        tenant_from_subdomain(wrong)


# -- path --------------------------------------------------------------------------------------------------------------

PATHS: list[tuple[str, str, str]] = [
    ("/t/{tenant}", "/t/acme", "<acme>"),
    ("/t/{tenant}", "/t/acme/", "<acme>"),
    ("/t/{tenant}", "/t/acme/orders/t/other", "<acme>"),
    ("/t/{tenant}", "/t/", MISSING),
    ("/t/{tenant}", "/t//acme", MISSING),
    ("/t/{tenant}", "//t/acme", MISSING),
    ("/t/{tenant}", "/x/t/acme", MISSING),
    ("/t/{tenant}", "/T/acme", MISSING),
    ("/t/{tenant}", "/tx/acme", MISSING),
    ("/t/{tenant}", "/t/../acme", FORBIDDEN),
    ("/t/{tenant}", "/t/acme\n", FORBIDDEN),
    ("/t/{tenant}", "/t/acme/x\ny", "<acme>"),
    ("/t/{tenant}", "", MISSING),
    ("/t/{tenant}/api", "/t/acme/api", "<acme>"),
    ("/t/{tenant}/api", "/t/acme/api/x", "<acme>"),
    ("/t/{tenant}/api", "/t/acme/apix", MISSING),
    ("/t/{tenant}/api", "/t/acme", MISSING),
    ("/v1.0/{tenant}/", "/v1.0/acme", "<acme>"),
    ("/v1.0/{tenant}", "/v1x0/acme", MISSING),
    ("/{tenant}", "/acme/x", "<acme>"),
]


@pytest.mark.parametrize(("template", "path", "found"), PATHS)
def test_paths(template: str, path: str, found: str) -> None:
    assert ask(tenant_from_path(template), {"path": path}) == found
    assert ask(tenant_from_path(template), {"path": f"/root{path}", "root_path": "/root"}) == found


def test_a_root_path_is_taken_off_once_and_only_where_it_ends() -> None:
    resolver = tenant_from_path("/t/{tenant}")
    assert ask(resolver, {"path": "/t/t/t/acme", "root_path": "/t"}) == "<t>"
    assert ask(resolver, {"path": "/t/acme", "root_path": "/t/ac"}) == "<acme>"
    assert ask(resolver, {"path": "/rooted/t/acme", "root_path": "/root"}) == MISSING
    assert ask(resolver, {"path": "/t/acme", "root_path": "/root"}) == "<acme>"
    assert ask(tenant_from_path("/{tenant}"), {"path": "/root", "root_path": "/root"}) == MISSING


def test_inside_of_a_mount_the_path_is_still_the_apps() -> None:
    resolver = tenant_from_path("/t/{tenant}")

    async def tell(request: Request) -> Response:
        return PlainTextResponse(f"{ask(resolver, request.scope)} {request.path_params['tenant']}")

    app = Starlette(routes=[Mount("/t/{tenant}", routes=[Route("/t/other", tell), Route("/{more:path}", tell)])])
    for root in ("", "/root"):
        client = TestClient(app, root_path=root)
        for path in ("/t/acme/t/other", "/t/acme/", "/t/acme//t/other", "/t/acme/..%2Fother", "/t/acme%2Ft/other"):
            assert client.get(f"{root}{path}").text == "<acme> acme"


@given(st.text(max_size=20) | st.text(alphabet="/t.acme%2F\\\n", max_size=16))
def test_no_path_gives_what_was_not_said(rest: str) -> None:
    for path in (rest, f"/t/{rest}", f"/t/acme{rest}", f"/t/acme/{rest}"):
        found = ask(tenant_from_path("/t/{tenant}"), {"path": path})
        if found.startswith("<"):
            assert path.split("/")[:3] == ["", "t", found[1:-1]]


@pytest.mark.parametrize(
    "wrong", ["", "/t", "{tenant}", "/t-{tenant}", "/{tenant}x", "/{tenant}/{tenant}", "/{id}/{tenant"]
)
def test_a_template_that_is_none(wrong: str) -> None:
    with pytest.raises(UsageError, match="tenant_from_path"):
        tenant_from_path(wrong)


# -- several -----------------------------------------------------------------------------------------------------------


def says(answer: Any, *, later: bool = False) -> Callable[[Scope], Any]:
    def tell() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def source_async(scope: Scope) -> Any:
        await asyncio.sleep(0)
        return tell()

    return source_async if later else lambda scope: tell()


ANSWERS: dict[str, Any] = {
    "acme": "acme",
    "other": "other",
    "none": None,
    "missing": TenantMissing("x"),
    "forbidden": TenantForbidden("x"),
    "hostile": "acme#",
    "empty": "",
}


@given(st.lists(st.tuples(st.sampled_from(sorted(ANSWERS)), st.booleans()), min_size=1, max_size=4))
def test_a_tenant_is_what_all_say_who_speak(sources: list[tuple[str, bool]]) -> None:
    resolver: Any = tenant_from(*(says(ANSWERS[name], later=later) for name, later in sources))
    spoken = {name for name, _ in sources} - {"none", "missing"}
    expected = MISSING if not spoken else f"<{min(spoken)}>" if spoken in ({"acme"}, {"other"}) else FORBIDDEN
    assert ask(resolver, {}) == expected


def test_where_nobody_speaks_the_first_says_why() -> None:
    resolver = tenant_from(tenant_from_header("x-tenant-id", trusted=True), tenant_from_subdomain("example.com"))
    with pytest.raises(TenantMissing, match="send the header x-tenant-id"):
        resolver({"headers": []})


def test_what_has_no_tenant_in_its_token_gets_none_from_elsewhere() -> None:
    resolver = tenant_from(tenant_from_claim("tenant"), tenant_from_header("x-tenant-id", trusted=True))
    scope = {**claim_scope(), "headers": [(b"x-tenant-id", b"acme")]}
    assert ask(resolver, scope) == FORBIDDEN
    assert ask(resolver, {**scope, "state": claim_scope(tenant="acme")["state"]}) == "<acme>"
    assert ask(resolver, {**scope, "state": claim_scope(tenant="other")["state"]}) == FORBIDDEN


def test_it_is_async_where_a_part_of_it_is() -> None:
    class Source:
        async def __call__(self, scope: Scope) -> str:
            return "acme"

    async def status(tenant: str) -> str:
        return "active"

    assert asyncio.iscoroutinefunction(tenant_from(Source()))
    assert asyncio.iscoroutinefunction(tenant_from(says("acme"), status=status))
    assert not asyncio.iscoroutinefunction(tenant_from(says("acme"), tenant_from(says("acme"))))
    assert ask(tenant_from(says("acme"), tenant_from(Source(), status=status)), {}) == "<acme>"
    with pytest.raises(UsageError, match="async def"):
        ask(tenant_from(lambda scope: Source()(scope)), {})


def test_sources_are_functions() -> None:
    for wrong in ((), ("acme",), (None,)):
        with pytest.raises(UsageError, match="names its sources"):
            tenant_from(*wrong)


# -- status ------------------------------------------------------------------------------------------------------------


class Hook:
    """A status hook that counts."""

    def __init__(self, **statuses: Any) -> None:
        self.statuses = statuses
        self.asked: list[str] = []

    def __call__(self, tenant: str) -> Any:
        self.asked.append(tenant)
        return self.statuses.get(tenant)

    async def later(self, tenant: str) -> Any:
        await asyncio.sleep(0)
        return self(tenant)


def of_header() -> Callable[[Scope], str]:
    return tenant_from_header("x-tenant-id", trusted=True)


@pytest.mark.parametrize("later", [False, True])
def test_only_an_active_tenant_gets_in(later: bool) -> None:
    hook = Hook(acme="active", late="suspended", gone="deleted")
    resolver: Any = tenant_from(of_header(), status=hook.later if later else hook)
    told = {}
    for tenant in ("acme", "late", "gone", "never"):
        try:
            found = resolver(header_scope(tenant.encode()))
            told[tenant] = asyncio.run(found) if later else found
        except TenantForbidden as error:
            told[tenant] = str(error)
    assert told["acme"] == "acme"
    assert "suspended" in told["late"]
    assert told["gone"] == told["never"], "a deleted tenant is as if it had never been"


@pytest.mark.parametrize("later", [False, True])
def test_the_status_is_kept_for_a_few_seconds(later: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(module, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now[0])}))
    hook = Hook(acme="active")
    resolver = tenant_from(of_header(), status=hook.later if later else hook, remember=5)
    for _ in range(10):
        assert ask(resolver, header_scope(b"acme")) == "<acme>"
    assert ask(resolver, header_scope(b"other")) == ask(resolver, header_scope(b"other")) == FORBIDDEN
    assert hook.asked == ["acme", "other"]
    hook.statuses["acme"] = "suspended"
    now[0] += 4.9
    assert ask(resolver, header_scope(b"acme")) == "<acme>"
    now[0] += 0.2
    assert ask(resolver, header_scope(b"acme")) == FORBIDDEN
    assert hook.asked == ["acme", "other", "acme"]


def test_nothing_is_kept_where_nothing_is_to_be() -> None:
    hook = Hook(acme="active")
    resolver = tenant_from(of_header(), status=hook, remember=0)
    assert ask(resolver, header_scope(b"acme")) == ask(resolver, header_scope(b"acme")) == "<acme>"
    assert hook.asked == ["acme", "acme"]


def test_made_up_tenants_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KEPT", 10)
    hook = Hook()
    statuses = module._Statuses(hook, 60)
    for n in range(100):
        with pytest.raises(TenantForbidden):
            statuses.check(f"t{n}")
    assert len(statuses._kept) == 10


def test_threads_may_ask_at_once() -> None:
    hook = Hook(**{f"t{n}": "active" for n in range(50)})
    resolver = tenant_from(of_header(), status=hook, remember=0)
    found: list[str] = []

    def work() -> None:
        found.extend(ask(resolver, header_scope(b"t%d" % n)) for n in range(50))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count("<t7>") == 8
    assert len(found) == 400
    assert MISSING not in found


@pytest.mark.parametrize("answer", ["Active", "", True, 1, "unknown"])
def test_a_status_that_is_none_lets_nobody_in(answer: Any) -> None:
    with pytest.raises(UsageError, match="status= tells"):
        ask(tenant_from(of_header(), status=Hook(acme=answer)), header_scope(b"acme"))


def test_a_hook_that_fails_lets_nobody_in() -> None:
    def status(tenant: str) -> str:
        raise RuntimeError("the table is gone")

    resolver = tenant_from(of_header(), status=status)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="gone"):
            resolver(header_scope(b"acme"))


@pytest.mark.parametrize("wrong", [{"status": "active"}, {"remember": -1}, {"remember": float("nan")}])
def test_settings_that_cannot_be_right(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        tenant_from(of_header(), **wrong)


# -- in an app ---------------------------------------------------------------------------------------------------------


class Thing(Model, table="things", pk="THING#{id}", sk="THING"):
    id: str


def test_another_tenants_thing_and_none_at_all_are_told_alike() -> None:
    database = Database("local://")
    database.sync.create_tables(Thing)

    async def create(request: Request) -> Response:
        await request.state.db.create(Thing(id=request.path_params["id"]))
        return PlainTextResponse("created", 201)

    async def read(request: Request) -> Response:
        return PlainTextResponse((await request.state.db.get(Thing, id=request.path_params["id"])).id)

    routes = [Route("/{id}", create, methods=["POST"]), Route("/{id}", read)]
    hook = Hook(acme="active", other="active", late="suspended", gone="deleted")
    tenant = tenant_from(of_header(), status=hook.later)
    app = Starlette(routes=routes, middleware=[Middleware(DynamORMMiddleware, database=database, tenant=tenant)])
    with TestClient(app) as client:
        assert client.post("/1", headers={"x-tenant-id": "acme"}).status_code == 201
        assert client.get("/1", headers={"x-tenant-id": "acme"}).status_code == 200
        hidden = client.get("/1", headers={"x-tenant-id": "other"})
        assert client.post("/2", headers={"x-tenant-id": "third"}).status_code == 403
        database.sync.session("acme").delete(Thing, {"id": "1"})
        absent = client.get("/1", headers={"x-tenant-id": "other"})
        assert hidden.status_code == 404
        assert (hidden.content, hidden.headers) == (absent.content, absent.headers)
        deleted, unknown = (client.get("/1", headers={"x-tenant-id": name}) for name in ("gone", "never"))
        assert deleted.status_code == 403
        assert (deleted.content, deleted.headers) == (unknown.content, unknown.headers)
        assert client.get("/1", headers={"x-tenant-id": "late"}).status_code == 403
        assert client.get("/1").status_code == 401
