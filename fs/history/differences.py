"""What differs between two states of a project."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

from lucidnode.fs.history.past import Past
from lucidnode.fs.history.past_places import Path, Place
from lucidnode.fs.replica.inode import MAX_DEPTH, ROOT, Attributes, InodeNo, Kind
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.ids import Seq

Change = Literal["added", "deleted", "changed", "attributes", "renamed"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that is not as it was. *old_path* is that of before, where it was *renamed*.

    Sizes are in bytes, None of what is no file, or is not there.
    """

    change: Change
    path: Path
    old_path: Path | None
    old_size: int | None
    size: int | None


class _Found(NamedTuple):
    attributes: Attributes
    content: bytes
    places: dict[Place, Path]


class _Name(NamedTuple):
    """A name that meant *found*, or means it now; *old_path* is what it had instead before."""

    found: _Found
    path: Path
    old_path: Path | None


def differences(past: Past, since: Seq, until: Seq) -> list[Difference]:
    """Return what differs from entry *since* to entry *until*, by path. Raises as `Past.at`.

    Only what was touched between is looked at. Of a directory that has another name, what is in it
    is not told one by one.
    """
    first, last = sorted((since, until))
    touched = past.log.touched(first, last)
    with past.at(since) as tree:
        before = _look(tree, touched)
    with past.at(until) as tree:
        after = _look(tree, touched)
        here = {
            place: _path(tree, place)
            for old in before.values()
            for place in old.places
            if tree.attributes(place.parent) is not None
        }
    found: list[Difference] = []
    gone: dict[Path, _Name] = {}
    come: dict[Path, _Name] = {}
    for ino in touched:
        old, new = before.get(ino), after.get(ino)
        left, got = _moves(old, new)
        gone.update({here.get(place, path): _Name(old, path, None) for place, path in left if old})
        was = [path for _, path in left]
        for number, (_, path) in enumerate(got):
            if new is not None:
                come[path] = _Name(new, path, was[number] if number < len(was) else None)
        if old is not None and new is not None and new.places:
            found += _of_file(next(iter(new.places.values())), old, new)
    return sorted(found + _of_names(gone, come), key=lambda each: (each.path, each.change))


def _moves(
    old: _Found | None, new: _Found | None
) -> tuple[list[tuple[Place, Path]], list[tuple[Place, Path]]]:
    """Return the names that a file lost, and those that it got."""
    before = {} if old is None else old.places
    after = {} if new is None else new.places
    return (
        [each for each in before.items() if each[0] not in after],
        [each for each in after.items() if each[0] not in before],
    )


def _look(tree: TreeReader, touched: list[InodeNo]) -> dict[InodeNo, _Found]:
    found: dict[InodeNo, _Found] = {}
    for ino in touched:
        if (attributes := tree.attributes(ino)) is not None:
            places = {Place(*name): _path(tree, Place(*name)) for name in tree.names_of(ino)}
            found[ino] = _Found(attributes, _content(tree, attributes), places)
    return found


def _path(tree: TreeReader, place: Place) -> Path:
    names = [place.name]
    here = place.parent
    while here != ROOT and len(names) <= MAX_DEPTH:
        above = tree.names_of(here)
        if not above:
            break
        here, name = above[0]
        names.insert(0, name)
    return tuple(names)


def _of_file(path: Path, old: _Found, new: _Found) -> list[Difference]:
    """Return how the file *new*, at *path* now, differs from *old*, but for its names."""
    sizes = _size(old.attributes), _size(new.attributes)
    if old.content != new.content:
        return [Difference("changed", path, None, *sizes)]
    if _modes(old.attributes) != _modes(new.attributes):
        return [Difference("attributes", path, None, *sizes)]
    return []


def _of_names(gone: dict[Path, _Name], come: dict[Path, _Name]) -> list[Difference]:
    """Return what the names tell that meant something before, or mean something now.

    *gone* are by the path that they would have now. One that is there again is no difference but in
    what it means.
    """
    found: list[Difference] = []
    moved = {name.old_path for name in come.values() if name.old_path and name.path not in gone}
    for path, old in gone.items():
        if path not in come and old.path not in moved:
            found.append(Difference("deleted", old.path, None, _size(old.found.attributes), None))
    for path, new in come.items():
        size = _size(new.found.attributes)
        if path in gone:
            found += _of_file(path, gone[path].found, new.found)
        elif new.old_path is not None:
            found.append(Difference("renamed", path, new.old_path, size, size))
        else:
            found.append(Difference("added", path, None, None, size))
    return found


def _size(file: Attributes) -> int | None:
    return file.size if file.kind is Kind.FILE else None


def _content(tree: TreeReader, file: Attributes) -> bytes:
    """Return what is the same for the same content: of extents, no byte is read."""
    if file.kind is Kind.SYMLINK:
        return tree.readlink(file.ino)
    told = hashlib.blake2b(digest_size=32)
    told.update(f"{file.kind} {file.rdev} {_size(file)}".encode())
    for extent in tree.extents(file.ino, 0, file.size):
        told.update(f" {extent.offset} {extent.length} {extent.block_offset} ".encode())
        told.update(extent.block.id)
    return told.digest()


def _modes(file: Attributes) -> tuple[int, int, int]:
    return (file.mode, file.uid, file.gid)
