"""What a mount waits for before it is shown: all that was committed when it began, and no more.

Who mounts a project and renders what colleagues saved a minute ago must find that, so a mount that was
away reads on first. What colleagues commit meanwhile it need not have: else one of them who commits
faster than it reads would keep it away for ever. Where the log ends is asked once, after a second: most
have seen the end themselves by then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import Seq

LOOK_AFTER_S = 1.0
"""How long a mount reads before it asks where the log ends."""

STANDSTILL_S = 5.0
"""How long nothing may get on before the mount serves what it has: without a network, too."""


class CatchingUp:
    """Waits, in `run`, for a head that others move."""

    def __init__(
        self,
        head: Callable[[], Seq],
        progress: Callable[[], asyncio.Event],
        end_seen: asyncio.Event,
        find_end: Callable[[Seq], Awaitable[Seq]],
        clock: Clock,
    ) -> None:
        """*progress* gives what is set when *head* moves next; *end_seen* is set at the end of the log, or when it cannot be read.

        *find_end* returns the newest entry behind the given one, or raises a NodeError.
        """
        self._head = head
        self._progress = progress
        self._end_seen = end_seen
        self._find_end = find_end
        self._clock = clock
        self._is_end_known = asyncio.Event()
        self.upto: Seq | None = None
        """The entry that is waited for, once it is known, and until the mount can be shown."""

    async def run(self) -> None:
        """Return when the head stands where the log ended, at its end, or when nothing gets on."""
        async with asyncio.TaskGroup() as tasks:
            enough = {
                tasks.create_task(self._end_seen.wait()),
                tasks.create_task(self._reached()),
                tasks.create_task(self._stands_still()),
            }
            finding = tasks.create_task(self._look_for_end())
            await asyncio.wait(enough, return_when=asyncio.FIRST_COMPLETED)
            for each in (*enough, finding):
                each.cancel()
        self.upto = None

    async def _look_for_end(self) -> None:
        await self._clock.sleep(LOOK_AFTER_S)
        # Who cannot be asked is asked for entries as well, and fails there.
        with contextlib.suppress(NodeError):
            self.upto = await self._find_end(self._head())
            self._is_end_known.set()

    async def _reached(self) -> None:
        await self._is_end_known.wait()
        while self.upto is not None and self._head() < self.upto:
            await self._progress().wait()

    async def _stands_still(self) -> None:
        head = None
        while head != (head := self._head()):
            await self._clock.sleep(STANDSTILL_S)
