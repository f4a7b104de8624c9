"""What this node has seen in journals: which entry was in a slot first, and what it tells others."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.journal import entry_hash
from lucidnode.node.journal.kept_entries import KeptEntries
from lucidnode.node.journal.lost_history import LostHistory
from lucidnode.node.journal.register import SlotContent

log = logging.getLogger(__name__)

MAX_RECENT = 256
"""Entries of a project whose hashes are remembered, to compare with what peers have."""


class SeenEntries:
    """The hashes of the highest entries of each project in memory, and what is *kept* on disk."""

    def __init__(self, kept: KeptEntries, lost: LostHistory) -> None:
        self._kept = kept
        self._lost = lost
        self._recent: dict[ProjectId, dict[Seq, bytes]] = {}
        # So that what was read from `kept` before that raises no alert after it.
        self._times_forgotten = Counter[ProjectId]()

    async def load(self, most: int) -> None:
        """Remember what an earlier daemon saw, *most* entries of each project."""
        for project, known in (await self._kept.newest(most)).items():
            self._recent[project] = {**known, **self._recent.get(project, {})}

    def projects(self) -> list[ProjectId]:
        """Return the projects of which entries were seen."""
        return list(self._recent)

    def recent(self, project: ProjectId) -> Mapping[Seq, bytes]:
        """Return the hashes of the entries that were seen in the bucket, the highest ones."""
        return self._recent.get(project, {})

    async def first(self, project: ProjectId, seq: Seq) -> bytes | None:
        """Return the hash of what was seen in slot *seq* first, as far as that is known."""
        if (known := self.recent(project).get(seq)) is not None:
            return known
        times = self._times_forgotten[project]
        kept = await self._kept.get(project, seq)
        if kept is None or self._times_forgotten[project] != times:
            return None
        return entry_hash(kept)

    async def note(self, project: ProjectId, seq: Seq, held: SlotContent) -> None:
        """Remember what lies in a slot. What was there first is remembered until `forget`.

        A slot takes one object: another one later means that the bucket was put back or tampered
        with, and what this node has seen is what it tells the others.
        """
        self._lost.shown(project, seq, held.hash)
        known = self._recent.setdefault(project, {})
        if seq in known:
            return
        known[seq] = held.hash
        if len(known) > MAX_RECENT:
            del known[min(known)]
        if held.body is not None and not self._lost.knows(project, seq):
            await self._kept.keep(project, seq, held.body)

    async def give_up(self, project: ProjectId, first: Seq, seen: Mapping[Seq, bytes]) -> None:
        """Forget what was *seen* of a lost history: our mount has gone on without it from *first* on.

        The mount had not applied it, so this workstation has nothing to put right any more. Those
        that have are told by their own daemons, and of here. Nor can it be put back from here, on
        top of what is there now: kept any longer it would be missed again, with every word of a
        peer that still has it.
        """
        log.warning(
            "project %s goes on without the lost journal entry %d, which was seen here",
            project, min(seen),
        )  # fmt: skip
        await self._kept.drop(project, first)
        self._times_forgotten[project] += 1
        known = self._recent.get(project, {})
        for seq, hash_ in seen.items():
            if known.get(seq) == hash_:
                del known[seq]
        self._lost.give_up(project, seen)

    async def forget(self, project: ProjectId) -> None:
        """Drop all of *project*."""
        await self._kept.drop(project, Seq(1))
        self._times_forgotten[project] += 1
        self._recent.pop(project, None)
