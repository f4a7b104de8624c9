"""The directory in which a mount shows the snapshots of its project, as walks over a mount meet it.

What is below it is no part of the project as it is now: our own commands leave it out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lucidnode.fs.errors import MountPointMissing
from lucidnode.fs.snapshot_tree.snapshot_names import NAME
from lucidnode.fs.snapshot_tree.snapshot_numbers import SNAPSHOTS

_NAME = os.fsdecode(NAME)


def is_snapshot_directory(name: str, told: os.stat_result) -> bool:
    """Tell whether what is called *name*, and of which *told* is known, is one."""
    return name == _NAME and told.st_ino == SNAPSHOTS


def check_of_now(path: Path, ino: int) -> None:
    """Raise MountPointMissing if *path*, of inode number *ino*, lies in a snapshot."""
    if ino >= SNAPSHOTS:
        raise MountPointMissing(
            f"{path} lies in a snapshot, and this is about the project as it is now: "
            "`lucidnode restore --at` brings it back there"
        )


def walk_of_now(top: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield as `os.walk` from the top down, without what is in snapshots."""
    for folder, folders, files in os.walk(top):
        if _NAME in folders and is_snapshot_directory(_NAME, os.lstat(Path(folder, _NAME))):
            folders.remove(_NAME)
        yield folder, folders, files
