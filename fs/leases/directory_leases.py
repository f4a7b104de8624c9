"""Which node makes the names in a directory that nobody else may have: the one that holds its lease.

Who holds it makes them at once; whoever does not gets it first. One row stands for all directories that
have none of their own (token_rows.py), so who is alone asks once. A directory that is made here is ours
before anybody can know of it, and gets a row with its first entry unless that of all others is ours.

Whoever makes a name passes `admitted` first, and then does it in the same step. From when a directory is given
away nobody makes names there any more; those made go in the entry that gives it, or before. What the rules are and why is in docs/design/0012-leases.md.
"""

from __future__ import annotations

from collections import Counter

from cachetools import LRUCache

from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.signs_of_life import LEASE_TTL_S
from lucidnode.fs.errors import LeaseUndecided
from lucidnode.fs.leases.lease_row import LeaseRow, RowPlace, decoded_lease
from lucidnode.fs.leases.recalls import Recalls
from lucidnode.fs.leases.standstill import Standstill
from lucidnode.fs.leases.token_rows import TICK_S, TokenRows
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.intents import NAMES_LEASE, TREE_LEASE
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import DeviceId

ANSWER_S = LEASE_TTL_S + 15.0
"""How long a program waits for a directory: longer than it takes to take it from a node that is silent."""

PATIENCE_S = 5.0
"""How long it waits for a bucket that does not answer, before names are made without its word."""

_ALONE_S = 10.0
"""For how long others are spared that wait."""

_HOLD_S = 0.25
"""How long a directory stays here at least once somebody has waited for it."""

_DRAIN_S = 5.0
"""How long names made here may hold up the directory: a link, or a move, waits for the content of its file."""

LATE_S = 60.0
"""How long names that were made under a lease which is gone wait for the directory to be ours again. Longer
than it takes to take it from a node that is silent; then they are settled like those made without asking."""

_MOST_RESIGNED = 256
"""Directories that are given back when the mount ends: those asked for or made last."""


