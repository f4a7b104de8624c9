"""How the history of a workstation and the bucket's compare. A look that changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from lucidnode.fs.commit.repair.access import (
    LOOKED_AT_ENTRIES,
    RepairAccess,
    RepairJournal,
    is_by_a_writer,
    previous,
)
from lucidnode.fs.replica.changes import Head
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.journal import entry_hash, follows
from lucidnode.node.client.wire import Slot

_NOTHING = Seq(0)


@dataclass(frozen=True, slots=True)
class Findings:
    """How the history of a workstation and the bucket's compare.

    *head* is where the workstation stands, and *stands* whether the bucket has that entry. If not,
    *common* is the newest entry known to be in both (0: none), and *lost* are the entries after
    it, as far as they are kept here. They can be put back if *can_put_back*: the bucket has nothing
    in their places, or what no device of the studio made, and they lead from *common* to *head*.
    *gap*: the bucket has *head*, but not all before it as they were seen here; *lost* are these, not
    always in a row. To put them back is what mends that: who starts again makes nothing of all that
    was built on them, and gets no further than *common* if something is *absent*, and not exchanged.
    *taken* are entries of the studio that were made in the places of others since then: nothing that
    is absent can be put back on top of them, as long as they lie there.
    """

    head: Seq
    stands: bool
    common: Seq = _NOTHING
    lost: tuple[Seq, ...] = ()
    can_put_back: bool = False
    gap: bool = False
    absent: bool = False
    taken: tuple[Seq, ...] = ()


async def examine(journal: RepairJournal, access: RepairAccess, head: Head) -> Findings:
    """Compare *head* and what led there with the bucket. Raises Unavailable."""
    project = access.keys().project
    if head.seq == 0:
        return Findings(head.seq, stands=True)
    there = await journal.proven(project, head.seq)
    if there is not None and follows(head.link, there.hash):
        return await _gap(journal, access, head.seq)
    lost: list[Seq] = []
    free = True
    seq, link = head.seq, head.link
    while seq > 0:
        there = await journal.entry(project, seq)
        if there is not None and follows(link, there.hash):
            break
        kept = await journal.kept(project, seq)
        if kept is None or not follows(link, entry_hash(kept)):
            return Findings(head.seq, stands=False, lost=tuple(lost))
        lost.insert(0, seq)
        free = free and _is_nobodys(access, seq, there)
        seq, link = Seq(seq - 1), previous(kept)
    return Findings(head.seq, False, seq, tuple(lost), can_put_back=free)


async def _gap(journal: RepairJournal, access: RepairAccess, head: Seq) -> Findings:
    """Return what is missing or spoiled before *head*, which stands.

    That is looked for among the newest entries; of older ones the daemon tells what it has found.
    """
    project = access.keys().project
    lost: list[Seq] = []
    are_kept, absent = True, False
    newest = range(head - 1, max(0, head - LOOKED_AT_ENTRIES), -1)
    older = {seq for seq in await journal.lost(project) if seq < newest.stop + 1}
    for number in [*newest, *sorted(older, reverse=True)]:
        seq = Seq(number)
        there = await journal.entry(project, seq)
        if not _is_nobodys(access, seq, there):
            continue
        kept = await journal.kept(project, seq)
        if there is None or (kept is not None and entry_hash(kept) != there.hash):
            lost.insert(0, seq)
            are_kept = are_kept and kept is not None
            absent = absent or there is None
    if not lost:
        return Findings(head, stands=True)
    common = Seq(lost[0] - 1)
    taken = await _taken_before(journal, project, lost[0]) if absent else ()
    return Findings(
        head,
        False,
        common,
        tuple(lost),
        can_put_back=are_kept and not taken,
        gap=True,
        absent=absent,
        taken=taken,
    )


async def _taken_before(journal: RepairJournal, project: ProjectId, lost: Seq) -> tuple[Seq, ...]:
    """Return the entries right before *lost* that are others than those kept here, lowest first."""
    taken: list[Seq] = []
    for number in range(lost - 1, max(0, lost - LOOKED_AT_ENTRIES), -1):
        kept = await journal.kept(project, Seq(number))
        there = await journal.entry(project, Seq(number))
        if kept is None or there is None or entry_hash(kept) == there.hash:
            break
        taken.insert(0, Seq(number))
    return tuple(taken)


def _is_nobodys(access: RepairAccess, seq: Seq, there: Slot | None) -> bool:
    """Tell whether nothing is *there*, or nothing that a device of the studio made as it is."""
    return there is None or there.body is None or not is_by_a_writer(access, seq, there.body)


async def has_leftovers(journal: RepairJournal, project: ProjectId, head: Head) -> bool:
    """Tell whether the daemon keeps entries of another history than *head*, which stands.

    A repair that was broken off at its very end leaves them. Raises Unavailable.
    """
    if head.seq > 0:
        kept = await journal.kept(project, head.seq)
        if kept is not None and not follows(head.link, entry_hash(kept)):
            return True
    after = Seq(head.seq + 1)
    if await journal.kept(project, after) is None:
        return False
    return await journal.proven(project, after) is None
