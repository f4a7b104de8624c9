"""A disk tried from a process of its own: of one that hangs, only that process is held up.

A thread would not do. Whoever waits in the kernel for such a disk may not even be killed, and no
process ends before all of its threads have.
"""

from __future__ import annotations

import errno
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import msgspec

from lucidnode.node.cache.room import DiskSize, statvfs_of

PIECE_BYTES = 8 * 1024 * 1024

_FIRST_S = 5.0
"""For the first answer: a hard disk that sleeps has to start."""
_WHOLE_S = 10.0
"""For writing and syncing the piece."""
_STARTS_S = 30.0
_KILLED_S = 1.0


class DiskTrial(msgspec.Struct, frozen=True):
    """What a disk did: its *size*, and the seconds that writing and syncing PIECE_BYTES took."""

    size: DiskSize
    seconds: float


class _Said(msgspec.Struct, frozen=True):
    """One line of the process that tries."""

    size: DiskSize | None = None
    seconds: float | None = None
    number: int = 0
    """Of the error that it met."""


def try_disk(directory: Path, *, first_s: float = _FIRST_S, whole_s: float = _WHOLE_S) -> DiskTrial:
    """Write to the disk that *directory* is on, or will be; nothing is left there. Blocking.

    Raises OSError: what the disk says, or ETIMEDOUT, with words for people, if it does not answer.
    """
    process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
        [sys.executable, "-P", "-m", __name__, str(directory)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,  # what is waited for must not lie in a buffer
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        _line(process.stdout, _STARTS_S, "nothing could be started to look at it")
        size = _line(process.stdout, first_s, f"it does not answer (for {first_s:g} s)").size
        piece = f"{PIECE_BYTES / 10**6:.0f} MB"
        written = _line(process.stdout, whole_s, f"{piece} were not written within {whole_s:g} s")
        if size is None or written.seconds is None:
            raise OSError(errno.EIO, "the look at it broke off")
        return DiskTrial(size, written.seconds)
    finally:
        process.kill()
        process.stdout.close()
        try:
            process.wait(_KILLED_S)
        except subprocess.TimeoutExpired:
            process.returncode = 0  # it is in the kernel until the disk answers: nobody waits


def _line(out: IO[bytes], within_s: float, otherwise: str) -> _Said:
    """Return the next line of *out*. Raises OSError: what it tells, or ETIMEDOUT with *otherwise*."""
    if not select.select([out], [], [], within_s)[0]:
        raise OSError(errno.ETIMEDOUT, otherwise)
    try:
        said = msgspec.json.decode(out.readline(), type=_Said)
    except msgspec.DecodeError:
        raise OSError(errno.EIO, "the look at it broke off") from None
    if said.number:
        raise OSError(said.number, os.strerror(said.number))
    return said


def _try(directory: Path) -> None:
    """Do it, in the process of its own, and say on standard output how far it is."""
    _say(_Said())
    try:
        _say(_Said(size=statvfs_of(directory)))
        _say(_Said(seconds=_written_s(directory)))
    except OSError as error:
        _say(_Said(number=error.errno or errno.EIO))


def _written_s(directory: Path) -> float:
    there = next(path for path in (directory, *directory.parents) if path.exists())
    with tempfile.TemporaryFile(dir=there) as file:  # it has no name, so nothing can be left behind
        began = time.perf_counter()
        file.write(os.urandom(PIECE_BYTES))
        file.flush()
        os.fsync(file.fileno())
        return time.perf_counter() - began


def _say(said: _Said) -> None:
    os.write(1, msgspec.json.encode(said) + b"\n")


if __name__ == "__main__":
    _try(Path(sys.argv[1]))
