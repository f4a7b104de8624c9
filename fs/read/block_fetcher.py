"""Has the daemon bring blocks, one question for everybody who waits, and for a bounded time."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol

from cachetools import LRUCache

from lucidnode.fs.errors import BlockAmiss, HeldBack, Unreadable
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.read.block_files import BlockFiles
from lucidnode.fs.read.reading_programs import ReadingProgram, ReadingPrograms
from lucidnode.node.client import wire
from lucidnode.node.client.backoff import Backoff
from lucidnode.node.client.bad_blocks import Amiss, BadBlocks
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import (
    Archived,
    Corrupt,
    DaemonUnreachable,
    Held,
    NodeError,
    NotThere,
    Unavailable,
    Withheld,
)
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.single_flight import SingleFlight
from lucidnode.node.client.supervision import Tasks

FETCH_TIMEOUT_S = 45.0
"""Seconds that a read waits for the network in all, however many blocks it needs and whoever is
asked. After that, EIO."""

GIVEN_UP_S = 5.0
"""Seconds for which a block that could not be had in that time is not waited for again: the kernel
asks once more for a page whose reading ahead has failed, and that is still the same read."""

SECOND_TIMEOUT_S = 0.5
"""Seconds that such another question waits: enough for a network that has come back."""

MAX_WAITING_READS = 3584
"""Reads that may wait for the network at the same time: the rest of the workers (fs/kernel/session.py) is
kept for what needs none."""

_RETRY_S = 0.25
_MAX_RETRY_S = 4.0
"""Between two such questions, doubling from the first to the last."""

_MAX_UNCACHED_BLOCKS = 8
"""Held in memory because the daemon's disk has no room for them."""

_MAX_LANDED = 1024
"""Blocks that were brought last: more than can be on their way at a time."""


class BlockAsker(NamedTuple):
    """Who waits for blocks, until *deadline* on the boot clock.

    *pid* has opened what is read, as *handle*; 0 if nobody knows, or it is not for a program. *ahead*:
    he has not asked yet.
    """

    deadline: float
    pid: int = 0
    handle: int = 0
    ahead: bool = False


class BlockService(Protocol):
    """The part of the daemon that finds blocks."""

    async def obtain(
        self,
        project: ProjectId,
        block: BlockId,
        *,
        patience_s: float,
        as_bytes: bool = False,
        reading: wire.Reading | None = None,
    ) -> tuple[wire.Source, bytes | None]:
        """Bring *block* into the cache directory; its bytes too if they cannot be kept there.

        With *as_bytes* its bytes in any case. Raises Unavailable after *patience_s* seconds, Withheld
        if *reading* is that of an indexer.
        """


