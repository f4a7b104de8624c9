"""Cookies of directory listings: numbers that mean the same on every handle, and outlive changes.

An NFS server continues a listing on a handle of its own, and `seekdir` on one that has been
elsewhere since. So a cookie is no count of what one handle has passed: it is a hash of the name that
was handed out last, and the listing goes on with the names behind that one, in byte order, whether
it still is there or not. (In the order of the hashes the names would be found without any memory;
but then `tar` and `cp -r` would open the frames of an image sequence at random.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from cachetools import LRUCache

from lucidnode.fs.errors import Invalid
from lucidnode.fs.replica.inode import Attributes, InodeNo

START = 0
DOT = 1
DOT_DOT = 2
"""The cookies before everything, behind "." and behind ".."; no name has one of them."""

MAX_KNOWN_NAMES = 65536
"""Names whose cookie is remembered, over all directories: 20 MB."""


class Entry(NamedTuple):
    """One line of a listing, and the cookie that goes on behind it."""

    name: bytes
    attributes: Attributes
    cookie: int


def cookie_of(name: bytes) -> int:
    """Return the cookie behind *name*, between 3 and 2**63 - 1: the same after a restart."""
    number = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()) >> 1
    return number if number > DOT_DOT else DOT_DOT + 1


class Listings:
    """Tells which name a cookie stands behind. *names* are all names in a directory now."""

    def __init__(self, names: Callable[[InodeNo], Iterator[bytes]]) -> None:
        self._names = names
        self._known: LRUCache[InodeNo, dict[int, bytes]] = LRUCache(MAX_KNOWN_NAMES, len)

    def hand_out(self, directory: InodeNo, names: Iterable[bytes]) -> dict[int, bytes]:
        """Return *names* by the cookies behind them, in order, and remember these: a name may be gone when it is used.

        One page at a time: what is done for each name by itself takes longer than to read it.
        """
        page = {cookie_of(name): name for name in names}
        known = self._known.pop(directory, {})
        known.update(page)
        self._known[directory] = known if len(known) <= MAX_KNOWN_NAMES else dict(page)
        return page

    def name_at(self, directory: InodeNo, cookie: int) -> bytes:
        """Return the name that *cookie* in *directory* stands behind.

        Looks at all its names if it has not handed that out lately. Raises Invalid if there is none
        with that cookie any more: to go on from anywhere else would skip names, or double them.
        """
        known = self._known.get(directory)
        if known is not None and cookie in known:
            return known[cookie]
        for name in self._names(directory):
            if cookie_of(name) == cookie:
                return name
        raise Invalid("a cookie that this listing never had, or that it forgot")
