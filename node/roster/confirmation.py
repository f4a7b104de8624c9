"""Whether the bucket still holds the log of members as it was read from it.

Entries that the bucket loses are put back, since an entry of the log never changes and is never
deleted. What the bucket exchanges for something else is an alert on every node that has seen what
was there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.errors import AlreadyThere, Unsettled
from lucidnode.node.bucket.keys import ROSTER, roster_key
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NotThere, Refused, Unavailable
from lucidnode.node.client.ids import Seq
from lucidnode.node.journal.log_slots import LogSlots
from lucidnode.node.roster.known_log import KnownLog
from lucidnode.node.roster.slots import fits

CONFIRM_INTERVAL_S = 60.0
"""How often it is seen again that the bucket holds what was read from it."""

VOID_INTERVAL_S = 10.0
"""How often that is seen again while items at the end of the log count for nothing: one may have
been an entry that was damaged on its way, and who it named would be unknown here."""

_KEEP_OUT = (
    "Invite nobody and create no project meanwhile. If other workstations say the same, whoever runs "
    "the bucket has to restore the folder `roster` from a copy. If this one alone says it, `lucidnode "
    "members repair` shows what differs, and can have it go by what the bucket holds."
)


class LogConfirmation:
    """Compares the bucket with *log*, at times that it sets itself. `looking` is held meanwhile."""

    def __init__(
        self,
        bucket: Bucket,
        slots: LogSlots,
        log: KnownLog,
        looking: asyncio.Lock,
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        self._bucket = bucket
        self._slots = slots
        self._log = log
        self._looking = looking
        self._alerts = alerts
        self._clock = clock
        self._due_at = 0.0
        self._turn = 0
        self._changed: set[Seq] = set()
        """Numbers that are proven to hold something else than was read, when they were last seen."""

    @property
    def is_due(self) -> bool:
        """Whether it is time to look."""
        return self._clock.boot() >= self._due_at

    def look_soon(self, seq: Seq) -> None:
        """Have it due now, and *seq* looked at: the bucket shows another log there."""
        self._due_at = 0.0
        if seq <= len(self._log.reader.log):
            self._changed.add(seq)

    def forget(self) -> None:
        """Have it due now, about another log than was known."""
        self._due_at = 0.0
        self._changed.clear()

    def look_for_voids(self) -> None:
        """Have it due in VOID_INTERVAL_S at the latest: something new counts for nothing."""
        self._due_at = min(self._due_at, self._clock.boot() + VOID_INTERVAL_S)

    async def confirm(self) -> None:
        """See whether the bucket still holds what was read from it. Raises Unavailable.

        All by its listing; by themselves the newest item, one of the others, and the first of those
        that count for nothing and on which nobody has built. And the first and the last that were
        changed, while there are such: what the others show says nothing of them.
        """
        async with self._looking:
            newest = len(self._log.reader.log)
            self._turn = self._turn % newest + 1
            looked_at = {newest, self._turn}
            if (first_void := self._log.reader.last_entry() + 1) <= newest:
                looked_at.add(first_void)
            if self._changed:
                looked_at |= {min(self._changed), max(self._changed)}
            self._due_at = self._clock.boot() + (
                VOID_INTERVAL_S if first_void in looked_at else CONFIRM_INTERVAL_S
            )
            doubtful = await self._unlisted()
            for seq in map(Seq, sorted(looked_at)):
                if not await self._stands(seq):
                    doubtful.add(seq)
            is_whole = not doubtful or await self._restored(sorted(doubtful))
            if is_whole and not self._changed:
                self._alerts.end("roster-history")

    async def _unlisted(self) -> set[Seq]:
        """Return the numbers whose names a listing does not show."""
        newest = len(self._log.reader.log)
        names: set[str] = set()
        after = None
        while page := await self._bucket.list(ROSTER, after):
            names.update(listed.key for listed in page)
            after = page[-1].key
            if after >= roster_key(Seq(newest)):
                break
        return {Seq(n) for n in range(1, newest + 1) if roster_key(Seq(n)) not in names}

    async def _stands(self, seq: Seq) -> bool:
        stands = await self._slots.stands(seq, fits(self._log.reader.log[seq - 1]))
        (self._changed.discard if stands else self._changed.add)(seq)
        return stands

    async def _restored(self, doubtful: Sequence[Seq]) -> bool:
        """Put back what the bucket has lost of the numbers *doubtful*; return whether all is well.

        An emptied bucket stays empty, it may be so for a reason; what was exchanged stays as it is,
        and nothing is put back behind it.
        """
        if not await self._stands(Seq(1)):
            self._report_history(Seq(1))
            return False
        is_whole = True
        for seq in doubtful:
            if await self._stands(seq):
                continue
            if seq > self._log.reader.last_entry():
                # Nobody has built on this: it was cleared away, or never was what we were shown.
                await self._log.drop_voids()
                last = self._log.reader.last_entry()
                self._changed = {each for each in self._changed if each <= last}
                return is_whole
            if not is_whole:
                continue
            if await self._is_absent(seq):
                await self._put_back(seq, self._log.reader.log[seq - 1])
            if not await self._stands(seq):
                self._report_history(seq)
                is_whole = False
        return is_whole

    def _report_history(self, seq: Seq) -> None:
        self._alerts.begin(
            "roster-history",
            "The bucket shows another log of members than this workstation has read: number "
            f"{seq} was deleted or exchanged. This workstation goes by what it has read.",
            _KEEP_OUT,
        )

    async def _is_absent(self, seq: Seq) -> bool:
        try:
            await self._slots.prove(seq)
        except NotThere:
            return True
        return False

    async def _put_back(self, seq: Seq, item: bytes) -> None:
        with contextlib.suppress(AlreadyThere, Unsettled, Refused, Unavailable):
            await self._bucket.create(roster_key(seq), item)
            self._alerts.begin(
                "roster-lost",
                f"The bucket had lost number {seq} of the log of members, and this workstation has "
                "put it back.",
                "Find out who deleted it: in such a gap a used ticket could have been used again.",
                lasts_s=EVENT_S,
            )
