"""What was done under the locks of a file, brought into the log before another node gets them."""

from __future__ import annotations

from collections.abc import Collection

from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.write.unfinished import Unfinished
from lucidnode.fs.write.unsaved_files import UnsavedFiles
from lucidnode.fs.write.writer import Writer

_FEW_BYTES = 4 * 1024 * 1024
_FEW_BLOCKS = 4
"""What is in the bucket as soon as an entry is, or nearly."""


class LockedWork:
    """Commits a file with all that lies beside it: a database has its journal there.

    Not all that waits in the project: who copies a film elsewhere holds up nobody's locks. And not
    what a program is in the middle of saving beside it: others see that as a whole, when it is one.
    """

    def __init__(
        self,
        replica: Replica,
        writer: Writer,
        unsaved: UnsavedFiles,
        unfinished: Unfinished,
        committer: Committer,
    ) -> None:
        self._replica = replica
        self._writer = writer
        self._unsaved = unsaved
        self._unfinished = unfinished
        self._committer = committer

    def is_much(self, ino: InodeNo) -> bool:
        """Tell whether what was done to *ino* and beside it takes longer than a moment to get to the bucket."""
        files = {ino, *self._beside(self._changed(), self._directories(ino))}
        sizes = (file.size for file in self._unsaved if file.ino in files)
        blocks = self._replica.pending.blocks_of_contents()
        return sum(sizes) > _FEW_BYTES or sum(len(blocks.get(f, ())) for f in files) > _FEW_BLOCKS

    async def commit(self, ino: InodeNo) -> None:
        """Return once what was done to *ino*, in its directories and to the files in them is committed.

        Raises what prevents it: an FsError, a NodeError or an OSError.
        """
        directories = await self._synced(ino)
        beside = self._beside(self._replica.pending.unsent_files(), directories)
        for each in (ino, *beside, *sorted(directories)):
            await self._committer.until_committed(each)

    async def finish(self, ino: InodeNo) -> None:
        """Have all that `commit` commits be on its way: what is done in the step in which this returns is behind it.

        Raises what prevents it: an FsError, a NodeError or an OSError.
        """
        directories = await self._synced(ino)
        beside = self._beside(self._replica.pending.unsent_files(), directories)
        self._committer.finish((ino, *beside))

    async def _synced(self, ino: InodeNo) -> set[InodeNo]:
        """Return the directories of *ino*, once what was written to it and beside it is on the disk."""
        directories = self._directories(ino)
        self._unfinished.ended(ino)
        unsaved = {file.ino for file in self._unsaved}
        for file in (ino, *self._beside(unsaved - {ino}, directories)):
            await self._writer.sync(file)
        return directories

    async def commit_alone(self, ino: InodeNo) -> None:
        """Return once what was written to *ino* is committed, whatever lies beside it. Raises as `commit`."""
        self._unfinished.ended(ino)
        await self._writer.sync(ino)
        await self._committer.until_committed(ino)

    def _directories(self, ino: InodeNo) -> set[InodeNo]:
        return {parent for parent, _ in self._replica.tree.names_of(ino)}

    def _changed(self) -> set[InodeNo]:
        return {file.ino for file in self._unsaved} | self._replica.pending.unsent_files()

    def _beside(self, files: Collection[InodeNo], directories: set[InodeNo]) -> list[InodeNo]:
        """Return those of *files* that lie in one of *directories* and are whole."""
        names_of = self._replica.tree.names_of
        return sorted(
            ino
            for ino in files
            if ino not in self._unfinished
            and any(parent in directories for parent, _ in names_of(ino))
        )
