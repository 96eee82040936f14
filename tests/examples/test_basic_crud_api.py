from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from lift_dynamorm import Database
from lift_dynamorm.transport.local import LocalTransport
from tests.wire import ValidatingTransport

from .ways import IN_PROCESS, WAYS, Ask, Reply, Spy, User, create_app, embedded, under_uvicorn


@pytest.fixture(scope="module", params=list(WAYS.values()), ids=list(WAYS))
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    with request.param() as way:
        yield way


def unique() -> str:
    return f"t{uuid4().hex[:12]}"


def new_user(**fields: Any) -> dict[str, Any]:
    return {"id": unique(), "email": "ann@example.com", "name": "Ann", "team": unique(), **fields}


def create(ask: Ask, **fields: Any) -> tuple[str, Reply]:
    """Create a user; gives its path and the answer."""
    reply = ask("POST", "/users", new_user(**fields))
    assert reply.status == 201, reply
    return reply.headers["location"], reply


def batches(items: list[str], size: int) -> list[list[str]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


class TestCreate:
    def test_a_created_user_is_where_the_answer_says(self, ask: Ask) -> None:
        given = new_user(joined="2026-01-05T09:00:00Z", tags=list("hbgfeadc"))
        created = ask("POST", "/users", given)
        assert created.status == 201
        assert created.headers["content-type"] == "application/json"
        assert created.headers["location"] == f"/users/{given['id']}"
        assert created.etag == '"1"'
        user = created.json()
        times = {name: datetime.fromisoformat(user.pop(name)) for name in ("created_at", "updated_at")}
        assert user == {**given, "tags": list("abcdefgh"), "version": 1}
        assert times["created_at"] == times["updated_at"]
        assert times["created_at"].tzinfo is not None
        read = ask("GET", created.headers["location"])
        assert (read.status, read.etag, read.body) == (200, created.etag, created.body)

    def test_what_is_left_out_is_filled_in(self, ask: Ask) -> None:
        before = datetime.now(UTC)
        first, second = (
            ask("POST", "/users", {"email": "ann@example.com", "name": "Ann", "team": "core"}).json() for _ in "12"
        )
        assert first["id"] != second["id"]
        assert first["tags"] == []
        assert before <= datetime.fromisoformat(first["joined"]) <= datetime.now(UTC)
        assert ask("GET", f"/users/{first['id']}").json() == first

    def test_an_instant_is_utc_whatever_its_offset_was(self, ask: Ask) -> None:
        where, created = create(ask, joined="2026-01-05T01:00:00+09:00")
        assert created.json()["joined"] == "2026-01-04T16:00:00Z"
        assert ask("GET", where).body == created.body

    def test_text_is_not_only_ascii(self, ask: Ask) -> None:
        where, created = create(ask, name="  Zoë 李 \U0001f600 ", tags=["é"])
        assert created.json()["name"] == "Zoë 李 \U0001f600"
        assert ask("GET", where).json()["tags"] == ["é"]

    def test_an_id_that_is_taken_is_a_conflict_and_changes_nothing(self, ask: Ask) -> None:
        where, created = create(ask, name="First")
        again = ask("POST", "/users", new_user(id=created.json()["id"], name="Second"))
        assert again.status == 409
        assert again.problem()["title"] == "Conflict"
        assert "location" not in again.headers
        assert "etag" not in again.headers
        assert ask("GET", where).body == created.body

    @pytest.mark.parametrize(
        ("fields", "where"),
        [
            ({"email": "nobody"}, "body.email"),
            ({"name": " "}, "body.name"),
            ({"team": "Core Team"}, "body.team"),
            ({"team": ""}, "body.team"),
            ({"joined": "2026-01-05T09:00:00"}, "body.joined"),
            ({"tags": [""]}, "body.tags.0"),
            ({"tags": [str(n) for n in range(21)]}, "body.tags"),
            ({"id": "a/b"}, "body.id"),
            ({"id": "a#b"}, "body.id"),
            ({"version": 7}, "body.version"),
            ({"admin": True}, "body.admin"),
        ],
    )
    def test_what_is_not_valid_is_refused_by_name(self, ask: Ask, fields: dict[str, Any], where: str) -> None:
        given = new_user(**fields)
        reply = ask("POST", "/users", given)
        assert reply.status == 422
        assert [error["where"] for error in reply.problem()["errors"]] == [where]
        if "id" not in fields:
            assert ask("GET", f"/users/{given['id']}").status == 404

    def test_a_body_that_is_no_json_is_refused(self, ask: Ask) -> None:
        assert ask("POST", "/users", "a text").status == 422
        assert ask("POST", "/users").problem()["errors"][0]["where"] == "body"


class TestRead:
    @pytest.mark.parametrize("header", ['"1"', 'W/"1"', '"7", "1"', "*"])
    def test_what_the_client_has_is_not_sent_again(self, ask: Ask, header: str) -> None:
        where, _ = create(ask)
        reply = ask("GET", where, headers={"If-None-Match": header})
        assert (reply.status, reply.etag, reply.body) == (304, '"1"', b"")

    @pytest.mark.parametrize("header", ['"2"', "1", '"11"', 'W/"0"'])
    def test_what_the_client_does_not_have_is_sent(self, ask: Ask, header: str) -> None:
        where, created = create(ask)
        reply = ask("GET", where, headers={"If-None-Match": header})
        assert (reply.status, reply.body) == (200, created.body)

    @pytest.mark.parametrize("name", ["nobody", "a%23b", "PROFILE", "%40acme", "x" * 3000])
    def test_a_user_that_is_not_there(self, ask: Ask, name: str) -> None:
        reply = ask("GET", f"/users/{name}")
        assert reply.status == (422 if len(name) > 2048 else 404)
        reply.problem()


class TestChange:
    def test_a_change_needs_the_version_it_is_made_to(self, ask: Ask) -> None:
        where, created = create(ask)
        refused = ask("PATCH", where, {"name": "Other"})
        assert refused.status == 428
        assert "If-Match" in refused.problem()["detail"]
        assert ask("GET", where).body == created.body

    @pytest.mark.parametrize("header", ['"1"', '"7", "1"', "*"])
    def test_only_what_is_given_changes(self, ask: Ask, header: str) -> None:
        where, created = create(ask, tags=["a"])
        changed = ask("PATCH", where, {"name": "Ann Lee"}, headers={"If-Match": header})
        assert (changed.status, changed.etag) == (200, '"2"')
        before, after = created.json(), changed.json()
        assert after.pop("updated_at") > before.pop("updated_at")
        assert after == {**before, "name": "Ann Lee", "version": 2}
        assert ask("GET", where).body == changed.body

    @pytest.mark.parametrize("header", ['"2"', 'W/"1"', "1", '"0"', ""])
    def test_another_version_is_refused(self, ask: Ask, header: str) -> None:
        where, created = create(ask)
        reply = ask("PATCH", where, {"name": "Other"}, headers={"If-Match": header})
        assert reply.status == 412
        assert created.etag in reply.problem()["detail"]
        assert ask("GET", where).body == created.body

    def test_the_second_of_two_writers_with_one_version_is_refused(self, ask: Ask) -> None:
        where, created = create(ask)
        first = ask("PATCH", where, {"name": "First"}, headers={"If-Match": created.etag})
        second = ask("PATCH", where, {"tags": ["second"]}, headers={"If-Match": created.etag})
        assert (first.status, second.status) == (200, 412)
        assert ask("GET", where).body == first.body
        assert ask("PATCH", where, {"tags": ["second"]}, headers={"If-Match": first.etag}).etag == '"3"'
        assert (ask("GET", where).json()["name"], ask("GET", where).json()["tags"]) == ("First", ["second"])

    def test_tags_are_replaced_and_removed(self, ask: Ask) -> None:
        where, _ = create(ask, tags=["a", "b"])
        assert ask("PATCH", where, {"tags": ["c"]}, headers={"If-Match": "*"}).json()["tags"] == ["c"]
        assert ask("PATCH", where, {"tags": []}, headers={"If-Match": "*"}).json()["tags"] == []
        assert ask("GET", where).json()["tags"] == []

    def test_a_change_of_nothing_is_none(self, ask: Ask) -> None:
        where, created = create(ask)
        reply = ask("PATCH", where, {}, headers={"If-Match": created.etag})
        assert (reply.status, reply.body) == (200, created.body)
        assert ask("GET", where).etag == created.etag

    def test_a_user_who_changes_teams_is_listed_in_the_new_one(self, ask: Ask) -> None:
        old, new = unique(), unique()
        where, created = create(ask, team=old)
        ask("PATCH", where, {"team": new}, headers={"If-Match": created.etag})
        assert ask("GET", "/users", query=[("team", old)]).json()["items"] == []
        assert ask("GET", "/users", query=[("team", new)]).json()["items"] == [ask("GET", where).json()]

    @pytest.mark.parametrize(
        ("change", "where"),
        [
            ({"name": None}, "body.name"),
            ({"email": ""}, "body.email"),
            ({"tags": None}, "body.tags"),
            ({"id": "other"}, "body.id"),
            ({"version": 9}, "body.version"),
        ],
    )
    def test_what_is_not_valid_is_refused_by_name(self, ask: Ask, change: dict[str, Any], where: str) -> None:
        path, created = create(ask)
        reply = ask("PATCH", path, change, headers={"If-Match": "*"})
        assert reply.status == 422
        assert [error["where"] for error in reply.problem()["errors"]] == [where]
        assert ask("GET", path).body == created.body

    @pytest.mark.parametrize("header", ['"1"', "*"])
    def test_a_user_that_is_not_there_is_not_made(self, ask: Ask, header: str) -> None:
        where = f"/users/{unique()}"
        assert ask("PATCH", where, {"name": "Ann"}, headers={"If-Match": header}).status == 404
        assert ask("GET", where).status == 404


class TestDelete:
    @pytest.mark.parametrize("headers", [{}, {"If-Match": '"1"'}, {"If-Match": "*"}])
    def test_a_deleted_user_is_gone(self, ask: Ask, headers: dict[str, str]) -> None:
        team = unique()
        where, _ = create(ask, team=team)
        deleted = ask("DELETE", where, headers=headers)
        assert (deleted.status, deleted.body) == (204, b"")
        assert ask("GET", where).status == 404
        assert ask("GET", "/users", query=[("team", team)]).json()["items"] == []
        again = ask("DELETE", where, headers=headers)
        assert again.status == 404
        again.problem()

    def test_another_version_is_kept(self, ask: Ask) -> None:
        where, created = create(ask)
        reply = ask("DELETE", where, headers={"If-Match": '"2"'})
        assert reply.status == 412
        reply.problem()
        assert ask("GET", where).body == created.body

    def test_an_id_may_be_used_again(self, ask: Ask) -> None:
        where, created = create(ask, tags=["old"])
        ask("DELETE", where)
        _, again = create(ask, id=created.json()["id"])
        assert again.etag == '"1"'
        assert ask("GET", where).json()["tags"] == []


@pytest.fixture(scope="module")
def team(ask: Ask) -> tuple[str, list[str]]:
    """A team of seven, two of whom joined at one instant; its name, and who joined last first."""
    name = unique()
    days = [3, 1, 6, 2, 5, 5, 4]
    ids = [create(ask, team=name, joined=f"2026-01-0{day}T09:00:00Z")[1].json()["id"] for day in days]
    create(ask)
    return name, [i for _, i in sorted(zip(days, ids, strict=True), reverse=True)]


class TestList:
    def pages(self, ask: Ask, team: str, limit: int) -> Iterator[list[dict[str, Any]]]:
        query = [("team", team), ("limit", str(limit))]
        cursor: list[tuple[str, str]] = []
        while True:
            reply = ask("GET", "/users", query=[*query, *cursor])
            assert reply.status == 200
            page = reply.json()
            yield page["items"]
            if page["cursor"] is None:
                return
            cursor = [("cursor", page["cursor"])]

    @pytest.mark.parametrize("limit", [1, 3, 6, 7, 8, 100])
    def test_pages_hold_everyone_once_and_in_order(self, ask: Ask, team: tuple[str, list[str]], limit: int) -> None:
        name, ids = team
        pages = [[user["id"] for user in page] for page in self.pages(ask, name, limit)]
        listed = list(itertools.chain(*pages))
        assert sorted(listed) == sorted(ids)
        assert [len(page) for page in pages] == [len(batch) for batch in batches(ids, limit)]
        fixed = [listed.index(i) for n, i in enumerate(ids) if n not in (1, 2)]
        assert fixed == [0, 3, 4, 5, 6]

    def test_a_listed_user_is_the_user(self, ask: Ask, team: tuple[str, list[str]]) -> None:
        (first, *_), *_ = self.pages(ask, team[0], 2)
        assert ask("GET", f"/users/{first['id']}").json() == first

    def test_a_team_without_users_is_empty(self, ask: Ask) -> None:
        reply = ask("GET", "/users", query=[("team", unique())])
        assert (reply.status, reply.json()) == (200, {"items": [], "cursor": None})

    @pytest.mark.parametrize("limit", ["0", "101", "-1", "many"])
    def test_a_limit_is_a_number_from_1_to_100(self, ask: Ask, limit: str) -> None:
        reply = ask("GET", "/users", query=[("team", "core"), ("limit", limit)])
        assert reply.status == 422
        assert reply.problem()["errors"][0]["where"] == "query.limit"

    @pytest.mark.parametrize("query", [[], [("team", "")], [("team", "No Such")]])
    def test_a_team_is_needed(self, ask: Ask, query: list[tuple[str, str]]) -> None:
        assert ask("GET", "/users", query=query).problem()["errors"][0]["where"] == "query.team"

    def test_a_cursor_is_good_for_its_own_team_and_only_as_it_is(self, ask: Ask, team: tuple[str, list[str]]) -> None:
        name, _ = team
        cursor = ask("GET", "/users", query=[("team", name), ("limit", "2")]).json()["cursor"]
        assert ask("GET", "/users", query=[("team", name), ("cursor", cursor)]).status == 200
        changed = cursor[:8] + ("A" if cursor[8] != "A" else "B") + cursor[9:]
        for query in ([("team", unique()), ("cursor", cursor)], [("team", name), ("cursor", changed)]):
            reply = ask("GET", "/users", query=query)
            assert reply.status == 400
            assert "cursor" in reply.problem()["detail"]


def test_health(ask: Ask) -> None:
    assert ask("GET", "/health").json() == {"status": "ok"}
    ready = ask("GET", "/ready")
    assert (ready.status, ready.json()) == (200, {"status": "ready"})


def test_what_is_not_there_at_all(ask: Ask) -> None:
    assert ask("GET", "/nothing").problem()["status"] == 404
    reply = ask("PUT", "/users/ann")
    assert reply.problem()["status"] == 405
    assert "GET" in reply.headers["allow"]


# -- What happens between a read and its commit ------------------------------------------------------------------------


class TestARaceThatIsLost:
    @pytest.fixture
    def spy(self) -> Spy:
        return Spy(ValidatingTransport(LocalTransport()))

    @pytest.fixture
    def database(self, spy: Spy) -> Database:
        database = Database(transport=spy, timeout=0.2)
        database.sync.create_tables(User)
        return database

    @pytest.fixture(params=list(IN_PROCESS.values()), ids=list(IN_PROCESS))
    def ask(self, request: pytest.FixtureRequest, database: Database) -> Iterator[Ask]:
        with request.param(database) as way:
            yield way

    def meddle(self, database: Database, spy: Spy, **change: Any) -> None:
        """Let someone else change the user just before the next commit."""

        def change_it() -> None:
            with database.sync.session() as session:
                session.update(User, {"id": "ann"}, **change)

        spy.before["TransactWriteItems"] = change_it

    @pytest.mark.parametrize(("header", "status"), [('"1"', 412), ("*", 409)])
    def test_a_change_is_a_conflict(self, ask: Ask, database: Database, spy: Spy, header: str, status: int) -> None:
        where, _ = create(ask, id="ann")
        self.meddle(database, spy, name="Theirs")
        lost = ask("PATCH", where, {"name": "Ours"}, headers={"If-Match": header})
        assert lost.status == status
        assert "etag" not in lost.headers
        lost.problem()
        read = ask("GET", where)
        assert (read.json()["name"], read.etag) == ("Theirs", '"2"')
        assert ask("PATCH", where, {"name": "Ours"}, headers={"If-Match": read.etag}).status == 200

    def test_a_delete_is_a_conflict(self, ask: Ask, database: Database, spy: Spy) -> None:
        where, _ = create(ask, id="ann")
        self.meddle(database, spy, name="Theirs")
        assert ask("DELETE", where).problem()["status"] == 409
        assert ask("GET", where).json()["name"] == "Theirs"

    def test_without_a_meddler_nothing_is_lost(self, ask: Ask, spy: Spy) -> None:
        where, _ = create(ask, id="ann")
        assert ask("PATCH", where, {"name": "Ours"}, headers={"If-Match": "*"}).status == 200
        assert ask("DELETE", where).status == 204
        assert [operation for operation, _ in spy.sent[-2:]] == ["GetItem", "TransactWriteItems"]

    def test_health_asks_nothing_of_the_database(self, ask: Ask, spy: Spy) -> None:
        spy.sent.clear()
        assert ask("GET", "/health").status == 200
        assert spy.sent == []
        assert ask("GET", "/ready").status == 200
        assert [operation for operation, _ in spy.sent] == ["GetItem"]

    def test_a_database_that_is_busy_is_no_success(self, ask: Ask, spy: Spy) -> None:
        from lift_dynamorm.errors import Throttled

        def busy() -> None:
            spy.before["TransactWriteItems"] = busy
            raise Throttled("slow down")

        spy.before["TransactWriteItems"] = busy
        reply = ask("POST", "/users", new_user(id="ann"))
        assert reply.status == 503
        assert int(reply.headers["retry-after"]) > 0
        reply.problem()
        del spy.before["TransactWriteItems"]
        assert ask("GET", "/users/ann").status == 404


@pytest.mark.parametrize("way", list(IN_PROCESS.values()), ids=list(IN_PROCESS))
def test_without_its_table_the_app_is_alive_and_not_ready(way: Any) -> None:
    with way(Database(transport=ValidatingTransport(LocalTransport()))) as ask:
        assert ask("GET", "/health").status == 200
        reply = ask("GET", "/ready")
        assert reply.status == 503
        reply.problem()


def test_of_many_writers_at_once_one_wins() -> None:
    with under_uvicorn() as url, httpx.Client(base_url=url, timeout=30) as client, ThreadPoolExecutor(8) as threads:
        assert client.post("/users", json=new_user(id="ann")).status_code == 201

        def write(n: int) -> tuple[int, str]:
            name = f"Ann {n}"
            answer = client.patch("/users/ann", json={"name": name}, headers={"If-Match": '"1"'})
            return answer.status_code, name

        answers = list(threads.map(write, range(24)))
        winners = [name for status, name in answers if status == 200]
        assert len(winners) == 1
        assert {status for status, _ in answers} <= {200, 409, 412}
        read = client.get("/users/ann")
        assert (read.json()["name"], read.headers["etag"]) == (winners[0], '"2"')


# -- The description ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(embedded()).openapi()


class TestOpenApi:
    def operations(self, document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                yield f"{method.upper()} {path}", operation

    def test_it_is_served_with_its_documentation(self) -> None:
        with IN_PROCESS["asgi"](embedded()) as ask:
            assert ask("GET", "/openapi.json").json()["openapi"].startswith("3.1")
            assert ask("GET", "/docs").status == 200

    def test_every_operation_says_what_it_is(self, document: dict[str, Any]) -> None:
        operations = dict(self.operations(document))
        assert len({operation["operationId"] for operation in operations.values()}) == len(operations) == 7
        tags = {tag["name"] for tag in document["tags"]}
        for name, operation in operations.items():
            assert operation["description"], name
            assert set(operation["tags"]) <= tags, name
            assert all(response["description"] for response in operation["responses"].values()), name

    def test_every_reference_leads_somewhere(self, document: dict[str, Any]) -> None:
        def references(node: Any) -> Iterator[str]:
            if isinstance(node, dict):
                for name, value in node.items():
                    if name == "$ref":
                        yield value
                    yield from references(value)
            elif isinstance(node, list):
                for value in node:
                    yield from references(value)

        found = set(references(document))
        assert found
        for reference in found:
            node: Any = document
            for part in reference.removeprefix("#/").split("/"):
                node = node[part]

    def test_every_error_is_a_problem(self, document: dict[str, Any]) -> None:
        for name, operation in self.operations(document):
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    (kind,) = response["content"]
                    assert kind == "application/problem+json", (name, status)
                    schema = response["content"][kind]["schema"]
                    assert {"type", "title", "status", "detail"} <= set(schema["properties"])

    def test_the_errors_that_the_routes_answer_are_named(self, document: dict[str, Any]) -> None:
        named = {name: set(operation["responses"]) for name, operation in self.operations(document)}
        assert named == {
            "POST /users": {"201", "409", "422", "503"},
            "GET /users": {"200", "400", "422", "503"},
            "GET /users/{user_id}": {"200", "304", "404", "422", "503"},
            "PATCH /users/{user_id}": {"200", "404", "409", "412", "422", "428", "503"},
            "DELETE /users/{user_id}": {"204", "404", "409", "412", "422", "503"},
            "GET /health": {"200"},
            "GET /ready": {"200", "503"},
        }

    def test_the_stored_model_stays_inside(self, document: dict[str, Any]) -> None:
        assert "User" not in document["components"]["schemas"]
        change = document["components"]["schemas"]["UserChange"]
        assert "required" not in change
        assert all("default" not in field for field in change["properties"].values())
        assert set(document["components"]["schemas"]["NewUser"]["required"]) == {"email", "name", "team"}
