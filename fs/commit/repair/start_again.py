"""Starts a workstation again from the bucket, and keeps what others never got beside what is there.

It can be broken off and done again at any point: the old replica counts until the new one is whole,
and then takes its place in one step.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

from lucidnode.fs.commit.repair.access import (
    RepairAccess,
    RepairJournal,
    begin_proofs,
    is_by_a_writer,
    previous,
    reading_codec,
)
from lucidnode.fs.commit.repair.carry import carry
from lucidnode.fs.commit.repair.replay import Bystander, caught_up
from lucidnode.fs.commit.repair.replica_files import NEW_FILE, remove, swap
from lucidnode.fs.errors import BadEntry, KeyMissing
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.named_blocks import changed_content
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Malformed, NodeError
from lucidnode.node.client.ids import Seq

_SEEN_AGAIN_ENTRIES = 64
"""Entries that are read once more at the end of a new start."""

_NOTES, _NOTE_AGAIN_S = 3, 10.0
"""How often that is tried for those of which a look settled nothing, and seconds between."""


async def start_again(
    journal: RepairJournal,
    access: RepairAccess,
    directory: Path,
    old: Replica,
    lost: Sequence[Seq],
    clock: Clock,
) -> list[str]:
    """Put a replica made from the bucket in the place of *old*, and close that.

    Files whose content was never sent, or is in one of the entries *lost*, are carried over;
    returns their paths. *directory* is the project's. Raises a NodeError or FsError; the old one
    is whole then, and still the one that counts.
    """
    try:
        remove(directory / NEW_FILE)
        await begin_proofs(journal, access.keys().project, lost)
        new = Replica.open(
            directory / NEW_FILE, access.keys().replica, access.workstation, access.device
        )
        try:
            await caught_up(journal, access, new, clock, Bystander(access))
            files = old.pending.unsent_files() | await _files_of(journal, access, lost)
            head = new.pending.head().seq
            carried = carry(old, new, files, access.workstation, clock.wall_ns())
            new.pins.replace([], old.pins.all())
            await new.barrier()
        finally:
            new.close()
    finally:
        old.close()
    swap(directory)
    # Last, since what is kept is needed for another try until here.
    project = access.keys().project
    await journal.forget(project)
    await _have_noted(journal, access, head, clock)
    return carried


async def _have_noted(
    journal: RepairJournal, access: RepairAccess, head: Seq, clock: Clock
) -> None:
    """Have the daemon take note of what this workstation stands on now.

    Others may still put back what was just counted as empty, and the daemon compares what it finds
    with what it has taken note of. Without an answer nothing is noted; the new start is none the less.
    """
    left = [Seq(number) for number in range(max(1, head - _SEEN_AGAIN_ENTRIES), head + 1)]
    for turn in range(_NOTES):
        if turn:
            await clock.sleep(_NOTE_AGAIN_S)
        damaged = [seq for seq in left if not await _is_noted(journal, access, seq)]
        async with asyncio.TaskGroup() as group:
            proofs = {seq: group.create_task(_is_proven(journal, access, seq)) for seq in damaged}
        left = [seq for seq, proof in proofs.items() if not proof.result()]
        if not left:
            return


async def _is_noted(journal: RepairJournal, access: RepairAccess, seq: Seq) -> bool:
    """Have the daemon look at entry *seq*; tell whether it notes what that shows without a proof."""
    with contextlib.suppress(NodeError):
        slot = await journal.entry(access.keys().project, seq)
        return slot is None or slot.body is None or is_by_a_writer(access, seq, slot.body)
    return False


async def _is_proven(journal: RepairJournal, access: RepairAccess, seq: Seq) -> bool:
    with contextlib.suppress(NodeError):
        await journal.proven(access.keys().project, seq)
        return True
    return False


async def _files_of(
    journal: RepairJournal, access: RepairAccess, lost: Sequence[Seq]
) -> frozenset[InodeNo]:
    """Return the files that the entries *lost*, as kept here, gave a content."""
    found: frozenset[InodeNo] = frozenset()
    for seq in lost:
        kept = await journal.kept(access.keys().project, seq)
        if kept is not None:
            with contextlib.suppress(BadEntry, KeyMissing, Malformed):
                change = reading_codec(access).open(kept, seq, previous(kept))
                found |= changed_content(change.changeset)
    return found
