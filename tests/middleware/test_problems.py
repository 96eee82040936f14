"""Which error is which status, and that nothing of the server's own leaks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from lift_dynamorm import UsageError, errors
from lift_middleware.problems import Problem, problem, problem_of

if TYPE_CHECKING:
    from lift_middleware.asgi import Message, Scope


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.TenantMissing("x"), 401),
        (errors.TenantForbidden("x"), 403),
        (errors.ItemNotFound("x"), 404),
        (errors.ItemExists("x"), 409),
        (errors.VersionConflict("x"), 409),
        (errors.ConditionFailed("x"), 409),
        (errors.TransactionConditionFailed("x"), 409),
        (errors.TransactionConflict("x"), 409),
        (errors.CursorError("x"), 400),
        (errors.TransactionTooLarge("x"), 413),
        (errors.InvalidValue("x"), 422),
        (errors.Throttled("x"), 503),
        (errors.ServerError("x"), 503),
        (errors.ConnectionFailed("x", sent=False), 503),
        (errors.DeadlineExceeded("x"), 503),
        (errors.OutcomeUnknown("x"), 503),
        (errors.TransactionCanceled("x", reasons=[None, errors.Throttled("x")]), 503),
        (errors.TransactionCanceled("x", reasons=[errors.RequestRefused("x")]), None),
        (errors.RequestRefused("x"), None),
        (errors.QueryError("x"), None),
        (errors.SessionClosed("x"), None),
        (errors.InvalidItem("x"), None),
        (errors.CredentialsError("x"), None),
        (RuntimeError("x"), None),
    ],
)
def test_statuses(error: Exception, status: int | None) -> None:
    problem = problem_of(error)
    assert (problem.status if problem else None) == status
    again = status == 503 or isinstance(error, errors.TransactionConflict)
    assert ("retry-after" in problem.headers if problem else False) == again


@pytest.mark.parametrize("kind", [errors.Throttled, errors.ServerError, errors.DeadlineExceeded])
def test_what_dynamodb_said_is_not_told(kind: type[errors.ServiceError]) -> None:
    problem = problem_of(kind("PutItem: arn:aws:dynamodb:eu-west-1:123456789012:table/secret"))
    assert problem is not None
    assert b"arn" not in problem.body()


def test_a_batch_may_be_tried_again_where_its_cause_may() -> None:
    for cause, status in ((errors.Throttled("x"), 503), (errors.RequestRefused("x"), None)):
        try:
            raise errors.BatchIncomplete("x", unprocessed=()) from cause
        except errors.BatchIncomplete as error:
            problem = problem_of(error)
        assert (problem.status if problem else None) == status


def test_a_client_learns_that_the_outcome_is_unknown() -> None:
    lost = errors.ConnectionFailed("x", sent=True)
    problem = problem_of(lost)
    assert problem is not None
    assert "may or may not" in json.loads(problem.body())["detail"]


def test_401_names_a_scheme() -> None:
    found = problem_of(errors.TenantMissing("x"))
    assert found is not None
    assert found.headers == {"www-authenticate": "Bearer"}  # RFC 9110, 15.5.2: it must


# -- preconditions -----------------------------------------------------------------------------------------------------

STALE, TAKEN, UNIQUE = errors.VersionConflict("stale"), errors.ItemExists("taken"), errors.UniqueViolation("unique")
PRECONDITIONS: list[tuple[errors.DynamORMError, int, int, int]] = [
    (STALE, 409, 412, 409),
    (errors.ConditionFailed("if_"), 409, 412, 409),
    (TAKEN, 409, 409, 412),
    (UNIQUE, 409, 409, 409),
    (errors.ItemNotFound("x"), 404, 404, 404),
    (errors.transaction_canceled("x", [None, STALE]), 409, 412, 409),
    (errors.transaction_canceled("x", [TAKEN]), 409, 409, 412),
    (errors.transaction_canceled("x", [STALE, UNIQUE]), 409, 409, 409),
    (errors.transaction_canceled("x", [STALE, TAKEN]), 409, 409, 409),
    (errors.transaction_canceled("x", [STALE, errors.ItemNotFound("x")]), 409, 409, 409),
    (errors.transaction_canceled("x", [errors.ItemNotFound("x")]), 404, 404, 404),
    (errors.TransactionConflict("x"), 409, 409, 409),
    (errors.Throttled("x"), 503, 503, 503),
]


@pytest.mark.parametrize(("error", "plain", "if_match", "if_none_match"), PRECONDITIONS)
def test_a_failed_precondition_is_412(
    error: errors.DynamORMError, plain: int, if_match: int, if_none_match: int
) -> None:
    for header, status in ((b"accept", plain), (b"If-Match", if_match), (b"if-none-match", if_none_match)):
        scope: Scope = {"headers": [(header, b"x")]}
        found = problem_of(error, scope)
        assert found is not None
        assert found.status == status
    without = problem_of(error)
    assert without is not None
    assert without.status == plain


# -- the app's own -----------------------------------------------------------------------------------------------------


def test_an_app_answers_with_problems_of_its_own() -> None:
    answer = problem(
        429, "Three a minute.", retry_after=20, headers={"X-Limit": "3"}, type="https://x/limit", title="Limit", limit=3
    )
    assert (answer.status_code, answer.headers["retry-after"], answer.headers["x-limit"]) == (429, "20", "3")
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("application/problem+json", "no-store")
    expected = {"type": "https://x/limit", "title": "Limit", "status": 429, "detail": "Three a minute.", "limit": 3}
    assert json.loads(bytes(answer.body)) == expected
    assert json.loads(bytes(problem(418, "x").body))["title"] == "I'm a Teapot"
    assert json.loads(bytes(problem(499, "x").body))["title"] == "Error"


def test_it_is_a_response_for_fastapi_too() -> None:
    app = FastAPI()

    @app.get("/")
    async def full() -> Any:
        return problem(409, "The project is full.", limit=3)

    answer = TestClient(app).get("/")
    assert (answer.status_code, answer.json()["limit"]) == (409, 3)


@pytest.mark.parametrize("name", ["request_id", "instance"])
def test_an_extension_does_not_pass_for_a_member(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        problem(409, "x", **{name: "x"})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="status"):
        Problem(409, "x", extensions={"status": 200})


def test_what_clients_can_send_can_be_written() -> None:
    assert json.loads(Problem(404, "there is no \ud800").body())["detail"] == "there is no \ud800"


@pytest.mark.parametrize(
    ("scope", "types"),
    [
        ({"type": "http"}, ["http.response.start", "http.response.body"]),
        (
            {"type": "websocket", "extensions": {"websocket.http.response": {}}},
            ["websocket.http.response.start", "websocket.http.response.body"],
        ),
        ({"type": "websocket", "extensions": None}, ["websocket.close"]),
    ],
)
async def test_a_refusal_fits_the_scope(scope: Scope, types: list[str]) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await Problem(403, "\N{EURO SIGN}" * 50).refuse(scope, send)
    assert [message["type"] for message in sent] == types
    if types == ["websocket.close"]:
        assert sent[0]["code"] == 4403
        assert 0 < len(sent[0]["reason"].encode()) <= 123
    else:
        assert sent[0]["status"] == 403
