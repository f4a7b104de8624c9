"""SQLite's files of one directory, recorded beside a recording disk, in the same order of steps.

Each page that SQLite writes through a real mount costs the mount's server, and a soak writes
millions. So its files lie in an ordinary directory, and are recorded where SQLite writes them: what
they then hold is read back below the cipher. Their names count as synced; that of a new log is
looked after in tests/unit/durability/test_power_cut.py.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import apsw
from disk_record import ROOT, Cut, Inode, Make, Step, Sync, Tree, Unlink, Write

_DIRECTORY = 1 << 32
"""The inode of the directory in the record; those of its files follow."""

_SHARED_MEMORY = "-shm"
"""Ending of what is no file, but memory of the processes that have a database open."""


class OtherFiles(Protocol):
    """The recorded disk that holds all other files."""

    @property
    def is_full(self) -> bool:
        """Whether every write ends in ENOSPC."""

    def note(self, step: Step) -> None:
        """Record *step*, which was done beside it, after everything before."""

    def lay_down(self, tree: Tree) -> None:
        """Have it hold *tree*, all of it for certain, and nothing else."""


class RecordingDatabase:
    """Records *directory* as `NAME` in the highest directory of *disk*."""

    NAME = b"replica"

    def __init__(self, directory: Path, disk: OtherFiles) -> None:
        self.directory = directory
        self._disk = disk
        self._inodes: dict[str, int] = {}
        self._last = _DIRECTORY
        directory.mkdir()
        self._note_directory()

    @property
    def is_full(self) -> bool:
        return self._disk.is_full

    def lay_down(self, tree: Tree) -> None:
        """Have directory and disk hold *tree*, all of it for certain, and nothing else."""
        inodes, highest = tree.inodes, tree.inodes[ROOT]
        names = {name: ino for name, ino in highest.names.items() if name != self.NAME}
        self._disk.lay_down(Tree({**inodes, ROOT: Inode(highest.mode, names=names)}))
        shutil.rmtree(self.directory)
        self.directory.mkdir()
        self._inodes.clear()
        self._note_directory()
        for name, ino in inodes[highest.names[self.NAME]].names.items():
            path = self.directory / os.fsdecode(name)
            path.write_bytes(inodes[ino].data)
            self.opened(path.name)
            self.wrote(path.name, 0, bytes(inodes[ino].data))
            self.synced(path.name)

    def _note_directory(self) -> None:
        self._disk.note(Make(ROOT, self.NAME, _DIRECTORY, 0o040700))
        self._disk.note(Sync(ROOT, data_only=False))

    # -- what SQLite does --------------------------------------------------------------------

    def holds(self, path: str) -> bool:
        """Tell whether *path* is recorded here."""
        return Path(path).parent == self.directory and not path.endswith(_SHARED_MEMORY)

    def opened(self, name: str) -> None:
        if name not in self._inodes:
            self._last += 1
            self._inodes[name] = self._last
            self._disk.note(Make(_DIRECTORY, os.fsencode(name), self._last, 0o100600))
            self._disk.note(Sync(_DIRECTORY, data_only=False))

    def wrote(self, name: str, offset: int, data: bytes) -> None:
        if (ino := self._inodes.get(name)) is not None:
            self._disk.note(Write(ino, offset, data))

    def cut(self, name: str, size: int) -> None:
        if (ino := self._inodes.get(name)) is not None:
            self._disk.note(Cut(ino, size))

    def synced(self, name: str) -> None:
        if (ino := self._inodes.get(name)) is not None:
            self._disk.note(Sync(ino, data_only=True))

    def deleted(self, name: str) -> None:
        if self._inodes.pop(name, None) is not None:
            self._disk.note(Unlink(_DIRECTORY, os.fsencode(name)))


class _File(apsw.VFSFile):
    """A file of a recorded database."""

    def __init__(
        self,
        below: str,
        name: str | apsw.URIFilename | None,
        flags: list[int],
        path: str,
        record: RecordingDatabase,
    ) -> None:
        super().__init__(below, name, flags)
        self._record = record
        self._name = Path(path).name
        self._raw: int | None = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._record.opened(self._name)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # SQLite's name
        if self._record.is_full:
            raise apsw.FullError("no space left on the device")
        super().xWrite(data, offset)
        if self._raw is not None:
            self._record.wrote(self._name, offset, os.pread(self._raw, len(data), offset))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self._record.cut(self._name, newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._record.synced(self._name)

    def xClose(self) -> None:  # noqa: N802
        if self._raw is not None:
            os.close(self._raw)
            self._raw = None
        super().xClose()


class _Files(apsw.VFS):
    """SQLite's door to the disk, with a record of one directory."""

    def __init__(self, below: str, record: RecordingDatabase) -> None:
        super().__init__("recording", below, makedefault=True)
        self._below, self._record = below, record

    def xOpen(  # noqa: N802
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path and self._record.holds(path):
            return _File(self._below, name, flags, path, self._record)
        return apsw.VFSFile(self._below, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        if self._record.holds(filename):
            self._record.deleted(Path(filename).name)


@contextlib.contextmanager
def recording_database(directory: Path, disk: OtherFiles) -> Iterator[RecordingDatabase]:
    """Record what is done to databases in the new *directory* from now on.

    Their syncs are recorded where the process asks the kernel for them: the replica syncs its log
    itself, beside SQLite.
    """
    record, below = RecordingDatabase(directory, disk), apsw.vfs_names()[0]
    files, kernel = _Files(below, record), os.fdatasync

    def fdatasync(file: int) -> None:
        kernel(file)
        path = f"/proc/self/fd/{file}"
        if record.holds(name := str(Path(path).readlink())):
            record.synced(Path(name).name)

    os.fdatasync = fdatasync  # type: ignore[assignment]  # takes what we give it
    try:
        yield record
    finally:
        os.fdatasync = kernel
        files.unregister()
        apsw.set_default_vfs(below)
