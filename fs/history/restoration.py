"""Brings a part of an earlier tree into the tree of now, by sharing its blocks.

It is work like any program's: operations on a replica, which become entries. Extents name the
blocks that the old content lies in, so no byte moves. What is there stays unless it is named here:
a tree is laid over the present one, and what came later is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from lucidnode.fs.errors import InTheWay
from lucidnode.fs.history.past_places import Path, shown
from lucidnode.fs.replica.inode import ROOT, Attributes, Extent, InodeNo, Kind
from lucidnode.fs.replica.intents import (
    Create,
    Link,
    NewExtent,
    RemoveXattr,
    SetAttributes,
    SetXattr,
    Truncate,
    Unlink,
    Write,
)
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.replica.tree_reader import TreeReader

_LISTED_NAMES = 1000
"""Names that are read of a directory at once."""

_MAX_TOLD = 1000
"""Paths of what is replaced that are kept to be told; all are counted."""


@dataclass(slots=True)
class Survey:
    """What bringing something back does to the present tree.

    *files* are all that were looked at, *size* their bytes; *replaced* of them have another content
    now, and *unchanged* are as they were already.
    """

    files: int = 0
    size: int = 0
    replaced: int = 0
    unchanged: int = 0
    paths: list[str] = field(default_factory=list)
    """Of those that are replaced, the first ones."""


class _Visit(NamedTuple):
    """One thing of the earlier tree, and where it goes; *path* is for people.

    *parent* is None where the directory is still to be made. *leaves*: all in it has been visited.
    """

    found: Attributes
    parent: InodeNo | None
    name: bytes
    path: Path
    leaves: bool = False


def survey(source: TreeReader, found: Attributes, target: TreeReader, place: Path) -> Survey:
    """Return what it does to bring *found*, of the tree *source*, back to *place* in *target*.

    Raises InTheWay where a directory meets something else.
    """
    told = Survey()
    parent = _directory_at(target, place[:-1])
    waiting = [_Visit(found, parent, place[-1], place)]
    while waiting:
        visit = waiting.pop()
        there = None if visit.parent is None else target.lookup(visit.parent, visit.name)
        _check_fits(visit, there)
        if visit.found.is_directory:
            into = None if there is None else there.ino
            waiting += _inside(source, visit, into)
            continue
        told.files += 1
        told.size += visit.found.size
        if there is None:
            continue
        if _is_same(source, visit.found, target, there):
            told.unchanged += 1
        elif not _has_same_content(source, visit.found, target, there):
            told.replaced += 1
            if len(told.paths) < _MAX_TOLD:
                told.paths.append(shown(visit.path))
    return told


class Restoration:
    """Lays a part of the tree *source* over that of *target*, at the time *wall_ns*."""

    def __init__(self, source: TreeReader, target: Replica, wall_ns: int) -> None:
        self._source = source
        self._target = target
        self._wall_ns = wall_ns
        self._linked: dict[InodeNo, InodeNo] = {}
        """Where files with several names came to be."""

    def steps(self, found: Attributes, place: Path) -> Iterator[int]:
        """Bring *found* back to *place*; yield the bytes of each thing that is done.

        Directories above it that are not there are made. Raises InTheWay, NoSpace, another FileError.
        """
        parent = self._made_directories(place[:-1])
        waiting = [_Visit(found, parent, place[-1], place)]
        while waiting:
            visit = waiting.pop()
            assert visit.parent is not None
            there = self._target.tree.lookup(visit.parent, visit.name)
            _check_fits(visit, there)
            if visit.leaves:
                assert there is not None
                self._set_attributes(visit.found, there)
                yield 0
            elif visit.found.is_directory:
                made = self._create(visit, visit.parent) if there is None else there.ino
                waiting.append(visit._replace(leaves=True))
                waiting += _inside(self._source, visit, made)
            else:
                self._restore(visit, visit.parent, there)
                yield visit.found.size

    def _made_directories(self, path: Path) -> InodeNo:
        here, then = ROOT, self._source.attributes(ROOT)
        for depth, name in enumerate(path, 1):
            then = None if then is None else self._source.lookup(then.ino, name)
            there = self._target.tree.lookup(here, name)
            if there is None:
                ino = self._target.new_ino()
                mode, uid, gid = (0o755, 0, 0) if then is None else (then.mode, then.uid, then.gid)
                self._target.apply(
                    Create(here, name, ino, Kind.DIRECTORY, mode, uid, gid, self._wall_ns)
                )
                here = ino
                continue
            if not there.is_directory:
                raise InTheWay(
                    f"{shown(path[:depth])} is no directory now: bring it back elsewhere"
                )
            here = there.ino
        return here

    def _restore(self, visit: _Visit, parent: InodeNo, there: Attributes | None) -> None:
        found = visit.found
        if there is not None and found.kind is not Kind.FILE:
            if _is_same(self._source, found, self._target.tree, there):
                return
            self._target.apply(Unlink(parent, visit.name, self._wall_ns))
            there = None
        if there is None and (made := self._linked.get(found.ino)) is not None:
            self._target.apply(Link(made, parent, visit.name, self._wall_ns))
            return
        ino = self._create(visit, parent) if there is None else there.ino
        if found.nlink > 1:
            self._linked[found.ino] = ino
        if found.kind is Kind.FILE:
            self._fill(found, ino, there)
        now = self._target.tree.attributes(ino)
        assert now is not None
        self._set_attributes(found, now)

    def _create(self, visit: _Visit, parent: InodeNo) -> InodeNo:
        found = visit.found
        ino = self._target.new_ino()
        target = self._source.readlink(found.ino) if found.kind is Kind.SYMLINK else b""
        self._target.apply(
            Create(
                parent,
                visit.name,
                ino,
                found.kind,
                found.mode,
                found.uid,
                found.gid,
                self._wall_ns,
                found.rdev,
                target,
            )
        )
        return ino

    def _fill(self, found: Attributes, ino: InodeNo, there: Attributes | None) -> None:
        """Give the file *ino* the content of *found*, unless it is that of *there*."""
        if there is not None:
            if _has_same_content(self._source, found, self._target.tree, there):
                return
            self._target.apply(Truncate(ino, 0, self._wall_ns))
        extents = self._source.extents(found.ino, 0, found.size)
        blocks = {extent.block.id: extent.block for extent in extents}
        new = [NewExtent(e.offset, e.length, e.block.id, e.block_offset) for e in extents]
        if found.size:
            self._target.apply(
                Write(ino, new, [*blocks.values()], self._wall_ns, size_at_least=found.size)
            )

    def _set_attributes(self, found: Attributes, now: Attributes) -> None:
        """Give the file *now* of the target the mode, owner, times and attributes of *found*."""
        source, target = self._source, self._target
        then = {name: source.xattr(found.ino, name) for name in source.xattr_names(found.ino)}
        for name in target.tree.xattr_names(now.ino):
            if name not in then:
                target.apply(RemoveXattr(now.ino, name, self._wall_ns))
            elif target.tree.xattr(now.ino, name) == then[name]:
                del then[name]
        for name, value in then.items():
            target.apply(SetXattr(now.ino, name, value, self._wall_ns))
        if _told_attributes(found) != _told_attributes(now):
            target.apply(
                SetAttributes(
                    now.ino,
                    self._wall_ns,
                    mode=found.mode,
                    uid=found.uid,
                    gid=found.gid,
                    mtime_ns=found.mtime_ns,
                )
            )


def attributes_at(tree: TreeReader, path: Path) -> Attributes | None:
    """Return what *path* is in *tree*, None if nothing."""
    here = tree.attributes(ROOT)
    for name in path:
        if here is None or not here.is_directory:
            return None
        here = tree.lookup(here.ino, name)
    return here


def _directory_at(tree: TreeReader, path: Path) -> InodeNo | None:
    """Return the directory at *path* in *tree*, None if nothing is there. Raises InTheWay."""
    for depth in range(1, len(path) + 1):
        found = attributes_at(tree, path[:depth])
        if found is None:
            return None
        if not found.is_directory:
            raise InTheWay(f"{shown(path[:depth])} is no directory now: bring it back elsewhere")
    found = attributes_at(tree, path)
    return None if found is None else found.ino


def _inside(source: TreeReader, visit: _Visit, into: InodeNo | None) -> Iterator[_Visit]:
    after: bytes | None = None
    while names := source.list_names(visit.found.ino, after, _LISTED_NAMES):
        for name, found in names:
            yield _Visit(found, into, name, (*visit.path, name))
        after = names[-1][0]


def _check_fits(visit: _Visit, there: Attributes | None) -> None:
    if there is not None and there.is_directory != visit.found.is_directory:
        was, now = ("directory", "file") if visit.found.is_directory else ("file", "directory")
        raise InTheWay(f"{shown(visit.path)} was a {was} then and is a {now} now: use --to")


def _is_same(source: TreeReader, found: Attributes, target: TreeReader, there: Attributes) -> bool:
    return (
        found.kind is there.kind
        and _told_attributes(found) == _told_attributes(there)
        and _has_same_content(source, found, target, there)
        and _xattrs(source, found.ino) == _xattrs(target, there.ino)
    )


def _has_same_content(
    source: TreeReader, found: Attributes, target: TreeReader, there: Attributes
) -> bool:
    if found.kind is not there.kind or found.size != there.size:
        return False
    if found.kind is Kind.SYMLINK:
        return source.readlink(found.ino) == target.readlink(there.ino)
    if found.kind is not Kind.FILE:
        return found.rdev == there.rdev
    if (found.ino, found.version) == (there.ino, there.version):
        return True
    return _extents(source, found) == _extents(target, there)


def _extents(tree: TreeReader, file: Attributes) -> list[Extent]:
    return tree.extents(file.ino, 0, file.size)


def _xattrs(tree: TreeReader, ino: InodeNo) -> dict[bytes, bytes]:
    return {name: tree.xattr(ino, name) for name in tree.xattr_names(ino)}


def _told_attributes(file: Attributes) -> tuple[int, ...]:
    return (file.mode, file.uid, file.gid, file.mtime_ns)
