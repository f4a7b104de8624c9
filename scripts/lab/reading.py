"""Reading through a mount the way an application does, with a stopwatch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_STEP = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """How a read went. Seconds and bytes."""

    bytes: int
    seconds: float
    longest_wait: float
    """Of one read() of 1 MiB."""

    @property
    def mb_per_second(self) -> float:
        return self.bytes / self.seconds / 1e6


def forget(path: Path) -> None:
    """Have the kernel drop its pages of *path*, so that the next read asks the mount again."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def read_through(path: Path, *, passed: Callable[[int], None] = lambda _: None) -> Reading:
    """Read all of *path* in order, telling *passed* how far it has come."""
    forget(path)
    total, longest, began = 0, 0.0, time.monotonic()
    handle = os.open(path, os.O_RDONLY)
    try:
        while True:
            asked = time.monotonic()
            piece = os.read(handle, _STEP)
            longest = max(longest, time.monotonic() - asked)
            if not piece:
                return Reading(total, time.monotonic() - began, longest)
            total += len(piece)
            passed(total)
    finally:
        os.close(handle)


def read_at(path: Path, offsets: Sequence[int], size: int) -> list[float]:
    """Read *size* bytes at each of *offsets*, one after the other; returns each one's seconds."""
    forget(path)
    taken = []
    handle = os.open(path, os.O_RDONLY)
    try:
        # Without this the kernel reads 128 KiB around each place, and the next may hit those.
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
        for offset in offsets:
            asked = time.monotonic()
            os.pread(handle, size, offset)
            taken.append(time.monotonic() - asked)
        return taken
    finally:
        os.close(handle)
