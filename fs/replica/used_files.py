"""What lies in the directories of a replica, for who adds it up: also beside the process that has it open."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lucidnode.fs.replica.inode import ROOT, InodeNo, Kind, Version
from lucidnode.fs.replica.sqlite.database import Database

_AT_ONCE = 1000
"""Names that one statement reads: a longer one would keep the log of whoever writes from starting over."""

_OF_FILE = "SELECT ino, kind, size, nlink, version FROM inode i"
_NAMES = (
    "SELECT n.name, i.ino, i.kind, i.size, i.nlink, i.version "  # noqa: S608  # ours
    "FROM name n JOIN inode i ON i.ino = n.ino "
    f"WHERE n.parent = ? AND n.name > ? ORDER BY n.name LIMIT {_AT_ONCE}"
)


class UsedFile(NamedTuple):
    """One file as it is shown: *size* in plain bytes, and whose *version* its content has."""

    ino: InodeNo
    kind: Kind
    size: int
    nlink: int
    version: Version

    @property
    def is_directory(self) -> bool:
        return self.kind is Kind.DIRECTORY


class UsedFiles:
    """Reads names and sizes in *database*, a little at a time: what changes meanwhile may be half in.

    Raises as `Database.rows`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        ends = database.rows(
            "SELECT ino, max(offset + length(data)) FROM tail WHERE pack IS NULL GROUP BY ino"
        )
        self._ends: dict[int, int] = dict(ends)
        earlier = database.rows("SELECT ino, size, version FROM earlier")
        self._earlier = {ino: (size, version) for ino, size, version in earlier}

    def at(self, path: Sequence[bytes]) -> UsedFile | None:
        """Return what *path*, the names on the way from the root, is; None if it is nothing."""
        here: int = ROOT
        for name in path:
            found = self._database.row(
                "SELECT ino FROM name WHERE parent = ? AND name = ?", (here, name)
            )
            if found is None:
                return None
            (here,) = found
        row = self._database.row(f"{_OF_FILE} WHERE ino = ?", (here,))  # ours
        return None if row is None else self._shown(*row)

    def listed(self, directory: InodeNo) -> Iterator[tuple[bytes, UsedFile]]:
        """Yield what lies directly in *directory*, by name."""
        after = b""
        while rows := self._database.rows(_NAMES, (directory, after)):
            for name, *row in rows:
                yield name, self._shown(*row)
            after = rows[-1][0]

    def _shown(self, ino: int, kind: int, size: int, nlink: int, version: int) -> UsedFile:
        if version < 0 and ino in self._earlier:
            size, version = self._earlier[ino]
        size = max(size, self._ends.get(ino, 0))
        return UsedFile(InodeNo(ino), Kind(kind), size, nlink, Version(version))


@contextlib.contextmanager
def used_beside(path: Path, key: bytes) -> Iterator[UsedFiles]:
    """Read the replica at *path*, under the 32-byte *key*, while a mount has it open, and change nothing.

    Raises a ReplicaError.
    """
    with contextlib.closing(Database.beside(path, key)) as database:
        yield UsedFiles(database)
