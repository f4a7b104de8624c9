"""Whether this workstation has judged an entry otherwise than who reads the journal now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lucidnode.fs.commit.repair.access import (
    LOOKED_AT_ENTRIES,
    RepairAccess,
    RepairJournal,
    is_by_a_writer,
    previous,
    previous_or,
)
from lucidnode.fs.commit.repair.replay import JudgedEntries, caught_up
from lucidnode.fs.commit.repair.replica_files import NEW_FILE, remove
from lucidnode.fs.replica.changes import Head
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.journal import EntryHeader, entry_hash


@dataclass(frozen=True, slots=True)
class OtherVerdicts:
    """What a new look at the journal made of it, where it differs from this workstation's.

    *unheard* are entries of this workstation that count as empty for whoever reads the journal now:
    what is in them nobody else has.
    """

    unheard: tuple[Seq, ...]


async def examine_verdicts(
    journal: RepairJournal,
    access: RepairAccess,
    directory: Path,
    head: Head,
    clock: Clock,
    *,
    has_alert: bool,
) -> OtherVerdicts | None:
    """Judge the journal up to *head*, which stands, anew if a sign says that it is worth it.

    Returns None if the verdicts are the same. The sign is an entry by a device of the studio that
    counts as empty here, or that follows *head* as judged otherwise: each entry says what its
    author made of the one before. Another is that the daemon *has_alert*: the bucket shows another
    entry than this workstation has read, one that was put back after it had counted as empty, and
    no chain tells what was made of it. *directory* is the project's. Raises a NodeError or FsError.
    """
    await access.refresh()
    if not has_alert and not await _is_contradicted(journal, access, head):
        return None
    remove(directory / NEW_FILE)
    new = Replica.open(directory / NEW_FILE, access.keys().replica, access.workstation)
    judged = JudgedEntries(access, new)
    try:
        await caught_up(journal, access, new, clock, judged, last=head.seq)
        if new.pending.head() == head and not has_alert:
            return None
    finally:
        new.close()
        remove(directory / NEW_FILE)
    unheard: list[Seq] = []
    for seq, link in sorted(judged.links.items()):
        kept = await journal.kept(access.keys().project, seq)
        is_ours = kept is not None and EntryHeader.parse(kept).device == access.device
        if kept is not None and is_ours and link != entry_hash(kept):
            unheard.append(seq)
    return OtherVerdicts(tuple(unheard))


async def _is_contradicted(journal: RepairJournal, access: RepairAccess, head: Head) -> bool:
    project, seq, link = access.keys().project, Seq(head.seq + 1), head.link
    behind = await journal.entry(project, seq)
    if behind is not None and behind.body is not None and previous_or(behind.body, link) != link:
        return is_by_a_writer(access, seq, behind.body)
    for number in range(head.seq, max(0, head.seq - LOOKED_AT_ENTRIES), -1):
        slot = await journal.entry(project, Seq(number))
        if slot is None or slot.body is None:
            return False
        if link != slot.hash:
            return is_by_a_writer(access, Seq(number), slot.body)
        link = previous(slot.body)
    return False
