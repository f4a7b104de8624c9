"""Programs that are killed while they wait for us.

A program that has asked the kernel for `fsync` or `close` sleeps until we answer, whatever signal
comes: FUSE lets only a request go that nobody has taken yet. So where an answer may take as long as
the bucket is away, we look ourselves whether somebody still waits for it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from pathlib import Path

from lucidnode.fs.errors import FsError, Interrupted
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError

LOOK_EVERY_S = 0.25

_HARMLESS = (
    signal.SIGCHLD,
    signal.SIGCONT,
    signal.SIGURG,
    signal.SIGWINCH,
    signal.SIGSTOP,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
"""Those that end nobody who does nothing about them."""


def is_killed(pid: int) -> bool:
    """Tell whether the thread *pid* is there, and only waits for us to end.

    So it is if a signal waits for it that it neither handles nor ignores nor blocks. 0 is a process of
    which we see nothing.
    """
    if pid == 0:
        return False
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    sets = {
        name: int(value, 16)
        for name, value in (line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        if name in {"SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"}
    }
    harmless = sum(1 << (number - 1) for number in _HARMLESS)
    spared = sets["SigBlk"] | sets["SigIgn"] | sets["SigCgt"] | harmless
    return bool((sets["SigPnd"] | sets["ShdPnd"]) & ~spared)


async def unless_killed(pid: int, work: Coroutine[None, None, None], clock: Clock) -> None:
    """Await *work*, for the program *pid*; raises what it raises, or Interrupted as soon as that is being killed."""
    refused: list[Exception] = []

    async def answered() -> None:
        # A group would wrap it, and nobody would know it for what the program is to be told.
        try:
            await work
        except (FsError, NodeError, OSError) as error:
            refused.append(error)

    async with asyncio.TaskGroup() as group:
        working = group.create_task(answered())
        while not working.done():
            looking = group.create_task(clock.sleep(LOOK_EVERY_S))
            await asyncio.wait({working, looking}, return_when=asyncio.FIRST_COMPLETED)
            looking.cancel()
            if not working.done() and is_killed(pid):
                working.cancel()
                break
    if working.cancelled():
        raise Interrupted("the program was killed")
    if refused:
        raise refused[0]
