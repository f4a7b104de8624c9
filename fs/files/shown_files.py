"""Attributes as programs see them: those of the replica, with what is not saved yet."""

from __future__ import annotations

from collections.abc import Sequence

from lucidnode.fs.errors import FileMissing
from lucidnode.fs.replica.inode import NOT_COUNTED, ROOT, Attributes, InodeNo, Kind
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.fs.write.unsaved_files import UnsavedFiles


class ShownFiles:
    """The files of one mount by their numbers."""

    def __init__(self, tree: TreeReader, unsaved: UnsavedFiles) -> None:
        self._tree = tree
        self._unsaved = unsaved

    def stored(self, ino: InodeNo) -> Attributes:
        """Return the attributes of *ino* as the replica has them. Raises FileMissing."""
        found = self._tree.attributes(ino)
        if found is None:
            raise FileMissing("the file is gone")
        return found

    def attributes(self, ino: InodeNo) -> Attributes:
        """Return the attributes of *ino*, with what is not saved yet. Raises FileMissing."""
        return self._unsaved.with_pending_size(self.stored(ino))

    def occupied(self, attributes: Attributes) -> int:
        """Return the bytes that are stored of a file; its holes take none.

        Never too few: `tar` takes a file that occupies nothing for one single hole. What lies in
        several layers at once counts several times until it is saved.
        """
        if attributes.kind is not Kind.FILE:
            return 0
        ino = attributes.ino
        stored = self._tree.stored_bytes(attributes) + self._unsaved.size_of(ino)
        return min(stored, attributes.size)

    def occupied_of(self, files: Sequence[Attributes]) -> list[int]:
        """Return `occupied` of each of *files*: a listing has many, and hardly one is unsaved."""
        if self._tree.has_tails or self._unsaved.any.is_set():
            return [self.occupied(file) for file in files]
        return [
            self.occupied(file) if file.stored == NOT_COUNTED else min(file.stored, file.size)
            for file in files
        ]

    def parent_of(self, directory: InodeNo) -> InodeNo:
        """Return the directory above; the root is above itself."""
        return ROOT if directory == ROOT else self._tree.parent_of(directory) or ROOT
