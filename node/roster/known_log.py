"""The log of members as it was read here: in memory, on the disk, and the roster that follows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.disk_words import help_for, said_by
from lucidnode.node.client.errors import DiskFull
from lucidnode.node.client.roster import Roster
from lucidnode.node.client.roster_rules import RosterReader
from lucidnode.node.roster.copy import DamagedCopy, RosterCopy

_UPDATE = "Update Lucidnode on this workstation."


class KnownLog:
    """What this node has read it keeps: a bucket that shows less cannot roll it back."""

    def __init__(self, genesis: bytes, saved: Path, alerts: Alerts) -> None:
        self._genesis = genesis
        self._copy = RosterCopy(saved)
        self._alerts = alerts
        self._watchers: list[Callable[[], None]] = []
        self._kept = 0
        self.reader = RosterReader(genesis)
        self.current = Roster.empty()
        """As of the last `load`, `take_up` or `drop_voids`: swapped in one step."""

    def watch(self, changed: Callable[[], None]) -> None:
        """Call *changed* from now on whenever `current` is another."""
        self._watchers.append(changed)

    async def load(self) -> None:
        """Read the copy of an earlier run. A damaged one is an alert, and nothing is known then."""
        try:
            self.reader = await asyncio.to_thread(self._copy.read, self._genesis)
        except DamagedCopy as error:
            self._alerts.begin(
                "roster-copy",
                f"This workstation's copy of the log of members: {error}.",
                "It is read again from the bucket; look after the disk.",
                lasts_s=EVENT_S,
            )
        self._kept = len(self.reader.log)
        if self.reader.log:
            self.current = self.reader.roster()
            self._tell_watchers()
            self._tell_of_newer()

    async def save(self) -> None:
        """Keep a copy of what was read since the last one. A disk that fails is an alert."""
        items = len(self.reader.log)
        if items == self._kept:
            return
        try:
            await asyncio.to_thread(self._copy.write, self.reader)
        except (DiskFull, OSError) as error:
            self._alerts.begin(
                "roster-disk",
                f"The log of members cannot be kept on this disk: {said_by(error)}.",
                help_for(error, "the home directory", "Check the disk of the home directory.")
                + " Until then this workstation needs the bucket to start.",
            )
        else:
            self._kept = items
            self._alerts.end("roster-disk")

    def take_up(self) -> bool:
        """Make what was read the `current` roster; return whether some of it counts for nothing."""
        before, self.current = self.current, self.reader.roster()
        self._tell_watchers()
        voids = [void for void in self.current.voids if before.head < void.seq]
        for void in voids:
            self._alerts.begin(
                "roster-void",
                f"Number {void.seq} of the log of members counts for nothing: {void.reason}.",
                "Find out who wrote it; nobody who uses Lucidnode as it is writes such entries.",
                lasts_s=EVENT_S,
            )
        self._tell_of_newer()
        return bool(voids)

    async def drop_voids(self) -> None:
        """Forget what counts for nothing at the end of the log: nobody has built on it."""
        self.reader = self.reader.up_to(self.reader.last_entry())
        self.take_up()
        if not self.current.voids:
            self._alerts.end("roster-void")
        await self.save()

    async def start_again(self, reader: RosterReader) -> None:
        """Go by the log of *reader* in the place of what was known, which is kept beside the copy.

        Raises DiskFull, OSError, and nothing has changed then.
        """
        await asyncio.to_thread(self._copy.keep_aside, self.reader)
        self._alerts.end("roster-void")
        self.reader, self._kept = reader, 0
        self.take_up()
        await self.save()

    def _tell_watchers(self) -> None:
        for changed in self._watchers:
            changed()

    def _tell_of_newer(self) -> None:
        if self.current.newer is not None:
            self._alerts.begin(
                "roster-newer",
                "An owner of the studio uses a later version of Lucidnode: who came, left or got "
                "other rights since then is not known here.",
                _UPDATE,
            )
