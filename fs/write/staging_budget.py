"""How much more may be staged: the budget that turns slow uploads into slow writers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from lucidnode.fs.errors import NoSpace
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.disk_space import free_bytes
from lucidnode.node.client.staging import gone

MAX_WAIT_S = 15.0
"""Seconds that writers wait while nothing leaves staging. After that, ENOSPC: the uploads stand
still, and a person should hear of it rather than look at a frozen program."""

_LOOK_AGAIN_S = 0.25
"""Seconds between two looks at a full staging directory."""


_FRESH_S = 1.0
"""Seconds for which a look at the disk is believed, at most: others write to it as well."""

_SMALL_SHARE = 16
"""It is believed for a sixteenth of what it found to spare; then there is another look."""


class StagingBudget:
    """A budget in bytes for the staging directory of this node, and a floor of free disk.

    Other mounts and the daemon change the directory too, so it is measured whenever the running
    estimate says that it is full.
    """

    def __init__(
        self, staging_dir: Path, limit: int, min_free: int, clock: Clock, disk: Executor
    ) -> None:
        self._dir = staging_dir
        self._limit = limit
        self._min_free = min_free
        self._clock = clock
        self._disk = disk
        self._staged = 0
        """Bytes there at the last look, and those let in since: fewer at the next one were uploaded."""
        self._asked_for = 0
        """Bytes that are being asked of the disk. They are neither there, nor missed when refused."""
        self._known_room = 0
        """Bytes of the disk that may be taken without another look at it, until `_known_until`."""
        self._known_until = 0.0
        self._measuring = asyncio.Lock()
        self._looks = 0
        """How often it was begun to measure the directory."""
        self._stuck = False
        """The last wait was in vain: until there is room again, nobody else waits."""

    async def admit(self, size: int) -> None:
        """Return once *size* more bytes may be staged.

        Waits while uploads make room. Raises NoSpace when they have made none for MAX_WAIT_S, and
        FileNotFoundError, in words, where the directory is missing.
        """
        if await self._took(size):
            self._stuck = False
            return
        looks = self._looks
        async with self._measuring:
            if self._stuck and self._looks > looks:  # others of our hundreds of blocks have looked
                raise NoSpace(self._why(size))
            await self._wait_to_take(size)

    async def _wait_to_take(self, size: int) -> None:
        since = self._clock.boot()
        while True:
            self._looks += 1
            staged = await self._measured(staged_bytes)
            if staged < self._staged:
                self._stuck, since = False, self._clock.boot()
            self._staged = staged
            if await self._took(size):
                self._stuck = False
                return
            if self._stuck or self._clock.boot() - since >= MAX_WAIT_S:
                self._stuck = True
                raise NoSpace(self._why(size))
            await self._clock.sleep(_LOOK_AGAIN_S)

    def _why(self, size: int) -> str:
        if self._staged + size <= self._limit:
            return "the disk of the cache directory is full"
        return f"{self._staged} bytes wait for upload, and none leave"

    async def _took(self, size: int) -> bool:
        """Take *size* of the budget if it fits, and return whether it did."""
        if self._staged + self._asked_for + size > self._limit:
            return False
        if size <= self._known_room and self._clock.boot() < self._known_until:
            # Each look is a thread and back, for each block of a film, on a disk that is far from full.
            self._known_room -= size
            self._staged += size
            return True
        # Before the disk is asked: others who ask meanwhile must not find the same room.
        self._asked_for += size
        try:
            spare = await self._measured(free_bytes) - size - self._min_free
        finally:
            self._asked_for -= size
        self._known_room = max(spare, 0) // _SMALL_SHARE
        self._known_until = self._clock.boot() + _FRESH_S
        if spare >= 0:
            self._staged += size
        return spare >= 0

    async def _measured(self, look: Callable[[Path], int]) -> int:
        """Return what *look* finds, from a thread: a disk that hangs holds up writers alone."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._disk, look, self._dir)
        except FileNotFoundError:
            raise gone(self._dir) from None


def staged_bytes(staging_dir: Path) -> int:
    """Return the bytes that wait in *staging_dir*, of all projects. Blocking.

    Files may vanish while it looks: they are being uploaded.
    """
    total = 0
    for project in staging_dir.iterdir():
        try:
            with os.scandir(project) as files:
                for file in files:
                    try:
                        total += file.stat(follow_symlinks=False).st_size
                    except FileNotFoundError:
                        continue
        except (FileNotFoundError, NotADirectoryError):
            continue
    return total
