"""Which error is which status, and that nothing of the server's own leaks."""

from __future__ import annotations

import json

import pytest

from lift_dynamorm import errors
from lift_middleware.problems import problem_of


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
