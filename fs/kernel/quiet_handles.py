"""Which handles the kernel channel may close by itself, as far as FLUSH goes.

Each `close` is a FLUSH, which its program waits for. It brings down what was written, and ends the
`fcntl` locks of the process. Where nothing can be written and nobody has a lock, it does neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lucidnode.fs.files.file_locks import FileLocks
from lucidnode.fs.replica.inode import InodeNo


class QuietHandles:
    """The open handles of one mount whose FLUSH ends nothing, by the number that the kernel has of their file.

    Locks of it are in one of *tables*. *quiet* and *unquiet* tell the channel of one.
    """

    def __init__(
        self,
        tables: Sequence[FileLocks],
        quiet: Callable[[int], None],
        unquiet: Callable[[int], None],
    ) -> None:
        self._tables = tables
        self._quiet = quiet
        self._unquiet = unquiet
        self._handles: dict[InodeNo, set[int]] = {}

    def opened(self, ino: InodeNo, handle: int) -> None:
        """Note a new *handle* of *ino*, through which nothing can be written."""
        if not any(locks.is_in_use(ino) for locks in self._tables):
            self._handles.setdefault(ino, set()).add(handle)
            self._quiet(handle)

    def locked(self, ino: InodeNo) -> None:
        """Note that somebody has a lock of *ino* from now on. He must not know it yet."""
        for handle in self._handles.pop(ino, ()):
            self._unquiet(handle)

    def released(self, ino: InodeNo, handle: int) -> None:
        """Note that *handle* is no more."""
        handles = self._handles.get(ino)
        if handles is None or handle not in handles:
            return
        self._unquiet(handle)
        handles.discard(handle)
        if not handles:
            del self._handles[ino]
