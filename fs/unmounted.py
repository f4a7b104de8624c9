"""The process that has a project open for programs, without a mount.

It is the mount process without FUSE: the one writer of this workstation, with its replica, and to
the daemon a mount whose mount point is a socket. So a project has one such process here, or a mount.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

from lucidnode.fs.checkpoints.newcomer import Progress
from lucidnode.fs.hand_over import AT_ONCE, SECOND_STANDSTILL_S, STANDSTILL_S, WAITED
from lucidnode.fs.mount_parts import mount_parts
from lucidnode.fs.mount_spec import MountSpec
from lucidnode.fs.programs.program_door import ProgramDoor
from lucidnode.fs.programs.socket_path import listening_at
from lucidnode.node.client.clock import SystemClock


async def run(spec: MountSpec, ready: Callable[[], None], progress: Progress) -> None:
    """Open the project, call *ready*, and answer programs until none comes, or told to end by SIGTERM or SIGINT.

    *progress* hears before that how much is loaded. The socket is where *spec* has its mount point. Raises AlreadyMounted, another FsError or a
    NodeError. Returning, everything acknowledged is in staging and in the replica.
    """
    os.chdir("/")
    path = Path(spec.mountpoint)
    async with mount_parts(spec, progress) as parts:
        parts.invalidation.nobody()
        parts.link.has_served = True
        door = ProgramDoor(parts.programs, SystemClock())
        waited, at_once = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, door.end)
        loop.add_signal_handler(WAITED, waited.set)
        loop.add_signal_handler(AT_ONCE, at_once.set)
        with contextlib.closing(listening_at(path)) as bound:
            ready()
            try:
                await door.serve(bound)
            finally:
                path.unlink(missing_ok=True)  # noqa: ASYNC240  # a moment, and the replica is ours yet
        await parts.drain.run(SECOND_STANDSTILL_S if waited.is_set() else STANDSTILL_S, at_once)
