"""The studio's bucket as the rest of the node sees it: six verbs over immutable objects."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from lucidnode.node.client.wire import MAX_BLOCK_CIPHERTEXT_BYTES

MAX_OBJECT_BYTES = MAX_BLOCK_CIPHERTEXT_BYTES
"""Bytes. Nothing of ours is larger, so no reader allocates more for what a store sends."""


class Listed(NamedTuple):
    """One object of a listing: its key and its size in bytes."""

    key: str
    size: int


class Hashed(NamedTuple):
    """A whole object, and the BLAKE3-256 of it; nobody writes into it."""

    body: bytes | bytearray
    digest: bytes


class Bucket(Protocol):
    """Objects by key (`lucidnode.node.bucket.keys`). Every call ends within a deadline of its own.

    Where nothing else is said a call raises Unavailable, or AccessDenied below it, when the store
    gave no answer that counts; what the call asked for may then have happened or not.
    """

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        """Return the object, or its bytes from span[0] up to but without span[1].

        All of what was asked for or an error, never less. Raises NotThere, Oversize for
        more than MAX_OBJECT_BYTES bytes, and Corrupt where the object ends inside the span. A span is
        never empty.
        """

    async def block(self, key: str) -> Hashed:
        """Return the whole object, as `get` does, hashed while it came: a block is named so."""

    async def put(self, key: str, body: bytes) -> None:
        """Store *body* durably under a name that fixes its content, so repeating it is harmless.

        The store checks the body against a digest sent along before it acknowledges.
        """

    async def create(self, key: str, body: bytes) -> None:
        """Store *body* durably if nothing is there; it is asked once, never retried within.

        Raises AlreadyThere (settled), AccessDenied or Refused (nothing happened), and Unsettled
        for everything else, whatever happened.
        """

    async def size(self, key: str) -> int | None:
        """Return the size of the object in bytes, or None if the store says there is none."""

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        """Return up to *limit* objects below the folder *prefix* in the order of their keys.

        A prefix is whole path segments without the closing slash, "" is everything. With *after*
        only keys that sort behind it, so a listing goes on from its own last key. Where a folder
        and a name beside it begin alike ("a/b", "a-b"), which our layout avoids, stores differ.
        """

    async def delete(self, key: str) -> None:
        """Remove the object; removing what is not there is the same."""


class Engine(Bucket, Protocol):
    """The innermost part of a bucket: asks the store once for each call, and counts nothing."""

    @property
    def skew_s(self) -> float | None:
        """By how many seconds the store's clock was ahead of ours at its last answer, if it says."""