class BlockFetcher:
    """Asks *daemon* for the blocks of one project. Lives in one event loop.

    *fetched* is told where each came from; *bad* remembers those that nobody has right.
    """

    def __init__(
        self,
        project: ProjectId,
        files: BlockFiles,
        daemon: BlockService,
        clock: Clock,
        fetched: Callable[[BlockName, wire.Source], None],
        bad: BadBlocks[BlockId],
        tasks: Tasks,
        programs: ReadingPrograms,
        layer: str,
    ) -> None:
        """*layer* is a name for the handles of the file layer that asks, no other's in this process or past ones."""
        self._programs = programs
        self._layer = layer
        self._project = project
        self._files = files
        self._daemon = daemon
        self._clock = clock
        self._fetched = fetched
        self._bad = bad
        self._fetching: SingleFlight[tuple[BlockId, bool, str], None] = SingleFlight(
            tasks, expected=(Unreadable,)
        )
        """By block, whether its bytes are wanted, and the indexer that wants it, which may get less."""
        self._given_up: OrderedDict[BlockId, float] = OrderedDict()
        """When blocks that nobody could be asked for are waited for in full again, soonest first."""
        self._held_at = -math.inf
        """When it was said last of a block that it waits for its turn."""
        self._waiting = 0
        self._uncached: LRUCache[BlockId, bytes] = LRUCache(_MAX_UNCACHED_BLOCKS)
        """Ciphertext that the daemon could not keep, while a reader goes through it."""
        self._landed: LRUCache[BlockId, None] = LRUCache(_MAX_LANDED)

    def deadline(self) -> float:
        """Return until when, on the boot clock, a read that begins now may wait for the network."""
        return self._clock.boot() + FETCH_TIMEOUT_S

    def uncached(self, block: BlockId) -> bytes | None:
        """Return the ciphertext of *block* if the daemon could not keep it."""
        return self._uncached.get(block)

    def drop_uncached(self, block: BlockId) -> None:
        """Let go of such ciphertext: it is bad."""
        self._uncached.pop(block, None)

    def is_near(self, block: BlockId) -> bool:
        """Tell whether *block* is being fetched, or is here though the daemon could not keep it."""
        return (
            (block, False, "") in self._fetching
            or (block, True, "") in self._fetching
            or block in self._uncached
        )

    def is_worth_asking(self, block: BlockId) -> bool:
        """Tell whether *block* may be had: it was neither bad nor given up lately."""
        return not self._bad.knows(block) and not self._was_given_up(block)

    def may_look_ahead(self, pid: int) -> bool:
        """Tell whether blocks may be fetched before the process *pid* reads them, as far as it is known."""
        program = self._programs.of(pid)
        return program is None or not program.is_held

    async def fetch(self, name: BlockName, asker: BlockAsker, *, as_bytes: bool) -> None:
        """Have the daemon bring a block; everybody who wants it waits for the same question.

        Raises BlockAmiss if nobody has it right, HeldBack if *asker* may not have it fetched, and
        Unreadable if nobody could be asked until his deadline.
        """
        if self._waiting >= MAX_WAITING_READS:
            raise Unreadable("thousands of reads wait for the network already")
        if (amiss := self._bad.lately(name.id)) is not None:
            raise BlockAmiss(name.id, amiss, f"block {name.id.hex()} was {amiss} lately")
        timeout_s = asker.deadline - self._clock.boot()
        if self._was_given_up(name.id):
            timeout_s = min(timeout_s, SECOND_TIMEOUT_S)
        if self._is_held():
            timeout_s = FETCH_TIMEOUT_S  # an earlier block of the same read has had its turn late
        self._waiting += 1
        try:
            while not await self._joined(name, asker, timeout_s, as_bytes=as_bytes):
                timeout_s = FETCH_TIMEOUT_S
        finally:
            self._waiting -= 1

    async def _joined(
        self, name: BlockName, asker: BlockAsker, timeout_s: float, *, as_bytes: bool
    ) -> bool:
        """Wait *timeout_s* for the block; False if it waits for its turn. Raises as `fetch`."""
        program = self._programs.of(asker.pid)
        called = "" if program is None else program.name
        try:
            async with asyncio.timeout(max(timeout_s, 0.0)):
                while True:
                    held = called if program is not None and program.is_held else ""
                    try:
                        await self._fetching.join(
                            (name.id, as_bytes, held),
                            lambda: self._ask(name, asker, program, timeout_s, as_bytes=as_bytes),
                        )
                    except HeldBack as error:
                        if error.program == called and (asker.ahead or not error.ahead):
                            raise
                        continue  # it was said to another, whose question we had joined
                    return True
        except TimeoutError:
            if self._is_held():
                return False
            raise self._gave_up(name.id, "nobody answers") from None

    async def _ask(
        self,
        name: BlockName,
        asker: BlockAsker,
        program: ReadingProgram | None,
        timeout_s: float,
        *,
        as_bytes: bool,
    ) -> None:
        deadline = self._clock.boot() + timeout_s
        # Looked again inside the flight: who looked before the last one landed begins another. That costs
        # a change of threads, so of a block that none has landed with the daemon alone is asked.
        if not as_bytes and name.id in self._landed and await self._files.holds(name.id):
            return
        reading = None
        if program is not None:
            opening = f"{self._layer}-{asker.handle}"
            reading = wire.Reading(program.name, opening, name.size, asker.ahead)
        try:
            source, ciphertext = await self._answer(name, deadline, reading, as_bytes=as_bytes)
        except Withheld as error:
            assert program is not None
            program.is_held = True
            raise HeldBack(program.name, str(error), ahead=asker.ahead) from error
        self._given_up.pop(name.id, None)
        self._landed[name.id] = None
        self._fetched(name, source)
        if ciphertext is not None:
            self._uncached[name.id] = ciphertext

    async def _answer(
        self, name: BlockName, deadline: float, reading: wire.Reading | None, *, as_bytes: bool
    ) -> tuple[wire.Source, bytes | None]:
        """Return where the block is from, and its bytes. Raises as `fetch`, and Withheld."""
        backoff = Backoff(None, _RETRY_S, _MAX_RETRY_S)
        while True:
            left = deadline - self._clock.boot()
            try:
                return await self._daemon.obtain(
                    self._project, name.id, patience_s=left, as_bytes=as_bytes, reading=reading
                )
            except Withheld:
                raise
            except Held:
                self._held_at = self._clock.boot()
                deadline = self._held_at + FETCH_TIMEOUT_S
            except (Unavailable, DaemonUnreachable) as error:
                delay_s = backoff.pause()
                if self._clock.boot() + delay_s > deadline:
                    raise self._gave_up(name.id, str(error)) from error
                await self._clock.sleep(delay_s)
            except Archived as error:
                # Not damaged: it may be back at any time, and asking costs one request.
                raise Unreadable(f"block {name.id.hex()} cannot be fetched: {error}") from error
            except Corrupt as error:
                raise self.amiss(name.id, "damaged", str(error)) from error
            except NotThere as error:
                # Metadata names it, so it is lost, and that is never ENOENT.
                raise self.amiss(name.id, "missing", str(error)) from error
            except NodeError as error:
                raise Unreadable(f"block {name.id.hex()} cannot be fetched: {error}") from error

    def _is_held(self) -> bool:
        """Whether people hold the line to a rate, and blocks wait: slow, and no failure."""
        return self._clock.boot() - self._held_at < FETCH_TIMEOUT_S

    def amiss(self, block: BlockId, amiss: Amiss, reason: str) -> BlockAmiss:
        """Note that nobody has *block* right, because of *reason*; return what to raise."""
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
