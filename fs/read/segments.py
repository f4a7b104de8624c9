"""Decrypted segments: from memory, from a block file on this disk, or from the daemon's fetch."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, Protocol

from cachetools import LRUCache

from lucidnode.fs.errors import BlockAmiss, BlockError, FsError, Unreadable
from lucidnode.fs.format.block import BlockName, BlockOpener
from lucidnode.fs.format.geometry import SEGMENT
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.read.block_files import BlockFiles, OpenBlock
from lucidnode.node.client import wire
from lucidnode.node.client.backoff import Backoff
from lucidnode.node.client.bad_blocks import Amiss, BadBlocks
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import (
    Archived,
    Corrupt,
    DaemonUnreachable,
    NodeError,
    NotThere,
    Unavailable,
)
from lucidnode.node.client.guarded_disk import GuardedDisk
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.single_flight import SingleFlight
from lucidnode.node.client.supervision import Tasks

ReadSource = Literal["memory", "disk", "unsent"]
"""Where this mount found plaintext or its ciphertext."""

MAX_MEMORY = 64 * 1024 * 1024
"""Bytes of segments kept. The kernel keeps pages of its own; these serve small reads."""

FETCH_TIMEOUT_S = 45.0
"""Seconds that a read waits for the network in all, however many blocks it needs and whoever is
asked. After that, EIO."""

GIVEN_UP_S = 5.0
"""Seconds for which a block that could not be had in that time is not waited for again: the kernel
asks once more for a page whose reading ahead has failed, and that is still the same read."""

SECOND_TIMEOUT_S = 0.5
"""Seconds that such another question waits: enough for a network that has come back."""

MAX_WAITING = 3584
"""Reads that may wait for the network at the same time: the rest of the workers (fs/kernel/session.py) is
kept for what needs none."""

_RETRY_S = 0.25
_MAX_RETRY_S = 4.0
"""Seconds between two such questions, doubling from the first to the last."""

_INLINE = 2
"""Segments opened without a thread if the kernel has them in memory: some 25 microseconds each."""

_ATTEMPTS = 3

_UNKEPT = 8
"""Blocks held in memory because the daemon's disk has no room for them."""


class BlockService(Protocol):
    """The part of the daemon that finds blocks."""

    async def block(
        self, project: ProjectId, block: BlockId, *, patience_s: float, as_bytes: bool = False
    ) -> tuple[wire.Source, bytes | None]:
        """Bring *block* into the cache directory; its bytes too if they cannot be kept there.

        With *as_bytes* its bytes in any case. Raises Unavailable after *patience_s* seconds.
        """


