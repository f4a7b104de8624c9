"""Block files opened directly, where the daemon keeps them: its cache, or this mount's staging."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

from lucidnode.fs.format.block import BlockName, BlockOpener
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.staging import cached_path, staged_path

MAX_OPEN = 128
"""Files held open. An evicted block keeps its disk space until we close it, so not many more."""


class BlockFile:
    """An open block file. Closed when the last user lets go of it.

    Threads read from it while the table below may drop it: by counting references, a descriptor
    is never closed, and its number given to another file, under a reader.
    """

    __slots__ = ("_fd",)

    def __init__(self, path: Path) -> None:
        self._fd = -1
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def read(self, offset: int, length: int) -> bytes:
        """Return up to *length* bytes at *offset*. May block on the disk: call it from a thread."""
        return os.pread(self._fd, length, offset)

    def read_now(self, offset: int, length: int) -> memoryview | None:
        """Return the bytes if the kernel has them in memory, else None. Never waits."""
        buffer = bytearray(length)
        try:
            count = os.preadv(self._fd, [buffer], offset, os.RWF_NOWAIT)
        except OSError:
            # Not in memory (EAGAIN), or a file system that cannot tell (EOPNOTSUPP).
            return None
        return memoryview(buffer)[:count]

    @property
    def deleted(self) -> bool:
        """Whether the file has no name any more."""
        return os.fstat(self._fd).st_nlink == 0


class OpenBlock(NamedTuple):
    """A block file, and what opens its segments."""

    file: BlockFile
    opener: BlockOpener


class BlockFiles:
    """The block files used last. Lives in one event loop; the files in it may go to threads."""

    def __init__(self, keys: ProjectKeys, blocks_dir: Path, staging_dir: Path) -> None:
        self._keys = keys
        self._blocks_dir = blocks_dir
        self._staging_dir = staging_dir
        self._open: OrderedDict[BlockId, OpenBlock] = OrderedDict()
        self._touched: set[BlockId] = set()

    def open(self, name: BlockName) -> OpenBlock | None:
        """Return the block if it is on this disk, else None. Raises KeyMissing."""
        known = self._open.get(name.id)
        if known is not None and known.opener.name == name:
            self._open.move_to_end(name.id)
            self._touched.add(name.id)
            return known
        file = self._find(name.id)
        if file is None:
            return None
        opened = self._open[name.id] = OpenBlock(file, BlockOpener(self._keys, name))
        self._touched.add(name.id)
        if len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)
        return opened

    def holds(self, block: BlockId) -> bool:
        """Return whether *block* lies on this disk."""
        return (
            block in self._open
            or cached_path(self._blocks_dir, block).exists()
            or staged_path(self._staging_dir, self._keys.project, block).exists()
        )

    def close(self, block: BlockId) -> None:
        """Let go of *block*'s file, so that the next `open` looks for it again."""
        self._open.pop(block, None)

    def take_touched(self) -> list[BlockId]:
        """Return what was used since the last call. Lets go of files that were evicted."""
        for block in [block for block, opened in self._open.items() if opened.file.deleted]:
            del self._open[block]
        touched, self._touched = list(self._touched), set()
        return touched

    def _find(self, block: BlockId) -> BlockFile | None:
        # Staging second: a block uploaded in between has moved on to the cache. If it moves
        # between the two looks, it is found by the third.
        cached = cached_path(self._blocks_dir, block)
        staged = staged_path(self._staging_dir, self._keys.project, block)
        for path in (cached, staged, cached):
            try:
                return BlockFile(path)
            except FileNotFoundError:
                continue
        return None
