"""One command at a time mounts at a directory, and one mounts a project: the others are told so."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from lucidnode.fs.errors import AlreadyMounted

TAKEN_FILE = "mount.starting"
"""In the directory of a project: held while a command mounts it."""


class TakenPlaces:
    """What one `lucidnode mount` has taken for itself until the mount serves, or could not begin.

    The kernel gives it back when the command ends, however it does.
    """

    def __init__(self) -> None:
        self._held: list[int] = []

    def take_project(self, directory: Path, name: str) -> None:
        """Take the project *name*, whose files are in *directory*. Raises AlreadyMounted."""
        # To write: whoever may only look at our files keeps nobody from mounting.
        self._take(
            os.open(directory / TAKEN_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600),
            f"{name} is being mounted already",
        )

    def take_mountpoint(self, mountpoint: Path) -> None:
        """Take *mountpoint*. Raises AlreadyMounted."""
        try:
            directory = os.open(mountpoint, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return  # a dead mount of ours, or nothing that one could mount on: others say so better
        self._take(directory, f"a project is being mounted at {mountpoint} already")

    def close(self) -> None:
        """Let others mount there."""
        while self._held:
            os.close(self._held.pop())

    def _take(self, descriptor: int, words: str) -> None:
        self._held.append(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyMounted(
                f"{words}, by another command: `lucidnode status` shows it when it is there"
            ) from None
