"""A process of a soak: tasks of one loop, with a life of their own that can end at any await."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from lab.virtual_loop import Life, life

T = TypeVar("T")


class Process:
    """Runs the tasks of one process until it is killed."""

    def __init__(self, name: str) -> None:
        self.life = Life(name)
        self.tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        """Run *work* as this process."""

        async def mine() -> T:
            life.set(self.life)
            return await work()

        task = asyncio.get_running_loop().create_task(mine())
        self.tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for it hears of it; its sender may have died

    async def die(self) -> None:
        """End at whatever awaits the tasks are; threads do nothing any more."""
        self.life.alive = False
        while self.tasks:
            for task in list(self.tasks):
                task.cancel()
            await asyncio.wait(self.tasks)
