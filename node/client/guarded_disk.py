"""How both processes look at a local disk that may fail or hang: in threads, for a bounded time.

A disk that hangs, or fails several times in a row, is left alone (node/client/breaker.py): nobody
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

T = TypeVar("T")

TOPIC = "cache-disk"

DEADLINE_S = 2.0
"""Seconds after which a disk that has not answered counts as hanging. A loaded hard disk answers
in tenths of one."""

LAPSE_S = 600.0
"""Seconds for which one fault is shown, after which the disk went on working."""

GRAVE = frozenset({errno.ESTALE, errno.ETIMEDOUT})
"""Errors after which the next look would fail as well."""


class GuardedDisk:
    """The looks at one disk, in *threads* threads of its own. Lives in one event loop.

    The threads bound what a hanging disk can hold: those in it when it began to hang, and then one
    probe at a time.
    """

    def __init__(
        self,
        what: str,
        *,
        threads: int,
        alerts: Alerts,
        clock: Clock,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Take *what* is on the disk, for people: "the cache in /var/cache/lucidnode"."""
        self._what = what
        self._alerts = alerts
        self._breaker = Breaker(clock)
        self._deadline_s = deadline_s
        self._threads = ThreadPoolExecutor(threads, "disk-look")
        self._unclosed: deque[int] = deque()
        self._probing = False
        self.faults = 0
        """Looks that failed or hung, since the start."""

    @property
    def left_alone(self) -> bool:
        """Return whether the disk fails or hangs, so that nothing is asked of it now."""
        return self._breaker.open

    async def look(self, work: Callable[[], T]) -> T:
        """Return what *work*, which blocks on the disk, returns from a thread.

        Raises what it raises. FileNotFoundError is an answer; any other OSError is a fault of the
        disk, ETIMEDOUT if it does not answer in time and EIO, at once, while it is left alone.
        """
        if self._breaker.open:
            self._probe(work)
            raise OSError(errno.EIO, f"{self._what} is left alone for now")
        looking = asyncio.get_running_loop().run_in_executor(self._threads, self._in_thread, work)
        looking.add_done_callback(self._ended)
        await asyncio.wait({looking}, timeout=self._deadline_s)
        if not looking.done():
            hanging = OSError(errno.ETIMEDOUT, f"no answer for {self._deadline_s:g} s")
            self._failed(hanging)
            raise hanging
        return looking.result()

    def afterwards(self, descriptor: int) -> None:
        """Close *descriptor* in a thread, with the next look. Safe in any thread and finalizer."""
        # Nothing is submitted from here: a finalizer may run in the midst of a submission.
        self._unclosed.append(descriptor)

    def close(self) -> None:
        """Begin nothing more. What hangs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if not self._breaker.open:
            self._close_descriptors()

    def _in_thread(self, work: Callable[[], T]) -> T:
        self._close_descriptors()
        return work()

    def _close_descriptors(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                os.close(self._unclosed.popleft())

    def _probe(self, work: Callable[[], object]) -> None:
        if self._breaker.due and not self._probing:
            self._probing = True
            probe = asyncio.get_running_loop().run_in_executor(self._threads, self._in_thread, work)
            probe.add_done_callback(self._probed)

    def _probed(self, probe: asyncio.Future[object]) -> None:
        self._probing = False
        self._ended(probe)

    def _ended(self, looking: asyncio.Future[T]) -> None:
        if looking.cancelled():
            return
        fault = looking.exception()
        if isinstance(fault, OSError) and not isinstance(fault, FileNotFoundError):
            self._failed(fault)
            return
        if self._breaker.open:
            self._alerts.end(TOPIC)
        self._breaker.succeeded()

    def _failed(self, fault: OSError) -> None:
        self.faults += 1
        self._breaker.failed(grave=fault.errno in GRAVE)
        self._alerts.begin(
            TOPIC,
            f"{self._what[:1].upper()}{self._what[1:]} fails: {fault.strerror or fault}.",
            "Check the disk; meanwhile blocks come from elsewhere, and it is tried again by itself.",
            lasts_s=None if self._breaker.open else LAPSE_S,
        )
