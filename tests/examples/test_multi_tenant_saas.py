"""The API of the multi-tenant example: every route, who may call it, and what stays true when many do at once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from examples.multi_tenant_saas.saas import passwords

from .test_multi_tenant_saas_helpers import MISSING, PASSWORD, PEOPLE, Saas, at_once, person, saas


@pytest.fixture
def app() -> Iterator[Saas]:
    with saas() as found:
        yield found


class TestAccess:
    async def test_signing_up_writes_tenant_admin_address_counts_and_activity_in_one_transaction(
        self, app: Saas
    ) -> None:
        await app.sign_up("ann", "acme", "pro")
        writes = [payload for operation, payload in app.spy.sent if operation.endswith(("Item", "Items"))]
        (transaction,) = [payload for payload in writes if "TransactItems" in payload]
        stored = [item["pk"]["S"] + " " + item["sk"]["S"] for item in app.items()]
        user = f"@acme#USERS USER#{app.users['ann']}"
        assert [entry for entry in stored if "ACTIVITY" not in entry] == sorted(
            [
                "@acme#@#User.email#ann@example.com @#",
                user,
                "@acme#WORKSPACE SETTINGS",
                *(f"@acme#WORKSPACE USAGE#{what}" for what in ("admins", "projects", "tasks", "users")),
            ]
        )
        assert len(stored) == len(transaction["TransactItems"]) == 8

    async def test_a_name_that_is_taken_writes_nothing(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        before = app.items()
        answer = await app.ask("", "POST", "/api/sign-up", {"workspace": "acme", "title": "x", **person("eve")})
        assert (answer.status_code, answer.json()["detail"]) == (409, "The workspace name acme is taken.")
        assert app.items() == before

    async def test_an_address_that_is_taken_writes_nothing(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        (claim,) = [item for item in app.items() if "#@#User.email" in item["pk"]["S"]]
        app.database.sync.unscoped("a claim is left over").execute(
            "PutItem", {"TableName": "saas", "Item": {**claim, "pk": {"S": claim["pk"]["S"].replace("acme", "globex")}}}
        )
        before = app.items()
        answer = await app.ask("", "POST", "/api/sign-up", {"workspace": "globex", "title": "x", **person("ann")})
        assert answer.status_code == 409
        assert app.items() == before

    async def test_twenty_who_want_one_name_at_once(self, app: Saas) -> None:
        answers = await at_once(
            *(
                app.ask("", "POST", "/api/sign-up", {"workspace": "acme", "title": "x", **person(f"p{n}")})
                for n in range(20)
            )
        )
        assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 19}
        assert len(app.items()) == 8

    async def test_one_address_may_be_in_two_workspaces_and_passwords_are_not_mixed_up(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        new = {"workspace": "globex", "title": "Globex", **person("ann"), "password": "another password"}
        assert (await app.ask("", "POST", "/api/sign-up", new)).status_code == 201
        given = {"workspace": "globex", "email": "ann@example.com", "password": PASSWORD}
        assert (await app.ask("", "POST", "/api/sign-in", given)).status_code == 401
        given["password"] = "another password"
        assert (await app.ask("", "POST", "/api/sign-in", given)).status_code == 200

    @pytest.mark.parametrize(
        "change",
        [{"workspace": "nobody"}, {"email": "eve@example.com"}, {"email": ""}, {"password": "wrong password"}],
    )
    async def test_what_of_it_was_wrong_is_not_told(self, app: Saas, change: dict[str, str]) -> None:
        await app.sign_up("ann", "acme")
        given = {"workspace": "acme", "email": "ann@example.com", "password": PASSWORD, **change}
        answer = await app.ask("", "POST", "/api/sign-in", given)
        assert answer.status_code == 401
        assert answer.json()["detail"] == "Workspace, e-mail address or password is wrong."

    async def test_an_address_that_nobody_has_takes_as_long_as_a_wrong_password(
        self, app: Saas, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await app.sign_up("ann", "acme")
        hashed = []
        digest = passwords._digest

        def noted(password: str, salt: bytes, *cost: int) -> bytes:
            hashed.append(cost)
            return digest(password, salt, *cost)

        monkeypatch.setattr(passwords, "_digest", noted)
        for change in ({}, {"email": "eve@example.com"}, {"workspace": "nobody"}, {"email": ""}):
            given = {"workspace": "acme", "email": "ann@example.com", "password": "wrong password", **change}
            assert (await app.ask("", "POST", "/api/sign-in", given)).status_code == 401
        assert hashed == [(2, 8, 1)] * 4

    async def test_an_address_is_one_whatever_its_case(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        given = {"workspace": "acme", "email": "ANN@Example.com", "password": PASSWORD}
        assert (await app.ask("", "POST", "/api/sign-in", given)).status_code == 200
        other = {**person("ann"), "email": "Ann@EXAMPLE.com"}
        assert (await app.ask("ann", "POST", "/api/users", other)).status_code == 409

    @pytest.mark.parametrize(
        ("fields", "where"),
        [
            ({"workspace": "Acme"}, "workspace"),
            ({"workspace": "a#b"}, "workspace"),
            ({"workspace": "@acme"}, "workspace"),
            ({"email": "nobody"}, "email"),
            ({"password": "short"}, "password"),
            ({"plan": "gold"}, "plan"),
            ({"role": "admin"}, "role"),
            ({"title": " "}, "title"),
        ],
    )
    async def test_what_is_not_valid_is_refused_by_name(self, app: Saas, fields: dict[str, str], where: str) -> None:
        new = {"workspace": "acme", "title": "Acme", **person("ann"), **fields}
        answer = await app.ask("", "POST", "/api/sign-up", new)
        assert answer.status_code == 422
        assert [error["where"] for error in answer.json()["errors"]] == [where]
        assert new["password"] not in answer.text
        assert app.items() == []

    async def test_a_password_is_stored_as_a_hash_and_shown_to_nobody(self, app: Saas) -> None:
        await app.seed()
        hashes = {item["password"]["S"] for item in app.items() if "password" in item}
        assert len(hashes) == 4
        assert all(value.startswith("scrypt$") for value in hashes)
        assert PASSWORD not in json.dumps(app.items())
        for path in ("/api/users", "/api/me", "/api/export", "/api/activity", f"/api/users/{app.users['bob']}"):
            assert "scrypt" not in (await app.ask("ann", "GET", path)).text

    async def test_a_body_that_is_too_long_is_not_read_to_its_end(self, app: Saas) -> None:
        answer = await app.ask("", "POST", "/api/sign-up", {"title": "x" * 100_000})
        assert answer.status_code == 413

    async def test_health(self, app: Saas) -> None:
        for path in ("/live", "/ready"):
            assert (await app.ask("", "GET", path)).json() == {"status": "ok"}

    async def test_what_is_not_there_at_all(self, app: Saas) -> None:
        assert (await app.ask("", "GET", "/nothing")).status_code == 404
        assert (await app.ask("", "GET", "/api/nothing")).status_code == 401
        await app.sign_up("ann", "acme")
        assert (await app.ask("ann", "GET", "/api/nothing")).status_code == 404
        assert (await app.ask("ann", "PUT", "/api/projects")).status_code == 405


TASK = "/api/projects/{project}/tasks/{task}"
USER = "/api/users/{other}"
ROUTES: list[tuple[str, str, Any, str]] = [
    ("GET", "/api/workspace", None, "read"),
    ("GET", "/api/usage", None, "read"),
    ("GET", "/api/users", None, "read"),
    ("GET", USER, None, "read"),
    ("GET", "/api/me", None, "read"),
    ("PUT", "/api/me/password", {"current": PASSWORD, "new": "another password"}, "read"),
    ("GET", "/api/projects", None, "read"),
    ("GET", "/api/projects/{project}", None, "read"),
    ("GET", "/api/projects/{project}/tasks", None, "read"),
    ("GET", TASK, None, "read"),
    ("GET", f"{TASK}/activity", None, "read"),
    ("GET", "/api/tasks?due_by=2030-01-01", None, "read"),
    ("GET", "/api/activity", None, "read"),
    ("POST", "/api/projects", {"name": "Another"}, "write"),
    ("PATCH", "/api/projects/{project}", {"name": "Renamed"}, "write"),
    ("DELETE", "/api/projects/{empty}", None, "write"),
    ("POST", "/api/projects/{project}/tasks", {"title": "Another"}, "write"),
    ("PATCH", TASK, {"status": "done"}, "write"),
    ("DELETE", TASK, None, "write"),
    ("PATCH", "/api/workspace", {"title": "Renamed"}, "admin"),
    ("GET", "/api/export", None, "admin"),
    ("DELETE", "/api/workspace", None, "admin"),
    ("POST", "/api/users", person("eve"), "admin"),
    ("PATCH", USER, {"name": "Renamed"}, "admin"),
    ("DELETE", USER, None, "admin"),
]
MAY = {"admin": ("read", "write", "admin"), "member": ("read", "write"), "viewer": ("read",)}


class TestRoles:
    def test_every_route_is_in_the_table(self, app: Saas) -> None:
        from examples.multi_tenant_saas.saas.api import people, projects, tasks, workspace

        routes = [*workspace.routes, *people.routes, *projects.routes, *tasks.routes]
        there = {(method, len(f"/api{route.path}".split("/"))) for route in routes for method in route.methods or ()}
        listed = Counter((method, len(path.partition("?")[0].split("/"))) for method, path, _, _ in ROUTES)
        assert len(ROUTES) == len(routes) + 2  # and the export and the end of a workspace, which stand in the app
        assert {entry for entry in there if entry[0] != "HEAD"} <= set(listed)

    @pytest.mark.parametrize("who", ["ann", "bob", "vic", "nobody"])
    @pytest.mark.parametrize(("method", "path", "body", "needs"), ROUTES, ids=[f"{m} {p}" for m, p, _, _ in ROUTES])
    async def test_who_may_do_what(self, app: Saas, method: str, path: str, body: Any, needs: str, who: str) -> None:
        await app.seed()
        await app.add("ann", "dan", "acme", "member")
        project, empty = await app.project("ann"), await app.project("ann", "Empty")
        task = (await app.task("ann", project, due="2027-01-01")).json()["id"]
        where = path.format(project=project, empty=empty, task=task, other=app.users["dan"])
        before = app.items()
        headers = {"If-Match": "*"} if method in ("PATCH", "DELETE") else {}
        answer = await app.ask("" if who == "nobody" else who, method, where, body, headers)
        allowed = who != "nobody" and needs in MAY[PEOPLE[who][1]]
        if allowed:
            assert answer.status_code in (200, 201, 204), answer.text
            after = [item for item in app.items() if item["sk"]["S"] != "SLOTS#exports"]
            assert (after != before) == (method != "GET")
        else:
            assert answer.status_code == (401 if who == "nobody" else 403)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert app.items() == before

    async def test_a_token_is_good_for_what_was_asked_for_and_no_more(self, app: Saas) -> None:
        await app.seed()
        await app.sign_in("ann", "acme", "read")
        assert (await app.ask("ann", "GET", "/api/projects")).status_code == 200
        assert (await app.ask("ann", "POST", "/api/projects", {"name": "x"})).status_code == 403
        assert (await app.ask("ann", "DELETE", "/api/workspace", headers={"If-Match": "*"})).status_code == 403
        await app.sign_in("vic", "acme", "read write admin")
        assert (await app.ask("vic", "POST", "/api/projects", {"name": "x"})).status_code == 403


class TestWorkspace:
    async def test_it_is_shown_with_its_version(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        answer = await app.ask("ann", "GET", "/api/workspace")
        assert (answer.json()["name"], answer.json()["plan"], answer.headers["etag"]) == ("acme", "free", '"1"')
        assert (await app.ask("ann", "GET", "/api/workspace", headers={"If-None-Match": '"1"'})).status_code == 304

    async def test_a_larger_plan_allows_more_and_a_smaller_one_must_be_enough(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        for name in "ab":
            await app.project("ann", name)
        refused = await app.ask("ann", "POST", "/api/projects", {"name": "c"})
        assert (refused.status_code, refused.json()["what"], refused.json()["limit"]) == (409, "projects", 2)
        assert refused.json()["title"] == "Plan limit reached"
        changed = await app.ask("ann", "PATCH", "/api/workspace", {"plan": "pro"}, {"If-Match": '"1"'})
        assert (changed.status_code, changed.json()["plan"], changed.headers["etag"]) == (200, "pro", '"2"')
        await app.project("ann", "c")
        before = app.items()
        back = await app.ask("ann", "PATCH", "/api/workspace", {"plan": "free"}, {"If-Match": '"2"'})
        assert (back.status_code, back.json()["detail"]) == (409, "The plan free allows 2 projects, and there are 3.")
        assert app.items() == before
        await app.ask("ann", "PATCH", "/api/workspace", {"plan": "enterprise"}, {"If-Match": '"2"'})
        assert (await app.ask("ann", "GET", "/api/usage")).json()["projects"] == {"used": 3, "limit": None}


class TestLimits:
    async def test_fifty_tasks_at_once_are_exactly_as_many_as_the_plan_allows(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        board = f"/api/projects/{await app.project('ann')}/tasks"
        answers = await at_once(*(app.ask("ann", "POST", board, {"title": f"Task {n}"}) for n in range(50)))
        assert Counter(answer.status_code for answer in answers) == {201: 25, 409: 25}
        listed = (await app.ask("ann", "GET", f"{board}?limit=100")).json()["items"]
        created = [a for a in app.items() if a.get("verb") == {"S": "created"} and a["kind"] == {"S": "task"}]
        assert len(listed) == len(created) == await app.used("ann", "tasks") == 25

    async def test_projects_and_users_too(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        projects = await at_once(*(app.ask("ann", "POST", "/api/projects", {"name": f"{n}"}) for n in range(20)))
        users = await at_once(*(app.ask("ann", "POST", "/api/users", person(f"p{n}")) for n in range(20)))
        assert Counter(answer.status_code for answer in projects) == {201: 2, 409: 18}
        assert Counter(answer.status_code for answer in users) == {201: 2, 409: 18}  # ann is the third
        assert (await app.used("ann", "projects"), await app.used("ann", "users")) == (2, 3)

    async def test_what_is_deleted_makes_room(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        await app.project("ann")
        project = await app.project("ann")
        assert (await app.ask("ann", "POST", "/api/projects", {"name": "x"})).status_code == 409
        assert (
            await app.ask("ann", "DELETE", f"/api/projects/{project}", headers={"If-Match": "*"})
        ).status_code == 204
        await app.project("ann")

    async def test_a_project_with_tasks_stays(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        project = await app.project("ann")
        await app.task("ann", project)
        before = app.items()
        answer = await app.ask("ann", "DELETE", f"/api/projects/{project}", headers={"If-Match": "*"})
        assert (answer.status_code, answer.json()["detail"]) == (409, "The project has tasks; delete them first.")
        assert app.items() == before

    @pytest.mark.parametrize("place", range(6))
    async def test_no_task_is_left_without_its_project(self, app: Saas, place: int) -> None:
        await app.sign_up("ann", "acme")
        project = await app.project("ann")
        requests = [app.ask("ann", "POST", f"/api/projects/{project}/tasks", {"title": "x"}) for _ in range(5)]
        requests.insert(place, app.ask("ann", "DELETE", f"/api/projects/{project}", headers={"If-Match": "*"}))
        answers = await at_once(*requests)
        deleted = answers.pop(place).status_code == 204
        tasks = [item for item in app.items() if item["sk"]["S"].startswith("TASK#")]
        there = [item for item in app.items() if item["sk"]["S"] == f"PROJECT#{project}"]
        assert len(tasks) == sum(answer.status_code == 201 for answer in answers) == await app.used("ann", "tasks")
        assert bool(there) != deleted
        assert there or not tasks

    async def test_the_last_admin_stays(self, app: Saas) -> None:
        await app.seed()
        ann = f"/api/users/{app.users['ann']}"
        for method, body in (("DELETE", None), ("PATCH", {"role": "viewer"})):
            answer = await app.ask("ann", method, ann, body, {"If-Match": "*"})
            assert (answer.status_code, answer.json()["detail"]) == (409, "A workspace keeps at least one admin.")
        await app.ask("ann", "PATCH", f"/api/users/{app.users['bob']}", {"role": "admin"}, {"If-Match": "*"})
        answers = await at_once(
            *(
                app.ask("ann", "DELETE", f"/api/users/{app.users[who]}", headers={"If-Match": "*"})
                for who in ("ann", "bob")
            )
        )
        assert sorted(answer.status_code for answer in answers) == [204, 409]
        assert await app.used("vic", "admins") == 1


class TestPeople:
    async def test_a_user_is_added_listed_changed_and_removed(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        new = await app.ask("ann", "POST", "/api/users", {**person("bob"), "role": "viewer"})
        where = new.headers["location"]
        assert new.json() == (await app.ask("ann", "GET", where)).json()
        listed = (await app.ask("ann", "GET", "/api/users")).json()["items"]
        assert [user["name"] for user in listed] == ["Ann", "Bob"]
        changed = await app.ask("ann", "PATCH", where, {"email": "Robert@example.com"}, {"If-Match": '"1"'})
        assert changed.json()["email"] == "robert@example.com"
        await app.add("ann", "bob", "acme", "member")  # the address is free again
        taken = await app.ask("ann", "PATCH", where, {"email": "bob@example.com"}, {"If-Match": '"2"'})
        assert taken.status_code == 409
        assert (await app.ask("ann", "DELETE", where, headers={"If-Match": '"2"'})).status_code == 204
        assert (await app.ask("ann", "GET", where)).status_code == 404

    async def test_an_address_that_is_taken_writes_nothing(self, app: Saas) -> None:
        await app.seed()
        before = app.items()
        assert (await app.ask("ann", "POST", "/api/users", person("bob"))).status_code == 409
        assert app.items() == before

    async def test_a_role_counts_from_the_next_token_on(self, app: Saas) -> None:
        await app.seed()
        bob = f"/api/users/{app.users['bob']}"
        assert (await app.ask("ann", "PATCH", bob, {"role": "viewer"}, {"If-Match": '"1"'})).json()["role"] == "viewer"
        assert (await app.ask("bob", "POST", "/api/projects", {"name": "x"})).status_code == 201
        await app.sign_in("bob", "acme")
        assert (await app.ask("bob", "POST", "/api/projects", {"name": "x"})).status_code == 403

    async def test_ones_own_password(self, app: Saas) -> None:
        await app.seed()
        change = {"current": "a wrong password", "new": "another password"}
        assert (await app.ask("vic", "PUT", "/api/me/password", change)).status_code == 403
        assert (await app.ask("vic", "PUT", "/api/me/password", {**change, "current": PASSWORD})).status_code == 204
        given = {"workspace": "acme", "email": "vic@example.com", "password": PASSWORD}
        assert (await app.ask("", "POST", "/api/sign-in", given)).status_code == 401
        assert (await app.ask("", "POST", "/api/sign-in", {**given, "password": change["new"]})).status_code == 200
        assert (await app.ask("vic", "GET", "/api/me")).json()["version"] == 2

    async def test_a_user_who_was_removed_is_nobody(self, app: Saas) -> None:
        await app.seed()
        await app.ask("ann", "DELETE", f"/api/users/{app.users['vic']}", headers={"If-Match": "*"})
        assert (await app.ask("vic", "GET", "/api/me")).status_code == 404


class TestTasks:
    async def test_a_task_is_created_changed_and_deleted(self, app: Saas) -> None:
        await app.seed()
        project = await app.project("bob")
        new = await app.task("bob", project, priority=1, assignee=app.users["vic"], due="2027-02-03")
        where, task = new.headers["location"], new.json()
        assert where == f"/api/projects/{project}/tasks/{task['id']}"
        assert (task["status"], task["assignee"], task["due"]) == ("todo", app.users["vic"], "2027-02-03")
        assert (await app.ask("vic", "GET", where)).json() == task
        change = {"title": "Land", "assignee": None, "due": None}
        changed = await app.ask("bob", "PATCH", where, change, {"If-Match": '"1"'})
        assert changed.headers["etag"] == '"2"'
        assert (changed.json()["title"], changed.json()["assignee"], changed.json()["due"]) == ("Land", None, None)
        assert changed.json()["status"] == "todo"
        assert (await app.ask("bob", "DELETE", where, headers={"If-Match": '"2"'})).status_code == 204
        assert (await app.ask("bob", "GET", where)).status_code == 404
        assert await app.used("bob", "tasks") == 0

    @pytest.mark.parametrize(
        ("fields", "where"),
        [
            ({"title": ""}, "title"),
            ({"title": "x" * 201}, "title"),
            ({"status": "gone"}, "status"),
            ({"priority": 5}, "priority"),
            ({"due": "tomorrow"}, "due"),
            ({"project": MISSING}, "project"),
            ({"tenant": "globex"}, "tenant"),
            ({"version": 7}, "version"),
        ],
    )
    async def test_what_is_not_valid_is_refused_by_name(self, app: Saas, fields: dict[str, Any], where: str) -> None:
        await app.sign_up("ann", "acme")
        project = await app.project("ann")
        task = (await app.task("ann", project)).headers["location"]
        for method, path in (("POST", f"/api/projects/{project}/tasks"), ("PATCH", task)):
            body = {"title": "x", **fields} if method == "POST" else fields
            answer = await app.ask("ann", method, path, body, {"If-Match": "*"})
            assert answer.status_code == 422
            assert [error["where"] for error in answer.json()["errors"]] == [where]

    async def test_it_is_assigned_to_someone_who_is_there(self, app: Saas) -> None:
        await app.seed()
        project = await app.project("ann")
        for someone in (MISSING, app.users["gil"]):
            body = {"title": "x", "assignee": someone}
            assert (await app.ask("ann", "POST", f"/api/projects/{project}/tasks", body)).status_code == 422

    async def test_a_project_must_be_there(self, app: Saas) -> None:
        await app.seed()
        for method, path, body in (
            ("POST", f"/api/projects/{MISSING}/tasks", {"title": "x"}),
            ("GET", f"/api/projects/{MISSING}/tasks", None),
        ):
            assert (await app.ask("ann", method, path, body)).status_code == 404

    async def test_lists_by_column_by_assignee_and_by_day(self, app: Saas) -> None:
        await app.seed()
        project = await app.project("ann")
        for title, status, priority, assignee, due in (
            ("a", "todo", 3, "bob", "2027-01-03"),
            ("b", "todo", 1, "bob", "2027-01-01"),
            ("c", "todo", 2, None, None),
            ("d", "done", 1, "bob", "2027-01-02"),
            ("e", "doing", 1, "vic", "2027-02-01"),
        ):
            fields = {"title": title, "status": status, "priority": priority, "due": due}
            await app.task("ann", project, assignee=app.users[assignee] if assignee else None, **fields)
        board = f"/api/projects/{project}/tasks"
        for path, expected in (
            (board, "abcde"),
            (f"{board}?status=todo", "bca"),
            (f"{board}?status=done", "d"),
            (f"/api/tasks?assignee={app.users['bob']}", "dab"),
            (f"/api/tasks?assignee={app.users['bob']}&status=todo", "ab"),
            ("/api/tasks?due_by=2027-01-31", "ba"),
            ("/api/tasks?due_by=2027-02-01", "bae"),
        ):
            page = (await app.ask("vic", "GET", path)).json()
            assert "".join(task["title"] for task in page["items"]) == expected, path
            assert page["cursor"] is None
        for path in (
            "/api/tasks",
            "/api/tasks?due_by=soon",
            f"{board}?status=x",
            f"{board}?limit=0",
            f"{board}?limit=x",
        ):
            assert (await app.ask("vic", "GET", path)).status_code == 422, path

    async def test_pages_hold_each_item_once(self, app: Saas) -> None:
        await app.seed()
        project = await app.project("ann")
        for n in range(7):
            await app.task("ann", project, title=str(n), priority=1 + n % 2)
        path, found = f"/api/projects/{project}/tasks?status=todo&limit=3", ""
        sizes, cursor = [], ""
        while True:
            page = (await app.ask("ann", "GET", path + cursor)).json()
            found += "".join(task["title"] for task in page["items"])
            sizes.append(len(page["items"]))
            if page["cursor"] is None:
                break
            cursor = f"&cursor={page['cursor']}"
        assert (found, sizes) == ("0246135", [3, 3, 1])

    async def test_a_cursor_is_good_for_its_tenant_and_its_query(self, app: Saas) -> None:
        await app.seed()
        cursor = (await app.ask("ann", "GET", "/api/activity?limit=1")).json()["cursor"]
        assert (await app.ask("ann", "GET", f"/api/activity?cursor={cursor}")).status_code == 200
        assert (await app.ask("gil", "GET", f"/api/activity?cursor={cursor}")).status_code == 400
        assert (await app.ask("ann", "GET", f"/api/users?cursor={cursor}")).status_code == 400
        assert (await app.ask("ann", "GET", f"/api/activity?cursor={cursor[:-4]}AAAA")).status_code == 400


class TestVersions:
    @pytest.mark.parametrize("header", ['"1"', 'W/"1"', '"7", "1"', "*"])
    async def test_what_the_client_has_is_not_sent_again(self, app: Saas, header: str) -> None:
        await app.sign_up("ann", "acme")
        task = await app.task("ann", await app.project("ann"))
        answer = await app.ask("ann", "GET", task.headers["location"], headers={"If-None-Match": header})
        assert (answer.status_code, answer.headers["etag"], answer.content) == (304, '"1"', b"")

    @pytest.mark.parametrize(
        ("header", "status"), [(None, 428), ('"2"', 412), ('W/"1"', 412), ("1", 412), ("", 412), ('"1"', 200)]
    )
    async def test_a_change_is_to_a_version(self, app: Saas, header: str | None, status: int) -> None:
        await app.sign_up("ann", "acme")
        project = await app.project("ann")
        task = (await app.task("ann", project)).headers["location"]
        headers = {} if header is None else {"If-Match": header}
        for path, change in (
            ("/api/workspace", {"title": "x"}),
            (f"/api/users/{app.users['ann']}", {"name": "x"}),
            (f"/api/projects/{project}", {"name": "x"}),
            (task, {"title": "x"}),
        ):
            before = app.items()
            answer = await app.ask("ann", "PATCH", path, change, headers)
            assert answer.status_code == status, path
            assert (app.items() == before) == (status != 200)
            if status != 200:
                assert (await app.ask("ann", "DELETE", path, headers=headers)).status_code == status, path

    async def test_of_twenty_writers_with_one_version_one_wins(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        task = (await app.task("ann", await app.project("ann"))).headers["location"]
        answers = await at_once(
            *(app.ask("ann", "PATCH", task, {"title": f"{n}"}, {"If-Match": '"1"'}) for n in range(20))
        )
        statuses = Counter(answer.status_code for answer in answers)
        assert statuses[200] == 1
        assert statuses[409] + statuses[412] == 19
        (winner,) = [answer.json() for answer in answers if answer.status_code == 200]
        assert (await app.ask("ann", "GET", task)).json() == winner
        assert len((await app.ask("ann", "GET", f"{task}/activity")).json()["items"]) == 2

    async def test_a_change_of_nothing_is_none(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        task = await app.task("ann", await app.project("ann"))
        before = app.items()
        for change in ({}, {"status": "todo"}):
            answer = await app.ask("ann", "PATCH", task.headers["location"], change, {"If-Match": '"1"'})
            assert (answer.status_code, answer.json()) == (200, task.json())
        assert app.items() == before


class TestIdempotency:
    async def test_fifty_times_at_once_is_once(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        board = f"/api/projects/{await app.project('ann')}/tasks"
        headers = {"Idempotency-Key": '"k"'}
        answers = await at_once(*(app.ask("ann", "POST", board, {"title": "x"}, headers) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
        assert len({answer.headers["location"] for answer in answers}) == 1
        assert sum("idempotent-replayed" in answer.headers for answer in answers) == 49
        assert await app.used("ann", "tasks") == 1

    async def test_a_key_belongs_to_its_request_its_user_and_its_tenant(self, app: Saas) -> None:
        await app.seed()
        headers = {"Idempotency-Key": '"k"'}
        assert (await app.ask("ann", "POST", "/api/projects", {"name": "a"}, headers)).status_code == 201
        assert (await app.ask("ann", "POST", "/api/projects", {"name": "b"}, headers)).status_code == 422
        for who in ("bob", "gil"):
            answer = await app.ask(who, "POST", "/api/projects", {"name": "a"}, headers)
            assert "idempotent-replayed" not in answer.headers
            assert answer.status_code == 201
        assert (await app.used("ann", "projects"), await app.used("gil", "projects")) == (2, 1)

    async def test_what_was_refused_for_its_time_can_be_tried_again(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        for _ in range(2):
            project = await app.project("ann")
        headers = {"Idempotency-Key": '"k"'}
        assert (await app.ask("ann", "POST", "/api/projects", {"name": "x"}, headers)).status_code == 409
        await app.ask("ann", "DELETE", f"/api/projects/{project}", headers={"If-Match": "*"})
        assert (await app.ask("ann", "POST", "/api/projects", {"name": "x"}, headers)).status_code == 201


class TestActivity:
    async def test_it_tells_who_did_what_and_what_changed(self, app: Saas) -> None:
        await app.seed()
        project = await app.project("bob")
        task = await app.task("bob", project)
        where = task.headers["location"]
        await app.ask("ann", "PATCH", where, {"status": "doing"}, {"If-Match": "*"})
        await app.ask("bob", "PATCH", where, {"assignee": app.users["vic"], "priority": 3}, {"If-Match": "*"})
        await app.ask("ann", "DELETE", where, headers={"If-Match": "*"})
        feed = (await app.ask("vic", "GET", "/api/activity")).json()["items"]
        told = [(a["actor_name"], a["verb"], a["kind"], a["before"], a["after"]) for a in feed]
        assert told == [
            ("Ann", "deleted", "task", {}, {}),
            ("Bob", "assigned", "task", {"assignee": None}, {"assignee": app.users["vic"]}),
            ("Ann", "moved", "task", {"status": "todo"}, {"status": "doing"}),
            ("Bob", "created", "task", {}, {"project": project, "status": "todo"}),
            ("Bob", "created", "project", {}, {}),
            ("Ann", "added", "user", {}, {"role": "viewer", "email": "vic@example.com"}),
            ("Ann", "added", "user", {}, {"role": "member", "email": "bob@example.com"}),
            ("Ann", "signed up", "workspace", {}, {"plan": "pro"}),
        ]
        assert [a["subject"] for a in feed[:4]] == [task.json()["id"]] * 4
        assert all(a["actor"] == app.users[a["actor_name"].lower()] for a in feed)
        ages = [datetime.now(UTC) - datetime.fromisoformat(a["at"]) for a in feed]
        assert timedelta() <= min(ages) < max(ages) < timedelta(minutes=1)

    async def test_each_change_and_its_activity_are_one_transaction(self, app: Saas) -> None:
        await app.seed()
        project = await app.project("ann")
        task = (await app.task("ann", project)).headers["location"]
        for method, path, body in (
            ("PATCH", "/api/workspace", {"title": "x"}),
            ("POST", "/api/users", person("eve")),
            ("PATCH", f"/api/users/{app.users['bob']}", {"name": "x"}),
            ("PUT", "/api/me/password", {"current": PASSWORD, "new": "another password"}),
            ("DELETE", f"/api/users/{app.users['bob']}", None),
            ("POST", "/api/projects", {"name": "x"}),
            ("PATCH", f"/api/projects/{project}", {"name": "x"}),
            ("POST", f"/api/projects/{project}/tasks", {"title": "x"}),
            ("PATCH", task, {"title": "x"}),
            ("DELETE", task, None),
        ):
            app.spy.sent.clear()
            await app.ask("ann", method, path, body, {"If-Match": "*"})
            writes = [(op, p) for op, p in app.spy.sent if op.endswith(("eItem", "tItem", "WriteItems"))]
            ((operation, payload),) = [w for w in writes if w[0] != "GetItem"]
            assert operation == "TransactWriteItems", path
            puts = [entry["Put"]["Item"]["pk"]["S"] for entry in payload["TransactItems"] if "Put" in entry]
            assert puts.count("@acme#ACTIVITY") == 1, path
