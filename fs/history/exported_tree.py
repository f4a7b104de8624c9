"""Writes a part of a project, as it is or was, into a plain directory with all that belongs to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_IFMT
from typing import NamedTuple

from lucidnode.fs.errors import FormatError, KeyMissing
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.history.file_bytes import BlockBodies, FileBytes
from lucidnode.fs.replica.inode import Attributes, InodeNo, Kind
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.errors import NodeError

_SAFE_MODE = 0o1777
"""Of a mode; set-uid and set-gid files of other people have no place on this machine."""

_LISTED_NAMES = 1000
"""Names that are read of a directory at once."""


@dataclass(slots=True)
class Exported:
    """What was written: *files* of *size* bytes, and the paths that are not there, with the reason."""

    files: int = 0
    size: int = 0
    missing: list[tuple[str, str]] = field(default_factory=list)
    unchanged: int = 0
    """Files that an earlier export had finished."""
    without_attributes: int = 0
    """Files of which the target's file system took not all attributes, owners or times."""


class _Visit(NamedTuple):
    found: Attributes
    path: Path
    leaves: bool = False


def size_below(tree: TreeReader, found: Attributes) -> int:
    """Return the bytes of *found*, or of the files below it; hard links count once. Reads every name."""
    size, seen, waiting = 0, set[InodeNo](), [found]
    while waiting:
        each = waiting.pop()
        if each.is_directory:
            waiting += (inner for _, inner in _listed(tree, each.ino))
        elif each.kind is Kind.FILE and each.ino not in seen:
            size += each.size
            if each.nlink > 1:
                seen.add(each.ino)
    return size


def _listed(tree: TreeReader, directory: InodeNo) -> Iterator[tuple[bytes, Attributes]]:
    after: bytes | None = None
    while names := tree.list_names(directory, after, _LISTED_NAMES):
        yield from names
        after = names[-1][0]


class TreeExport:
    """Writes what *tree* holds; each block is checked against its name and its seal first."""

    def __init__(
        self,
        tree: TreeReader,
        keys: ProjectKeys,
        blocks: BlockBodies,
        progress: Callable[[int], None],
        *,
        resume: bool = False,
    ) -> None:
        """*progress* hears bytes that are done: in sum those of `size_below`.

        With *resume*, what an earlier export has left is finished and not begun anew.
        """
        self._tree = tree
        self._resume = resume
        self._bytes = FileBytes(keys, blocks)
        self._progress = progress
        self._linked: dict[InodeNo, Path] = {}
        self._failed: set[InodeNo] = set()
        """Files that could not be had: under another name they are tried again, and count no more."""
        self._told = Exported()

    async def write(self, found: Attributes, target: Path) -> Exported:
        """Write *found* as *target*, which is not there yet, or left by an export; tell what came of it.

        A file of which a block cannot be had is left out, and told. Raises OSError.
        """
        waiting = [_Visit(found, target)]
        while waiting:
            visit = waiting.pop()
            if visit.leaves:
                self._dress(visit.found, visit.path)
            elif visit.found.is_directory:
                if not (self._resume and _is_directory(visit.path)):
                    visit.path.mkdir(mode=0o700)
                waiting.append(visit._replace(leaves=True))
                waiting += self._inside(visit)
            else:
                await self._write_one(visit.found, visit.path)
        return self._told

    def _inside(self, visit: _Visit) -> Iterator[_Visit]:
        for name, found in _listed(self._tree, visit.found.ino):
            yield _Visit(found, visit.path / os.fsdecode(name))

    async def _write_one(self, found: Attributes, path: Path) -> None:
        if self._resume and self._stays(found, path):
            return
        if (first := self._linked.get(found.ino)) is not None:
            os.link(first, path, follow_symlinks=False)
            return
        match found.kind:
            case Kind.FILE:
                try:
                    await self._write_file(found, path)
                except (NodeError, FormatError, KeyMissing) as error:
                    os.unlink(path)  # noqa: PTH108  # of a moment, as all that is done here
                    self._failed.add(found.ino)
                    self._told.missing.append((str(path), str(error)))
                    return
            case Kind.SYMLINK:
                os.symlink(self._tree.readlink(found.ino), os.fsencode(path))  # noqa: PTH211
            case Kind.FIFO:
                os.mkfifo(path, 0o600)
            case _:
                self._told.missing.append((str(path), "devices and sockets are not exported"))
                return
        self._dress(found, path)
        self._told.files += 1
        if found.nlink > 1:
            self._linked[found.ino] = path

    def _stays(self, found: Attributes, path: Path) -> bool:
        """Tell whether *path* is whole already; what is there and is not whole is removed."""
        if not os.path.lexists(path):
            return False
        first = self._linked.get(found.ino)
        if not _is_whole(found, path) or (first is not None and not path.samefile(first)):
            path.unlink()
            return False
        self._told.unchanged += 1
        if first is None and found.kind is Kind.FILE:
            self._progress(found.size)
        if found.nlink > 1:
            self._linked[found.ino] = first or path
        return True

    async def _write_file(self, found: Attributes, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0) as file:
            file.truncate(found.size)
            extents = self._tree.extents(found.ino, 0, found.size)
            left = 0 if found.ino in self._failed else found.size

            async def put(offset: int, part: bytes) -> None:
                nonlocal left
                await asyncio.to_thread(_put, file.fileno(), part, offset)
                done = min(len(part), left)
                left -= done
                self._progress(done)

            try:
                await self._bytes.each(extents, put)
            finally:
                self._progress(left)  # holes; or what cannot be had
        self._told.size += found.size

    def _dress(self, found: Attributes, path: Path) -> None:
        """Give *path* the owner, mode, attributes and times of *found*, as far as this user may."""
        is_link = found.kind is Kind.SYMLINK
        whole = True
        for name in self._tree.xattr_names(found.ino):
            try:
                value = self._tree.xattr(found.ino, name)
                os.setxattr(path, name, value, follow_symlinks=False)
            except OSError:
                whole = False
        try:
            if os.geteuid() == 0:
                os.chown(path, found.uid, found.gid, follow_symlinks=False)
            os.utime(path, ns=(found.atime_ns, found.mtime_ns), follow_symlinks=False)
        except (OSError, OverflowError):
            whole = False
        if not is_link:
            path.chmod(found.mode & _SAFE_MODE)
        self._told.without_attributes += not whole


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_whole(found: Attributes, path: Path) -> bool:
    """Tell whether *path* is *found* as an export leaves it: the time of change is set at its end."""
    there = path.lstat()
    if S_IFMT(there.st_mode) != found.kind << 12 or there.st_mtime_ns != found.mtime_ns:
        return False
    return found.kind is not Kind.FILE or there.st_size == found.size


def _put(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
