"""Which processes have locks of files, here and on the other workstations of the office.

`F_GETLK` can name a process of this machine alone. Who wants to know who has a file elsewhere asks the mounts
there, over the links that leases are asked for on: they know their processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from lucidnode.fs.files.file_locks import FileLocks
from lucidnode.fs.format.office_message import (
    ASKING_SIZE,
    MOST_RANGES,
    PROGRAM_BYTES,
    HeldRange,
    LocksQuery,
    LocksReply,
    Word,
)
from lucidnode.fs.leases.recalls import Recalls
from lucidnode.node.client.ids import DeviceId

ANSWER_S = 0.4
"""How long others may take to answer: who asked waits for all of a mount's status for a second."""

_PROC = Path("/proc")


class LockHolders:
    """The processes with locks of one project's files. *program_of* returns what a process is called."""

    def __init__(
        self,
        recalls: Recalls,
        locks: FileLocks,
        random_bytes: Callable[[int], bytes],
        program_of: Callable[[int], str] | None = None,
    ) -> None:
        self._recalls = recalls
        self._locks = locks
        self._random_bytes = random_bytes
        self._program_of = program_of or called
        self._awaited: dict[tuple[DeviceId, bytes], asyncio.Future[list[HeldRange]]] = {}
        recalls.listen(self._heard)
        recalls.watch(self._look)

    def here(self, most: int | None = None) -> list[HeldRange]:
        """Return the locks of programs of this mount, the first *most* of them."""
        return [
            HeldRange(ino, held.exclusive, held.start, held.last, held.pid, self._program(held.pid))
            for ino, held in islice(self._locks.held(), most)
        ]

    async def elsewhere(self, devices: Iterable[DeviceId]) -> dict[DeviceId, list[HeldRange]]:
        """Return those of the mounts on *devices*, of such as answer within ANSWER_S."""
        loop, asking = asyncio.get_running_loop(), self._random_bytes(ASKING_SIZE)
        is_deaf = self._recalls.is_deaf
        answers = {device: loop.create_future() for device in devices if not is_deaf(device)}
        if not answers:
            return {}
        self._awaited |= {(device, asking): answer for device, answer in answers.items()}
        try:
            for device in answers:
                self._recalls.say(device, LocksQuery(asking))
            await asyncio.wait(answers.values(), timeout=ANSWER_S)
        finally:
            for device in answers:
                del self._awaited[device, asking]
        return {device: answer.result() for device, answer in answers.items() if answer.done()}

    def _look(self) -> None:
        """Wait for nobody to whom there is no link."""
        for (device, _), answer in self._awaited.items():
            if self._recalls.is_deaf(device) and not answer.done():
                answer.set_result([])

    def _heard(self, device: DeviceId, word: Word) -> None:
        if isinstance(word, LocksQuery):
            self._recalls.say(device, LocksReply(word.asking, self.here(MOST_RANGES)))
        elif isinstance(word, LocksReply):
            answer = self._awaited.get((device, word.asking))
            if answer is not None and not answer.done():
                answer.set_result(word.ranges)

    def _program(self, pid: int) -> str:
        return self._program_of(pid)[:PROGRAM_BYTES]


def called(pid: int) -> str:
    """Return what the kernel calls process *pid*, empty if it is gone, or not to be seen."""
    try:
        return (_PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return ""
