"""What an entry of another node means for files that are open, unsaved or known here."""

from __future__ import annotations

from lucidnode.fs.files.kept_listings import KeptListings
from lucidnode.fs.files.lifetimes import FileLifetimes
from lucidnode.fs.read.open_files import OpenFiles
from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.write.writer import Writer


class RemoteEffects:
    """Has handles and unsaved bytes follow what others change."""

    def __init__(
        self,
        lifetimes: FileLifetimes,
        listings: KeptListings,
        open_files: OpenFiles,
        writer: Writer,
    ) -> None:
        self.lifetimes = lifetimes
        self.listings = listings
        self._open = open_files
        self._writer = writer

    def follow(self, touched: Touched) -> None:
        """Follow all that *touched* says."""
        self.moved(touched.moved)
        self.shifted(touched.shifted)
        self.lifetimes.content_changed(touched.content)
        self.listings.changed(parent for parent, _ in touched.names)

    def moved(self, moved: dict[InodeNo, InodeNo]) -> None:
        """Follow our version of a file into its conflict copy."""
        for ino, copy in moved.items():
            self._open.redirect(ino, copy)
            self._writer.redirect(ino, copy)

    def shifted(self, shifted: dict[InodeNo, int]) -> None:
        """Follow the end of files to which another node has appended as well."""
        for ino, by in shifted.items():
            self._writer.shift(ino, by)
