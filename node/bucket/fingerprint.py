"""What chains are built of: the hash of an object as it lies in the bucket, whatever its size.

Anybody with the bucket's credentials can put terabytes under a name of ours. Every node has to
chain the next entry to such an object all the same, to the same hash, for the price of a glance:
so over MAX_OBJECT_BYTES the hash covers the size and the start only. It suffices, since what is over
the limit counts as nothing whatever it holds (docs/format.md, "Objects in the bucket").
"""

from __future__ import annotations

from typing import NamedTuple

from blake3 import blake3

from lucidnode.node.bucket.bucket import MAX_OBJECT_BYTES, Bucket
from lucidnode.node.bucket.errors import Oversize

START = 65_536
"""Bytes of an oversize object that its hash covers."""

_OVERSIZE = "lucidnode 2026 format 1 oversize object"


class Fingerprint(NamedTuple):
    """Size of an object in bytes, and the hash that an entry after it is chained to."""

    size: int
    hash: bytes


def fingerprint_of(body: bytes) -> Fingerprint:
    """Return the fingerprint of an object of at most MAX_OBJECT_BYTES bytes, given whole."""
    assert len(body) <= MAX_OBJECT_BYTES
    return Fingerprint(len(body), blake3(body).digest())


def oversize_fingerprint(size: int, start: bytes) -> Fingerprint:
    """Return the fingerprint of an object of *size* > MAX_OBJECT_BYTES bytes from its first START."""
    assert size > MAX_OBJECT_BYTES
    assert len(start) == START
    material = size.to_bytes(8, "big") + start
    return Fingerprint(size, blake3(material, derive_key_context=_OVERSIZE).digest())


async def fingerprint(bucket: Bucket, key: str) -> Fingerprint:
    """Return the fingerprint of the object as two requests at most show it, of any size.

    It costs one get, and START bytes more if the object is oversize. Raises as `get` does, but
    never Oversize. The word of one reading: who decides by it reads again.
    """
    try:
        return fingerprint_of(await bucket.get(key))
    except Oversize as over:
        return oversize_fingerprint(over.size, await bucket.get(key, (0, START)))
