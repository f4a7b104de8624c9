"""A recording disk without a mount: what this process does to files below a directory.

A request to a mount costs two processes a turn, and a soak makes millions. So the directory is an
ordinary one, and what is done to it is recorded where this process asks the kernel: by the functions
of `os` that files are made, written, synced and renamed with here. Whether none was missed is seen
whenever the record is read: what it makes of an empty disk has to be what lies in the directory.
What a power cut may leave of a record, see tests/disk_record.py.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from disk_record import (
    ROOT,
    Cut,
    Disk,
    Link,
    Make,
    Mark,
    Mode,
    Rename,
    Step,
    Sync,
    Tree,
    Unlink,
    Write,
    replayed,
)

_Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class RecordedDirectory:
    """The disk at *path*, and what was done to it since `fresh`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_full = False
        self._below = f"{path}{os.sep}"
        self._steps: list[Step] = []
        self._paths: dict[str, int] = {}
        """The numbers of what has a name, as the record has them."""
        self._numbers: dict[tuple[int, int], int] = {}
        """The same by device and inode, also of what has no name any more."""
        self._last = ROOT
        self.fresh()

    def fresh(self) -> None:
        """Empty the disk and forget what was done to it."""
        if self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir()
        self._steps.clear()
        self._numbers.clear()
        self._paths = {str(self.path): ROOT}
        self._know(os.stat(self.path), ROOT)

    def lay_down(self, tree: Tree) -> None:
        """Have the disk hold *tree*, all of it for certain, and nothing else."""
        self.fresh()
        tree.write_to(self.path)
        self.sync_everything()

    def sync_everything(self) -> None:
        """Have all that is on the disk survive a power cut."""
        for number in self._paths.values():
            self.note(Sync(number, data_only=False))

    def mark(self, text: str) -> None:
        """Record *text* after everything that was done before."""
        self.note(Mark(text))

    def note(self, step: Step) -> None:
        """Record *step* after everything before: one of this disk, or one that was done beside it."""
        self._steps.append(step)

    def be_full(self, full: bool) -> None:
        """Have every write end in ENOSPC from now on, or no more."""
        self.is_full = full

    def up_to(self, text: str) -> Disk:
        """Return the disk as it was at the last mark *text*."""
        self._check()
        disk = Disk()
        last = max(at for at, step in enumerate(self._steps) if step == Mark(text))
        for step in self._steps[: last + 1]:
            disk.take(step)
        return disk

    def _check(self) -> None:
        """Assert that the record tells of all that was done."""
        mine = set(self._paths.values())
        left = replayed(step for step in self._steps if getattr(step, "ino", ROOT) in mine)
        for path, number in self._paths.items():
            inode = left.inodes[number]
            assert os.stat(path).st_mode == inode.mode or number == ROOT, f"the mode of {path}"
            if os.path.isdir(path):
                names = {os.fsencode(name) for name in os.listdir(path)}
                assert names == inode.names.keys(), f"the names in {path}"
            else:
                assert Path(path).read_bytes() == inode.data, f"the bytes of {path}"

    # -- what is done to it ------------------------------------------------------------------

    def number_at(self, path: _Path) -> int | None:
        """Return the number of what lies at *path*; None if it is none of this disk."""
        return self._paths.get(os.fsdecode(path))

    def number_of(self, descriptor: int) -> int | None:
        """Return the number of the file that is open as *descriptor*; None for one of another disk."""
        found = os.fstat(descriptor)
        return self._numbers.get((found.st_dev, found.st_ino))

    def holds(self, path: object) -> bool:
        """Tell whether *path* is one below this directory."""
        return isinstance(path, str | os.PathLike) and str(path).startswith(self._below)

    def made(self, path: _Path, found: os.stat_result) -> None:
        self._last += 1
        self._know(found, self._last)
        parent, name = self._place(path)
        self._paths[os.fsdecode(path)] = self._last
        self.note(Make(parent, name, self._last, found.st_mode))

    def linked(self, old: _Path, new: _Path) -> None:
        number = self._paths[os.fsdecode(new)] = self._paths[os.fsdecode(old)]
        self.note(Link(*self._place(new), number))

    def renamed(self, old: _Path, new: _Path) -> None:
        number = self._paths[os.fsdecode(new)] = self._paths.pop(os.fsdecode(old))
        self.note(Rename(*self._place(old), *self._place(new), number))

    def removed(self, path: _Path) -> None:
        del self._paths[os.fsdecode(path)]
        self.note(Unlink(*self._place(path)))

    def _place(self, path: _Path) -> tuple[int, bytes]:
        parent, name = os.path.split(os.fsdecode(path))
        return self._paths[parent], os.fsencode(name)

    def _know(self, found: os.stat_result, number: int) -> None:
        self._numbers[found.st_dev, found.st_ino] = number


