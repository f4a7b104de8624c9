"""The row of a lease: who holds it, and who wants it. Its bytes are those of docs/format.md, "Leases"."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from lucidnode.fs.format.office_message import ASKING_SIZE
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.msgpack import decoded

NOBODY = DeviceId("")

_DEVICE = re.compile(r"(?:[0-9a-f]{32})?")
_MAX_FENCE = 2**53 - 1


class RowPlace(NamedTuple):
    """Where a row is: the attribute *name* of *ino*."""

    ino: InodeNo
    name: bytes


class LeaseRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A lease as the log has it.

    *fence* grows with every change of the row, so a row that came back is another one. *given*: its
    holder got it from the one before him, and has changed nothing of it since; *asking* is which word of his
    that answered, if it was one. *busy*: it cannot be given at the moment, for something is in use under it.
    """

    holder: DeviceId
    fence: int
    given: bool = False
    wanted: DeviceId = NOBODY
    busy: bool = False
    asking: bytes | UnsetType = UNSET

    def encoded(self) -> bytes:
        """Return the value of the row."""
        return _ENCODER.encode(self)

    def changed(
        self,
        *,
        holder: DeviceId | None = None,
        given: bool = False,
        wanted: DeviceId = NOBODY,
        asking: bytes = b"",
    ) -> LeaseRow:
        """Return the row after this one: what is not named is as in a row at rest; the holder stays."""
        return LeaseRow(
            holder=self.holder if holder is None else holder,
            fence=self.fence + 1,
            given=given,
            wanted=wanted,
            asking=asking or UNSET,
        )

    def renewed(self, *, wanted: DeviceId | None = None, busy: bool | None = None) -> LeaseRow:
        """Return the row after this one: all that is not named is as it is."""
        return msgspec.structs.replace(
            self,
            fence=self.fence + 1,
            wanted=self.wanted if wanted is None else wanted,
            busy=self.busy if busy is None else busy,
        )

    @property
    def answers(self) -> bytes:
        """Return which word of its holder gave it to him, empty if none did."""
        return self.asking or b""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(LeaseRow)


def decoded_lease(value: bytes | None) -> LeaseRow | None:
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
        and _DEVICE.fullmatch(row.wanted)
        and (row.asking is UNSET or (row.given and len(row.asking) == ASKING_SIZE))
        and row.encoded() == value
    )
    return row if sound else None
