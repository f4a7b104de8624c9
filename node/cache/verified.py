"""A block's name is the hash of its ciphertext: whoever holds one can check it, without a key."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from blake3 import blake3

from lucidnode.node.client.errors import Corrupt
from lucidnode.node.client.ids import BlockId

Ciphertext = bytes | bytearray
"""A block as it came; nobody writes into it."""

_Body = TypeVar("_Body", bytes, bytearray)

_SMALL_BYTES = 64 * 1024
"""Hashed where it is; a thread would cost more than that."""

_HASHING = ThreadPoolExecutor(2, "hashing")
"""Threads that touch no disk, so that nothing that hangs can keep a check waiting."""


def block_id(ciphertext: Ciphertext) -> BlockId:
    """Return the name of *ciphertext*: BLAKE3-256 over all of it (docs/format.md, "Ids").

    The hash runs without the interpreter lock, on the calling thread: 0.2 ms for 1 MiB.
    """
    return BlockId(blake3(ciphertext).digest())


def verified(wanted: BlockId, ciphertext: _Body) -> _Body:
    """Return *ciphertext* if it is the block *wanted*, else raise Corrupt.

    Every block that crosses a trust boundary (disk, peer, bucket) passes here before use.
    """
    if block_id(ciphertext) != wanted:
        raise Corrupt(f"{len(ciphertext)} bytes are not the block {wanted.hex()}")
    return ciphertext


def check_digest(wanted: BlockId, digest: bytes, size: int) -> None:
    """Raise Corrupt if *digest*, of *size* bytes, is not that of the block *wanted*."""
    if digest != wanted:
        raise Corrupt(f"{size} bytes are not the block {wanted.hex()}")


class ArrivingBlock:
    """Checks the block *wanted* while it comes, so that each piece is hashed while the processor has it still.

    Where it comes: no other thread has to be waited for, and the loop serves others between the pieces.
    """

    def __init__(self, wanted: BlockId) -> None:
        self._wanted = wanted
        self._hasher = blake3()
        self._bytes = 0

    def add(self, piece: memoryview) -> None:
        """Take the next bytes of it."""
        self._hasher.update(piece)
        self._bytes += len(piece)

    def check(self) -> None:
        """Raise Corrupt if what has come is not all of that block and nothing else."""
        check_digest(self._wanted, self._hasher.digest(), self._bytes)


async def verified_aside(wanted: BlockId, ciphertext: _Body) -> _Body:
    """Do as `verified`, in a thread: the loop serves others meanwhile."""
    if len(ciphertext) <= _SMALL_BYTES:
        return verified(wanted, ciphertext)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_HASHING, verified, wanted, ciphertext)
