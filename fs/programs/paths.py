"""Finds what a path of a project means, as the kernel does it for a mount."""

from __future__ import annotations

from typing import NamedTuple

from lucidnode.fs.errors import FileMissing, Invalid, IsDirectory, NotDirectory
from lucidnode.fs.files.file_system import FileSystem
from lucidnode.fs.replica.inode import ROOT, Attributes, InodeNo, Kind

_MAX_LINKS = 40
"""Symbolic links on the way, as in path_resolution(7)."""


class NamedPlace(NamedTuple):
    """A name in a directory, and what has it now; the root has no name."""

    parent: InodeNo
    name: bytes
    found: Attributes | None


def place_of(files: FileSystem, path: bytes, *, follow: bool = True) -> NamedPlace:
    """Return the place that *path* means; with *follow*, of a link that which it leads to.

    Raises FileMissing if a directory on the way is missing, NotDirectory, Invalid for a link that leads
    out of the project, or through too many others.
    """
    left = [part for part in reversed(path.split(b"/")) if part not in {b"", b"."}]
    place = NamedPlace(ROOT, b"", files.attributes(ROOT))
    links = 0
    while left:
        name = left.pop()
        above = place.found
        if above is None:
            raise FileMissing(path.decode(errors="replace"))
        if not above.is_directory:
            raise NotDirectory(path.decode(errors="replace"))
        if name == b"..":
            above = files.lookup(above.ino, b"..")
            place = NamedPlace(above.ino, b"", above)
            continue
        place = NamedPlace(above.ino, name, _looked_up(files, above.ino, name))
        if place.found is None or place.found.kind is not Kind.SYMLINK or not (left or follow):
            continue
        links += 1
        target = files.readlink(place.found.ino)
        if links > _MAX_LINKS or target.startswith(b"/"):
            raise Invalid(
                f"{path.decode(errors='replace')} leads out of the project, or round in circles"
            )
        left += [part for part in reversed(target.split(b"/")) if part not in {b"", b"."}]
        place = NamedPlace(above.ino, b"", above)
    return place


def existing(files: FileSystem, path: bytes, *, follow: bool = True) -> Attributes:
    """Return what is at *path*. Raises FileMissing, and as `place_of`."""
    found = place_of(files, path, follow=follow).found
    if found is None:
        raise FileMissing(path.decode(errors="replace"))
    return found


def named(files: FileSystem, path: bytes, *, follow: bool = False) -> NamedPlace:
    """Return the place of *path*, which has a name. Raises IsDirectory for the root, and as `place_of`."""
    place = place_of(files, path, follow=follow)
    if not place.name:
        raise IsDirectory("a directory that has no name of its own")
    return place


def _looked_up(files: FileSystem, parent: InodeNo, name: bytes) -> Attributes | None:
    try:
        return files.lookup(parent, name)
    except FileMissing:
        return None
