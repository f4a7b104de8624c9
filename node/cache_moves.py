"""Moves of the cache from one directory to another, as far as something of them is left.

A move notes where from and where to in the home, before anything else. What it leaves (an old
directory that is not in force any more, or a copy of which it broke off) is taken away by the next
start or the next move, whoever was killed when; and nothing is deleted that does not prove to be of
this cache: an old directory by its mark, a copy under way by a mark of its own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from lucidnode.node.cache.lock import DirectoryLock
from lucidnode.node.cache.mark import COPYING_FILE, MARK_FILE, PARTS, SCRATCH, read_mark
from lucidnode.node.client.durable import sync_directory, write_durably
from lucidnode.node.client.errors import Malformed, Refused
from lucidnode.node.client.json_text import json_in
from lucidnode.node.config import cache_directory, load_config

MOVES_FILE = "cache-moves.json"
"""In the home, while something of a move may be left."""

_MOST = 16
"""Of which something may be left on disks that are away for good."""


class CacheMove(msgspec.Struct, frozen=True):
    """One move, by absolute paths."""

    source: str
    target: str


def note_move(home: Path, source: Path, target: Path) -> None:
    """Note durably that the cache moves from *source* to *target*. Blocking; raises DiskFull, OSError."""
    move = CacheMove(str(source), str(target))
    _keep(home, [*(each for each in _moves(home) if each != move), move][-_MOST:])


def forget_moves(home: Path) -> None:
    """Leave what moves have left as it is, for good. Blocking; raises OSError."""
    _keep(home, [])


def clear_up(home: Path, target: Path | None = None) -> None:
    """Take away what moves of the cache of *home* have left, and nothing else.

    A copy that broke off stays, for the same move goes on with it; unless a move begins that leads to
    *target*, another place. A directory whose disk is away is looked for again. Blocking, and as slow as
    those disks. Raises as `load_config`, and OSError.
    """
    config = load_config(home)
    here = cache_directory(home, config)
    mark = config.cache_id or read_mark(here)
    moves = _moves(home)
    if mark is None or not moves:
        return
    if _reads(here / COPYING_FILE) == mark:
        (here / COPYING_FILE).unlink()  # it is whole since it is in force
    _keep(home, [each for each in moves if not _is_over(each, here, mark, target)])


def begin_copy(directory: Path, mark: str) -> None:
    """Mark the existing *directory* as a copy under way of the cache with *mark*. On disk on return."""
    _drop_scratch(directory)
    write_durably(directory / COPYING_FILE, mark.encode() + b"\n")


def is_copy_of(directory: Path, mark: str | None) -> bool:
    """Tell whether *directory* is empty, or holds a copy of the cache with *mark*, whole or under way."""
    if next(files_of(directory), None) is None:
        return True
    return mark is not None and mark in {read_mark(directory), _reads(directory / COPYING_FILE)}


def files_of(directory: Path) -> Iterator[Path]:
    """Return the files of the cache in *directory*, its mark last: with the mark it is a whole one.

    No links are followed, and what is not a cache's is passed over. Blocking; raises OSError.
    """
    for part in sorted(PARTS - {MARK_FILE, COPYING_FILE}):
        top = directory / part
        found = [top, *sorted(top.rglob("*"))] if not top.is_symlink() else []
        yield from (path for path in found if path.is_file() and not path.is_symlink())
    if (directory / MARK_FILE).is_file():
        yield directory / MARK_FILE


def _is_over(move: CacheMove, here: Path, mark: str, target: Path | None) -> bool:
    """Clear up behind *move* if it is time for that; tell whether there is nothing left of it."""
    source, other = Path(move.source), Path(move.target)
    if source != here:
        return _cleared(source, MARK_FILE, here, mark)
    if target in {None, other}:
        return False
    return _cleared(other, COPYING_FILE, here, mark)


def _cleared(left: Path, proof: str, here: Path, mark: str) -> bool:
    """Take away the cache in *left* if the file *proof* there has *mark*; tell whether none is left."""
    if not left.is_dir():
        return False  # its disk may be away
    if _in_each_other(left, here) or read_mark(left) not in {None, mark}:
        return True  # it is another cache now
    is_proven = _reads(left / proof) == mark
    try:
        with contextlib.closing(DirectoryLock(left)):
            _drop_scratch(left)
            if not is_proven and proof == COPYING_FILE:
                return True  # nothing was copied yet
            if is_proven:
                _delete(left, proof)
            for part in PARTS:
                _take_away_empty(left / part)
    except Refused:
        return False  # another daemon uses it
    with contextlib.suppress(
        OSError
    ):  # something else lies in it, or it is where a disk is mounted
        left.rmdir()
    return True


def _delete(left: Path, proof: str) -> None:
    """Delete the files of the cache in *left*; *proof* goes last: without it there are none, also after a power cut."""
    for path in list(files_of(left)):
        if path.name != proof:
            path.unlink()
    for name in {MARK_FILE, COPYING_FILE} - {proof}:
        (left / name).unlink(missing_ok=True)
    for directory, _, _ in os.walk(left):
        sync_directory(Path(directory))
    (left / proof).unlink()


def _drop_scratch(directory: Path) -> None:
    for path in directory.iterdir():
        if SCRATCH.fullmatch(path.name):
            path.unlink()


def _take_away_empty(top: Path) -> None:
    if top.is_symlink():
        return
    for directory, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            Path(directory).rmdir()


def _in_each_other(one: Path, other: Path) -> bool:
    one, other = one.resolve(), other.resolve()
    return one.is_relative_to(other) or other.is_relative_to(one)


def _reads(path: Path) -> str | None:
    """Return the id in *path*, a mark, or None."""
    return read_mark(path.parent, path.name)


def _moves(home: Path) -> list[CacheMove]:
    try:
        return json_in((home / MOVES_FILE).read_bytes(), list[CacheMove])
    except (FileNotFoundError, Malformed):
        return []  # of a damaged one nothing can be believed, and so nothing is deleted


def _keep(home: Path, moves: list[CacheMove]) -> None:
    if moves == _moves(home):
        return
    if moves:
        write_durably(home / MOVES_FILE, msgspec.json.encode(moves))
    else:
        (home / MOVES_FILE).unlink(missing_ok=True)
