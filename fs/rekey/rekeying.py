"""Has files lie in blocks of the newest epoch, which nobody can open who was put out before.

Block by block: read, opened, sealed anew, uploaded, and named by an entry in which the extents lie in
the new block (`Rekey`). What a file holds, its version and its times stay; a writer who comes first
wins. Any number of these may run at once, and each may die between any two steps: the same content
gives the same block, and what is left to do is what the tree says (docs/design/0027-rekey.md).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Protocol

from cachetools import LRUCache

from lucidnode.fs.commit.journal_client import JournalClient
from lucidnode.fs.commit.repair.access import RepairAccess
from lucidnode.fs.commit.repair.replay import Bystander, caught_up
from lucidnode.fs.errors import FormatError, NoSpace
from lucidnode.fs.format.block import BlockName, open_block, seal
from lucidnode.fs.format.project_facts import (
    REKEY,
    RekeyProgress,
    encoded_fact,
    rekey_progress_in,
)
from lucidnode.fs.history.restored_work import commit
from lucidnode.fs.rekey.throttle import Throttle
from lucidnode.fs.replica.intents import Fact, MovedExtent, Rekey
from lucidnode.fs.replica.old_blocks import BEGINNING, OldExtent
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.replica.tree.extent_table import SLICE_EXTENTS
from lucidnode.fs.write.other_block import other_plaintext
from lucidnode.node.client.backoff import Backoff
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import (
    Corrupt,
    DaemonUnreachable,
    DiskFull,
    NodeError,
    NotThere,
    Unavailable,
)
from lucidnode.node.client.file_blocks import Evicted
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.in_turn import in_turn
from lucidnode.node.client.staging import make_room_for, stage_soon
from lucidnode.node.client.wire import Source

_BLOCKS_AT_ONCE = 64
"""Blocks that are uploaded, and then named by an entry. What a kill costs at most is to upload them again."""

_BYTES_AT_ONCE = 64 * 1024 * 1024

_EXTENTS_AT_ONCE = 2048

_IN_HAND = 4
"""Blocks in memory at once, twice each."""

_REMEMBERED = 65536
"""Blocks of which is remembered what they became: several files may lie in one."""

_LAST_RANK = 32
"""Behind everything that people save: see `rank` of fs/write/staging_notifier.py."""

_PATIENCE_S = 40.0
"""Seconds that one block may take to come."""

_OUTAGE_S = 600.0
"""Seconds for which the bucket may be away, or the daemon."""

_ENTRY_PATIENCE_S = 3600.0
"""Seconds without any entry after which it is given up: an upload behind those of people takes its time."""

_MOST_PASSES = 8
"""Over the tree: while it is gone through, others copy what lies in old blocks."""


class RekeyedBlocks(Protocol):
    """Where old blocks come from and new ones go (DaemonBlocks). Everything raises NodeError."""

    async def obtain(
        self, project: ProjectId, block: BlockId, *, patience_s: float, as_bytes: bool = False
    ) -> tuple[Source, bytes | None]:
        """Return *block* as bytes, and where it came from."""

    async def staged(
        self, project: ProjectId, blocks: Sequence[BlockId], ranks: Sequence[int]
    ) -> None:
        """Take note that *blocks* lie in staging; those of lower *ranks* are wanted earlier."""


class CachedBlocks(Protocol):
    """The blocks of files as they are cached here (DaemonFileBlocks)."""

    async def evict(self, project: ProjectId, blocks: Sequence[BlockId]) -> Evicted:
        """Have *blocks* leave the cache here. Raises NodeError."""


@dataclass(slots=True)
class Rekeyed:
    """What was done: *blocks* of *bytes* of plaintext sealed anew in *epoch*, and what is left.

    Of the blocks that are *lost* it says why they could not be had.
    """

    epoch: int
    blocks: int = 0
    bytes: int = 0
    left_blocks: int = 0
    left_bytes: int = 0
    lost: dict[BlockId, str] = field(default_factory=dict)


def is_told_otherwise(replica: Replica, epoch: int) -> bool:
    """Tell whether the project says that blocks are older than *epoch*, or speaks of an earlier one.

    Where none is, that is to be put right: whoever began may have been killed, and what was left then
    may have been deleted or written anew since.
    """
    said = rekey_progress_in(replica.tree.fact(REKEY))
    return said is not None and (said.epoch, said.blocks) != (epoch, 0)


class Rekeying:
    """Works through one project, on a *replica* of its own on which nothing else waits.

    *progress* hears the plain bytes of each block that is named by an entry. Lives in one event loop.
    """

    def __init__(
        self,
        replica: Replica,
        journal: JournalClient,
        blocks: RekeyedBlocks,
        cache: CachedBlocks,
        access: RepairAccess,
        staging_dir: Path,
        throttle: Throttle,
        clock: Clock,
        progress: Callable[[int], None],
    ) -> None:
        self._replica = replica
        self._journal = journal
        self._blocks = blocks
        self._cache = cache
        self._access = access
        self._keys = access.keys()
        self._staging_dir = staging_dir
        self._throttle = throttle
        self._clock = clock
        self._progress = progress
        self._others: LRUCache[BlockId, BlockName] = LRUCache(_REMEMBERED)
        self._told = Rekeyed(self._keys.current)
        self._total = (0, 0)
        self._strangers: list[BlockId] = []
        """New blocks, named by now, of old ones that were not in the cache here: nor need they be."""

    async def run(self) -> Rekeyed:
        """Go on until nothing is left. Raises a NodeError or an FsError: what was named by then stays so."""
        self._total = self._replica.old_blocks.amount(self._keys.current)
        for _ in range(_MOST_PASSES):
            if not await self._went_through():
                break
            await caught_up(
                self._journal,
                self._access,
                self._replica,
                self._clock,
                Bystander(self._access),
            )
        self._told.epoch = self._keys.current
        left = self._replica.old_blocks.amount(self._keys.current)
        self._told.left_blocks, self._told.left_bytes = left
        await self._say(*left)
        await self._let_go([])
        return self._told

    async def _went_through(self) -> bool:
        """Go through all files once; tell whether anything was sealed anew, or by somebody else."""
        epoch, after, found_any = self._keys.current, BEGINNING, False
        while some := self._some(self._replica.old_blocks.behind(after, epoch, _EXTENTS_AT_ONCE)):
            after = some[-1].ino, some[-1].offset
            named = {extent.block.id: extent.block for extent in some}
            come = await self._seal_anew([each for each in named.values() if self._is_new(each)])
            moved = [extent for extent in some if extent.block.id in self._others]
            if moved:
                found_any = True
                await self._name(moved, [block for block, _ in come])
                await self._let_go(come)
        return found_any

    def _is_new(self, block: BlockName) -> bool:
        """Tell whether *block* is still to be sealed anew, and may be had."""
        other = self._others.get(block.id)
        if other is not None and other.epoch < self._keys.current:
            del self._others[block.id]  # another epoch has begun since
            other = None
        return other is None and block.id not in self._told.lost

    def _some(self, extents: list[OldExtent]) -> list[OldExtent]:
        """Return the first of *extents*: as many as there is room for the blocks of at once."""
        blocks: dict[BlockId, int] = {}
        for count, extent in enumerate(extents):
            if extent.block.id not in blocks and self._is_new(extent.block):
                size = sum(blocks.values()) + extent.block.size
                if blocks and (len(blocks) == _BLOCKS_AT_ONCE or size > _BYTES_AT_ONCE):
                    return extents[:count]
                blocks[extent.block.id] = extent.block.size
        return extents

    async def _seal_anew(self, blocks: Sequence[BlockName]) -> list[tuple[BlockName, Source]]:
        """Have what is in *blocks* staged in others, and on its way; return those, and where they came from."""
        turns = asyncio.Semaphore(_IN_HAND)
        come: list[tuple[BlockName, Source]] = []

        async def one(block: BlockName) -> None:
            async with turns:
                if (source := await self._sealed_anew(block)) is not None:
                    come.append((block, source))

        if blocks:
            await asyncio.to_thread(make_room_for, self._staging_dir, self._keys.project)
        try:
            async with asyncio.TaskGroup() as tasks:
                for block in blocks:
                    tasks.create_task(one(block))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        return come

    async def _sealed_anew(self, block: BlockName) -> Source | None:
        """Have *block* staged anew, and say where it came from; None if it is lost. Raises NoSpace."""
        project = self._keys.project
        try:
            source, sealed = await self._fetched(block.id)
            plaintext = await asyncio.to_thread(open_block, self._keys, block, sealed)
        except (NotThere, Corrupt, FormatError) as error:
            self._told.lost[block.id] = str(error)
            return None
        other, ciphertext = await asyncio.to_thread(seal, self._keys, plaintext)
        while self._replica.collected.is_listed(other.id):
            longer = other_plaintext(plaintext)
            if longer is None:
                self._told.lost[block.id] = "no other block has room for what it holds"
                return None
            plaintext = longer
            other, ciphertext = await asyncio.to_thread(seal, self._keys, plaintext)
        try:
            await asyncio.to_thread(stage_soon, self._staging_dir, project, other.id, ciphertext)
        except DiskFull as error:
            raise NoSpace("the disk of the cache directory is full") from error
        with contextlib.suppress(NodeError):  # a hint: the daemon finds it by itself, but later
            await self._blocks.staged(project, [other.id], [_LAST_RANK])
        self._others[block.id] = other
        await self._throttle.spend(block.size)
        return source

    async def _fetched(self, block: BlockId) -> tuple[Source, bytes]:
        """Return *block* and where it came from, through an outage if need be. Raises a NodeError."""
        given_up_at, pauses = self._clock.boot() + _OUTAGE_S, Backoff(None, 1.0, 30.0)
        while True:
            try:
                source, sealed = await in_turn(
                    self._blocks.obtain,
                    self._keys.project,
                    block,
                    patience_s=_PATIENCE_S,
                    as_bytes=True,
                )
            except (Unavailable, DaemonUnreachable):
                if self._clock.boot() >= given_up_at:
                    raise
                await self._clock.sleep(pauses.pause())
            else:
                if sealed is None:
                    raise Unavailable("the daemon sent no bytes")
                return source, sealed

    async def _name(self, extents: list[OldExtent], fresh: Sequence[BlockName]) -> None:
        """Have *extents* lie in the new blocks, by entries that are in the journal on return.

        The *fresh* of the old blocks were sealed anew for these.
        """
        done = sum(block.size for block in fresh)
        blocks = max(0, self._total[0] - self._told.blocks - len(fresh))
        left = blocks, max(0, self._total[1] - self._told.bytes - done)

        def steps() -> Iterator[int]:
            for ino, of_file in groupby(extents, key=lambda extent: extent.ino):
                while some := list(islice(of_file, SLICE_EXTENTS)):
                    others = [self._others[extent.block.id] for extent in some]
                    moves = [
                        MovedExtent(extent.offset, extent.block.id, other.id)
                        for extent, other in zip(some, others, strict=True)
                    ]
                    named = {other.id: other for other in others}
                    self._replica.apply(Rekey(ino, moves, [*named.values()]))
                    yield 0
            self._replica.apply(self._fact(*left))
            yield 0

        await self._committed(steps())
        self._told.blocks += len(fresh)
        self._told.bytes += done
        self._progress(done)

    async def _say(self, blocks: int, size: int) -> None:
        """Have the project say that this is left, unless it does."""
        known = rekey_progress_in(self._replica.tree.fact(REKEY))
        if known is not None and (known.epoch, known.blocks, known.bytes) == (
            self._keys.current,
            blocks,
            size,
        ):
            return

        def steps() -> Iterator[int]:
            self._replica.apply(self._fact(blocks, size))
            yield 0

        await self._committed(steps())

    def _fact(self, blocks: int, size: int) -> Fact:
        now_ns = self._clock.wall_ns()
        said = RekeyProgress(self._access.device, self._keys.current, now_ns, blocks, size)
        return Fact(REKEY, encoded_fact(said))

    async def _committed(self, steps: Iterator[int]) -> None:
        await commit(
            self._replica,
            steps,
            self._journal,
            self._access,
            self._clock,
            lambda _size: None,
            patience_s=_ENTRY_PATIENCE_S,
        )

    async def _let_go(self, come: Collection[tuple[BlockName, Source]]) -> None:
        """Have what nothing needs here leave the cache: old blocks, and what was only passed through."""
        gone = [*self._strangers, *(block.id for block, _ in come)]
        # They are on their way into the cache now, and may leave it after the next ones.
        self._strangers = [self._others[block.id].id for block, source in come if source != "cache"]
        with contextlib.suppress(NodeError):
            await self._cache.evict(self._keys.project, gone)
