"""The door to APSW: an encrypted SQLite database that tells which rows each operation changed.

Nothing readable reaches the disk: SQLite3MultipleCiphers encrypts and authenticates every page of
the database and of its write-ahead log, and temporary tables stay in memory.

Row changes are collected by the pre-update hook, on which SQLite's own sessions are built too, and
become changesets through APSW's builder. A session object for each operation gives the same bytes
but reads the schema again each time: 45 us for a create, against 4 us by the hook.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import apsw

from lucidnode.fs.errors import (
    FsError,
    NoSpace,
    ReplicaBusy,
    ReplicaCorrupt,
    ReplicaError,
    ReplicaKeyWrong,
)
from lucidnode.fs.replica.rows import KEY_COLUMNS, RowChange, key_of
from lucidnode.fs.replica.schema import ADDED, REPLICATED, SCHEMA, VERSION
from lucidnode.fs.replica.unsynced import Before, Unsynced, before
from lucidnode.node.client.clock import boot_id
from lucidnode.node.client.durable import sync_directory
from lucidnode.node.client.ids import BlockId

_PAGE = 2048
"""Bytes. A create dirties five pages wherever they lie: at 4096 its commit took half again."""

_CHECKPOINT_PAGES = 8192
"""Log pages (16 MiB) after which a checkpoint is worth its two fsyncs."""

_BLOCKING_PAGES = 4 * _CHECKPOINT_PAGES
"""Log pages after which a commit checkpoints by itself: writes outran the background for long. It
takes about half a second then."""

_LOG_BYTES = _CHECKPOINT_PAGES * _PAGE
"""What is left of the log's file when it starts over."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_IS_FULL = "the disk that holds the replica is full"

Binding = int | bytes | str | None

_KEYS = {table: set(range(count)) for table, count in KEY_COLUMNS.items()}
"""The places of the key of each replicated table."""

_HEADERS = {
    table: bytes([ord("T"), len(types)])
    + bytes(place + 1 if place < KEY_COLUMNS[table] else 0 for place in range(len(types)))
    + table.encode()
    + b"\0"
    for table, types in REPLICATED.items()
}
"""How the changes of each replicated table begin in a changeset."""

_OPERATIONS = {(True, False): b"\x12\0", (False, True): b"\x09\0", (False, False): b"\x17\0"}
"""How a change begins, by whether it lacks (an old row, a new row)."""


_OF_CONTENT = {"inode": 0, "extent": 0, "tail": 1}
"""The tables that make the content of files, and where in a row the inode is."""


class ChangesetUnfit(Exception):
    """A changeset that counts as empty: made on another state, or against the rules of format 1."""


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
        self._recorded: list[RowChange] | None = None
        self.unsynced = Unsynced(self)
        """What a power cut may take back; forgotten and undone by `synced` and `take_back`."""
        self._shaded = False
        """Whether there is any, so that all that comes after it may be undone with it."""
        self._before: list[Before] | None = None
        self.on_commit: Callable[[], None] = _nobody
        """Called after every commit."""
        self._checkpointer: apsw.Connection | None = None
        self._checkpointing = threading.Lock()
        self.on_content: Callable[[int], None] | None = None
        """Told of each file of which a row that makes its content is changed, also in vain."""
        connection.preupdate_hook(self._note)
        connection.set_wal_hook(self._note_log)

    @classmethod
    def open(cls, path: Path, key: bytes) -> Self:
        """Open the replica at *path* under the 32-byte *key*; an absent one is created."""
        with contextlib.ExitStack() as undo, _mapped_errors():
            lock = _locked(path.with_name(path.name + "-lock"))
            undo.callback(os.close, lock)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = _connected(path, key)
            undo.callback(connection.close)
            database = cls(path, key, connection, lock)
            with _mapped_errors(connection):
                database._prepare()
            undo.pop_all()
        return database

    def close(self) -> None:
        """Checkpoint and close, after a checkpoint that is under way."""
        with self._checkpointing:
            if self._checkpointer is not None:
                self._checkpointer.close()
            self._connection.close()
        os.close(self._lock)

    @property
    def files(self) -> list[Path]:
        """The database and its write-ahead log, which SQLite keeps as long as they are open."""
        return [self._path, self.log_path]

    @property
    def log_path(self) -> Path:
        """The write-ahead log: once it is fsynced, so is everything committed before."""
        return self._path.with_name(self._path.name + "-wal")

    # -- statements --------------------------------------------------------------------------

    def rows(self, sql: str, bindings: Sequence[Binding] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows."""
        try:
            return self._connection.execute(sql, bindings).fetchall()
        except apsw.Error as error:
            raise _mapped(error, self._connection) from error

    def stream(self, sql: str, bindings: Sequence[Binding] = ()) -> Iterator[tuple[Any, ...]]:
        """Run one query and yield its rows as they are found; change nothing meanwhile."""
        try:
            yield from self._connection.execute(sql, bindings)
        except apsw.Error as error:
            raise _mapped(error, self._connection) from error

    def row(self, sql: str, bindings: Sequence[Binding] = ()) -> tuple[Any, ...] | None:
        """Run one statement and return its first row, or None if there is none."""
        found = self.rows(sql, bindings)
        return found[0] if found else None

    def change(self, sql: str, bindings: Sequence[Binding] = ()) -> int:
        """Run one INSERT, UPDATE or DELETE and return how many rows it changed."""
        try:
            self._connection.execute(sql, bindings)
            return self._connection.changes()
        except apsw.Error as error:
            raise _mapped(error, self._connection) from error

    @contextlib.contextmanager
    def transaction(self, loose: Collection[BlockId] = ()) -> Iterator[list[RowChange]]:
        """All or nothing; yields the growing list of changes to replicated rows.

        It may name the blocks *loose*, which a power cut may take until `synced`.
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
            raise
        finally:
            self._recorded = self._before = None

    def synced(self, mark: int) -> None:
        """Note that the blocks of all that is unsynced up to *mark* are on the disk."""
        with self._unrecorded():
            self.unsynced.forget(mark)

    def take_back(self, first: int) -> None:
        """Undo the transaction *first* of those unsynced, and all after it."""
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

    # -- changesets --------------------------------------------------------------------------

    def changeset(self, changes: Sequence[RowChange]) -> bytes:
        """Return *changes*, in order, as one SQLite changeset; empty if they cancel out."""
        builder = apsw.ChangesetBuilder()  # type: ignore[no-untyped-call]  # a gap in its stubs
        with _mapped_errors(self._connection):
            builder.schema(self._connection, "main")
            for table, old, new in changes:
                if old is None and new is not None:
                    builder.add_insert(table, False, new)
                elif new is None and old is not None:
                    builder.add_delete(table, False, old)
                elif old is not None and new is not None:
                    builder.add_update(table, False, *_difference(table, old, new))
            return builder.output()

    def undo(self, changes: Sequence[RowChange]) -> None:
        """Take *changes* back; they must be the newest there are. A misfit is a broken replica."""
        if combined := self.changeset(changes):
            try:
                self.apply(apsw.Changeset.invert(combined))
            except ChangesetUnfit as error:
                raise ReplicaCorrupt("pending operations do not fit their own undo") from error

    def apply(self, changeset: bytes) -> list[RowChange]:
        """Apply *changeset* whole and return the rows it changed, or raise Unfit with none changed.

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
            raise _mapped(error, self._connection) from error
        return self._recorded[mark:]

    # -- durability --------------------------------------------------------------------------

    def _checkpoint_beside(self) -> None:
        """Move the log into the database file, in a thread of its own, while work goes on here.

        Best effort: if it fails, the log stays long and nothing is lost.
        """
        if not self._checkpointing.acquire(blocking=False):
            return
        threading.Thread(target=self._checkpoint, name="checkpoint", daemon=True).start()

    def _checkpoint(self) -> None:
        try:
            with contextlib.suppress(apsw.Error, FsError):
                if self._checkpointer is None:
                    self._checkpointer = _connected(self._path, self._key)
                self._checkpointer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                # What was written meanwhile keeps the log from starting over, so under load it
                # would never. That little is moved while writers wait, for two short fsyncs.
                self._checkpointer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        finally:
            self._checkpointing.release()

    # -- inside ------------------------------------------------------------------------------

    def _prepare(self) -> None:
        version = self._connection.pragma("user_version")
        if version == 0:
            with self.transaction():
                self._connection.execute(SCHEMA)
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
        if pages >= _CHECKPOINT_PAGES:
            self._checkpoint_beside()
        if pages >= _BLOCKING_PAGES:
            # An error here must not look like a failed commit; a full disk fails the next write.
            with self._checkpointing, contextlib.suppress(apsw.Error):
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        return apsw.SQLITE_OK


def changes_in(changeset: bytes, most: int) -> list[RowChange]:
    """Return the changes in a *changeset* from outside; raises Unfit if it is none of ours.

    No more than *most* rows are looked at: a changeset that has more is refused. Stricter than
    SQLite, which converts what it can and leaves out what it does not know: tables and keys are
    ours, each table comes once (for each change of table SQLite prepares its statements anew),
    every value has the type of its column, and no row is there twice. In an update, columns that
    stay are None, except for the key in the old row.
    """
    changes: list[RowChange] = []
    keys = set()
    tables: list[str] = []
    spelled: list[bytes] = []
    try:
        for change in apsw.Changeset.iter(changeset):
            if len(changes) == most:
                raise ChangesetUnfit(f"more than {most} rows")
            table = change.name
            types = REPLICATED.get(table, ())
            if len(types) != change.column_count or change.pk_columns != _KEYS[table]:
                raise ChangesetUnfit("another set of tables")
            if not tables or tables[-1] != table:
                if table in tables:
                    raise ChangesetUnfit("a table that comes twice")
                tables.append(table)
                spelled.append(_HEADERS[table])
            old, new = _checked(change.old, types), _checked(change.new, types)
            found: RowChange = (table, old, new)
            if old is not None and new is not None:
                _check_update(table, old, new)
            elif None in (old or new or (None,)):
                raise ChangesetUnfit("a row with gaps")
            key = key_of(found)
            if key in keys:
                raise ChangesetUnfit("a row twice")
            keys.add(key)
            changes.append(found)
            spelled += (_OPERATIONS[old is None, new is None], _spelled(old), _spelled(new))
    except (apsw.Error, UnicodeDecodeError) as error:
        raise ChangesetUnfit("not a changeset") from error
    # SQLite passes over what says nothing, such as tables without rows; there is one spelling here.
    if b"".join(spelled) != changeset:
        raise ChangesetUnfit("bytes that say nothing")
    return changes


def _spelled(row: tuple[Any, ...] | None) -> bytes:
    """Return *row* as a changeset has it."""
    if row is None:
        return b""
    return b"".join(
        [
            b"\0"
            if value is None
            else b"\1" + value.to_bytes(8, signed=True)
            if type(value) is int
            else b"\4" + _varint(len(value)) + value
            for value in row
        ]
    )


def _varint(number: int) -> bytes:
    """Return *number* as SQLite writes it: seven bits a byte, the highest first."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F | 0x80)
    return bytes(reversed(groups))


def _checked(
    row: tuple[Any, ...] | None, types: tuple[type[int | bytes], ...]
) -> tuple[Any, ...] | None:
    if row is None or tuple(map(type, row)) == types:
        return row
    for value, kind in zip(row, types, strict=True):
        if value is not apsw.no_change and type(value) is not kind:
            raise ChangesetUnfit("a value of another type")
    return tuple(None if value is apsw.no_change else value for value in row)


def _check_update(table: str, old: tuple[Any, ...], new: tuple[Any, ...]) -> None:
    keys = KEY_COLUMNS[table]
    if None in old[:keys] or new[:keys] != (None,) * keys:
        raise ChangesetUnfit("an update of a key")
    if any((was is None) != (now is None) for was, now in zip(old[keys:], new[keys:], strict=True)):
        raise ChangesetUnfit("an update with half a column")
    if new == (None,) * len(new):
        raise ChangesetUnfit("an update of nothing")


def _difference(
    table: str, old: tuple[int | bytes, ...], new: tuple[int | bytes, ...]
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    # The key travels in the old row only; columns that stay travel in neither.
    keys = KEY_COLUMNS[table]
    before = [
        value if place < keys or value != new[place] else apsw.no_change
        for place, value in enumerate(old)
    ]
    after = [value if value != old[place] else apsw.no_change for place, value in enumerate(new)]
    return tuple(before), tuple(after)


def _connected(path: Path, key: bytes) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.pragma("cipher", "aegis")
        connection.pragma("key", f"raw:{key.hex()}")
        connection.pragma("page_size", _PAGE)
        connection.pragma("temp_store", "memory")
        # Commits survive a crash of the process at once, and a power cut after `Barrier.wait`.
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "normal")
        connection.pragma("journal_size_limit", _LOG_BYTES)
        connection.pragma("cache_size", -32 * 1024)
        connection.pragma("cell_size_check", True)
        # Zeroing what is deleted protects plain files; here it only wrote more pages.
        connection.pragma("secure_delete", False)
        connection.set_busy_timeout(5000)
    except apsw.Error as error:
        mapped = _mapped(error, connection)
        connection.close()
        raise mapped from error
    return connection


def _locked(path: Path) -> int:
    # A file of its own: closing any descriptor of the database itself would drop SQLite's locks.
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise ReplicaBusy(f"another process has {path} open") from error
    return lock


@contextlib.contextmanager
def _mapped_errors(connection: apsw.Connection | None = None) -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise _mapped(error, connection) from error
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace(_IS_FULL) from error
        raise


def _mapped(error: apsw.Error, connection: apsw.Connection | None) -> FsError:
    match error:
        case apsw.FullError():
            return NoSpace(_IS_FULL)
        case apsw.IOError() | apsw.CantOpenError() if _says_full(error, connection):
            return NoSpace(_IS_FULL)
        case apsw.NotADBError():
            return ReplicaKeyWrong("the key does not open the replica")
        case apsw.CorruptError():
            return ReplicaCorrupt(f"the replica is damaged: {error}")
        case apsw.BusyError() | apsw.LockedError():
            return ReplicaBusy(f"the replica is in use: {error}")
        case _:
            return ReplicaError(f"the replica failed: {error}")


def _says_full(error: apsw.Error, connection: apsw.Connection | None) -> bool:
    """Tell whether an I/O error is a full disk by another name.

    SQLite calls a write without room FULL, but not the index of its log that cannot grow, a file
    that cannot be made for want of an inode, or a quota that is used up.
    """
    if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE:
        return True
    if connection is None:
        return False
    if isinstance(error, apsw.CantOpenError):
        # It tries once more, to read only; so the error of the system is another one by now.
        disk = os.statvfs(Path(connection.filename).parent)
        return disk.f_bavail == 0 or (disk.f_files > 0 and disk.f_favail == 0)
    return connection.system_errno in _FULL


def _nobody() -> None:
    """Nobody counts commits."""
