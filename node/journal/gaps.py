"""Slots of journals that are empty though others have built on them: who took one would fork."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import count

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.keys import journal_key, journal_prefix
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Corrupt, Malformed, NotThere, Unavailable
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import EntryHeader, is_sound
from lucidnode.node.journal.log_slots import LogSlots
from lucidnode.node.journal.lost_history import LostHistory
from lucidnode.node.journal.seen_entries import SeenEntries

_GAP_S = 10.0
"""How long it counts that nobody has gone on behind a slot that is empty, for it and for those behind."""

_BEHIND = 3
"""Objects behind an empty slot that are looked at for entries."""


class Gaps:
    """Looks for gaps, and reports those that are proven as lost."""

    def __init__(
        self,
        bucket: Bucket,
        log: Callable[[ProjectId], LogSlots],
        writer_key: Callable[[DeviceId], bytes | None],
        lost: LostHistory,
        seen: SeenEntries,
        clock: Clock,
    ) -> None:
        self._bucket = bucket
        self._log = log
        self._writer_key = writer_key
        self._lost = lost
        self._seen = seen
        self._clock = clock
        self._none: dict[ProjectId, tuple[Seq, float]] = {}
        """From which slot on there is none, and until when that counts: boot clock, seconds."""

    async def is_gap(self, project: ProjectId, seq: Seq) -> bool:
        """Tell whether slot *seq* is empty though others have built on it.

        Then that is an alert. Raises Unavailable: nobody may take the slot then, either. Asks at most
        every _GAP_S while it is the newest slot that is asked for.
        """
        now = self._clock.boot()
        if self._is_none_known(project, seq, now):
            return False
        before = journal_key(project, Seq(seq - 1))
        try:
            listed = await self._bucket.list(journal_prefix(project), before, _BEHIND)
        except Unavailable as error:
            raise _no_listing(error) from error
        taken = sum(
            one.key == journal_key(project, Seq(number))
            for one, number in zip(listed, count(seq), strict=False)
        )
        if not taken:
            for one in listed:
                if await self._is_entry(project, one.key):
                    return await self._is_proven(project, seq)
        elif taken < len(listed) or taken == _BEHIND:
            return False  # this slot is taken, but one behind it may be a gap
        self._none[project] = (seq, now + _GAP_S)
        return False

    def forget(self, project: ProjectId) -> None:
        """Look anew at *project*, whatever was seen."""
        self._none.pop(project, None)

    def _is_none_known(self, project: ProjectId, seq: Seq, now: float) -> bool:
        """Tell whether a look just now tells of *seq*, too, and nothing was seen behind that since.

        A look behind a later slot tells nothing of it: all that makes it a gap lies before.
        """
        first, until = self._none.get(project, (seq, now))
        return first <= seq and now < until and max(self._seen.recent(project), default=0) <= seq

    async def _is_proven(self, project: ProjectId, seq: Seq) -> bool:
        try:
            await self._log(project).prove(seq)
        except NotThere:
            self._lost.report_gap(project, seq)
            return True
        return False

    async def _is_entry(self, project: ProjectId, key: str) -> bool:
        with contextlib.suppress(NotThere, Corrupt, Malformed):
            body = await self._bucket.get(key)
            seq = EntryHeader.parse(body).seq
            return key == journal_key(project, seq) and is_sound(
                project, seq, body, self._writer_key
            )
        return False


def _no_listing(error: Unavailable) -> Unavailable:
    """Return *error* with what was asked for: a store may refuse that, and answer everything else."""
    cause = error.cause[:1].lower() + error.cause[1:].removesuffix(".")
    return Unavailable(
        f"the journal cannot be listed, because {cause}", error.remedy, lasting=error.lasting
    )
