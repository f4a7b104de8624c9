"""Pages of listings as the kernel gets them, and those that it gets once more as they are.

Who walks a tree that he knows has the kernel ask for listings again, for the attributes in them
(files/kept_listings.py). As long as nothing at all has changed meanwhile, their bytes are the same.
And who lists one directory after the other has the next one's made while he looks at what he has.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from cachetools import LRUCache

from lucidnode.fs.channel.tree_requests import FileReply, file_reply, listed_line
from lucidnode.fs.errors import FsError
from lucidnode.fs.files.file_system import Caller
from lucidnode.fs.files.listing import START, Entry
from lucidnode.fs.replica.inode import Attributes, InodeNo
from lucidnode.fs.snapshot_tree.files_with_snapshots import ServedFiles

MAX_HELD_BYTES = 8 * 1024 * 1024
"""Of pages that are held: some 30,000 names, with what is remembered beside each."""

_BESIDE_BYTES = 128
"""What is remembered of a name, beside its line."""

_MIN_LINE_BYTES = 160
"""With a name of up to eight bytes."""


_DOTS = frozenset({b".", b".."})


class _Page(NamedTuple):
    """A reply to READDIRPLUS, and what follows from it here. *names* are by the cookies behind them."""

    state: int
    reply: bytes
    lines: int
    behind: int
    named: list[Attributes]
    names: dict[int, bytes]


class ListingPages:
    """Answers READDIRPLUS for *files*. *owner* is as `FuseOperations` has it, attributes are valid for *valid_s*."""

    def __init__(self, files: ServedFiles, owner: Caller | None, valid_s: int) -> None:
        self._files = files
        self._owner = owner
        self._valid_s = valid_s
        self._expected: InodeNo | None = None
        """The directory that is listed next if somebody walks the tree."""
        self._held: LRUCache[tuple[InodeNo, int, int], _Page] = LRUCache(MAX_HELD_BYTES, _size)

    def page(self, handle: int, cookie: int, size: int) -> bytes:
        """Return the lines behind *cookie* that fit into *size* bytes. Raises FileMissing, Invalid."""
        # Of one step of the event loop with all that is read below.
        known = self._files.directories.state(handle)
        if known is None:
            return self._passed(handle, cookie, self._made(handle, cookie, size, 0))
        page = self._kept(handle, cookie, size, known)
        if not page.lines:
            # While whoever asked looks at what he has.
            asyncio.get_running_loop().call_soon(self._look_ahead, known[0], size)
        return self._passed(handle, cookie, page)

    def _kept(self, handle: int, cookie: int, size: int, known: tuple[InodeNo, int]) -> _Page:
        """Return a page of a listing that is *known* by its directory and its state."""
        ino, state = known
        place = ino, cookie, size
        page = self._held.get(place)
        if page is None or page.state != state:
            page = self._made(handle, cookie, size, state)
            self._held.pop(place, None)
            if _size(page) <= MAX_HELD_BYTES:
                self._held[place] = page
        return page

    def _look_ahead(self, ino: InodeNo, size: int) -> None:
        """Make the pages that a walk of the tree asks for after those of *ino*, which was just listed."""
        directories = self._files.directories
        walks, self._expected = ino == self._expected, None
        with contextlib.suppress(FsError):  # whoever really asks meets it himself
            self._expected = following = directories.following(ino)
            if following is None or not walks:
                return
            handle, _ = directories.open(following)
            try:
                if (known := directories.state(handle)) is not None:
                    page = self._kept(handle, START, size, known)
                    self._kept(handle, page.behind, size, known)
            finally:
                directories.release(handle)

    def _made(self, handle: int, cookie: int, size: int, state: int) -> _Page:
        found, reply = self._lines(handle, cookie, size)
        behind = found[-1].cookie if found else cookie
        named = [entry.attributes for entry in found if entry.name not in _DOTS]
        names = {entry.cookie: entry.name for entry in found}
        return _Page(state, reply, len(found), behind, named, names)

    def _passed(self, handle: int, cookie: int, page: _Page) -> bytes:
        if page.names:
            self._files.directories.handed_out(handle, page.names)
        self._files.lifetimes.count_lookups(page.named)
        self._files.directories.passed(handle, cookie, page.lines, page.behind)
        return page.reply

    def _lines(self, handle: int, cookie: int, size: int) -> tuple[list[Entry], bytes]:
        """Return the entries behind *cookie* whose lines fit into *size* bytes, and these."""
        fitting: list[Entry] = []
        reply = bytearray()
        for entries in self._entries(handle, cookie, size):
            occupied = self._files.occupied_of([entry.attributes for entry in entries])
            for entry, stored in zip(entries, occupied, strict=True):
                name, file, next_cookie = entry
                line = listed_line(
                    name, shown(file, stored, self._owner), next_cookie, self._valid_s
                )
                if len(reply) + len(line) > size:
                    return fitting, bytes(reply)
                reply += line
                fitting.append(entry)
        return fitting, bytes(reply)

    def _entries(self, handle: int, cookie: int, size: int) -> Iterator[list[Entry]]:
        """Yield the entries behind *cookie* whose lines may fit into *size* bytes, a few at a time."""
        room = size // _MIN_LINE_BYTES
        while entries := self._files.directories.entries(handle, cookie, room):
            yield entries
            cookie = entries[-1].cookie
            room = max(room - len(entries), 1)


def shown(file: Attributes, occupied: int, owner: Caller | None) -> FileReply:
    """Return *file*, of which *occupied* bytes are stored, as the kernel is told of it."""
    uid, gid = owner or (file.uid, file.gid)
    return file_reply(
        file.ino,
        file.kind << 12 | file.mode,
        file.nlink,
        uid,
        gid,
        file.rdev,
        file.size,
        occupied,
        file.atime_ns,
        file.mtime_ns,
        file.ctime_ns,
    )


def _size(page: _Page) -> int:
    return len(page.reply) + page.lines * _BESIDE_BYTES + _BESIDE_BYTES
