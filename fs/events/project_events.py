"""The events of one project, page by page, for as many readers as ask: each goes at its own speed.

A reader says what it has, and asks for what comes next. Nothing waits for it here: what it has not
read is in the journal. Only its place is remembered, so that the next question is answered at once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

from lucidnode.fs.commit.commit_signals import set_within
from lucidnode.fs.events.entry_chain import EntryChain
from lucidnode.fs.events.event_cursor import MAX_BEHIND, EventCursor, FellBehind, Who
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.mount_messages import EventsPage, EventsQuery, ProjectEvent

MAX_READERS = 16
"""Readers whose place is remembered. The place of another is found again from the journal."""

PAGE_EVENTS = 256
PAGE_BYTES = 256 * 1024
"""Most events in one page, and most bytes of their paths, but for a single one."""

WAIT_S = 15.0
"""How long a question waits for something to happen."""

_BUCKET_PAUSE_S = 1.0
"""How long a reader waits while the bucket cannot be asked."""


class ProjectEvents:
    """Answers questions for the events of one project. Use it from one loop."""

    def __init__(
        self,
        replica: Replica,
        chain: EntryChain,
        progress: Callable[[], asyncio.Event],
        who: Who,
        clock: Clock,
        most_behind: int = MAX_BEHIND,
    ) -> None:
        """*progress* returns what is set when the head moves next."""
        self._replica = replica
        self._progress = progress
        self._clock = clock
        self._begun = partial(EventCursor, replica, chain, who, most_behind=most_behind)
        self._cursors: OrderedDict[str, EventCursor] = OrderedDict()
        self._asking: set[str] = set()

    async def page(self, query: EventsQuery) -> EventsPage:
        """Return what comes after the place that *query* names; an empty page if that is nothing soon.

        While the bucket cannot be asked for what has to be read again, pages are empty, too.
        """
        if query.after is None:
            return EventsPage(query.number, [], self._head(), 0)
        empty = EventsPage(query.number, [], query.after, query.told)
        if query.reader in self._asking:
            return empty  # its question before this one goes on
        self._asking.add(query.reader)
        try:
            return await self._page(query, query.after, self._clock.boot() + WAIT_S) or empty
        except NodeError:
            await self._clock.sleep(_BUCKET_PAUSE_S)
            return empty
        finally:
            self._asking.discard(query.reader)

    async def _page(self, query: EventsQuery, after: int, end: float) -> EventsPage | None:
        told = query.told
        while self._clock.boot() < end:
            progress = self._progress()
            if self._head() <= after:
                await set_within(progress, end - self._clock.boot(), self._clock)
                continue
            cursor = self._cursor(query.reader, after)
            try:
                if not cursor.is_prepared:
                    await cursor.prepare()
                elif cursor.missed_from is not None:
                    missed = cursor.take_missed()
                    return EventsPage(query.number, [], cursor.place, 0, missed)
                elif cursor.events is None:
                    await cursor.read_next()
                elif part := _page_of(cursor.events[told:]):
                    told += len(part)
                    is_all = told == len(cursor.events)
                    place = (after + 1, 0) if is_all else (after, told)
                    return EventsPage(query.number, part, *place)
                else:
                    after, told = after + 1, 0  # it did nothing that is told
            except FellBehind:
                self._forget(query.reader)
                self._cursor(query.reader, after).miss(self._head())
        return None if after == query.after else EventsPage(query.number, [], after, told)

    def _cursor(self, reader: str, after: int) -> EventCursor:
        """Return the cursor of *reader* behind entry *after*: its own as far as it is of use."""
        cursor = self._cursors.get(reader)
        if cursor is not None and cursor.place + 1 == after and cursor.events is not None:
            cursor.step()
        if cursor is None or cursor.asked != after or cursor.has_fallen_behind:
            self._forget(reader)
            while len(self._cursors) >= MAX_READERS:
                self._forget(next(iter(self._cursors)))
            cursor = self._cursors[reader] = self._begun(after)
        self._cursors.move_to_end(reader)
        return cursor

    def _forget(self, reader: str) -> None:
        cursor = self._cursors.pop(reader, None)
        if cursor is not None:
            cursor.close()

    def _head(self) -> int:
        return int(self._replica.pending.head().seq)


def _page_of(events: Sequence[ProjectEvent]) -> list[ProjectEvent]:
    """Return the first of *events*, as many as one page holds."""
    part: list[ProjectEvent] = []
    size = 0
    for event in events[:PAGE_EVENTS]:
        size += len(event.path.encode()) + len((event.old_path or "").encode())
        if part and size > PAGE_BYTES:
            break
        part.append(event)
    return part
