"""boto3's client in a thread pool, as an async app uses it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from benchmarks.contestants import AT_ONCE, Contestant
from benchmarks.contestants.boto_client import Client


class Threads(Contestant):
    title: ClassVar[str] = "boto3 client in threads (dicts)"

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self._client = Client(endpoint)
        self._runner = asyncio.Runner()
        self._threads = ThreadPoolExecutor(AT_ONCE)

    def get_async(self, count: int) -> dict[str, Any]:
        async def some(count: int) -> None:
            loop = asyncio.get_running_loop()
            for _ in range(count):
                await loop.run_in_executor(self._threads, self._client.get, 1)

        async def all_of_them() -> None:
            each, more = divmod(count - 1, AT_ONCE)
            await asyncio.gather(*(some(each + (task < more)) for task in range(AT_ONCE)))

        self._runner.run(all_of_them())
        return self._client.get(1)

    def values(self, item: dict[str, Any]) -> dict[str, Any]:
        return self._client.values(item)
