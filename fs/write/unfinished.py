"""Which files a program is in the middle of writing: others shall see what comes of it as a whole.

A save that empties a file and writes it anew is one change for everybody else. It ends when the
program closes or syncs the file after writing to it, and with the last handle in any case. A shell
closes a descriptor between `> file` and the first byte, so a `close` with nothing written since
does not count. What is open for long, a log or a recorder, is shown every 30 seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.write.flusher import MAX_AGE_S
from lucidnode.node.client.clock import Clock


@dataclass(slots=True)
class _Save:
    since: float
    wrote: bool


class Unfinished:
    """The saves under way in one mount. Memory only: after a crash there is nothing to wait for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._saves: dict[InodeNo, _Save] = {}

    def __contains__(self, ino: InodeNo) -> bool:
        save = self._saves.get(ino)
        return save is not None and self._clock.boot() - save.since < MAX_AGE_S

    def files(self) -> list[InodeNo]:
        """Return the files that are being written."""
        return [ino for ino in self._saves if ino in self]

    def since(self, ino: InodeNo) -> float | None:
        """Return the `boot` instant at which the save of *ino* began; None if there is none."""
        save = self._saves.get(ino)
        return None if save is None else save.since

    def cut(self, ino: InodeNo) -> None:
        """Note that a program has cut *ino* through a handle, or when it opened it."""
        self._saves.setdefault(ino, _Save(self._clock.boot(), wrote=False))

    def wrote(self, ino: InodeNo) -> None:
        """Note that a program has written to *ino*."""
        self._saves.setdefault(ino, _Save(self._clock.boot(), wrote=True)).wrote = True

    def flushed(self, ino: InodeNo) -> None:
        """Note that everything written to *ino* is in the replica: a save, if there was anything."""
        save = self._saves.get(ino)
        if save is not None and save.wrote:
            del self._saves[ino]

    def ended(self, ino: InodeNo) -> None:
        """Note that *ino* is whole as it is: it was synced, or nobody has it open any more."""
        self._saves.pop(ino, None)

    def redirect(self, ino: InodeNo, copy: InodeNo) -> None:
        """Follow our version of *ino* into its conflict copy."""
        if (save := self._saves.pop(ino, None)) is not None:
            self._saves[copy] = save
