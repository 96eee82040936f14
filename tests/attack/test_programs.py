"""Whatever two tenants do at the same tables, neither sees or changes anything of the other's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given

from lift_dynamorm.operations.concurrency import drive

from .programs import Program, Run, programs

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from hypothesis import settings

    from .world import World

EXAMPLES = {"async": 100, "sync": 40}
"""On the embedded engine, in a profile that asks for 100."""


def test_tenants_do_not_meet(world: World, way: str, runner: asyncio.Runner, many: Callable[[int], settings]) -> None:
    @many(EXAMPLES[way])
    @given(programs())
    def example(program: Program) -> None:
        running = Run(world, way, program).run()
        if way == "sync":
            drive(running)
        else:
            runner.run(running)

    example()
