"""Has the kernel forget what other nodes changed.

A notification blocks while a request for the same inode or directory waits for us. So they are sent
from a thread of their own that holds no lock, and a file that is open loses its attributes only: to
drop its pages, the kernel would wait for a read that waits for the network. It drops them by itself
when it next sees another mtime or size, and at the next open.
"""

from __future__ import annotations

import errno
import logging
import queue
import threading
from collections.abc import Callable
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
    """A queue to the kernel, and the thread that empties it while inside `with`.

    Leaving drops what is queued: a kernel that has unmounted keeps nothing that could be stale.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._ended = False
        # A daemon thread: if the kernel never answers, the process ends all the same.
        self._thread = threading.Thread(target=self._work, name="invalidation", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = True
        self._queue.put(None)
        self._thread.join(timeout=2)

    def name(self, parent: InodeNo, name: bytes) -> None:
        """Have *name* looked up again."""
        self._put(lambda: self._kernel.invalidate_entry(parent, name))

    def inode(self, ino: InodeNo, *, is_open: bool) -> None:
        """Have the attributes of *ino* asked for again, and its pages too unless it is open."""
        self._put(lambda: self._kernel.invalidate_inode(ino, attributes_only=is_open))

    def _put(self, tell: Callable[[], None]) -> None:
        if not self._ended:
            self._queue.put(tell)

    def _work(self) -> None:
        while (tell := self._queue.get()) is not None:
            if self._ended:
                continue
            try:
                tell()
            except OSError as error:
                if error.errno in _UNMOUNTED:
                    self._ended = True
                elif error.errno not in _EXPECTED:
                    log.warning("the kernel refused an invalidation: %s", error)
