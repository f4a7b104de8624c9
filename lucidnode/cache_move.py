"""The block cache moves to another directory, with all it holds: cached blocks, and what is not uploaded.

Copied, made durable, and only then put in force and taken away where it was: whoever is killed on the
way has the cache where it was, whole, and begins again where it broke off, or has it in its new place
and the old one is cleared up later (node/cache_moves.py). On one disk files are linked instead of copied.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from lucidnode.node.cache.lock import DirectoryLock
from lucidnode.node.cache.mark import PARTS, check_fit, read_mark, take
from lucidnode.node.cache_moves import begin_copy, clear_up, files_of, is_copy_of, note_move
from lucidnode.node.client.durable import make_directory
from lucidnode.node.client.errors import DiskFull, Refused
from lucidnode.node.config import cache_directory, change_config, load_config

_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK}


def size_of_cache(directory: Path) -> int:
    """Return the bytes that lie in *directory*. Blocking."""
    return sum(path.stat().st_size for path in files_of(directory))


def check_new_place(home: Path, new: Path) -> None:
    """Raise Refused, a sentence, if the cache of *home* cannot move to the directory *new*. Blocking."""
    old = cache_directory(home, load_config(home))
    check_fit(new)
    if new.resolve().is_relative_to(old.resolve()) or old.resolve().is_relative_to(new.resolve()):
        raise Refused(f"{new} and {old} lie in each other: name a directory beside it")
    if not old.is_dir() and _has_begun(home):
        raise Refused(f"{old}, the cache until now, is missing: mount its disk first")
    theirs = read_mark(new)
    if theirs is not None and theirs != read_mark(old):
        raise Refused(f"{new} holds another cache: `lucidnode cache adopt {new}` takes that up")
    if not is_copy_of(new, read_mark(old)):
        raise Refused(
            f"{new} holds files that are of no copy of this cache: name an empty directory"
        )
    for part in sorted(PARTS):
        if (old / part).is_symlink():
            raise Refused(f"{old / part} is a link: put there what it leads to, and take it away")


def move_cache(home: Path, new: Path, copied: Callable[[int], None]) -> None:
    """Have the cache of *home* in *new* from now on; *copied* hears of bytes. No daemon may run.

    Blocking. Raises Refused as `check_new_place`, or if a daemon uses it, and DiskFull, OSError.
    """
    check_new_place(home, new)
    old = cache_directory(home, load_config(home))
    if not old.is_dir():  # nothing has been cached yet
        change_config(home, partial(msgspec.structs.replace, cache_dir=str(new)))
        return
    clear_up(home, new)
    with contextlib.closing(DirectoryLock(old)):
        make_directory(new)
        note_move(home, old, new)
        begin_copy(new, take(old))
        for path in list(files_of(new)):  # of a move that broke off, and gone since
            if not (old / path.relative_to(new)).exists():
                path.unlink()
        try:
            for path in files_of(old):
                _copy(path, new / path.relative_to(old))
                copied(path.stat().st_size)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise DiskFull(
                    f"the disk of {new} is full, and the cache stays in {old}: make room, or let the "
                    "cache hold less with `lucidnode config set cache.limit`"
                ) from error
            raise
        _sync_directories(new)
        change_config(home, partial(msgspec.structs.replace, cache_dir=str(new)))
    clear_up(home)  # the old one, gone only now: until then it was the one in force


def _has_begun(home: Path) -> bool:
    """Tell whether a daemon of *home* has ever had a cache: before that there is none to move."""
    return load_config(home).cache_id is not None


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = source.stat()
    with contextlib.suppress(FileNotFoundError):
        there = target.stat()
        if (there.st_size, there.st_mtime_ns) == (before.st_size, before.st_mtime_ns):
            return
        target.unlink()
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        return
    unfinished = target.with_name(f".{target.name}.part")
    try:
        with source.open("rb") as reader, unfinished.open("wb") as writer:
            os.fchmod(writer.fileno(), before.st_mode & 0o777)
            shutil.copyfileobj(reader, writer, 1 << 20)
            writer.flush()
            os.fsync(writer.fileno())
        os.utime(unfinished, ns=(before.st_atime_ns, before.st_mtime_ns))
        unfinished.rename(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _sync_directories(top: Path) -> None:
    for directory, _, _ in os.walk(top):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
