"""The row of a write lease: who has a file for himself. Its bytes are those of docs/format.md, "Leases"."""

from __future__ import annotations

import re

import msgspec

from lucidnode.fs.leases.lease_row import NOBODY
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.msgpack import decoded

_DEVICE = re.compile(r"(?:[0-9a-f]{32})?")
_MAX_FENCE = 2**53 - 1
_MAX_TIME_NS = 2**63 - 1


class WriteLease(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who alone may write to a file, as the log has it.

    *fence* grows with every change. *taken*: a person did that, and it stays until one ends it; else a
    program there has the file open. *since_ns* is the holder's wall clock, for people only. NOBODY is
    the holder of a lease that was broken.
    """

    holder: DeviceId
    fence: int
    taken: bool
    since_ns: int

    def encoded(self) -> bytes:
        """Return the value of the row."""
        return _ENCODER.encode(self)

    def renewed(self) -> WriteLease:
        """Return the row after this one that says the same."""
        return msgspec.structs.replace(self, fence=self.fence + 1)

    def with_taken(self, *, taken: bool) -> WriteLease:
        """Return the row after this one, for a person or no longer for one."""
        return msgspec.structs.replace(self, fence=self.fence + 1, taken=taken)

    def broken(self) -> WriteLease:
        """Return the row after this one: nobody's."""
        return WriteLease(holder=NOBODY, fence=self.fence + 1, taken=False, since_ns=0)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(WriteLease)


def decoded_write_lease(value: bytes | None) -> WriteLease | None:
    """Return the lease in *value*; None if there is none, or nothing that is one."""
    if value is None:
        return None
    try:
        row = decoded(_DECODER, value)
    except Malformed:
        return None
    sound = (
        0 < row.fence < _MAX_FENCE
        and _DEVICE.fullmatch(row.holder)
        and 0 <= row.since_ns <= _MAX_TIME_NS
        and (row.holder != NOBODY or not row.taken)
        and row.encoded() == value
    )
    return row if sound else None
