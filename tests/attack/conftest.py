"""Worlds on every engine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings

from tests.engines import ENGINES

from .models import MODELS
from .world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Engines

FIND_ONLY = bool(os.environ.get("LIFT_ATTACK_FIND_ONLY"))
"""Set by scripts/mutate-tenancy, which wants to know that an example fails and not which is the smallest."""


@pytest.fixture(scope="package", params=ENGINES)
def engine(request: pytest.FixtureRequest, engines: Engines) -> Iterator[str]:
    """The name of the engine. moto ends with the folder, because it takes over botocore's network meanwhile."""
    yield request.param
    if request.param == "moto":
        engines.stop("moto")


@pytest.fixture(params=["async", "sync"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="package")
def shared_world(engine: str, engines: Engines) -> Iterator[World]:
    world = World(engines.transport(engine)._inner)  # type: ignore[attr-defined]  # which checks what is checked anyway
    world.db.sync.create_tables(*MODELS)
    yield world
    world.drop()


@pytest.fixture
def world(shared_world: World) -> World:
    """A world whose tables are made once for each engine, and are empty."""
    shared_world.reset(None, "a", "b")
    return shared_world


@pytest.fixture
def many(engine: str) -> Callable[[int], settings]:
    """Settings for so many examples on the embedded engine, in a profile that asks for 100, and fewer elsewhere."""

    def make(examples: int) -> settings:
        most = max(1, examples * settings.default.max_examples // 100)  # type: ignore[union-attr]  # there is a profile
        phases = [Phase.generate] if FIND_ONLY else list(Phase)
        return settings(
            max_examples=most if engine == "embedded" else max(2, most // 12),
            phases=phases,
            report_multiple_bugs=not FIND_ONLY,
        )

    return make
