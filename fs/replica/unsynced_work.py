"""What a power cut may take back, for who syncs it, and for who opens a replica after one."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.local_operations import LocalOperations
from lucidnode.fs.replica.replica_ground import ReplicaGround
from lucidnode.fs.replica.sqlite.rows import Row
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.ids import BlockId


class UnsyncedWork:
    """The work of one replica that names blocks which may not be on the disk (`Replica.unsynced`).

    Raises as `Database.rows`.
    """

    def __init__(self, ground: ReplicaGround, tree: TreeReader, local: LocalOperations) -> None:
        self._ground = ground
        self._tree = tree
        self._local = local

    def newest(self) -> int:
        """Return a mark for all that names blocks which may not be on the disk, 0 if none does."""
        # Asked at every `close`; at durability `local` the answer is always the same.
        database = self._ground.database
        return database.unsynced.newest() if database.has_unsynced else 0

    def blocks(self, *, but_of: str = "") -> list[BlockId]:
        """Return the blocks that may not be on the disk; not those of the boot *but_of*."""
        return self._ground.database.unsynced.blocks(but_of=but_of)

    def synced(self, mark: int) -> None:
        """Note that the blocks of all that was unsynced up to *mark* are on the disk.

        True after a power cut once `Replica.barrier` has returned. Raises NoSpace.
        """
        self._ground.database.synced(mark)

    def take_back(self, lost: Collection[BlockId]) -> list[str]:
        """Undo what names the blocks *lost*, and all that was done after it; see sqlite/unsynced.py.

        Returns the paths of the files that have another content now, as they were last called. To
        be called before anybody uses this replica. Raises NoSpace.
        """
        first, inodes = self._ground.database.unsynced.doomed(lost)
        if not first:
            return []
        paths = self._paths(inodes)
        before = {ino: self._content(ino) for ino in inodes}
        self._ground.database.take_back(first)
        paths = self._paths(inodes) | paths
        self._ground.journal.start_over()
        self._ground.tails.recount_all()
        self._ground.earlier.reload()
        self._ground.watchers.on_content(None)
        self._tree.recount()
        self._local.forget_orphans()
        return sorted(path for ino, path in paths.items() if self._content(ino) != before[ino])

    def _content(self, ino: int) -> tuple[list[Row], ...]:
        """Return what the content of *ino* is made of; work that ran again leaves it alike."""
        rows = self._ground.database.rows
        return (
            rows("SELECT size FROM inode WHERE ino = ?", (ino,)),
            rows("SELECT * FROM extent WHERE ino = ? ORDER BY offset", (ino,)),
            rows(
                "SELECT offset, data FROM tail WHERE ino = ? AND pack IS NULL ORDER BY offset",
                (ino,),
            ),
        )

    def _paths(self, inodes: Iterable[int]) -> dict[int, str]:
        """Return the paths of those of *inodes* that have a name."""
        tree = self._tree
        return {ino: tree.shown_path(InodeNo(ino)) for ino in inodes if tree.names_of(InodeNo(ino))}
