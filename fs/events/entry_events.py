"""What one journal entry means to people and pipelines. Pure, but for questions to the names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lucidnode.fs.events.committed_names import CommittedNames, Place
from lucidnode.fs.leases.lease_row import NOBODY
from lucidnode.fs.leases.write_lease import decoded_write_lease
from lucidnode.fs.replica.conflict_name import is_conflict_name
from lucidnode.fs.replica.inode import InodeNo, Kind, Version, is_partial
from lucidnode.fs.replica.intents import MARK, WRITE_LEASE, is_ours
from lucidnode.fs.replica.sqlite.rows import (
    KIND_COLUMN,
    MTIME_COLUMN,
    SIZE_COLUMN,
    VERSION_COLUMN,
    Row,
    RowChange,
)
from lucidnode.fs.write.marks import decoded_mark
from lucidnode.node.client.mount_messages import EventKind, EventState

_DIRECTORY_ATTRIBUTES = (2, 3, 4)
"""Columns of `inode` whose change is told: mode, owner and group. Times of a directory change with
each name in it."""

_FILE_ATTRIBUTES = (*_DIRECTORY_ATTRIBUTES, 7, MTIME_COLUMN)
"""Those of all else: access and modification time, too."""

KIND_WORDS = {
    Kind.FILE: "file",
    Kind.DIRECTORY: "directory",
    Kind.SYMLINK: "symlink",
    Kind.FIFO: "fifo",
    Kind.SOCKET: "socket",
    Kind.CHARACTER: "device",
    Kind.DEVICE: "device",
}


class Happened(NamedTuple):
    """One event, without what all events of its entry have in common."""

    event: EventKind
    kind: str
    path: str
    old_path: str | None = None
    state: EventState = "cloud"
    size: int | None = None


def events_of(changes: Sequence[RowChange], names: CommittedNames) -> list[Happened]:
    """Return what an entry with these *changes* does, in order; *names* stand behind it afterwards.

    In an update, columns that stay are None, except for the key in the old row. First comes what
    goes, from the leaves up, then what is moved, then what is new, from the root down, then
    contents, attributes and states, then conflicts. What lies below a directory that is moved is
    not told of: it moves along.
    """
    return _Entry(changes, names).events()


class _Entry:
    def __init__(self, changes: Sequence[RowChange], names: CommittedNames) -> None:
        self._names = names
        self._inodes: dict[InodeNo, tuple[Row | None, Row | None]] = {}
        self._gone: dict[InodeNo, list[Place]] = {}
        self._come: dict[Place, InodeNo] = {}
        self._marked: list[InodeNo] = []
        self._attributes: dict[InodeNo, None] = {}
        self._locked: dict[InodeNo, EventKind] = {}
        for table, old, new in changes:
            row = old or new
            assert row is not None
            if table not in {"inode", "name", "xattr"}:
                continue
            key = InodeNo(int(row[0]))
            if table == "inode":
                self._inodes[key] = old, new
            elif table == "name":
                place = key, bytes(row[1])
                if old is not None:
                    self._gone.setdefault(InodeNo(int(old[2])), []).append(place)
                if new is not None:
                    self._come[place] = InodeNo(int(new[2]))
            elif table == "xattr" and row[1] == MARK:
                self._marked.append(key)
            elif table == "xattr" and row[1] == WRITE_LEASE:
                self._note_lease(key, old, new)
            elif table == "xattr" and not is_ours(bytes(row[1])):
                self._attributes[key] = None
        self._old_paths = {
            place: names.path(place) for places in self._gone.values() for place in places
        }
        self._nameless = {ino for ino in self._come.values() if not names.names_of(ino)}
        self._kinds = {
            ino: Kind(int(row[KIND_COLUMN]))
            for ino, (old, new) in self._inodes.items()
            if (row := old if new is None else new if old is None else None) is not None
        }
        names.go_on(changes)

    def events(self) -> list[Happened]:
        """Return what the entry does."""
        deleted: list[Happened] = []
        moved: list[Happened] = []
        made: list[Happened] = []
        conflicts: list[Happened] = []
        told: set[InodeNo] = set()
        left = {ino: list(places) for ino, places in self._gone.items()}
        for place, ino in self._come.items():
            path = self._names.path(place)
            before = left.get(ino)
            old = before.pop(0) if before else None
            event: EventKind = (
                "rename" if old is not None else "create" if ino in self._nameless else "link"
            )
            if event == "create":
                told.add(ino)
            (moved if event == "rename" else made).append(
                self._happened(event, ino, path, None if old is None else self._old_paths[old])
            )
            was_conflict = old is not None and is_conflict_name(old[1])
            if is_conflict_name(place[1]) and not was_conflict:
                conflicts.append(self._happened("conflict", ino, path))
            elif was_conflict and not is_conflict_name(place[1]):
                assert old is not None
                conflicts.append(self._happened("settled", ino, self._old_paths[old]))
        for ino, places in left.items():
            for place in places:
                path = self._old_paths[place]
                if place not in self._come:  # else it means another file now, which is told
                    deleted.append(Happened("delete", self._kind(ino), path))
                if is_conflict_name(place[1]):
                    conflicts.append(Happened("settled", self._kind(ino), path))
        deleted.sort(key=lambda one: one.path, reverse=True)
        made.sort(key=lambda one: one.path)
        return [*deleted, *moved, *made, *self._of_files(told), *conflicts]

    def _note_lease(self, ino: InodeNo, old: Row | None, new: Row | None) -> None:
        """Note that a file changed hands: a lease that is only renewed is no event."""
        before, now = (
            None if row is None else decoded_write_lease(bytes(row[2])) for row in (old, new)
        )
        said, says = (
            NOBODY if lease is None else (lease.holder, lease.taken) for lease in (before, now)
        )
        if said != says:
            self._locked[ino] = "unlock" if now is None or now.holder == NOBODY else "lock"

    def _of_files(self, told: set[InodeNo]) -> Iterator[Happened]:
        """Yield what happened to files that were there, but for their names."""
        for ino, (old, new) in self._inodes.items():
            if old is None or new is None or ino in told:
                continue
            kind = self._kind(ino)
            if kind == KIND_WORDS[Kind.FILE] and (
                new[VERSION_COLUMN] is not None or new[SIZE_COLUMN] is not None
            ):
                yield from self._with_path("write", ino, told)
            else:
                columns = (
                    _DIRECTORY_ATTRIBUTES
                    if kind == KIND_WORDS[Kind.DIRECTORY]
                    else _FILE_ATTRIBUTES
                )
                if any(new[column] is not None for column in columns):
                    self._attributes[ino] = None
        for ino in self._attributes:
            yield from self._with_path("attributes", ino, told)
        for ino in self._marked:
            yield from self._with_path("state", ino, told)
        for ino, event in self._locked.items():
            yield from self._with_path(event, ino, set())

    def _with_path(self, event: EventKind, ino: InodeNo, told: set[InodeNo]) -> Iterator[Happened]:
        """Yield *event* of a file that has a name and was not told of yet."""
        places = self._names.names_of(ino)
        if places and ino not in told:
            told.add(ino)
            yield self._happened(event, ino, self._names.path(places[0]))

    def _happened(
        self, event: EventKind, ino: InodeNo, path: str, old_path: str | None = None
    ) -> Happened:
        kind = self._kind(ino)
        if kind != KIND_WORDS[Kind.FILE]:
            return Happened(event, kind, path, old_path)
        new = self._inodes.get(ino, (None, None))[1]
        size = None if new is None or new[SIZE_COLUMN] is None else int(new[SIZE_COLUMN])
        return Happened(event, kind, path, old_path, self._state(ino, new), size)

    def _state(self, ino: InodeNo, new: Row | None) -> EventState:
        if (mark := self._names.mark(ino)) is not None and (found := decoded_mark(mark)):
            return found.state
        version = None if new is None else new[VERSION_COLUMN]
        return "uploading" if version is not None and is_partial(Version(int(version))) else "cloud"

    def _kind(self, ino: InodeNo) -> str:
        return KIND_WORDS[self._kinds.get(ino) or self._names.kind(ino)]