class _Calls:
    """The functions of `os` while a directory is recorded: each does what it did, and notes it."""

    def __init__(self, record: RecordedDirectory) -> None:
        self._record = record
        self._os: dict[str, Callable[..., Any]] = {}

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Have everybody in this process call these."""
        names = [name for name in vars(type(self)) if name[0] != "_" and hasattr(os, name)]
        self._os = {name: getattr(os, name) for name in names}
        with mock.patch.multiple(os, **{name: getattr(self, name) for name in names}):
            yield

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        record = self._record
        descriptor: int
        if not flags & (os.O_CREAT | os.O_TRUNC) or not record.holds(path):
            return self._os["open"](path, flags, mode, dir_fd=dir_fd)  # type: ignore[no-any-return]
        number = record.number_at(path)
        descriptor = self._os["open"](path, flags, mode)
        if number is None:
            record.made(path, os.fstat(descriptor))
        elif flags & os.O_TRUNC:
            record.note(Cut(number, 0))
        return descriptor

    def write(self, descriptor: int, data: Any) -> int:
        number = self._record.number_of(descriptor)
        if number is None:
            return self._os["write"](descriptor, data)  # type: ignore[no-any-return]
        if self._record.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        offset = os.lseek(descriptor, 0, os.SEEK_CUR)
        done: int = self._os["write"](descriptor, data)
        self._record.note(Write(number, offset, bytes(data[:done])))
        return done

    def preadv(self, descriptor: int, buffers: Any, offset: int, flags: int = 0) -> int:
        if flags & os.RWF_NOWAIT and self._record.number_of(descriptor) is not None:
            # As on a mount: it does not say what is in memory.
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return self._os["preadv"](descriptor, buffers, offset, flags)  # type: ignore[no-any-return]

    def fsync(self, descriptor: Any) -> None:
        self._synced("fsync", descriptor)

    def fdatasync(self, descriptor: Any) -> None:
        self._synced("fdatasync", descriptor)

    def _synced(self, call: str, descriptor: int) -> None:
        self._os[call](descriptor)
        if (number := self._record.number_of(descriptor)) is not None:
            self._record.note(Sync(number, data_only=call == "fdatasync"))

    def fchmod(self, descriptor: int, mode: int) -> None:
        self._os["fchmod"](descriptor, mode)
        if (number := self._record.number_of(descriptor)) is not None:
            self._record.note(Mode(number, os.fstat(descriptor).st_mode))

    def chmod(self, path: Any, mode: int, **options: Any) -> None:
        self._os["chmod"](path, mode, **options)
        if (number := self._record.number_at(path)) is not None:
            self._record.note(Mode(number, os.stat(path).st_mode))

    def mkdir(self, path: Any, mode: int = 0o777, **options: Any) -> None:
        self._os["mkdir"](path, mode, **options)
        if self._record.holds(path):
            self._record.made(path, os.stat(path))

    def link(self, old: Any, new: Any, **options: Any) -> None:
        self._os["link"](old, new, **options)
        if self._record.holds(new):
            self._record.linked(old, new)

    def rename(self, old: Any, new: Any, **options: Any) -> None:
        self._os["rename"](old, new, **options)
        if self._record.holds(old):
            self._record.renamed(old, new)

    def replace(self, old: Any, new: Any, **options: Any) -> None:
        self._os["replace"](old, new, **options)
        if self._record.holds(old):
            self._record.renamed(old, new)

    def unlink(self, path: Any, **options: Any) -> None:
        self._os["unlink"](path, **options)
        if self._record.holds(path):
            self._record.removed(path)


def _write_bytes(path: Path, data: bytes) -> int:
    """Do what `Path.write_bytes` does, by calls that can be recorded."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        return os.write(descriptor, data)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def recorded_directory(path: Path) -> Iterator[RecordedDirectory]:
    """Record what this process does in the new directory *path* from now on."""
    record = RecordedDirectory(path)
    with _Calls(record).in_place(), mock.patch.object(Path, "write_bytes", _write_bytes):
        yield record
