"""The file of a block that was verified as it lies there, to be sent as it is."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from blake3 import blake3

from lucidnode.node.client.errors import Corrupt
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.wire import MAX_BLOCK_CIPHERTEXT_BYTES

_PIECE_BYTES = 256 * 1024
"""Read and hashed at a time: it stays in the processor's cache."""

Aside = Callable[[Callable[[], int]], Awaitable[int]]
"""Does what blocks on the disk in a thread."""

_own = threading.local()


class HeldFile:
    """An open file of *size* bytes, good until `close` even if it is evicted meanwhile."""

    def __init__(self, descriptor: int, size: int, aside: Aside) -> None:
        self._descriptor = descriptor
        self._aside = aside
        self.size = size

    @classmethod
    def open(cls, path: Path, block: BlockId, aside: Aside) -> Self:
        """Open and verify the file of *block*. Blocking; raises Corrupt or OSError.

        What blocks on the disk later is done by *aside*.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            _verify(descriptor, size, block)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor, size, aside)

    async def send(self, connection: int, offset: int) -> int:
        """Send from *offset* on for as long as *connection*, which must not block, takes it.

        Returns how many bytes went. Raises OSError.
        """
        return await self._aside(partial(self._send, connection, offset))

    def _send(self, connection: int, offset: int) -> int:
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while left := self.size - offset - sent:
                went = os.sendfile(connection, self._descriptor, offset + sent, left)
                if not went:
                    raise OSError(errno.EIO, "the file has become shorter")
                sent += went
        return sent

    def close(self) -> None:
        """Close it, once."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _verify(descriptor: int, size: int, block: BlockId) -> None:
    if size > MAX_BLOCK_CIPHERTEXT_BYTES:
        raise Corrupt(f"the file of block {block.hex()} is too long")
    if _hash(descriptor, size) != block:
        raise Corrupt(f"{size} bytes are not the block {block.hex()}")


def _hash(descriptor: int, size: int) -> bytes:
    """Return the hash of the first *size* bytes; of all there are if the file is shorter."""
    piece: bytearray | None = getattr(_own, "piece", None)
    if piece is None:
        piece = _own.piece = bytearray(_PIECE_BYTES)
    view = memoryview(piece)
    hasher, offset = blake3(), 0
    while offset < size and (came := os.preadv(descriptor, [view], offset)):
        hasher.update(view[: min(came, size - offset)])
        offset += came
    return hasher.digest()
