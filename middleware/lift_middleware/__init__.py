"""DynamoDB sessions on every request of a Starlette or FastAPI app."""

from lift_middleware.database import DynamORMMiddleware
from lift_middleware.lambdas import LambdaHandler, lambda_handler
from lift_middleware.modes import immediate, read_only, transactional
from lift_middleware.problems import Problem, problem_of
from lift_middleware.tenants import tenant_from_header

__all__ = [
    "DynamORMMiddleware",
    "LambdaHandler",
    "Problem",
    "immediate",
    "lambda_handler",
    "problem_of",
    "read_only",
    "tenant_from_header",
    "transactional",
]
