"""What this node wrote and the bucket may not have yet. Eviction never comes here.

Mounts put blocks in (node/client/staging.py), durably, before they acknowledge a write. The
daemon reads them, uploads them (node/blocks/uploads.py), and takes them out once they are committed.
Beside the blocks of a project lies at most one file `entry`: the commit the daemon promised.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import ParamSpec, Protocol, Self, TypeVar

from lucidnode.node.cache.mark import CacheMark, CacheMissing
from lucidnode.node.cache.verified import verified
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.durable import make_directory, replace_durably
from lucidnode.node.client.errors import Corrupt, Malformed, NotThere, Unavailable
from lucidnode.node.client.guarded_disk import GuardedDisk
from lucidnode.node.client.ids import BlockId, ProjectId, parse_block_id, parse_project_id
from lucidnode.node.client.staging import STAGING, is_promised, make_room_for, staged_path
from lucidnode.node.client.wire import MAX_BLOCK_CIPHERTEXT_BYTES

STALE_NS = 3600 * 10**9
"""Nanoseconds after which a file being written was left by a mount that died."""

DEADLINE_S = 5.0
"""Seconds after which a disk that is asked for one block counts as hanging, as in the cache."""

_ENTRY = "entry"
_THREADS = 4

P = ParamSpec("P")
T = TypeVar("T")


class StagingSink(Protocol):
    """Where a block goes that leaves staging."""

    async def adopt(self, block: BlockId, staged: Path, size: int) -> None:
        """Move the file *staged* of *size* bytes into the cache, or leave it where it is."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A staged block: its file's size in bytes, and when it was written by the file's own time."""

    size: int
    written_ns: int


