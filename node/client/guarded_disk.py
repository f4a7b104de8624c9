"""How both processes look at a local disk that may fail or hang: in threads, for a bounded time.

The one policy of mounts (block files), of the daemon's cache (node/cache/disk.py) and of what waits
for its upload (node/cache/staging.py). A disk that hangs, or fails several times in a row, is left alone (node/client/breaker.py): nobody
waits for it, no more threads are given to it, and now and then one look that nobody waits for
tells whether it is well again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.breaker import Breaker
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.disk_words import help_for, said_by

T = TypeVar("T")

TOPIC = "cache-disk"

DEADLINE_S = 2.0
"""Seconds after which a disk that has not answered counts as hanging. A loaded hard disk answers
in tenths of one."""

LAPSE_S = 600.0
"""Seconds for which one fault is shown, after which the disk went on working."""

_GRAVE = frozenset({errno.ESTALE, errno.ETIMEDOUT})
"""Errors after which the next look would fail as well."""


class DiskMissing(OSError):
    """What should be on a disk is not there, most likely because the disk is not mounted.

    That is quickly found out each time, so no reason to leave it alone. *remedy* is for people.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(errno.ESTALE, what)
        self.remedy = remedy


class DiskAlert:
    """The one alert about a disk, whoever of this process looks at it.

    *what* is on it, for people: "the cache in /var/cache/lucidnode".
    """

    def __init__(self, what: str, alerts: Alerts) -> None:
        self._what = what
        self._alerts = alerts
        self._leave_it: set[GuardedDisk] = set()

    def failed(self, who: GuardedDisk, fault: OSError) -> None:
        """Hear that *who* met *fault*, and whether it leaves the disk alone."""
        if isinstance(fault, DiskMissing):
            reason = said_by(fault)
            self._leave_it.add(who)
            self._alerts.begin(
                TOPIC,
                f"{reason[:1].upper()}{reason[1:]}: its disk is not mounted.",
                fault.remedy,
            )
            return
        if who.left_alone:
            self._leave_it.add(who)
        self._alerts.begin(
            TOPIC,
            f"{self._what[:1].upper()}{self._what[1:]} fails: {said_by(fault)}.",
            help_for(fault, self._what, "Check the disk.")
            + " Meanwhile blocks come from elsewhere, and it is tried again by itself.",
            lasts_s=None if self._leave_it else LAPSE_S,
        )

    def well(self, who: GuardedDisk) -> None:
        """Hear that *who* got an answer."""
        if who in self._leave_it:
            self._leave_it.discard(who)
            if not self._leave_it:
                self._alerts.end(TOPIC)


class GuardedDisk:
    """The looks of one kind at one disk, in *threads* threads of its own. Lives in one event loop.

    The threads bound what a hanging disk can hold: those in it when it began to hang, and then one
    probe at a time. That probe is *probe*, or else the next look. Without *alert* somebody else
    tells people.
    """

    def __init__(
        self,
        what: str,
        *,
        threads: int,
        clock: Clock,
        alert: DiskAlert | None,
        deadline_s: float = DEADLINE_S,
        probe: Callable[[], object] | None = None,
    ) -> None:
        """Take *what* is on the disk, for people: "the cache in /var/cache/lucidnode"."""
        self._what = what
        self._alert = alert
        self._breaker = Breaker(clock)
        self._deadline_s = deadline_s
        self._threads = ThreadPoolExecutor(threads, "disk-look")
        self._unclosed: deque[int] = deque()
        self._is_closed = False
        self._probe_work = probe
        self._probing = False
        self.faults = 0
        """Looks that failed or hung, since the start."""

    @property
    def left_alone(self) -> bool:
        """Return whether the disk fails or hangs, so that nothing is asked of it now."""
        return self._breaker.open

    @property
    def due(self) -> bool:
        """Return whether it is left alone, and time for a probe."""
        return self._breaker.due

    async def look(self, work: Callable[[], T]) -> T:
        """Return what *work*, which blocks on the disk, returns from a thread.

        Raises what it raises. FileNotFoundError is an answer; any other OSError is a fault of the
        disk, ETIMEDOUT if it does not answer in time and EIO, at once, while it is left alone.
        """
        return await self.answer(self._begun(work))

    async def run(self, work: Callable[[], T]) -> T:
        """Do as `look`, but wait for as long as it takes: for work that may be long, or writes.

        It is never done as a probe: who was told that it failed can rely on that.
        """
        return await self._begun(work, is_probe=False)

    def begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Begin *work* in a thread, whatever is known of the disk; whoever calls judges its end."""
        return asyncio.get_running_loop().run_in_executor(self._threads, self._in_thread, work)

    async def answer(self, looking: asyncio.Future[T]) -> T:
        """Return what *looking* ends with, or raise that: OSError (ETIMEDOUT) if it takes too long."""
        await asyncio.wait({looking}, timeout=self._deadline_s)
        if not looking.done():
            hanging = OSError(errno.ETIMEDOUT, f"no answer for {self._deadline_s:g} s")
            self.failed(hanging)
            raise hanging
        return looking.result()

    def failed(self, fault: OSError) -> None:
        """Hear that the disk met *fault*."""
        self.faults += 1
        self._breaker.failed(grave=fault.errno in _GRAVE)
        if self._alert is not None:
            self._alert.failed(self, fault)

    def answered(self) -> None:
        """Hear that the disk did what it was asked, a probe for instance."""
        self._breaker.succeeded()
        if self._alert is not None:
            self._alert.well(self)

    def afterwards(self, descriptor: int) -> None:
        """Close *descriptor* in a thread, with the next look. Safe in any thread and finalizer."""
        # Nothing is submitted from here: a finalizer may run in the midst of a submission.
        self._unclosed.append(descriptor)
        if self._is_closed and not self._breaker.open:
            self._close_descriptors()  # no look will come

    def close(self) -> None:
        """Begin nothing more. What hangs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._is_closed = True
        if not self._breaker.open:
            self._close_descriptors()

    def _in_thread(self, work: Callable[[], T]) -> T:
        self._close_descriptors()
        return work()

    def _close_descriptors(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                os.close(self._unclosed.popleft())

    def _begun(self, work: Callable[[], T], *, is_probe: bool = True) -> asyncio.Future[T]:
        if self._breaker.open:
            self._probe(self._probe_work or (work if is_probe else None))
            raise OSError(errno.EIO, f"{self._what} is left alone for now")
        looking = self.begin(work)
        looking.add_done_callback(self._ended)
        return looking

    def _probe(self, work: Callable[[], object] | None) -> None:
        if work is not None and self._breaker.due and not self._probing:
            self._probing = True
            self.begin(work).add_done_callback(self._probed)

    def _probed(self, probe: asyncio.Future[object]) -> None:
        self._probing = False
        self._ended(probe)

    def _ended(self, looking: asyncio.Future[T]) -> None:
        if looking.cancelled():
            return
        fault = looking.exception()
        if isinstance(fault, OSError) and not isinstance(fault, FileNotFoundError | DiskMissing):
            self.failed(fault)
        else:
            self.answered()
