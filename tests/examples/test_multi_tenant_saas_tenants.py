"""The tenants of the example: what one sees of another, what is left of one that is gone, and who a token is."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from examples.multi_tenant_saas.saas import everything
from examples.multi_tenant_saas.saas.models import MODELS, Usage, Workspace
from examples.multi_tenant_saas.saas.refusal import Refusal
from lift_dynamorm import Database
from lift_dynamorm.transfer import import_items

from .test_multi_tenant_saas_helpers import MISSING, SECRET, Saas, at_once, person, saas


@pytest.fixture
def app() -> Iterator[Saas]:
    with saas() as found:
        yield found


class TestIsolation:
    async def test_the_ids_of_another_tenant_are_those_of_nothing(self, app: Saas) -> None:
        await app.seed()
        project = await app.project("ann")
        task = (await app.task("ann", project)).json()["id"]
        own = await app.project("gil")
        before = app.items("acme")
        ids = {"project": project, "task": task, "user": app.users["bob"]}
        paths: list[tuple[str, str, Any]] = [
            ("GET", "/api/users/{user}", None),
            ("PATCH", "/api/users/{user}", {"name": "x"}),
            ("DELETE", "/api/users/{user}", None),
            ("GET", "/api/projects/{project}", None),
            ("PATCH", "/api/projects/{project}", {"name": "x"}),
            ("DELETE", "/api/projects/{project}", None),
            ("GET", "/api/projects/{project}/tasks", None),
            ("POST", "/api/projects/{project}/tasks", {"title": "x"}),
            ("GET", "/api/projects/{project}/tasks/{task}", None),
            ("PATCH", "/api/projects/{project}/tasks/{task}", {"title": "x"}),
            ("DELETE", "/api/projects/{project}/tasks/{task}", None),
            ("GET", "/api/projects/{project}/tasks/{task}/activity", None),
            ("GET", f"/api/projects/{own}/tasks/{{task}}", None),
        ]
        for method, path, body in paths:
            answers = []
            for given in (ids, dict.fromkeys(ids, MISSING)):
                answer = await app.ask("gil", method, path.format(**given), body, {"If-Match": "*"})
                assert answer.status_code == 404, path
                text = answer.text.replace(answer.headers["x-request-id"], "")
                headers = {k: v for k, v in answer.headers.items() if k != "x-request-id"}
                for id in given.values():
                    text = text.replace(id, MISSING)
                answers.append((text, headers))
            assert answers[0] == answers[1], path
        assert app.items("acme") == before

    async def test_nothing_of_one_is_in_what_the_other_is_told(self, app: Saas) -> None:
        await app.seed()
        tasks = {}
        for who in ("ann", "gil"):
            project = await app.project(who, f"{who}s project")
            tasks[who] = await app.task(who, project, assignee=app.users[who], due="2027-01-01", title=f"{who}s task")
        for who, other in (("ann", "gil"), ("gil", "ann")):
            for path in (
                "/api/workspace",
                "/api/users",
                "/api/projects",
                "/api/activity",
                "/api/export",
                "/api/tasks?due_by=2030-01-01",
                f"/api/tasks?assignee={app.users[who]}",
                f"/api/tasks?assignee={app.users[other]}",
                tasks[who].headers["location"],
            ):
                answer = await app.ask(who, "GET", path)
                assert answer.status_code == 200
                for secret in (f"{other}s", app.users[other], tasks[other].json()["id"], f"{other}@example.com"):
                    assert secret not in answer.text, path

    async def test_every_item_lies_behind_its_tenant_in_every_key(self, app: Saas) -> None:
        await app.seed()
        await app.task("ann", await app.project("ann"), assignee=app.users["bob"], due="2027-01-01")
        await app.ask("ann", "POST", "/api/projects", {"name": "x"}, {"Idempotency-Key": '"k"'})
        assert (await app.ask("ann", "GET", "/api/export")).status_code == 200
        items = app.items()
        assert len(items) > 20
        for item in items:
            keys = [value["S"] for name, value in item.items() if name == "pk" or name.endswith("_pk")]
            (mark,) = {key.partition("#")[0] for key in keys}
            assert mark in ("@acme", "@globex")


class TestTokens:
    async def refused(self, app: Saas, token: str) -> str:
        app.tokens["eve"] = token
        answer = await app.ask("eve", "GET", "/api/workspace")
        assert answer.status_code == 401, answer.text
        return str(answer.json()["detail"])

    def claims(self, app: Saas) -> dict[str, Any]:
        read: dict[str, Any] = jwt.decode(app.tokens["ann"], options={"verify_signature": False})
        return read

    def sign(self, app: Saas, secret: str = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
        claims = {k: v for k, v in {**self.claims(app), **changes}.items() if v is not None}
        header = jwt.get_unverified_header(app.tokens["ann"])
        return jwt.encode(claims, secret, algorithm, {"kid": header["kid"]})

    async def test_a_token_made_with_the_key_is_good(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        app.tokens["ann"] = self.sign(app)
        assert (await app.ask("ann", "GET", "/api/workspace")).status_code == 200

    @pytest.mark.parametrize("place", [0, 1, 2])
    async def test_a_changed_token(self, app: Saas, place: int) -> None:
        await app.sign_up("ann", "acme")
        parts = app.tokens["ann"].split(".")
        parts[place] = ("A" if parts[place][0] != "A" else "B") + parts[place][1:]
        assert await self.refused(app, ".".join(parts)) == "The token is not valid."

    @pytest.mark.parametrize(
        "changes",
        [{"tenant": "globex"}, {"roles": ["owner"]}, {"sub": MISSING}, {"exp": 4_000_000_000}],
    )
    async def test_claims_that_are_written_in_without_the_key(self, app: Saas, changes: dict[str, Any]) -> None:
        await app.seed()
        head, _, signature = app.tokens["ann"].split(".")
        claims = json.dumps({**self.claims(app), **changes}).encode()
        forged = base64.urlsafe_b64encode(claims).decode().rstrip("=")
        assert await self.refused(app, f"{head}.{forged}.{signature}") == "The token is not valid."

    async def test_another_key_no_key_and_another_purpose(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        claims = self.claims(app)
        none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
        body = app.tokens["ann"].split(".")[1]
        for token in (
            self.sign(app, "another secret that has more than 32 characters"),
            self.sign(app, SECRET * 2, "HS512"),
            jwt.encode(claims, SECRET, "HS256", {"kid": "another"}),
            f"{none}.{body}.",
            self.sign(app, aud="web"),
            self.sign(app, iss="another"),
            self.sign(app, exp=None),
            self.sign(app, sub=None),
            self.sign(app, workspace=MISSING),
            self.sign(app, tenant="nobody"),
        ):
            await self.refused(app, token)

    async def test_a_token_ends(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        claims = self.claims(app)
        assert claims["exp"] - claims["iat"] == 900
        assert await self.refused(app, self.sign(app, exp=int(time.time()) - 1)) == "The token has expired."

    async def test_secrets_are_changed_one_by_one(self, app: Saas) -> None:
        from dataclasses import replace

        from examples.multi_tenant_saas.saas.app import create_app
        from examples.multi_tenant_saas.saas.tokens import Tokens

        await app.sign_up("ann", "acme")
        new = "the new secret, which signs from now on, and is long"
        app.app = create_app(replace(app.settings, tokens=Tokens((new, SECRET))))
        app.client = app.browser()
        assert (await app.ask("ann", "GET", "/api/me")).status_code == 200
        await app.sign_in("ann", "acme")
        app.app = create_app(replace(app.settings, tokens=Tokens((new,))))
        app.client = app.browser()
        assert (await app.ask("ann", "GET", "/api/me")).status_code == 200


async def fill(app: Saas) -> None:
    """Two tenants with something of everything."""
    await app.seed("enterprise")
    for who in ("ann", "gil"):
        for n in range(3):
            project = await app.project(who, f"Project {n}")
            for m in range(12):
                await app.task(who, project, title=f"Task {m}", assignee=app.users[who], due="2027-01-01")
        await app.ask(who, "POST", "/api/projects", {"name": "Once"}, {"Idempotency-Key": '"k"'})
        assert (await app.ask(who, "GET", "/api/export")).status_code == 200


class TestExport:
    async def test_it_holds_every_item_of_the_tenant_and_can_be_imported(self, app: Saas) -> None:
        await fill(app)
        answer = await app.ask("ann", "GET", "/api/export")
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert answer.headers["content-disposition"] == 'attachment; filename="acme.jsonl"'
        lines = answer.text.splitlines()
        assert {json.loads(line)["tenant"] for line in lines} == {"acme"}

        other = Database("local://")
        await other.create_tables(*MODELS)
        await import_items(other, MODELS, (line.encode() for line in lines))
        there = await other.unscoped("compare").execute("Scan", {"TableName": "saas"})
        kept = ("REPLAY", "SLOTS#")  # how requests were answered, and is none of the tenant's data
        expected = {
            (item["pk"]["S"], item["sk"]["S"]): {k: v for k, v in item.items() if k != "password"}
            for item in app.items("acme")
            if not item["sk"]["S"].startswith(kept) and not item["pk"]["S"].endswith(kept)
        }
        assert {(item["pk"]["S"], item["sk"]["S"]): item for item in there["Items"]} == expected

    async def test_no_more_than_two_at_once(self, app: Saas) -> None:
        await fill(app)
        answers = await at_once(*(app.ask("ann", "GET", "/api/export") for _ in range(6)))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses[:2] == [200, 200]
        assert statuses[-1] == 503
        assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 503)
        assert (await app.ask("ann", "GET", "/api/export")).status_code == 200


class TestClosing:
    async def test_nothing_is_left_of_it_and_nothing_is_missing_of_the_other(self, app: Saas) -> None:
        await fill(app)
        others = app.items("globex")
        answer = await app.ask("ann", "DELETE", "/api/workspace", headers={"If-Match": '"1"'})
        assert (answer.status_code, answer.content) == (204, b"")
        assert app.items("acme") == []
        assert app.items() == others
        for method, path in (("GET", "/api/workspace"), ("DELETE", "/api/workspace"), ("POST", "/api/projects")):
            assert (await app.ask("ann", method, path, {"name": "x"})).status_code == 401
        assert app.items() == others

    async def test_it_goes_on_where_it_was_cut_short(self, app: Saas, monkeypatch: pytest.MonkeyPatch) -> None:
        await fill(app)
        others = app.items("globex")
        monkeypatch.setattr(everything.delete, "__kwdefaults__", {"at_most": 10})
        left = []
        for _ in range(100):
            answer = await app.ask("ann", "DELETE", "/api/workspace", headers={"If-Match": "*"})
            if answer.status_code == 204:
                break
            assert (answer.status_code, answer.json()) == (202, {"status": "closing"})
            left.append(len(app.items("acme")))
            await app.sign_in("ann", "acme")  # who began it can always go on
        assert len(left) > 5
        assert left == sorted(left, reverse=True)
        assert app.items() == others

    async def test_killed_between_any_two_requests_it_can_be_done_again(self, app: Saas) -> None:
        await app.seed()
        await app.task("ann", await app.project("ann"))
        app.spy.sent.clear()
        inner, kills, left = app.spy.send, 0, 0

        class Killed(Exception):
            pass

        async def send(operation: str, payload: Any, *, deadline: float | None = None) -> Any:
            nonlocal left
            if operation in ("BatchWriteItem", "TransactWriteItems"):
                left -= 1
                if left < 0:
                    raise Killed
            return await inner(operation, payload, deadline=deadline)

        app.spy.send = send  # type: ignore[method-assign]  # as long as this test runs
        status = 0
        while status != 204:
            left = min(kills, 1)  # first none, then one in each life
            try:
                status = (await app.ask("ann", "DELETE", "/api/workspace", headers={"If-Match": "*"})).status_code
            except Killed:
                kills += 1
                left = 100
                await app.sign_in("ann", "acme")
        assert kills == 7
        assert app.items("acme") == []

    async def test_while_it_is_closed_nothing_is_added_and_only_admins_come_in(self, app: Saas) -> None:
        await fill(app)
        project = (await app.ask("ann", "GET", "/api/projects")).json()["items"][0]["id"]
        work = [
            ("bob", "POST", "/api/projects", {"name": "x"}),
            ("ann", "POST", "/api/users", person("eve")),
            ("bob", "POST", f"/api/projects/{project}/tasks", {"title": "x"}),
            ("ann", "PATCH", f"/api/users/{app.users['ann']}", {"name": "Anna"}),
            ("ann", "PATCH", "/api/workspace", {"plan": "pro"}),
            ("vic", "PUT", "/api/me/password", {"current": "correct horse", "new": "another password"}),
        ] * 5
        answers = await at_once(
            *(app.ask(who, method, path, body, {"If-Match": "*"}) for who, method, path, body in work[:15]),
            app.ask("ann", "DELETE", "/api/workspace", headers={"If-Match": "*"}),
            *(app.ask(who, method, path, body, {"If-Match": "*"}) for who, method, path, body in work[15:]),
        )
        assert {answer.status_code for answer in answers} <= {200, 201, 204, 401, 403, 404, 409, 412}
        for _ in range(5):
            if not app.items("acme"):
                break
            await app.ask("ann", "DELETE", "/api/workspace", headers={"If-Match": "*"})
        assert app.items("acme") == []

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("PATCH", "/api/users/{ann}", {"name": "Anna"}),
            ("DELETE", "/api/users/{bob}", None),
            ("PUT", "/api/me/password", {"current": "correct horse", "new": "another password"}),
            ("PATCH", "/api/workspace", {"title": "x"}),
            ("POST", "/api/projects", {"name": "x"}),
        ],
    )
    async def test_a_change_that_comes_too_late_is_none(self, app: Saas, method: str, path: str, body: Any) -> None:
        await app.seed()
        inner = app.spy.send
        before = []

        async def send(operation: str, payload: Any, *, deadline: float | None = None) -> Any:
            if operation == "TransactWriteItems":
                app.spy.send = inner  # type: ignore[method-assign]  # once
                with app.database.sync.session("acme") as db:
                    db.update(db.get(Workspace), status="closing")
                    for what in ("projects", "users", "tasks"):
                        db.update(Usage, {"what": what}, limit=0)
                before.extend(app.items())
            return await inner(operation, payload, deadline=deadline)

        app.spy.send = send  # type: ignore[method-assign]  # as above
        answer = await app.ask("ann", method, path.format(**app.users), body, {"If-Match": "*"})
        assert answer.status_code in (409, 412)
        assert app.items() == before

    async def test_members_do_not_come_in_while_it_is_closed(self, app: Saas, monkeypatch: pytest.MonkeyPatch) -> None:
        await fill(app)
        monkeypatch.setattr(everything.delete, "__kwdefaults__", {"at_most": 1})
        assert (await app.ask("ann", "DELETE", "/api/workspace", headers={"If-Match": "*"})).status_code == 202
        assert (await app.ask("bob", "GET", "/api/projects")).status_code == 403
        given = {"workspace": "acme", "email": "bob@example.com", "password": "correct horse"}
        assert (await app.ask("", "POST", "/api/sign-in", given)).status_code == 403
        assert (await app.ask("ann", "POST", "/api/projects", {"name": "x"})).status_code == 403
        again = {"workspace": "acme", "title": "x", **person("eve")}
        assert (await app.ask("", "POST", "/api/sign-up", again)).status_code == 409

    async def test_who_takes_the_name_gets_nothing_of_the_old_one(self, app: Saas) -> None:
        await app.seed()
        await app.project("ann", "Secret")
        old = dict(app.tokens)
        await app.ask("ann", "DELETE", "/api/workspace", headers={"If-Match": "*"})
        await app.sign_up("eve", "acme")
        assert (await app.ask("eve", "GET", "/api/projects")).json()["items"] == []
        before = app.items()
        for who in ("ann", "bob", "vic"):
            app.tokens[who] = old[who]
            assert (await app.ask(who, "GET", "/api/projects")).status_code == 401
            assert (await app.ask(who, "PUT", "/api/me/password", {})).status_code == 401
        assert app.items() == before

    async def test_only_a_workspace_that_is_being_closed_is_deleted(self, app: Saas) -> None:
        await app.seed()
        before = app.items()
        with pytest.raises(Refusal):
            await everything.delete(app.database, "acme", app.users["ann"])
        assert app.items() == before
