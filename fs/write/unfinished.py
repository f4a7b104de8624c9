"""Which files a program is in the middle of writing: others shall see what comes of it as a whole.

A save that empties a file and writes it anew is one change for everybody else. It ends when the
program closes or syncs the file after writing to it, and with the last handle in any case. A shell
closes a descriptor between `> file` and the first byte, so a `close` with nothing written since
does not count. What is open for long, a log or a recorder, is shown every 30 seconds.
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

    def __contains__(self, ino: InodeNo) -> bool:
        since = self._since.get(ino)
        return since is not None and self._clock.boot() - since < MAX_AGE_S

    def files(self) -> list[InodeNo]:
        """Return the files that are being written."""
        return [ino for ino in self._since if ino in self]

    def began(self, ino: InodeNo) -> None:
        """Note that a program has cut *ino* or written to it."""
        self._since.setdefault(ino, self._clock.boot())

    def recorded(self, ino: InodeNo) -> None:
        """Note that a program has given *ino* bytes that are in the replica by now, as a copy's are."""
        self.began(ino)
        self._recorded.add(ino)

    def note_close(self, ino: InodeNo) -> None:
        """Hear of a `close` before which nothing was left to be saved."""
        if ino in self._recorded:
            self.ended(ino)

    def ended(self, ino: InodeNo) -> None:
        """Note that *ino* is whole as it is: what was written is saved, or nobody has it open."""
        self._since.pop(ino, None)
        self._recorded.discard(ino)

    def redirect(self, ino: InodeNo, copy: InodeNo) -> None:
        """Follow our version of *ino* into its conflict copy."""
        if (since := self._since.pop(ino, None)) is not None:
            self._since[copy] = since
        if ino in self._recorded:
            self._recorded.remove(ino)
            self._recorded.add(copy)
