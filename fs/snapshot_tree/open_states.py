"""Which states of a project are open in this mount: each is a file system of its own.

One is opened when somebody looks into it, which takes a copy of the metadata, and closed when nobody has
for a while. Whoever comes back finds it by the same numbers, and waits once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass

from lucidnode.fs.errors import FsError, Unreadable
from lucidnode.fs.files.file_system import FileSystem
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.supervision import Tasks

IDLE_S = 600.0
"""How long nobody has asked of a state that is closed."""

MAX_IDLE = 4
"""States that stay open for who may come back: of more, those go first that were asked longest ago."""

AGAIN_S = 5.0
"""How long one that could not be opened is not tried again: file browsers ask without a pause."""

_LOOK_S = 30.0


@dataclass(slots=True)
class OpenState:
    """A state that is open. *handles* of files and directories in it are open."""

    files: FileSystem
    close: AsyncExitStack
    asked_at: float
    handles: int = 0


class OpenStates:
    """The open states of one mount; *opened* opens the state that entry *seq* left."""

    def __init__(
        self,
        opened: Callable[[Seq], AbstractAsyncContextManager[FileSystem]],
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._opened = opened
        self._tasks = tasks
        self._clock = clock
        self._states: dict[Seq, OpenState] = {}
        self._opening: dict[Seq, asyncio.Task[None]] = {}
        self._failed: dict[Seq, tuple[float, str]] = {}

    def get(self, seq: Seq) -> OpenState | None:
        """Return state *seq* if it is open."""
        state = self._states.get(seq)
        if state is not None:
            state.asked_at = self._clock.boot()
        return state

    async def open(self, seq: Seq) -> None:
        """Have state *seq* open in the step in which this returns. Raises Unreadable."""
        while self.get(seq) is None:
            task = self._opening.get(seq)
            if task is None:
                self._refuse_failed(seq)
                task = self._opening[seq] = self._tasks.create_task(self._open(seq))
            # Others may wait for it as well: who gives up leaves it to them.
            await asyncio.shield(task)

    async def run(self) -> None:
        """Close what nobody needs, until cancelled; then close all."""
        try:
            while True:
                await self._clock.sleep(_LOOK_S)
                await self.close_idle()
        finally:
            while self._opening:
                opening = set(self._opening.values())
                for task in opening:
                    task.cancel()
                await asyncio.wait(opening)
            for seq in list(self._states):
                await self._close(seq)

    async def close_idle(self) -> None:
        """Close what was not asked for long, and what is more than may stay open."""
        now = self._clock.boot()
        idle = sorted(
            (state.asked_at, seq) for seq, state in self._states.items() if not state.handles
        )
        for place, (asked_at, seq) in enumerate(idle):
            if asked_at + IDLE_S <= now or place < len(idle) - MAX_IDLE:
                await self._close(seq)

    def _refuse_failed(self, seq: Seq) -> None:
        failed_at, why = self._failed.get(seq, (0.0, ""))
        if why and self._clock.boot() < failed_at + AGAIN_S:
            raise Unreadable(why)

    async def _open(self, seq: Seq) -> None:
        stack = AsyncExitStack()
        try:
            files = await stack.enter_async_context(self._opened(seq))
        except (FsError, NodeError, OSError) as error:
            self._failed[seq] = self._clock.boot(), f"version {seq} cannot be shown: {error}"
        else:
            self._failed.pop(seq, None)
            self._states[seq] = OpenState(files, stack, self._clock.boot())
            await self.close_idle()
        finally:
            del self._opening[seq]

    async def _close(self, seq: Seq) -> None:
        await self._states.pop(seq).close.aclose()
