"""Files that survive a power cut, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from lucidnode.node.client.errors import DiskFull


def write_durably(target: Path, content: bytes) -> None:
    """Replace *target* by *content*: file, name and new directories are on disk on return.

    Blocking. Raises DiskFull when the disk is full and leaves *target* as it was; other OSErrors
    pass, and it is then as it was or replaced.
    """
    if not target.parent.exists():
        make_directory(target.parent)
    replace_durably(target, content)


def replace_durably(target: Path, content: bytes, mode: int = 0o600) -> None:
    """Do as `write_durably` in a directory that must be there. Raises FileNotFoundError else."""
    _write(target, content, mode, durably=True)
    sync_directory(target.parent)


def write_soon(target: Path, content: bytes, mode: int) -> None:
    """Replace *target* by *content*, which survives this process but not a power cut yet.

    The disk begins to write at once, so that a later fsync has little left to wait for. Blocking;
    raises as `replace_durably`.
    """
    _write(target, content, mode, durably=False)


def make_directory(path: Path) -> None:
    """Make the directory *path*, mode 0700, and those above it; their names are on disk on return.

    The name of *path* also if it was there: whoever made it may have died before its sync. Blocking;
    raises OSError.
    """
    if not path.parent.exists():
        make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_directory(path.parent)


def set_aside(path: Path) -> None:
    """Give what is at *path* another name beside it, which nothing had: `name.1.ext`. Blocking."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    path.rename(aside)


def sync_directory(path: Path) -> None:
    """Make the names in the directory *path* durable. Blocking."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _write(target: Path, content: bytes, mode: int, *, durably: bool) -> None:
    scratch = target.parent / f".{target.name}.{secrets.token_hex(4)}.tmp"
    try:
        with os.fdopen(_created(scratch, mode), "wb", buffering=0) as file:
            _write_all(file.fileno(), content)
            if durably:
                os.fdatasync(file.fileno())
            else:
                # Linux starts writing dirty pages that it is told not to need; they stay readable.
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        scratch.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull(f"the disk of {target.parent} is full") from error
        raise


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _created(path: Path, mode: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
