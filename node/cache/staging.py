"""What this node wrote and the bucket may not have yet. Eviction never comes here.

Mounts put blocks in (node/client/staging.py), durably, before they acknowledge a write. The
daemon reads them, uploads them (node/uploads.py), and takes them out once they are committed.
Beside the blocks of a project lies at most one file `entry`: the commit the daemon promised.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, Self, TypeVar

from lucidnode.node.block import verified
from lucidnode.node.cache.durable import write_durably
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Corrupt, Malformed, NotThere, Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId, parse_block_id, parse_project_id
from lucidnode.node.client.staging import STAGING, staged_path
from lucidnode.node.client.wire import MAX_BLOCK_CIPHERTEXT

STALE = 3600.0
"""Seconds after which a file being written was left by a mount that died."""

_ENTRY = "entry"
_THREADS = 4

T = TypeVar("T")


class Cache(Protocol):
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

    def __init__(self, path: Path, cache: Cache, clock: Clock) -> None:
        self._path = path
        self._cache = cache
        self._clock = clock
        self._held: dict[ProjectId, dict[BlockId, Staged]] = {}
        self._bytes = 0
        self._threads = ThreadPoolExecutor(_THREADS, "staging")

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, path: Path, cache: Cache, clock: Clock) -> AsyncIterator[Self]:
        """Open staging in the cache directory *path*, which this process has locked, and scan it.

        Raises Unavailable if the disk cannot be read.
        """
        staging = cls(path / STAGING, cache, clock)
        try:
            await staging.scan()
            yield staging
        finally:
            staging._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def directory(self) -> Path:
        """Return the directory that mounts stage into."""
        return self._path

    @property
    def bytes(self) -> int:
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
        found = await self._run(_scan, self._path, self._clock.wall_ns() - int(STALE * 1e9))
        for project in self._held.keys() | found.keys():
            self._learn(project, found.get(project, {}))

    async def note(self, project: ProjectId, blocks: Iterable[BlockId]) -> None:
        """Learn of *blocks* a mount says it staged; those that are not there pass.

        Raises Unavailable if the disk cannot be read.
        """
        found = await self._run(_look_up, self._path, project, list(blocks))
        self._learn(project, {**self._held.get(project, {}), **found})

    async def load(self, project: ProjectId, block: BlockId) -> bytes:
        """Return the verified block.

        Raises NotThere if it has no file, Corrupt if the file is damaged, and Unavailable if the
        disk fails now.
        """
        return await self._run(_load, staged_path(self._path, project, block), block)

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
        path = staged_path(self._path, project, block)
        staged = self.held(project).get(block)
        if staged is not None:
            await self._cache.adopt(block, path, staged.size)
        # What the disk will not delete now is found by the next scan and uploaded again.
        with contextlib.suppress(Unavailable):
            await self._run(partial(path.unlink, missing_ok=True))
        self._learn(project, {b: s for b, s in self.held(project).items() if b != block})

    async def prepare(self, project: ProjectId, request: bytes) -> None:
        """Keep the commit *request* of *project* durably, instead of any earlier one.

        Raises NoSpace when the disk is full, Unavailable when it fails otherwise.
        """
        await self._run(write_durably, self._entry(project), request)

    async def prepared(self) -> dict[ProjectId, bytes]:
        """Return the commit requests that were kept and not discarded. Raises Unavailable."""
        return await self._run(_prepared, self._path)

    async def discard_prepared(self, project: ProjectId) -> None:
        """Forget the commit request of *project*, which is settled. Raises Unavailable."""
        await self._run(partial(self._entry(project).unlink, missing_ok=True))

    def _entry(self, project: ProjectId) -> Path:
        return self._path / project / _ENTRY

    def _learn(self, project: ProjectId, blocks: dict[BlockId, Staged]) -> None:
        before = self._held.pop(project, {})
        self._bytes += sum(s.size for s in blocks.values()) - sum(s.size for s in before.values())
        if blocks:
            self._held[project] = blocks
