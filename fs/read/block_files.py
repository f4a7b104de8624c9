"""Block files opened directly, where the daemon keeps them: its cache, or this mount's staging.

A cache has misses, not errors: whatever its disk does, a block that cannot be had from here is
asked of the daemon. Nothing here waits for a disk on the event loop: files are found, opened, read
and closed in threads (node/client/guarded_disk.py), and those used last stay open, so that only
the first read of a block goes to a thread when the kernel has its bytes in memory.
"""

from __future__ import annotations

import contextlib
import os
import resource
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from lucidnode.fs.channel.device import MIN_DIRECT_BYTES, READS_DIRECTLY, Block
from lucidnode.fs.errors import KeyMissing
from lucidnode.fs.format.block import BlockName, BlockOpener
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.node.client.guarded_disk import GuardedDisk
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.staging import FETCHED, cached_path, staged_path

MAX_OPEN_BLOCKS = 128
"""Files held open. An evicted block keeps its disk space until we close it, so not many more."""

MAX_CHANNEL_OPEN_BLOCKS = 1024
"""The same with the kernel channel: a gigabyte, at the usual block size."""


def most_with_channel() -> int:
    """Return how many block files may be open for the kernel channel, each with three descriptors.

    Raises this process's limit of descriptors as far as it may.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8 * MAX_CHANNEL_OPEN_BLOCKS
    if resource.RLIM_INFINITY != soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return (
        MAX_CHANNEL_OPEN_BLOCKS
        if soft == resource.RLIM_INFINITY
        else max(MAX_OPEN_BLOCKS, min(MAX_CHANNEL_OPEN_BLOCKS, soft // 8))
    )


class BlockFile:
    """An open block file. Closed when the last user lets go of it, in a thread of *disk*.

    Threads read from it while the table below may drop it: by counting references, a descriptor
    is never closed, and its number given to another file, under a reader.
    """

    __slots__ = ("_direct", "_disk", "_fd", "_reads_directly", "came", "shown")

    def __init__(self, path: Path, disk: GuardedDisk, *, directly: bool) -> None:
        """Open *path*; with *directly* for the kernel channel, too. Blocking; raises OSError."""
        self._disk = disk
        self._fd = self._direct = -1
        self.shown: Block | None = None
        """Set once the kernel channel may read it, too."""
        # Not to wait for a writer, should it be a pipe that somebody has put there.
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        self.came = stat.S_IMODE(os.fstat(self._fd).st_mode) == FETCHED
        """Whether it came over the network; what was written here did not."""
        # A segment is what is asked for, or all of the block: nothing around it that the kernel guesses.
        with contextlib.suppress(OSError):
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_RANDOM)
        if directly:
            with contextlib.suppress(OSError):  # not every file system can
                self._direct = os.open(
                    path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_DIRECT
                )
        self._reads_directly = self._direct >= 0

    def __del__(self) -> None:
        for descriptor in (self._fd, self._direct):
            if descriptor >= 0:
                self._disk.afterwards(descriptor)

    @contextlib.contextmanager
    def direct(self) -> Iterator[int]:
        """Lend the descriptor that was opened for the channel, -1 if there is none; closed then, so once."""
        try:
            yield self._direct
        finally:
            if self._direct >= 0:
                os.close(self._direct)  # of a file that is open elsewhere: nothing to wait for
                self._direct = -1

    @property
    def descriptor(self) -> int:
        """The file's number in this process, while this object is there."""
        return self._fd

    def read(self, offset: int, length: int) -> bytes:
        """Return up to *length* bytes at *offset*. May block on the disk: call it from a thread."""
        return os.pread(self._fd, length, offset)

    def read_now(self, offset: int, length: int) -> memoryview | None:
        """Return the bytes if the kernel has all of them in memory, else None. Never waits."""
        buffer = bytearray(length)
        try:
            count = os.preadv(self._fd, [buffer], offset, os.RWF_NOWAIT)
        except OSError:
            # Not in memory (EAGAIN), or a file system that cannot tell (EOPNOTSUPP).
            return None
        # Fewer: the rest is not in memory, or not in the file. A read that may wait will tell.
        return memoryview(buffer) if count == length else None

    def wants_memory(self, request: int) -> bool:
        """Tell whether reads of *request* bytes go faster once the kernel has the file in memory."""
        return not (self._reads_directly and request >= MIN_DIRECT_BYTES)

    def come_into_memory(self) -> None:
        """Have the kernel read all of it, without waiting for that. Call it from a thread all the same."""
        with contextlib.suppress(OSError):
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_WILLNEED)

    @property
    def deleted(self) -> bool:
        """Whether the file has no name any more. Blocking; raises OSError."""
        return os.fstat(self._fd).st_nlink == 0


