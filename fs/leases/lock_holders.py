"""Which processes have locks of files, here and on the other workstations of the office.

`F_GETLK` can name a process of this machine alone. Who wants to know who has a file elsewhere asks the mounts
there, over the links that leases are asked for on: they know their processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from lucidnode.fs.files.file_locks import FileLocks
from lucidnode.fs.format.office_message import (
    MOST_RANGES,
    PROGRAM_BYTES,
    HeldRange,
    LocksQuery,
    LocksReply,
)
from lucidnode.fs.leases.office_questions import OfficeQuestions
from lucidnode.node.client.ids import DeviceId

_PROC = Path("/proc")


class LockHolders:
    """The processes with locks of one project's files. *program_of* returns what a process is called."""

    def __init__(
        self,
        questions: OfficeQuestions,
        locks: FileLocks,
        program_of: Callable[[int], str] | None = None,
    ) -> None:
        self._questions = questions
        self._locks = locks
        self._program_of = program_of or called
        questions.answer(LocksQuery, lambda asked: LocksReply(asked.asking, self.here(MOST_RANGES)))

    def here(self, most: int | None = None) -> list[HeldRange]:
        """Return the locks of programs of this mount, the first *most* of them."""
        return [
            HeldRange(ino, held.exclusive, held.start, held.last, held.pid, self._program(held.pid))
            for ino, held in islice(self._locks.held(), most)
        ]

    async def elsewhere(self, devices: Iterable[DeviceId]) -> dict[DeviceId, list[HeldRange]]:
        """Return those of the mounts on *devices*, of such as answer in time (OfficeQuestions)."""
        replies = await self._questions.ask((device, LocksQuery) for device in devices)
        return {device: reply.ranges for device, reply in replies if isinstance(reply, LocksReply)}

    def _program(self, pid: int) -> str:
        return self._program_of(pid)[:PROGRAM_BYTES]


def called(pid: int) -> str:
    """Return what the kernel calls process *pid*, empty if it is gone, or not to be seen."""
    try:
        return (_PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return ""
