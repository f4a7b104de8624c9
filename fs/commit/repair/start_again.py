"""Starts a workstation again from the bucket, and keeps what others never got beside what is there.

It can be broken off and done again at any point: the old replica counts until the new one is whole,
and then takes its place in one step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from lucidnode.fs.commit.repair.access import (
    RepairAccess,
    RepairJournal,
    begin_proofs,
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
from lucidnode.node.client.errors import Malformed, Unavailable
from lucidnode.node.client.ids import Seq

_SEEN_AGAIN_ENTRIES = 64
"""Entries that are read once more at the end of a new start."""


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
    with contextlib.suppress(Unavailable):
        # The daemon takes note of what this workstation stands on now: others may still put back
        # what was just counted as empty.
        for number in range(max(1, head - _SEEN_AGAIN_ENTRIES), head + 1):
            await journal.entry(project, Seq(number))
    return carried


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
