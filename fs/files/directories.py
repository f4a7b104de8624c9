"""Directories that are being listed."""

from __future__ import annotations

from lucidnode.fs.errors import NotDirectory
from lucidnode.fs.files.kept_listings import Holding, KeptListings
from lucidnode.fs.files.listing import DOT, DOT_DOT, START, Entry, Listings
from lucidnode.fs.files.shown_files import ShownFiles
from lucidnode.fs.read.open_files import OpenFiles
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.fs.write.unsaved_files import UnsavedFiles

PAGE_OF_NAMES = 256
"""Names read from the replica at once for a directory listing."""

_NAMES_LOOKED_AT = 16
"""Names among which the next directory of a walk is looked for: 10 us."""


class Directories:
    """The listings of one mount, by handle."""

    def __init__(
        self,
        tree: TreeReader,
        shown: ShownFiles,
        unsaved: UnsavedFiles,
        open_files: OpenFiles,
        kept: KeptListings,
    ) -> None:
        self._tree = tree
        self._shown = shown
        self._unsaved = unsaved
        self._open = open_files
        self._kept = kept
        self._listings = Listings(tree.names_in)

    def open(self, ino: InodeNo) -> tuple[int, Holding]:
        """Return a handle for listing *ino*, and whether the kernel may hold what it lists.

        Raises FileMissing, NotDirectory.
        """
        found = self._shown.stored(ino)
        if not found.is_directory:
            raise NotDirectory("not a directory")
        handle = self._open.open_directory(ino)
        holding = self._kept.opened(handle, ino)
        # Of a directory that became one with another, the kernel is told under the other's number.
        return handle, holding if found.ino == ino else Holding(may_hold=False, is_right=False)

    def passed(self, handle: int, cookie: int, names: int, behind: int) -> None:
        """Note what the kernel was given of a listing: see `KeptListings.passed`."""
        self._kept.passed(handle, cookie, names, behind)

    def entries(self, handle: int, cookie: int, most: int = PAGE_OF_NAMES) -> list[Entry]:
        """Return some entries behind *cookie*, START or one handed out before; none at the end.

        There are *most* of them at most, or a few.

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
        listed = self._tree.list_names(ino, after, min(max(most, 1), PAGE_OF_NAMES))
        if not listed:
            return []
        directory.page = self._listings.hand_out(ino, (name for name, _ in listed))
        if self._unsaved.any.is_set():
            listed = [
                (name, self._unsaved.with_pending_size(attributes)) for name, attributes in listed
            ]
        return [
            Entry(name, attributes, cookie)
            for (name, attributes), cookie in zip(listed, directory.page, strict=True)
        ]

    def state(self, handle: int) -> tuple[InodeNo, int] | None:
        """Return the directory that *handle* lists, and a number that is another one once its listing may be.

        None while that is not known.
        """
        state = None if self._unsaved.any.is_set() else self._tree.state
        return None if state is None else (self._open.directory(handle).ino, state)

    def following(self, ino: InodeNo) -> InodeNo | None:
        """Return the directory that whoever walks a tree lists after *ino*: the first in it, or the next beside it.

        None if it is not to be seen at one look.
        """
        places: list[tuple[InodeNo, bytes | None]] = [(ino, None), *self._tree.names_of(ino)[:1]]
        return next(
            (
                found
                for parent, after in places
                if (found := self._tree.first_directory(parent, after, _NAMES_LOOKED_AT))
                is not None
            ),
            None,
        )

    def handed_out(self, handle: int, names: dict[int, bytes]) -> None:
        """Note what *handle* was given, by the cookies behind them: it may go on behind each."""
        self._open.directory(handle).page = names

    def attributes_forgotten(self, ino: InodeNo, parents: frozenset[InodeNo] | None) -> None:
        """Note that the kernel holds no valid attributes of the file *ino* any more.

        It has names in *parents*, or had them a while ago; None if that has to be looked up.
        """

        def named_in() -> frozenset[InodeNo]:
            if parents is not None:
                return parents
            return frozenset(parent for parent, _ in self._tree.names_of(ino))

        self._kept.attributes_forgotten(named_in)

    def release(self, handle: int) -> None:
        """Close a handle of `open`."""
        self._open.release_directory(handle)
        self._kept.released(handle)
