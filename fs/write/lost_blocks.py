"""Finds acknowledged blocks that nobody has any more, and has what needs them given up.

They lay in staging, whose disk was lost, and the bucket has not got them. Without this, whatever
depends on them would wait for ever, and nobody would be told which files are concerned.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from lucidnode.fs.errors import FsError
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import BlockId, ProjectId

LOOK_EVERY_S = 15.0
"""Seconds between two looks. A block counts as lost if two of them in a row do not find it."""

BLOCKS_A_LOOK = 4096
"""Blocks asked for in one look; those that are staged cost a question to the disk each."""

_BLOCKS_A_QUESTION = 256

_FILES_NAMED = 8
"""Files that the alert names."""


class BlockHolder(Protocol):
    """The part of the daemon that knows what lies in staging and in the bucket."""

    async def gone(self, project: ProjectId, blocks: Sequence[BlockId]) -> list[BlockId]:
        """Return those of *blocks* that lie neither here nor in the bucket. Raises NodeError."""

    async def given_up(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        """Hear that nothing needs *blocks* any more."""


class PendingWork(Protocol):
    """What can go on without them (Committer)."""

    async def give_up(self, lost: Collection[BlockId]) -> tuple[str, ...]:
        """Go on without what needs a block that is *lost*; return the files that fell back."""


class LostBlocks:
    """The look-out of one mount. *is_unfinished* tells of files that a program is writing: they wait."""

    def __init__(
        self,
        project: ProjectId,
        replica: Replica,
        daemon: BlockHolder,
        work: PendingWork,
        has_arrived: Callable[[BlockId], bool],
        is_unfinished: Callable[[InodeNo], bool],
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        self._project = project
        self._replica = replica
        self._daemon = daemon
        self._work = work
        self._has_arrived = has_arrived
        self._is_unfinished = is_unfinished
        self._alerts = alerts
        self._clock = clock
        self._suspects: set[BlockId] = set()
        self._from = 0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Look once, and give up what was gone at the last look already."""
        gone: set[BlockId] = set()
        try:
            waiting = self._waited_for()
            for start in range(0, len(waiting), _BLOCKS_A_QUESTION):
                asked = waiting[start : start + _BLOCKS_A_QUESTION]
                gone.update(await self._daemon.gone(self._project, asked))
        except NodeError:
            self._suspects = set()
            return
        lost = gone & self._suspects
        self._suspects = gone - lost
        if lost:
            await self._give_up(lost)

    def _waited_for(self) -> list[BlockId]:
        """Return blocks of which this mount does not know that anybody has them; others each time.

        Packs that are not staged yet are made anew from the replica.
        """
        packs = self._replica.tails.pack_ids()
        contents = self._replica.pending.blocks_of_contents()
        # A block that is named and holds nothing holds its entry up all the same.
        wanted = set(self._replica.pending.blocks_waited_for()).difference(*contents.values())
        for ino, blocks in contents.items():
            if not self._is_unfinished(ino):
                wanted |= blocks
        waiting = {block for block in wanted if block not in packs and not self._has_arrived(block)}
        in_order = sorted(waiting)
        if self._from >= len(in_order):
            self._from = 0
        chosen = in_order[self._from : self._from + BLOCKS_A_LOOK]
        known = sorted(self._suspects & waiting)
        self._from += BLOCKS_A_LOOK
        return list(dict.fromkeys([*known, *chosen]))

    async def _give_up(self, lost: set[BlockId]) -> None:
        try:
            files = await self._work.give_up(lost)
        except FsError:
            self._suspects |= lost  # a full disk: at the next look
            return
        if files:
            names = ", ".join(sorted(files)[:_FILES_NAMED])
            more = f" and {len(files) - _FILES_NAMED} more" if len(files) > _FILES_NAMED else ""
            self._alerts.begin(
                f"lost:{min(lost).hex()[:16]}",
                f"Saves that had not reached the bucket are lost with the disk that they lay on: "
                f"{names}{more}. Each file is as it was before.",
                "Save them again.",
                lasts_s=EVENT_S,
            )
        try:
            await self._daemon.given_up(self._project, sorted(lost))
        except NodeError:
            return  # its alert stays until it restarts
