"""What a journal entry may make of the tree: checked once it is applied, before it counts.

Format 1 (docs/format.md, "What an entry may change"). The state before the entry keeps these rules
as well, so each question is about the rows that changed and their neighbours, and costs in
proportion to the entry. The answer depends on nothing but the journal: see `fast_forward` for why
pending work of ours that stays in place cannot change it.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from lucidnode.fs.replica.inode import ROOT, Kind
from lucidnode.fs.replica.sqlite.changesets import ChangesetUnfit
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.sqlite.rows import KIND_COLUMN, LINKS_COLUMN, SIZE_COLUMN, RowChange

MAX_ANCESTORS = 16384
"""The directories that one entry moves, and all that lie above them where it puts them."""

_KINDS = "SELECT ino, kind FROM inode WHERE ino IN (SELECT value FROM json_each(?1))"

_LEFTOVERS = """
    SELECT 1 FROM json_each(?1) gone WHERE
        EXISTS (SELECT 1 FROM name WHERE ino = gone.value)
        OR EXISTS (SELECT 1 FROM name WHERE parent = gone.value)
        OR EXISTS (SELECT 1 FROM extent WHERE ino = gone.value)
        OR EXISTS (SELECT 1 FROM xattr WHERE ino = gone.value)
    LIMIT 1
"""
_NOT_IN_ONE_PLACE = """
    SELECT 1 FROM json_each(?1) directory
    WHERE (SELECT count(*) FROM (SELECT 1 FROM name WHERE ino = directory.value LIMIT 2)) != 1
    LIMIT 1
"""
# Neighbours suffice: what reaches past its neighbour overlaps that one as well.
_EXTENTS = """
    SELECT 1 FROM json_each(?1) changed
        CROSS JOIN extent e ON e.ino = changed.value ->> 0 AND e.offset = changed.value ->> 1
        LEFT JOIN inode i ON i.ino = e.ino
        LEFT JOIN block b ON b.id = e.block
    WHERE i.kind IS NOT 8 OR e.offset + e.length > i.size
        OR b.size IS NULL OR e.block_offset + e.length > b.size
        OR (SELECT before.offset + before.length FROM extent before
            WHERE before.ino = e.ino AND before.offset < e.offset
            ORDER BY before.offset DESC LIMIT 1) > e.offset
        OR (SELECT after.offset FROM extent after
            WHERE after.ino = e.ino AND after.offset > e.offset
            ORDER BY after.offset LIMIT 1) < e.offset + e.length
    LIMIT 1
"""
_CUT = """
    SELECT 1 FROM json_each(?1) cut JOIN inode i ON i.ino = cut.value
    WHERE (SELECT e.offset + e.length FROM extent e
           WHERE e.ino = i.ino ORDER BY e.offset DESC LIMIT 1) > i.size
    LIMIT 1
"""
# UNION keeps each directory once, so even a cycle comes to an end.
_ABOVE = """
    WITH RECURSIVE above (ino) AS (
        SELECT value FROM json_each(?1)
        UNION SELECT n.parent FROM above JOIN name n ON n.ino = above.ino
        LIMIT ?2)
    SELECT above.ino, n.parent FROM above LEFT JOIN name n ON n.ino = above.ino
