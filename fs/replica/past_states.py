"""A replica as it was at an earlier entry, while one looks, or for good."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lucidnode.fs.replica.changes import Head
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.replica_ground import ReplicaGround
from lucidnode.fs.replica.sqlite.rows import RowChange
from lucidnode.node.client.ids import BlockId


@dataclass(frozen=True, slots=True)
class EarlierContent:
    """What is shown of the file *ino*, of whose newest content a part is still to come.

    *extents* are rows of `extent`.
    """

    ino: InodeNo
    size: int
    version: int
    mtime_ns: int
    extents: Sequence[tuple[int | bytes, ...]]


class _GoForward(Exception):
    """Ends the look at an earlier state."""


class PastStates:
    """Takes entries back in one replica without pending work (`Replica.past`)."""

    def __init__(self, ground: ReplicaGround) -> None:
        self._ground = ground

    @contextlib.contextmanager
    def look_back(self, undone: Iterable[bytes]) -> Iterator[None]:
        """Have the tree as it was before the changesets *undone*, the newest first, in this block.

        Nothing else may be changed meanwhile. Raises ReplicaCorrupt if they do not fit, or NoSpace.
        """
        try:
            with contextlib.suppress(_GoForward), self._ground.database.transaction() as changes:
                self._revert(undone, changes)
                self._reload()
                yield
                raise _GoForward
        finally:
            self._reload()

    def go_back(self, undone: Iterable[bytes], head: Head) -> None:
        """Stand on *head* for good, as before the changesets *undone*, the newest first.

        Raises as `look_back`.
        """
        with self._ground.database.transaction() as changes:
            self._revert(undone, changes)
            self._ground.journal.set_head(head)
        self._reload()

    @contextlib.contextmanager
    def shown_for_good(self) -> Iterator[None]:
        """Have what is told to `show` in this block shown from now on, also when opened again.

        Raises NoSpace.
        """
        with self._ground.database.transaction():
            yield

    def partial_files(self) -> list[InodeNo]:
        """Return the files of whose newest content a part is still to come. Looks at every file."""
        rows = self._ground.database.rows("SELECT ino FROM inode WHERE version < 0")
        return [InodeNo(ino) for (ino,) in rows]

    def content_rows(
        self, ino: InodeNo
    ) -> tuple[tuple[int, int, int], list[tuple[int | bytes, ...]]]:
        """Return (size, version, mtime) and the rows of `extent` of *ino* as the tables have them."""
        row = self._ground.database.row(
            "SELECT size, version, mtime_ns FROM inode WHERE ino = ?", (ino,)
        )
        assert row is not None
        size, version, mtime_ns = row
        return (size, version, mtime_ns), self._ground.database.rows(
            "SELECT * FROM extent WHERE ino = ? ORDER BY offset", (ino,)
        )

    def blocks(self) -> Iterator[BlockId]:
        """Yield every block that a content lies in, also one that is shown while more follows.

        Changed by nobody meanwhile. One that several files lie in comes once.
        """
        rows = self._ground.database.stream(
            "SELECT block FROM extent UNION SELECT block FROM earlier_extent"
        )
        return (BlockId(block) for (block,) in rows)

    def show(self, contents: Iterable[EarlierContent]) -> None:
        """Show *contents*, and of all other files what the tables have.

        Inside `look_back` or `shown_for_good`.
        """
        change = self._ground.database.change
        change("DELETE FROM earlier")
        change("DELETE FROM earlier_extent")
        change("DELETE FROM earlier_since")
        for each in contents:
            change(
                "INSERT INTO earlier VALUES (?, ?, ?, ?)",
                (each.ino, each.size, each.version, each.mtime_ns),
            )
            for row in each.extents:
                change("INSERT INTO earlier_extent VALUES (?, ?, ?, ?, ?)", row)
            change(
                "INSERT INTO earlier_since SELECT ino, offset FROM extent WHERE ino = ?",
                (each.ino,),
            )
        self._reload()

    def _revert(self, undone: Iterable[bytes], changes: list[RowChange]) -> None:
        for changeset in undone:
            self._ground.database.revert(changeset)
            changes.clear()  # nobody asks for them, and there may be millions

    def _reload(self) -> None:
        self._ground.earlier.reload()
