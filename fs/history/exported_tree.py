"""Writes a part of a project, as it is or was, into a plain directory with all that belongs to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from cachetools import LRUCache

from lucidnode.fs.errors import FormatError, KeyMissing
from lucidnode.fs.format.block import BlockName, open_block
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.replica.inode import Attributes, Extent, InodeNo, Kind
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.wire import Source

_BLOCKS_AHEAD = 8
"""Blocks that are under way at once: up to 16 MiB each."""

_PATIENCE_S = 45.0
"""For one block, of which the daemon tries every source; it takes no more."""

_SAFE_MODE = 0o1777
"""Of a mode; set-uid and set-gid files of other people have no place on this machine."""

_LISTED_NAMES = 1000
"""Names that are read of a directory at once."""


_Failure = NodeError | FormatError


class BlockBodies(Protocol):
    """Where whole blocks come from (DaemonClient)."""

    async def block(
        self, project: ProjectId, block: BlockId, *, patience_s: float, as_bytes: bool = False
    ) -> tuple[Source, bytes | None]:
        """Return *block* as bytes. Raises a NodeError."""


@dataclass(slots=True)
class Exported:
    """What was written: *files* of *size* bytes, and the paths that are not there, with the reason."""

    files: int = 0
    size: int = 0
    missing: list[tuple[str, str]] = field(default_factory=list)
    without_attributes: int = 0
    """Files of which the target's file system took not all attributes, owners or times."""


class _Visit(NamedTuple):
    found: Attributes
    path: Path
    leaves: bool = False


class TreeExport:
    """Writes what *tree* holds; each block is checked against its name and its seal first."""

    def __init__(
        self,
        tree: TreeReader,
        keys: ProjectKeys,
        blocks: BlockBodies,
        progress: Callable[[int], None],
    ) -> None:
        self._tree = tree
        self._keys = keys
        self._blocks = blocks
        self._progress = progress
        self._linked: dict[InodeNo, Path] = {}
        self._told = Exported()
        self._recent: LRUCache[BlockId, bytes] = LRUCache(_BLOCKS_AHEAD)
        """Small files lie together in one block."""

    async def write(self, found: Attributes, target: Path) -> Exported:
        """Write *found* as *target*, which is not there yet; return what came of it.

        A file of which a block cannot be had is left out, and told. Raises OSError.
        """
        waiting = [_Visit(found, target)]
        while waiting:
            visit = waiting.pop()
            if visit.leaves:
                self._dress(visit.found, visit.path)
            elif visit.found.is_directory:
                visit.path.mkdir(mode=0o700)
                waiting.append(visit._replace(leaves=True))
                waiting += self._inside(visit)
            else:
                await self._write_one(visit.found, visit.path)
        return self._told

    def _inside(self, visit: _Visit) -> Iterator[_Visit]:
        after: bytes | None = None
        while names := self._tree.list_names(visit.found.ino, after, _LISTED_NAMES):
            for name, found in names:
                yield _Visit(found, visit.path / os.fsdecode(name))
            after = names[-1][0]

    async def _write_one(self, found: Attributes, path: Path) -> None:
        if (first := self._linked.get(found.ino)) is not None:
            os.link(first, path, follow_symlinks=False)
            return
        match found.kind:
            case Kind.FILE:
                try:
                    await self._write_file(found, path)
                except (NodeError, FormatError, KeyMissing) as error:
                    os.unlink(path)  # noqa: PTH108  # of a moment, as all that is done here
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

    async def _write_file(self, found: Attributes, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0) as file:
            file.truncate(found.size)
            extents = self._tree.extents(found.ino, 0, found.size)
            await self._fill(file.fileno(), extents)
        self._told.size += found.size

    async def _fill(self, file: int, extents: Sequence[Extent]) -> None:
        """Write the bytes of *extents*, of which some are read ahead."""
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            ahead: dict[int, asyncio.Task[bytes | _Failure]] = {}
            for number, extent in enumerate(extents):
                for index in range(number, min(number + _BLOCKS_AHEAD, len(extents))):
                    if index not in ahead:
                        ahead[index] = tasks.create_task(self._plaintext(extents[index].block))
                plain = await ahead.pop(number)
                if not isinstance(plain, bytes):
                    failure = plain
                    break
                part = plain[extent.block_offset : extent.block_offset + extent.length]
                try:
                    await asyncio.to_thread(_put, file, part, extent.offset)
                except OSError as error:
                    failure = error  # as itself, not as a group of one
                    break
                self._progress(len(part))
            for task in ahead.values():
                task.cancel()
        if failure is not None:
            raise failure

    async def _plaintext(self, name: BlockName) -> bytes | _Failure:
        """Return the plaintext of a block, or what prevents it: others are under way."""
        if (held := self._recent.get(name.id)) is not None:
            return held
        try:
            _, sealed = await self._blocks.block(
                self._keys.project, name.id, patience_s=_PATIENCE_S, as_bytes=True
            )
            plain = await asyncio.to_thread(open_block, self._keys, name, sealed or b"")
        except (NodeError, FormatError) as error:
            return error
        self._recent[name.id] = plain
        return plain

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


def _put(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
