"""Whether files of a mounted project are in the cloud, as the mount says of each."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Literal, NamedTuple

from lucidnode.fs.errors import MountPointMissing, StillOnTheirWay
from lucidnode.node.client.mountinfo import mounts
from lucidnode.snapshot_directory import walk_of_now

STATE = "user.lucid.state"
"""The extended attribute that says it (docs/semantics.md)."""


State = Literal["writing", "uploading", "cloud"]
"""How far the newest content of a file is."""

LOOK_INTERVAL_S = 0.25
"""Seconds between two looks at what is on its way."""

_NAMED = 3
"""Paths that are named when time is up."""


class Waited(NamedTuple):
    """How many *files* were waited for, which are *waiting* still, and for how many *seconds* so far."""

    files: int
    waiting: list[Path]
    seconds: float

    def check(self) -> None:
        """Raise StillOnTheirWay, a sentence, if any are waiting."""
        if self.waiting:
            named = ", ".join(str(path) for path in self.waiting[:_NAMED])
            rest = len(self.waiting) - _NAMED
            more = f" and {rest} more" if rest > 0 else ""
            raise StillOnTheirWay(
                f"not in the cloud yet: {named}{more}; `lucidnode status` shows how far they are"
            )


def waited_for(
    paths: Sequence[Path], timeout_s: float | None, looked: Callable[[Waited], None]
) -> Waited:
    """Return once *paths*, and all that is below them now, are in the cloud, or after *timeout_s*.

    *looked* hears of each look. Blocking. Raises MountPointMissing for what is in no mounted project,
    FileNotFoundError for what is not there, and another OSError.
    """
    check_mounted(paths)
    began = time.monotonic()
    everything = list(all_below(paths))
    waiting = everything
    while True:
        waiting = not_in_the_cloud(waiting)
        waited = Waited(len(everything), waiting, time.monotonic() - began)
        looked(waited)
        if not waiting or (timeout_s is not None and waited.seconds >= timeout_s):
            return waited
        time.sleep(LOOK_INTERVAL_S)  # noqa: TID251  # a program that waits, not a loop


def state_of(path: Path | int, *, follow: bool = True) -> State:
    """Return how far the file *path*, or that descriptor, of a mounted project is. Raises OSError.

    Without *follow* a symbolic link stands for itself.
    """
    said = os.getxattr(path, STATE, follow_symlinks=follow)
    for state in ("writing", "uploading", "cloud"):
        if said == state.encode():
            return state
    raise OSError(errno.ENODATA, "no state", str(path))


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

    What vanishes meanwhile is left out, and so is what a mount shows of snapshots: it is there.
    """
    for path in paths:
        yield path
        for folder, folders, files in walk_of_now(path):
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
        return state_of(path) != "cloud"
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            return False
        raise
