"""Slots of journals that are empty though others have built on them: who took one would fork."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.keys import journal_key, journal_prefix
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Corrupt, Malformed, NotThere
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import EntryHeader, is_sound
from lucidnode.node.journal.log_slots import LogSlots
from lucidnode.node.journal.lost_history import LostHistory

_GAP_S = 10.0
"""How long it counts that nobody has gone on behind a slot that is empty."""

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
        clock: Clock,
    ) -> None:
        self._bucket = bucket
        self._log = log
        self._writer_key = writer_key
        self._lost = lost
        self._clock = clock
        self._none_until: dict[ProjectId, float] = {}

    async def is_gap(self, project: ProjectId, seq: Seq) -> bool:
        """Tell whether slot *seq* is empty though others have built on it.

        Then that is an alert. Raises Unavailable. Asks at most every _GAP_S.
        """
        now = self._clock.boot()
        if now < self._none_until.get(project, now):
            return False
        before = journal_key(project, Seq(seq - 1))
        listed = await self._bucket.list(journal_prefix(project), before, _BEHIND)
        if listed and listed[0].key != journal_key(project, seq):
            for one in listed:
                if await self._is_entry(project, one.key):
                    return await self._is_proven(project, seq)
        self._none_until[project] = now + _GAP_S
        return False

    def forget(self, project: ProjectId) -> None:
        """Look anew at *project*, whatever was seen."""
        self._none_until.pop(project, None)

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
