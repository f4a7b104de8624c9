"""Files that survive a power cut, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from lucidnode.node.client.errors import NoSpace


def write_durably(target: Path, content: bytes) -> None:
    """Replace *target* by *content*: file, name and new directories are on disk on return.

    Blocking. Raises NoSpace when the disk is full and leaves *target* as it was; other OSErrors
    pass, and it is then as it was or replaced.
    """
    scratch = target.parent / f".{target.name}.{secrets.token_hex(4)}.tmp"
    try:
        if not target.parent.exists():
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_directory(target.parent.parent)
        with os.fdopen(_created(scratch), "wb") as file:
            file.write(content)
            file.flush()
            os.fdatasync(file.fileno())
        scratch.replace(target)
        _sync_directory(target.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise NoSpace(f"the disk of {target.parent} is full") from error
        raise


def _created(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
