"""Copies a plain directory into a mounted project, with all that belongs to it, and checks each file.

A file gets its name once it is whole and was read back, so what has its name is done: who is broken
off goes on, and copies nothing twice. An import replaces nothing; a sync makes the target like the
source, in one step for each name, so that every state in between is one of whole files.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from stat import S_ISDIR, S_ISFIFO, S_ISLNK, S_ISREG

from lucidnode.checked_copy import LeftOut, content, copy_checked
from lucidnode.snapshot_directory import is_snapshot_directory, walk_of_now

_PART = ".lucidnode-import-"
"""What the name of a file begins with that is not whole yet; its inode number in the source follows."""

_AT_ONCE = 4
"""Files that are copied together: small ones wait for the disk one after the other."""

_SAFE_MODE = 0o1777
"""Of a mode; set-uid and set-gid files of other people have no place in a studio."""

_OURS = "user.lucid."
"""Attributes that Lucidnode itself sets."""

_FATAL = {errno.ENOTCONN, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE}
"""What the next file would meet as well."""


@dataclass(slots=True)
class Found:
    """What a directory holds, by paths below it: each directory before what is in it."""

    directories: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    """Further names of files, each with the first."""
    others: list[str] = field(default_factory=list)
    """Symbolic links and pipes."""
    left_out: list[tuple[str, str]] = field(default_factory=list)
    size: int = 0
    """Bytes of the files."""


@dataclass(slots=True)
class Imported:
    """What was done: *files* of *size* bytes copied, *unchanged* there already, what was not, and why."""

    files: int = 0
    size: int = 0
    unchanged: int = 0
    removed: int = 0
    """Files and directories that the source has not."""
    left_out: list[tuple[str, str]] = field(default_factory=list)
    without_attributes: int = 0
    """Files of which not all attributes, owners or times could be kept."""


def survey(source: Path) -> Found:
    """Return what is in *source*, a mount's snapshots left out; no symbolic link is followed. Raises OSError."""
    found = Found()
    first: dict[tuple[int, int], str] = {}
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(source / folder) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
        for entry in entries:
            path = os.path.join(folder, entry.name)  # noqa: PTH118  # millions of them
            told = entry.stat(follow_symlinks=False)
            if is_snapshot_directory(entry.name, told):
                continue
            if S_ISDIR(told.st_mode):
                found.directories.append(path)
                waiting.append(path)
            elif S_ISREG(told.st_mode) or S_ISLNK(told.st_mode) or S_ISFIFO(told.st_mode):
                named = first.setdefault((told.st_dev, told.st_ino), path)
                if named != path and told.st_nlink > 1:
                    found.links.append((path, named))
                elif S_ISREG(told.st_mode):
                    found.files.append(path)
                    found.size += told.st_size
                else:
                    found.others.append(path)
            else:
                found.left_out.append((path, "devices and sockets are not imported"))
    return found


