"""The row of a snapshot: a name for an entry. Its bytes are those of docs/format.md, "Snapshots"."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from lucidnode.fs.errors import Invalid
from lucidnode.fs.membership.member import spelled
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.msgpack import decoded

_PREFIX = b"user.lucid.snapshot."
"""What the attribute of the root begins with; the name of the snapshot follows, in UTF-8."""

_MAX_NAME_BYTES = 200
_MAX_SEQ = 2**53 - 1
_MAX_TIME_NS = 2**63 - 1


class SnapshotRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A snapshot as the log has it: entry *seq*, named at *wall_ns*.

    *scheduled*: a schedule made it, and will take it away again.
    """

    seq: Seq
    wall_ns: int
    scheduled: bool = False

    def encoded(self) -> bytes:
        """Return the value of the row."""
        return _ENCODER.encode(self)


class NamedRow(NamedTuple):
    """A snapshot and its name, which somebody else may have chosen: see `member.shown`."""

    name: str
    row: SnapshotRow


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(SnapshotRow)


def attribute(name: str) -> bytes:
    """Return the attribute of the root that snapshot *name* is. Raises Invalid for what is no name."""
    encoded = spelled(name).encode()
    if len(encoded) > _MAX_NAME_BYTES:
        raise Invalid(f"the name of a snapshot has at most {_MAX_NAME_BYTES} bytes")
    return _PREFIX + encoded


def attribute_of(row: NamedRow) -> bytes:
    """Return the attribute of the root that *row* was read from."""
    return _PREFIX + row.name.encode()


def decoded_snapshot(name: bytes, value: bytes) -> NamedRow | None:
    """Return what the attribute *name* of the root says; None if it is no snapshot."""
    if not name.startswith(_PREFIX):
        return None
    try:
        # What is printable changes with Unicode's versions; what is kept must not.
        read = name.removeprefix(_PREFIX).decode()
        row = decoded(_DECODER, value)
        sound = (
            0 < len(name) - len(_PREFIX) <= _MAX_NAME_BYTES
            and 0 <= row.seq <= _MAX_SEQ
            and 0 <= row.wall_ns <= _MAX_TIME_NS
            and row.encoded() == value
        )
    except (UnicodeDecodeError, Malformed):
        return None
    return NamedRow(read, row) if sound else None


def snapshots_of(tree: TreeReader) -> list[NamedRow]:
    """Return the snapshots that *tree* names, the oldest state first.

    This is what is asked for the states that are kept besides those of the retention.
    """
    found = (decoded_snapshot(name, value) for name, value in tree.facts(_PREFIX))
    return sorted(
        (each for each in found if each is not None), key=lambda each: (each.row.seq, each.name)
    )
