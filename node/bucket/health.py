"""Whether the bucket answers as it should: an alert begins within five seconds, and ends with it.

Every request tells something when it ends. When nothing has told anything for a while, and a
person works here, one small object is looked at: at most 1,200 requests an hour, and none while
other requests come back. Gets, sizes, lists and writes are apart, because a store that takes no
writes answers every read, and a gateway's page passes for a body: what failed ends when the same
succeeds, or once nobody has tried it for a while: a lasting refusal only if the store has granted
something else since, for key, clock and region are those of every request. That nobody answers ends
with any answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from lucidnode.node.bucket.counted import Request, Verb
from lucidnode.node.bucket.errors import Unreachable, Unsettled
from lucidnode.node.bucket.refusal import difference
from lucidnode.node.client.alerts import BUCKET, Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import (
    AccessDenied,
    Archived,
    NodeError,
    Unavailable,
)

TOPIC, CLOCK_TOPIC, ARCHIVE_TOPIC = BUCKET, "clock", "bucket-archive"

_ARCHIVED_S = 600.0
"""Seconds for which an archived object is told of: nobody can see that all were restored."""

_IDLE_S = 3.0
"""Seconds without any news after which the bucket is looked at."""

_LOOK_S = 2.0
"""Seconds a look may take; with the pause before it, an outage shows within five."""

_DOUBT_S = 1.0
"""Seconds for which calls must fail before a person hears of what may pass by itself."""

_AMISS_S = 5.0
"""Seconds between looks while an alert is on."""

_LAPSE_S = 75.0
"""Seconds after which a write that failed, or a read that was refused for good, counts no more if
nothing has failed since: nobody wants it any more, or an earlier try was carried out, as a look
showed whoever asked. What still waits is tried much more often (node/blocks/retries.py,
fs/commit/sender.py), and the roster is listed every minute (node/roster/confirmation.py)."""

_LAPSE_READ_S = 15.0
"""The same for other reads of one kind: nobody wants them any more. Looks go on."""

_TICK_S = (0.25, 1.0)
"""Pauses between two questions whether it is time: the shortest, and the longest. No look is due
less than the longest after something new."""

_SKEW_S = 60.0
"""Seconds by which two clocks may differ. Stores refuse from fifteen minutes on."""

_Kind = Literal["get", "size", "list", "write"]


@dataclass(slots=True)
class _Failing:
    since: float
    """Boot clock, seconds: when the first of the calls began that failed since one succeeded."""
    error: Unavailable
    last: float
    """Boot clock, seconds: when the last of them ended."""
    is_certain: bool = False


class BucketHealth:
    """Takes note of every request, looks by itself when there are none, and raises the alert."""

    def __init__(
        self,
        *,
        is_wanted: Callable[[], bool],
        skew: Callable[[], float | None],
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        """*is_wanted* tells if it is worth it to look.

        *skew* returns by how many seconds the store's clock is ahead, if it is known.
        """
        self._is_wanted = is_wanted
        self._skew = skew
        self._alerts = alerts
        self._clock = clock
        self._failing: dict[_Kind, _Failing] = {}
        self._told_at = clock.boot()
        self._granted_from = -math.inf
        """Boot clock, seconds: when the latest began of the requests that the store has granted."""
        self._hurried = asyncio.Event()
        self._may_write = True
        self.looks = 0
        """How many requests were made for nothing but this."""

    def note(self, request: Request) -> None:
        """Take note of how *request* ended; one that was given up tells nothing."""
        if request.outcome == "failed" and request.error is None:
            return
        kind = _kind(request.verb)
        error: BaseException | None = request.error
        if isinstance(error, Unsettled):
            error = error.__cause__
        self._told_at = self._clock.boot()
        if kind == "write" and isinstance(error, AccessDenied) and not self._may_write:
            pass  # as it should be
        elif isinstance(error, Unavailable):
            self._failed(kind, error, request.seconds)
        else:
            self._failing.pop(kind, None)
            self._granted_from = max(self._granted_from, self._told_at - request.seconds)
        if isinstance(error, Archived):
            self._alerts.begin(
                ARCHIVE_TOPIC,
                "The store has moved objects to an archive, so files cannot be read.",
                "Restore them there, and keep the store's rules from archiving this folder.",
                lasts_s=_ARCHIVED_S,
            )
        if not isinstance(error, Unreachable):
            self._answered()
        self._show()

    def expect_writes(self, may_write: bool) -> None:
        """Take a refused write for something amiss if *may_write*; a viewer's credentials write nothing."""
        self._may_write = may_write
        if not may_write:
            self._failing.pop("write", None)
            self._show()

    def hurry(self) -> None:
        """Look now: something was done about what is amiss, and what failed before says nothing."""
        self._failing.clear()
        self._show()
        self._hurried.set()

    async def run(self, look: Callable[[], Awaitable[object]]) -> None:
        """Look whenever it is time, until cancelled: *look* is one small read that `note` hears of."""
        while True:
            quiet = self._clock.boot() - self._told_at
            await self._clock.sleep(min(max(self._pause() - quiet, _TICK_S[0]), _TICK_S[1]))
            self._lapse()
            quiet = self._clock.boot() - self._told_at
            if self._hurried.is_set() or (self._is_wanted() and quiet >= self._pause()):
                self._hurried.clear()
                await self._look_once(look)

    async def _look_once(self, look: Callable[[], Awaitable[object]]) -> None:
        self.looks += 1
        begun_at = self._clock.boot()
        try:
            async with asyncio.timeout(_LOOK_S):
                with contextlib.suppress(NodeError):  # noted when the request ended
                    await look()
        except TimeoutError:
            # Unless others were answered meanwhile: then it was this one's bad luck.
            if self._told_at < begun_at:
                self._told_at = self._clock.boot()
                silent = Unreachable("The bucket does not answer", "check the network")
                self._failed("get", silent, self._told_at - begun_at)
                self._show()

    def _lapse(self) -> None:
        """Forget what failed a while ago and was not asked for again."""
        now = self._clock.boot()
        over = [
            kind
            for kind, failing in self._failing.items()
            if now - failing.last >= _lapse_s(kind, failing)
            and not (failing.error.lasting and self._granted_from < failing.last)
        ]
        for kind in over:
            del self._failing[kind]
        if over:
            self._show()

    def _pause(self) -> float:
        if any(failing.is_certain for failing in self._failing.values()):
            return _AMISS_S
        return _DOUBT_S if self._failing else _IDLE_S

    def _failed(self, kind: _Kind, error: Unavailable, seconds: float) -> None:
        now = self._clock.boot()
        failing = self._failing.setdefault(kind, _Failing(now - seconds, error, now))
        failing.error, failing.last = error, now
        failing.is_certain |= error.lasting or now - failing.since >= _DOUBT_S

    def _answered(self) -> None:
        for kind in [k for k, f in self._failing.items() if isinstance(f.error, Unreachable)]:
            del self._failing[kind]
        skew = self._skew()
        if skew is not None and abs(skew) > _SKEW_S:
            self._alerts.begin(
                CLOCK_TOPIC,
                f"The clock of this machine is {difference(skew)}.",
                "Set it, and have it kept right (NTP): a store refuses from 15 minutes on.",
            )
        else:
            self._alerts.end(CLOCK_TOPIC)

    def _show(self) -> None:
        certain = [f for f in self._failing.values() if f.is_certain]
        if not certain:
            self._alerts.end(TOPIC)
            return
        # What keeps reads away keeps writes away as well.
        error = next((f for k, f in self._failing.items() if k != "write"), certain[0]).error
        remedy = error.remedy or "it is tried again by itself"
        cause = error.cause.removesuffix(".")
        if self._only_lists_fail():
            cause = (
                f"{cause}; that concerns listings alone, and without them no changes are committed"
            )
        self._alerts.begin(TOPIC, f"{cause}.", f"{remedy[0].upper()}{remedy[1:]}.")

    def _only_lists_fail(self) -> bool:
        """Tell whether the store has carried out something else since listings fail."""
        failing = self._failing.get("list")
        return (
            failing is not None and len(self._failing) == 1 and self._granted_from >= failing.since
        )


def _kind(verb: Verb) -> _Kind:
    """Return what ends a failure of *verb*: a store may answer one kind of request and no other."""
    match verb:
        case "get" | "size" | "list":
            return verb
        case _:
            return "write"


def _lapse_s(kind: _Kind, failing: _Failing) -> float:
    return _LAPSE_S if kind == "write" or failing.error.lasting else _LAPSE_READ_S
