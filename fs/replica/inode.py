"""What the replica knows of one file: its attributes and where its bytes lie."""

from __future__ import annotations

import enum
import stat
from typing import NewType

import msgspec

from lucidnode.fs.format.block import BlockName

InodeNo = NewType("InodeNo", int)
"""1 to 2**62 - 1, drawn at random by the node that creates the file; never used twice."""

Version = NewType("Version", int)
"""Names one content of a file: another content has another version. Unordered; 0 is "empty"; below
zero, the content is not whole yet."""


def is_partial(version: Version) -> bool:
    """Tell whether more of the content follows in later entries: a version below zero says so."""
    return version < 0


ROOT = InodeNo(1)
"""The project's own directory. It always exists, and has no name."""

MAX_INO = 2**62 - 1
"""The highest inode number."""

MAX_FILE_SIZE = 2**53 - 1
"""Bytes in the largest file: 8 PiB, the last integer that every JSON reader keeps exactly. Sums of
offsets and lengths stay far from 2**63, where SQLite's integers end."""

MAX_DEPTH = 256
"""Directories in a row, the root among them, below which a directory can be moved."""

MAX_NAME_BYTES = 255
"""Bytes in a name, as Linux has it."""

MAX_TARGET_BYTES = 4095
"""Bytes in the target of a symbolic link, as Linux has it."""

MAX_XATTR = 65536
"""Bytes in the value of an extended attribute, as Linux has it."""

MAX_XATTRS = 256
MAX_XATTR_BYTES = 256 * 1024
"""How many extended attributes we give one file, and the bytes of their names and values: with
them a file can be deleted, or made again, in one journal entry."""


NOT_COUNTED = -1
"""In `Attributes.stored`: `Replica.stored_bytes` counts it."""


class Kind(enum.IntEnum):
    """The type of a file. The numbers are Linux's DT_ values: `stat.S_IFMT(mode) >> 12`."""

    FIFO = stat.S_IFIFO >> 12
    CHARACTER = stat.S_IFCHR >> 12
    DIRECTORY = stat.S_IFDIR >> 12
    DEVICE = stat.S_IFBLK >> 12
    FILE = stat.S_IFREG >> 12
    SYMLINK = stat.S_IFLNK >> 12
    SOCKET = stat.S_IFSOCK >> 12


class Attributes(msgspec.Struct, frozen=True, gc=False):
    """An inode as `stat` shows it. *mode* are permission bits only; *size* counts plain bytes."""

    ino: InodeNo
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    nlink: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    rdev: int
    version: Version
    stored: int
    """Bytes that extents hold; NOT_COUNTED for a large file, whose extents may be very many."""

    @property
    def st_mode(self) -> int:
        """Type and permission bits together."""
        return self.kind << 12 | self.mode

    @property
    def is_directory(self) -> bool:
        return self.kind is Kind.DIRECTORY


class Extent(msgspec.Struct, frozen=True):
    """Bytes [offset, offset + length) of a file are [block_offset, …) of *block*'s plaintext."""

    offset: int
    length: int
    block: BlockName
    block_offset: int


class Tail(msgspec.Struct, frozen=True):
    """Acknowledged bytes of a file that are not in a block yet.

    Loose tails of one file never overlap. *pack_offset* is its place in the plaintext of its pack.
    """

    row: int
    ino: InodeNo
    offset: int
    data: bytes
    pack_offset: int

    @property
    def end(self) -> int:
        return self.offset + len(self.data)
