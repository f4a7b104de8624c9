"""Which files a program is in the middle of writing: others shall see what comes of it as a whole.

A save that empties a file and writes it anew is one change for everybody else. It ends when the
program closes or syncs the file after changing it, and with the last handle in any case. A shell
closes a descriptor between `> file` and the first byte, so a `close` with nothing done since a file
was emptied as it was opened does not count. What is open for long, a log or a recorder, is shown every 30 seconds.
"""

from __future__ import annotations

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.write.write_back import MAX_AGE_S
from lucidnode.node.client.clock import Clock


class Unfinished:
    """The saves under way in one mount. Memory only: after a crash there is nothing to wait for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[InodeNo, float] = {}
        """Instants of `boot`."""
        self._recorded: set[InodeNo] = set()
        self._only_emptied: set[InodeNo] = set()

    def __contains__(self, ino: InodeNo) -> bool:
        since = self._since.get(ino)
        return since is not None and self._clock.boot() - since < MAX_AGE_S

    def files(self) -> list[InodeNo]:
        """Return the files that are being written."""
        return [ino for ino in self._since if ino in self]

    def began(self, ino: InodeNo) -> None:
        """Note that a program has written to *ino*."""
        self._since.setdefault(ino, self._clock.boot())
        self._only_emptied.discard(ino)

    def emptied(self, ino: InodeNo) -> None:
        """Note that a program is about to empty *ino* as it opens it."""
        self.began(ino)
        self._only_emptied.add(ino)

    def recorded(self, ino: InodeNo) -> None:
        """Note that a program has changed *ino* in the replica itself, as a copy does, and a cut."""
        self.began(ino)
        self._recorded.add(ino)

    def is_only_emptied(self, ino: InodeNo) -> bool:
        """Tell whether nothing was done to *ino* since it was emptied, and something may still be."""
        return ino in self._only_emptied and ino in self

    def note_close(self, ino: InodeNo) -> None:
        """Hear of a `close` before which nothing was left to be saved."""
        if ino in self._recorded:
            self.ended(ino)

    def ended(self, ino: InodeNo) -> None:
        """Note that *ino* is whole as it is: what was written is saved, or nobody has it open."""
        self._since.pop(ino, None)
        self._recorded.discard(ino)
        self._only_emptied.discard(ino)

    def redirect(self, ino: InodeNo, copy: InodeNo) -> None:
        """Follow our version of *ino* into its conflict copy."""
        if (since := self._since.pop(ino, None)) is not None:
            self._since[copy] = since
        for files in (self._recorded, self._only_emptied):
            if ino in files:
                files.remove(ino)
                files.add(copy)
