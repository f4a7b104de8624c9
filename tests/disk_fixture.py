"""Blocks, clocks and small disks for the tests of cache, staging and uploads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from lucidnode.node.cache.verified import block_id
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.staging import stage

PROJECT = ProjectId("0123456789abcdef" * 2)


def make_block(size: int = 4096) -> tuple[BlockId, bytes]:
    """Return a fresh random block of *size* bytes with its id."""
    ciphertext = os.urandom(size)
    return block_id(ciphertext), ciphertext


def stage_early(staging_dir: Path, project: ProjectId, block: BlockId, ciphertext: bytes) -> None:
    """Stage a block as a mount does; also before any daemon has made *staging_dir*."""
    staging_dir.mkdir(exist_ok=True)
    stage(staging_dir, project, block, ciphertext)


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


class Told(Alerts):
    """Alerts that a test reads from a list of what was reported, and not from the log."""

    def __init__(self, told: list[str]) -> None:
        super().__init__(ManualClock())
        self.told = told

    def begin(
        self, topic: str, cause: str, remedy: str = "", *, lasts_s: float | None = None
    ) -> None:
        self.told.append(cause)


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
    """Mount a tmpfs of *size* at *at*, whatever is there; unmount it in the end."""
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", at], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)


@contextlib.contextmanager
def breakable_disk(at: Path) -> Iterator[Path]:
    """Mount an ext4 of 16 MiB at the new directory *at*, for `break_disk`; unmount it in the end."""
    at.mkdir()
    image = at.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", image], check=True)
    subprocess.run(["mount", "-o", "loop,errors=remount-ro", image, at], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)


def break_disk(at: Path) -> None:
    """Have the kernel find an error on the disk mounted at *at*: it turns read-only."""
    source = subprocess.run(
        ["findmnt", "--noheadings", "--output", "SOURCE", at],
        check=True,
        capture_output=True,
        text=True,
    )
    device = Path(source.stdout.strip()).name
    Path("/sys/fs/ext4", device, "trigger_fs_error").write_text("1")


def fill_disk(directory: Path) -> Path:
    """Write a file that takes all space left on the disk of *directory*, and return it."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler
