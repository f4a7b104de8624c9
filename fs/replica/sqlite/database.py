"""The door to APSW: an encrypted SQLite database that tells which rows each operation changed.

Nothing readable reaches the disk: SQLite3MultipleCiphers encrypts and authenticates every page of
the database and of its write-ahead log, and temporary tables stay in memory.

Row changes are collected by the pre-update hook, on which SQLite's own sessions are built too, and
become changesets through APSW's builder. A session object for each operation gives the same bytes
but reads the schema again each time: 45 us for a create, against 4 us by the hook.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import apsw

from lucidnode.fs.errors import (
    ReplicaCorrupt,
    ReplicaError,
)
from lucidnode.fs.replica.sqlite.answers import Answers
from lucidnode.fs.replica.sqlite.changesets import ChangesetUnfit, built_changeset
from lucidnode.fs.replica.sqlite.checkpoints import Checkpoints
from lucidnode.fs.replica.sqlite.connection import connected, locked
from lucidnode.fs.replica.sqlite.error_mapping import mapped, mapped_errors
from lucidnode.fs.replica.sqlite.rows import RowChange
from lucidnode.fs.replica.sqlite.schema import ADDED, EARLIER, REPLICATED, SCHEMA, VERSION
from lucidnode.fs.replica.sqlite.snapshot import Snapshot
from lucidnode.fs.replica.sqlite.unsynced import Before, Unsynced, before
from lucidnode.node.client.clock import boot_id
from lucidnode.node.client.durable import sync_directory
from lucidnode.node.client.ids import BlockId

Binding = int | bytes | str | None

_OF_CONTENT = {"inode": 0, "extent": 0, "tail": 1}
"""The tables that make the content of files, and where in a row the inode is."""


class Database:
    """One open replica file, for one thread.

    Raises ReplicaKeyWrong, ReplicaCorrupt, ReplicaBusy, NoSpace, or ReplicaError for the rest.
    """

    def __init__(self, path: Path, key: bytes, connection: apsw.Connection, lock: int) -> None:
        self._path = path
        self._key = key
        self._boot = boot_id()
        self._connection = connection
        self._lock = lock
        self._is_alone = not connection.readonly("main")
        self.answers = Answers(connection, is_alone=self._is_alone)
        """What `tree.Queries` found, shared by all of them."""
        self._recorded: list[RowChange] | None = None
        self.unsynced = Unsynced(self)
        """What a power cut may take back; forgotten and undone by `synced` and `take_back`."""
        self._shaded = False
        """Whether there is any, so that all that comes after it may be undone with it."""
        self._before: list[Before] | None = None
        self.on_commit: Callable[[], None] = _nobody
        """Called after every commit."""
        self.on_rollback: Callable[[], None] = _nobody
        """Called when a transaction has failed, and the tables are as before it."""
        self._checkpoints = Checkpoints(path, key)
        self.on_content: Callable[[int], None] | None = None
        """Told of each file of which a row that makes its content is changed, also in vain."""
        connection.preupdate_hook(self._note)
        connection.set_wal_hook(self._note_log)

    @classmethod
    def open(cls, path: Path, key: bytes) -> Self:
        """Open the replica at *path* under the 32-byte *key*; an absent one is created.

        Raises as the class does, or another OSError.
        """
        with contextlib.ExitStack() as undo, mapped_errors():
            lock = locked(path.with_name(path.name + "-lock"))
            undo.callback(os.close, lock)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = connected(path, key)
            undo.callback(connection.close)
            database = cls(path, key, connection, lock)
            with mapped_errors(connection):
                database._prepare()
            undo.pop_all()
        return database

    @classmethod
    def beside(cls, path: Path, key: bytes) -> Self:
        """Read the replica at *path* beside the process that has it open; nothing can be changed.

        Each statement sees the newest state, and holds up nobody for longer than it takes. Raises as
        the class does.
        """
        connection = connected(path, key, reads_only=True)
        return cls(path, key, connection, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def close(self) -> None:
        """Checkpoint and close, after a checkpoint that is under way."""
        self.close_files()
        os.close(self._lock)

    def close_files(self) -> None:
        """Do as `close`, but keep the lock until then."""
        self._checkpoints.close(self._connection)

    @property
    def has_unsynced(self) -> bool:
        """Whether a power cut may take anything back."""
        return self._shaded

    @property
    def files(self) -> list[Path]:
        """The database and its write-ahead log, which SQLite keeps as long as they are open."""
        return [self._path, self.log_path]

    @property
    def log_path(self) -> Path:
        """The write-ahead log: once it is fsynced, so is everything committed before."""
        return self._path.with_name(self._path.name + "-wal")

    @property
    def state(self) -> int | None:
        """A number that is another one after each change of any row; None within a transaction.

        It goes on where a transaction is undone, too. Nobody else changes the file: see `locked`. None
        for who reads `beside` the process that does.
        """
        if self._connection.in_transaction or not self._is_alone:
            return None
        return self._connection.total_changes()

    # -- statements --------------------------------------------------------------------------

    def rows(self, sql: str, bindings: Sequence[Binding] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows. Raises NoSpace or a ReplicaError."""
        try:
            return self._connection.execute(sql, bindings).fetchall()
        except apsw.Error as error:
            raise mapped(error, self._connection) from error

    def stream(self, sql: str, bindings: Sequence[Binding] = ()) -> Iterator[tuple[Any, ...]]:
        """Run one query and yield its rows as they are found; change nothing meanwhile.

        Raises as `rows`.
        """
        try:
            yield from self._connection.execute(sql, bindings)
        except apsw.Error as error:
            raise mapped(error, self._connection) from error

    def row(self, sql: str, bindings: Sequence[Binding] = ()) -> tuple[Any, ...] | None:
        """Run one statement and return its first row, or None if there is none. Raises as `rows`."""
        found = self.rows(sql, bindings)
        return found[0] if found else None

    def change(self, sql: str, bindings: Sequence[Binding] = ()) -> int:
        """Run one INSERT, UPDATE or DELETE and return how many rows it changed.

        Raises as `rows`.
        """
        try:
            self._connection.execute(sql, bindings)
            return self._connection.changes()
        except apsw.Error as error:
            raise mapped(error, self._connection) from error

    @contextlib.contextmanager
    def transaction(self, loose: Collection[BlockId] = ()) -> Iterator[list[RowChange]]:
        """All or nothing; yields the growing list of changes to replicated rows.

        It may name the blocks *loose*, which a power cut may take until `synced`. Raises NoSpace, or
        a ReplicaError, and what is raised within; nothing has changed then.
        """
        assert self._recorded is None, "transactions do not nest"
        self.rows("BEGIN IMMEDIATE")
        changes: list[RowChange] = []
        self._recorded = changes
        shaded = self._shaded or bool(loose)
        self._before = [] if shaded else None
        try:
            yield changes
            if self._before is not None:
                self.unsynced.add(loose, self._before, self._boot)
            self.rows("COMMIT")
            self._shaded = shaded
        except BaseException:
            # SQLite may have rolled back by itself when the disk was full.
            if self._connection.in_transaction:
                self.rows("ROLLBACK")
            self.on_rollback()
            raise
        finally:
            self._recorded = self._before = None

    def synced(self, mark: int) -> None:
        """Note that the blocks of all that is unsynced up to *mark* are on the disk. Raises NoSpace."""
        with self._unrecorded():
            self.unsynced.forget(mark)

    def take_back(self, first: int) -> None:
        """Undo the transaction *first* of those unsynced, and all after it. Raises NoSpace."""
        with self._unrecorded():
            self.unsynced.undo(first)

    @contextlib.contextmanager
    def _unrecorded(self) -> Iterator[None]:
        """Change what is unsynced in a transaction that is not part of it."""
        self._shaded = False
        try:
            with self.transaction():
                yield
        finally:
            self._shaded = self.unsynced.newest() > 0

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Inside a transaction: a part that an exception undoes, while the rest stands.

        Except on a full disk, where SQLite may have undone all of the transaction.
        """
        assert self._recorded is not None
        mark = len(self._recorded)
        before_mark = len(self._before or ())
        self.rows("SAVEPOINT attempt")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self.rows("ROLLBACK TO attempt")
                del self._recorded[mark:]
                if self._before is not None:
                    del self._before[before_mark:]
                self.rows("RELEASE attempt")
            raise
        self.rows("RELEASE attempt")

    def change_many(self, sql: str, bindings: Sequence[Sequence[Binding]]) -> None:
        """Run one INSERT or DELETE for each of *bindings*. Raises as `rows`."""
        try:
            self._connection.executemany(sql, bindings)
        except apsw.Error as error:
            raise mapped(error, self._connection) from error

    def copy_at(self, path: Path) -> tuple[Path, bytes, apsw.Connection, int]:
        """Copy all to *path*, an empty file; return what this class is made from for it.

        Both hold the lock of this one. Raises NoSpace or a ReplicaError.
        """
        connection = connected(path, self._key)
        try:
            with (
                mapped_errors(connection),
                connection.backup("main", self._connection, "main") as backup,
            ):
                backup.step()
            return path, self._key, connection, os.dup(self._lock)
        except BaseException:
            connection.close()
            raise

    def snapshot(self) -> Snapshot | None:
        """Return the state as it is now, to be read beside this; `close` it.

        None if that is not to be had just now. One at a time. Raises as `rows`.
        """
        if not self._checkpoints.hold():
            return None
        try:
            return Snapshot(self._path, self._key, self._checkpoints.let_go)
        except BaseException:
            self._checkpoints.let_go()
            raise

    # -- changesets --------------------------------------------------------------------------

    def changeset(self, changes: Sequence[RowChange]) -> bytes:
        """Return *changes*, in order, as one SQLite changeset; empty if they cancel out.

        Raises NoSpace, or a ReplicaError.
        """
        return built_changeset(self._connection, changes)

    def undo(self, changes: Sequence[RowChange]) -> None:
        """Take *changes* back; they must be the newest there are. A misfit is a broken replica.

        Raises ReplicaCorrupt then.
        """
        if combined := self.changeset(changes):
            self.revert(combined)

    def revert(self, changeset: bytes) -> None:
        """Take *changeset* back; it must be the newest that was applied.

        Raises ReplicaCorrupt if it does not fit.
        """
        try:
            self.apply(apsw.Changeset.invert(changeset))
        except ChangesetUnfit as error:
            raise ReplicaCorrupt("what was done does not fit its own undo") from error

    def apply(self, changeset: bytes) -> list[RowChange]:
        """Apply *changeset* whole and return the rows it changed, or raise ChangesetUnfit with none changed.

        One from outside has to pass `checked_changes` before, and `check_tree` behind.
        """
        assert self._recorded is not None
        mark = len(self._recorded)
        try:
            # Without a conflict handler the first misfit aborts, and SQLite undoes what it did.
            apsw.Changeset.apply(changeset, self._connection)
        except (apsw.AbortError, apsw.ConstraintError, apsw.MismatchError) as error:
            raise ChangesetUnfit("not made on this state") from error
        except apsw.Error as error:
            raise mapped(error, self._connection) from error
        return self._recorded[mark:]

    # -- inside ------------------------------------------------------------------------------

    def _prepare(self) -> None:
        version = self._connection.pragma("user_version")
        if version == 0:
            with self.transaction():
                self._connection.execute(SCHEMA)
                self._connection.pragma("user_version", VERSION)
        elif version in EARLIER:
            with self.transaction():
                self._connection.execute(EARLIER[version])
                self._connection.pragma("user_version", VERSION)
        elif version != VERSION:
            raise ReplicaError(f"the replica has version {version}: update Lucidnode")
        self._connection.execute(ADDED)
        self._shaded = self.unsynced.newest() > 0
        # The log's own name must survive a power cut. SQLite syncs it when it begins the log, which
        # is no promise of its pages.
        sync_directory(self._path.parent)

    def _note(self, update: apsw.PreUpdate) -> None:
        table = update.table_name
        if self.on_content is not None and (column := _OF_CONTENT.get(table)) is not None:
            for row in (update.old, update.new):
                if row is not None and isinstance(ino := row[column], int):
                    self.on_content(ino)
        if self._before is not None and (undone := before(table, update.old, update.new)):
            self._before.append(undone)
        if self._recorded is not None and table in REPLICATED:
            old, new = update.old, update.new
            if old != new:
                self._recorded.append((table, old, new))  # type: ignore[arg-type]  # no nulls

    def _note_log(self, connection: apsw.Connection, _name: str, pages: int) -> int:
        self.on_commit()
        self._checkpoints.committed(connection, pages)
        return apsw.SQLITE_OK


def _nobody() -> None:
    """Nobody counts commits."""
