"""Whether the replica is still where the next mount will look for it.

A file that was deleted or moved away while it is open goes on taking everything, and all of that is
gone with the last process that has it open. So nothing is acknowledged as safe on this disk then.
What others can have goes on: committing to the bucket is what saves it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from lucidnode.fs.errors import ReplicaError
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock

LOOK_EVERY_S = 2.0
"""Seconds between two looks for the alert; whoever asks for safety has it looked at each time."""

TOPIC = "replica-gone"


class Whereabouts:
    """The *files* of an open replica, by their paths, and who they were when it was opened.

    *pending* counts the changes that only they have.
    """

    def __init__(
        self, files: list[Path], pending: Callable[[], int], alerts: Alerts, clock: Clock
    ) -> None:
        self._files = {path: _identity(path) for path in files}
        self._pending = pending
        self._alerts = alerts
        self._clock = clock

    def require(self) -> None:
        """Raise ReplicaError, a sentence, unless each path leads to the file that is open."""
        for path, identity in self._files.items():
            if _identity(path) != identity:
                raise ReplicaError(
                    f"{path} was deleted, moved or replaced while the project is mounted"
                )

    async def run(self) -> None:
        """Tell people while it is so, until cancelled."""
        while True:
            try:
                self.require()
            except ReplicaError as error:
                self._alerts.begin(
                    TOPIC,
                    f"Nothing can be saved on this disk: {error}; `close` and `fsync` fail.",
                    "Move it back where it was, or unmount the project and mount it again while "
                    f"the bucket answers: {self._pending()} changes are not there yet.",
                )
            else:
                self._alerts.end(TOPIC)
            await self._clock.sleep(LOOK_EVERY_S)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of what *path* leads to, None if that cannot be seen."""
    try:
        found = os.stat(path)  # noqa: PTH116  # at each acknowledgement: a Path costs more than it
    except OSError:
        return None
    return found.st_dev, found.st_ino
