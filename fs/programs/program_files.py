"""What programs without a mount do with a project: paths in, whole files out.

Nothing of a content that is being written has its name before it is whole: it is a file beside it,
and takes the name in one step. So a program that dies leaves nothing under that name, and others
see the content in one commit.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lucidnode.fs.errors import (
    FileError,
    FileMissing,
    IsDirectory,
    NameTaken,
    NotDirectory,
)
from lucidnode.fs.files.file_system import AttributeChanges, Caller, FileSystem
from lucidnode.fs.programs.paths import NamedPlace, existing, named, place_of
from lucidnode.fs.programs.requests import (
    PAGE_OF_NAMES,
    How,
    KindOfFile,
    NamesPage,
    ShownFile,
)
from lucidnode.fs.replica.inode import Attributes, InodeNo, Kind
from lucidnode.fs.replica.intents import RENAME_NOREPLACE
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.ids import DeviceId

_PART = b".lucidnode-put-"
"""What the name begins with of a content that is not whole; the device and a random number follow."""

_STATE = b"user.lucid.state"

_KINDS: dict[Kind, KindOfFile] = {
    Kind.FILE: "file",
    Kind.DIRECTORY: "directory",
    Kind.SYMLINK: "symlink",
}


@dataclass(slots=True)
class PutContent:
    """A content that is being written through *handle*, for the file at *place*.

    *part* is the name that it has until it is whole; empty for what is appended.
    """

    place: NamedPlace
    handle: int
    part: bytes
    how: How
    size: int = 0


class ProgramFiles:
    """The files of one project that is open without a mount. Lives in one event loop.

    *save* makes what was written to a file durable here, *committed* waits until what was done to
    one is in the bucket.
    """

    def __init__(
        self,
        files: FileSystem,
        tree: TreeReader,
        device: DeviceId,
        save: Callable[[InodeNo], Awaitable[None]],
        committed: Callable[[InodeNo | None], Awaitable[None]],
    ) -> None:
        self._files = files
        self._tree = tree
        self._save = save
        self.committed = committed
        self._caller = Caller(os.geteuid(), os.getegid())
        self._parts = _PART + device.encode()[:8] + b"-"
        self._swept: set[InodeNo] = set()

    # -- questions ---------------------------------------------------------------------------

    def look(self, path: bytes, *, follow: bool) -> ShownFile:
        """Return what is at *path*. Raises FileMissing, or another FileError."""
        found = existing(self._files, path, follow=follow)
        return self._shown(path.rsplit(b"/", 1)[-1], found)

    def names(self, path: bytes, after: bytes) -> NamesPage:
        """Return some names of the directory *path* behind *after*. Raises NotDirectory, FileMissing."""
        directory = existing(self._files, path)
        if not directory.is_directory:
            raise NotDirectory(path.decode(errors="replace"))
        shown: list[ShownFile] = []
        more = True
        while more and not shown:  # behind a page of parts alone is looked at once
            listed = self._tree.list_names(directory.ino, after or None, PAGE_OF_NAMES)
            for name, _ in listed:
                if name.startswith(_PART):
                    continue
                with contextlib.suppress(FileMissing):
                    shown.append(self._shown(name, self._files.lookup(directory.ino, name)))
            more = len(listed) == PAGE_OF_NAMES
            after = listed[-1][0] if listed else after
        return NamesPage(shown, more=more)

    # -- contents ----------------------------------------------------------------------------

    async def opened(self, path: bytes) -> tuple[int, ShownFile]:
        """Open the file *path* for reading; return its handle. Raises a FileError."""
        found = existing(self._files, path)
        handle, _ = await self._files.open(found.ino, os.O_RDONLY)
        return handle, self._shown(path.rsplit(b"/", 1)[-1], self._files.attributes(found.ino))

    async def read(self, handle: int, offset: int, length: int) -> bytes:
        """Return bytes of an open file. Raises FileMissing, Unreadable."""
        return bytes(await self._files.read(handle, offset, length))

    def close(self, handle: int) -> None:
        """Close what `opened` has opened."""
        self._files.release(handle)

    async def begin(self, path: bytes, how: How, mode: int, *, parents: bool) -> PutContent:
        """Begin a content for the file *path*. Raises a FileError, ReadOnly, NoSpace."""
        if parents:
            # Who may read the file may go through the directories.
            through = mode | (mode & 0o444) >> 2
            await self.make_directories(path.rpartition(b"/")[0], through)
        place = named(self._files, path, follow=True)
        if place.found is not None:
            if how == "new":
                raise NameTaken(path.decode(errors="replace"))
            if place.found.is_directory:
                raise IsDirectory(path.decode(errors="replace"))
        if how == "append" and place.found is not None:
            handle, _ = await self._files.open(place.found.ino, os.O_WRONLY | os.O_APPEND)
            return PutContent(place, handle, b"", how)
        self._sweep(place.parent)
        part = self._parts + secrets.token_hex(8).encode()
        _, (handle, _) = self._files.create(
            place.parent, part, mode & 0o777, self._caller, os.O_WRONLY, 0
        )
        return PutContent(place, handle, part, how)

    async def write(self, content: PutContent, data: bytes) -> None:
        """Take what comes next of *content*. Raises NoSpace, FileTooBig, ReadOnly, OverQuota."""
        content.size += await self._files.write(content.handle, content.size, data)

    async def finish(self, content: PutContent) -> InodeNo:
        """Have *content* be the file's, durable on this disk; return the file's number.

        Gives it up where that cannot be. Raises as `write`, and NameTaken, IsDirectory, HeldElsewhere.
        """
        try:
            ino = self._ino_of(content)
            await self._save(ino)
            if content.part:
                await self._named(content, ino)
        except BaseException:
            self.give_up(content)
            raise
        self._files.release(content.handle)
        return ino

    def give_up(self, content: PutContent) -> None:
        """Leave the file as it was. What was appended already stays."""
        if content.part:
            with contextlib.suppress(FileError):
                self._files.unlink(content.place.parent, content.part)
        self._files.release(content.handle)

    async def copy(self, path: bytes, target: bytes, mode: int, *, parents: bool) -> InodeNo:
        """Give *target* the content of the file *path*, with shared blocks. Raises as `begin`."""
        found = existing(self._files, path)
        taken, _ = await self._files.open(found.ino, os.O_RDONLY)
        try:
            given = await self.begin(target, "replace", mode, parents=parents)
            try:
                while copied := await self._files.ranges.copy(
                    taken, given.size, given.handle, given.size, found.size - given.size
                ):
                    given.size += copied
            except BaseException:
                self.give_up(given)
                raise
            return await self.finish(given)
        finally:
            self._files.release(taken)

    # -- names -------------------------------------------------------------------------------

    async def make_directory(
        self, path: bytes, mode: int, *, parents: bool, exist_ok: bool
    ) -> InodeNo:
        """Make the directory *path*. Raises NameTaken, FileMissing, another FileError, ReadOnly."""
        if parents and b"/" in path:
            await self.make_directories(path.rsplit(b"/", 1)[0], mode)
        place = place_of(self._files, path)
        if place.found is not None:
            if exist_ok and place.found.is_directory:
                return place.found.ino
            raise NameTaken(path.decode(errors="replace"))
        await self._files.exclusively(place.parent, place.name, 0)
        return self._files.make(place.parent, place.name, 0o040000 | mode & 0o777, self._caller).ino

    async def make_directories(self, path: bytes, mode: int) -> None:
        """Make those of *path* and the directories above it that are missing. Raises a FileError."""
        parts = [part for part in path.split(b"/") if part]
        for count in range(1, len(parts) + 1):
            below = b"/".join(parts[:count])
            while place_of(self._files, below).found is None:
                # Another program may make it at the same time.
                with contextlib.suppress(NameTaken):
                    await self.make_directory(below, mode, parents=False, exist_ok=True)

    def remove(self, path: bytes, *, directory: bool) -> InodeNo:
        """Take a name away. Raises FileMissing, IsDirectory, NotEmpty, another FileError, ReadOnly."""
        place = named(self._files, path)
        if place.found is None:
            raise FileMissing(path.decode(errors="replace"))
        if directory:
            self._files.rmdir(place.parent, place.name)
        else:
            self._files.unlink(place.parent, place.name)
        return place.found.ino

    def move(self, path: bytes, target: bytes) -> InodeNo:
        """Give *path* the name *target*. Raises FileMissing, NotEmpty, another FileError, ReadOnly."""
        place, there = named(self._files, path), named(self._files, target)
        if place.found is None:
            raise FileMissing(path.decode(errors="replace"))
        self._files.rename(place.parent, place.name, there.parent, there.name, 0)
        return place.found.ino

    # ----------------------------------------------------------------------------------------

    def _shown(self, name: bytes, found: Attributes) -> ShownFile:
        return ShownFile(
            name,
            _KINDS.get(found.kind, "other"),
            found.size if found.kind is Kind.FILE else 0,
            found.mode,
            found.mtime_ns,
            found.ctime_ns,
            self._files.xattrs.get(found.ino, _STATE).decode(),
        )

    def _ino_of(self, content: PutContent) -> InodeNo:
        if content.part:
            return self._files.lookup(content.place.parent, content.part).ino
        assert content.place.found is not None
        return content.place.found.ino

    async def _named(self, content: PutContent, ino: InodeNo) -> None:
        """Give the file *ino*, which is whole, the name it was written for."""
        parent, name = content.place.parent, content.place.name
        flags = 0
        if content.how == "new":
            await self._files.exclusively(parent, name, 0)
            flags = RENAME_NOREPLACE
        else:
            with contextlib.suppress(FileMissing):
                self._dress(ino, self._files.lookup(parent, name))
        self._files.rename(parent, content.part, parent, name, flags)

    def _dress(self, ino: InodeNo, there: Attributes) -> None:
        """Have the new content keep what people have set on the file that it replaces."""
        if there.is_directory:
            raise IsDirectory("there is a directory of that name by now")
        changes = AttributeChanges(mode=there.mode, uid=there.uid, gid=there.gid)
        self._files.set_attributes_at_once(ino, changes)
        for name in self._files.xattrs.names(there.ino):
            self._files.xattrs.set(ino, name, self._files.xattrs.get(there.ino, name))

    def _sweep(self, directory: InodeNo) -> None:
        """Remove what a process of this workstation that died has left in *directory*.

        Once, before anything is begun there by this one.
        """
        if directory in self._swept:
            return
        self._swept.add(directory)
        after: bytes | None = self._parts
        while after is not None:
            listed = self._tree.list_names(directory, after, PAGE_OF_NAMES)
            left = [name for name, _ in listed if name.startswith(self._parts)]
            for name in left:
                with contextlib.suppress(FileError):  # what is no file is none of ours
                    self._files.unlink(directory, name)
            after = listed[-1][0] if len(left) == PAGE_OF_NAMES else None
