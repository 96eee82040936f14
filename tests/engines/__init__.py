"""The engines the conformance suite runs on, each behind one raw transport, one attempt per call."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lift_dynamorm.transport import Transport

ENGINES = ("embedded", "dynoxide", "extenddb", "moto")
"""The engines of every run; "endpoint" joins them where LIFT_DYNAMORM_TEST_ENDPOINT is set."""

EXAMPLE_KEY = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
"""The key pair of AWS's documentation, the one ExtendDB verifies signatures with."""


class EngineUnavailable(Exception):
    """The engine cannot run on this machine; the message is one line that names it and says why."""


class Engine(Protocol):
    """A running engine: what it is called, the way in, and the way to end it."""

    @property
    def name(self) -> str: ...

    def transport(self) -> Transport:
        """Make a new transport to it; whoever asks for it closes it."""
        ...

    def stop(self) -> None:
        """End it and remove what it left behind; safe to call twice."""
        ...


def start(name: str) -> Engine:
    """Start an engine; raise EngineUnavailable with the reason where this machine cannot."""
    if name == "embedded":
        from .inprocess import Embedded

        return Embedded()
    if name == "moto":
        from .inprocess import Moto

        return Moto()
    if name == "endpoint":
        from .servers import Endpoint

        url = os.environ.get("LIFT_DYNAMORM_TEST_ENDPOINT")
        if not url:
            raise EngineUnavailable("endpoint: LIFT_DYNAMORM_TEST_ENDPOINT is not set")
        return Endpoint(url)
    from . import servers

    if name not in servers.SERVERS:
        raise ValueError(f"no engine is called {name!r}")
    for _ in range(3):
        try:
            return servers.SERVERS[name]()
        except EngineUnavailable as error:
            if "in use" not in str(error):
                raise
    return servers.SERVERS[name]()
