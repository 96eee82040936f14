"""`use_problems`: every error of an app has one shape, and none says more than it should."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from fastapi import HTTPException as FastAPIHTTPException
from pydantic import BaseModel, ConfigDict
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from lift_dynamorm import Database, Model, Version, VersionConflict, errors
from lift_middleware import DynamORMMiddleware
from lift_middleware.handlers import use_problems
from lift_middleware.request_id import RequestIdMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable

ERRORS: dict[str, tuple[Callable[[], Exception], int]] = {
    "http": (lambda: HTTPException(402, "Pay first.", {"x-price": "3"}), 402),
    "http-plain": (lambda: HTTPException(410), 410),
    "http-json": (lambda: FastAPIHTTPException(422, {"why": ["a", 1]}), 422),
    "not-found": (lambda: errors.ItemNotFound("there is no Thing"), 404),
    "throttled": (lambda: errors.Throttled("PutItem: arn:aws:secret"), 503),
    "refused": (lambda: errors.RequestRefused("PutItem: arn:aws:secret"), 500),
    "bug": (lambda: RuntimeError("secret"), 500),
}


class Login(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    password: int


async def raising(request: Request) -> Response:
    raise ERRORS[request.path_params["name"]][0]()


async def socket(websocket: WebSocket) -> None:
    if websocket.query_params.get("accept"):
        await websocket.accept()
    raise HTTPException(403, "Not for you.")


def parts() -> dict[str, Any]:
    return {
        "routes": [Route("/raise/{name}", raising), WebSocketRoute("/ws", socket)],
        "middleware": [Middleware(RequestIdMiddleware), Middleware(DynamORMMiddleware, database=Database("local://"))],
    }


def starlette() -> Starlette:
    return Starlette(**parts())


def fastapi() -> FastAPI:
    app = FastAPI(**parts())

    @app.post("/login")
    async def login(login: Login) -> str:
        return login.name

    return app


@pytest.fixture(params=[starlette, fastapi])
def client(request: pytest.FixtureRequest) -> TestClient:
    app = request.param()
    use_problems(app)
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_has_one_shape(client: TestClient, name: str) -> None:
    answer = client.get(f"/raise/{name}")
    body = answer.json()
    assert answer.status_code == body["status"] == ERRORS[name][1]
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["request_id"] == answer.headers["x-request-id"]
    assert {"type", "title", "status", "detail", "request_id"} <= set(body)
    assert "secret" not in answer.text


def test_what_the_framework_answers_itself(client: TestClient) -> None:
    missing, method = client.get("/none"), client.post("/raise/bug")
    assert (missing.status_code, missing.json()["detail"]) == (404, "Not Found")
    assert method.status_code == method.json()["status"] == 405
    assert set(method.headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_details_and_headers_are_kept(client: TestClient) -> None:
    answer = client.get("/raise/http")
    assert (answer.json()["detail"], answer.headers["x-price"]) == ("Pay first.", "3")
    assert client.get("/raise/http-json").json()["errors"] == {"why": ["a", 1]}
    assert client.get("/raise/throttled").headers["retry-after"] == "1"


def test_a_bug_is_still_the_servers_to_log() -> None:
    app = starlette()
    use_problems(app)
    with pytest.raises(RuntimeError, match="secret"):
        TestClient(app).get("/raise/bug")


def test_without_it_the_shapes_are_the_frameworks() -> None:
    assert TestClient(starlette()).get("/raise/http").text == "Pay first."
    assert TestClient(fastapi()).post("/login", json={}).json()["detail"][0]["type"] == "missing"


def test_validation_says_where_and_not_what_was_sent() -> None:
    app = fastapi()
    use_problems(app)
    client = TestClient(app)
    sent = {"name": "ann", "password": "hunter2", "more": "s3cret"}
    answer = client.post("/login", json=sent)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    found = {tuple(error["loc"]): error["type"] for error in answer.json()["errors"]}
    assert found == {("body", "password"): "int_parsing", ("body", "more"): "extra_forbidden"}
    assert "hunter2" not in answer.text
    assert "s3cret" not in answer.text
    assert client.post("/login", content=b"{").status_code == 422
    odd = client.post("/login", content=b'{"\\ud800": 1}', headers={"content-type": "application/json"})
    assert odd.status_code == 422


def test_statuses_without_a_body() -> None:
    async def nothing(request: Request) -> Response:
        raise HTTPException(304, headers={"etag": '"1"'})

    app = Starlette(routes=[Route("/", nothing)])
    use_problems(app)
    answer = TestClient(app).get("/")
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", '"1"')


def test_websockets(client: TestClient) -> None:
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/ws"):
        pass
    assert (denied.value.status_code, denied.value.json()["detail"]) == (403, "Not for you.")
    with client.websocket_connect("/ws?accept=1") as websocket, pytest.raises(WebSocketDisconnect) as closed:
        websocket.receive_text()
    assert (closed.value.code, closed.value.reason) == (4403, "Not for you.")


class Page(Model, table="pages", pk="PAGE#{id}", sk="PAGE"):
    id: str
    version: Version = 0


def test_a_stale_page_is_412_where_it_was_asked_for_and_nothing_is_written() -> None:
    database = Database("local://")
    database.sync.create_tables(Page)

    async def save(request: Request) -> Response:
        await request.state.db.create(Page(id="2"))
        raise VersionConflict("the page has changed")

    app = Starlette(
        routes=[Route("/", save, methods=["PUT"])], middleware=[Middleware(DynamORMMiddleware, database=database)]
    )
    use_problems(app)
    client = TestClient(app)
    assert client.put("/", headers={"if-match": '"1"'}).status_code == 412
    assert client.put("/").status_code == 409
    assert database.sync.session().find(Page, id="2") is None


def test_a_missing_item_and_another_tenants_differ_in_the_request_id_alone() -> None:
    database = Database("local://")
    database.sync.create_tables(Page)
    database.sync.session("acme").create(Page(id="1"))

    async def read(request: Request) -> Response:
        return PlainTextResponse((await request.state.db.get(Page, id="1")).id)

    app = Starlette(
        routes=[Route("/", read)],
        middleware=[
            Middleware(RequestIdMiddleware),
            Middleware(DynamORMMiddleware, database=database, tenant=lambda scope: "other"),
        ],
    )
    use_problems(app)
    client = TestClient(app)
    hidden = client.get("/")
    database.sync.session("acme").delete(Page, {"id": "1"})
    absent = client.get("/")
    told = []
    for answer in (hidden, absent):
        name = answer.headers["x-request-id"].encode()
        headers = [(key, b"ID" if value == name else value) for key, value in answer.headers.raw]
        told.append((answer.status_code, answer.content.replace(name, b"ID"), headers))
    assert told[0][0] == 404
    assert told[0] == told[1]
    assert hidden.content != absent.content
