"""Reads what comes after our head in the journal, whoever made it."""

from __future__ import annotations

from lucidnode.fs.commit.commit_ground import CommitGround
from lucidnode.fs.commit.commit_health import READ
from lucidnode.fs.commit.commit_signals import set_within
from lucidnode.node.client.ids import Seq

FORKED_S = 30.0
"""How often the bucket is asked whether it has our head again."""

_MIN_POLL_S = 0.5
_MAX_POLL_S = 5.0


class JournalFollower:
    """The loop that follows the journal of one project."""

    def __init__(self, ground: CommitGround) -> None:
        self._ground = ground
        self._hint_was_false = False

    def hinted(self, seq: Seq) -> None:
        """Look soon: somebody says that entry *seq* exists, or that ours of that number is gone.

        Nothing else comes of it. A hint that led nowhere makes later ones wait for the next poll.
        """
        if self._hint_was_false:
            return
        if seq <= self._ground.pending.head().seq:
            self._ground.head.doubt()
        self._ground.signals.hinted.set()

    async def run(self) -> None:
        """Follow until cancelled, or until this mount can never go on."""
        pause_s = _MIN_POLL_S
        while not self._ground.health.ended:
            if self._ground.health.stopped is not None:
                await self._ground.clock.sleep(FORKED_S)
                await self._ground.health.attempt(READ, self._head_is_back())
                continue
            if self._ground.health.parked:
                await self._ground.signals.progress.wait()
                continue
            hinted = self._ground.signals.hinted.is_set()
            moved = await self._ground.health.attempt(READ, self.catch_up())
            self._ground.life.looked()
            self._hint_was_false = hinted and not moved
            pause_s = _MIN_POLL_S if moved else min(pause_s * 1.5, _MAX_POLL_S)
            await set_within(self._ground.signals.hinted, pause_s, self._ground.clock)

    async def catch_up(self) -> bool:
        """Apply every entry there is after our head; tell whether there was one.

        Raises HistoryForked, another FsError or a NodeError.
        """
        moved = False
        self._ground.signals.hinted.clear()
        while True:
            seq = Seq(self._ground.pending.head().seq + 1)
            asked_at = self._ground.clock.boot()
            slot = await self._ground.journal.entry(self._ground.project, seq)
            if slot is not None:
                moved = await self._ground.slots.decide(seq, slot) or moved
                self._ground.head.seen(asked_at)
            elif self._ground.pending.head().seq < seq:
                await self._ground.head.ensure_fresh()
                self._ground.own.caught_up()
                self._ground.life.saw_end(asked_at)
                return moved

    async def _head_is_back(self) -> bool:
        await self._ground.head.confirm()
        self._ground.health.go_on()
        return True
