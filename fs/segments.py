"""Decrypted segments: from memory, from a block file on this disk, or from the daemon's fetch."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Literal, NamedTuple, Protocol

from lucidnode.fs.block_files import BlockFiles, OpenBlock
from lucidnode.fs.errors import BlockError, Unreadable
from lucidnode.fs.format.block import BlockName, BlockOpener
from lucidnode.fs.format.geometry import SEGMENT
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.node.client import wire
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import DaemonUnreachable, NodeError, Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId

Place = Literal["memory", "disk", "unsent"]
"""Where this mount found plaintext or its ciphertext."""

MAX_MEMORY = 64 * 1024 * 1024
"""Bytes of segments kept. The kernel keeps pages of its own; these serve small reads."""

FETCH_PATIENCE = 45.0
"""Seconds that a read goes on asking while nobody can be reached. After that, EIO."""

_RETRY = 0.25
_LAST_RETRY = 4.0
"""Seconds between two such questions, doubling from the first to the last."""

_INLINE = 2
"""Segments opened without a thread if the kernel has them in memory: some 25 microseconds each."""

_UNKEPT = 8
"""Blocks held in memory because the daemon's disk has no room for them."""


class BlockService(Protocol):
    """The part of the daemon that finds blocks."""

    async def block(self, project: ProjectId, block: BlockId) -> tuple[wire.Source, bytes | None]:
        """Bring *block* into the cache directory; its bytes too if they cannot be kept there."""


class Opened(NamedTuple):
    """Consecutive segments of one block, in plaintext."""

    segments: list[bytes]
    place: Place


class SegmentMemory:
    """The segments used last, up to a limit in bytes."""

    def __init__(self, limit: int = MAX_MEMORY) -> None:
        self._limit = limit
        self._held: OrderedDict[tuple[BlockId, int], bytes] = OrderedDict()
        self.size = 0

    def get(self, block: BlockId, index: int) -> bytes | None:
        """Return a segment if it is held."""
        segment = self._held.get((block, index))
        if segment is not None:
            self._held.move_to_end((block, index))
        return segment

    def put(self, block: BlockId, index: int, segment: bytes) -> None:
        """Hold a segment, and let go of those used longest ago."""
        if self._held.setdefault((block, index), segment) is segment:
            self.size += len(segment)
        while self.size > self._limit:
            _, dropped = self._held.popitem(last=False)
            self.size -= len(dropped)


