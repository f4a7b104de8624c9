"""Looks at the journal as it lies in the bucket: every entry, its signature, and what it follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lucidnode.fs.commit.repair.access import RepairAccess, is_by_a_writer, previous
from lucidnode.fs.fsck.finding import Amiss, ObjectFinding
from lucidnode.fs.fsck.project_objects import ProjectObjects, seq_name, seq_of
from lucidnode.fs.history.past_log import PastLog
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.in_order import in_order
from lucidnode.node.client.journal import NO_ENTRY, empty_link, follows


@dataclass(frozen=True, slots=True)
class _Slot:
    """What lies in one slot: its *hash*, None if nothing; *previous* only if a writer made it."""

    hash: bytes | None
    previous: bytes | None


class JournalCheck:
    """Checks entries behind *since* against each other, and against what *log* has seen of them."""

    def __init__(
        self, objects: ProjectObjects, access: RepairAccess, log: PastLog, since: Seq
    ) -> None:
        self._objects = objects
        self._access = access
        self._log = log
        self._known = log.newest()
        self.upto = since
        """The last entry that was judged, and so were all before it."""

    async def run(
        self,
        newest: Seq,
        found: Callable[[ObjectFinding], None],
        progress: Callable[[int], None],
    ) -> None:
        """Look at all entries up to *newest*; *found* hears what is amiss. Raises a NodeError.

        *progress* is told how many have been judged since it was last.
        """
        before: _Slot | None = None
        seqs = [Seq(seq) for seq in range(self.upto + 1, newest + 1)]
        async for seq, slot in in_order(seqs, self._read):
            if before is not None:
                self._judge(Seq(seq - 1), before, slot, found)
                self.upto = Seq(seq - 1)
                progress(1)
            elif seq == 1 and slot.previous not in (None, NO_ENTRY):
                found(_amiss(seq, "unchained", "the first entry follows another one"))
            before = slot
        if before is not None and newest > self.upto:
            self._judge(newest, before, None, found)
            self.upto = newest
            progress(1)

    def _judge(
        self,
        seq: Seq,
        slot: _Slot,
        behind: _Slot | None,
        found: Callable[[ObjectFinding], None],
    ) -> None:
        """Say what is amiss with *slot*, of what *behind* it says and of what was seen there."""
        seen = self._log.link(seq) if seq <= self._known else None
        link = None if behind is None else behind.previous
        if slot.hash is None:
            found(_amiss(seq, "missing", "no entry lies there, though later ones do"))
        elif seen is not None and not follows(seen, slot.hash):
            kind: Amiss = "damaged" if slot.previous is None else "exchanged"
            found(_amiss(seq, kind, "this workstation has seen another entry there"))
        elif slot.previous is None:
            if link is None and seen == empty_link(slot.hash):
                return  # nobody has gone on from it yet, and it counted as empty here
            if link != empty_link(slot.hash):
                found(_amiss(seq, "damaged", "no writer of the studio made it as it is"))
        elif link is not None and not follows(link, slot.hash):
            found(_amiss(seq, "unchained", "the entry behind it was made on another one"))

    async def _read(self, seq: Seq) -> _Slot:
        found = await self._objects.read("journal", seq_name(seq))
        if found is None:
            return _Slot(None, None)
        if found.body is None or not is_by_a_writer(self._access, seq, found.body):
            return _Slot(found.hash, None)
        return _Slot(found.hash, previous(found.body))


async def newest_in_journal(
    objects: ProjectObjects, known: Seq, found: Callable[[ObjectFinding], None]
) -> Seq:
    """Return the number of the newest entry, at least *known*; *found* hears of foreign names."""
    newest = known
    async for each in objects.names("journal"):
        seq = seq_of(each.name)
        if seq is None:
            found(ObjectFinding("journal", each.name, "foreign", "no entry has such a name"))
        else:
            newest = max(newest, seq)
    return newest


def _amiss(seq: Seq, amiss: Amiss, why: str) -> ObjectFinding:
    return ObjectFinding("journal", seq_name(seq), amiss, why)
