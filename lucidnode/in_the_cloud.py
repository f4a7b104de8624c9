"""Whether files of a mounted project are in the cloud, as the mount says of each."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from lucidnode.fs.errors import MountPointMissing
from lucidnode.node.client.mountinfo import mounts

STATE = "user.lucid.state"
"""The extended attribute that says it (docs/semantics.md)."""


def check_mounted(paths: Iterable[Path]) -> None:
    """Raise MountPointMissing for the first of *paths* that lies in no project mounted here.

    Raises FileNotFoundError, or another OSError, for one that is not there.
    """
    ours = {
        mount.directory
        for mount in mounts(Path("/proc/self/mountinfo").read_bytes())
        if mount.is_ours
    }
    for path in paths:
        real = path.resolve(strict=True)
        if ours.isdisjoint((real, *real.parents)):
            raise MountPointMissing(
                f"{path} is in no mounted project: `lucidnode status` shows what is mounted"
            )


def all_below(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield *paths*, and all files and directories below them that can have a state.

    What vanishes meanwhile is left out.
    """
    for path in paths:
        yield path
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                below = Path(folder, name)
                try:
                    mode = below.lstat().st_mode
                except FileNotFoundError:
                    continue
                if S_ISREG(mode) or S_ISDIR(mode):
                    yield below


def not_in_the_cloud(paths: Iterable[Path]) -> list[Path]:
    """Return those of *paths* whose newest content or name is not in the cloud yet.

    One that was deleted is on its way to nowhere. Raises another OSError, such as ENOTCONN.
    """
    return [path for path in paths if _is_on_its_way(path)]


def _is_on_its_way(path: Path) -> bool:
    try:
        return os.getxattr(path, STATE) != b"cloud"
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            return False
        raise
