"""The engines without a socket: ours, embedded, and moto behind botocore."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from unittest import mock

from . import EXAMPLE_KEY, EngineUnavailable

if TYPE_CHECKING:
    from lift_dynamorm.transport import Transport


class Embedded:
    """One database of the embedded engine; every transport leads to the same."""

    name = "embedded"

    def __init__(self) -> None:
        try:
            import ministack.services.dynamodb  # noqa: F401
        except ImportError as error:
            raise EngineUnavailable(f"embedded: {error}") from error
        from lift_dynamorm.transport.local import LocalTransport

        self._transport = LocalTransport()

    def transport(self) -> Transport:
        return self._transport

    def stop(self) -> None:
        self._transport.reset()


class Moto:
    """`moto.mock_aws`, which replaces botocore's network for the whole process while it runs."""

    name = "moto"

    def __init__(self) -> None:
        try:
            import moto
        except ImportError as error:
            raise EngineUnavailable(f"moto: {error}") from error
        self._environment = mock.patch.dict(os.environ, {"AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled"})
        self._environment.start()
        self._mock: Any = moto.mock_aws()
        self._mock.start()
        self._clients: list[Any] = []

    def transport(self) -> Transport:
        import boto3
        from botocore.config import Config

        from lift_dynamorm.transport.boto import BotoTransport

        client = boto3.session.Session().client(
            "dynamodb",
            region_name="us-east-1",
            aws_access_key_id=EXAMPLE_KEY[0],
            aws_secret_access_key=EXAMPLE_KEY[1],
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )
        self._clients.append(client)
        return BotoTransport(client)

    def stop(self) -> None:
        if self._mock is None:
            return
        for client in self._clients:
            client.close()
        self._mock.stop()
        self._environment.stop()
        self._mock = None
