"""Copies the content of one file, holes as holes, and reads back what was written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from blake3 import blake3

_PIECE_BYTES = 1 << 20


class LeftOut(Exception):
    """A file that is not copied; the message says why."""


def content(told: os.stat_result) -> tuple[int, int]:
    """Return what tells one content of a file from the next."""
    return told.st_size, told.st_mtime_ns


def copy_checked(
    source: int, part: Path, before: os.stat_result, passed: Callable[[int], None]
) -> None:
    """Write the content of *source*, which was as *before*, as *part*, and read it back; *passed* hears of both.

    Raises LeftOut.
    """
    written = _copy(source, part, before.st_size, passed)
    if content(before) != content(os.fstat(source)):
        raise LeftOut("it was changed while it was read: run the command again")
    if _digest(part, passed) != written:
        raise LeftOut("what was read back is not what was written")


def _copy(source: int, part: Path, size: int, passed: Callable[[int], None]) -> bytes:
    """Write the bytes of *source* as *part*, holes as holes; return their hash."""
    digest = blake3()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(part, flags, 0o600), "wb", buffering=0) as file:
        at = 0
        for begin, end in _data(source, size):
            _hash_hole(digest, begin - at)
            at = begin
            while at < end:
                piece = os.pread(source, min(_PIECE_BYTES, end - at), at)
                if not piece:
                    break
                digest.update(piece)
                file.seek(at)
                view = memoryview(piece)
                while view:
                    view = view[file.write(view) :]
                at += len(piece)
                passed(len(piece))
        _hash_hole(digest, size - at)
        file.truncate(size)
    return digest.digest()


def _data(file: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield where *file*, of *size* bytes, has data; all of it where the file system does not say."""
    at = 0
    while at < size:
        try:
            begin = os.lseek(file, at, os.SEEK_DATA)
            end = os.lseek(file, begin, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            begin, end = at, size
        yield begin, min(end, size)
        at = end


def _hash_hole(digest: blake3, length: int) -> None:
    zeros = bytes(_PIECE_BYTES)
    while length > 0:
        digest.update(zeros[: min(length, _PIECE_BYTES)])
        length -= _PIECE_BYTES


def _digest(part: Path, passed: Callable[[int], None]) -> bytes:
    """Return the hash of what the mount gives back, not what the kernel still has in memory."""
    digest = blake3()
    with part.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            passed(len(piece))
    return digest.digest()
