"""Decrypted segments: from memory, from a block file on this disk, or from the daemon's fetch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

from lucidnode.fs.errors import BlockError, FsError, Unreadable
from lucidnode.fs.format.block import BlockName, BlockOpener
from lucidnode.fs.format.geometry import SEGMENT_BYTES
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.read.block_fetcher import BlockAsker, BlockFetcher
from lucidnode.fs.read.block_files import BlockFiles, OpenBlock
from lucidnode.fs.read.decryption import cipher_range, cut, decrypted, decrypted_from_file
from lucidnode.fs.read.segment_memory import SegmentMemory
from lucidnode.node.client.bad_blocks import BadBlocks
from lucidnode.node.client.guarded_disk import GuardedDisk
from lucidnode.node.client.ids import BlockId

_INLINE_SEGMENTS = 2
"""Opened without a thread if the kernel has them in memory: some 25 microseconds each."""

_ATTEMPTS = 3

ReadSource = Literal["memory", "disk", "unsent"]
"""Where this mount found plaintext or its ciphertext."""


class FoundSegments(NamedTuple):
    """Consecutive segments of one block, in plaintext."""

    segments: list[bytes]
    place: ReadSource


class Segments:
    """Opens segments of blocks, wherever their ciphertext is. Lives in one event loop."""

    def __init__(
        self,
        *,
        keys: ProjectKeys,
        files: BlockFiles,
        plaintext_of: Callable[[BlockId], bytes | None],
        fetcher: BlockFetcher,
        disk: GuardedDisk,
        memory: SegmentMemory,
        bad: BadBlocks[BlockId],
    ) -> None:
        self._keys = keys
        self._files = files
        self._plaintext_of = plaintext_of
        self._fetcher = fetcher
        self._disk = disk
        self._memory = memory
        self._bad = bad

    def deadline(self) -> float:
        """Return until when, on the boot clock, a read that begins now may wait for the network."""
        return self._fetcher.deadline()

    async def open(
        self, name: BlockName, first: int, count: int, *, keep: bool, asker: BlockAsker
    ) -> FoundSegments:
        """Return segments [first, first + count) of *name*.

        With *keep* they are held in memory, for reads that will come back. Raises BlockAmiss once
        every source has given wrong bytes or none has it, HeldBack if *asker* may not have it fetched,
        and Unreadable if nobody could be asked until his deadline.
        """
        held = [self._memory.get(name.id, index) for index in range(first, first + count)]
        if all(segment is not None for segment in held):
            return FoundSegments([segment for segment in held if segment is not None], "memory")
        plaintext = self._plaintext_of(name.id)
        if plaintext is not None:
            return FoundSegments(cut(plaintext, first, count), "unsent")
        found = await self._from_block(name, first, count, asker)
        if keep:
            for index, segment in enumerate(found.segments, first):
                self._memory.put(name.id, index, segment)
        return found

    def in_memory(self, block: BlockId, index: int) -> bytes | None:
        """Return a segment if it is held in memory."""
        return self._memory.get(block, index)

    def is_near(self, block: BlockId) -> bool:
        """Return whether *block* is known to need no fetching, or is being fetched."""
        return (
            self._fetcher.is_near(block)
            or self._plaintext_of(block) is not None
            or self._files.is_open(block)
        )

    def wants_memory(self, block: BlockId, request: int) -> bool:
        """Tell whether the file of *block* is open, and reads of *request* bytes want it in memory."""
        return self._files.wants_memory(block, request)

    async def prefetch(self, name: BlockName, pid: int) -> bool:
        """Have a block fetched ahead of a read by *pid*. False if it was near, or cannot be fetched now."""
        if (
            self.is_near(name.id)
            or not self._fetcher.is_worth_asking(name.id)
            or not self._fetcher.may_look_ahead(pid)
        ):
            return False
        try:
            asker = BlockAsker(self.deadline(), pid, ahead=True)
            await self._fetcher.fetch(name, asker, as_bytes=False)
        except Unreadable:
            # A read that really wants it meets the error itself.
            return False
        return True

    async def absent(self, names: Sequence[BlockName]) -> list[BlockName]:
        """Return those of *names* that are not on this disk."""
        return await self._files.absent(names)

    async def open_here(
        self, names: Sequence[BlockName], *, ahead_of: int | None = None
    ) -> list[BlockName]:
        """Open the files of those of *names* that are on this disk; return the others.

        *ahead_of* reads of so many bytes all of them come into memory, where that helps, while nobody waits.
        """
        return await self._files.open_here(names, ahead_of=ahead_of)

    async def can_open(self, name: BlockName) -> bool:
        """Tell whether all of a block can be had and opened now, however bad it was lately."""
        self._bad.ask_again(name.id)
        count = -(-name.size // SEGMENT_BYTES)
        try:
            await self.open(name, 0, count, keep=False, asker=BlockAsker(self.deadline()))
        except FsError:
            return False
        return True

    def used(self, block: BlockId) -> None:
        """Note that *block* was read from its file by the kernel channel."""
        self._files.used(block)

    async def _from_block(
        self, name: BlockName, first: int, count: int, asker: BlockAsker
    ) -> FoundSegments:
        for attempt in range(_ATTEMPTS):
            opened = None
            if self._fetcher.uncached(name.id) is None:
                opened = await self._files.open(name)
            if opened is None and self._fetcher.uncached(name.id) is None:
                # After a first question in vain its answer was a file that we cannot open.
                await self._fetcher.fetch(
                    name, asker, as_bytes=attempt > 0 or self._files.left_alone
                )
                if self._fetcher.uncached(name.id) is None:
                    opened = await self._files.open(name)
            try:
                plain = await self._decrypted(name, opened, first, count)
            except (BlockError, OSError) as error:
                # A bad copy. The daemon verifies what it has, drops it and fetches another.
                self._files.close(name.id)
                self._fetcher.drop_uncached(name.id)
                if attempt + 1 == _ATTEMPTS and isinstance(error, BlockError):
                    raise self._fetcher.amiss(name.id, "damaged", "does not open") from error
                await self._fetcher.fetch(name, asker, as_bytes=True)
            else:
                if plain is not None:
                    self._bad.good(name.id)
                    return FoundSegments(plain, "disk")
        raise Unreadable(f"block {name.id.hex()} cannot be read right from anywhere")

    async def _decrypted(
        self, name: BlockName, opened: OpenBlock | None, first: int, count: int
    ) -> list[bytes] | None:
        if opened is not None:
            return await self._from_file(opened, first, count)
        ciphertext = self._fetcher.uncached(name.id)
        if ciphertext is not None:
            return decrypted(BlockOpener(self._keys, name), ciphertext, first, count)
        return None

    async def _from_file(self, opened: OpenBlock, first: int, count: int) -> list[bytes]:
        if count <= _INLINE_SEGMENTS:
            start, stop = cipher_range(opened.opener, first, count)
            ciphertext = opened.file.read_now(start, stop - start)
            if ciphertext is not None:
                return decrypted(opened.opener, ciphertext, first, count, base=start)
        return await self._disk.look(partial(decrypted_from_file, opened, first, count))
