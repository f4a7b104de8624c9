"""Where things were: paths of the past to directories and names, and back."""

from __future__ import annotations

from typing import NamedTuple

from lucidnode.fs.errors import NoSuchPast, OlderNeeded
from lucidnode.fs.history.past import Past
from lucidnode.fs.replica.inode import MAX_DEPTH, ROOT, InodeNo

Path = tuple[bytes, ...]
"""The names on the way from the root; the root itself has none."""


class Place(NamedTuple):
    """A name in a directory, which may be gone, as the directory may be."""

    parent: InodeNo
    name: bytes


def shown(path: Path) -> str:
    """Return *path* for people, below the project's own directory."""
    return b"/".join(path).decode(errors="replace")


def place_of(past: Past, path: Path) -> Place:
    """Return the place that *path* is, or was when something was last there.

    Raises NoSuchPast if its directory never existed; not the root.
    """
    return Place(directory_of(past, path[:-1]), path[-1])


def directory_of(past: Past, path: Path) -> InodeNo:
    """Return what *path* is, or last was. Raises NoSuchPast if nothing ever was there."""
    here = ROOT
    for depth, name in enumerate(path, 1):
        found = latest(past, Place(here, name))
        if found is None:
            raise no_such_past(past, path[:depth])
        here = found
    return here


def no_such_past(past: Past, path: Path) -> NoSuchPast:
    """Return what is raised if *past* has nothing called *path*."""
    if past.since:
        return OlderNeeded(
            f"nothing called {shown(path)} is in this project, or was since version {past.since}"
        )
    return NoSuchPast(f"nothing called {shown(path)} was ever in this project")


def latest(past: Past, place: Place) -> InodeNo | None:
    """Return what *place* means, or meant when it last meant something; None if it never did."""
    if (now := past.now.lookup(*place)) is not None:
        return now.ino
    changes = past.log.of_name(*place)
    return changes[-1].before if changes else None


def path_to(past: Past, place: Place) -> str:
    """Return the path of *place* for people: where its directories are now, or last were."""
    names = [place.name]
    here = place.parent
    while here != ROOT and len(names) <= MAX_DEPTH:
        above = _name_of_directory(past, here)
        if above is None:
            names.insert(0, "…".encode())
            break
        here, name = above
        names.insert(0, name)
    return shown(tuple(names))


def _name_of_directory(past: Past, directory: InodeNo) -> Place | None:
    if names := past.now.names_of(directory):
        return Place(*names[0])
    lost = [change for change in past.log.names_of(directory) if change.before == directory]
    return Place(lost[-1].parent, lost[-1].name) if lost else None
