"""Names and marks as the journal left them after one entry, while the replica has gone on since.

The replica shows more than one entry's state: later entries, and what waits here. So what differs
is kept above it: for each name that was changed since, what it meant. A name that is not listed
means what the replica says, and one that means the same again is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucidnode.fs.replica.inode import MAX_DEPTH, ROOT, InodeNo, Kind
from lucidnode.fs.replica.intents import MARK
from lucidnode.fs.replica.sqlite.rows import KIND_COLUMN, RowChange
from lucidnode.fs.replica.tree_reader import TreeReader

Place = tuple[InodeNo, bytes]
"""A name: in which directory, and the name there."""


class CommittedNames:
    """The names after one entry. Begins as what *tree* shows, and is brought there by its methods."""

    def __init__(self, tree: TreeReader) -> None:
        self._tree = tree
        self._names: dict[Place, InodeNo | None] = {}
        self._places: dict[InodeNo, set[Place]] = {}
        self._marks: dict[InodeNo, bytes | None] = {}
        self._kinds: dict[InodeNo, Kind] = {}

    def __len__(self) -> int:
        """Return how much is remembered."""
        return len(self._names) + len(self._marks) + len(self._kinds)

    # -- coming here -------------------------------------------------------------------------

    def replica_changed(self, changes: Iterable[RowChange]) -> None:
        """Take in that the replica has gone on by *changes*, oldest first: here nothing changes."""
        for change in changes:
            self._note(change, newest=False)

    def go_back(self, changes: Iterable[RowChange]) -> None:
        """Stand before an entry that made *changes*, having stood behind it."""
        for change in changes:
            self._note(change, newest=True)

    def go_on(self, changes: Iterable[RowChange]) -> None:
        """Stand behind the next entry, which makes *changes*."""
        for table, old, new in changes:
            row = old or new
            assert row is not None
            if table == "name":
                place = InodeNo(int(row[0])), bytes(row[1])
                self._set_name(place, None if new is None else InodeNo(int(new[2])))
                found = self._tree.lookup(*place)
                if (None if found is None else found.ino) == self._names[place]:
                    self._drop_name(place)
            elif table == "xattr" and row[1] == MARK:
                ino = InodeNo(int(row[0]))
                self._marks[ino] = None if new is None else bytes(new[2])
                if self._tree.mark(ino) == self._marks[ino]:
                    del self._marks[ino]
        if not self._names:
            self._kinds.clear()

    def _note(self, change: RowChange, *, newest: bool) -> None:
        table, old, new = change
        row = old or new
        assert row is not None
        if table == "name":
            place = InodeNo(int(row[0])), bytes(row[1])
            if newest or place not in self._names:
                self._set_name(place, None if old is None else InodeNo(int(old[2])))
        elif table == "xattr" and row[1] == MARK:
            ino = InodeNo(int(row[0]))
            if newest or ino not in self._marks:
                self._marks[ino] = None if old is None else bytes(old[2])
        elif table == "inode" and new is None:
            self._kinds[InodeNo(int(row[0]))] = Kind(int(row[KIND_COLUMN]))

    def _set_name(self, place: Place, ino: InodeNo | None) -> None:
        self._drop_name(place)
        self._names[place] = ino
        if ino is not None:
            self._places.setdefault(ino, set()).add(place)

    def _drop_name(self, place: Place) -> None:
        ino = self._names.pop(place, None)
        if ino is not None:
            self._places[ino].discard(place)
            if not self._places[ino]:
                del self._places[ino]

    # -- questions ---------------------------------------------------------------------------

    def names_of(self, ino: InodeNo) -> list[Place]:
        """Return every name that means *ino*, in order."""
        found = {place for place in self._tree.names_of(ino) if place not in self._names}
        return sorted(found | self._places.get(ino, set()))

    def path(self, place: Place) -> str:
        """Return *place* as a path from the root of the project.

        What is no UTF-8 is shown by a replacement character; a directory that has no name, by `…`.
        """
        parent, name = place
        parts = [name]
        while parent != ROOT:
            above = self.names_of(parent)
            if not above or len(parts) > MAX_DEPTH:
                parts.append("…".encode())
                break
            parent, name = above[0]
            parts.append(name)
        return b"/".join(reversed(parts)).decode(errors="replace")

    def mark(self, ino: InodeNo) -> bytes | None:
        """Return the mark of a file that is on its way, None if it has none."""
        return self._marks[ino] if ino in self._marks else self._tree.mark(ino)

    def kind(self, ino: InodeNo) -> Kind:
        """Return the kind of *ino*; one that nobody knows any more was a file."""
        if (kind := self._kinds.get(ino)) is not None:
            return kind
        found = self._tree.attributes(ino)
        return Kind.FILE if found is None else found.kind
