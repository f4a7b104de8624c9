"""Blocks, clocks and small disks for the tests of cache, staging and uploads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from lucidnode.node.block import block_id
from lucidnode.node.client.ids import BlockId, ProjectId

PROJECT = ProjectId("0123456789abcdef" * 2)


def make_block(size: int = 4096) -> tuple[BlockId, bytes]:
    """Return a fresh random block of *size* bytes with its id."""
    ciphertext = os.urandom(size)
    return block_id(ciphertext), ciphertext


class ManualClock:
    """A clock that moves only when a test moves it. Sleeping on it is for ever."""

    def __init__(self) -> None:
        self.now = 1000.0

    def boot(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


class FastClock:
    """The machine's clock, two hundred times as fast."""

    SPEED = 200

    def boot(self) -> float:
        return time.monotonic() * self.SPEED

    def wall_ns(self) -> int:
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.SPEED)


@contextlib.contextmanager
def small_disk(at: Path, size: str = "8m") -> Iterator[Path]:
    """Mount a tmpfs of *size* at the new directory *at*; unmount it in the end."""
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", at], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)


def remount(at: Path, mode: str) -> None:
    """Remount the file system at *at* as `ro` or `rw`."""
    subprocess.run(["mount", "-o", f"remount,{mode}", at], check=True)


def fill_disk(directory: Path) -> Path:
    """Write a file that takes all space left on the disk of *directory*, and return it."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler
