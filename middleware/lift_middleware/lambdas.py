"""The same app on AWS Lambda, behind API Gateway, a load balancer or a function URL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from mangum import Mangum

    from lift_middleware.asgi import ASGIApp


class LambdaHandler:
    """Run an ASGI app for Lambda events, on one event loop for the life of the process.

    So a warm invocation finds the connections of the one before. `options` are Mangum's
    (https://mangum.fastapiexpert.com/adapter/); lifespan events are off, for Lambda has no shutdown to tell of.
    """

    def __init__(self, app: ASGIApp, **options: Any) -> None:
        try:
            from mangum import Mangum
            from mangum.adapter import DEFAULT_TEXT_MIME_TYPES
        except ImportError as error:
            msg = 'lambda_handler needs Mangum: pip install "lift-dynamorm[lambda]"'
            raise ImportError(msg) from error
        texts = [*DEFAULT_TEXT_MIME_TYPES, "application/problem+json", "application/x-ndjson"]  # or they go as base64
        settings: Any = {"lifespan": "off", "text_mime_types": texts, **options}
        self._make: Callable[[], Mangum] = lambda: Mangum(cast("Any", app), **settings)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._adapter: Mangum | None = None

    def __call__(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        if self._adapter is None:
            self._adapter = self._make()
        return self._adapter(event, context)

    def close(self) -> None:
        """Close the event loop; the next call opens another. Lambda never needs it, tests do."""
        if self._loop is not None:
            asyncio.set_event_loop(None)
            self._loop.close()


def lambda_handler(app: ASGIApp, **options: Any) -> LambdaHandler:
    """Make the function that Lambda calls: ``handler = lambda_handler(app)``."""
    return LambdaHandler(app, **options)