class TreeImport:
    """Copies what was *found* in *source* into the directory *target*, which is there."""

    def __init__(
        self,
        source: Path,
        target: Path,
        found: Found,
        progress: Callable[[int], None],
        *,
        replaces: bool = False,
    ) -> None:
        """*progress* hears the bytes of what is done, half of each as it is written; from several threads.

        With *replaces*, what has another content or other attributes there gets those of the source.
        """
        self._replaces = replaces
        self._source = source
        self._target = target
        self._found = found
        self._progress = progress
        self._is_broken_off = False
        self._told = Imported(left_out=list(found.left_out))

    def run(self) -> Imported:
        """Do it, and return what came of it. Raises OSError for what every file would meet."""
        self._found.directories.sort()
        for path in self._found.directories:
            self._guarded(path, partial(self._make_directory, path))
        self._copy_files()
        for path in self._found.others:
            self._guarded(path, partial(self._make_other, path))
        for path, first in self._found.links:
            self._guarded(path, partial(self._link, path, first))
        for path in reversed(self._found.directories):
            if (self._target / path).is_dir():
                self._dress(path, self._target / path)
        self._dress("", self._target)
        return self._told

    def remove_others(self) -> None:
        """Remove from the target what the source has not; before `run`, for it changes times. Raises OSError."""
        there = self._found
        linked = (path for path, _ in there.links)
        known = {*there.directories, *there.files, *there.others, *linked}
        known |= {path for path, _ in there.left_out}
        for folder, folders, files in reversed(list(walk_of_now(self._target))):
            below = Path(folder).relative_to(self._target)
            for name in (*files, *folders):
                path = str(below / name)
                if path not in known:
                    self._guarded(path, partial(self._remove, self._target / path))

    def _remove(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
        self._told.removed += 1

    def _guarded(self, path: str, work: Callable[[], object]) -> None:
        try:
            work()
        except LeftOut as error:
            self._told.left_out.append((path, str(error)))
        except OSError as error:
            if error.errno in _FATAL:
                raise
            self._told.left_out.append((path, error.strerror or str(error)))

    def _make_directory(self, path: str) -> None:
        with suppress(FileExistsError):
            (self._target / path).mkdir(mode=0o700)
            return
        if not S_ISDIR((self._target / path).lstat().st_mode):
            raise LeftOut("something else has that name there")

    def _copy_files(self) -> None:
        with ThreadPoolExecutor(_AT_ONCE, "import") as pool:
            try:
                left = iter(self._found.files)
                while some := list(islice(left, 64 * _AT_ONCE)):
                    tasks = {pool.submit(self._copied, path): path for path in some}
                    for task in as_completed(tasks):
                        self._guarded(tasks[task], partial(self._count, task))
            except BaseException:
                self._is_broken_off = True  # files of hours may be under way
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _count(self, done: Future[tuple[int, bool, bool]]) -> None:
        size, copied, whole = done.result()
        if copied:
            self._told.files += 1
            self._told.size += size
        else:
            self._told.unchanged += 1
        self._told.without_attributes += not whole

    def _copied(self, path: str) -> tuple[int, bool, bool]:
        """Copy the file *path*; return its size, whether it was not there, and whether it is dressed."""
        source, target = self._source / path, self._target / path
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(source, flags), "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            if not S_ISREG(before.st_mode):
                raise LeftOut("it became something else meanwhile")
            left = before.st_size

            def passed(count: int) -> None:
                nonlocal left
                if self._is_broken_off:
                    raise LeftOut("the copying was broken off")
                left -= count // 2
                self._progress(count // 2)

            try:
                copied, whole = self._brought(file.fileno(), source, target, before, passed)
            finally:
                self._progress(left)  # its holes; all of it, if it was there or is left out
        return before.st_size, copied, whole

    def _brought(
        self,
        file: int,
        source: Path,
        target: Path,
        before: os.stat_result,
        passed: Callable[[int], None],
    ) -> tuple[bool, bool]:
        """Have *target* be what *file* holds; return whether it was not, and whether it is dressed.

        *passed* hears of each byte twice: as it is written, and as it is read back.
        """
        part = target.with_name(f"{_PART}{before.st_ino}")
        if _is_there(target, before, replaces=self._replaces):
            if target.lstat().st_nlink > 1:  # a run before was killed between both names
                part.unlink(missing_ok=True)
            whole = not self._replaces or _dressed_anew(source, target, before)
            return False, whole
        part.unlink(missing_ok=True)
        try:
            copy_checked(file, part, before, passed)
            whole = _dressed(source, part, before)
            if self._replaces:
                part.replace(target)
            else:
                _give_name(part, target)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        return True, whole

    def _make_other(self, path: str) -> None:
        source, target = self._source / path, self._target / path
        told = source.lstat()
        if S_ISLNK(told.st_mode):
            points_to = source.readlink()
            with suppress(FileExistsError):
                target.symlink_to(points_to)
                self._finish_other(source, target, told)
                return
            if not target.is_symlink() or target.readlink() != points_to:
                self._require_replaceable(target)
                part = target.with_name(f"{_PART}{told.st_ino}")
                part.unlink(missing_ok=True)
                part.symlink_to(points_to)
                part.replace(target)
                self._finish_other(source, target, told)
                return
        else:
            with suppress(FileExistsError):
                os.mkfifo(target, 0o600)
                self._finish_other(source, target, told)
                return
            if not S_ISFIFO(target.lstat().st_mode):
                self._require_replaceable(target)
                target.unlink()
                os.mkfifo(target, 0o600)
                self._finish_other(source, target, told)
                return
        self._told.unchanged += 1

    def _finish_other(self, source: Path, target: Path, told: os.stat_result) -> None:
        self._told.files += 1
        self._told.without_attributes += not _dressed(source, target, told)

    def _link(self, path: str, first: str) -> None:
        source, target = self._target / first, self._target / path
        with suppress(FileExistsError):
            os.link(source, target, follow_symlinks=False)
            self._told.files += 1
            return
        if target.lstat().st_ino != source.lstat().st_ino:
            self._require_replaceable(target)
            part = target.with_name(f"{_PART}{source.lstat().st_ino}")
            part.unlink(missing_ok=True)
            os.link(source, part, follow_symlinks=False)
            part.replace(target)
            self._told.files += 1
            return
        self._told.unchanged += 1

    def _require_replaceable(self, target: Path) -> None:
        if not self._replaces or S_ISDIR(target.lstat().st_mode):
            raise LeftOut("something else has that name there")

    def _dress(self, path: str, target: Path) -> None:
        source = self._source / path
        self._told.without_attributes += not _dressed(source, target, source.lstat())


def _is_there(target: Path, wanted: os.stat_result, *, replaces: bool) -> bool:
    """Tell whether *target* is the file already. Raises LeftOut if it is something that stays."""
    try:
        there = target.lstat()
    except FileNotFoundError:
        return False
    if S_ISREG(there.st_mode) and content(there) == content(wanted):
        return True
    if replaces and not S_ISDIR(there.st_mode):
        return False
    raise LeftOut("another file, or another content, has that name there")


def _give_name(part: Path, target: Path) -> None:
    """Call *part* *target*, if nothing is. Raises LeftOut."""
    try:
        os.link(part, target, follow_symlinks=False)
    except FileExistsError:
        raise LeftOut("another file got that name meanwhile") from None
    part.unlink()


def _dressed(source: Path, target: Path, told: os.stat_result) -> bool:
    """Give *target* the attributes, owner, mode and times of *source*; tell whether all were taken."""
    whole = True
    try:
        names = os.listxattr(source, follow_symlinks=False)
    except OSError:
        names, whole = [], False
    for name in names:
        if name.startswith(_OURS):
            continue
        try:
            value = os.getxattr(source, name, follow_symlinks=False)
            os.setxattr(target, name, value, follow_symlinks=False)
        except OSError:
            whole = False
    try:
        if os.geteuid() == 0:
            os.chown(target, told.st_uid, told.st_gid, follow_symlinks=False)
        if not S_ISLNK(told.st_mode):
            target.chmod(told.st_mode & _SAFE_MODE)
        os.utime(target, ns=(told.st_atime_ns, told.st_mtime_ns), follow_symlinks=False)
    except OSError as error:
        if error.errno in _FATAL:
            raise
        whole = False
    return whole


def _dressed_anew(source: Path, target: Path, told: os.stat_result) -> bool:
    """Do as `_dressed` where anything differs, and take off attributes that *source* has not."""
    there = target.lstat()
    mine, theirs = _attributes(source), _attributes(target)
    owner = os.geteuid() != 0 or (there.st_uid, there.st_gid) == (told.st_uid, told.st_gid)
    if mine == theirs and owner and (there.st_mode ^ told.st_mode) & _SAFE_MODE == 0:
        return True
    for name in theirs.keys() - mine.keys():
        os.removexattr(target, name, follow_symlinks=False)
    return _dressed(source, target, told)


def _attributes(path: Path) -> dict[str, bytes]:
    return {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in os.listxattr(path, follow_symlinks=False)
        if not name.startswith(_OURS)
    }
