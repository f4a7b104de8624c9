"""System calls that Python has no name for. Raise OSError."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

NOREPLACE, EXCHANGE = 1, 2
"""Flags of renameat2(2)."""

KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
"""Flags of fallocate(2)."""

_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100


def rename(source: Path, target: Path, flags: int = 0) -> None:
    """Rename with *flags* of renameat2(2)."""
    if _LIBC.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags):
        raise OSError(ctypes.get_errno(), "renameat2")


def fallocate(handle: int, mode: int, offset: int, length: int) -> None:
    """Give *handle* room, or a hole, by the system call of that name."""
    if _LIBC.fallocate(handle, mode, ctypes.c_long(offset), ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def allocate_on_any_disk(handle: int, mode: int, offset: int, length: int) -> None:
    """Do as `fallocate`, also where the disk knows no ZERO_RANGE (tmpfs)."""
    if not mode & ZERO_RANGE:
        fallocate(handle, mode, offset, length)
        return
    fallocate(handle, PUNCH_HOLE | KEEP_SIZE, offset, length)
    if not mode & KEEP_SIZE:
        fallocate(handle, 0, offset, length)


def copy_range(source: int, start: int, target: int, at: int, length: int) -> int:
    """Copy bytes by copy_file_range(2), which may do less at once; return how many there were."""
    copied = 0
    while more := os.copy_file_range(source, target, length - copied, start + copied, at + copied):
        copied += more
    return copied
