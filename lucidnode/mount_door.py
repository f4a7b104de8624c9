"""A project that is mounted, by its mount point."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lucidnode.files_door import FileInfo, FileKind, ReadSource, WriteSink, below_path
from lucidnode.fs.programs.requests import MAX_PIECE_BYTES, How
from lucidnode.in_the_cloud import state_of
from lucidnode.program_socket import DoorGone

_PART = ".lucidnode-put-"
"""What the name begins with of a content that is not whole (fs/programs/program_files.py)."""


class MountDoor:
    """A project that is mounted at *mountpoint*. What it acknowledges is as safe as the mount's `--durability` says."""

    def __init__(self, mountpoint: Path) -> None:
        """Go by *mountpoint*. Raises OSError, DoorGone if nothing is mounted there."""
        self._mountpoint = mountpoint
        self._device = mountpoint.stat().st_dev
        if self._device == mountpoint.parent.stat().st_dev:
            raise DoorGone(f"nothing is mounted at {mountpoint}")

    @property
    def _root(self) -> Path:
        # What would go into the directory below a mount that is away is in no project.
        if self._mountpoint.stat().st_dev != self._device:
            raise DoorGone(f"what was mounted at {self._mountpoint} is not there any more")
        return self._mountpoint

    def look(self, path: str, *, follow: bool = True) -> FileInfo:
        return self._info(path, self._root / path, follow=follow)

    def names(self, path: str) -> Iterator[FileInfo]:
        listed = [each.name for each in (self._root / path).iterdir()]
        for name in sorted(listed, key=os.fsencode):
            if not name.startswith(_PART):
                with suppress(FileNotFoundError):
                    yield self._info(below_path(path, name), self._root / path / name, follow=False)

    def reading(self, path: str) -> ReadSource:
        descriptor = os.open(self._root / path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            info = self._info(path, descriptor, follow=True)
        except BaseException:
            os.close(descriptor)
            raise
        if info.kind == "directory":
            os.close(descriptor)
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return _MountSource(descriptor, info)

    def writing(self, path: str, how: How, *, parents: bool) -> WriteSink:
        target = self._root / path
        if parents:
            target.parent.mkdir(parents=True, exist_ok=True)
        target = Path(os.path.realpath(target))
        if how == "new" and os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return _MountSink(target, how)

    def make_directory(
        self,
        path: str,
        *,
        parents: bool,
        exist_ok: bool,
        soon: bool = False,  # noqa: ARG002  # acknowledged each by itself
    ) -> None:
        (self._root / path).mkdir(parents=parents, exist_ok=exist_ok)

    def remove(self, path: str, *, directory: bool, soon: bool = False) -> None:  # noqa: ARG002
        if directory:
            (self._root / path).rmdir()
        else:
            (self._root / path).unlink()

    def move(self, path: str, target: str, *, soon: bool = False) -> None:  # noqa: ARG002
        (self._root / path).rename(self._root / target)

    def copy(self, path: str, target: str, *, parents: bool, soon: bool = False) -> None:
        with (self._root / path).open("rb") as taken:
            sink = self.writing(target, "replace", parents=parents)
            assert isinstance(sink, _MountSink)
            try:
                shutil.copyfileobj(taken, sink, MAX_PIECE_BYTES)
            except BaseException:
                sink.discard()
                raise
            sink.finish(soon=soon)

    def settle(self) -> None:
        """Wait for nothing: a mount has acknowledged each by itself."""

    def close(self) -> None:
        """Hold nothing open."""

    def _info(self, path: str, here: Path | int, *, follow: bool) -> FileInfo:
        found = here.stat(follow_symlinks=follow) if isinstance(here, Path) else os.fstat(here)
        kind = _kind(found.st_mode)
        try:
            state = state_of(here, follow=follow)
        except OSError as error:
            if error.errno not in {errno.ENODATA, errno.ENOTSUP, errno.EPERM}:
                raise
            state = "cloud"  # a link, which has no attributes that a user may ask for
        size = found.st_size if kind == "file" else 0
        return FileInfo(path, kind, size, stat.S_IMODE(found.st_mode), found.st_mtime_ns, state)


class _MountSource:
    def __init__(self, descriptor: int, info: FileInfo) -> None:
        self._descriptor = descriptor
        self.info = info

    def read_at(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)

    def close(self) -> None:
        os.close(self._descriptor)


class _MountSink:
    def __init__(self, target: Path, how: How) -> None:
        self._target = target
        self._how = how
        self._part = target.with_name(f"{_PART}mount-{secrets.token_hex(8)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        at = target if how == "append" else self._part
        flags |= os.O_APPEND if how == "append" else os.O_EXCL
        self._descriptor = os.open(at, flags, 0o666)

    def write(self, data: memoryview | bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def finish(self, *, soon: bool) -> None:  # noqa: ARG002
        if self._how == "append":
            os.close(self._descriptor)
            return
        try:
            with suppress(FileNotFoundError):
                there = self._target.stat()
                os.fchmod(self._descriptor, stat.S_IMODE(there.st_mode))
                for name in os.listxattr(self._target):
                    os.setxattr(self._descriptor, name, os.getxattr(self._target, name))
        finally:
            os.close(self._descriptor)
        try:
            if self._how == "new":
                os.link(self._part, self._target)
                self._part.unlink()
            else:
                self._part.replace(self._target)
        except BaseException:
            self._part.unlink(missing_ok=True)
            raise

    def discard(self) -> None:
        os.close(self._descriptor)
        if self._how != "append":
            self._part.unlink(missing_ok=True)


def _kind(mode: int) -> FileKind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "symlink" if stat.S_ISLNK(mode) else "other"