class DirectoryLeases:
    """The directories of one mount, which is *device*: its `Naming`. Keep `run` running."""

    def __init__(
        self,
        *,
        replica: Replica,
        device: DeviceId,
        committer: Committer,
        alone_when_away: bool,
        recalls: Recalls,
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        """Take what it works with. With *alone_when_away* names are made also while there is no bucket to ask."""
        self._replica = replica
        self._device = device
        self._committer = committer
        self._life = committer.life
        self._alone_when_away = alone_when_away
        self._alerts = alerts
        self._clock = clock
        self.rows = TokenRows(
            replica,
            device,
            committer,
            clock,
            own=NAMES_LEASE,
            others=TREE_LEASE,
            recalls=recalls,
            claimed=_nothing_to_show_first,
        )
        self._wanting: Counter[InodeNo] = Counter()
        """Directories that somebody here waits for."""
        self._stays_until: dict[InodeNo, float] = {}
        self._alone_until = 0.0
        self._used: LRUCache[InodeNo, None] = LRUCache(_MOST_RESIGNED)
        self._named = set(replica.pending.directories_named_in())
        """Directories with names that wait, and that nobody else may have: also those of an earlier life."""
        self._late_since: dict[InodeNo, float] = {}
        self._waits_until: dict[InodeNo, float] = {}
        """Until when directories that are given away wait for the names that were made in them."""
        self._life.watch(self._told)
        recalls.watch(self._told)

    # -- who makes names ---------------------------------------------------------------------

    def admits(self, directory: InodeNo) -> bool:
        """Tell whether names in *directory* are decided here and now, without asking anybody."""
        ino = self._replica.tree.now(directory)
        holds = self.rows.holds(ino)
        if holds:
            # What is made now is waited for, though an earlier giving, of which nothing came, had waited long enough.
            self._waits_until.pop(ino, None)
        admits = (
            holds
            # What no entry has shown to anybody yet is ours, whatever the clock says.
            or self._replica.pending.is_unknown(ino)
            or self._decides_alone()
        )
        if admits:
            self._named.add(ino)
        return admits

    def may_commit(self, directory: InodeNo) -> bool:
        """Tell whether names that were made in *directory* may go into the log: not while it is another's.

        He may have answered a program that it has such a name, and not have committed it yet.
        """
        if directory not in self._named or not self._is_others(directory):
            self._late_since.pop(directory, None)
            return True
        now = self._clock.boot()
        return now - self._late_since.setdefault(directory, now) >= LATE_S

    def _is_others(self, ino: InodeNo) -> bool:
        """Tell whether the log says that another node decides who makes names in *ino*."""
        return self.rows.is_others(ino) and not self._replica.pending.is_unknown(ino)

    async def admitted(self, directory: InodeNo) -> None:
        """Return once `admits` may hold, or *directory* is no more.

        Raises LeaseUndecided if neither the bucket nor who holds it answers.
        """
        begun_at = self._clock.boot()
        standstill = Standstill(self._replica, self._life, self._clock)
        ino = self._replica.tree.now(directory)
        self._wanting[ino] += 1
        try:
            while not self.admits(ino) and self._replica.tree.attributes(ino) is not None:
                self._check_wait(ino, self._clock.boot() - begun_at, standstill)
                self.rows.ask_for(ino)
                await self.rows.news()
            self._used[ino] = None
            self._stays_until[ino] = self._clock.boot() + _HOLD_S
        finally:
            self._wanting -= Counter([ino])

    def lease_of_new(self) -> bytes:
        """Return the lease of a directory that is made now; empty if the root's row says that it is ours."""
        others = self.rows.of_others()
        if others is not None and others.holder == self._device:
            return b""
        return LeaseRow(holder=self._device, fence=1).encoded()

    def _check_wait(self, ino: InodeNo, waited_s: float, standstill: Standstill) -> None:
        stands_s = standstill.lasts_s(asked=self.rows.is_changing(self.rows.of(ino)[0]))
        if stands_s >= PATIENCE_S and self._alone_when_away:
            self._alone_until = self._clock.boot() + _ALONE_S
        elif waited_s >= ANSWER_S:
            raise LeaseUndecided("nobody answers who may make a name there")

    def _decides_alone(self) -> bool:
        """Tell whether names are made here without anybody's word, since there is no bucket."""
        if self._committer.stopped is not None:
            return True  # nothing can be made at all, and whoever tries is told so
        if not self._alone_when_away:
            return False
        if self._life.away_for() < PATIENCE_S and self._clock.boot() >= self._alone_until:
            return False
        self._alerts.begin(
            "names",
            "The bucket does not answer, so lock files and new folders hold on this workstation only.",
            "Do not open here what somebody else may have open: if two make the same name, one becomes a "
            "conflict copy, and two folders become one.",
        )
        return True

    # -- what is done about it ---------------------------------------------------------------

    async def run(self) -> None:
        """Give what others want, until cancelled."""
        while True:
            if self._life.away_for() < PATIENCE_S and self._clock.boot() >= self._alone_until:
                self._alerts.end("names")
            self._ask_for_late_names()
            await self.rows.news(self._give_what_is_wanted())

    def resign(self) -> None:
        """Say with the next entry that nothing is held here any more: the mount ends."""
        self.rows.resign(RowPlace(ROOT, TREE_LEASE))
        wanted = [ino for ino, _ in self._replica.tree.wanted_directories()]
        for ino in {*wanted, *self._used}:
            self.rows.resign(self.rows.own_place(ino))

    def _told(self) -> None:
        self.rows.told()

    def _ask_for_late_names(self) -> None:
        """Ask for the directories in which names wait for nothing else than that."""
        self._named = {ino for ino in self._named if self._replica.pending.makes_names_in(ino)}
        for ino in list(self._late_since):
            if ino not in self._named:
                del self._late_since[ino]
            elif self._is_others(ino):
                self.rows.ask_for(ino)

    def _give_what_is_wanted(self) -> float:
        """Give what others want; return after how many seconds to look again."""
        pause_s = TICK_S
        now = self._clock.boot()
        self._stays_until = {ino: at for ino, at in self._stays_until.items() if at > now}
        wanted = self._wanted_by_others()
        for ino in wanted:
            # Who waits here is let in before, or it would go to and fro for nothing.
            if self._wanting[ino]:
                continue
            if (wait_s := self._stays_until.get(ino, now) - now) > 0:
                pause_s = min(pause_s, wait_s)
                continue
            self.rows.give(ino)
        self._waits_until = {
            ino: at
            for ino, at in self._waits_until.items()
            if ino in wanted or self.rows.changes(ino)
        }
        return pause_s

    def _wanted_by_others(self) -> list[InodeNo]:
        """Return the directories that are ours, and that others ask for: by the log, or over a link."""
        wanted = dict.fromkeys(self.rows.asked_for())
        for ino, value in self._replica.tree.wanted_directories():
            row = decoded_lease(value)
            if row is not None and row.holder == self._device and row.wanted != self._device:
                wanted[ino] = None
        return list(wanted)

    def may_give(self, directory: InodeNo) -> bool:
        """Tell whether names that wait hold up *directory* no longer, which is given away."""
        now = self._clock.boot()
        return now >= self._waits_until.setdefault(directory, now + _DRAIN_S)


def _nothing_to_show_first(_place: RowPlace) -> None:
    """Wait for no pages of the kernel: names are looked up in the replica."""
