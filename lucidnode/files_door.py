"""What a program can do with the files of a project, whichever way it reaches them.

There are two: the mount (mount_door.py), and the socket of a process that has the project open
without one (socket_door.py). Both behave alike: a content is the file's once it is whole, and what
goes wrong is an OSError. Paths are strings from the root of the project, as `os.fsdecode` has them;
everything blocks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol

from lucidnode.fs.errors import StillOnTheirWay
from lucidnode.fs.programs.requests import How
from lucidnode.in_the_cloud import LOOK_INTERVAL_S, State

FileKind = Literal["file", "directory", "symlink", "other"]


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file or directory as it is now. *path* is from the root of the project, *size* in bytes.

    *mode* are permission bits, *mtime_ns* is in ns since 1970. *state* says how far the newest content is.
    """

    path: str
    kind: FileKind
    size: int
    mode: int
    mtime_ns: int
    state: State

    @property
    def name(self) -> str:
        """The last part of the path; empty for the root."""
        return self.path.rpartition("/")[2]


class ReadSource(Protocol):
    """A file that is open for reading: the content that it had then, or has now if it was changed in place."""

    info: FileInfo

    def read_at(self, offset: int, length: int) -> bytes:
        """Return bytes, fewer only at the end. Raises OSError."""

    def close(self) -> None:
        """Close it."""


class WriteSink(Protocol):
    """A content that is being written."""

    def write(self, data: memoryview) -> None:
        """Take what comes next. Raises OSError."""

    def finish(self, *, soon: bool) -> None:
        """Have it be the file's; unless *soon*, acknowledged as a `close` is. Raises OSError."""

    def discard(self) -> None:
        """Leave the file as it was."""


class FilesDoor(Protocol):
    """What can be done with the files of a project. Everything raises OSError.

    With *soon*, what was done is not waited for until it is in the cloud.
    """

    def look(self, path: str, *, follow: bool = True) -> FileInfo: ...
    def names(self, path: str) -> Iterator[FileInfo]: ...
    def reading(self, path: str) -> ReadSource: ...
    def writing(self, path: str, how: How, *, parents: bool) -> WriteSink: ...
    def make_directory(
        self, path: str, *, parents: bool, exist_ok: bool, soon: bool = False
    ) -> None: ...
    def remove(self, path: str, *, directory: bool, soon: bool = False) -> None: ...
    def move(self, path: str, target: str, *, soon: bool = False) -> None: ...
    def copy(self, path: str, target: str, *, parents: bool, soon: bool = False) -> None: ...
    def settle(self) -> None:
        """Return once what was done *soon* is acknowledged."""

    def close(self) -> None: ...


def waited_until_there(door: FilesDoor, paths: list[str], timeout_s: float | None) -> None:
    """Return once *paths*, and all that is below them now, are in the cloud.

    Raises StillOnTheirWay after *timeout_s*, FileNotFoundError, or another OSError.
    """
    began = time.monotonic()
    waiting = [each for path in paths for each in all_below(door, path)]
    while waiting := [path for path in waiting if _is_on_its_way(door, path)]:
        if timeout_s is not None and time.monotonic() - began >= timeout_s:
            more = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
            raise StillOnTheirWay(f"not in the cloud yet: {waiting[0]}{more}")
        time.sleep(LOOK_INTERVAL_S)  # noqa: TID251  # a program that waits, not a loop


def all_below(door: FilesDoor, path: str) -> Iterator[str]:
    """Yield *path*, and all that is below it. Raises OSError."""
    yield path
    if door.look(path).kind == "directory":
        yield from _below_directory(door, path)


def _below_directory(door: FilesDoor, path: str) -> Iterator[str]:
    with suppress(FileNotFoundError):
        for each in door.names(path):
            yield each.path
            if each.kind == "directory":
                yield from _below_directory(door, each.path)


def _is_on_its_way(door: FilesDoor, path: str) -> bool:
    try:
        return door.look(path).state != "cloud"
    except (FileNotFoundError, NotADirectoryError):
        return False


def below_path(path: str, name: str) -> str:
    """Return the path of *name* in the directory *path*; the root is the empty one."""
    return f"{path}/{name}" if path else name
