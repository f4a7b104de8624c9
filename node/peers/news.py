"""What a node tells its peers of itself: all of it to who is met, later what has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.peers.messages import (
    MAX_PROJECTS,
    Heads,
    Message,
    PeerDays,
    PeerSummary,
    PeerTotals,
)

SUMMARY_INTERVAL_S = 5.0
"""Seconds between two summaries of one node: they change all the time, and are for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsSource:
    """Where the news of a node comes from."""

    heads: Callable[[], Mapping[ProjectId, Sequence[tuple[Seq, bytes]]]]
    """The newest entries (number, hash) of each project, in order."""
    totals: Callable[[], Mapping[str, int]]
    days: Callable[[], Mapping[str, list[int]]]
    summary: Callable[[], PeerSummary]


class News:
    """What was told of *source* last. *log_head* is the newest item of the log of members."""

    def __init__(
        self, source: NewsSource, log_head: Callable[[], tuple[int, bytes] | None], clock: Clock
    ) -> None:
        self._source = source
        self._log_head = log_head
        self._clock = clock
        self._heads = Heads({})
        self._totals = PeerTotals({})
        self._days = PeerDays({})
        self._summary: PeerSummary | None = None
        self._summed_up_at = float("-inf")

    def all(self) -> list[Message]:
        """Return what was told, for somebody who was not there."""
        summary = [] if self._summary is None else [self._summary]
        return [self._heads, self._totals, self._days, *summary]

    def changed(self) -> list[Message]:
        """Return what is different from what was told, which is told by that."""
        heads, totals, days = self._heads, self._totals, self._days
        found = islice(self._source.heads().items(), MAX_PROJECTS)
        self._heads = Heads({str(p): list(claims) for p, claims in found}, self._log_head())
        self._totals = PeerTotals(dict(self._source.totals()))
        self._days = PeerDays(dict(self._source.days()))
        news: list[Message] = []
        if self._heads != heads:
            news.append(self._heads)
        if self._totals != totals:
            news.append(self._totals)
        new = {day: c for day, c in self._days.days.items() if days.days.get(day) != c}
        if new:
            news.append(PeerDays(new))
        now = self._clock.boot()
        if now - self._summed_up_at >= SUMMARY_INTERVAL_S:
            self._summed_up_at = now
            self._summary = self._source.summary()
            news.append(self._summary)
        return news
