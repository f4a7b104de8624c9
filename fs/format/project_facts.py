"""What a project says of itself, as attributes of its root. Format 1 (docs/format.md, "Facts of a project").

They are rows like any other, so every replica has them, in the order of the journal. Values from
outside are parsed strictly: one of any other form says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TypeVar

import msgspec

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import BlockId, DeviceId, Seq
from lucidnode.node.client.msgpack import decoded

RETENTION = b"user.lucid.retention"
"""How many days the past is kept: `Retention`."""

COLLECTED = b"user.lucid.collected"
"""Up to where the past is no longer whole: `CollectedUpTo`."""

CONDEMNED = b"user.lucid.condemned."
"""What the names of lists of condemned blocks begin with: `Condemned`."""

COLLECTION = b"user.lucid.collection"
"""Whose turn it is to collect, and what the last round has freed: `CollectionTurn`."""

REKEY = b"user.lucid.rekey"
"""How far the blocks of earlier epochs are sealed anew: `RekeyProgress`."""

MIN_RETENTION_DAYS = 30
"""A workstation that was away for as long must find what its work rests on."""

MAX_RETENTION_DAYS = 36500

STANDS_LONGER_NS = 3 * 86_400 * 10**9
"""What a list stands longer than the past is kept. Work that waits in blocks of a list of this age is
sealed anew; in those of a younger one it can wait for as long as the past is kept."""

LISTED_BLOCKS = 2000
"""Ids in one list: an attribute has 65,536 bytes at most."""

_ID_BYTES = 32
_MAX_SEQ = 2**53 - 1
_MAX_NS = 2**63 - 1
_MAX_EPOCH = 2**32 - 1
_DEVICE = re.compile(r"[0-9a-f]{32}")
_LIST_NAME = re.compile(re.escape(CONDEMNED) + rb"\d{16}\.\d{6}")

T = TypeVar("T", bound=msgspec.Struct)


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how many *days* nothing is deleted that was there."""

    days: int


class CollectedUpTo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """States before entry *seq* may lack blocks; this one and those behind it are whole."""

    seq: int


class Condemned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Blocks that nothing named at entry *seq*, at *wall_ns* by the clock of the one who looked.

    While *final_ns* is 0 they stand: whoever names one takes it back. Above 0 it is the time since
    which no entry may name one of *ids* again, for ever. *ids* are block ids end to end, ascending.
    """

    seq: int
    wall_ns: int
    final_ns: int
    ids: bytes

    @property
    def is_final(self) -> bool:
        """Whether none of them may be named again."""
        return self.final_ns > 0

    def blocks(self) -> Iterator[BlockId]:
        """Yield the blocks that are listed, in order."""
        for start in range(0, len(self.ids), _ID_BYTES):
            yield BlockId(self.ids[start : start + _ID_BYTES])


class CollectionTurn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The round that began last: *device* began it at *begun_ns*, by its clock.

    *ended_ns* is 0 until it has ended. Of a round that has ended: whether the store *refused* to
    delete, and what it deleted. *after* is the block behind which the next round looks; empty is the
    first of all. *seq* is the entry before the one that says so, and behind *quiet* there was none up
    to it that was not of a collection. *due_ns*: when there will be something to do though nothing
    is committed, 0 if never. Nothing is deleted by the word of this: it spares listings, and tells
    people.
    """

    device: DeviceId
    begun_ns: int
    ended_ns: int = 0
    refused: bool = False
    freed_blocks: int = 0
    freed_bytes: int = 0
    after: bytes = b""
    seq: int = 0
    quiet: int = 0
    due_ns: int = 0

    def last_change(self, head: Seq) -> Seq:
        """Return the newest entry up to *head* that was not of a collection, as far as is known."""
        return Seq(self.quiet) if head <= self.seq + 1 else head


class RekeyProgress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What *device* last said, at *wall_ns* by its clock, of having blocks lie sealed in *epoch*.

    *blocks* were left then that had been sealed in an earlier one, of *bytes* of plaintext. Nothing is
    decided by the word of this: it tells people.
    """

    device: DeviceId
    epoch: int
    wall_ns: int
    blocks: int
    bytes: int


_ENCODER = msgspec.msgpack.Encoder()


def encoded_fact(
    fact: Retention | CollectedUpTo | Condemned | CollectionTurn | RekeyProgress,
) -> bytes:
    """Return the value of the attribute that says *fact*."""
    return _ENCODER.encode(fact)


def listed(blocks: Iterable[BlockId]) -> bytes:
    """Return *blocks* as a list has them."""
    return b"".join(sorted(blocks))


def list_name(seq: Seq, number: int) -> bytes:
    """Return what list *number* of those made at entry *seq* is called."""
    return CONDEMNED + b"%016d.%06d" % (seq, number)


def retention_in(value: bytes | None) -> Retention | None:
    """Return the retention that *value* says, None if it says none."""
    found = _decoded(value, Retention)
    if found is None or not MIN_RETENTION_DAYS <= found.days <= MAX_RETENTION_DAYS:
        return None
    return found


def collected_in(value: bytes | None) -> Seq:
    """Return the entry from which on all states are whole, as *value* says it; 0 if it says none."""
    found = _decoded(value, CollectedUpTo)
    return Seq(found.seq) if found is not None and 0 <= found.seq <= _MAX_SEQ else Seq(0)


def collection_turn_in(value: bytes | None) -> CollectionTurn | None:
    """Return the turn that *value* tells of, None if it tells of none."""
    found = _decoded(value, CollectionTurn)
    if (
        found is None
        or not _DEVICE.fullmatch(found.device)
        or not 0 < found.begun_ns <= _MAX_NS
        or not 0 <= found.ended_ns <= _MAX_NS
        or not 0 <= found.freed_blocks <= _MAX_SEQ
        or not 0 <= found.freed_bytes <= _MAX_NS
        or len(found.after) not in {0, _ID_BYTES}
        or not 0 <= found.quiet <= found.seq <= _MAX_SEQ
        or not 0 <= found.due_ns <= _MAX_NS
    ):
        return None
    return found


def rekey_progress_in(value: bytes | None) -> RekeyProgress | None:
    """Return how far it is that *value* tells of, None if it tells of nothing."""
    found = _decoded(value, RekeyProgress)
    if (
        found is None
        or not _DEVICE.fullmatch(found.device)
        or not 1 <= found.epoch <= _MAX_EPOCH
        or not 0 < found.wall_ns <= _MAX_NS
        or not 0 <= found.blocks <= _MAX_SEQ
        or not 0 <= found.bytes <= _MAX_NS
    ):
        return None
    return found


def condemned_in(name: bytes, value: bytes) -> Condemned | None:
    """Return the list that the attribute *name* of this *value* is, None if it is none."""
    found = _decoded(value, Condemned) if _LIST_NAME.fullmatch(name) else None
    if (
        found is None
        or not 0 <= found.seq <= _MAX_SEQ
        or not 0 <= found.wall_ns <= _MAX_NS
        or not 0 <= found.final_ns <= _MAX_NS
        or not 0 < len(found.ids) <= LISTED_BLOCKS * _ID_BYTES
        or len(found.ids) % _ID_BYTES
    ):
        return None
    blocks = list(found.blocks())
    return found if all(a < b for a, b in pairwise(blocks)) else None


def _decoded(value: bytes | None, kind: type[T]) -> T | None:
    if value is None:
        return None
    try:
        found = decoded(msgspec.msgpack.Decoder(kind), value)
    except Malformed:
        return None
    return found if _ENCODER.encode(found) == value else None
