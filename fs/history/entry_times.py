"""When entries were made that no past here has read, and which was the last one before a moment."""

from __future__ import annotations

from collections.abc import Iterable

from lucidnode.fs.commit.journal_client import JournalClient
from lucidnode.fs.commit.repair.access import RepairAccess, reading_codec
from lucidnode.fs.errors import BadEntry, KeyMissing
from lucidnode.fs.history.points import cut
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.in_order import in_order
from lucidnode.node.client.journal import EntryHeader

_SPAN = 64
"""Entries between which a moment is looked for one by one; as many again are looked at beside them,
half on each side."""


class EntryTimes:
    """Asks for single entries of one project. Everything raises a NodeError."""

    def __init__(self, journal: JournalClient, access: RepairAccess) -> None:
        self._journal = journal
        self._codec = reading_codec(access)
        self._project = access.keys().project

    async def wall_ns(self, seq: Seq) -> int | None:
        """Return the clock of who made entry *seq*; None if nobody did who may write."""
        slot = await self._journal.entry(self._project, seq)
        if slot is None or slot.body is None:
            return None
        try:
            previous = EntryHeader.parse(slot.body).previous
            return self._codec.open(slot.body, seq, previous).wall_ns
        except (BadEntry, KeyMissing, Malformed):
            return None

    async def newest_before(self, limit_ns: int, last: Seq) -> Seq:
        """Return the newest entry, of those up to *last*, of the state that there was at *limit_ns*.

        It is what `points.cut` finds among all of them, if the clocks of most who made entries near
        each place that is looked at were right: the middle one of three neighbours is believed.
        """
        low, high = 0, last
        while high - low > _SPAN:
            middle = (low + high) // 2
            found = await self._all(range(middle - 1, middle + 2))
            if sorted(found)[1] <= limit_ns:
                low = middle
            else:
                high = Seq(middle)
        first = max(0, low - _SPAN // 2)
        times = await self._all(range(first + 1, min(last, high + _SPAN // 2) + 1))
        return Seq(first + cut(times, limit_ns))

    async def _all(self, seqs: Iterable[int]) -> list[int]:
        """Return the times of entries in a row; where nobody vouches for one, of that before."""
        times: list[int] = []
        async for _, found in in_order((Seq(seq) for seq in seqs), self.wall_ns):
            times.append(found if found is not None else times[-1] if times else 0)
        return times
