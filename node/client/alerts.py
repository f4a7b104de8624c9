"""What a person should know of and perhaps do something about: conditions with a begin and an end.

An alert is about a *topic*: a short stable name such as `bucket` or `cache-disk`, after a colon
what it is about if there can be several (`block:1f3c…`). It says its cause in one sentence and
what helps in another. It begins once however often it is reported, counts the reports, and ends
when whoever began it sees that it is over, or after a time of its own if nobody can see that.
"""

from __future__ import annotations

import logging

import msgspec

from lucidnode.node.client.clock import Clock

log = logging.getLogger(__name__)

BUCKET = "bucket"
"""Topic of the alert that the bucket cannot be used now."""

MAX_ALERTS = 64
"""Alerts kept at once; whoever reports more is told no. So nobody outside can fill our memory."""

MAX_FAMILY = 8
"""Alerts kept at once whose topics have the same word before the colon: slots, devices, blocks. One
more says that there are more, so that a flood of one kind hides no other."""

MAX_TEXT = 500
"""Characters of a sentence: parts of it may come from outside."""

EVENT_S = 24 * 3600.0
"""Seconds for which something that happened, and does not go on, is shown: a day's work."""


class Alert(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One condition as it stands. *since_ns* is the wall clock's nanoseconds since 1970."""

    topic: str
    cause: str
    remedy: str
    since_ns: int
    count: int


class Alerts:
    """The alerts of one process. Everything is called from its event loop; nothing awaits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._current: dict[str, Alert] = {}
        self._ends_at: dict[str, float] = {}
        self.begun = 0
        """How many alerts began since the start."""

    def begin(
        self, topic: str, cause: str, remedy: str = "", *, lasts_s: float | None = None
    ) -> None:
        """Note that *topic* is amiss; again, with another cause perhaps, it is the same alert.

        *cause* is one sentence and *remedy* another, both for a person. With *lasts_s* it ends by
        itself that many seconds after its last report; else somebody must `end` it.
        """
        self._expire()
        known = self._current.get(topic)
        family, _, member = topic.partition(":")
        if known is None and member and self._members(family) >= MAX_FAMILY:
            log.debug("one more of %s: %s", family, _line(cause))
            # Always in the same words: what changes is logged each time.
            more = f"There are more than {MAX_FAMILY} alerts of one kind ({family}) at once."
            self.begin(f"{family}+", more, "Look at those that are shown first.")
            return
        if known is None and len(self._current) >= MAX_ALERTS:
            log.debug("one alert too many: %s: %s", topic, _line(cause))
            return
        alert = Alert(
            topic=topic,
            cause=_line(cause),
            remedy=_line(remedy),
            since_ns=self._clock.wall_ns() if known is None else known.since_ns,
            count=1 if known is None else known.count + 1,
        )
        self._current[topic] = alert
        if lasts_s is None:
            self._ends_at.pop(topic, None)
        else:
            self._ends_at[topic] = self._clock.boot() + lasts_s
        if known is None:
            self.begun += 1
        if known is None or known.cause != alert.cause:
            log.warning("%s", f"{alert.cause} {alert.remedy}".rstrip())

    def end(self, topic: str) -> None:
        """Note that *topic* is well again; ending what never began is the same."""
        self._ends_at.pop(topic, None)
        alert = self._current.pop(topic, None)
        if alert is not None:
            log.info("over: %s", alert.cause)
            family = topic.partition(":")[0]
            if self._members(family) < MAX_FAMILY:
                self._current.pop(f"{family}+", None)

    def current(self) -> list[Alert]:
        """Return what is amiss now, oldest first."""
        self._expire()
        return list(self._current.values())

    def is_on(self, topic: str) -> bool:
        """Tell whether *topic* is amiss now."""
        self._expire()
        return topic in self._current

    def _members(self, family: str) -> int:
        return sum(topic.startswith(f"{family}:") for topic in self._current)

    def _expire(self) -> None:
        now = self._clock.boot()
        for topic in [topic for topic, at in self._ends_at.items() if at <= now]:
            self.end(topic)


def _line(text: str) -> str:
    """Return *text* as one line that cannot forge another in a log or on a terminal."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return shown if len(shown) <= MAX_TEXT else shown[: MAX_TEXT - 1] + "…"
