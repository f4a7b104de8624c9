"""What journal entries did, and where to find it again: by name, by file, by number.

They are those behind one entry, in a row: behind the first of all, or behind the one that a past begins at.

The tables lie in the file of a replica that only follows (past.py), beside the project's. They are
this workstation's own, and can be made again from the journal at any time.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from lucidnode.fs.replica.changes import Head
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.sqlite.rows import KIND_COLUMN, SIZE_COLUMN, VERSION_COLUMN, RowChange
from lucidnode.fs.replica.tree.row_rules import checked_changes
from lucidnode.node.client.ids import DeviceId, Seq
from lucidnode.node.client.journal import NO_ENTRY

_SCHEMA = """
-- One row for each entry up to the head. *changeset* is zlib's; empty if the entry counted as empty.
CREATE TABLE IF NOT EXISTS past_entry (
    seq       INTEGER PRIMARY KEY,
    wall_ns   INTEGER NOT NULL,
    device    TEXT    NOT NULL,
    link      BLOB    NOT NULL,
    changeset BLOB    NOT NULL
) STRICT;

-- What a name meant before and after entry *seq*; 0: nothing.
CREATE TABLE IF NOT EXISTS past_name (
    parent INTEGER NOT NULL,
    name   BLOB    NOT NULL,
    seq    INTEGER NOT NULL,
    before INTEGER NOT NULL,
    after  INTEGER NOT NULL,
    PRIMARY KEY (parent, name, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS past_name_before ON past_name (before, seq) WHERE before != 0;
CREATE INDEX IF NOT EXISTS past_name_after ON past_name (after, seq) WHERE after != 0;

-- What entry *seq* did to an inode: made it, gave it another content or mode, or removed it. *size*,
-- *version* and *kind* are null where they stayed.
CREATE TABLE IF NOT EXISTS past_inode (
    ino     INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    kind    INTEGER,
    size    INTEGER,
    version INTEGER,
    gone    INTEGER NOT NULL,
    PRIMARY KEY (ino, seq)
) STRICT, WITHOUT ROWID;

-- At most one row (one = 1): the entry behind which all are noted, and the link to it. None: it is 0.
CREATE TABLE IF NOT EXISTS past_begin (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    seq  INTEGER NOT NULL,
    link BLOB    NOT NULL
) STRICT;
"""

NOBODY = DeviceId("00" * 16)
"""Who made what lies in a slot and is no entry."""

_DAY_NS = 86_400 * 10**9

_LARGEST = 2**63 - 1
"""What a clock may say at most; an entry may say more, and then says this."""

_LEVEL = 1

_ATTRIBUTE_COLUMNS = (2, 3, 4)
"""Mode, uid and gid in a row of `inode`: the attributes whose change is told."""


class EntryFacts(NamedTuple):
    """Who made an entry, and when by the clock of the one who made it."""

    seq: Seq
    wall_ns: int
    device: DeviceId


class NameChange(NamedTuple):
    """What *name* in directory *parent* meant before and after entry *seq*; None is nothing."""

    parent: InodeNo
    name: bytes
    seq: Seq
    before: InodeNo | None
    after: InodeNo | None


class WorkDay(NamedTuple):
    """What one workstation committed within a day (UTC), and when, by its own clock."""

    device: DeviceId
    first_ns: int
    last_ns: int
    entries: int


@dataclass(frozen=True, slots=True)
class InodeChange:
    """What entry *seq* did to a file; None where something stayed as it was.

    *kind* is given where it was made, *is_gone* if it was removed.
    """

    seq: Seq
    kind: int | None
    size: int | None
    version: int | None
    is_gone: bool


class PastLog:
    """The tables of the past in *database*. Raises as `Database.rows`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.transaction():
            database.rows(_SCHEMA)

    # -- taking in ---------------------------------------------------------------------------

    def note(self, facts: EntryFacts, link: bytes, changeset: bytes) -> None:
        """Take note of the entry *facts*, of which *changeset* was applied. Raises NoSpace."""
        change = self._database.change
        wall_ns = max(-_LARGEST, min(facts.wall_ns, _LARGEST))
        packed = zlib.compress(changeset, _LEVEL) if changeset else b""
        change(
            "INSERT INTO past_entry VALUES (?, ?, ?, ?, ?)",
            (facts.seq, wall_ns, facts.device, link, packed),
        )
        for row in checked_changes(changeset) if changeset else ():
            if row[0] == "name":
                change("INSERT INTO past_name VALUES (?, ?, ?, ?, ?)", _name_row(facts.seq, row))
            elif row[0] == "inode" and (found := _inode_row(facts.seq, row)) is not None:
                change("INSERT INTO past_inode VALUES (?, ?, ?, ?, ?, ?)", found)

    def forget_after(self, seq: Seq) -> None:
        """Forget what was noted of entries behind *seq*, which were not applied. Raises NoSpace."""
        with self._database.transaction():
            for table in ("past_entry", "past_name", "past_inode"):
                self._database.change(f"DELETE FROM {table} WHERE seq > ?", (seq,))  # noqa: S608  # ours

    def begin_at(self, head: Head) -> None:
        """Begin behind the entry *head*, as nothing is noted yet. Raises NoSpace."""
        with self._database.transaction():
            self._begin(head)

    def note_before(self, facts: EntryFacts, changeset: bytes, previous: bytes) -> None:
        """Take note of the entry that the past began behind, *previous* being the link to the one before.

        Raises NoSpace, or ChangesetUnfit: nothing is noted then.
        """
        with self._database.transaction():
            self.note(facts, self.begin().link, changeset)
            self._begin(Head(Seq(facts.seq - 1), previous))

    def _begin(self, head: Head) -> None:
        self._database.change(
            "INSERT OR REPLACE INTO past_begin VALUES (1, ?, ?)", (head.seq, head.link)
        )

    # -- entries -----------------------------------------------------------------------------

    def begin(self) -> Head:
        """Return the entry behind which all are noted, and the link to it."""
        row = self._database.row("SELECT seq, link FROM past_begin")
        return Head(Seq(0), NO_ENTRY) if row is None else Head(Seq(row[0]), row[1])

    def newest(self) -> Seq:
        """Return the number of the newest entry noted; if there is none, of the one they begin behind."""
        row = self._database.row("SELECT max(seq) FROM past_entry")
        assert row is not None
        return self.begin().seq if row[0] is None else Seq(row[0])

    def entry(self, seq: Seq) -> EntryFacts:
        """Return who made entry *seq*, which was noted."""
        row = self._database.row(
            "SELECT seq, wall_ns, device FROM past_entry WHERE seq = ?", (seq,)
        )
        assert row is not None
        return EntryFacts(*row)

    def link(self, seq: Seq) -> bytes:
        """Return the link to entry *seq*, which was noted, or which all that was noted is behind."""
        begin = self.begin()
        if seq == begin.seq:
            return begin.link
        row = self._database.row("SELECT link FROM past_entry WHERE seq = ?", (seq,))
        assert row is not None
        link: bytes = row[0]
        return link

    def has_unfit(self) -> bool:
        """Tell whether an entry that somebody vouches for did nothing, since it did not fit."""
        # Its length stands at the head of the row: no large changeset is read for that.
        found = self._database.row(
            "SELECT 1 FROM past_entry WHERE length(changeset) = 0 AND device != ? LIMIT 1",
            (NOBODY,),
        )
        return found is not None

    def times(self) -> list[int]:
        """Return what the clocks said at each entry noted, in their order."""
        rows = self._database.rows("SELECT wall_ns FROM past_entry ORDER BY seq")
        return [wall_ns for (wall_ns,) in rows]

    def work_days(self) -> list[WorkDay]:
        """Return who committed something on which day, in the order in which the days began."""
        rows = self._database.rows(
            "SELECT device, min(wall_ns), max(wall_ns), count(*) FROM past_entry WHERE device != ? "
            "GROUP BY device, wall_ns / ? ORDER BY min(seq)",
            (NOBODY, _DAY_NS),
        )
        return [WorkDay(*row) for row in rows]

    def changeset(self, seq: Seq) -> bytes:
        """Return what entry *seq* did; nothing if it counted as empty."""
        row = self._database.row("SELECT changeset FROM past_entry WHERE seq = ?", (seq,))
        return zlib.decompress(row[0]) if row is not None and row[0] else b""

    def changesets_back_to(self, seq: Seq) -> Iterator[bytes]:
        """Yield what the entries behind *seq* did, the newest first."""
        for number in range(self.newest(), seq, -1):
            if changeset := self.changeset(Seq(number)):
                yield changeset

    # -- names and files ---------------------------------------------------------------------

    def of_name(self, parent: InodeNo, name: bytes) -> list[NameChange]:
        """Return the changes of one name, in order."""
        return self._names("parent = ? AND name = ? ORDER BY seq", (parent, name))

    def in_directory(self, parent: InodeNo) -> list[NameChange]:
        """Return the changes of every name in directory *parent*, by name and in order."""
        return self._names("parent = ? ORDER BY name, seq", (parent,))

    def names_of(self, ino: InodeNo) -> list[NameChange]:
        """Return the changes by which *ino* got and lost names, in order."""
        found = self._names("before = ?1 OR after = ?1 ORDER BY seq", (ino,))
        return sorted(found, key=lambda change: change.seq)

    def of_inode(self, ino: InodeNo) -> list[InodeChange]:
        """Return what was done to *ino*, in order."""
        rows = self._database.rows(
            "SELECT seq, kind, size, version, gone FROM past_inode WHERE ino = ? ORDER BY seq",
            (ino,),
        )
        return [
            InodeChange(Seq(seq), kind, size, version, bool(gone))
            for seq, kind, size, version, gone in rows
        ]

    def touched(self, first: Seq, last: Seq) -> list[InodeNo]:
        """Return what was made, changed, renamed or removed behind entry *first* up to *last*."""
        rows = self._database.rows(
            "SELECT ino FROM past_inode WHERE seq > ?1 AND seq <= ?2 "
            "UNION SELECT before FROM past_name WHERE seq > ?1 AND seq <= ?2 AND before != 0 "
            "UNION SELECT after FROM past_name WHERE seq > ?1 AND seq <= ?2 AND after != 0",
            (first, last),
        )
        return [InodeNo(ino) for (ino,) in rows]

    def writer(self, ino: InodeNo) -> DeviceId | None:
        """Return which workstation gave the file *ino* the content that it has now."""
        row = self._database.row(
            "SELECT device FROM past_entry WHERE seq = (SELECT max(seq) FROM past_inode "
            "WHERE ino = ? AND version IS NOT NULL)",
            (ino,),
        )
        return None if row is None else DeviceId(row[0])

    def _names(self, condition: str, bindings: tuple[int | bytes, ...]) -> list[NameChange]:
        rows = self._database.rows(
            f"SELECT parent, name, seq, before, after FROM past_name WHERE {condition}",  # noqa: S608  # ours
            bindings,
        )
        return [
            NameChange(
                InodeNo(parent),
                name,
                Seq(seq),
                InodeNo(before) if before else None,
                InodeNo(after) if after else None,
            )
            for parent, name, seq, before, after in rows
        ]


def _name_row(seq: Seq, change: RowChange) -> tuple[int | bytes, ...]:
    _, old, new = change
    key = old or new
    assert key is not None
    return (key[0], key[1], seq, old[2] if old else 0, new[2] if new else 0)


def _inode_row(seq: Seq, change: tuple[str, Any, Any]) -> tuple[int | None, ...] | None:
    """Return the row of `past_inode` for *change*; None if nothing is told of it.

    In an update, columns that stay are None.
    """
    _, old, new = change
    ino = int((old or new)[0])
    if new is None:
        return (ino, seq, None, None, None, 1)
    told = (*_ATTRIBUTE_COLUMNS, VERSION_COLUMN)
    if old is not None and all(new[column] is None for column in told):
        return None
    kind = int(new[KIND_COLUMN]) if old is None else None
    size, version = new[SIZE_COLUMN], new[VERSION_COLUMN]
    return (
        ino,
        seq,
        kind,
        None if size is None else int(size),
        None if version is None else int(version),
        0,
    )
