"""Where blocks are written before they are files of the cache: in directories that lie apart on the disk.

ext4 takes a new file's inode from its directory's part of the disk, and looks there at each one that was
deleted in the last minutes before it passes it over. A full cache deletes a file for each that comes, so
with one directory to write in a file took 70 µs of CPU to create after 3,000 deletions, and 15 with
sixteen that lie apart (docs/benchmarks/profiles.md). Other file systems take it for nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from lucidnode.node.client.ids import BlockId

_DIGITS = "0123456789abcdef"

_GET_FLAGS, _SET_FLAGS = 0x8008_6601, 0x4008_6602
"""FS_IOC_GETFLAGS and FS_IOC_SETFLAGS, linux/fs.h; their number is other on some processors, and then the
kernel refuses it."""

_TOP_DIRECTORY = 0x0002_0000
"""FS_TOPDIR_FL: what is made in such a directory are the tops of trees, to lie apart."""

_FLAG_BYTES = 8


class ArrivingFiles:
    """The directory *root* of files that are being written, made when it is first needed.

    So a cache on a disk that is full, or can only be read, is opened all the same. Blocking; raises OSError.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, block: BlockId) -> Path:
        """Return where the file of *block* is written."""
        name = block.hex()
        return self._root / name[0] / name

    def make(self) -> None:
        """Make what is missing of the directories."""
        if not self._root.is_dir():
            self._root.mkdir(mode=0o700)
            with contextlib.suppress(OSError):  # a file system that has no such flag
                _lay_apart_what_is_below(self._root)
        for digit in _DIGITS:
            (self._root / digit).mkdir(mode=0o700, exist_ok=True)

    def empty(self) -> None:
        """Delete what was not written to its end."""
        for digit in _DIGITS:
            with contextlib.suppress(FileNotFoundError):
                for scratch in (self._root / digit).iterdir():
                    scratch.unlink()


def _lay_apart_what_is_below(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = bytearray(_FLAG_BYTES)
        fcntl.ioctl(descriptor, _GET_FLAGS, flags)
        wanted = int.from_bytes(flags, "little") | _TOP_DIRECTORY
        fcntl.ioctl(descriptor, _SET_FLAGS, wanted.to_bytes(_FLAG_BYTES, "little"))
    finally:
        os.close(descriptor)
