"""The cache directory on disk: files, index and lock. Blocking; `disk.py` keeps it off the loop.

    <cache>/blocks/<aa>/<block id>    one file for each block (layout: node/client/staging.py)
    <cache>/arriving/<a>/<block id>   being written; emptied at every start (arriving.py)
    <cache>/index.db                  the list of blocks (index.py)

No block file is fsynced: one that a power cut lost or tore fails its check and is fetched again.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from lucidnode.node.cache.arriving import ArrivingFiles
from lucidnode.node.cache.change import CacheChange, Insertion
from lucidnode.node.cache.eviction import Held
from lucidnode.node.cache.held_file import Aside, HeldFile
from lucidnode.node.cache.index import Index
from lucidnode.node.cache.lock import DirectoryLock
from lucidnode.node.cache.mark import CacheMark
from lucidnode.node.cache.verified import Ciphertext, verified
from lucidnode.node.client.disk_space import free_bytes
from lucidnode.node.client.durable import make_directory
from lucidnode.node.client.errors import Corrupt, Malformed
from lucidnode.node.client.ids import BlockId, parse_block_id
from lucidnode.node.client.staging import BLOCKS, FETCHED, cached_path
from lucidnode.node.client.wire import MAX_BLOCK_CIPHERTEXT_BYTES

_ARRIVING = "arriving"
_INCOMING = "incoming"
"""Where earlier releases wrote them; a disk that was left alone is tried there."""

_INDEX = "index.db"

_SLACK_BYTES = 64 * 1024
"""Bytes freed on a full disk beyond the need of a block, for index and directories to grow."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_NOT_OURS_TO_MOVE = {errno.ENOENT, errno.EXDEV}


