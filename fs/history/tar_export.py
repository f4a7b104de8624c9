"""Writes a part of a project, as it is or was, as one tar archive, in order and without seeking."""

from __future__ import annotations

import asyncio
import os
import tarfile
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from lucidnode.fs.errors import FormatError, KeyMissing
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.history.exported_tree import Exported
from lucidnode.fs.history.file_bytes import BlockBodies, FileBytes
from lucidnode.fs.replica.inode import Attributes, InodeNo, Kind
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.errors import NodeError

_LISTED_NAMES = 1000
"""Names that are read of a directory at once."""

_ZEROS = bytes(1 << 20)

_SAFE_MODE = 0o1777
"""Of a mode; set-uid and set-gid files of other people have no place where it is unpacked."""

_TYPES = {
    Kind.DIRECTORY: tarfile.DIRTYPE,
    Kind.FILE: tarfile.REGTYPE,
    Kind.SYMLINK: tarfile.SYMTYPE,
    Kind.FIFO: tarfile.FIFOTYPE,
}


class _Visit(NamedTuple):
    found: Attributes
    path: str


class TarExport:
    """Writes what *tree* holds into *archive*; each block is checked against its name and seal first.

    In the PAX format: names of any length, times to the nanosecond, extended attributes. Holes are
    zeros.
    """

    def __init__(
        self,
        tree: TreeReader,
        keys: ProjectKeys,
        blocks: BlockBodies,
        archive: BinaryIO,
        progress: Callable[[int], None],
    ) -> None:
        """*progress* hears bytes that are done: in sum those of `size_below`."""
        self._tree = tree
        self._bytes = FileBytes(keys, blocks)
        self._archive = archive
        self._progress = progress
        self._first: dict[InodeNo, str] = {}
        self._at = 0
        self._told = Exported()

    async def write(self, found: Attributes, name: str) -> Exported:
        """Write *found*, called *name* in the archive, and its end; return what came of it.

        A file of which a block cannot be had has zeros from there on, and is told. Raises OSError.
        """
        waiting = [_Visit(found, name)]
        while waiting:
            visit = waiting.pop()
            await self._write_one(visit)
            if visit.found.is_directory:
                waiting += reversed(self._inside(visit))
        await self._put(bytes(2 * tarfile.BLOCKSIZE))
        await self._put(bytes(-self._at % tarfile.RECORDSIZE))
        return self._told

    def _inside(self, visit: _Visit) -> list[_Visit]:
        inside: list[_Visit] = []
        after: bytes | None = None
        while names := self._tree.list_names(visit.found.ino, after, _LISTED_NAMES):
            inside += [_Visit(found, f"{visit.path}/{os.fsdecode(name)}") for name, found in names]
            after = names[-1][0]
        return inside

    async def _write_one(self, visit: _Visit) -> None:
        found = visit.found
        if found.kind not in _TYPES:
            self._told.missing.append((visit.path, "devices and sockets are not exported"))
            return
        first = visit.path if found.is_directory else self._first_name(visit)
        header = self._header(visit, first)
        await self._put(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        if not found.is_directory and first == visit.path:
            self._told.files += 1
        if found.kind is Kind.FILE and first == visit.path:
            await self._write_content(visit)
            self._told.size += found.size

    def _first_name(self, visit: _Visit) -> str:
        if visit.found.nlink < 2:
            return visit.path
        return self._first.setdefault(visit.found.ino, visit.path)

    def _header(self, visit: _Visit, first: str) -> tarfile.TarInfo:
        found, tree = visit.found, self._tree
        header = tarfile.TarInfo(visit.path)
        header.type = _TYPES[found.kind] if first == visit.path else tarfile.LNKTYPE
        header.mode, header.uid, header.gid = found.mode & _SAFE_MODE, found.uid, found.gid
        seconds, rest_ns = divmod(found.mtime_ns, 10**9)
        header.mtime = max(seconds, 0)
        header.pax_headers = {
            "mtime": f"{seconds}.{rest_ns:09}",
            **{
                f"SCHILY.xattr.{os.fsdecode(name)}": os.fsdecode(tree.xattr(found.ino, name))
                for name in tree.xattr_names(found.ino)
            },
        }
        if first != visit.path:
            header.linkname = first
        elif found.kind is Kind.SYMLINK:
            header.linkname = os.fsdecode(tree.readlink(found.ino))
        elif found.kind is Kind.FILE:
            header.size = found.size
        return header

    async def _write_content(self, visit: _Visit) -> None:
        found, at, left = visit.found, 0, visit.found.size

        async def put(offset: int, part: bytes) -> None:
            nonlocal at, left
            await self._fill(offset - at)
            await self._put(part)
            at = offset + len(part)
            left -= len(part)
            self._progress(len(part))

        try:
            await self._bytes.each(self._tree.extents(found.ino, 0, found.size), put)
        except (NodeError, FormatError, KeyMissing) as error:
            self._told.missing.append((visit.path, f"zeros from byte {at} on: {error}"))
        await self._fill(found.size - at)
        self._progress(left)  # holes; or what cannot be had
        await self._fill(-found.size % tarfile.BLOCKSIZE)

    async def _fill(self, length: int) -> None:
        while length > 0:
            await self._put(_ZEROS[:length])
            length -= len(_ZEROS)

    async def _put(self, data: bytes) -> None:
        await asyncio.to_thread(self._archive.write, data)
        self._at += len(data)
