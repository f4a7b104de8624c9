"""The conflict copies of a project: which there are now, on all workstations alike.

A conflict copy is a file whose name says so. Nothing else is kept of it: whoever renames or removes
it has settled the conflict, for everybody.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucidnode.fs.errors import FileMissing, Invalid
from lucidnode.fs.replica.conflict_name import is_conflict_name
from lucidnode.fs.replica.inode import MAX_DEPTH, ROOT, InodeNo
from lucidnode.fs.replica.tree_reader import TreeReader

MAX_CONFLICTS = 1000
"""Conflict copies that are known at once: more than a person settles in a day."""


class Conflicts:
    """Follows the tree from what was there when the mount began."""

    def __init__(self, tree: TreeReader) -> None:
        self._tree = tree
        self._places: dict[tuple[InodeNo, bytes], InodeNo] = {}
        self.names_changed(tree.conflict_copies(MAX_CONFLICTS))

    def names_changed(self, names: Iterable[tuple[InodeNo, bytes]]) -> None:
        """Take in (parent, name) pairs that mean something else now."""
        for parent, name in names:
            if is_conflict_name(name) and len(self._places) < MAX_CONFLICTS:
                found = self._tree.lookup(parent, name)
                if found is not None:
                    self._places[parent, name] = found.ino

    def count(self) -> int:
        """Return how many there are. One look-up for each."""
        self._forget_settled()
        return len(self._places)

    def paths(self) -> list[str]:
        """Return where they are, from the root of the project, in order."""
        self._forget_settled()
        found = (self._path(*place) for place in self._places)
        return sorted(path.decode(errors="replace") for path in found)

    def place(self, path: str) -> tuple[InodeNo, bytes]:
        """Return directory and name of the copy that `paths` shows as *path*.

        Raises FileMissing if there is none, Invalid if that is not one alone.
        """
        self._forget_settled()
        found = [
            place for place in self._places if self._path(*place).decode(errors="replace") == path
        ]
        if not found:
            raise FileMissing("there is no such conflict any more")
        if len(found) > 1:
            raise Invalid("several files are shown like this: settle it with `lucidnode conflicts`")
        return found[0]

    def _forget_settled(self) -> None:
        """Let go of what is settled; a copy that was moved with its name is not."""
        known, self._places = self._places, {}
        for place, ino in known.items():
            if self._tree.lookup(*place) is not None:
                self._places[place] = ino
            else:
                self.names_changed(self._tree.names_of(ino))

    def _path(self, parent: InodeNo, name: bytes) -> bytes:
        parts = [name]
        for _ in range(MAX_DEPTH):
            if parent == ROOT:
                break
            above = self._tree.names_of(parent)
            if not above:
                break
            parent, name = above[0]
            parts.append(name)
        return b"/".join(reversed(parts))
