"""Every operation of the file system, in values of our own: no FUSE, no bytes on any wire.

Names and attributes come from the replica, contents from `Reader` and `Writer`, and this is where
the three are made to look like one file. Listings (directories.py), extended attributes (xattrs.py)
and how long a file is needed (lifetimes.py) are parts of their own.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from lucidnode.fs.errors import FileMissing, Invalid, IsDirectory, NoMoreData
from lucidnode.fs.files.capacity import Capacity, capacity
from lucidnode.fs.files.directories import Directories
from lucidnode.fs.files.file_locks import MAX_LOCKS, FileLocks
from lucidnode.fs.files.file_states import FileStates
from lucidnode.fs.files.kept_listings import KeptListings
from lucidnode.fs.files.killed import unless_killed
from lucidnode.fs.files.lifetimes import FileLifetimes
from lucidnode.fs.files.naming import Naming
from lucidnode.fs.files.opening import Opening
from lucidnode.fs.files.range_changes import RangeChanges
from lucidnode.fs.files.shown_files import ShownFiles
from lucidnode.fs.files.stamps import Stamps
from lucidnode.fs.files.tree_changes import TreeChanges
from lucidnode.fs.files.xattrs import Xattrs
from lucidnode.fs.read.open_files import OpenFile, OpenFiles
from lucidnode.fs.read.reader import Reader
from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import Attributes, InodeNo, Kind
from lucidnode.fs.replica.intents import (
    RENAME_EXCHANGE,
    Create,
    Link,
    Rename,
    Rmdir,
    SetAttributes,
    Unlink,
)
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.replica.tree.name_table import check_length
from lucidnode.fs.write.group_sync import GroupSync
from lucidnode.fs.write.unfinished import Unfinished
from lucidnode.fs.write.unsaved_file import UnsavedAttributes
from lucidnode.fs.write.unsaved_files import UnsavedFiles
from lucidnode.fs.write.write_back import WriteBack
from lucidnode.fs.write.writer import Writer


class Caller(NamedTuple):
    """Who asks."""

    uid: int
    gid: int


class AttributeChanges(NamedTuple):
    """What `set_attributes` shall change: everything that is not None."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None


