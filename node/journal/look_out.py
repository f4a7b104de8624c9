"""What lies in the bucket of journals, looked at again: gaps, losses, what is not as it was.

A daemon that has an entry needs it no more; without this nobody would notice that it is lost before
somebody joins and needs it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Protocol

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.keys import journal_key, journal_prefix
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Corrupt, NotThere, Unavailable
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.journal import entry_hash
from lucidnode.node.journal.gaps import Gaps
from lucidnode.node.journal.kept_entries import KeptEntries
from lucidnode.node.journal.log_slots import LogSlots
from lucidnode.node.journal.lost_history import LostHistory
from lucidnode.node.journal.older_entries import NAMES, OlderEntries
from lucidnode.node.journal.register import SlotContent
from lucidnode.node.journal.rereading import Rereading

ROUND_S = 30.0
"""How often the bucket is asked for an entry that it had lost, its newest ones are listed, and some
are read anew: when nothing is new, that is one listing and one entry of each project."""

REMEMBERED = 64
"""How many of the newest entries of a project that is."""


class SeenJournals(Protocol):
    """What was seen of journals, and who looks again (JournalService)."""

    def projects(self) -> list[ProjectId]:
        """Return the projects of which entries were seen."""

    def logs(self) -> list[LogSlots]:
        """Return the logs that were asked for anything."""

    def recent(self, project: ProjectId) -> Mapping[Seq, bytes]:
        """Return the hashes of the newest entries as they were seen first."""

    async def entry(self, project: ProjectId, seq: Seq) -> SlotContent:
        """Return what one look at slot *seq* shows. Raises NotThere, Unavailable."""

    async def proven(self, project: ProjectId, seq: Seq) -> SlotContent:
        """Return what is proven to lie there, after the alert if that is not what was."""


class LookOut:
    """Looks at all journals in rounds of ROUND_S."""

    def __init__(
        self,
        journal: SeenJournals,
        bucket: Bucket,
        kept: KeptEntries,
        lost: LostHistory,
        gaps: Gaps,
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._bucket = bucket
        self._kept = kept
        self._lost = lost
        self._gaps = gaps
        self._clock = clock
        self._rereading: dict[ProjectId, Rereading] = {}
        self._older: dict[ProjectId, OlderEntries] = {}

    def forget(self, project: ProjectId) -> None:
        """Begin anew with *project*."""
        self._rereading.pop(project, None)
        self._older.pop(project, None)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(ROUND_S)
            for project in self._lost.projects():
                with contextlib.suppress(Unavailable):
                    await self._look_for_known_losses(project)
            for project in self._journal.projects():
                with contextlib.suppress(NotThere, Unavailable):
                    await self._look_for_gap(project)
                await self._read_anew(project)
                with contextlib.suppress(Unavailable):
                    await self._look_at_older(project)
            for slots in self._journal.logs():
                with contextlib.suppress(Unavailable):
                    await slots.look_at_foreign()

    async def _look_for_known_losses(self, project: ProjectId) -> None:
        """Look for one that is lost, in turn, and for the next while one is back."""
        for seq in self._lost.entries(project):
            with contextlib.suppress(NotThere):
                await self._journal.entry(project, seq)
            if self._lost.knows(project, seq):
                self._lost.had_turn(project, seq)
                return

    async def _look_for_gap(self, project: ProjectId) -> None:
        """See by a listing that the newest entries are there, also those that others built on.

        Raises NotThere, after the alert, for the first that is not, and Unavailable.
        """
        known = sorted(self._journal.recent(project))[-REMEMBERED:]
        before = journal_key(project, Seq(known[0] - 1))
        listed = await self._bucket.list(journal_prefix(project), before, 2 * REMEMBERED)
        names = {one.key for one in listed}
        for seq in known:
            if journal_key(project, seq) not in names:
                await self._journal.proven(project, seq)
        await self._gaps.is_gap(project, Seq(known[-1] + 1))

    async def _read_anew(self, project: ProjectId) -> None:
        """See that some of the newest entries are still what they were, also in the middle."""
        known = self._journal.recent(project)
        rereading = self._rereading.setdefault(project, Rereading())
        for seq in rereading.due(sorted(known)[-REMEMBERED:]):
            try:
                is_committed = await self._is_as_it_was(project, seq, known[seq])
            except Unavailable:
                is_committed = False
            rereading.was_read(seq, is_committed=is_committed)

    async def _look_at_older(self, project: ProjectId) -> None:
        """Now and then see by a listing that older entries kept here are there, and read one.

        Raises Unavailable.
        """
        order = self._older.setdefault(project, OlderEntries())
        due = await self._older_due(project, order) if order.is_due() else list(order.unsettled)
        for seq in due:
            order.unsettled.add(seq)
            if (entry := await self._kept.get(project, seq)) is not None:
                with contextlib.suppress(Unavailable):
                    await self._is_as_it_was(project, seq, entry_hash(entry))
                    order.unsettled.discard(seq)
            else:
                order.unsettled.discard(seq)

    async def _older_due(self, project: ProjectId, order: OlderEntries) -> list[Seq]:
        kept = await self._kept.sizes(project)
        newest = sorted(self._journal.recent(project))[-REMEMBERED:]
        lost = set(self._lost.entries(project))
        older = sorted(seq for seq in kept if seq < newest[0] and seq not in lost)
        if not older:
            return []
        keys = {seq: journal_key(project, seq) for seq in order.to_list(older)}
        before = journal_key(project, Seq(min(keys) - 1))
        page = await self._bucket.list(journal_prefix(project), before, NAMES)
        sizes = {one.key: one.size for one in page}
        # A page that is full may have reached none of them, for all the names that are not ours.
        covered = [
            seq for seq, key in keys.items() if len(page) < NAMES or key <= page[-1].key
        ] or [min(keys)]
        shown = {seq: sizes[key] for seq, key in keys.items() if key in sizes}
        return [*order.doubtful(covered, kept, shown), order.read_next(older)]

    async def _is_as_it_was(self, project: ProjectId, seq: Seq, hash_: bytes) -> bool:
        with contextlib.suppress(NotThere, Corrupt):
            if entry_hash(await self._bucket.get(journal_key(project, seq))) == hash_:
                return True
        with contextlib.suppress(NotThere):
            await self._journal.proven(project, seq)  # raises the alert
        return True
