"""Reading the tree of a project. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, cast

from lucidnode.fs.errors import FileMissing, NoAttribute, NotDirectory, Unreadable
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.replica.conflict_name import MARK
from lucidnode.fs.replica.inode import (
    MAX_DEPTH,
    NOT_COUNTED,
    ROOT,
    Attributes,
    Extent,
    InodeNo,
    Kind,
    Version,
)
from lucidnode.fs.replica.sqlite.answers import NOT_ASKED
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.sqlite.schema import (
    IS_LEASE,
    IS_MARK,
    IS_WANTED_DIRECTORY,
    IS_WRITE_LEASE,
)
from lucidnode.fs.replica.tree.known_extents import KnownExtents
from lucidnode.node.client.ids import BlockId

_KINDS = tuple(Kind(number) if number in set(Kind) else None for number in range(16))

_COUNTED_BYTES = 64 * 1024 * 1024
"""Bytes of the largest file whose extents are counted with its attributes: most have one or two,
which takes 3 us."""

_ATTRIBUTES = (
    "i.ino, i.kind, i.mode, i.uid, i.gid, i.size, i.nlink, "  # noqa: S608  # constants only
    "i.atime_ns, i.mtime_ns, i.ctime_ns, i.rdev, i.version, "
    f"CASE WHEN i.kind != {Kind.FILE:d} OR i.size = 0 THEN 0 WHEN i.size <= {_COUNTED_BYTES} THEN "
    f"(SELECT coalesce(sum(length), 0) FROM extent WHERE ino = i.ino) ELSE {NOT_COUNTED} END"
)
_BY_INO = f"SELECT {_ATTRIBUTES} FROM inode i WHERE ino = ?"  # noqa: S608  # constants only
# A join asks for the same rows, and took 13 us where this takes 8.
_BY_NAME = (
    f"SELECT {_ATTRIBUTES} FROM inode i "  # noqa: S608  # constants only
    "WHERE ino = (SELECT ino FROM name WHERE parent = ? AND name = ?)"
)
_NAMES = (
    f"SELECT n.name, {_ATTRIBUTES} FROM name n JOIN inode i ON i.ino = n.ino "  # noqa: S608
    "WHERE n.parent = ? AND n.name > ? ORDER BY n.name LIMIT ?"
)
_FIRST_DIRECTORY = f"""
    SELECT ino FROM (
        SELECT i.ino, i.kind FROM name n JOIN inode i ON i.ino = n.ino
        WHERE n.parent = ? AND n.name > ? ORDER BY n.name LIMIT ?
    ) WHERE kind = {Kind.DIRECTORY:d} LIMIT 1
"""  # noqa: S608  # constants only
# Extents do not overlap, so the one that starts at or before the range is the first to matter.
_EXTENTS = {
    "extent": """
    SELECT e.offset, e.length, e.block, b.epoch, b.nonce, b.size, e.block_offset
    FROM extent e LEFT JOIN block b ON b.id = e.block
    WHERE e.ino = ?1 AND e.offset < ?3 AND e.offset + e.length > ?2 AND e.offset >= coalesce(
        (SELECT max(offset) FROM extent WHERE ino = ?1 AND offset <= ?2), 0)
    ORDER BY e.offset
""",
    # What was there and has changed since, and what has not changed.
    "earlier": """
    SELECT e.offset, e.length, e.block, b.epoch, b.nonce, b.size, e.block_offset FROM (
        SELECT * FROM earlier_extent
        WHERE ino = ?1 AND offset < ?3 AND offset + length > ?2 AND offset >= coalesce(
            (SELECT max(offset) FROM earlier_extent WHERE ino = ?1 AND offset <= ?2), 0)
        UNION ALL
        SELECT * FROM extent n
        WHERE ino = ?1 AND offset < ?3 AND offset + length > ?2 AND offset >= coalesce(
            (SELECT max(offset) FROM extent WHERE ino = ?1 AND offset <= ?2), 0)
        AND NOT EXISTS (SELECT 1 FROM earlier_extent WHERE ino = ?1 AND offset = n.offset)
        AND NOT EXISTS (SELECT 1 FROM earlier_since WHERE ino = ?1 AND offset = n.offset)
    ) e LEFT JOIN block b ON b.id = e.block ORDER BY e.offset
""",
}


_FROM_THE_START = """
    SELECT e.offset, e.length, e.block, b.epoch, b.nonce, b.size, e.block_offset
    FROM extent e LEFT JOIN block b ON b.id = e.block WHERE e.ino = ? AND e.offset < ? ORDER BY e.offset
