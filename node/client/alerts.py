"""What a person should know of and perhaps do something about: conditions with a begin and an end.

An alert is about a *topic*: a short stable name such as `bucket` or `cache-disk`, after a colon
what it is about if there can be several (`block:1f3c…`). It says its cause in one sentence and
what helps in another. It begins once however often it is reported, counts the reports, and ends
when whoever began it sees that it is over, or after a time of its own if nobody can see that.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from itertools import islice

import msgspec

from lucidnode.node.client.clock import Clock

log = logging.getLogger(__name__)

BUCKET = "bucket"
"""Topic of the alert that the bucket cannot be used now."""

UNSENT, LOST = "unsent", "mount-lost"
"""What the topics of alerts begin with that changes of a project wait for its next mount, and that its
mount has lost its process."""

MAX_ALERTS = 64
"""Alerts shown at once; whoever reports another kind is told no. So nobody outside can fill our
memory."""

MAX_FAMILY = 8
"""Alerts shown at once whose topics have the same word before the colon: slots, devices, blocks. One
more says how many there are, so that a flood of one kind hides no other."""

MAX_KEPT_FAMILY = 256
"""Alerts of one such kind that are kept at once, for whoever asks for every one."""

MAX_TEXT = 500
"""Characters of a sentence: parts of it may come from outside."""

_LISTED = "`lucidnode status --alerts` lists them."

EVENT_S = 24 * 3600.0
"""Seconds for which something that happened, and does not go on, is shown: a day's work."""


class Alert(msgspec.Struct, frozen=True):
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
        self._known: dict[str, Alert] = {}
        self._ends_at: dict[str, float] = {}
        self._floods: dict[str, int] = {}
        """Kinds of which more are known than are shown, and how many reports were not kept."""
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
        known = self._known.get(topic)
        if known is None and not self._admitted(topic):
            log.debug("one alert too many: %s: %s", topic, _line(cause))
            return
        alert = Alert(
            topic=topic,
            cause=_line(cause),
            remedy=_line(remedy),
            since_ns=self._clock.wall_ns() if known is None else known.since_ns,
            count=1 if known is None else known.count + 1,
        )
        self._known[topic] = alert
        if lasts_s is None:
            self._ends_at.pop(topic, None)
        else:
            self._ends_at[topic] = self._clock.boot() + lasts_s
        if known is None:
            self.begun += 1
        if (known is None or known.cause != alert.cause) and self._is_shown(topic):
            log.warning("%s", f"{alert.cause} {alert.remedy}".rstrip())

    def end(self, topic: str) -> None:
        """Note that *topic* is well again; ending what never began is the same."""
        self._ends_at.pop(topic, None)
        alert = self._known.pop(topic, None)
        if alert is not None:
            log.info("over: %s", alert.cause)
            family = _family(topic)
            if self._members(family) <= MAX_FAMILY:
                self._floods.pop(family, None)

    def current(self) -> list[Alert]:
        """Return what is amiss now, oldest first; of a kind with many, some and how many more."""
        self._expire()
        shown: list[Alert] = []
        more: dict[str, list[Alert]] = {}
        members = Counter[str]()
        for topic, alert in self._known.items():
            family = _family(topic)
            members[family] += 1
            if family and members[family] > MAX_FAMILY:
                more.setdefault(family, []).append(alert)
            else:
                shown.append(alert)
        return shown + [self._more(family, hidden) for family, hidden in more.items()]

    def every(self) -> list[Alert]:
        """Return all that is known to be amiss now, oldest first."""
        self._expire()
        return list(self._known.values())

    def is_on(self, topic: str) -> bool:
        """Tell whether *topic* is amiss now."""
        self._expire()
        return topic in self._known

    def _admitted(self, topic: str) -> bool:
        """Tell whether there is room for *topic*, which is new; note what is not."""
        family = _family(topic)
        members = self._members(family)
        if not family or members < MAX_FAMILY:
            return len(self.current()) < MAX_ALERTS
        if family not in self._floods:
            self._floods[family] = 0
            log.warning(
                "There are more than %d alerts of one kind (%s) at once. %s",
                MAX_FAMILY, family, _LISTED,
            )  # fmt: skip
        has_room = members < MAX_KEPT_FAMILY
        self._floods[family] += not has_room
        return has_room

    def _is_shown(self, topic: str) -> bool:
        family = _family(topic)
        members = (known for known in self._known if _family(known) == family)
        return family not in self._floods or topic in islice(members, MAX_FAMILY)

    def _more(self, family: str, hidden: Sequence[Alert]) -> Alert:
        beyond = ", and there were others, which are not kept" if self._floods.get(family) else ""
        number = (
            f"is {len(hidden)} more alert" if len(hidden) == 1 else f"are {len(hidden)} more alerts"
        )
        cause = f"There {number} of one kind ({family}){beyond}."
        return Alert(f"{family}+", cause, _LISTED, hidden[0].since_ns, 1)

    def _members(self, family: str) -> int:
        return sum(_family(topic) == family for topic in self._known)

    def _expire(self) -> None:
        now = self._clock.boot()
        for topic in [topic for topic, at in self._ends_at.items() if at <= now]:
            self.end(topic)


def _family(topic: str) -> str:
    """Return what the kind of *topic* is called, or an empty string if it is the only one."""
    family, colon, _ = topic.partition(":")
    return family if colon else ""


def _line(text: str) -> str:
    """Return *text* as one line that cannot forge another in a log or on a terminal."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return shown if len(shown) <= MAX_TEXT else shown[: MAX_TEXT - 1] + "…"
