"""Reads what comes after our head in the journal, whoever made it."""

from __future__ import annotations

from lucidnode.fs.commit.commit_health import READ, CommitHealth
from lucidnode.fs.commit.commit_signals import CommitSignals, set_within
from lucidnode.fs.commit.head_check import HeadCheck
from lucidnode.fs.commit.journal_client import JournalClient
from lucidnode.fs.commit.own_entries import OwnEntries
from lucidnode.fs.commit.slot_decision import SlotDecision
from lucidnode.fs.replica.pending_operations import PendingOperations
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import ProjectId, Seq

FORKED_S = 30.0
"""How often the bucket is asked whether it has our head again."""

_MIN_POLL_S = 0.5
_MAX_POLL_S = 5.0


class JournalFollower:
    """The loop that follows the journal of one project."""

    def __init__(
        self,
        pending: PendingOperations,
        journal: JournalClient,
        project: ProjectId,
        slots: SlotDecision,
        own: OwnEntries,
        head: HeadCheck,
        health: CommitHealth,
        signals: CommitSignals,
        clock: Clock,
    ) -> None:
        self._pending = pending
        self._journal = journal
        self._project = project
        self._slots = slots
        self._own = own
        self._head = head
        self._health = health
        self._signals = signals
        self._clock = clock
        self._hint_was_false = False

    def hinted(self, seq: Seq) -> None:
        """Look soon: somebody says that entry *seq* exists, or that ours of that number is gone.

        Nothing else comes of it. A hint that led nowhere makes later ones wait for the next poll.
        """
        if self._hint_was_false:
            return
        if seq <= self._pending.head().seq:
            self._head.doubt()
        self._signals.hinted.set()

    async def run(self) -> None:
        """Follow until cancelled, or until this mount can never go on."""
        pause_s = _MIN_POLL_S
        while not self._health.ended:
            if self._health.stopped is not None:
                await self._clock.sleep(FORKED_S)
                await self._health.attempt(READ, self._head_is_back())
                continue
            hinted = self._signals.hinted.is_set()
            moved = await self._health.attempt(READ, self.catch_up())
            self._hint_was_false = hinted and not moved
            pause_s = _MIN_POLL_S if moved else min(pause_s * 1.5, _MAX_POLL_S)
            await set_within(self._signals.hinted, pause_s, self._clock)

    async def catch_up(self) -> bool:
        """Apply every entry there is after our head; tell whether there was one.

        Raises HistoryForked, another FsError or a NodeError.
        """
        moved = False
        self._signals.hinted.clear()
        while True:
            seq = Seq(self._pending.head().seq + 1)
            asked_at = self._clock.boot()
            slot = await self._journal.entry(self._project, seq)
            if slot is not None:
                moved = await self._slots.decide(seq, slot) or moved
                self._head.seen(asked_at)
            elif self._pending.head().seq < seq:
                await self._head.ensure_fresh()
                self._own.caught_up()
                return moved

    async def _head_is_back(self) -> bool:
        await self._head.confirm()
        self._health.go_on()
        return True
