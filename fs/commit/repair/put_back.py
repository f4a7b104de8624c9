"""Puts the very same signed bytes of lost entries back into the bucket, for everybody."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from lucidnode.fs.commit.repair.access import (
    RepairAccess,
    RepairJournal,
    begin_proofs,
    previous,
    reading_codec,
)
from lucidnode.fs.errors import BadEntry, KeyMissing
from lucidnode.fs.replica.inode import MAX_FILE_SIZE, InodeNo
from lucidnode.fs.replica.named_blocks import named_blocks
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.errors import Malformed, Refused, Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId, Seq, block_ids
from lucidnode.node.client.wire import BlocksPutBack

_BLOCKS_A_QUESTION = 64
"""Blocks that the daemon is asked for in one question."""


class KeptBlocks(Protocol):
    """The blocks that the office has (DaemonBlocks)."""

    async def put_back(self, project: ProjectId, blocks: Sequence[BlockId]) -> BlocksPutBack:
        """Have *blocks* in the bucket, from wherever the office has them. Raises a NodeError."""


@dataclass(frozen=True, slots=True)
class PutBack:
    """How many blocks were put back, and the files of those blocks that nobody has any more."""

    blocks: int
    bare: frozenset[InodeNo]


async def put_back(
    journal: RepairJournal,
    blocks: KeptBlocks,
    access: RepairAccess,
    replica: Replica,
    lost: Sequence[Seq],
) -> PutBack:
    """Create the entries *lost* anew in the bucket, lowest first, each after the blocks it names.

    *replica* is this workstation's, which tells the files that still need a block. An entry is put
    back also if a block of it is gone for good: that costs one file, and without the entry all that
    came after it would go. Raises Refused if somebody has gone on meanwhile, and Unavailable if it cannot be told how it
    ended, or while what lies in their places has not been seen there for long enough.
    """
    project = access.keys().project
    await begin_proofs(journal, project, lost)
    done, missing, files = 0, set[BlockId](), set[InodeNo]()
    for seq in lost:
        named = await _blocks_of(journal, access, seq)
        for some in _groups(sorted(named)):
            answer = await blocks.put_back(project, some)
            done += len(answer.put)
            for block in block_ids(answer.missing):
                missing.add(block)
                files |= named.get(block, set())
        reply = await journal.put_back(project, seq)
        match reply.outcome:
            case "committed":
                continue
            case "lost" | "unchained":
                raise Refused(
                    f"journal entry {seq} cannot be put back: others have gone on without it"
                )
            case "unknown":
                raise Unavailable(
                    f"it is not known whether journal entry {seq} was put back: {reply.why}",
                    "run it again",
                )
    return PutBack(done, frozenset(ino for ino in files if _needs(replica, ino, missing)))


async def _blocks_of(
    journal: RepairJournal, access: RepairAccess, seq: Seq
) -> dict[BlockId, set[InodeNo]]:
    """Return the blocks that entry *seq*, as kept here, names, with the files that lie in them."""
    kept = await journal.kept(access.keys().project, seq)
    if kept is not None:
        with contextlib.suppress(BadEntry, KeyMissing, Malformed):
            return named_blocks(reading_codec(access).open(kept, seq, previous(kept)).changeset)
    return {}


def _groups(blocks: Sequence[BlockId]) -> Iterable[Sequence[BlockId]]:
    for at in range(0, len(blocks), _BLOCKS_A_QUESTION):
        yield blocks[at : at + _BLOCKS_A_QUESTION]


def _needs(replica: Replica, ino: InodeNo, missing: set[BlockId]) -> bool:
    """Tell whether the file still has a name, and lies in one of the blocks *missing*."""
    if not replica.tree.names_of(ino):
        return False
    return any(extent.block.id in missing for extent in replica.tree.extents(ino, 0, MAX_FILE_SIZE))