"""


def check_tree(database: Database, changes: list[RowChange]) -> None:
    """Raise ChangesetUnfit if *changes*, just made by an entry in *database*, break what a tree is.

    They are whole rows, each once. Inside the caller's transaction.
    """
    _Tree(database, changes).check()


class _Tree:
    """What one entry did, seen from each file it touched."""

    def __init__(self, database: Database, changes: list[RowChange]) -> None:
        self._database = database
        self._kinds: dict[int, int] = {}
        self._gone: set[int] = set()
        self._made: set[int] = set()
        self._cut: list[int] = []
        self._links: Counter[int] = Counter()
        self._lost: list[tuple[int, int]] = []
        self._named: list[tuple[int, int]] = []
        self._extents: list[tuple[int, int]] = []
        self._owners: set[int] = set()
        for change in changes:
            self._note(change)

    def _note(self, change: RowChange) -> None:
        table, old, new = change
        match table:
            case "inode":
                self._note_inode(old, new)
            case "name":
                for row, places in ((old, self._lost), (new, self._named)):
                    if row is not None:
                        places.append((int(row[0]), int(row[2])))
            case "extent" if new is not None:
                self._extents.append((int(new[0]), int(new[1])))
            case "xattr" if new is not None:
                self._owners.add(int(new[0]))
            case _:
                pass

    def _note_inode(self, old: tuple[int | bytes, ...] | None, new: object) -> None:
        row = new or old
        assert isinstance(row, tuple)
        ino, size = int(row[0]), int(row[SIZE_COLUMN])
        self._kinds[ino] = int(row[KIND_COLUMN])
        if new is None:
            self._gone.add(ino)
            return
        self._links[ino] += int(row[LINKS_COLUMN])
        if old is None:
            self._made.add(ino)
            return
        self._links[ino] -= int(old[LINKS_COLUMN])
        if size != old[SIZE_COLUMN] and row[KIND_COLUMN] != Kind.FILE:
            raise ChangesetUnfit("a size that its kind of file does not have")
        if size < int(old[SIZE_COLUMN]):
            self._cut.append(ino)

    def check(self) -> None:
        self._look_up_kinds()
        self._check_existence()
        self._check_links()
        self._check_contents()
        self._check_directories()

    def _look_up_kinds(self) -> None:
        asked = {ino for pair in (*self._lost, *self._named) for ino in pair} | self._owners
        asked -= self._kinds.keys()
        if asked:
            self._kinds.update(self._database.rows(_KINDS, (_json(asked),)))

    def _exists(self, ino: int) -> bool:
        return ino in self._kinds and ino not in self._gone

    def _is_directory(self, ino: int) -> bool:
        return self._kinds.get(ino) == Kind.DIRECTORY

    def _check_existence(self) -> None:
        if not all(map(self._exists, self._owners)):
            raise ChangesetUnfit("an attribute of a file that does not exist")
        for parent, ino in self._named:
            if not self._exists(parent) or not self._is_directory(parent):
                raise ChangesetUnfit("a name in what is no directory")
            if not self._exists(ino):
                raise ChangesetUnfit("a name of a file that does not exist")
        if self._gone and self._finds(_LEFTOVERS, self._gone):
            raise ChangesetUnfit("something of a deleted file is left")

    def _check_links(self) -> None:
        # A file has as many links as names, a directory two and one for each directory in it.
        right: Counter[int] = Counter()
        for places, sign in ((self._named, 1), (self._lost, -1)):
            for parent, ino in places:
                right[ino] += sign
                if self._is_directory(ino):
                    right[parent] += sign
        for ino in self._made:
            right[ino] += self._is_directory(ino)
        for ino in right.keys() | self._links.keys():
            if ino not in self._gone and right[ino] != self._links[ino]:
                raise ChangesetUnfit("a count of links that is not the number of names")

    def _check_contents(self) -> None:
        if self._extents and self._finds(_EXTENTS, self._extents):
            raise ChangesetUnfit(
                "an extent without its file or block, past the end of one, or over another"
            )
        if self._cut and self._finds(_CUT, self._cut):
            raise ChangesetUnfit("an extent past the end of its file")

    def _check_directories(self) -> None:
        places = {ino: parent for parent, ino in self._named if self._is_directory(ino)}
        touched = {
            ino
            for ino in (*places, *(ino for _, ino in self._lost), *self._made)
            if self._is_directory(ino) and ino not in self._gone
        }
        if touched and self._finds(_NOT_IN_ONE_PLACE, touched):
            raise ChangesetUnfit("a directory that is not in exactly one place")
        # A new directory hangs below what was there, or below other new ones.
        above = {ino: parent for ino, parent in places.items() if ino in self._made}
        moved = [ino for ino in places if ino not in self._made]
        if moved:
            found = self._database.rows(_ABOVE, (_json(moved), MAX_ANCESTORS + 1))
            if len(found) > MAX_ANCESTORS:
                raise ChangesetUnfit("too many directories above those it moves")
            above.update((ino, parent) for ino, parent in found if parent is not None)
            if not _all_end_in(above, moved, ROOT):
                raise ChangesetUnfit("a directory that lies in itself")
        if not _all_end_in(above, list(above), None):
            raise ChangesetUnfit("a directory that lies in itself")

    def _finds(self, query: str, asked: set[int] | list[int] | list[tuple[int, int]]) -> bool:
        return self._database.row(query, (_json(asked),)) is not None


def _all_end_in(above: dict[int, int], starts: list[int], end: int | None) -> bool:
    """Tell whether the way up from each of *starts* is finite, and comes out at *end* if given."""
    sound: set[int] = set()
    for start in starts:
        way: dict[int, None] = {}
        here = start
        while here in above and here not in sound:
            if here in way:
                return False
            way[here] = None
            here = above[here]
        if end is not None and here not in sound and here != end:
            return False
        sound.update(way)
    return True


def _json(values: set[int] | list[int] | list[tuple[int, int]]) -> str:
    return msgspec.json.encode(values).decode()
