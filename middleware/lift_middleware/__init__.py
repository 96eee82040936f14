"""DynamoDB sessions on every request of a Starlette or FastAPI app."""

from lift_middleware.concurrency import ConcurrencyLimitMiddleware, ConcurrencySlots
from lift_middleware.database import DynamORMMiddleware
from lift_middleware.health import Health
from lift_middleware.idempotency import IdempotencyMiddleware, IdempotencyRecord
from lift_middleware.lambdas import LambdaHandler, lambda_handler
from lift_middleware.modes import immediate, read_only, transactional
from lift_middleware.principals import Principal
from lift_middleware.problems import Problem, problem, problem_of
from lift_middleware.request_id import RequestIdFilter, RequestIdMiddleware
from lift_middleware.tenants import (
    tenant_from,
    tenant_from_authorizer,
    tenant_from_claim,
    tenant_from_header,
    tenant_from_path,
    tenant_from_subdomain,
)

__all__ = [
    "ConcurrencyLimitMiddleware",
    "ConcurrencySlots",
    "DynamORMMiddleware",
    "Health",
    "IdempotencyMiddleware",
    "IdempotencyRecord",
    "LambdaHandler",
    "Principal",
    "Problem",
    "RequestIdFilter",
    "RequestIdMiddleware",
    "immediate",
    "lambda_handler",
    "problem",
    "problem_of",
    "read_only",
    "tenant_from",
    "tenant_from_authorizer",
    "tenant_from_claim",
    "tenant_from_header",
    "tenant_from_path",
    "tenant_from_subdomain",
    "transactional",
]
