"""The app that the environment describes: `app` for a server, `handler` for AWS Lambda."""

from __future__ import annotations

from lift_middleware import lambda_handler

from .app import create_app
from .settings import Settings

app = create_app(Settings.from_environment())
handler = lambda_handler(app)
