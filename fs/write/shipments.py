"""What the bucket has of this mount's pending work, and which of its files are not whole yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.write.unfinished import Unfinished
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import BlockId, ProjectId

ASK_EVERY_S = 5.0
"""Seconds between two questions for blocks of which nothing was heard. Events come at once; this
is for what arrived before this mount, or its connection, was there."""

BLOCKS_A_QUESTION = 256

_LONG_AGO = float("-inf")
"""When blocks arrived that were there when they were asked for."""

_REMEMBERED_BLOCKS = 65_536
"""Blocks that are known to have arrived though no operation waits for them: of files that are being
written, and those that an entry has named."""

YOUNG_S = 1.0
"""Seconds for which others need not hear of a save: of a new file's name before its content, or of
a file on its way. Most saves are over by then, in one entry."""

_REMEMBERED_FILES = 4096
"""Files whose age is remembered before those that nobody asks for are dropped."""


class UploadService(Protocol):
    """The part of the daemon that knows what the bucket has."""

    async def uploaded(self, project: ProjectId, blocks: Sequence[BlockId]) -> list[BlockId]:
        """Return those of *blocks* that are in the bucket."""


class Shipments:
    """The way of blocks to the bucket, as one mount knows it.

    *moved* is called when some arrive that work waits for: those of a file that is being written are
    named by nothing yet, and a look at what may be committed would find no more than the one before.
    """

    def __init__(
        self,
        project: ProjectId,
        replica: Replica,
        daemon: UploadService,
        unfinished: Unfinished,
        clock: Clock,
        moved: Callable[[], None],
    ) -> None:
        self._project = project
        self._replica = replica
        self._daemon = daemon
        self._unfinished = unfinished
        self._clock = clock
        self._moved = moved
        self._arrived: dict[BlockId, float] = {}
        """And when, by the boot clock."""
        self._most = 2 * _REMEMBERED_BLOCKS
        """How many may be known before those that nobody waits for are forgotten."""
        self._may_name: Callable[[InodeNo], bool] = lambda _: True
        self._may_give: Callable[[InodeNo], bool] = lambda _: False
        self._asked: dict[InodeNo, tuple[float, float]] = {}
        """When was it first asked how old the save of a file is, and when last."""

    def has_arrived(self, block: BlockId) -> bool:
        """Tell whether the bucket has *block*, as far as this mount has heard."""
        return block in self._arrived

    def arrived_at(self, block: BlockId) -> float | None:
        """Return when the bucket got *block*, by the boot clock; None if this mount has not heard of it.

        Long ago (-inf) if it was there before this mount, or its connection to the daemon.
        """
        return self._arrived.get(block)

    def is_unfinished(self, ino: InodeNo) -> bool:
        """Tell whether a program is in the middle of writing *ino*."""
        return ino in self._unfinished

    def is_young(self, ino: InodeNo) -> bool:
        """Tell whether others need not hear of the save of *ino* yet.

        It counts from the first time that this is asked, and anew after a pause.
        """
        now = self._clock.boot()
        first, last = self._asked.get(ino, (now, now))
        if now - last > 3 * YOUNG_S:
            first = now
        self._asked[ino] = first, now
        if len(self._asked) > _REMEMBERED_FILES:
            self._asked = {
                ino: times for ino, times in self._asked.items() if now - times[1] <= 3 * YOUNG_S
            }
        return now - first < YOUNG_S

    def committed(self) -> None:
        """Note that an entry of ours is committed: the next save of what it made whole is young again."""
        waits = self._replica.pending.is_pending
        self._asked = {
            ino: times
            for ino, times in self._asked.items()
            if waits(ino) or self.is_unfinished(ino)
        }

    def may_name(self, directory: InodeNo) -> bool:
        """Tell whether names that nobody else may have may be made in *directory* for others to see."""
        return self._may_name(directory)

    def may_give(self, directory: InodeNo) -> bool:
        """Tell whether *directory* may be another node's before names that were made in it are committed."""
        return self._may_give(directory)

    def heed(
        self, may_name: Callable[[InodeNo], bool], may_give: Callable[[InodeNo], bool]
    ) -> None:
        """Go by *may_name* and *may_give* from now on, where somebody decides who makes names."""
        self._may_name = may_name
        self._may_give = may_give

    def note_arrived(self, blocks: Iterable[BlockId], *, at: float | None = None) -> None:
        """Note that *blocks* are in the bucket, since *at* by the boot clock; None: they came just now."""
        when = self._clock.boot() if at is None else at
        arrived = list(blocks)
        for block in arrived:
            self._arrived.setdefault(block, when)
        if len(self._arrived) > self._most:
            self._forget()
        if any(map(self._replica.pending.waits_for, arrived)):
            self._moved()

    async def run(self) -> None:
        """Ask for what was not heard of, until cancelled."""
        while True:
            while await self.ask():
                pass
            await self._clock.sleep(ASK_EVERY_S)

    async def ask(self) -> bool:
        """Ask for the first blocks that wait and have not arrived; tell whether any of them had."""
        waiting = [
            block
            for block in self._replica.pending.blocks_waited_for()
            if block not in self._arrived
        ][:BLOCKS_A_QUESTION]
        try:
            there = await self._daemon.uploaded(self._project, waiting) if waiting else []
        except NodeError:
            return False  # what keeps blocks from the bucket is the daemon's to tell
        if there:
            self.note_arrived(there, at=_LONG_AGO)
        return bool(there)

    def _forget(self) -> None:
        """Forget what nobody waits for. A film waits for all of its blocks, however many."""
        waited_for = set(self._replica.pending.blocks_waited_for())
        newest = list(self._arrived)[-_REMEMBERED_BLOCKS:]
        kept = [block for block in self._arrived if block in waited_for]
        self._arrived = {block: self._arrived[block] for block in (*kept, *newest)}
        self._most = len(self._arrived) + _REMEMBERED_BLOCKS
