"""Has the kernel forget what other nodes changed.

A notification blocks while a request for the same inode or directory waits for us. So they are sent
from threads that hold no lock. The pages of a file that is open have a thread of their own: to drop
them, the kernel waits for each read that is under way, which may wait for the network, and names
and attributes shall not wait for that. They are dropped all the same, for who has mapped the file
and asks for nothing would see old and new pages side by side for good.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import threading
from collections.abc import Callable, Hashable
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from lucidnode.fs.replica.inode import InodeNo

log = logging.getLogger(__name__)

_EXPECTED = {
    errno.ENOENT,  # The kernel knows nothing of it: the usual case.
    errno.ENOTEMPTY,  # A name whose directory is in use below: it is looked up again when valid.
    errno.ENOTDIR,
}

_UNMOUNTED = {errno.ENODEV, errno.ENOTCONN, errno.EBADF, errno.ENOSYS}
"""What a kernel says that has nobody to tell any more."""


class Kernel(Protocol):
    """What the kernel can be told; each call may block, and raises OSError."""

    def invalidate_inode(self, ino: InodeNo, *, attributes_only: bool) -> None: ...
    def invalidate_entry(self, parent: InodeNo, name: bytes) -> None: ...


class Invalidation:
    """Queues to the kernel, and the threads that empty them while inside `with`.

    Leaving drops what is queued: a kernel that has unmounted keeps nothing that could be stale.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._soon = _Queue("invalidation")
        self._pages = _Queue("invalidation of pages")

    def __enter__(self) -> Self:
        self._soon.start()
        self._pages.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for queue in (self._soon, self._pages):
            queue.end()
        for queue in (self._soon, self._pages):
            queue.join()

    def nobody(self) -> None:
        """Drop all there is and comes: no kernel is served here."""
        for queue in (self._soon, self._pages):
            queue.end()

    def name(self, parent: InodeNo, name: bytes) -> None:
        """Have *name* looked up again."""
        self._soon.put((parent, name), lambda: self._kernel.invalidate_entry(parent, name))

    def inode(self, ino: InodeNo, *, is_open: bool) -> None:
        """Have the attributes of *ino* and its pages asked for again."""
        self._soon.put(ino, lambda: self._kernel.invalidate_inode(ino, attributes_only=is_open))
        if is_open:
            self._pages.put(ino, lambda: self._kernel.invalidate_inode(ino, attributes_only=False))

    async def settled(self) -> None:
        """Return once the kernel has been told all that was queued before this call."""
        loop = asyncio.get_running_loop()
        for queue in (self._soon, self._pages):
            told: asyncio.Future[None] = loop.create_future()
            if queue.put(object(), partial(loop.call_soon_threadsafe, _done, told)):
                await told


def _done(told: asyncio.Future[None]) -> None:
    if not told.done():
        told.set_result(None)


class _Queue:
    """What the kernel is to be told, in order, and the thread that tells it.

    What waits already is not queued once more: it is told later than it was asked for.
    """

    def __init__(self, name: str) -> None:
        self._waiting: dict[Hashable, Callable[[], object]] = {}
        self._changed = threading.Condition()
        self._ended = False
        # A daemon thread: if the kernel never answers, the process ends all the same.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, what: Hashable, tell: Callable[[], object]) -> bool:
        """Have *tell* called, unless it is about to be for the same *what*; False after the end."""
        with self._changed:
            if not self._ended:
                self._waiting.setdefault(what, tell)
                self._changed.notify()
            return not self._ended

    def end(self) -> None:
        """Drop what waits, and take nothing more."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def join(self) -> None:
        """Wait for the thread, for two seconds at most: the kernel may not let it go."""
        self._thread.join(timeout=2)

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended)
            if self._ended:
                return None
            return self._waiting.pop(next(iter(self._waiting)))

    def _work(self) -> None:
        while (tell := self._next()) is not None:
            try:
                tell()
            except OSError as error:
                if error.errno in _UNMOUNTED:
                    self.end()
                elif error.errno not in _EXPECTED:
                    log.warning("the kernel refused an invalidation: %s", error)
