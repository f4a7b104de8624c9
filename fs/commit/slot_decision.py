"""The one place where it is decided who has the next slot: this node's entry, or another's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from lucidnode.fs.commit.commit_health import CommitHealth
from lucidnode.fs.commit.commit_signals import CommitSignals
from lucidnode.fs.commit.entry_verifier import EntryVerifier
from lucidnode.fs.commit.head_check import HeadCheck
from lucidnode.fs.commit.hooks import CommitHooks
from lucidnode.fs.commit.own_entries import OwnEntries
from lucidnode.fs.commit.signs_of_life import SignsOfLife
from lucidnode.fs.format.journal_entry import EntryBody
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.ids import BlockId, Seq
from lucidnode.node.client.journal import SIGNATURE_SIZE, epoch_of
from lucidnode.node.client.roster import FIRST_EPOCH
from lucidnode.node.client.wire import Slot


class SlotDecision:
    """Moves the head of *replica*, for the sender and the follower alike."""

    def __init__(
        self,
        replica: Replica,
        verifier: EntryVerifier,
        own: OwnEntries,
        life: SignsOfLife,
        head: HeadCheck,
        hooks: CommitHooks,
        health: CommitHealth,
        signals: CommitSignals,
    ) -> None:
        self._replica = replica
        self._verifier = verifier
        self._own = own
        self._life = life
        self._head = head
        self._hooks = hooks
        self._health = health
        self._signals = signals
        # Held while a slot is decided, across the awaits that may take (roster, head).
        self._order = asyncio.Lock()

    async def decide(self, seq: Seq, slot: Slot) -> bool:
        """Stand on what lies in *slot* if it is the next entry; tell whether we do.

        Raises what `EntryVerifier.verified` raises, or a ReplicaError, or NoSpace.
        """
        async with self._order:
            head = self._replica.pending.head()
            if seq != head.seq + 1:
                return False
            slot, change = await self._verifier.verified(seq, slot, head)
            flight = self._replica.pending.in_flight()
            ours = (
                flight is not None
                and slot.body is not None
                and slot.body[:-SIGNATURE_SIZE] == flight.unsigned
            )
            if ours and change is not None and flight is not None:
                await self._head.ensure_fresh()
                self._replica.pending.mark_committed(seq, slot.hash, epoch_of(flight.unsigned))
                self._hooks.passed(seq, change.changeset, ours=True)
                self._life.committed(flight.unsigned)
                self._health.sent()
            else:
                if change is not None and slot.body is not None and not slot.signed_here:
                    self._own.seen(seq, slot.body, change.wall_ns)
                    self._life.heard(slot.body)
                self._apply_remote(seq, slot, change)
            self._signals.progressed()
            self._life.tell()
        if ours and change is None:
            # To try again would only fill the journal with entries that nobody accepts.
            self._health.end("the journal entries of this device are not accepted")
        return True

    async def give_up(self, lost: Collection[BlockId], time_ns: int) -> tuple[str, ...]:
        """Go on without what needs a block that is *lost*; return the files that fell back.

        Raises NoSpace, or a ReplicaError.
        """
        async with self._order:
            given_up = self._replica.give_up(lost, time_ns)
        self._hooks.touched(given_up.touched)
        self._signals.progressed()
        self._signals.worked()
        return given_up.files

    async def drop_deleted(self, has_arrived: Callable[[BlockId], bool]) -> None:
        """Go on without the contents of deleted files that have not arrived in the bucket.

        Raises NoSpace, or a ReplicaError.
        """
        async with self._order:
            dropped = self._replica.deleted.drop(has_arrived)
        if dropped:
            self._signals.progressed()
            self._signals.worked()

    def _apply_remote(self, seq: Seq, slot: Slot, change: EntryBody | None) -> None:
        newest = self._replica.pending.newest()
        touched = self._replica.entries.apply_entry(
            seq,
            slot.hash,
            None if change is None else change.changeset,
            FIRST_EPOCH if change is None or slot.body is None else epoch_of(slot.body),
        )
        if self._replica.pending.newest() != newest:
            self._signals.rebased(self._replica.pending.newest(), touched.moved)
        if touched.refused is not None:
            self._verifier.skipped(f"journal entry {seq}: {touched.refused}")
            change = None
        self._hooks.passed(seq, None if change is None else change.changeset, ours=False)
        self._hooks.touched(touched)
