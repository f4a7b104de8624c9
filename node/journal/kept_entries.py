"""The newest journal entries that this node has seen, on its own disk, as the bucket had them.

If the bucket loses them, they can be put back (`lucidnode repair --put-back`). They are ciphertext,
as everything a daemon has. A convenience, not a promise: a disk that fails keeps nothing, a file
that is damaged counts as not there, and nothing is waited for.

    entries/<project>/<seq>       BLAKE3-256 of the entry (32), then the entry
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from pathlib import Path

from blake3 import blake3

from lucidnode.node.client.ids import ProjectId, Seq

log = logging.getLogger(__name__)

KEPT_BYTES = 64 * 1024 * 1024
"""Of each project: some 100,000 entries of people at work, or the last few of an import."""

_HASH_SIZE = 32


class KeptEntries:
    """Entries below *directory*, at most *limit* bytes of each project, the highest ones."""

    def __init__(self, directory: Path, limit: int = KEPT_BYTES) -> None:
        self._directory = directory
        self._limit = limit
        self._sizes: dict[ProjectId, dict[Seq, int]] = {}
        # Only threads touch the sizes and the files, one at a time.
        self._turn = threading.Lock()

    async def keep(self, project: ProjectId, seq: Seq, entry: bytes) -> None:
        """Keep *entry*, and drop the lowest ones that are too much."""
        await asyncio.to_thread(self._kept, project, seq, entry)

    async def get(self, project: ProjectId, seq: Seq) -> bytes | None:
        """Return entry *seq* as it was seen, or None."""
        return await asyncio.to_thread(self._read, project, seq)

    async def drop(self, project: ProjectId, first: Seq) -> None:
        """Keep nothing of *project* any more from entry *first* on."""
        await asyncio.to_thread(self._dropped, project, first)

    async def sizes(self, project: ProjectId) -> dict[Seq, int]:
        """Return the bytes of each entry kept of *project*."""
        return await asyncio.to_thread(self._copied_sizes, project)

    async def newest(self, most: int) -> dict[ProjectId, dict[Seq, bytes]]:
        """Return the hashes of the *most* highest entries kept of each project."""
        return await asyncio.to_thread(self._hashes, most)

    def _kept(self, project: ProjectId, seq: Seq, entry: bytes) -> None:
        folder = self._directory / project
        with self._turn:
            try:
                sizes = self._sizes_of(project)
                for each in (self._directory, folder):
                    each.mkdir(mode=0o700, exist_ok=True)
                scratch = folder / ".new"
                scratch.touch(mode=0o600)
                scratch.write_bytes(blake3(entry).digest() + entry)
                scratch.replace(_path(folder, seq))
                sizes[seq] = len(entry)
                while sum(sizes.values()) > self._limit and len(sizes) > 1:
                    lowest = min(sizes)
                    _path(folder, lowest).unlink(missing_ok=True)
                    del sizes[lowest]
            except OSError as error:
                log.info("a journal entry could not be kept: %s", error)

    def _dropped(self, project: ProjectId, first: Seq) -> None:
        with self._turn:
            sizes = self._sizes_of(project)
            for seq in [seq for seq in sizes if seq >= first]:
                with contextlib.suppress(OSError):
                    _path(self._directory / project, seq).unlink()
                del sizes[seq]

    def _read(self, project: ProjectId, seq: Seq) -> bytes | None:
        try:
            raw = _path(self._directory / project, seq).read_bytes()
        except OSError:
            return None
        entry = raw[_HASH_SIZE:]
        return entry if blake3(entry).digest() == raw[:_HASH_SIZE] else None

    def _hashes(self, most: int) -> dict[ProjectId, dict[Seq, bytes]]:
        found: dict[ProjectId, dict[Seq, bytes]] = {}
        with self._turn:
            try:
                projects = [ProjectId(folder.name) for folder in self._directory.iterdir()]
            except OSError:
                return {}
            for project in projects:
                for seq in sorted(self._sizes_of(project))[-most:]:
                    entry = self._read(project, seq)
                    if entry is not None:
                        found.setdefault(project, {})[seq] = blake3(entry).digest()
        return found

    def _copied_sizes(self, project: ProjectId) -> dict[Seq, int]:
        with self._turn:
            return dict(self._sizes_of(project))

    def _sizes_of(self, project: ProjectId) -> dict[Seq, int]:
        sizes = self._sizes.get(project)
        if sizes is None:
            sizes = self._sizes[project] = {}
            try:
                for path in (self._directory / project).iterdir():
                    if path.name.isdecimal():
                        sizes[Seq(int(path.name))] = max(0, path.stat().st_size - _HASH_SIZE)
            except OSError:
                pass  # nothing kept yet
        return sizes


def _path(folder: Path, seq: Seq) -> Path:
    return folder / f"{seq:016d}"
