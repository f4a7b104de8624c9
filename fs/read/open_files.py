"""What the kernel holds open here: files and directories by handle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from lucidnode.fs.read.read_ahead import Pattern
from lucidnode.fs.replica.inode import InodeNo


@dataclass(slots=True)
class OpenFile:
    """One open file. *ino* changes if what was written through it became a conflict copy."""

    ino: InodeNo
    writable: bool
    appends: bool = False
    """Opened with O_APPEND: whatever offset a write comes with, it goes to the end."""
    pattern: Pattern = field(default_factory=Pattern)
    wrote: bool = False
    handle: int = 0
    pid: int = 0
    """The thread that opened it; 0 if it cannot be seen from here."""
    parents: frozenset[InodeNo] | None = None
    """The directories that had a name of it when it was opened to be read."""


@dataclass(slots=True)
class OpenDirectory:
    """One open directory. *page* are the names handed out last, by the cookie behind each."""

    ino: InodeNo
    page: dict[int, bytes] = field(default_factory=dict)


class OpenFiles:
    """Handles are small numbers, never used twice."""

    def __init__(self) -> None:
        self._last = 0
        self._files: dict[int, OpenFile] = {}
        self._directories: dict[int, OpenDirectory] = {}
        self._users: Counter[InodeNo] = Counter()
        self._fenced: set[InodeNo] = set()
        self._on_other_file: Callable[[int], None] = _nobody

    def watch(self, on_other_file: Callable[[int], None]) -> None:
        """Tell *on_other_file* of each handle that is closed, or stands for another file now."""
        self._on_other_file = on_other_file

    def open(
        self,
        ino: InodeNo,
        *,
        writable: bool,
        appends: bool = False,
        pid: int = 0,
        parents: frozenset[InodeNo] | None = None,
    ) -> int:
        """Return a new handle of the file *ino*."""
        self._last += 1
        self._files[self._last] = OpenFile(
            ino, writable, appends, handle=self._last, pid=pid, parents=parents
        )
        self._users[ino] += 1
        return self._last

    def file(self, handle: int) -> OpenFile:
        """Return what *handle* stands for."""
        return self._files[handle]

    def get(self, handle: int) -> OpenFile | None:
        """Return what *handle* stands for, None if it is closed."""
        return self._files.get(handle)

    def release(self, handle: int) -> InodeNo | None:
        """Forget *handle*; return its inode if no other handle has it open."""
        ino = self._files.pop(handle).ino
        self._on_other_file(handle)
        return self._dropped(ino)

    def is_open(self, ino: InodeNo) -> bool:
        """Return whether any handle has *ino* open."""
        return ino in self._users

    def is_written(self, ino: InodeNo) -> bool:
        """Return whether any handle has *ino* open for writing."""
        return any(file.ino == ino and file.writable for file in self._files.values())

    def fence(self, ino: InodeNo) -> None:
        """Note that what is written through handles of *ino* that are open now is not for it."""
        if self.is_written(ino):
            self._fenced.add(ino)

    def is_fenced(self, ino: InodeNo) -> bool:
        """Return whether a handle is open that was so when *ino* was fenced."""
        return ino in self._fenced

    def written(self) -> set[InodeNo]:
        """Return the files that were written to through a handle that is still open."""
        return {file.ino for file in self._files.values() if file.wrote}

    def was_written(self, ino: InodeNo) -> bool:
        """Return whether *ino* was written to through a handle that is still open."""
        return ino in self._users and ino in self.written()

    def redirect(self, ino: InodeNo, copy: InodeNo) -> None:
        """Let the handles that wrote to *ino* go on with *copy*."""
        for file in self._files.values():
            if file.ino == ino and file.wrote:
                file.ino = copy
                self._on_other_file(file.handle)
                self._users[copy] += 1
                self._dropped(ino)

    def open_directory(self, ino: InodeNo) -> int:
        """Return a new handle of the directory *ino*."""
        self._last += 1
        self._directories[self._last] = OpenDirectory(ino)
        return self._last

    def directory(self, handle: int) -> OpenDirectory:
        """Return what *handle* stands for."""
        return self._directories[handle]

    def release_directory(self, handle: int) -> None:
        """Forget *handle*."""
        del self._directories[handle]

    def _dropped(self, ino: InodeNo) -> InodeNo | None:
        self._users[ino] -= 1
        if ino in self._fenced and not self.is_written(ino):
            self._fenced.discard(ino)
        if self._users[ino]:
            return None
        del self._users[ino]
        return ino


def _nobody(_: int) -> None:
    """Nobody is told yet."""
