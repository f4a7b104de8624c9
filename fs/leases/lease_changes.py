"""Changes that one mount makes to the rows of leases, and word of what became of them."""

from __future__ import annotations

import asyncio
import contextlib

from lucidnode.fs.commit.commit_signals import set_within
from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.errors import FileError
from lucidnode.fs.replica.intents import Lease
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.clock import Clock

_TICK_S = 1.0


class LeaseChanges:
    """Has what it changes committed soon. Nothing here awaits but `news`."""

    def __init__(self, replica: Replica, committer: Committer, clock: Clock) -> None:
        self._replica = replica
        self._committer = committer
        self._clock = clock
        self._names: set[bytes] = set()
        self._news = asyncio.Event()
        self._hurrying: contextlib.ExitStack | None = None

    def pending(self, *names: bytes) -> list[Lease]:
        """Return the changes of rows with one of *names* that are not committed yet."""
        return self._replica.pending.leases(*names)

    def change(self, change: Lease) -> None:
        """Make *change* to a row; whoever comes first in the log has it."""
        with contextlib.suppress(FileError):  # gone, read-only, full: looked at again
            self._replica.apply(change)
            self._names.add(change.name)
            if self._hurrying is None:
                self._hurrying = contextlib.ExitStack()
                self._hurrying.enter_context(self._committer.hurrying())

    def told(self) -> None:
        """Take note that a slot was decided, or that the end of the log was seen."""
        if self._hurrying is not None and not self.pending(*self._names):
            self._hurrying.close()
            self._hurrying = None
            self._names.clear()
        self.look_again()

    def look_again(self) -> None:
        """Have whoever waits for news look now."""
        self._news.set()
        self._news = asyncio.Event()

    async def news(self, within_s: float = _TICK_S) -> None:
        """Return when there is news, or after *within_s* seconds."""
        await set_within(self._news, within_s, self._clock)
