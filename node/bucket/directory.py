"""A bucket in a directory: the embedded default, or a share that every node mounts.

    <root>/<key>                    the objects
    <root>/.lucidnode/<random>      being written; the folder itself is the mark of a bucket

An acknowledged commit survives power loss. Without the mark every call is Unavailable, so a share
that is not mounted is never taken for an empty bucket. Whoever can write to a share can lay other
things than files under our names: pipes, devices, links. They are never waited for nor followed,
but named to a person, since no object is there and none can be put there.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

from blake3 import blake3

from lucidnode.node.bucket.address import DirectoryAddress, parse_directory
from lucidnode.node.bucket.bucket import MAX_OBJECT_BYTES, Engine, Hashed, Listed
from lucidnode.node.bucket.credentials import CredentialSource
from lucidnode.node.bucket.errors import AlreadyThere, Oversize, Unsettled, WrongBucket
from lucidnode.node.bucket.keys import is_key
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.store import Store
from lucidnode.node.client.bounded_look import answer_of
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import (
    AccessDenied,
    Corrupt,
    NodeError,
    NotThere,
    Refused,
    Unavailable,
)

_MARK = ".lucidnode"

_ANSWER_S = 30.0
"""A share that hangs holds a thread for longer, but no caller."""

_STALE_S = 24 * 3600
"""Seconds after which a half-written file belongs to nobody who is alive."""

_Result = TypeVar("_Result")


class DirectoryBucket:
    """Objects as files. Bound to no event loop; the disk is touched only from its own threads.

    A pool of its own, because a hung share would otherwise use up the loop's default one and stop
    everything else that leaves the loop.
    """

    def __init__(self, address: DirectoryAddress, answer_s: float = _ANSWER_S) -> None:
        """*answer_s* bounds every call in seconds."""
        self.skew_s: float | None = None  # a directory has no clock of its own
        self._answer_s = answer_s
        self._name = str(address)
        self._root = address.path
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="bucket")
        self._durable: set[Path] = set()  # folders whose own name is on disk
        self._plain: set[Path] = set()  # folders that are no links

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        assert span is None or 0 <= span[0] < span[1]
        return await self._call(lambda: self._read(self._path(key), span))

    async def block(self, key: str) -> Hashed:
        return await self._call(lambda: _hashed(self._read(self._path(key), None)))

    async def put(self, key: str, body: bytes) -> None:
        try:
            await self._call(lambda: self._place(self._path(key), body, Path.replace))
        except NotThere as error:
            raise Unavailable(f"The {self._name} lost a folder meanwhile.") from error

    async def create(self, key: str, body: bytes) -> None:
        try:
            await self._call(lambda: self._place(self._path(key), body, _link))
        except (AlreadyThere, AccessDenied, Refused):
            raise
        except NodeError as error:
            raise Unsettled(str(error)) from error

    async def size(self, key: str) -> int | None:
        try:
            return await self._call(lambda: self._size(self._path(key)))
        except NotThere:
            return None

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        assert not prefix or is_key(prefix)
        folder = f"{prefix}/" if prefix else ""
        return await self._call(lambda: list(islice(self._walk(folder, after or ""), limit)))

    async def delete(self, key: str) -> None:
        with suppress(NotThere):
            await self._call(self._path(key).unlink)

    def _path(self, key: str) -> Path:
        assert is_key(key)
        return self._root / key

    async def _call(self, work: Callable[[], _Result]) -> _Result:
        """Run *work* in a thread, bound it, and turn its OSError into errors of this plane."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._answer_s):
                return await loop.run_in_executor(self._threads, self._judged, work)
        except TimeoutError as error:
            raise Unavailable(f"The {self._name} did not answer in time.") from error

    def _judged(self, work: Callable[[], _Result]) -> _Result:
        try:
            return work()
        except FileNotFoundError as error:
            if (self._root / _MARK).is_dir():
                raise NotThere("no such object") from error
            raise Unavailable(
                f"The {self._name} is not a bucket now; if it is a share, mount it."
            ) from error
        except OSError as error:
            raise _meaning(error, self._name) from error

    def _size(self, path: Path) -> int:
        self._check_folder(path.parent)
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise self._no_file(path)
        return status.st_size

    def _read(self, path: Path, span: tuple[int, int] | None) -> bytes:
        self._check_folder(path.parent)
        try:
            # Opening a pipe that nobody writes to would wait for ever.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link; a socket or an absent device
                raise self._no_file(path) from error
            raise
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise self._no_file(path)
            size = status.st_size
            start, end = span or (0, size)
            if end - start > MAX_OBJECT_BYTES:
                raise Oversize(path.name, size)
            body = _pread(handle, start, end)
        finally:
            os.close(handle)
        if len(body) != end - start:
            raise Corrupt("the object ends before the bytes asked for")
        return body

    def _check_folder(self, folder: Path) -> None:
        """Raise Unavailable if *folder*, or one above it in the bucket, is a link or no folder."""
        if folder in self._plain or folder == self._root:
            return
        self._check_folder(folder.parent)
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise self._no_file(folder)
        self._plain.add(folder)

    def _no_file(self, path: Path) -> Unavailable:
        return Unavailable(
            f"In the {self._name} something that is no file of ours is in the way ({path})",
            "look who put it there, and remove it",
            lasting=True,
        )

    def _place(self, path: Path, body: bytes, enter: Callable[[Path, Path], object]) -> None:
        """Write *body* beside the objects, then let *enter* give it its name, all durably."""
        scratch = self._root / _MARK / secrets.token_hex(16)
        try:
            _write(scratch, body)
            self._make_folder(path.parent)
            try:
                enter(scratch, path)
            except FileExistsError as error:
                # The winner may not have come to its own fsync; settled means durable.
                _fsync(path.parent)
                raise AlreadyThere(f"The name {path.name} is taken.") from error
            _fsync(path.parent)
        except FileNotFoundError:
            self._durable.clear()  # somebody removed folders under us
            self._plain.clear()
            raise
        finally:
            with suppress(OSError):
                scratch.unlink()

    def _make_folder(self, folder: Path) -> None:
        if folder in self._durable or folder == self._root:
            return
        self._make_folder(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir()
        self._check_folder(folder)
        # Also if it was there: whoever made it may have died before this.
        _fsync(folder.parent)
        self._durable.add(folder)

    def _walk(self, folder: str, after: str) -> Iterator[Listed]:
        """Yield what is below *folder* ("" or ending in a slash) in key order, behind *after*."""
        try:
            with os.scandir(self._root / folder) as entries:
                found = {
                    f"{e.name}/" if e.is_dir(follow_symlinks=False) else e.name: e for e in entries
                }
        except FileNotFoundError:
            if not (self._root / _MARK).is_dir():
                raise
            return
        # With its slash a folder sorts where its objects do: "a-b" comes before "a/b".
        for name in sorted(found):
            key = folder + name
            if not name.endswith("/"):
                if key > after:
                    with suppress(FileNotFoundError):  # deleted since
                        status = found[name].stat(follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode) and is_key(key):
                            yield Listed(key, status.st_size)
            elif key != f"{_MARK}/" and (key > after or after.startswith(key)):
                yield from self._walk(key, after)


async def prepare_directory(address: DirectoryAddress, *, create: bool) -> None:
    """Make sure the directory is a bucket; with *create* turn a missing or empty one into one.

    Half-written files that nobody can still be writing are removed. Raises WrongBucket, or
    AccessDenied or Unavailable when the file system refuses.
    """
    try:
        await asyncio.to_thread(
            answer_of, address.path, lambda _: _prepare(address, create), within_s=_ANSWER_S
        )
    except TimeoutError as error:
        raise Unavailable(f"The {address} did not answer in time.") from error


def _prepare(address: DirectoryAddress, create: bool) -> None:
    root, mark = address.path, address.path / _MARK
    try:
        if not mark.is_dir():
            if not create:
                raise WrongBucket(
                    f"The {address} is no bucket: check the path, or mount the share it is on."
                )
            if root.exists() and (not root.is_dir() or any(root.iterdir())):
                raise WrongBucket(
                    f"The {address} has other things in it: name an empty or a new directory."
                )
            root.mkdir(exist_ok=True)
            _fsync(root.parent)
            mark.mkdir(exist_ok=True)
            _fsync(root)
        _sweep(mark)
    except FileNotFoundError as error:
        raise WrongBucket(
            f"The {address} cannot be made, because the directory above it does not exist."
        ) from error
    except OSError as error:
        raise _meaning(error, str(address)) from error


def _sweep(mark: Path) -> None:
    # Ages by the clock that stamps the files, which on a share is not this machine's.
    now = mark / secrets.token_hex(16)
    _write(now, b"")
    limit = now.stat().st_mtime - _STALE_S
    now.unlink()
    for scratch in mark.iterdir():
        with suppress(OSError):  # two nodes may sweep at once, and others' things may stay
            if scratch.lstat().st_mtime < limit:
                scratch.unlink()


def _meaning(error: OSError, name: str) -> NodeError:
    match error.errno:
        case errno.EROFS:
            return AccessDenied(
                f"The {name} refuses access ({error.strerror})",
                "mount it so that it can be written",
            )
        case errno.EACCES | errno.EPERM:
            return AccessDenied(
                f"The {name} refuses access ({error.strerror})",
                "let the user who runs Lucidnode read and write there",
            )
        case errno.ENOSPC:
            return Unavailable(f"The {name} is full", "make room there")
        case errno.EDQUOT:
            return Unavailable(f"The {name} is full", "make room there, or raise the quota")
        case _:
            return Unavailable(f"The {name} cannot be used now ({error.strerror}).")


def _hashed(body: bytes) -> Hashed:
    return Hashed(body, blake3(body).digest())


def _pread(handle: int, start: int, end: int) -> bytes:
    """Return what the file has from *start* to *end*; less only where it ends."""
    pieces: list[bytes] = []
    while start < end and (piece := os.pread(handle, end - start, start)):
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)


def _write(path: Path, body: bytes) -> None:
    """Write a new file and fsync it; it gets the rights the umask leaves, as shares need it."""
    with path.open("xb", buffering=0) as file:
        view = memoryview(body)
        while view:
            view = view[file.write(view) :]
        os.fsync(file.fileno())


def _link(scratch: Path, path: Path) -> None:
    """Give *scratch* a second name unless that name is taken: link(2), atomic also over NFS."""
    try:
        path.hardlink_to(scratch)
    except OSError as error:
        # FAT says EPERM; no other reason for it is left with a file that we just made.
        if error.errno in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise Refused(
                "The file system has no hard links, which create-if-absent needs."
            ) from error
        raise


def _fsync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


async def _prepared(
    address: DirectoryAddress, _credentials: CredentialSource, _network: Network, *, create: bool
) -> DirectoryAddress:
    await prepare_directory(address, create=create)
    return address


def _engine(
    address: DirectoryAddress, _credentials: CredentialSource, _network: Network, _clock: Clock
) -> Engine:
    return DirectoryBucket(address)


STORE = Store("file:///PATH", parse_directory, _prepared, _engine)
