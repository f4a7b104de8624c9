"""Which listings of directories the kernel may hold, and answer from by itself.

The kernel fills what it holds from a listing that passes through it whole, and drops it when a name
there changes through this mount; what others change it has to be told. Two rules keep what a listing
promises:

- It holds one place for a directory, shared by all handles. Filled anew, it may lack the name at
  which another handle stands, and end the listing there. So it is used by a handle that is the only
  one on its directory, and for listings that programs get in one piece.
- It holds names alone. Their attributes came with them, and once those are no longer valid each is
  asked for by itself. So a listing is taken from the kernel well before that, and as soon as it has
  forgotten many of them: to the kernel, whoever reads a file changes the time of its last access.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from cachetools import LRUCache

from lucidnode.fs.files.listing import START
from lucidnode.fs.replica.inode import InodeNo

MAX_LISTED_NAMES = 256
"""Of a listing that is held: programs get as many in one piece, unless their names are very long."""

KEPT_S = 20.0
"""Seconds for which a listing is held: a third of those for which its attributes are valid."""

LISTING_COSTS = 2
NAMES_AT_THE_COST_OF_ONE = 8
"""A listing takes as long as to be asked for the attributes of two files, since it takes two requests,
and of one more for each so many names. One is some 100 us, most of it the way here and back."""

MAX_DIRECTORIES = 65_536
"""Directories of which is remembered that they were listed: 10 MB."""


class Holding(NamedTuple):
    """Whether the kernel may hold the listing of a handle, and whether the one it has is right."""

    may_hold: bool
    is_right: bool


@dataclass(slots=True)
class _Pass:
    """A listing on its way through one handle. *since* is None where it cannot be held."""

    ino: InodeNo
    since: float | None = None
    expected: int = START
    names: int = 0


@dataclass(slots=True)
class _Listed:
    """A listing that the kernel has. *old* of its *names* are of files whose attributes it lacks."""

    since: float
    names: int
    old: int = 0


class KeptListings:
    """The listings of one mount; *now* gives seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._open: Counter[InodeNo] = Counter()
        self._passes: dict[int, _Pass] = {}
        self._listed: LRUCache[InodeNo, _Listed] = LRUCache(MAX_DIRECTORIES)

    def opened(self, handle: int, ino: InodeNo) -> Holding:
        """Note that *handle* lists *ino*, and return what the kernel may do with it."""
        self._open[ino] += 1
        self._passes[handle] = _Pass(ino)
        alone = self._open[ino] == 1
        return Holding(alone, alone and self._is_right(ino))

    def passed(self, handle: int, cookie: int, names: int, behind: int) -> None:
        """Note that the kernel was given *names* from *cookie* on, up to *behind*; none at the end."""
        listing = self._passes[handle]
        if cookie == START:
            listing.since, listing.expected, listing.names = self._now(), START, 0
        if cookie != listing.expected:
            listing.since = None
        listing.expected = behind
        listing.names += names
        if not names and listing.since is not None and listing.names <= MAX_LISTED_NAMES:
            self._listed[listing.ino] = _Listed(listing.since, listing.names)

    def released(self, handle: int) -> None:
        """Note that *handle* is no more."""
        ino = self._passes.pop(handle).ino
        self._open[ino] -= 1
        if not self._open[ino]:
            del self._open[ino]

    def attributes_forgotten(self, directories: Callable[[], Iterable[InodeNo]]) -> None:
        """Note that the kernel has to ask for those of one file, whose names are in *directories*."""
        if not self._listed:
            return
        for ino in directories():
            if (listed := self._listed.get(ino)) is not None:
                listed.old += 1

    def changed(self, directories: Iterable[InodeNo]) -> None:
        """Note that names in *directories* changed, and not by a request of the kernel."""
        for ino in directories:
            self._listed.pop(ino, None)
            if ino in self._open:
                for listing in self._passes.values():
                    if listing.ino == ino:
                        listing.since = None

    def _is_right(self, ino: InodeNo) -> bool:
        listed = self._listed.get(ino)
        return (
            listed is not None
            and self._now() < listed.since + KEPT_S
            and listed.old <= LISTING_COSTS + listed.names // NAMES_AT_THE_COST_OF_ONE
        )