class CacheDirectory:
    """An open, locked cache directory.

    `read` and `open_held` are safe in any thread. Everything else belongs to the one that opened it: changes are
    made one at a time, victims go before the arrival comes, and so the directory never holds more
    than the caller's limit, at no instant.
    """

    def __init__(self, path: Path, lock: DirectoryLock, index: Index) -> None:
        self._lock = lock
        self._index = index
        self._path = path
        self._blocks = path / BLOCKS
        self._incoming = path / _INCOMING
        self._arriving = ArrivingFiles(path / _ARRIVING)
        self._found: Held = OrderedDict()

    @classmethod
    def open(cls, mark: CacheMark, boot: str) -> Self:
        """Lock and open the cache of *mark*, creating it if absent and no certain one is meant.

        *boot* is the kernel's boot id. Raises Refused if another daemon has it, CacheMissing if it
        is another, else OSError.
        """
        mark.check()
        path = mark.directory
        if mark.id is None and not path.exists():
            make_directory(path)  # staging, which holds promises, lies in it
        for directory in (path / BLOCKS, path / _INCOMING):
            directory.mkdir(mode=0o700, exist_ok=True)
        lock = DirectoryLock(path)
        try:
            opened = cls(path, lock, Index.open(path / _INDEX, boot))
        except BaseException:
            lock.close()
            raise
        try:
            opened._recover()
        except BaseException:
            opened.close(clean=False)
            raise
        return opened

    def take_found(self) -> Held:
        """Return what was there at opening. Once: who asked has the table from then on."""
        found, self._found = self._found, OrderedDict()
        return found

    def _recover(self) -> None:
        """Delete what is half-written, and bring index and files to agree."""
        self._arriving.empty()
        for scratch in self._incoming.iterdir():
            scratch.unlink()
        found, doubtful = self._index.rows()
        if not self._index.trusted:
            found, doubtful = OrderedDict(), self._listed_or_present(dict(doubtful) | found)
        present = [(block, size) for block, size in doubtful if self._keep_if_whole(block, size)]
        self._index.record(present)
        self._index.forget(block for block, _ in set(doubtful) - set(present))
        found.update(present)
        self._found = found

    def _listed_or_present(self, listed: Mapping[BlockId, int]) -> list[tuple[BlockId, int]]:
        """Return all that is *listed*, in its order, after all files that are not."""
        unlisted = [
            (block, size) for block, size in _block_files(self._blocks) if block not in listed
        ]
        return unlisted + list(listed.items())

    def _keep_if_whole(self, block: BlockId, size: int) -> bool:
        """Return whether the file of *block* is there with its full size; delete any other."""
        path = cached_path(self._blocks, block)
        try:
            if path.stat().st_size == size:
                return True
            path.unlink()
        except FileNotFoundError:
            pass
        return False

    def read(self, block: BlockId) -> bytes:
        """Return the verified block. Raises FileNotFoundError, Corrupt or another OSError."""
        with cached_path(self._blocks, block).open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > MAX_BLOCK_CIPHERTEXT_BYTES:
                raise Corrupt(f"the file of block {block.hex()} is too long")
            return verified(block, file.readall())

    def open_held(self, block: BlockId, aside: Aside) -> HeldFile:
        """Return the verified file of the block; see `HeldFile.open`. Raises as `read`."""
        return HeldFile.open(cached_path(self._blocks, block), block, aside)

    def change(
        self, evictees: Mapping[BlockId, int], insertion: Insertion | None, min_free: int
    ) -> CacheChange:
        """Delete *evictees* (id to size), then keep *insertion* if *min_free* bytes of disk remain.

        Never raises for the disk: a full one and a failing one are in the result.
        """
        change = CacheChange()
        try:
            self._lock.check()
            if evictees:
                self._remove(evictees, change.removed)
            if insertion is not None:
                lacking = min_free + insertion.growth - self.free()
                if lacking > 0:
                    change.reclaim_bytes = lacking + _SLACK_BYTES
                else:
                    change.kept = self._keep(insertion)
        except OSError as error:
            if insertion is not None and error.errno in _FULL:
                change.reclaim_bytes = insertion.size + _SLACK_BYTES
            else:
                change.fault = error
        return change

    def _remove(self, evictees: Mapping[BlockId, int], removed: list[BlockId]) -> None:
        try:
            self._index.doubt(evictees.items())
        except OSError as error:
            # The index needs a page to say so, and deleting is what makes room for it. A kill in
            # this moment leaves rows without files, which the cache takes for misses.
            if error.errno not in _FULL:
                raise
        for block in evictees:
            cached_path(self._blocks, block).unlink(missing_ok=True)
            removed.append(block)
        self._index.forget(removed)

    def _keep(self, insertion: Insertion) -> bool:
        match insertion.content:
            case bytes() | bytearray() as ciphertext:
                scratch = self._arriving.path(insertion.block)
                try:
                    try:
                        _write(scratch, ciphertext)
                    except FileNotFoundError:
                        self._arriving.make()
                        _write(scratch, ciphertext)
                    self._place(scratch, insertion)
                except BaseException:
                    with contextlib.suppress(OSError):
                        scratch.unlink(missing_ok=True)
                    raise
            case Path() as file:
                try:
                    self._place(file, insertion)
                except OSError as error:
                    # A staged file may be deleted by its mount at any moment.
                    if error.errno in _NOT_OURS_TO_MOVE or not file.exists():
                        return False
                    raise
        return True

    def _place(self, file: Path, insertion: Insertion) -> None:
        """Make *file* the file of the arrival, all at once."""
        target = cached_path(self._blocks, insertion.block)
        self._index.doubt([(insertion.block, insertion.size)])
        try:
            try:
                file.rename(target)
            except FileNotFoundError:
                # The shelf is missing, most likely. If the file is, it will be missing again.
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                file.rename(target)
        except BaseException:
            with contextlib.suppress(OSError):  # in doubt until the next start, which is no harm
                self._index.forget([insertion.block])
            raise

    def record_uses(self, blocks: Sequence[tuple[BlockId, int]]) -> int:
        """Record that *blocks* (id, size) have their files and were used, in this order.

        Returns the bytes of disk that are free. Raises OSError, ESTALE if the directory is gone.
        """
        self._lock.check()
        if blocks:
            self._index.record(blocks)
        return self.free()

    def probe_reading(self) -> None:
        """Raise OSError unless the directory can be listed."""
        self._lock.check()
        with os.scandir(self._path) as entries:
            next(entries, None)

    def probe_writing(self) -> None:
        """Raise OSError unless the disk takes a file, or says in order that it is full."""
        self._lock.check()
        self._incoming.mkdir(mode=0o700, exist_ok=True)
        scratch = self._incoming / "probe"
        try:
            scratch.write_bytes(bytes(4096))
        except OSError as error:
            if error.errno not in _FULL:
                raise
        finally:
            scratch.unlink(missing_ok=True)

    def free(self) -> int:
        """Return the bytes of disk this user can still fill. Raises OSError."""
        return free_bytes(self._path)

    def close(self, *, clean: bool) -> None:
        """Close the index and give the directory up; *clean* if every file is recorded."""
        try:
            self._index.close(clean=clean)
        finally:
            self._lock.close()


def _write(path: Path, content: Ciphertext) -> None:
    # By descriptor: a file object asks seven times more than it writes.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FETCHED)
    try:
        os.fchmod(descriptor, FETCHED)
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)


def _block_files(blocks: Path) -> list[tuple[BlockId, int]]:
    """Return id and size of every block file below *blocks*; anything else there is left alone."""
    found: list[tuple[BlockId, int]] = []
    for shelf in blocks.iterdir():
        with contextlib.suppress(NotADirectoryError), os.scandir(shelf) as entries:
            for entry in entries:
                with contextlib.suppress(Malformed):
                    block = parse_block_id(entry.name)
                    if entry.name[:2] == shelf.name and entry.is_file(follow_symlinks=False):
                        found.append((block, entry.stat().st_size))
    return found