class OpenBlock(NamedTuple):
    """A block file, and what opens its segments."""

    file: BlockFile
    opener: BlockOpener


class BlockFiles:
    """The block files used last, *most_open* of them. Lives in one event loop; the files in it may go to threads."""

    def __init__(
        self,
        keys: ProjectKeys,
        blocks_dir: Path,
        staging_dir: Path,
        disk: GuardedDisk,
        *,
        most_open: int,
        channel: bool,
    ) -> None:
        """With *channel*, files are opened for the kernel channel, too."""
        self._most_open = most_open
        self._directly = channel and READS_DIRECTLY
        self._keys = keys
        self._blocks_dir = blocks_dir
        self._staging_dir = staging_dir
        self._disk = disk
        self._open: OrderedDict[BlockId, OpenBlock] = OrderedDict()
        self._touched: set[BlockId] = set()

    @property
    def left_alone(self) -> bool:
        """Return whether the disk fails, so that no file is found on it now."""
        return self._disk.left_alone

    def use(self, name: BlockName) -> OpenBlock | None:
        """Return the block if its file is open already, and note that it was read."""
        opened = self.peek(name)
        if opened is None:
            return None
        self._open.move_to_end(name.id)
        self._touched.add(name.id)
        return opened

    def peek(self, name: BlockName) -> OpenBlock | None:
        """Return the block if its file is open already; that is no use of it."""
        found = self._open.get(name.id)
        return found if found is not None and found.opener.name == name else None

    def used(self, block: BlockId) -> None:
        """Note that *block* was read by others than those who asked here for it."""
        self._touched.add(block)
        if block in self._open:
            self._open.move_to_end(block)

    def came(self, block: BlockId) -> bool:
        """Tell whether *block*, whose file is open, came over the network; False if it is not open."""
        opened = self._open.get(block)
        return opened is not None and opened.file.came

    async def open(self, name: BlockName) -> OpenBlock | None:
        """Return the block if it can be had from this disk, else None. Raises KeyMissing."""
        opened = self.use(name)
        if opened is not None:
            return opened
        file = await self._found(name.id)
        if file is None:
            return None
        opened = self._keep(name, file)
        self._touched.add(name.id)
        return opened

    async def open_here(
        self, names: Sequence[BlockName], *, ahead_of: int | None
    ) -> list[BlockName]:
        """Open those of *names* that are on this disk, in one look; return the others.

        That is no use of them. *ahead_of* reads of so many bytes the kernel is asked to read all of them
        into memory, where that helps.
        """
        opened = [block.file for block in map(self.peek, names) if block is not None]
        closed = [name for name in names if self.peek(name) is None]
        look = self._look(closed, opened=opened, ahead_of=ahead_of)
        absent = []
        for name, file in zip(closed, await self._looked(look, len(closed)), strict=True):
            if file is None:
                absent.append(name)
            elif self.peek(name) is None:
                with contextlib.suppress(KeyMissing):  # a read that really wants it meets it itself
                    self._keep(name, file)
        return absent

    async def absent(self, names: Sequence[BlockName]) -> list[BlockName]:
        """Return those of *names* that are not on this disk, in one look."""
        closed = [name for name in names if self.peek(name) is None]
        found = await self._looked(self._look(closed), len(closed))
        return [name for name, file in zip(closed, found, strict=True) if file is None]

    def _keep(self, name: BlockName, file: BlockFile) -> OpenBlock:
        """Hold *file* open as the block *name*, and let go of the one used longest ago. Raises KeyMissing."""
        opened = self._open[name.id] = OpenBlock(file, BlockOpener(self._keys, name))
        if len(self._open) > self._most_open:
            self._open.popitem(last=False)
        return opened

    async def holds(self, block: BlockId) -> bool:
        """Return whether *block* can be had from this disk."""
        return block in self._open or await self._found(block) is not None

    def is_open(self, block: BlockId) -> bool:
        """Return whether the file of *block* is open."""
        return block in self._open

    def wants_memory(self, block: BlockId, request: int) -> bool:
        """Tell whether the file of *block* is open, and reads of *request* bytes want it in memory."""
        opened = self._open.get(block)
        return opened is not None and opened.file.wants_memory(request)

    def close(self, block: BlockId) -> None:
        """Let go of *block*'s file, so that the next `open` looks for it again."""
        self._open.pop(block, None)

    async def take_touched(self) -> list[BlockId]:
        """Return what was used since the last call. Lets go of files that were evicted."""
        files = [(block, opened.file) for block, opened in self._open.items()]
        with contextlib.suppress(OSError):
            for block in await self._disk.look(partial(_deleted, files)):
                self._open.pop(block, None)
        touched, self._touched = list(self._touched), set()
        return touched

    async def _found(self, block: BlockId) -> BlockFile | None:
        look = partial(_all, [self._paths(block)], self._disk, directly=self._directly)
        [file] = await self._looked(look, 1)
        return file

    def _look(
        self,
        closed: Sequence[BlockName],
        *,
        opened: Sequence[BlockFile] = (),
        ahead_of: int | None = None,
    ) -> Callable[[], list[BlockFile | None]]:
        """Return a look for *closed* that has the kernel read them and *opened* for reads of *ahead_of*."""
        return partial(
            _all,
            [self._paths(name.id) for name in closed],
            self._disk,
            directly=self._directly,
            opened=opened,
            ahead_of=ahead_of,
        )

    async def _looked(
        self, look: Callable[[], list[BlockFile | None]], count: int
    ) -> list[BlockFile | None]:
        """Return what *look* finds of *count* files: nothing on a disk that fails."""
        try:
            return await self._disk.look(look)
        except OSError:
            return [None] * count

    def _paths(self, block: BlockId) -> tuple[Path, ...]:
        # Staging second: a block uploaded in between has moved on to the cache. If it moves
        # between the two looks, it is found by the third.
        cached = cached_path(self._blocks_dir, block)
        return cached, staged_path(self._staging_dir, self._keys.project, block), cached


def _all(
    places: list[tuple[Path, ...]],
    disk: GuardedDisk,
    *,
    directly: bool,
    opened: Sequence[BlockFile] = (),
    ahead_of: int | None = None,
) -> list[BlockFile | None]:
    """Open the first file that is there of each of *places*. Raises OSError.

    *ahead_of* reads of so many bytes they and those that are *opened* already come into memory.
    """
    files = [_first(paths, disk, directly=directly) for paths in places]
    if ahead_of is not None:
        for file in [*opened, *files]:
            if file is not None and file.wants_memory(ahead_of):
                file.come_into_memory()
    return files


def _first(paths: tuple[Path, ...], disk: GuardedDisk, *, directly: bool) -> BlockFile | None:
    """Open the first of *paths* that is there. Raises the last fault met if none can be had."""
    fault: OSError | None = None
    for path in paths:
        try:
            return BlockFile(path, disk, directly=directly)
        except FileNotFoundError:
            continue
        except OSError as error:
            fault = error
    if fault is not None:
        raise fault
    return None


def _deleted(files: list[tuple[BlockId, BlockFile]]) -> list[BlockId]:
    return [block for block, file in files if file.deleted]
