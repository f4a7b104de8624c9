"""Questions of the daemon to one mount, each with a number, and what becomes of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Generic, TypeVar

from lucidnode.node.client import mount_messages
from lucidnode.node.client.errors import NotThere, Refused, Unavailable

T = TypeVar("T")


class MountQuestions(Generic[T]):
    """Those of one kind, which *tell* brings to the mount. *silent* says that no answer came in *within_s* seconds.

    At most *most* wait at a time, if that is given, and *busy* says that they do: both for people.
    """

    def __init__(
        self,
        tell: Callable[[mount_messages.FromDaemon], None],
        *,
        within_s: float,
        silent: str,
        most: float = math.inf,
        busy: str = "",
    ) -> None:
        self._tell = tell
        self._within_s = within_s
        self._silent = silent
        self._most = most
        self._busy = busy
        self._awaited: dict[int, asyncio.Future[T]] = {}
        self._number = 0

    async def ask(self, question: Callable[[int], mount_messages.FromDaemon]) -> T:
        """Return the answer to *question*, which is made with its number.

        Raises NotThere if the mount ends, Unavailable if it does not answer in time, and Refused
        while as many wait already as there may be.
        """
        if len(self._awaited) >= self._most:
            raise Refused(self._busy)
        self._number += 1
        number = self._number
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._awaited[number] = answer
        try:
            self._tell(question(number))
            async with asyncio.timeout(self._within_s):
                return await answer
        except TimeoutError:
            raise Unavailable(self._silent) from None
        finally:
            self._awaited.pop(number, None)

    def heard(self, number: int, answer: T) -> None:
        """Take in the answer to question *number*, if anybody still waits for it."""
        waiting = self._awaited.pop(number, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def end(self) -> None:
        """Have whoever waits hear that no answer comes any more."""
        for waiting in self._awaited.values():
            if not waiting.done():
                waiting.set_exception(NotThere("the drive was unmounted"))
