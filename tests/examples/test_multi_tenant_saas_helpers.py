"""The multi-tenant example in this process: people who ask it, and a look at the table behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from examples.multi_tenant_saas.saas.app import create_app
from examples.multi_tenant_saas.saas.models import MODELS
from examples.multi_tenant_saas.saas.passwords import Passwords
from examples.multi_tenant_saas.saas.settings import Settings
from examples.multi_tenant_saas.saas.tokens import Tokens
from lift_dynamorm import Database
from lift_dynamorm.transport import Payload, Transport
from lift_dynamorm.transport.local import LocalTransport
from tests.wire import ValidatingTransport

PASSWORD = "correct horse"
SECRET = "a secret that is used by these tests and by nobody else"
MISSING = "01a1fe8d-5562-7d2b-ba94-d4cf7f41d81d"
PEOPLE = {
    "ann": ("acme", "admin"),
    "bob": ("acme", "member"),
    "vic": ("acme", "viewer"),
    "gil": ("globex", "admin"),
}
"""Who there is, where, and in which role."""


class Interleaving:
    """Let other tasks go first before each request, so that requests at the same time really meet."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.sent: list[tuple[str, Payload]] = []

    @property
    def blocking(self) -> Transport:
        return self._inner.blocking

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        await asyncio.sleep(0)
        self.sent.append((operation, payload))
        return await self._inner.send(operation, payload, deadline=deadline)

    async def aclose(self) -> None:
        await self._inner.aclose()


class Saas:
    """The app on a database of its own. tokens: of those who are signed in; users: their ids."""

    def __init__(self, *, secure_cookies: bool = True, lifetime: int = 900) -> None:
        self.spy = Interleaving(ValidatingTransport(LocalTransport()))
        self.database = Database(transport=self.spy, require_tenant=True, cursor_keys=["secret"])
        self.database.sync.create_tables(*MODELS)
        self.settings = Settings(
            self.database, Tokens((SECRET,), lifetime), secure_cookies=secure_cookies, passwords=Passwords(n=2, p=1)
        )
        self.app = create_app(self.settings)
        self.client = self.browser()
        self.tokens: dict[str, str] = {}
        self.users: dict[str, str] = {}

    def browser(self) -> httpx.AsyncClient:
        """A client with cookies of its own."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="https://testserver")

    async def ask(
        self, who: str, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send a request of someone, "" for nobody; answers of the API that are errors are problems, each of them."""
        sent = dict(headers or {})
        if who:
            sent["authorization"] = f"Bearer {self.tokens[who]}"
        answer = await self.client.request(method, path, json=body, headers=sent)
        assert answer.headers["x-request-id"]
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            problem = answer.json()
            assert problem["status"] == answer.status_code
            assert problem["title"]
            assert problem["detail"]
            assert problem["request_id"] == answer.headers["x-request-id"]
        return answer

    async def sign_up(self, who: str, workspace: str, plan: str = "free") -> None:
        new = {"workspace": workspace, "title": workspace.title(), "plan": plan, **person(who)}
        answer = await self.ask("", "POST", "/api/sign-up", new)
        assert answer.status_code == 201, answer.text
        self.tokens[who], self.users[who] = answer.json()["access_token"], answer.json()["user"]

    async def add(self, admin: str, who: str, workspace: str, role: str) -> None:
        answer = await self.ask(admin, "POST", "/api/users", {**person(who), "role": role})
        assert answer.status_code == 201, answer.text
        self.users[who] = answer.json()["id"]
        await self.sign_in(who, workspace)

    async def sign_in(self, who: str, workspace: str, scope: str | None = None) -> None:
        given = {"workspace": workspace, "email": f"{who}@example.com", "password": PASSWORD}
        answer = await self.ask("", "POST", "/api/sign-in", given | ({"scope": scope} if scope is not None else {}))
        assert answer.status_code == 200, answer.text
        self.tokens[who] = answer.json()["access_token"]

    async def seed(self, plan: str = "pro") -> None:
        """Two tenants, and the people of `PEOPLE`."""
        await self.sign_up("ann", "acme", plan)
        await self.sign_up("gil", "globex", plan)
        await self.add("ann", "bob", "acme", "member")
        await self.add("ann", "vic", "acme", "viewer")

    async def project(self, who: str, name: str = "Website") -> str:
        answer = await self.ask(who, "POST", "/api/projects", {"name": name})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def task(self, who: str, project: str, **fields: Any) -> httpx.Response:
        answer = await self.ask(who, "POST", f"/api/projects/{project}/tasks", {"title": "Launch", **fields})
        assert answer.status_code == 201, answer.text
        return answer

    def items(self, tenant: str | None = None) -> list[dict[str, Any]]:
        """What the table holds, as DynamoDB has it; of one tenant, what begins with its mark."""
        found = self.database.sync.unscoped("the tests look").execute("Scan", {"TableName": "saas"})
        assert "LastEvaluatedKey" not in found
        items = sorted(found["Items"], key=lambda item: (item["pk"]["S"], item["sk"]["S"]))
        return items if tenant is None else [item for item in items if item["pk"]["S"].startswith(f"@{tenant}#")]

    async def used(self, who: str, what: str) -> int:
        return int((await self.ask(who, "GET", "/api/usage")).json()[what]["used"])


def person(who: str) -> dict[str, str]:
    return {"name": who.title(), "email": f"{who}@example.com", "password": PASSWORD}


async def at_once(*requests: Awaitable[httpx.Response]) -> list[httpx.Response]:
    return list(await asyncio.gather(*requests))


@contextmanager
def saas() -> Iterator[Saas]:
    found = Saas()
    yield found
    found.database.sync.close()