class Segments:
    """Opens segments of blocks, wherever their ciphertext is. Lives in one event loop."""

    def __init__(
        self,
        *,
        keys: ProjectKeys,
        files: BlockFiles,
        unstaged: Callable[[BlockId], bytes | None],
        daemon: BlockService,
        clock: Clock,
        disk: Executor,
        memory: SegmentMemory,
        fetched: Callable[[BlockName, wire.Source], None],
    ) -> None:
        self._keys = keys
        self._files = files
        self._unstaged = unstaged
        self._daemon = daemon
        self._clock = clock
        self._disk = disk
        self._memory = memory
        self._fetched = fetched
        self._fetching: dict[BlockId, asyncio.Future[None]] = {}
        self._unkept: OrderedDict[BlockId, bytes] = OrderedDict()
        """Ciphertext that the daemon could not keep, while a reader goes through it."""

    async def open(self, name: BlockName, first: int, count: int, *, keep: bool) -> Opened:
        """Return segments [first, first + count) of *name*.

        With *keep* they are held in memory, for reads that will come back. Raises Unreadable once
        no source has given the right bytes, or nobody could be asked for FETCH_PATIENCE.
        """
        held = [self._memory.get(name.id, index) for index in range(first, first + count)]
        if all(segment is not None for segment in held):
            return Opened([segment for segment in held if segment is not None], "memory")
        plaintext = self._unstaged(name.id)
        if plaintext is not None:
            return Opened(_cut(plaintext, first, count), "unsent")
        opened = await self._open(name, first, count)
        if keep:
            for index, segment in enumerate(opened.segments, first):
                self._memory.put(name.id, index, segment)
        return opened

    def near(self, block: BlockId) -> bool:
        """Return whether *block* needs no fetching, or is being fetched."""
        return (
            block in self._fetching
            or block in self._unkept
            or self._unstaged(block) is not None
            or self._files.holds(block)
        )

    async def bring_near(self, name: BlockName) -> bool:
        """Have a block fetched ahead of a read. False if it was near, or cannot be fetched now."""
        if self.near(name.id):
            return False
        try:
            await self._fetch(name)
        except Unreadable:
            # A read that really wants it meets the error itself.
            return False
        return True

    async def _open(self, name: BlockName, first: int, count: int) -> Opened:
        for attempt in range(3):
            opened = self._files.open(name)
            if opened is None and name.id not in self._unkept:
                await self._fetch(name)
                opened = self._files.open(name)
            try:
                if opened is not None:
                    return Opened(await self._from_file(opened, first, count), "disk")
                ciphertext = self._unkept.get(name.id)
                if ciphertext is not None:
                    opener = BlockOpener(self._keys, name)
                    return Opened(_opened(opener, ciphertext, first, count), "disk")
            except (BlockError, OSError):
                # A bad copy. The daemon verifies what it has, drops it and fetches another.
                self._files.close(name.id)
                self._unkept.pop(name.id, None)
                if attempt < 2:
                    await self._fetch(name)
        raise Unreadable(f"block {name.id.hex()} cannot be read right from anywhere")

    async def _from_file(self, opened: OpenBlock, first: int, count: int) -> list[bytes]:
        if count <= _INLINE:
            start, stop = _cipher_range(opened.opener, first, count)
            ciphertext = opened.file.read_now(start, stop - start)
            if ciphertext is not None:
                return _opened(opened.opener, ciphertext, first, count, base=start)
        return await asyncio.get_running_loop().run_in_executor(
            self._disk, _read_and_open, opened, first, count
        )

    async def _fetch(self, name: BlockName) -> None:
        """Have the daemon bring a block; everybody who wants it waits for the same question."""
        flight = self._fetching.get(name.id)
        if flight is not None:
            # Shielded: one reader that goes away must not take the answer from the others.
            await asyncio.shield(flight)
            return
        flight = asyncio.get_running_loop().create_future()
        self._fetching[name.id] = flight
        try:
            await self._ask(name)
        except BaseException as error:
            # Also when this reader is cancelled: those who wait must hear something.
            flight.set_exception(error if isinstance(error, Unreadable) else Unreadable("given up"))
            flight.exception()  # Nobody may be waiting, and that is no mistake.
            raise
        else:
            flight.set_result(None)
        finally:
            del self._fetching[name.id]

    async def _ask(self, name: BlockName) -> None:
        source, ciphertext = await self._answer(name)
        self._fetched(name, source)
        if ciphertext is not None:
            self._unkept[name.id] = ciphertext
            if len(self._unkept) > _UNKEPT:
                self._unkept.popitem(last=False)

    async def _answer(self, name: BlockName) -> tuple[wire.Source, bytes | None]:
        deadline = self._clock.boot() + FETCH_PATIENCE
        delay = _RETRY
        while True:
            try:
                return await self._daemon.block(self._keys.project, name.id)
            except (Unavailable, DaemonUnreachable) as error:
                if self._clock.boot() + delay > deadline:
                    raise Unreadable(f"block {name.id.hex()} cannot be fetched: {error}") from error
                await self._clock.sleep(delay)
                delay = min(delay * 2, _LAST_RETRY)
            except NodeError as error:
                # NotThere as well: metadata names it, so it is lost, and that is never ENOENT.
                raise Unreadable(f"block {name.id.hex()} cannot be fetched: {error}") from error


def _cut(plaintext: bytes, first: int, count: int) -> list[bytes]:
    return [
        plaintext[index * SEGMENT : (index + 1) * SEGMENT] for index in range(first, first + count)
    ]


def _cipher_range(opener: BlockOpener, first: int, count: int) -> tuple[int, int]:
    last = opener.span(first + count - 1)
    return opener.span(first).offset, last.offset + last.length


def _read_and_open(block: OpenBlock, first: int, count: int) -> list[bytes]:
    start, stop = _cipher_range(block.opener, first, count)
    return _opened(block.opener, block.file.read(start, stop - start), first, count, base=start)


def _opened(
    opener: BlockOpener, ciphertext: bytes | memoryview, first: int, count: int, base: int = 0
) -> list[bytes]:
    """Open segments from *ciphertext*, which starts at *base* of the block."""
    view = memoryview(ciphertext)
    spans = (opener.span(index) for index in range(first, first + count))
    return [
        opener.segment(index, view[span.offset - base : span.offset - base + span.length])
        for index, span in enumerate(spans, first)
    ]