class Opened(NamedTuple):
    """Consecutive segments of one block, in plaintext."""

    segments: list[bytes]
    place: ReadSource


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
        disk: GuardedDisk,
        memory: SegmentMemory,
        fetched: Callable[[BlockName, wire.Source], None],
        bad: BadBlocks[BlockId],
        tasks: Tasks,
    ) -> None:
        self._keys = keys
        self._files = files
        self._unstaged = unstaged
        self._daemon = daemon
        self._clock = clock
        self._disk = disk
        self._memory = memory
        self._fetched = fetched
        self._bad = bad
        self._fetching: SingleFlight[tuple[BlockId, bool], None] = SingleFlight(
            tasks, expected=(Unreadable,)
        )
        self._given_up: OrderedDict[BlockId, float] = OrderedDict()
        """When blocks that nobody could be asked for are waited for in full again, soonest first."""
        self._waiting = 0
        self._unkept: LRUCache[BlockId, bytes] = LRUCache(_UNKEPT)
        """Ciphertext that the daemon could not keep, while a reader goes through it."""

    def deadline(self) -> float:
        """Return until when, on the boot clock, a read that begins now may wait for the network."""
        return self._clock.boot() + FETCH_TIMEOUT_S

    async def open(
        self, name: BlockName, first: int, count: int, *, keep: bool, deadline: float
    ) -> Opened:
        """Return segments [first, first + count) of *name*.

        With *keep* they are held in memory, for reads that will come back. Raises BlockAmiss once
        every source has given wrong bytes or none has it, and Unreadable if nobody could be asked
        until *deadline*.
        """
        held = [self._memory.get(name.id, index) for index in range(first, first + count)]
        if all(segment is not None for segment in held):
            return Opened([segment for segment in held if segment is not None], "memory")
        plaintext = self._unstaged(name.id)
        if plaintext is not None:
            return Opened(_cut(plaintext, first, count), "unsent")
        opened = await self._open(name, first, count, deadline)
        if keep:
            for index, segment in enumerate(opened.segments, first):
                self._memory.put(name.id, index, segment)
        return opened

    def near(self, block: BlockId) -> bool:
        """Return whether *block* is known to need no fetching, or is being fetched."""
        return (
            (block, False) in self._fetching
            or (block, True) in self._fetching
            or block in self._unkept
            or self._unstaged(block) is not None
            or self._files.is_open(block)
        )

    async def prefetch(self, name: BlockName) -> bool:
        """Have a block fetched ahead of a read. False if it was near, or cannot be fetched now."""
        if self.near(name.id) or await self._files.holds(name.id):
            return False
        if self._bad.knows(name.id) or self._was_given_up(name.id):
            return False
        try:
            await self._fetch(name, self.deadline(), as_bytes=False)
        except Unreadable:
            # A read that really wants it meets the error itself.
            return False
        return True

    async def open_ahead(self, name: BlockName) -> None:
        """Open the file of a block if it is on this disk, and have its bytes come into memory."""
        with contextlib.suppress(FsError):
            opened = await self._files.open(name)
            if opened is not None:
                opened.file.come_into_memory()

    async def opens(self, name: BlockName) -> bool:
        """Tell whether all of a block can be had and opened now, however bad it was lately."""
        self._bad.ask_again(name.id)
        count = -(-name.size // SEGMENT)
        try:
            await self.open(name, 0, count, keep=False, deadline=self.deadline())
        except FsError:
            return False
        return True

    def used(self, block: BlockId) -> None:
        """Note that *block* was read from its file by the kernel channel."""
        self._files.used(block)

    async def _open(self, name: BlockName, first: int, count: int, deadline: float) -> Opened:
        for attempt in range(_ATTEMPTS):
            opened = None
            if name.id not in self._unkept:
                opened = await self._files.open(name)
            if opened is None and name.id not in self._unkept:
                # After a first question in vain its answer was a file that we cannot open.
                await self._fetch(name, deadline, as_bytes=attempt > 0 or self._files.left_alone)
                if name.id not in self._unkept:
                    opened = await self._files.open(name)
            try:
                plain = await self._opened(name, opened, first, count)
            except (BlockError, OSError) as error:
                # A bad copy. The daemon verifies what it has, drops it and fetches another.
                self._files.close(name.id)
                self._unkept.pop(name.id, None)
                if attempt + 1 == _ATTEMPTS and isinstance(error, BlockError):
                    raise self._amiss(name.id, "damaged", "does not open") from error
                await self._fetch(name, deadline, as_bytes=True)
            else:
                if plain is not None:
                    self._bad.good(name.id)
                    return Opened(plain, "disk")
        raise Unreadable(f"block {name.id.hex()} cannot be read right from anywhere")

    async def _opened(
        self, name: BlockName, opened: OpenBlock | None, first: int, count: int
    ) -> list[bytes] | None:
        if opened is not None:
            return await self._from_file(opened, first, count)
        ciphertext = self._unkept.get(name.id)
        if ciphertext is not None:
            return _opened(BlockOpener(self._keys, name), ciphertext, first, count)
        return None

    async def _from_file(self, opened: OpenBlock, first: int, count: int) -> list[bytes]:
        if count <= _INLINE:
            start, stop = _cipher_range(opened.opener, first, count)
            ciphertext = opened.file.read_now(start, stop - start)
            if ciphertext is not None:
                return _opened(opened.opener, ciphertext, first, count, base=start)
        return await self._disk.look(partial(_read_and_open, opened, first, count))

    # -- asking the daemon -------------------------------------------------------------------

    async def _fetch(self, name: BlockName, deadline: float, *, as_bytes: bool) -> None:
        """Have the daemon bring a block; everybody who wants it waits for the same question."""
        if self._waiting >= MAX_WAITING:
            raise Unreadable("thousands of reads wait for the network already")
        if (amiss := self._bad.lately(name.id)) is not None:
            raise BlockAmiss(name.id, amiss, f"block {name.id.hex()} was {amiss} lately")
        timeout_s = deadline - self._clock.boot()
        if self._was_given_up(name.id):
            timeout_s = min(timeout_s, SECOND_TIMEOUT_S)
        self._waiting += 1
        try:
            async with asyncio.timeout(max(timeout_s, 0.0)):
                await self._fetching.join(
                    (name.id, as_bytes),
                    lambda: self._ask(name, self._clock.boot() + timeout_s, as_bytes=as_bytes),
                )
        except TimeoutError:
            raise self._gave_up(name.id, "nobody answers") from None
        finally:
            self._waiting -= 1

    async def _ask(self, name: BlockName, deadline: float, *, as_bytes: bool) -> None:
        # Looked again inside the flight: who looked before the last one landed begins another.
        if not as_bytes and await self._files.holds(name.id):
            return
        source, ciphertext = await self._answer(name, deadline, as_bytes=as_bytes)
        self._given_up.pop(name.id, None)
        self._fetched(name, source)
        if ciphertext is not None:
            self._unkept[name.id] = ciphertext

    async def _answer(
        self, name: BlockName, deadline: float, *, as_bytes: bool
    ) -> tuple[wire.Source, bytes | None]:
        backoff = Backoff(None, _RETRY_S, _MAX_RETRY_S)
        while True:
            left = deadline - self._clock.boot()
            try:
                return await self._daemon.block(
                    self._keys.project, name.id, patience_s=left, as_bytes=as_bytes
                )
            except (Unavailable, DaemonUnreachable) as error:
                delay = backoff.pause()
                if self._clock.boot() + delay > deadline:
                    raise self._gave_up(name.id, str(error)) from error
                await self._clock.sleep(delay)
            except Archived as error:
                # Not damaged: it may be back at any time, and asking costs one request.
                raise Unreadable(f"block {name.id.hex()} cannot be fetched: {error}") from error
            except Corrupt as error:
                raise self._amiss(name.id, "damaged", str(error)) from error
            except NotThere as error:
                # Metadata names it, so it is lost, and that is never ENOENT.
                raise self._amiss(name.id, "missing", str(error)) from error
            except NodeError as error:
                raise Unreadable(f"block {name.id.hex()} cannot be fetched: {error}") from error

    def _amiss(self, block: BlockId, amiss: Amiss, reason: str) -> BlockAmiss:
        self._bad.note(block, amiss)
        return BlockAmiss(block, amiss, f"block {block.hex()} is {amiss}: {reason}")

    def _gave_up(self, block: BlockId, reason: str) -> Unreadable:
        self._given_up[block] = self._clock.boot() + GIVEN_UP_S
        self._given_up.move_to_end(block)
        return Unreadable(f"block {block.hex()} cannot be fetched: {reason}")

    def _was_given_up(self, block: BlockId) -> bool:
        now = self._clock.boot()
        while self._given_up and next(iter(self._given_up.values())) <= now:
            self._given_up.popitem(last=False)
        return block in self._given_up


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
