"""Refuses what would make a project larger than it may be, and tells people before."""

from __future__ import annotations

from lucidnode.fs.errors import OverQuota
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.quota import UNLIMITED, Quota, quota_of
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.fs.write.unsaved_files import UnsavedFiles
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock

LOOK_INTERVAL_S = 5.0
"""So long a mount may not know what others have written, or that the quota is another one."""

_TOPIC = "quota"
_REMEDY = "Delete what is not needed, or have an owner raise it with `lucidnode quota`."


class QuotaGate:
    """Counts, between two looks at the project, what this mount lets files grow."""

    def __init__(
        self, tree: TreeReader, unsaved: UnsavedFiles, alerts: Alerts, clock: Clock
    ) -> None:
        self._tree = tree
        self._unsaved = unsaved
        self._alerts = alerts
        self._clock = clock
        self._quota = UNLIMITED
        self._room = 0
        self._told = ""

    @property
    def now(self) -> Quota:
        """The quota by which it goes."""
        return self._quota

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            self.look()
            await self._clock.sleep(LOOK_INTERVAL_S)

    def look(self) -> None:
        """See what the quota is and how much of it is left."""
        self._quota = quota_of(self._tree)
        if self._quota == UNLIMITED:
            self._tell("")
            return
        used, _ = self._tree.usage()
        used += sum(max(0, file.end - self._saved(file.ino)) for file in self._unsaved)
        self._room = self._quota.hard - used
        if self._quota.hard and self._room <= 0:
            self._tell("The project is as large as it may be, and files in it cannot grow.")
        elif self._quota.soft and used > self._quota.soft:
            self._tell("The project is larger than was agreed on.")
        else:
            self._tell("")

    def check(self, ino: InodeNo, end: int) -> None:
        """Note that *ino* gets bytes up to *end* at once. Raises OverQuota if it may not."""
        if not self._quota.hard:
            return
        unsaved = self._unsaved.get(ino)
        grows = end - max(self._saved(ino), 0 if unsaved is None else unsaved.end)
        if grows <= 0:
            return
        if grows > self._room:
            self.look()  # something may have been deleted or cut off since
        if grows > self._room and self._quota.hard:
            raise OverQuota("the project is as large as it may be")
        self._room -= grows

    def _saved(self, ino: InodeNo) -> int:
        found = self._tree.attributes(ino)
        return 0 if found is None else found.size

    def _tell(self, cause: str) -> None:
        if cause == self._told:
            return
        self._told = cause
        if cause:
            self._alerts.begin(_TOPIC, cause, _REMEDY)
        else:
            self._alerts.end(_TOPIC)
