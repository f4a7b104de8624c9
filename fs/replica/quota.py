"""How much a project may hold, as its root says. Bytes: docs/format.md, "Quotas"."""

from __future__ import annotations

import msgspec

from lucidnode.fs.errors import NoAttribute
from lucidnode.fs.replica.inode import MAX_FILE_SIZE, ROOT
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.msgpack import decoded

QUOTA = b"user.lucid.quota"
"""The attribute of the root that the quota is."""


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bytes that files may show together: over *soft* people are told, over *hard* nothing grows.

    0 is no such limit.
    """

    soft: int = 0
    hard: int = 0

    def encoded(self) -> bytes:
        """Return the value of the row."""
        return _ENCODER.encode(self)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Quota)

UNLIMITED = Quota()


def decoded_quota(value: bytes) -> Quota | None:
    """Return the quota in *value*; None if it is none."""
    try:
        found = decoded(_DECODER, value)
    except Malformed:
        return None
    limits = (found.soft, found.hard)
    sound = all(0 <= each <= MAX_FILE_SIZE for each in limits) and found.encoded() == value
    return found if sound and any(limits) else None


def quota_of(tree: TreeReader) -> Quota:
    """Return the quota that *tree* has."""
    try:
        return decoded_quota(tree.xattr(ROOT, QUOTA)) or UNLIMITED
    except NoAttribute:
        return UNLIMITED
