"""DynamoDB sessions on every request of a Starlette or FastAPI app."""

from lift_middleware.database import DynamORMMiddleware
from lift_middleware.lambdas import LambdaHandler, lambda_handler
from lift_middleware.problems import Problem, problem_of
from lift_middleware.tenants import tenant_from_header

__all__ = ["DynamORMMiddleware", "LambdaHandler", "Problem", "lambda_handler", "problem_of", "tenant_from_header"]
