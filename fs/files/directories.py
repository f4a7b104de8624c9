"""Directories that are being listed."""

from __future__ import annotations

from lucidnode.fs.errors import NotDirectory
from lucidnode.fs.files.listing import DOT, DOT_DOT, START, Entry, Listings
from lucidnode.fs.files.shown_files import ShownFiles
from lucidnode.fs.read.open_files import OpenFiles
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.fs.write.unsaved_files import UnsavedFiles

PAGE_OF_NAMES = 256
"""Names read from the replica at once for a directory listing."""


class Directories:
    """The listings of one mount, by handle."""

    def __init__(
        self, tree: TreeReader, shown: ShownFiles, unsaved: UnsavedFiles, open_files: OpenFiles
    ) -> None:
        self._tree = tree
        self._shown = shown
        self._unsaved = unsaved
        self._open = open_files
        self._listings = Listings(tree.names_in)

    def open(self, ino: InodeNo) -> int:
        """Return a handle for listing *ino*. Raises FileMissing, NotDirectory."""
        if not self._shown.stored(ino).is_directory:
            raise NotDirectory("not a directory")
        return self._open.open_directory(ino)

    def entries(self, handle: int, cookie: int) -> list[Entry]:
        """Return some entries behind *cookie*, START or one handed out before; none at the end.

        What is created or removed between two calls may or may not be seen; everything else is
        seen exactly once, on whichever handle the listing goes on. Raises Invalid for a cookie that
        nobody knows.
        """
        directory = self._open.directory(handle)
        ino = directory.ino
        if cookie in {START, DOT}:
            dots = [
                Entry(b".", self._shown.attributes(ino), DOT),
                Entry(b"..", self._shown.attributes(self._shown.parent_of(ino)), DOT_DOT),
            ]
            return dots[cookie:]
        if cookie == DOT_DOT:
            after = None
        else:
            # What this handle saw last it knows by itself, whatever else is being listed.
            after = directory.page.get(cookie) or self._listings.name_at(ino, cookie)
        page = [
            Entry(
                name,
                self._unsaved.with_pending_size(attributes),
                self._listings.hand_out(ino, name),
            )
            for name, attributes in self._tree.list_names(ino, after, PAGE_OF_NAMES)
        ]
        if page:
            directory.page = {entry.cookie: entry.name for entry in page}
        return page

    def release(self, handle: int) -> None:
        """Close a handle of `open`."""
        self._open.release_directory(handle)
