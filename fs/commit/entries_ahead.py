"""Reads journal entries ahead: who was away for a week must not wait a round trip for each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.supervision import Tasks

MAX_ENTRIES_AHEAD = 16
"""Entries in the window: the one that is asked for, and those behind it that are under way."""

MAX_BYTES_AHEAD = 64 * 1024 * 1024
"""Bytes that those behind may come to, whoever made them. Each may have its share of it; what is longer
is read when it is asked for. Entries of people at work have some kilobytes, full ones of an import some hundred."""

FRESH_S = 10.0
"""How old an answer may be when it is used. The committer counts it as one of now, and a laptop may
have slept since."""


Found = TypeVar("Found")
Found_co = TypeVar("Found_co", covariant=True)


class Fetch(Protocol[Found_co]):
    """Fetches one entry (JournalClient.entry)."""

    async def __call__(
        self, project: ProjectId, seq: Seq, max_bytes: int | None = None, /
    ) -> Found_co | None: ...


@dataclass(frozen=True, slots=True)
class _Asked(Generic[Found]):
    at: float
    answer: asyncio.Task[Found | None]


class EntriesAhead(Generic[Found]):
    """Wraps *fetch*, which returns an entry or None if there is none yet; for one project.

    From the second entry in a row on, those behind it are fetched as well: one, then three, and so
    on, until *most* are in the window, of MAX_BYTES_AHEAD in all. The end of the journal, or a question out of order,
    begins anew. Only entries are taken from what was fetched ahead: that there is none is asked when somebody wants to know.
    """

    def __init__(
        self,
        fetch: Fetch[Found],
        clock: Clock,
        tasks: Tasks,
        most: int = MAX_ENTRIES_AHEAD,
    ) -> None:
        self._fetch = fetch
        self._most = most
        self._max_bytes = MAX_BYTES_AHEAD // most
        self._clock = clock
        self._tasks = tasks
        self._ahead: dict[Seq, _Asked[Found]] = {}
        self._next = 0
        self._width = 0

    async def entry(self, project: ProjectId, seq: Seq) -> Found | None:
        """Return entry *seq*, or None if there is none. Raises what *fetch* raises."""
        if seq != self._next:
            self.stop()
        found = await self._from_ahead(seq) or await self._fetch(project, seq)
        if found is None:
            self.stop()
        else:
            self._look_behind(project, seq)
        return found

    def stop(self) -> None:
        """Give up what is being fetched."""
        self._width = 0
        for asked in self._ahead.values():
            asked.answer.cancel()
        self._ahead.clear()

    async def _from_ahead(self, seq: Seq) -> Found | None:
        asked = self._ahead.pop(seq, None)
        if asked is None or self._clock.boot() - asked.at > FRESH_S:
            return None
        return await asked.answer

    def _look_behind(self, project: ProjectId, seq: Seq) -> None:
        self._next = seq + 1
        self._width = min(max(1, 2 * self._width), self._most)
        for number in range(seq + 1, seq + self._width):
            if (behind := Seq(number)) not in self._ahead:
                task = self._tasks.create_task(self._quietly(project, behind))
                self._ahead[behind] = _Asked(self._clock.boot(), task)

    async def _quietly(self, project: ProjectId, seq: Seq) -> Found | None:
        try:
            return await self._fetch(project, seq, self._max_bytes)
        except NodeError:
            return None  # whoever needs this one will ask, and be told
