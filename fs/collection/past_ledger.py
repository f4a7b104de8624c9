"""The journal as a collection sees it: through the past that this workstation keeps of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from lucidnode.fs.collection.rules import DEFAULT_RETENTION_DAYS, outdated_checkpoints
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.journal_client import JournalClient
from lucidnode.fs.errors import BadCheckpoint
from lucidnode.fs.format.checkpoint import open_checkpoint
from lucidnode.fs.format.project_facts import (
    CONDEMNED,
    RETENTION,
    Condemned,
    condemned_in,
    retention_in,
)
from lucidnode.fs.history.horizon import oldest_whole
from lucidnode.fs.history.past import Past
from lucidnode.fs.history.past_at_hand import PastAccess
from lucidnode.fs.history.past_reader import read_on
from lucidnode.fs.replica.intents import Fact
from lucidnode.fs.replica.named_blocks import touched_blocks
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId, Seq
from lucidnode.node.client.wire import CommitRequest

_ASKED = 10
"""Times that the same entry is sent while nobody can say whether it is there."""


class OldCheckpoints(Protocol):
    """The checkpoints in the bucket (DaemonCheckpoints). Everything raises NodeError."""

    async def seqs(self, project: ProjectId) -> list[Seq]:
        """Return the entries of which there is a checkpoint, lowest first."""

    async def manifest(self, project: ProjectId, seq: Seq) -> bytes | None:
        """Return the manifest of the checkpoint at entry *seq*, or None if there is none."""

    async def delete(self, project: ProjectId, seqs: Sequence[Seq]) -> list[Seq]:
        """Delete the checkpoints at *seqs*; return those that the store did not refuse to delete."""


class PastLedger:
    """See `CollectionLedger` (collection.py). *kept_points* tells of the states that must stay whole."""

    def __init__(
        self,
        past: Past,
        journal: JournalClient,
        checkpoints: OldCheckpoints,
        access: PastAccess,
        kept_points: Callable[[TreeReader], Sequence[Seq]],
        clock: Clock,
        progress: Callable[[Seq], None],
    ) -> None:
        self._past = past
        self._journal = journal
        self._checkpoints = checkpoints
        self._access = access
        self._kept_points = kept_points
        self._clock = clock
        self._progress = progress
        self._codec = EntryCodec(
            access.keys, access.device, access.writer_key, os.urandom, access.trusted_key
        )
        self._project = access.keys().project
        self._pieces: dict[Seq, frozenset[BlockId]] = {}
        self._needed: tuple[Seq, Sequence[Seq], set[BlockId]] | None = None

    async def read_on(self) -> None:
        await read_on(self._past, self._journal, self._access, self._clock, self._progress)

    def head(self) -> Seq:
        return self._past.head().seq

    def newest_ns(self) -> int:
        head = self.head()
        return self._past.log.entry(head).wall_ns if head else 0

    def retention_days(self) -> int:
        found = retention_in(self._past.now.fact(RETENTION))
        return DEFAULT_RETENTION_DAYS if found is None else found.days

    def collected_up_to(self) -> Seq:
        return oldest_whole(self._past.now)

    def lists(self) -> dict[bytes, Condemned]:
        return {
            name: found
            for name, value in self._past.now.facts(CONDEMNED)
            if (found := condemned_in(name, value)) is not None
        }

    async def needed(self) -> set[BlockId]:
        pieces = await self._pieces_of_checkpoints()
        head, points = self.head(), tuple(self._kept_points(self._past.now))
        if self._needed is None or self._needed[1] != points:
            found = set(self._past.replica.past.blocks())
            for point in points:
                if point < head:
                    with self._past.at(point):
                        found.update(self._past.replica.past.blocks())
        else:
            # What they took from files as well: to know too much does no harm.
            found = self._needed[2] | self.named_behind(self._needed[0])
        self._needed = head, points, found
        return found | pieces

    def named_behind(self, seq: Seq) -> set[BlockId]:
        named: set[BlockId] = set()
        for changeset in self._past.log.changesets_back_to(seq):
            named |= touched_blocks(changeset)
        return named

    async def commit(self, facts: Mapping[bytes, bytes | None]) -> bool:
        with self._past.writable_copy(self._access.device) as replica:
            for name, value in facts.items():
                replica.apply(Fact(name, value))
            batch = replica.pending.next_batch(None)
            assert batch is not None
            assert batch.last == replica.pending.newest(), "all of it is one entry"
            unsigned = self._codec.seal(batch, self._clock.wall_ns())
        request = CommitRequest(unsigned, [])
        why = ""
        for _ in range(_ASKED):
            reply = await self._journal.commit(self._project, batch.seq, request)
            match reply.outcome:
                case "committed":
                    return True
                case "lost" | "unchained":
                    return False
                case _:
                    why = reply.why
        raise Unavailable(why or "The bucket takes nothing now.")

    async def outdated_checkpoints(self) -> list[Seq]:
        seqs = await self._checkpoints.seqs(self._project)
        head = self.head()
        made_ns = {seq: self._past.log.entry(seq).wall_ns for seq in seqs if seq <= head}
        return outdated_checkpoints(made_ns, self._clock.wall_ns(), self.retention_days())

    async def delete_checkpoints(self, seqs: Sequence[Seq]) -> int:
        return len(await self._checkpoints.delete(self._project, seqs))

    async def _pieces_of_checkpoints(self) -> frozenset[BlockId]:
        """Return the blocks of every checkpoint there is. Raises KeyMissing if one cannot be read."""
        seqs = await self._checkpoints.seqs(self._project)
        for seq in seqs:
            if seq not in self._pieces:
                manifest = await self._checkpoints.manifest(self._project, seq)
                self._pieces[seq] = frozenset() if manifest is None else self._named(seq, manifest)
        return frozenset().union(*(self._pieces[seq] for seq in seqs))

    def _named(self, seq: Seq, manifest: bytes) -> frozenset[BlockId]:
        try:
            _, contents = open_checkpoint(
                self._access.keys(), manifest, seq, self._codec.may_write_now
            )
        except BadCheckpoint:
            return frozenset()  # nobody loads it
        return frozenset(piece.block.id for part in contents.parts for piece in part.pieces)