class FileSystem:
    """One mounted project. Lives in one event loop.

    *touched* is told what changes here without a request for it. *commit_wait* waits until everything done so far is in the bucket, or what was done to one file;
    it is None where an acknowledgement at level `local` is enough. *opening* says who may open a file for
    writing, *naming* who may make a name that nobody else may have. *freshen* reads what others have committed, before each `open`; None where what was read by and by is enough.
    """

    def __init__(
        self,
        *,
        replica: Replica,
        states: FileStates,
        reader: Reader,
        writer: Writer,
        group_sync: GroupSync,
        unsaved: UnsavedFiles,
        write_back: WriteBack,
        unfinished: Unfinished,
        open_files: OpenFiles,
        clock: Stamps,
        lifetimes: FileLifetimes,
        listings: KeptListings,
        touched: Callable[[Touched], None],
        commit_wait: Callable[[InodeNo | None], Coroutine[None, None, None]] | None,
        opening: Opening,
        naming: Naming,
        freshen: Callable[[], Coroutine[None, None, None]] | None,
        read_only: bool,
    ) -> None:
        self._replica = replica
        self._reader = reader
        self._writer = writer
        self._group_sync = group_sync
        self._unsaved = unsaved
        self._write_back = write_back
        self._unfinished = unfinished
        self._open = open_files
        self._clock = clock
        self._commit_wait = commit_wait
        self._opening = opening
        self._naming = naming
        self._freshen = freshen
        self._shown = shown = ShownFiles(replica.tree, unsaved)
        self._changes = TreeChanges(replica, read_only=read_only)
        self.lifetimes = lifetimes
        self.locks = FileLocks(MAX_LOCKS)
        self.directories = Directories(replica.tree, shown, unsaved, open_files, listings)
        self.xattrs = Xattrs(replica.tree, shown, states, self._changes, clock, opening)
        self.ranges = RangeChanges(
            tree=replica.tree,
            shown=shown,
            changes=self._changes,
            reader=reader,
            writer=writer,
            unsaved=unsaved,
            unfinished=unfinished,
            open_files=open_files,
            clock=clock,
            brought_back=self._brought_back,
        )
        self._touched = touched

    # -- attributes --------------------------------------------------------------------------

    def lookup(self, parent: InodeNo, name: bytes) -> Attributes:
        """Return what *name* in *parent* is. Raises FileMissing, NameTooLong."""
        if name in {b".", b".."}:
            return self.attributes(parent if name == b"." else self._shown.parent_of(parent))
        check_length(name)
        found = self._replica.tree.lookup(parent, name)
        if found is None:
            raise FileMissing(name.decode(errors="replace"))
        return self._unsaved.with_pending_size(found)

    def attributes(self, ino: InodeNo) -> Attributes:
        """Return the attributes of *ino*, with what is not saved yet. Raises FileMissing."""
        return self._shown.attributes(ino)

    def occupied(self, attributes: Attributes) -> int:
        """Return the bytes that are stored of a file: see `ShownFiles.occupied`."""
        return self._shown.occupied(attributes)

    def occupied_of(self, files: Sequence[Attributes]) -> list[int]:
        """Return `occupied` of each of *files*."""
        return self._shown.occupied_of(files)

    async def set_attributes(
        self, ino: InodeNo, changes: AttributeChanges, handle: int | None
    ) -> Attributes:
        """Change attributes; *size* first, for it sets the times too.

        *handle* is the one of `ftruncate`, None without.

        Raises FileMissing, IsDirectory, another FileError, ReadOnly or NoSpace.
        """
        if changes.size is not None:
            if self._shown.stored(ino).is_directory:
                raise IsDirectory("a directory has no size")
            self._changes.check_writable()
            if handle is None:
                self._opening.check_free(ino)
            else:
                file = self._open.file(handle)
                file.wrote = True
                ino = file.ino
            ino = self._brought_back(ino)
            await self._cut(ino, changes.size)
        return self.set_attributes_at_once(ino, changes._replace(size=None))

    def set_attributes_at_once(self, ino: InodeNo, changes: AttributeChanges) -> Attributes:
        """Do as `set_attributes`, where no size is among *changes*: there is nothing to wait for."""
        assert changes.size is None
        if any(value is not None for value in changes):
            self._changes.check_writable()
            mode, uid, gid, _, atime_ns, mtime_ns = changes
            set_now = UnsavedAttributes(self._clock.wall_ns(), mode, uid, gid, atime_ns, mtime_ns)
            if not self._writer.keep_attributes(ino, set_now):
                self._changes.apply(SetAttributes(ino, *set_now))
                if mtime_ns is not None:
                    self._writer.time_was_set(ino)
            if mtime_ns is not None:
                self._clock.seen(mtime_ns)
        return self.attributes(ino)

    def now_ns(self) -> int:
        """Return the time that is stamped on what changes now, in ns since 1970."""
        return self._clock.wall_ns()

    def capacity(self) -> Capacity:
        """Return what the project shows of its size and of what it may have."""
        return capacity(*self._replica.tree.usage(), self._writer.quota.now)

    # -- names -------------------------------------------------------------------------------

    def names_at_once(self, parent: InodeNo, name: bytes) -> bool:
        """Tell whether it is known here and now if *name* in *parent* may be made and be nobody else's."""
        if self._naming.admits(parent):
            return True
        # It is there, for all we know: nobody has to be asked for a refusal.
        return self._replica.tree.lookup(parent, name) is not None

    async def exclusively(self, parent: InodeNo, name: bytes, pid: int) -> None:
        """Return once `names_at_once`, in that step. Raises LeaseUndecided, Interrupted, or a FileError."""
        while not self.names_at_once(parent, name):
            self._changes.check_writable()
            self._shown.stored(parent)
            await unless_killed(pid, self._naming.admitted(parent), self._clock)

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
        """Create the file, directory, link or node that the type bits of *mode* say.

        One that nobody else may have needs `exclusively` first, in the same step.
        Raises a FileError, ReadOnly or NoSpace.
        """
        above = self._shown.stored(parent)
        kind = Kind(stat.S_IFMT(mode) >> 12)
        bits, gid = stat.S_IMODE(mode), caller.gid
        if above.mode & stat.S_ISGID:
            gid = above.gid
            bits |= stat.S_ISGID if kind is Kind.DIRECTORY else 0
        ino = self._replica.new_ino()
        now = self._clock.wall_ns()
        lease = self._naming.lease_of_new() if kind is Kind.DIRECTORY else b""
        made = self._changes.apply(
            Create(parent, name, ino, kind, bits, caller.uid, gid, now, rdev, target, lease)
        )
        assert made is not None
        return made

    def create(
        self, parent: InodeNo, name: bytes, mode: int, caller: Caller, flags: int, pid: int
    ) -> tuple[Attributes, tuple[int, bool]]:
        """Create a file and open it: as `make`, and as `open_as_it_is`."""
        made = self.make(parent, name, stat.S_IFREG | stat.S_IMODE(mode), caller)
        if flags & os.O_ACCMODE != os.O_RDONLY:
            self._opening.created(made.ino, name)
        return made, self.open_as_it_is(made.ino, flags, pid)

    def link(self, ino: InodeNo, parent: InodeNo, name: bytes) -> Attributes:
        """Give *ino* one more name, after `exclusively`. Raises a FileError, ReadOnly or NoSpace."""
        self._changes.apply(Link(ino, parent, name, self._clock.wall_ns()))
        return self.attributes(ino)

    def unlink(self, parent: InodeNo, name: bytes) -> None:
        """Take a name away. What is open stays readable and writable through its handles.

        Raises a FileError, ReadOnly or NoSpace.
        """
        found = self._replica.tree.lookup(parent, name)
        if found is not None:
            self._opening.check_free(found.ino)
        keep = found is not None and self._open.is_open(found.ino)
        self._changes.apply(Unlink(parent, name, self._clock.wall_ns(), keep=keep))
        if found is not None:
            self.lifetimes.let_go(found.ino)

    def rmdir(self, parent: InodeNo, name: bytes) -> None:
        """Remove an empty directory. Raises a FileError, ReadOnly or NoSpace."""
        self._changes.apply(Rmdir(parent, name, self._clock.wall_ns()))

    def rename(
        self, parent: InodeNo, name: bytes, new_parent: InodeNo, new_name: bytes, flags: int
    ) -> None:
        """Move a name; *flags* as in renameat2(2), RENAME_NOREPLACE after `exclusively`.

        Raises a FileError, ReadOnly or NoSpace.
        """
        replaced = self._replica.tree.lookup(new_parent, new_name)
        if replaced is not None:
            self._opening.check_free(replaced.ino)
            if not flags & RENAME_EXCHANGE:
                self._opening.follow(replaced.ino, parent, name)
        keep = replaced is not None and self._open.is_open(replaced.ino)
        now = self._clock.wall_ns()
        self._changes.apply(Rename(parent, name, new_parent, new_name, now, flags, keep=keep))
        if replaced is not None:
            self.lifetimes.let_go(replaced.ino)

    def readlink(self, ino: InodeNo) -> bytes:
        """Return where a symbolic link points. Raises FileMissing."""
        return self._replica.tree.readlink(ino)

    async def sync_directory(self) -> None:
        """Return once every change of names so far is durable, and acknowledged at this mount's level.

        Raises as `flush`.
        """
        await self._group_sync.now()
        await self._commit(None)

    # -- contents ----------------------------------------------------------------------------

    async def open(self, ino: InodeNo, flags: int, pid: int = 0) -> tuple[int, bool]:
        """Return a handle, and whether the pages that the kernel holds are still right.

        A file that another node has just deleted, or replaced, can be read as it was; who wants to
        write gets FileMissing, and finds what is in its place.
        Raises FileMissing, IsDirectory, ReadOnly, NoSpace, HeldElsewhere, LeaseUndecided, Interrupted.
        """
        if self._freshen is not None:
            await unless_killed(pid, self._freshened(ino, self._freshen), self._clock)
        await self._admitted(ino, flags, pid)
        if flags & os.O_TRUNC:
            self._check_open(ino, flags)
            if self.attributes(ino).size:
                ino = self._brought_back(ino)
                self._unfinished.emptied(ino)
                await self._writer.truncate(ino, 0)
                await self._admitted(ino, flags, pid)
        return self.open_as_it_is(ino, flags, pid)

    def opens_at_once(self, ino: InodeNo, flags: int) -> bool:
        """Tell whether `open_as_it_is` will do: there is nothing to wait for."""
        if flags & os.O_TRUNC or self._freshen is not None:
            return False
        return flags & os.O_ACCMODE == os.O_RDONLY or self._opening.admits(ino)

    def open_as_it_is(self, ino: InodeNo, flags: int, pid: int = 0) -> tuple[int, bool]:
        """Do as `open`, where it `opens_at_once`."""
        self._check_open(ino, flags)
        writable = flags & os.O_ACCMODE != os.O_RDONLY
        parents = None
        if not writable:
            # Asked of the replica: the kernel looks no name up that it knows from a listing.
            names = self._replica.tree.names_of(ino)
            self._reader.ahead.note_open(names, pid)
            parents = frozenset(parent for parent, _ in names)
        unchanged = self.lifetimes.opened(ino)
        handle = self._open.open(
            ino,
            writable=writable,
            appends=bool(flags & os.O_APPEND),
            pid=pid,
            parents=parents,
        )
        return handle, unchanged

    async def read(self, handle: int, offset: int, length: int) -> bytes | bytearray:
        """Return bytes of an open file: fewer than *length* only at its end.

        Raises FileMissing, Unreadable.
        """
        return await self._reader.read(self._open.file(handle), offset, length)

    def begin_read(
        self, handle: int, offset: int, length: int
    ) -> bytes | Coroutine[Any, Any, bytes | bytearray]:
        """Return what `read` does if there is nothing to wait for; else what will return it."""
        return self._reader.begin(self._open.file(handle), offset, length)

    async def seek(self, handle: int, offset: int, whence: int) -> int:
        """Return where data or a hole begins at or after *offset*: SEEK_DATA, SEEK_HOLE of lseek(2).

        A file that somebody here may write to is all data: what was written through a map may be
        in the kernel's pages alone, and a copy must not take it for a hole.
        Raises NoMoreData, Invalid, FileMissing.
        """
        ino = self._open.file(handle).ino
        if whence not in {os.SEEK_DATA, os.SEEK_HOLE}:
            raise Invalid("only data and holes can be sought")
        data = whence == os.SEEK_DATA
        if self._open.is_written(ino):
            size = self.attributes(ino).size
            if offset >= size:
                raise NoMoreData("behind the end")
            return offset if data else size
        return await self._reader.seek(ino, offset, data=data)

    async def write(
        self, handle: int, offset: int, data: bytes | memoryview, *, in_place: bool = False
    ) -> int:
        """Take *data* at *offset*, or at the end of a file opened to append; return its length.

        With *in_place* it stays at *offset* all the same: it comes from a map, with whatever handle the
        kernel has chosen, or the program appends no more.

        The kernel appends where it believes the end to be, and does not know what other nodes
        have appended since it last asked. Raises ReadOnly, FileTooBig, FileMissing, NoSpace.
        """
        self._changes.check_writable()
        file = self._open.file(handle)
        file.wrote = True
        # That may take a while, and a conflict move the handle: which file it is is asked after it.
        await self._writer.room_for(len(data))
        self._brought_back(file.ino)
        appends = file.appends and not in_place
        await self._writer.write(file.ino, None if appends else offset, data)
        return len(data)

    def is_writable(self, handle: int) -> bool:
        """Tell whether anything can be written through *handle*, as far as it is known."""
        file = self._open.get(handle)
        return file is None or file.writable

    async def flush(self, handle: int) -> None:
        """Acknowledge at this mount's level what was written to the file of *handle*: `close`.

        Of one that was only emptied nothing goes to the bucket before more comes, or the last
        handle goes: nobody waits for that.

        Raises NoSpace, ReplicaError, ReadOnly, Interrupted.
        """
        file = self._open.file(handle)
        if file.writable and self._has_name(file):
            await self._writer.flush(file.ino)
            if not self._unfinished.is_only_emptied(file.ino):
                await self._commit(file.ino, file.pid)

    async def sync(self, handle: int) -> None:
        """Acknowledge everything of the file: `fsync`. It is durable, whatever the mount's level.

        Raises as `flush`.
        """
        file = self._open.file(handle)
        self._opening.shown_unclosed(file.ino)
        await self._writer.sync(file.ino)
        self._unfinished.ended(file.ino)
        await self._commit(file.ino, file.pid)

    def release(self, handle: int) -> None:
        """Close *handle*. With the last one, what its file has unsaved is saved soon.

        Raises ReadOnly or NoSpace if a file without a name cannot be forgotten.
        """
        file = self._open.file(handle)
        if file.wrote or file.pattern.begun:
            self.directories.attributes_forgotten(file.ino, file.parents)
        ino = self._open.release(handle)
        if ino is not None:
            self.lifetimes.let_go(ino)
            # Bytes that came through a map after the last `flush`: no other call follows.
            self._write_back.save_soon(ino)
            if not self._unsaved.is_dirty(ino):
                self._unfinished.ended(ino)

    # ----------------------------------------------------------------------------------------

    async def _admitted(self, ino: InodeNo, flags: int, pid: int) -> None:
        """Return once *ino* may be opened with *flags*, in that step."""
        if flags & os.O_ACCMODE == os.O_RDONLY and not flags & os.O_TRUNC:
            return
        while not self._opening.admits(ino):
            self._check_open(ino, flags)
            await unless_killed(pid, self._opening.admitted(ino), self._clock)

    async def _freshened(
        self, ino: InodeNo, freshen: Callable[[], Coroutine[None, None, None]]
    ) -> None:
        """Read what others have committed. Raises FileMissing if *ino* has no name any more."""
        had_name = self._replica.tree.names_of(ino)
        await freshen()
        if had_name and not self._replica.tree.names_of(ino):
            raise FileMissing("another file has its name now")

    def _brought_back(self, ino: InodeNo) -> InodeNo:
        """Return the file to write to in the place of *ino*.

        If another node has deleted it, a new content of it is arriving from there, or it has the file
        for itself now, that is a file of its own with the content that is shown; open handles of *ino* belong to it from now on.
        """
        if not self._replica.former.is_former(ino) and not self._open.is_fenced(ino):
            return ino
        touched = self._replica.former.bring_back(ino, self._clock.wall_ns())
        self._touched(touched)
        return touched.moved.get(ino, ino)

    def _check_open(self, ino: InodeNo, flags: int) -> None:
        if self._shown.stored(ino).is_directory:
            raise IsDirectory("a directory cannot be opened as a file")
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            self._changes.check_writable()
            if self._replica.former.is_kept(ino):
                raise FileMissing("the file was deleted")

    def _has_name(self, file: OpenFile) -> bool:
        # Nobody can reach a file without a name after a crash: nothing of it needs to be durable.
        stored = self._replica.tree.attributes(file.ino)
        return stored is None or stored.nlink > 0

    async def _cut(self, ino: InodeNo, size: int) -> None:
        if self._open.is_written(ino):
            self._unfinished.recorded(ino)
        await self._writer.truncate(ino, size)

    async def _commit(self, ino: InodeNo | None, pid: int = 0) -> None:
        """Wait for the bucket, if this mount promises that, as long as *pid* does."""
        if self._commit_wait is not None:
            await unless_killed(pid, self._commit_wait(ino), self._clock)
