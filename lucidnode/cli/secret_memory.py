"""Memory for keys: never in the swap where the kernel lets us, in no core dump, wiped when it is over.

Nothing is copied on the way in and out: bytes are received into it and sent out of it. What it cannot
do: Python makes copies of bytes wherever they are used, and those are overwritten only when something
else needs the room. They go for sure with the process.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable

_PAGE_BYTES = mmap.PAGESIZE


class SecretMemory:
    """Holds one secret at a time; empty to begin with."""

    def __init__(self, size: int = 16 * _PAGE_BYTES) -> None:
        """Have room for *size* bytes, rounded up to pages."""
        self._take_room(size)
        self._length = 0

    @property
    def held(self) -> memoryview:
        """What is held, where it lies: it is zeros, or something else, after the next change."""
        return memoryview(self._room)[: self._length]

    def put(self, secret: bytes | memoryview) -> None:
        """Hold *secret* instead of what was held. Raises ValueError if it is too large."""
        if len(secret) > len(self._room):
            raise ValueError("too large a secret")
        self.wipe()
        self._room[: len(secret)] = secret
        self._length = len(secret)

    def receive(self, read_into: Callable[[memoryview], int]) -> None:
        """Hold what one call of *read_into* writes, and tells the length of."""
        self.wipe()
        self._length = read_into(memoryview(self._room))

    def receive_all(self, read_into: Callable[[memoryview], int | None]) -> None:
        """Hold what *read_into* writes until it writes nothing, however much."""
        self.wipe()
        while more := read_into(memoryview(self._room)[self._length :]):
            self._length += more
            if self._length == len(self._room):
                before = self._room
                self._take_room(2 * len(before))
                self._room[: self._length] = before
                before[:] = bytes(len(before))

    def wipe(self) -> None:
        """Overwrite what is held, and hold nothing."""
        self._room[:] = bytes(len(self._room))
        self._length = 0

    def _take_room(self, size: int) -> None:
        pages = -(-size // _PAGE_BYTES)
        self._room = mmap.mmap(-1, pages * _PAGE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._room.madvise(mmap.MADV_DONTDUMP)
        self._room.madvise(mmap.MADV_DONTFORK)  # children of ours hold no copy
        at = ctypes.addressof(ctypes.c_char.from_buffer(self._room))
        libc = ctypes.CDLL(None, use_errno=True)
        self.is_locked = libc.mlock(ctypes.c_void_p(at), ctypes.c_size_t(len(self._room))) == 0
        """Whether the kernel keeps it out of the swap; RLIMIT_MEMLOCK may be too low."""