"""
"""Most files are small and read from their start: 8 us, where the others take 14."""

_BEHIND = "(ino, offset) > (?, ?)"

EXTENTS_AT_ONCE = 4096
"""Extents that are looked through at once for a block: 2 ms."""

Place = tuple[InodeNo, int]
"""Where a search through all extents goes on: behind the extent of this file at this offset."""

START: Place = (InodeNo(0), 0)


class Queries:
    """Questions to the tree that lies in *database*. All raise as `Database.rows`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._extents = KnownExtents()

    def lookup(self, parent: InodeNo, name: bytes) -> Attributes | None:
        """Return what *name* in directory *parent* means, or None."""
        question = parent, name
        if (known := self._database.answers.get(question)) is not NOT_ASKED:
            return cast("Attributes | None", known)
        row = self._database.row(_BY_NAME, question)
        if row is None:
            self._database.answers.keep([(question, None)])
            return None
        found = _attributes(row)
        self._database.answers.keep([(question, found), (found.ino, found)])
        return found

    def attributes(self, ino: InodeNo) -> Attributes | None:
        """Return the attributes of *ino*, or None if it does not exist."""
        if (known := self._database.answers.get(ino)) is not NOT_ASKED:
            return cast("Attributes", known)
        row = self._database.row(_BY_INO, (ino,))
        return None if row is None else self._found(_attributes(row))

    @property
    def state(self) -> int | None:
        """As `Database.state`."""
        return self._database.state

    def _found(self, found: Attributes) -> Attributes:
        self._database.answers.keep([(found.ino, found)])
        return found

    def existing(self, ino: InodeNo) -> Attributes:
        """Return the attributes of *ino*, or raise FileMissing."""
        found = self.attributes(ino)
        if found is None:
            raise FileMissing(f"inode {ino}")
        return found

    def directory(self, ino: InodeNo) -> Attributes:
        """Return the attributes of directory *ino*, or raise FileMissing or NotDirectory."""
        found = self.existing(ino)
        if not found.is_directory:
            raise NotDirectory(f"inode {ino}")
        return found

    def list_names(
        self, parent: InodeNo, after: bytes | None, limit: int
    ) -> list[tuple[bytes, Attributes]]:
        """Return up to *limit* names of *parent* greater than *after*, in byte order."""
        rows = self._database.rows(_NAMES, (parent, after or b"", limit))
        found = [(row[0], _attributes(row[1:])) for row in rows]
        self._database.answers.keep((attributes.ino, attributes) for _, attributes in found)
        return found

    def first_directory(self, parent: InodeNo, after: bytes | None, among: int) -> InodeNo | None:
        """Return the first directory in *parent*, *among* so many names greater than *after*; None if none is."""
        row = self._database.row(_FIRST_DIRECTORY, (parent, after or b"", among))
        return None if row is None else InodeNo(row[0])

    def names_in(self, parent: InodeNo) -> Iterator[bytes]:
        """Yield every name in directory *parent*, in byte order; change nothing meanwhile."""
        found = self._database.stream(
            "SELECT name FROM name WHERE parent = ? ORDER BY name", (parent,)
        )
        return (name for (name,) in found)

    def has_names(self, directory: InodeNo) -> bool:
        """Tell whether *directory* is not empty."""
        return (
            self._database.row("SELECT 1 FROM name WHERE parent = ? LIMIT 1", (directory,))
            is not None
        )

    def names_of(self, ino: InodeNo) -> list[tuple[InodeNo, bytes]]:
        """Return every (parent, name) that means *ino*, in order."""
        return self._database.rows(
            "SELECT parent, name FROM name WHERE ino = ? ORDER BY parent, name", (ino,)
        )

    def shown_path(self, ino: InodeNo) -> str:
        """Return the first path that means *ino*, for people; "(no name)" if it has none."""
        parts: list[str] = []
        here = ino
        while here != ROOT and len(parts) <= MAX_DEPTH:
            names = self.names_of(here)
            if not names:
                return "(no name)" if not parts else "/".join(["…", *parts])
            here, name = names[0]
            parts.insert(0, name.decode(errors="replace"))
        return "/".join(parts)

    def parent_of(self, directory: InodeNo) -> InodeNo | None:
        """Return the parent of *directory*; None for the root and for what is not in the tree."""
        row = self._database.row("SELECT parent FROM name WHERE ino = ? LIMIT 1", (directory,))
        return None if row is None else InodeNo(row[0])

    def above(self, ino: InodeNo) -> dict[InodeNo, None]:
        """Return directory *ino* and those above it, up to the root or MAX_DEPTH + 1 of them."""
        found: dict[InodeNo, None] = {}
        here: InodeNo | None = ino
        while here is not None and len(found) <= MAX_DEPTH:
            found[here] = None
            here = None if here == ROOT else self.parent_of(here)
        return found

    def lies_within(self, ino: InodeNo, ancestor: InodeNo) -> bool:
        """Tell whether directory *ino* is *ancestor* or less than MAX_DEPTH below it."""
        return ancestor in self.above(ino)

    def conflict_copies(self, limit: int) -> list[tuple[InodeNo, bytes]]:
        """Return up to *limit* (parent, name) with the mark of a conflict. Looks at every name."""
        found = self._database.rows(
            "SELECT parent, name FROM name WHERE instr(name, ?) > 0 LIMIT ?", (MARK, limit)
        )
        return [(InodeNo(parent), name) for parent, name in found]

    def readlink(self, ino: InodeNo) -> bytes:
        """Return the target of symbolic link *ino*; raises FileMissing."""
        row = self._database.row("SELECT target FROM inode WHERE ino = ?", (ino,))
        if row is None:
            raise FileMissing(f"inode {ino}")
        target: bytes = row[0]
        return target

    def extents(self, ino: InodeNo, offset: int, length: int) -> list[Extent]:
        """Return what maps [offset, offset + length), in order and cut to it; holes are absent.

        Raises Unreadable if an extent names a block that nobody described: that is no hole.
        """
        state, stop = self._database.state, offset + length
        extents = self._extents.within(state, ino, offset, stop)
        if extents is None:
            extents = extents_of(self._database, "extent", ino, offset, length)
            self._extents.note(state, ino, offset, stop, list(extents))
        return extents

    def block(self, block: BlockId) -> BlockName | None:
        """Return the name of *block*, or None if the project does not know it."""
        row = self._database.row("SELECT epoch, nonce, size FROM block WHERE id = ?", (block,))
        return None if row is None else BlockName(block, *row)

    def users(self, block: BlockId, after: Place) -> tuple[list[InodeNo], Place | None]:
        """Return the inodes that lie in *block* among EXTENTS_AT_ONCE extents behind *after*.

        And from where to go on, None at the end: no index tells.
        """
        last: Place | None = self._database.row(
            f"SELECT ino, offset FROM extent WHERE {_BEHIND} "  # noqa: S608  # ours
            "ORDER BY ino, offset LIMIT 1 OFFSET ?",
            (*after, EXTENTS_AT_ONCE - 1),
        )
        upto, bindings = ("AND (ino, offset) <= (?, ?)", last) if last else ("", ())
        found = self._database.rows(
            f"SELECT DISTINCT ino FROM extent WHERE {_BEHIND} {upto} AND block = ?",  # noqa: S608  # ours
            (*after, *bindings, block),
        )
        return [InodeNo(ino) for (ino,) in found], last

    def count_extents(self, ino: InodeNo) -> int:
        """Return how many extents *ino* has."""
        row = self._database.row("SELECT count(*) FROM extent WHERE ino = ?", (ino,))
        assert row is not None
        return int(row[0])

    def is_orphan(self, ino: InodeNo) -> bool:
        """Tell whether this node keeps *ino* without a name, for it is open here."""
        return self._database.row("SELECT 1 FROM orphan WHERE ino = ?", (ino,)) is not None

    def stored_bytes(self, ino: InodeNo) -> int:
        """Return how many bytes the extents of *ino* hold: 20 ms for 100,000 of them."""
        row = self._database.row(
            "SELECT coalesce(sum(length), 0) FROM extent WHERE ino = ?", (ino,)
        )
        assert row is not None
        return int(row[0])

    def xattr(self, ino: InodeNo, name: bytes) -> bytes:
        """Return the value of an extended attribute, or raise NoAttribute."""
        row = self._database.row("SELECT value FROM xattr WHERE ino = ? AND name = ?", (ino, name))
        if row is None:
            raise NoAttribute(f"inode {ino}")
        value: bytes = row[0]
        return value

    def xattrs(self, ino: InodeNo) -> list[tuple[bytes, bytes]]:
        """Return all extended attributes of *ino* as (name, value), in byte order of the names."""
        return self._database.rows(
            "SELECT name, value FROM xattr WHERE ino = ? ORDER BY name", (ino,)
        )

    def xattr_names(self, ino: InodeNo) -> list[bytes]:
        """Return the names of all extended attributes of *ino*, in byte order."""
        rows = self._database.rows("SELECT name FROM xattr WHERE ino = ? ORDER BY name", (ino,))
        return [name for (name,) in rows]

    def fact(self, name: bytes) -> bytes | None:
        """Return the attribute *name* of the root, None if there is none."""
        row = self._database.row("SELECT value FROM xattr WHERE ino = ? AND name = ?", (ROOT, name))
        return None if row is None else row[0]

    def facts(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """Return the attributes of the root under names with *prefix*, in byte order."""
        return self._database.rows(
            "SELECT name, value FROM xattr WHERE ino = ? AND name >= ? AND name < ? ORDER BY name",
            (ROOT, prefix, prefix + b"\xff"),
        )

    def mark(self, ino: InodeNo) -> bytes | None:
        """Return the mark of *ino*, None if it has none."""
        row = self._database.row(
            f"SELECT value FROM xattr WHERE ino = ? AND {IS_MARK}",  # noqa: S608  # ours
            (ino,),
        )
        return None if row is None else row[0]

    def marks(self) -> list[tuple[InodeNo, bytes]]:
        """Return every (file, mark)."""
        return self._database.rows(f"SELECT ino, value FROM xattr WHERE {IS_MARK}")  # noqa: S608  # ours

    def lease(self, ino: InodeNo, name: bytes) -> bytes | None:
        """Return the lease *name* of *ino*, None if it has none."""
        row = self._database.row("SELECT value FROM xattr WHERE ino = ? AND name = ?", (ino, name))
        return None if row is None else row[0]

    def leases(self) -> list[tuple[InodeNo, bytes]]:
        """Return every (file, lease of its locks)."""
        return self._database.rows(f"SELECT ino, value FROM xattr WHERE {IS_LEASE}")  # noqa: S608  # ours

    def write_leases(self) -> list[tuple[InodeNo, bytes]]:
        """Return every (file, write lease)."""
        return self._database.rows(f"SELECT ino, value FROM xattr WHERE {IS_WRITE_LEASE}")  # noqa: S608  # ours

    def wanted_directories(self) -> list[tuple[InodeNo, bytes]]:
        """Return every (directory, lease of its names) that a node asks for."""
        return self._database.rows(f"SELECT ino, value FROM xattr WHERE {IS_WANTED_DIRECTORY}")  # noqa: S608  # ours

    def usage(self) -> tuple[int, int]:
        """Return (plain bytes, inodes) of the project. Reads every inode: keep the answer."""
        # In two halves: SQLite refuses a sum that leaves 64 bits.
        row = self._database.row(
            "SELECT sum(size >> 32), sum(size & 4294967295), count(*) FROM inode"
        )
        assert row is not None
        high, low, count = row
        return (high << 32) + low, count


def extents_of(
    database: Database,
    table: Literal["extent", "earlier"],
    ino: InodeNo,
    offset: int,
    length: int,
) -> list[Extent]:
    """Return what maps [offset, offset + length) in *table*, as `Queries.extents` does.

    Raises Unreadable if a block is not known.
    """
    end = offset + length
    extents = []
    if offset == 0 and table == "extent":
        rows = database.rows(_FROM_THE_START, (ino, end))
    else:
        rows = database.rows(_EXTENTS[table], (ino, offset, end))
    for start, size, block, epoch, nonce, block_size, block_offset in rows:
        first, last = max(start, offset), min(start + size, end)
        if epoch is None:
            raise Unreadable(f"inode {ino} uses a block that the project does not know")
        name = BlockName(BlockId(block), epoch, nonce, block_size)
        extents.append(Extent(first, last - first, name, block_offset + first - start))
    return extents


def _attributes(row: tuple[Any, ...]) -> Attributes:
    ino, kind, mode, uid, gid, size, nlink, atime_ns, mtime_ns, ctime_ns, rdev, version, stored = (
        row
    )
    known = _KINDS[kind]
    assert known is not None, "the schema checks kinds"
    return Attributes(
        InodeNo(ino),
        known,
        mode,
        uid,
        gid,
        size,
        nlink,
        atime_ns,
        mtime_ns,
        ctime_ns,
        rdev,
        Version(version),
        stored,
    )