class Staging:
    """The staged blocks and prepared commits of this node. Disk work runs in its own threads."""

    def __init__(self, mark: CacheMark, cache: StagingSink, clock: Clock) -> None:
        self._mark = mark
        self._path = mark.directory / STAGING
        self._cache = cache
        self._clock = clock
        self._held: dict[ProjectId, dict[BlockId, Staged]] = {}
        self._bytes = 0
        # Held from a look at the disk until what it showed is in `_held`, and from a deletion
        # until it is out of it: so a look never brings back what was released meanwhile.
        self._books = asyncio.Lock()
        self._disk = GuardedDisk(
            f"staging in {self._path}",
            threads=_THREADS,
            clock=clock,
            alert=None,  # node/blocks/uploads.py tells what it means for people
            deadline_s=DEADLINE_S,
            probe=lambda: next(self._path.iterdir(), None),
        )
        self.scanned = False
        """What earlier daemons left here is known."""
        self.missing = ""
        """Why nothing that waits here can be read, in words, if the cache directory is missing."""

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, mark: CacheMark, cache: StagingSink, clock: Clock) -> AsyncIterator[Self]:
        """Open staging in the cache directory of *mark*, which this process has locked; scan it.

        A missing directory is scanned when it is there (node/blocks/uploads.py): what is cached elsewhere
        and in the bucket can be used meanwhile. Raises Unavailable if the disk cannot be read.
        """
        staging = cls(mark, cache, clock)
        try:
            try:
                await staging.scan()
            except Unavailable:
                if not staging.missing:
                    raise
            yield staging
        finally:
            staging._disk.close()

    @property
    def directory(self) -> Path:
        """Return the directory that mounts stage into."""
        return self._path

    @property
    def total_bytes(self) -> int:
        """Return the bytes of all staged blocks known here."""
        return self._bytes

    def projects(self) -> list[ProjectId]:
        """Return the projects with staged blocks."""
        return list(self._held)

    def held(self, project: ProjectId) -> Mapping[BlockId, Staged]:
        """Return the staged blocks of *project* known here, in the order they were written."""
        return MappingProxyType(self._held.get(project, {}))

    async def scan(self) -> None:
        """Learn what is on disk, and remove what a dead mount left half-written.

        Raises Unavailable if the disk cannot be read; then nothing was learnt.
        """
        await self._look(_list, self._path)  # one that hangs is not waited for
        async with self._books:
            found = await self._run(_scan, self._path, self._clock.wall_ns() - STALE_NS)
            self.scanned = True
            self._held = found
            self._bytes = sum(s.size for blocks in found.values() for s in blocks.values())

    async def note(self, project: ProjectId, blocks: Iterable[BlockId]) -> list[BlockId]:
        """Learn of *blocks* a mount says it staged, and return those that are there.

        Raises Unavailable if the disk cannot be read.
        """
        async with self._books:
            found = await self._look(_look_up, self._path, project, list(blocks))
            for block, staged in found:
                self._forget(project, block)
                self._held.setdefault(project, {})[block] = staged
                self._bytes += staged.size
        return [block for block, _ in found]

    async def load(self, project: ProjectId, block: BlockId) -> bytes:
        """Return the verified block.

        Raises NotThere if it has no file, Corrupt if the file is damaged, and Unavailable if the
        disk fails now.
        """
        return await self._look(_load, staged_path(self._path, project, block), block)

    async def read(self, project: ProjectId, block: BlockId) -> bytes | None:
        """Return the verified block, or None if it cannot be had from here."""
        if block not in self.held(project):
            return None
        try:
            return await self.load(project, block)
        except (NotThere, Corrupt, Unavailable):
            # One source of several. That a staged block is bad is told by its upload.
            return None

    async def release(self, project: ProjectId, block: BlockId) -> None:
        """Take *block*, which the bucket has, out of staging: into the cache if it can be kept."""
        staged = self.held(project).get(block)
        if staged is not None:
            path = staged_path(self._path, project, block)
            await self._cache.adopt(block, path, staged.size)
        await self.discard(project, block)

    async def discard(self, project: ProjectId, block: BlockId) -> None:
        """Delete *block*, which the bucket has, and whose file may be bad."""
        path = staged_path(self._path, project, block)
        async with self._books:
            # What the disk will not delete now is found by a later scan and uploaded again.
            with contextlib.suppress(Unavailable):
                await self._run(partial(path.unlink, missing_ok=True))
            self._forget(project, block)

    async def forget_deleted(self, project: ProjectId, blocks: Sequence[BlockId]) -> set[BlockId]:
        """Know no more of those of *blocks* whose files their mount has deleted; return these.

        Raises Unavailable if the disk cannot be read.
        """
        async with self._books:
            found = await self._look(_look_up, self._path, project, list(blocks))
            deleted = set(blocks).difference(block for block, _ in found)
            for block in deleted:
                self._forget(project, block)
        return deleted

    async def is_promised(self, project: ProjectId, block: BlockId) -> bool:
        """Tell whether *block* was made durable, or may have been: its loss is somebody's loss."""
        try:
            return await self._look(is_promised, staged_path(self._path, project, block))
        except Unavailable:
            return True

    async def prepare(self, project: ProjectId, request: bytes) -> None:
        """Keep the commit *request* of *project* durably, instead of any earlier one.

        Raises DiskFull when the disk is full, Unavailable when it fails otherwise.
        """
        await self._run(self._prepare, project, request)

    async def prepared(self) -> dict[ProjectId, bytes]:
        """Return the commit requests that were kept and not discarded. Raises Unavailable."""
        return await self._run(_prepared, self._path)

    async def discard_prepared(self, project: ProjectId) -> None:
        """Forget the commit request of *project*, which is settled. Raises Unavailable."""
        await self._run(partial(self._entry(project).unlink, missing_ok=True))

    def _prepare(self, project: ProjectId, request: bytes) -> None:
        make_room_for(self._path, project)
        replace_durably(self._entry(project), request)

    def _entry(self, project: ProjectId) -> Path:
        return self._path / project / _ENTRY

    def _forget(self, project: ProjectId, block: BlockId) -> None:
        blocks = self._held.get(project, {})
        staged = blocks.pop(block, None)
        if staged is not None:
            self._bytes -= staged.size
        if not blocks:
            self._held.pop(project, None)

    async def _look(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read a little; raise Unavailable if the disk fails, or does not answer in time."""
        return await self._asked(self._disk.look, partial(work, *args, **kwargs))

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Write, or read as long as it takes; raise Unavailable if the disk fails."""
        return await self._asked(self._disk.run, partial(work, *args, **kwargs))

    async def _asked(
        self, ask: Callable[[Callable[[], T]], Awaitable[T]], work: Callable[[], T]
    ) -> T:
        def checked() -> T:
            self._mark.check()
            return work()

        try:
            result = await ask(checked)
        except CacheMissing as error:
            self.missing = f"what waits here for its upload is out of reach: {error.strerror}"
            raise Unavailable(self.missing) from error
        except OSError as error:
            raise Unavailable(f"staging in {self._path}: {error.strerror or error}") from error
        self.missing = ""
        return result


def _list(directory: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        next(directory.iterdir(), None)


def _scan(directory: Path, stale_ns: int) -> dict[ProjectId, dict[BlockId, Staged]]:
    """Return all staged blocks as they were written; remove scratch files from before *stale_ns*."""
    make_directory(directory)
    found: dict[ProjectId, dict[BlockId, Staged]] = {}
    for path in directory.iterdir():
        with contextlib.suppress(Malformed, NotADirectoryError):
            blocks = _scan_project(path, stale_ns)
            if blocks:
                found[parse_project_id(path.name)] = blocks
    return found


def _scan_project(directory: Path, stale_ns: int) -> dict[BlockId, Staged]:
    blocks: dict[BlockId, Staged] = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(Malformed, FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                staged = Staged(status.st_size, status.st_mtime_ns)
                if not _is_scratch(entry.name):
                    blocks[parse_block_id(entry.name)] = staged
                elif staged.written_ns < stale_ns:
                    Path(entry.path).unlink()
    return dict(sorted(blocks.items(), key=lambda item: item[1].written_ns))


def _is_scratch(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")


def _look_up(
    directory: Path, project: ProjectId, blocks: list[BlockId]
) -> list[tuple[BlockId, Staged]]:
    found = []
    for block in blocks:
        with contextlib.suppress(FileNotFoundError):
            status = staged_path(directory, project, block).stat()
            found.append((block, Staged(status.st_size, status.st_mtime_ns)))
    return found


def _load(path: Path, block: BlockId) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > MAX_BLOCK_CIPHERTEXT_BYTES:
                raise Corrupt(f"the staged file of block {block.hex()} is too long")
            return verified(block, file.readall())
    except FileNotFoundError:
        raise NotThere(f"block {block.hex()} is not staged") from None


def _prepared(directory: Path) -> dict[ProjectId, bytes]:
    found: dict[ProjectId, bytes] = {}
    for path in directory.iterdir():
        with contextlib.suppress(Malformed, FileNotFoundError, NotADirectoryError):
            found[parse_project_id(path.name)] = (path / _ENTRY).read_bytes()
    return found
