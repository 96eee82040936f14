"""A transport that dies at one of the changes it sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm.transport import Payload, Transport


class Dying:
    """Calls `die` at the nth change that is sent: before it is sent, or when its answer is there."""

    def __init__(self, inner: Transport, at: int, die: Callable[[], None], *, after_it: bool) -> None:
        self._inner, self._left, self._die, self._after = inner, at, die, after_it

    @property
    def blocking(self) -> Dying:
        return self

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        changes = not operation.startswith(("Describe", "List", "Get"))
        self._left -= changes
        if changes and self._left == 0 and not self._after:
            self._die()
        answer = await self._inner.send(operation, payload, deadline=deadline)
        if changes and self._left == 0:
            self._die()
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()
