"""What programs ask of a mount: one span for each request, what comes of it, and how long it took.

Each request of the kernel passes `Spans` once (fs/kernel/reply.py). Counting costs less than a
microsecond; nothing is written down unless somebody follows: `lucidnode log --access`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable

from lucidnode.fs.channel.device import AnsweredRead
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.node.client import mount_messages

MAX_HELD = 16_384
"""Requests that wait to be told to who follows; of more, only the number is told."""

MAX_TOLD = 512
"""Requests in one message."""

MAX_NAME_BYTES = 512
"""Of a longer name, the end is told."""


class Span:
    """One request: what is known of it from the start. 0 is what a request does not have.

    *pid* asks; of a request on a handle, which the kernel passes on without one, it is who opened it.
    *name* is the one that it is about, in the directory *ino*.
    """

    __slots__ = ("began", "handle", "ino", "name", "offset", "operation", "pid", "size")

    def __init__(
        self,
        operation: str,
        ino: int = 0,
        *,
        handle: int = 0,
        offset: int = 0,
        size: int = 0,
        pid: int = 0,
        name: bytes = b"",
    ) -> None:
        self.operation = operation
        self.ino = ino
        self.handle = handle
        self.offset = offset
        self.size = size
        self.pid = pid
        self.name = name
        self.began = 0.0


class _Times:
    """How long the requests of one operation took."""

    __slots__ = ("counts", "failed", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(mount_messages.REQUEST_BUCKETS_S) + 1)
        self.seconds = 0.0
        self.failed = 0


class Spans:
    """All requests of one mount. *now* gives seconds, *wall_ns* the time of day.

    *path_of* gives a path of an inode, for people.
    """

    def __init__(
        self,
        now: Callable[[], float],
        wall_ns: Callable[[], int],
        path_of: Callable[[InodeNo], str],
    ) -> None:
        self.now = now
        self._wall_ns = wall_ns
        self._path_of = path_of
        self._times: dict[str, _Times] = {}
        self._opened: dict[int, tuple[int, int]] = {}
        self._followed: deque[mount_messages.AccessedFile] | None = None
        self._with_names = False
        self._left_out = 0

    def opened(self, handle: int, ino: int, pid: int) -> None:
        """Note that *pid* has opened *ino*: requests on *handle* are about it."""
        self._opened[handle] = ino, pid

    def released(self, handle: int) -> None:
        """Note that *handle* is no more."""
        self._opened.pop(handle, None)

    def ended(self, span: Span, errno: int) -> None:
        """Note that *span* ends now, in the error *errno*, or 0."""
        seconds = self.now() - span.began
        times = self._times_of(span.operation)
        times.counts[bisect_left(mount_messages.REQUEST_BUCKETS_S, seconds)] += 1
        times.seconds += seconds
        if errno:
            times.failed += 1
        if self._followed is not None:
            self._tell(span, errno, seconds)

    def answered(self, reads: list[AnsweredRead]) -> None:
        """Note *reads* of the kernel channel. Such as go on from each other are told as one.

        Each of them counts as having taken what they took on average.
        """
        times = self._times_of("read")
        told: list[tuple[Span, float]] = []
        for read in reads:
            seconds = read.nanoseconds / 1e9
            if read.requests:
                average = seconds / read.requests
                times.counts[bisect_left(mount_messages.REQUEST_BUCKETS_S, average)] += (
                    read.requests
                )
                times.seconds += seconds
                offset, size = read.offset, read.length
                span = Span("read", handle=read.handle, offset=offset, size=size)
                told.append((span, seconds))
            elif told:
                told[-1][0].size += read.length
        if self._followed is not None:
            for span, seconds in told:
                self._tell(span, 0, seconds)

    def _times_of(self, operation: str) -> _Times:
        times = self._times.get(operation)
        if times is None:
            times = self._times[operation] = _Times()
        return times

    def times(self) -> dict[str, mount_messages.RequestTimes]:
        """Return what was counted since the mount started, by operation."""
        return {
            operation: mount_messages.RequestTimes(times.seconds, times.failed, times.counts.copy())
            for operation, times in self._times.items()
        }

    def follow(self, *, names: bool) -> None:
        """Keep what comes from now on for `take`, with *names* in plain words if somebody wants them."""
        self._with_names = names
        if self._followed is None:
            self._followed = deque()
            self._left_out = 0

    def ignore(self) -> None:
        """Keep nothing any more: nobody follows."""
        self._followed = None

    def take(self) -> mount_messages.Accesses | None:
        """Return the oldest of what was kept, and how many were left out; None if there is nothing."""
        if not self._followed:
            return None
        taken = [self._followed.popleft() for _ in range(min(len(self._followed), MAX_TOLD))]
        left_out, self._left_out = self._left_out, 0
        return mount_messages.Accesses(taken, left_out)

    def _tell(self, span: Span, errno: int, seconds: float) -> None:
        assert self._followed is not None
        if len(self._followed) >= MAX_HELD:
            self._left_out += 1
            return
        ino, pid = span.ino, span.pid
        if span.handle:
            of_handle, opener = self._opened.get(span.handle, (0, 0))
            ino, pid = ino or of_handle, pid or opener
        self._followed.append(
            mount_messages.AccessedFile(
                self._wall_ns(),
                span.operation,
                ino,
                span.handle,
                span.offset,
                span.size,
                pid,
                errno,
                seconds,
                self._name(ino, span.name) if self._with_names else "",
            )
        )

    def _name(self, ino: int, name: bytes) -> str:
        parts = [self._path_of(InodeNo(ino))] if ino else []
        path = "/".join([*(part for part in parts if part), *([_shown(name)] if name else [])])
        return path.encode()[-MAX_NAME_BYTES:].decode(errors="ignore")


def _shown(name: bytes) -> str:
    return name.decode(errors="replace")
