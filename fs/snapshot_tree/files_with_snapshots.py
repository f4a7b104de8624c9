"""A mounted project with its snapshots below `.snapshots`: to the kernel, one file system.

What is asked of a file of now goes to the project's own, what is asked of one in a snapshot to that of
its state, under the number that it has there. A snapshot is looked into only once its state is open:
whoever passes requests on has it opened before (`to_open`). Nothing here can be changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import count
from typing import Any

import msgspec

from lucidnode.fs.errors import IsDirectory, NoAttribute, OtherTree, ReadOnly
from lucidnode.fs.files.capacity import Capacity
from lucidnode.fs.files.file_locks import MAX_LOCKS, FileLocks
from lucidnode.fs.files.file_states import STATE_XATTR
from lucidnode.fs.files.file_system import AttributeChanges, Caller, FileSystem
from lucidnode.fs.replica.inode import ROOT, Attributes, InodeNo
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.fs.snapshot_tree.open_states import OpenStates
from lucidnode.fs.snapshot_tree.past_directories import PastDirectories
from lucidnode.fs.snapshot_tree.past_files import PastFiles
from lucidnode.fs.snapshot_tree.snapshot_names import NAME, ShownSnapshot, SnapshotNames
from lucidnode.fs.snapshot_tree.snapshot_numbers import SNAPSHOTS, SnapshotNumbers
from lucidnode.node.client.ids import Seq

_FIRST_HANDLE = 1 << 62
"""Handles of files of now are counted from 1."""


class FilesWithSnapshots:
    """What `FileSystem` is to a mount without snapshots. Lives in one event loop.

    *shown* returns the snapshots that there are now. With *visible* the root lists the directory.
    """

    def __init__(
        self,
        now: FileSystem,
        tree: TreeReader,
        states: OpenStates,
        shown: Callable[[], list[ShownSnapshot]],
        *,
        visible: bool,
    ) -> None:
        handles: Iterator[int] = count(_FIRST_HANDLE)
        numbers = SnapshotNumbers()
        self._now = now
        self._tree = tree
        self._states = states
        self._names = SnapshotNames(tree, numbers, shown)
        self._past = PastFiles(now, numbers, self._names, states, handles)
        self.lifetimes = _Lifetimes(now, numbers)
        self.locks = now.locks
        self.past_locks = FileLocks(MAX_LOCKS)
        """Locks in snapshots: nobody writes there, so each mount has its own."""
        self.directories = PastDirectories(
            now.directories, self._past, self._names, handles, visible=visible
        )
        self.xattrs = _Xattrs(now, self._past)
        self.ranges = _Ranges(now, self._past)

    def to_open(self, ino: InodeNo, *, within: bool) -> Seq | None:
        """Return the state that has to be opened before *ino* is asked for; None if nothing has.

        The directory of a snapshot needs none, unless somebody looks *within*.
        """
        if ino <= SNAPSHOTS or not self._past.has(ino):
            return None
        file = self._past.place(ino)
        if file.ino == ROOT and not within:
            return None
        return None if self._states.get(file.seq) is not None else file.seq

    async def open_state(self, seq: Seq) -> None:
        """Open it: see `to_open`. Raises Unreadable."""
        await self._states.open(seq)

    # -- attributes and names ------------------------------------------------------------------

    def lookup(self, parent: InodeNo, name: bytes) -> Attributes:
        """As `FileSystem.lookup`."""
        if parent < SNAPSHOTS:
            if parent == ROOT and name == NAME:
                return self._names.directory()
            return self._now.lookup(parent, name)
        if parent == SNAPSHOTS:
            if name in {b".", b".."}:
                return self._names.directory() if name == b"." else self._now.attributes(ROOT)
            return self._names.lookup(name)
        state, file = self._past.file(parent)
        if name == b".." and file.ino == ROOT:
            return self._names.directory()
        return self._past.shown(file, state.files.lookup(file.ino, name))

    def attributes(self, ino: InodeNo) -> Attributes:
        """As `FileSystem.attributes`."""
        if ino < SNAPSHOTS:
            return self._now.attributes(ino)
        if ino == SNAPSHOTS:
            return self._names.directory()
        if (place := self._past.place(ino)).ino == ROOT:
            return self._names.root(place.seq, place.snapshot)
        state, file = self._past.file(ino)
        return self._past.shown(file, state.files.attributes(file.ino))

    def occupied(self, attributes: Attributes) -> int:
        """As `FileSystem.occupied`."""
        if attributes.ino < SNAPSHOTS:
            return self._now.occupied(attributes)
        if attributes.is_directory:
            return 0
        state, file = self._past.file(attributes.ino)
        return state.files.occupied(msgspec.structs.replace(attributes, ino=file.ino))

    def occupied_of(self, files: Sequence[Attributes]) -> list[int]:
        """As `FileSystem.occupied_of`."""
        if any(file.ino >= SNAPSHOTS for file in files):
            return [self.occupied(file) for file in files]
        return self._now.occupied_of(files)

    async def set_attributes(
        self, ino: InodeNo, changes: AttributeChanges, handle: int | None
    ) -> Attributes:
        """As `FileSystem.set_attributes`."""
        _check_now(ino)
        return await self._now.set_attributes(ino, changes, handle)

    def set_attributes_at_once(self, ino: InodeNo, changes: AttributeChanges) -> Attributes:
        """As `FileSystem.set_attributes_at_once`."""
        _check_now(ino)
        return self._now.set_attributes_at_once(ino, changes)

    def now_ns(self) -> int:
        """As `FileSystem.now_ns`."""
        return self._now.now_ns()

    def capacity(self) -> Capacity:
        """As `FileSystem.capacity`: of the project as it is now."""
        return self._now.capacity()

    def shown_path(self, ino: InodeNo) -> str:
        """Return a path of *ino*, for people."""
        if ino < SNAPSHOTS:
            return self._tree.shown_path(ino)
        parts = [NAME.decode()]
        if ino != SNAPSHOTS and self._past.has(ino):
            parts.append(self._past.place(ino).snapshot.decode(errors="replace"))
        return "/".join(parts)

    def names_at_once(self, parent: InodeNo, name: bytes) -> bool:
        """As `FileSystem.names_at_once`: it is known at once where it is refused."""
        return _is_past(parent, name) or self._now.names_at_once(parent, name)

    async def exclusively(self, parent: InodeNo, name: bytes, pid: int) -> None:
        """As `FileSystem.exclusively`."""
        _check_now(parent, name)
        await self._now.exclusively(parent, name, pid)

    def make(
        self,
        parent: InodeNo,
        name: bytes,
        mode: int,
        caller: Caller,
        *,
        rdev: int = 0,
        target: bytes = b"",
    ) -> Attributes:
        """As `FileSystem.make`."""
        _check_now(parent, name)
        return self._now.make(parent, name, mode, caller, rdev=rdev, target=target)

    def create(
        self, parent: InodeNo, name: bytes, mode: int, caller: Caller, flags: int, pid: int
    ) -> tuple[Attributes, tuple[int, bool]]:
        """As `FileSystem.create`."""
        _check_now(parent, name)
        return self._now.create(parent, name, mode, caller, flags, pid)

    def link(self, ino: InodeNo, parent: InodeNo, name: bytes) -> Attributes:
        """As `FileSystem.link`. Raises OtherTree for a file of a snapshot."""
        _check_now(parent, name)
        if ino >= SNAPSHOTS:
            raise OtherTree("a file of a snapshot gets no name in the project: copy it")
        return self._now.link(ino, parent, name)

    def unlink(self, parent: InodeNo, name: bytes) -> None:
        """As `FileSystem.unlink`."""
        _check_now(parent, name)
        self._now.unlink(parent, name)

    def rmdir(self, parent: InodeNo, name: bytes) -> None:
        """As `FileSystem.rmdir`."""
        _check_now(parent, name)
        self._now.rmdir(parent, name)

    def rename(
        self, parent: InodeNo, name: bytes, new_parent: InodeNo, new_name: bytes, flags: int
    ) -> None:
        """As `FileSystem.rename`."""
        _check_now(parent, name)
        _check_now(new_parent, new_name)
        self._now.rename(parent, name, new_parent, new_name, flags)

    def readlink(self, ino: InodeNo) -> bytes:
        """As `FileSystem.readlink`."""
        if ino < SNAPSHOTS:
            return self._now.readlink(ino)
        state, file = self._past.file(ino)
        return state.files.readlink(file.ino)

    async def sync_directory(self) -> None:
        """As `FileSystem.sync_directory`."""
        await self._now.sync_directory()

    # -- contents ------------------------------------------------------------------------------

    async def open(self, ino: InodeNo, flags: int, pid: int = 0) -> tuple[int, bool]:
        """As `FileSystem.open`."""
        if ino < SNAPSHOTS:
            return await self._now.open(ino, flags, pid)
        return self.open_as_it_is(ino, flags, pid)

    def opens_at_once(self, ino: InodeNo, flags: int) -> bool:
        """As `FileSystem.opens_at_once`."""
        return ino >= SNAPSHOTS or self._now.opens_at_once(ino, flags)

    def open_as_it_is(self, ino: InodeNo, flags: int, pid: int = 0) -> tuple[int, bool]:
        """As `FileSystem.open_as_it_is`."""
        if ino < SNAPSHOTS:
            return self._now.open_as_it_is(ino, flags, pid)
        if ino == SNAPSHOTS:
            raise IsDirectory("a directory cannot be opened as a file")
        if flags & (os.O_ACCMODE | os.O_TRUNC):
            raise _unchangeable()
        state, file = self._past.file(ino)
        inner, unchanged = state.files.open_as_it_is(file.ino, flags, pid)
        return self._past.opened(state, file, inner), unchanged

    async def read(self, handle: int, offset: int, length: int) -> bytes | bytearray:
        """As `FileSystem.read`."""
        if (opened := self._past.handle(handle)) is not None:
            return await opened.state.files.read(opened.inner, offset, length)
        return await self._now.read(handle, offset, length)

    def begin_read(
        self, handle: int, offset: int, length: int
    ) -> bytes | Coroutine[Any, Any, bytes | bytearray]:
        """As `FileSystem.begin_read`."""
        if (opened := self._past.handle(handle)) is not None:
            return opened.state.files.begin_read(opened.inner, offset, length)
        return self._now.begin_read(handle, offset, length)

    async def seek(self, handle: int, offset: int, whence: int) -> int:
        """As `FileSystem.seek`."""
        if (opened := self._past.handle(handle)) is not None:
            return await opened.state.files.seek(opened.inner, offset, whence)
        return await self._now.seek(handle, offset, whence)

    async def write(
        self, handle: int, offset: int, data: bytes | memoryview, *, in_place: bool = False
    ) -> int:
        """As `FileSystem.write`."""
        self._check_handle(handle)
        return await self._now.write(handle, offset, data, in_place=in_place)

    def is_writable(self, handle: int) -> bool:
        """As `FileSystem.is_writable`."""
        return self._past.handle(handle) is None and self._now.is_writable(handle)

    async def flush(self, handle: int) -> None:
        """As `FileSystem.flush`."""
        if self._past.handle(handle) is None:
            await self._now.flush(handle)

    async def sync(self, handle: int) -> None:
        """As `FileSystem.sync`."""
        if self._past.handle(handle) is None:
            await self._now.sync(handle)

    def release(self, handle: int) -> None:
        """As `FileSystem.release`."""
        if (opened := self._past.handle(handle)) is None:
            self._now.release(handle)
            return
        self._past.released(handle)
        opened.state.files.release(opened.inner)

    def _check_handle(self, handle: int) -> None:
        if self._past.handle(handle) is not None:
            raise _unchangeable()


class _Lifetimes:
    """What `FileLifetimes` is: a directory of a snapshot is asked for by number as well."""

    def __init__(self, now: FileSystem, numbers: SnapshotNumbers) -> None:
        self._now = now.lifetimes
        self._numbers = numbers

    def count_lookup(self, found: Attributes) -> None:
        """As `FileLifetimes.count_lookup`."""
        if found.ino > SNAPSHOTS:
            self._numbers.count_lookup(found.ino)
        elif found.ino < SNAPSHOTS:
            self._now.count_lookup(found)

    def count_lookups(self, found: Sequence[Attributes]) -> None:
        """As `FileLifetimes.count_lookups`."""
        for each in found:
            self.count_lookup(each)

    def forget_lookups(self, ino: InodeNo, count: int) -> None:
        """As `FileLifetimes.forget_lookups`."""
        if ino < SNAPSHOTS:
            self._now.forget_lookups(ino, count)
        else:
            self._numbers.forget_lookups(ino, count)


class _Xattrs:
    """What `Xattrs` is."""

    def __init__(self, now: FileSystem, past: PastFiles) -> None:
        self._now = now.xattrs
        self._past = past

    def get(self, ino: InodeNo, name: bytes) -> bytes:
        """As `Xattrs.get`."""
        if ino < SNAPSHOTS:
            return self._now.get(ino, name)
        if self._is_bare(ino):
            if name == STATE_XATTR:
                return b"cloud"
            raise NoAttribute("the directory of a snapshot has none")
        state, file = self._past.file(ino)
        return state.files.xattrs.get(file.ino, name)

    def names(self, ino: InodeNo) -> list[bytes]:
        """As `Xattrs.names`."""
        if ino < SNAPSHOTS:
            return self._now.names(ino)
        if self._is_bare(ino):
            return []
        state, file = self._past.file(ino)
        return state.files.xattrs.names(file.ino)

    async def set_or_order(self, ino: InodeNo, name: bytes, value: bytes, pid: int) -> None:
        """As `Xattrs.set_or_order`."""
        _check_now(ino)
        await self._now.set_or_order(ino, name, value, pid)

    def remove(self, ino: InodeNo, name: bytes) -> None:
        """As `Xattrs.remove`."""
        _check_now(ino)
        self._now.remove(ino, name)

    def _is_bare(self, ino: InodeNo) -> bool:
        return ino == SNAPSHOTS or self._past.place(ino).ino == ROOT


class _Ranges:
    """What `RangeChanges` is."""

    def __init__(self, now: FileSystem, past: PastFiles) -> None:
        self._now = now.ranges
        self._past = past

    async def copy(self, source: int, start: int, target: int, at: int, length: int) -> int:
        """As `RangeChanges.copy`. Raises OtherTree from a snapshot: the kernel then copies itself."""
        if self._past.handle(target) is not None:
            raise _unchangeable()
        if self._past.handle(source) is not None:
            raise OtherTree("what lies in a snapshot is copied by reading it")
        return await self._now.copy(source, start, target, at, length)

    async def allocate(self, handle: int, offset: int, length: int, mode: int) -> None:
        """As `RangeChanges.allocate`."""
        if self._past.handle(handle) is not None:
            raise _unchangeable()
        await self._now.allocate(handle, offset, length, mode)


ServedFiles = FileSystem | FilesWithSnapshots
"""What a mount serves."""


def _is_past(ino: InodeNo, name: bytes | None = None) -> bool:
    return ino >= SNAPSHOTS or (ino == ROOT and name == NAME)


def _check_now(ino: InodeNo, name: bytes | None = None) -> None:
    """Raise ReadOnly unless *ino*, or *name* in it, is of now."""
    if _is_past(ino, name):
        raise _unchangeable()


def _unchangeable() -> ReadOnly:
    return ReadOnly("a snapshot cannot be changed")
