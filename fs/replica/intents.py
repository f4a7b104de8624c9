"""What a user asked for: the operations on a project, as values.

An intent is applied to the replica at once, kept in `pending` until its journal entry is
committed, and run again on a newer state if another node won the race (fs/replica/pending/rebase.py).
Times are wall nanoseconds taken when the user asked, so that a second run gives the same result.
Names are raw bytes: no normalisation, no encoding.
"""

from __future__ import annotations

import msgspec

from lucidnode.fs.errors import ReplicaError
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.replica.inode import InodeNo, Kind, Version
from lucidnode.node.client.ids import BlockId

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
"""Flags of renameat2(2)."""

XATTR_CREATE = 1
XATTR_REPLACE = 2
"""Flags of setxattr(2)."""


MARK = b"user.lucid.writer"
"""The extended attribute that `Mark` sets. No program can set it, and none is shown it as it is."""

LOCKS_LEASE = b"user.lucid.lease.locks"
WRITE_LEASE = b"user.lucid.lease.write"
NAMES_LEASE = b"user.lucid.lease.names"
TREE_LEASE = b"user.lucid.lease.tree"
"""The extended attributes that `Lease` sets: who decides the locks of a file, who alone may write to
it, who alone makes names in a directory, and, of the root, in all directories without a row of their
own. Shown to no program."""

_OURS = b"user.lucid."
"""What the extended attributes begin with that no program can set."""


def is_ours(xattr: bytes) -> bool:
    """Tell whether *xattr* belongs to a file, or the project, and not to its content.

    Such is neither shown to programs nor copied; also what a later release has put there.
    """
    return xattr.startswith(_OURS)


class Create(msgspec.Struct, frozen=True, tag="create"):
    """Make a new inode under a name. *ino* comes from `Replica.new_ino`; *target* is a symlink's.

    A directory gets *lease* as its NAMES_LEASE, if that is not empty: no state has the one without the other.
    """

    parent: InodeNo
    name: bytes
    ino: InodeNo
    kind: Kind
    mode: int
    uid: int
    gid: int
    time_ns: int
    rdev: int = 0
    target: bytes = b""
    lease: bytes = b""


class Link(msgspec.Struct, frozen=True, tag="link"):
    """Give the file *ino* one more name."""

    ino: InodeNo
    parent: InodeNo
    name: bytes
    time_ns: int


class Unlink(msgspec.Struct, frozen=True, tag="unlink"):
    """Take a name from a file. With *keep* the file survives its last name until `Forget`."""

    parent: InodeNo
    name: bytes
    time_ns: int
    keep: bool = False


class Rmdir(msgspec.Struct, frozen=True, tag="rmdir"):
    """Remove an empty directory."""

    parent: InodeNo
    name: bytes
    time_ns: int


class Rename(msgspec.Struct, frozen=True, tag="rename"):
    """Move a name, replacing what is there. *keep* is for the file replaced, as in `Unlink`."""

    parent: InodeNo
    name: bytes
    new_parent: InodeNo
    new_name: bytes
    time_ns: int
    flags: int = 0
    keep: bool = False


class SetAttributes(msgspec.Struct, frozen=True, tag="set"):
    """Change what is not None; *time_ns* becomes the ctime."""

    ino: InodeNo
    time_ns: int
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None


class Truncate(msgspec.Struct, frozen=True, tag="truncate"):
    """Set a file's size: cut it, or extend it by a hole."""

    ino: InodeNo
    size: int
    time_ns: int


class Punch(msgspec.Struct, frozen=True, tag="punch"):
    """Make bytes [offset, offset + length) of a file a hole; its size stays."""

    ino: InodeNo
    offset: int
    length: int
    time_ns: int


class NewExtent(msgspec.Struct, frozen=True, array_like=True):
    """Bytes [offset, offset + length) of a file now come from *block* at *block_offset*."""

    offset: int
    length: int
    block: BlockId
    block_offset: int


class Write(msgspec.Struct, frozen=True, tag="write"):
    """Overlay a file with *extents*; *blocks* names every block they use.

    The file becomes at least *size_at_least* long; 0 leaves the size to the extents. What is
    *appended* belongs at the end of the file, wherever that is when it is committed.
    """

    ino: InodeNo
    extents: list[NewExtent]
    blocks: list[BlockName]
    time_ns: int
    size_at_least: int = 0
    appended: bool = False


CONTENT_CHANGES = Write | Truncate | Punch
"""What changes the content of a file that is there."""


