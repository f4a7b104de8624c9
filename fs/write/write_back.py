"""Saves by itself what no program asks to be saved: by age, and after the last `close`.

A map written to after its descriptor was closed, a log below the size of a block, bytes that a full
disk turned away at `close`: none of them gets another `flush` from its program.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from lucidnode.fs.errors import FsError
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.write.unsaved_files import UnsavedFiles
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.disk_words import help_for, said_by
from lucidnode.node.client.errors import NodeError

MAX_AGE_S = 30.0
"""Seconds that a byte may be in memory only: what Linux grants a dirty page of a local disk
(`vm.dirty_expire_centisecs`)."""

LOOK_EVERY_S = 1.0
"""Seconds between two looks for bytes that are too old. Without unsaved files there are none."""

RETRY_S = 5.0
"""Seconds until a file that could not be saved is tried again."""

TOPIC = "unsaved"


class WriteBack:
    """Runs `flush` of the files that need it, in `run`. Lives in one event loop."""

    def __init__(
        self,
        files: UnsavedFiles,
        flush: Callable[[InodeNo], Awaitable[None]],
        clock: Clock,
        alerts: Alerts,
    ) -> None:
        self._files = files
        self._flush = flush
        self._clock = clock
        self._alerts = alerts
        self._closed: set[InodeNo] = set()
        self._retry_at: dict[InodeNo, float] = {}

    def save_soon(self, ino: InodeNo) -> None:
        """Have saved what is left of *ino* at the next look: its last handle was closed."""
        if self._files.get(ino) is not None:
            self._closed.add(ino)

    async def run(self) -> None:
        """Save what is due until cancelled."""
        while True:
            await self._files.any.wait()
            for ino in self._due():
                await self._save(ino)
            self._end_alert()
            await self._clock.sleep(LOOK_EVERY_S)

    def _due(self) -> list[InodeNo]:
        now = self._clock.boot()
        closed, self._closed = self._closed, set()
        return [
            file.ino
            for file in self._files
            if now >= self._retry_at.get(file.ino, 0.0)
            and (
                file.ino in closed
                or file.ino in self._retry_at
                or (file.dirty_since is not None and now - file.dirty_since >= MAX_AGE_S)
            )
        ]

    async def _save(self, ino: InodeNo) -> None:
        try:
            await self._flush(ino)
        except (FsError, NodeError, OSError) as error:
            self._retry_at[ino] = self._clock.boot() + RETRY_S
            self._alerts.begin(
                TOPIC,
                f"Bytes that programs have written cannot be saved: {said_by(error)}.",
                help_for(error, "the cache or of the home directory", "Check both disks.")
                + " They are kept in memory and tried again until it succeeds.",
            )
        else:
            self._retry_at.pop(ino, None)

    def _end_alert(self) -> None:
        self._retry_at = {
            ino: at for ino, at in self._retry_at.items() if self._files.get(ino) is not None
        }
        if not self._retry_at:
            self._alerts.end(TOPIC)
