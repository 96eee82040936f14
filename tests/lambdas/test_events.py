from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from mangum import Mangum
from mangum.types import LambdaContext, Receive, Scope, Send

from .events import SOURCES, Answer, Builder, alb, alb_multi_value, function_url, http_api, rest_api

sources = pytest.mark.parametrize("build", SOURCES.values(), ids=SOURCES.keys())


@pytest.fixture(autouse=True)
def current_loop() -> Iterator[None]:
    """Mangum runs the app on the thread's current event loop, and asking for one that was never set warns."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


async def mirror(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request as the app saw it."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    seen = {
        "method": scope["method"],
        "path": scope["path"],
        "query": parse_qsl(scope["query_string"].decode(), keep_blank_values=True),
        "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]],
        "body": base64.b64encode(body).decode(),
        "client": scope["client"][0],
        "scheme": scope["scheme"],
    }
    headers = [(b"content-type", b"application/json"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


def through_mangum(event: dict[str, Any]) -> tuple[Answer, dict[str, Any]]:
    context: LambdaContext = None  # type: ignore[assignment] # Mangum only hands it on
    answer = Answer.of(Mangum(mirror, lifespan="off")(event, context))
    return answer, json.loads(answer.body)


@sources
def test_one_request_is_the_same_through_every_source(build: Builder) -> None:
    event = build(
        "POST",
        "/users/a%20b/%C3%A9",
        query=[("name", "Ann & Bob"), ("cursor", "a+b/c=")],
        headers=[("Content-Type", "application/json"), ("X-Tenant-Id", "acme"), ("Cookie", "c=1; d=2")],
        body='{"text": "é"}',
    )
    assert json.loads(json.dumps(event)) == event
    answer, seen = through_mangum(event)
    assert answer.status == 201
    assert seen["method"] == "POST"
    assert seen["path"] == "/users/a b/é"
    assert seen["query"] == [["name", "Ann & Bob"], ["cursor", "a+b/c="]]
    assert base64.b64decode(seen["body"]).decode() == '{"text": "é"}'
    assert seen["client"] == "203.0.113.7"
    assert seen["scheme"] == "https"
    headers = dict(seen["headers"])
    assert headers["x-tenant-id"] == "acme"
    assert headers["content-type"] == "application/json"
    assert headers["cookie"] == "c=1; d=2"
    assert [value for name, value in answer.headers if name == "set-cookie"] == ["a=1", "b=2"]


@sources
def test_a_request_without_body_or_query(build: Builder) -> None:
    event = build("GET")
    assert event["isBase64Encoded"] is False
    _, seen = through_mangum(event)
    assert (seen["method"], seen["path"], seen["query"], seen["body"]) == ("GET", "/", [], "")


@sources
@pytest.mark.parametrize("encoded", [True, None])
def test_bytes_travel_as_base64(build: Builder, encoded: bool | None) -> None:
    event = build("PUT", "/blob", body=b"\x00\xff\xfe", headers=[("Content-Type", "image/png")], base64_encoded=encoded)
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(through_mangum(event)[1]["body"]) == b"\x00\xff\xfe"


@sources
def test_text_can_be_forced_into_base64(build: Builder) -> None:
    json_type = [("Content-Type", "application/json; charset=utf-8")]
    assert build("POST", body="{}", headers=json_type)["isBase64Encoded"] is False
    event = build("POST", body="{}", headers=json_type, base64_encoded=True)
    assert (event["body"], event["isBase64Encoded"]) == ("e30=", True)
    assert base64.b64decode(through_mangum(event)[1]["body"]) == b"{}"


@pytest.mark.parametrize("build", [rest_api, http_api, alb_multi_value, function_url])
def test_repeated_parameters_arrive(build: Builder) -> None:
    _, seen = through_mangum(build("GET", query=[("tag", "a"), ("tag", "b,c")]))
    assert seen["query"] == [["tag", "a"], ["tag", "b,c"]]


def test_a_plain_alb_passes_the_last_of_a_repeated_parameter_or_header() -> None:
    event = alb("GET", query=[("tag", "a"), ("tag", "b")], headers=[("X-Tag", "a"), ("x-tag", "b")])
    assert event["queryStringParameters"] == {"tag": "b"}
    assert event["headers"]["x-tag"] == "b"
    assert "multiValueHeaders" not in event
    assert "multiValueQueryStringParameters" not in event


def test_repeated_headers_in_each_format() -> None:
    headers = [("X-Tag", "a"), ("X-Tag", "b")]
    assert rest_api("GET", headers=headers)["headers"]["X-Tag"] == "b"
    assert rest_api("GET", headers=headers)["multiValueHeaders"]["X-Tag"] == ["a", "b"]
    assert alb_multi_value("GET", headers=headers)["multiValueHeaders"]["x-tag"] == ["a", "b"]
    assert http_api("GET", headers=headers)["headers"]["x-tag"] == "a,b"
    assert function_url("GET", headers=headers)["headers"]["x-tag"] == "a,b"


def test_only_the_http_api_decodes_the_path() -> None:
    path = "/a%2Fb%3Fc"
    assert http_api("GET", path)["rawPath"] == "/a/b"  # AWS cuts it at the decoded question mark
    assert function_url("GET", path)["rawPath"] == path
    assert rest_api("GET", path)["path"] == path
    assert alb("GET", path)["path"] == path


def test_only_the_alb_leaves_the_query_encoded() -> None:
    query = [("q", "a b")]
    assert unquote(alb("GET", query=query)["queryStringParameters"]["q"].replace("+", " ")) == "a b"
    assert alb("GET", query=query)["queryStringParameters"]["q"] != "a b"
    assert rest_api("GET", query=query)["queryStringParameters"]["q"] == "a b"
    assert http_api("GET", query=query)["queryStringParameters"]["q"] == "a b"
    assert function_url("GET", query=query)["rawQueryString"] == "q=a+b"