class SetXattr(msgspec.Struct, frozen=True, tag="setxattr"):
    """Set an extended attribute."""

    ino: InodeNo
    name: bytes
    value: bytes
    time_ns: int
    flags: int = 0


class RemoveXattr(msgspec.Struct, frozen=True, tag="removexattr"):
    """Remove an extended attribute."""

    ino: InodeNo
    name: bytes
    time_ns: int


class NameBlocks(msgspec.Struct, frozen=True, tag="blocks"):
    """Name blocks that several files share, so that none of them waits for another."""

    blocks: list[BlockName]


class MovedExtent(msgspec.Struct, frozen=True, array_like=True):
    """What begins at *offset* of a file, and lies in the block *old*, lies in *new* at the same place."""

    offset: int
    old: BlockId
    new: BlockId


class Rekey(msgspec.Struct, frozen=True, tag="rekey"):
    """Have extents of a file lie in blocks that hold the same, sealed in a later epoch: *blocks* names them.

    It changes no content, no version and no time. What does not lie where it did is left alone, so it
    loses against whatever came first.
    """

    ino: InodeNo
    moves: list[MovedExtent]
    blocks: list[BlockName]


class Mark(msgspec.Struct, frozen=True, tag="mark"):
    """Say, or with None take back, where the content of a file on its way stays: fs/files/file_states.py.

    An extended attribute that leaves the times alone.
    """

    ino: InodeNo
    value: bytes | None


class Lease(msgspec.Struct, frozen=True, tag="lease"):
    """Change the lease *name* of a file from *expected* to *value*; with None there is no row.

    It fits nothing but a row that is as expected: whoever came first has it. *claims*: before it is
    committed the row says what is not so yet. *alone*: it rests on more than this row, as that
    somebody has been silent, so any entry that comes first undoes it for good. *behind*: no entry
    carries it before what was done under the lease, though one may carry both.
    """

    ino: InodeNo
    expected: bytes | None
    value: bytes | None
    claims: bool = False
    alone: bool = False
    name: bytes = LOCKS_LEASE
    behind: bool = False


class Fact(msgspec.Struct, frozen=True, tag="fact"):
    """Set, or with None remove, something that the project says of itself: fs/format/project_facts.py.

    An attribute of the root that leaves its times alone.
    """

    name: bytes
    value: bytes | None


class Forget(msgspec.Struct, frozen=True, tag="forget"):
    """Delete what is left of a file without names, now that its last open handle is closed.

    A file that has a name is left alone.
    """

    ino: InodeNo


class Restore(msgspec.Struct, frozen=True, tag="restore"):
    """Make a file for our version of one that another node changed too, beside the winner's.

    Its content follows as a `Write`. *parent* 0 is a file without a name that is open here. Made by
    a rebase only, never by a user.
    """

    parent: InodeNo
    name: bytes
    ino: InodeNo
    mode: int
    uid: int
    gid: int
    size: int
    atime_ns: int
    mtime_ns: int
    time_ns: int
    version: Version
    xattrs: list[tuple[bytes, bytes]]


Intent = (
    Create
    | Link
    | Unlink
    | Rmdir
    | Rename
    | SetAttributes
    | Truncate
    | Punch
    | Write
    | SetXattr
    | RemoveXattr
    | NameBlocks
    | Rekey
    | Mark
    | Lease
    | Fact
    | Forget
    | Restore
)


class OperationRecord(msgspec.Struct, frozen=True, array_like=True):
    """An intent with what it met when it ran, so that a second run can tell what changed.

    *ino* is the file that the (source) name meant, *replaced* the file that a rename displaced or
    exchanged; 0 where there was none. *version* is the content version it gave. *behind_tails*: the
    file had bytes that were no operation yet, and others shall not see this one without them.
    *moves_files*: a rename that has moved no directory.
    """

    intent: Intent
    ino: int = 0
    replaced: int = 0
    version: int = 0
    behind_tails: bool = False
    moves_files: bool = False


_RECORDED = msgspec.msgpack.Decoder(OperationRecord)
_ENCODER = msgspec.msgpack.Encoder()


def encode(recorded: OperationRecord) -> bytes:
    """Return *recorded* as MessagePack, for the local `pending` table only."""
    return _ENCODER.encode(recorded)


def decode(raw: bytes) -> OperationRecord:
    """Return what `encode` was given. Raises ReplicaError for what a later release has recorded."""
    try:
        return _RECORDED.decode(raw)
    except msgspec.ValidationError as error:
        raise ReplicaError(
            "what was changed here and has not got to the cloud was recorded by a later version: "
            "update Lucidnode"
        ) from error
