"""Files of whose new content only the first entries are here: shown as they were before.

A content of more than some 1,000 blocks comes in several entries. All but the last of them leave
the file with a version below zero (docs/format.md, "What an entry may change"). Until the last one
comes, this node shows what the file was before the first: so others see the old content or the new
one, and never a part. What has changed since is kept in local tables (changed_extents.py), for a
mount may end in between.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from lucidnode.fs.replica.inode import NOT_COUNTED, Attributes, Extent, InodeNo, Version, is_partial
from lucidnode.fs.replica.pending.changed_extents import ChangedExtents
from lucidnode.fs.replica.pending.our_version import OurVersion
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.sqlite.rows import MTIME_COLUMN, VERSION_COLUMN, RowChange
from lucidnode.fs.replica.tree.queries import Queries, extents_of
from lucidnode.node.client.ids import BlockId


class EarlierContents:
    """The earlier contents in *database*. Changes run inside the caller's transaction.

    `reload` has to be called once it is committed, or undone. Raises as `Database.rows`.
    """

    def __init__(self, database: Database, queries: Queries) -> None:
        self._database = database
        self._queries = queries
        self._changed = ChangedExtents(database, "earlier")
        self._files: dict[InodeNo, tuple[int, Version, int]] = {}
        """Size, version and mtime of each."""
        self.reload()

    def __bool__(self) -> bool:
        return bool(self._files)

    def __contains__(self, ino: InodeNo) -> bool:
        return ino in self._files

    def shown(self, now: Attributes) -> Attributes:
        """Return the attributes *now* of a file with those of its content as they are shown."""
        if (earlier := self._files.get(now.ino)) is None:
            return now
        size, version, mtime_ns = earlier
        return msgspec.structs.replace(
            now, size=size, version=version, mtime_ns=mtime_ns, stored=NOT_COUNTED
        )

    def extents(self, ino: InodeNo, offset: int, length: int) -> list[Extent]:
        """Do as `Queries.extents`, with the content as it was. Raises Unreadable."""
        size = self._files[ino][0]
        return extents_of(
            self._database, "earlier", ino, offset, max(0, min(length, size - offset))
        )

    def uses(self, block: BlockId) -> bool:
        """Tell whether one of the contents lies in *block* where the tables do not say so any more."""
        found = self._database.row("SELECT 1 FROM earlier_extent WHERE block = ? LIMIT 1", (block,))
        return found is not None

    def stored_bytes(self, ino: InodeNo) -> int:
        """Return how many bytes the extents hold."""
        return self._changed.stored_bytes(ino) if self._files[ino][0] else 0

    def version(self, now: Attributes) -> OurVersion:
        """Return the file with the attributes *now* as it is shown, whole. Raises Unreadable."""
        if now.ino not in self._files:
            return OurVersion.of(self._queries, now)
        size = self._files[now.ino][0]
        return OurVersion.of(self._queries, self.shown(now), extents=self.extents(now.ino, 0, size))

    def note(self, winner: list[RowChange]) -> None:
        """Keep what the entry *winner* begins to replace, and forget what it replaces as a whole.

        To be asked when the tables are as all entries before it have left them.
        """
        for table, old, new in winner:
            if table != "inode":
                continue
            ino = InodeNo(int((old or new or ())[0]))
            version = None if new is None else new[VERSION_COLUMN]
            if new is not None and version is None:
                continue  # an update of something else
            if new is None or not is_partial(Version(int(new[VERSION_COLUMN]))):
                self.forget(ino)
            elif ino not in self._files:
                self._keep(ino, int(new[MTIME_COLUMN] or 0))
        self._changed.note_before(winner)

    def note_ours(self, changes: Iterable[RowChange]) -> None:
        """Hear of *changes* that operations of ours have made."""
        self._changed.note(changes)

    def forget(self, ino: InodeNo) -> None:
        """Show *ino* as it is."""
        if ino in self._files:
            self._database.change("DELETE FROM earlier WHERE ino = ?", (ino,))
            self._changed.clear(ino)

    def forget_gone(self) -> None:
        """Forget files that are no more. To be asked when nothing of ours waits: none comes back."""
        for ino in self._files:
            if self._queries.attributes(ino) is None:
                self.forget(ino)

    def reload(self) -> None:
        """Learn anew which files are here."""
        self._files = {
            InodeNo(ino): (size, Version(version), mtime_ns)
            for ino, size, version, mtime_ns in self._database.rows("SELECT * FROM earlier")
        }

    def _keep(self, ino: InodeNo, made_ns: int) -> None:
        """Keep the content of *ino* as it is; of one that the entry makes, made at *made_ns*, none."""
        now = self._queries.attributes(ino)
        if now is not None and is_partial(now.version):
            return  # its first part came to a release that did not keep what was before
        row = (0, 0, made_ns) if now is None else (now.size, now.version, now.mtime_ns)
        self._database.change("INSERT INTO earlier VALUES (?, ?, ?, ?)", (ino, *row))
