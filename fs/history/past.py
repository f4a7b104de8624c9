"""The past of one project on this workstation: a replica that only follows, and what led there.

It begins at the first entry, or at a checkpoint; then it can be read on in both directions.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lucidnode.fs.commit.repair.replica_files import HISTORY_DIRECTORY, remove
from lucidnode.fs.errors import OlderNeeded, ReplicaBusy, ReplicaError
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.format.journal_entry import EntryBody
from lucidnode.fs.history.past_log import NOBODY, EntryFacts, PastLog
from lucidnode.fs.history.past_record import PastRecord
from lucidnode.fs.replica.changes import Head
from lucidnode.fs.replica.id_allocator import IdAllocator
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.past_states import EarlierContent
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.replica.sqlite.changesets import ChangesetUnfit
from lucidnode.fs.replica.sqlite.connection import is_in_use
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.sqlite.rows import (
    MTIME_COLUMN,
    SIZE_COLUMN,
    VERSION_COLUMN,
    Row,
)
from lucidnode.fs.replica.sqlite.unsynced import KEYS
from lucidnode.fs.replica.tree.row_rules import checked_changes
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.fs.replica.used_files import UsedFiles
from lucidnode.node.client.durable import make_directory
from lucidnode.node.client.ids import BlockId, DeviceId, Seq
from lucidnode.node.client.journal import EntryHeader, empty_link, epoch_of
from lucidnode.node.client.kept import KEEPER_SUFFIX, SERVER_SUFFIX
from lucidnode.node.client.roster import FIRST_EPOCH
from lucidnode.node.client.wire import Slot

_PAST_FILE = "past.db"

_MOUNTED = "at-"
"""What the names of replicas begin with that stand on an earlier entry, for mounts."""

_COLLECTING = "collecting"
"""The file beside a past that a collection holds, which makes room for whoever asks."""

_WANTED = "wanted"
"""The file by which it is asked to."""

_ROWS_AT_ONCE = 4096
"""Rows of a table that are in memory."""

_Columns = tuple[Any, ...]
"""A row of a change; None where an update leaves a column alone."""


class Past:
    """Every state that a project had, from the one it begins with to the entry that was read last.

    Make it with `open`, and `close` it. All raise as `Database.rows`.
    """

    def __init__(self, path: Path, key: bytes, database: Database, device_name: str) -> None:
        self._path = path
        self._key = key
        self._database = database
        self._device_name = device_name
        self._replica = Replica(database, device_name, IdAllocator(database, secrets.token_bytes))
        self.log = PastLog(database)
        self.log.forget_after(self.head().seq)
        self.record = PastRecord(self.log, self._replica.tree, self._replica.past)

    @classmethod
    def open(cls, project_directory: Path, key: bytes, device_name: str, place: str = "") -> Past:
        """Open what is kept in *project_directory* under the 32-byte *key*, or begin it.

        *place* is which: the whole one, or one of the name of a directory, that may begin later. One
        that cannot be read is begun anew: all of it is in the journal. Raises a ReplicaError while
        another command has it open, or NoSpace.
        """
        directory = project_directory / HISTORY_DIRECTORY
        for each in (project_directory, directory, directory / place):
            make_directory(each)
        path = directory / place / _PAST_FILE
        try:
            return cls._opened(path, key, device_name)
        except ReplicaBusy as error:
            raise ReplicaBusy(
                "another command reads the history of this project: wait for it, and try again"
            ) from error
        except ReplicaError:
            remove(path)
            return cls._opened(path, key, device_name)

    @classmethod
    def _opened(cls, path: Path, key: bytes, device_name: str, *, begins: bool = False) -> Past:
        database = Database.open(path, key)
        try:
            past = cls(path, key, database, device_name)
            if begins and past.log.newest() == 0:
                past.log.begin_at(past.head())
            past.check_gaps()
        except BaseException:
            database.close()
            raise
        return past

    def check_gaps(self) -> None:
        """Raise ReplicaError if an entry was applied of which nothing is noted."""
        if self.log.newest() != self.head().seq:
            raise ReplicaError("the history has gaps")

    def emptied(self) -> Past:
        """Return what stands in the place of this one, which is closed, and has read nothing yet."""
        self.close()
        remove(self._path)
        return self._opened(self._path, self._key, self._device_name)

    def loaded(self) -> Past:
        """Return this one opened anew, which begins with the state that its replica was given.

        Raises a ReplicaError, or NoSpace.
        """
        self.close()
        return self._opened(self._path, self._key, self._device_name, begins=True)

    @property
    def since(self) -> Seq:
        """The entry of the first state there is: 0 if the past is whole."""
        return self.log.begin().seq

    @property
    def is_doubtful(self) -> bool:
        """Whether it begins with a state that an entry behind it did not fit: that may be a false one."""
        return self.since > 0 and self.log.has_unfit()

    def take_before(self, slot: Slot, body: EntryBody, previous: bytes) -> None:
        """Begin one entry earlier: behind what *previous* links to, and before *slot*.

        That is the entry whose link the past began with, and its *body* counted. Raises NoSpace, or
        ChangesetUnfit.
        """
        begin = self.log.begin()
        assert begin.link == slot.hash
        self.log.note_before(self._facts(begin.seq, slot, body), body.changeset, previous)

    def close(self) -> None:
        """Close the file; what was read is kept."""
        self._replica.close()

    def head(self) -> Head:
        """Return the newest entry that was read."""
        return self._replica.pending.head()

    @property
    def now(self) -> TreeReader:
        """The tree at the head."""
        return self._replica.tree

    def used(self) -> UsedFiles:
        """Return what reads the sizes of files at the head."""
        return UsedFiles(self._database)

    @property
    def replica(self) -> Replica:
        """The replica at the head, for who judges the next entry."""
        return self._replica

    def rows(self, table: str) -> Iterator[Row]:
        """Yield the rows of a replicated table, in the order of their keys, as `at` shows them."""
        keys = KEYS[table]
        order, after = ", ".join(keys), ", ".join("?" * len(keys))
        sql = f"SELECT * FROM {table} {{}} ORDER BY {order} LIMIT {_ROWS_AT_ONCE}"  # noqa: S608  # ours
        found: list[Row] = self._database.rows(sql.format(""))
        while found:
            yield from found
            behind = sql.format(f"WHERE ({order}) > ({after})")
            found = self._database.rows(behind, found[-1][: len(keys)])

    def blocks(self) -> dict[BlockId, BlockName]:
        """Return every block that an entry has named, by id."""
        return {
            BlockId(id_): BlockName(BlockId(id_), epoch, nonce, size)
            for id_, epoch, nonce, size in self._database.rows("SELECT * FROM block")
        }

    def blocks_in_use(self) -> list[tuple[BlockId, InodeNo]]:
        """Return each block that a file of the tree lies in, with every such file."""
        return self._database.rows("SELECT DISTINCT block, ino FROM extent")

    def take(self, seq: Seq, slot: Slot, body: EntryBody | None) -> None:
        """Stand on what lies in *slot* as entry *seq*; None: it counts as empty. Raises NoSpace."""
        changeset = None if body is None else body.changeset
        facts = self._facts(seq, slot, body)
        if changeset is not None:
            # First: what is noted and was not applied is forgotten when the file is opened again.
            try:
                self._note(facts, slot.hash, changeset)
            except ChangesetUnfit:
                changeset = None
        epoch = FIRST_EPOCH if body is None or slot.body is None else epoch_of(slot.body)
        touched = self._replica.entries.apply_entry(seq, slot.hash, changeset, epoch)
        if changeset is None or touched.refused is not None:
            self.log.forget_after(Seq(seq - 1))
            self._note(facts, empty_link(slot.hash), b"")

    def _facts(self, seq: Seq, slot: Slot, body: EntryBody | None) -> EntryFacts:
        if body is None or slot.body is None:
            # Nobody vouches for its time: that of the entry before does for it.
            before = self.log.entry(Seq(seq - 1)).wall_ns if seq - 1 > self.since else 0
            return EntryFacts(seq, before, NOBODY)
        return EntryFacts(seq, body.wall_ns, EntryHeader.parse(slot.body).device)

    def _note(self, facts: EntryFacts, link: bytes, changeset: bytes) -> None:
        with self._database.transaction():
            self.log.note(facts, link, changeset)

    @contextlib.contextmanager
    def at(self, seq: Seq) -> Iterator[TreeReader]:
        """Have the tree as entry *seq* left it, in this block; nothing is read on meanwhile.

        It takes time in proportion to what was changed since. Raises NoSpace; OlderNeeded if the
        past begins later, or in the midst of a content of which a part came behind *seq*.
        """
        self._check_reached(seq)
        if seq == self.head().seq:
            yield self.now
            return
        with self._replica.past.look_back(self.log.changesets_back_to(seq)):
            self._show_whole_contents(self._replica, seq)
            yield self._replica.tree

    def _check_reached(self, seq: Seq) -> None:
        if seq < self.since:
            raise OlderNeeded(f"the history here begins at version {self.since}")

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Hold the past in this block as one who makes room for whoever wants it: see `is_wanted`."""
        collecting = self._path.with_name(_COLLECTING)
        self._path.with_name(_WANTED).unlink(missing_ok=True)
        collecting.touch(0o600)
        try:
            yield
        finally:
            collecting.unlink(missing_ok=True)

    def is_wanted(self) -> bool:
        """Tell whether a command waits for this past."""
        return self._path.with_name(_WANTED).exists()

    @staticmethod
    def forget(directory: Path) -> None:
        """Remove the past that lies in *directory* and is not open; replicas beside it stay."""
        remove(directory / _PAST_FILE)

    @staticmethod
    def is_kept(project_directory: Path) -> bool:
        """Tell whether a past was begun there."""
        return (project_directory / HISTORY_DIRECTORY / _PAST_FILE).exists()

    @staticmethod
    def ask_for(project_directory: Path) -> bool:
        """Ask for the past that is open elsewhere; False if who holds it makes no room."""
        directory = project_directory / HISTORY_DIRECTORY
        if not (directory / _COLLECTING).exists():
            return False
        (directory / _WANTED).touch(0o600)
        return True

    @contextlib.contextmanager
    def writable_copy(self, writer: DeviceId) -> Iterator[Replica]:
        """Have a replica of its own that stands on the head, for changes by *writer*; it is removed at the end.

        Nothing is read on in this block. Raises NoSpace, or OSError.
        """
        copy = self._path.with_name(f"writer-{secrets.token_hex(8)}.db")
        self._copy_to(copy)
        try:
            opened = Replica.open(copy, self._key, self._device_name, writer)
            with contextlib.closing(opened) as replica:
                yield replica
        finally:
            remove(copy)

    def copy_at(self, seq: Seq) -> Path:
        """Make a replica that stands on entry *seq*, for a mount; return its file.

        What is no longer used of earlier ones is removed. Raises NoSpace, or OSError; OlderNeeded as
        `at`.
        """
        self._check_reached(seq)
        for old in self._path.parent.glob(f"{_MOUNTED}*.db"):
            if not is_in_use(old):
                remove(old)
                for suffix in (KEEPER_SUFFIX, SERVER_SUFFIX):
                    old.with_suffix(suffix).unlink(missing_ok=True)
        copy = self._path.with_name(f"{_MOUNTED}{seq}-{secrets.token_hex(8)}.db")
        self._copy_to(copy)
        try:
            with contextlib.closing(Replica.open(copy, self._key, self._device_name)) as replica:
                replica.past.go_back(
                    self.log.changesets_back_to(seq), Head(seq, self.log.link(seq))
                )
                with replica.past.shown_for_good():
                    self._show_whole_contents(replica, seq)
        except BaseException:
            remove(copy)
            raise
        return copy

    def _copy_to(self, copy: Path) -> None:
        for old in copy.parent.glob("writer-*"):
            old.unlink(missing_ok=True)  # of a command that was killed: we hold the lock
        # The log last: a checkpoint that is under way moves pages from there, and leaves them in it.
        for suffix in ("", "-wal"):
            there = Path(f"{copy}{suffix}")
            there.touch(0o600)
            shutil.copyfile(f"{self._path}{suffix}", there)

    def _show_whole_contents(self, replica: Replica, seq: Seq) -> None:
        """Show the files of whose newest content a part came after *seq* as they were before."""
        replica.past.show([self._whole(replica, ino, seq) for ino in replica.past.partial_files()])

    def _whole(self, replica: Replica, ino: InodeNo, seq: Seq) -> EarlierContent:
        (size, version, mtime_ns), rows = replica.past.content_rows(ino)
        extents = {int(row[1]): row for row in rows}
        for change in reversed(self.log.of_inode(ino)):
            if change.seq > seq:
                continue
            if version >= 0:
                break
            for table, old, new in checked_changes(self.log.changeset(change.seq)):
                key = old or new
                if key is None or key[0] != ino:
                    continue
                if table == "extent":
                    _undo_extent(extents, old, new)
                elif table == "inode":
                    if old is None:  # a new file: nothing of it is whole yet
                        return EarlierContent(ino, 0, 0, mtime_ns, [])
                    size = _before(old, SIZE_COLUMN, size)
                    version = _before(old, VERSION_COLUMN, version)
                    mtime_ns = _before(old, MTIME_COLUMN, mtime_ns)
        if version < 0 and self.since:
            raise OlderNeeded(f"the history here begins at version {self.since}")
        return EarlierContent(ino, size, version, mtime_ns, list(extents.values()))


def _before(old: _Columns, column: int, now: int) -> int:
    """Return what *column* was before an update from *old*."""
    value = old[column]
    return now if value is None else int(value)


def _undo_extent(
    extents: dict[int, tuple[int | bytes, ...]],
    old: _Columns | None,
    new: _Columns | None,
) -> None:
    if old is None:
        assert new is not None
        del extents[int(new[1])]
    elif new is None:
        extents[int(old[1])] = old
    else:
        now = extents[int(old[1])]
        extents[int(old[1])] = tuple(
            after if before is None else before for before, after in zip(old, now, strict=True)
        )
