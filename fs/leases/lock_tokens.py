"""Which node decides the locks of a file: the one that holds its lease, here called its token.

One row stands for all files of the project that have none of their own: see token_rows.py.

Whoever locks passes `admitted` first, and then `FileLocks.lock` in the same step. Giving a token away is
done by one task for each file: nobody new comes in, and the last who is in leaves; then the row is changed, by
the entry that carries what was done under the locks, or a later one. What the rules are and why is in docs/design/0012-leases.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Protocol

from lucidnode.fs.commit.commit_signals import set_within
from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.signs_of_life import LEASE_TTL_S
from lucidnode.fs.errors import Deadlock, FsError, Interrupted, LockHeld, NoLocks
from lucidnode.fs.files.file_locks import FileLocks
from lucidnode.fs.leases.lease_row import NOBODY, decoded_lease
from lucidnode.fs.leases.recalls import Recalls
from lucidnode.fs.leases.token_rows import TICK_S, TokenRows
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import LOCKS_LEASE
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.supervision import Tasks

log = logging.getLogger(__name__)

ASK_S = 3.0
"""How long who does not want to wait for a lock waits for another node's answer."""

DEADLOCK_S = 60.0
"""How long who has a lock of another file waits for a node: the two may wait for each other."""

HOLD_S = 0.25
"""How long a token stays at least: what is asked for here meanwhile needs no other node."""

DRAIN_S = 1.0
"""How long new locks wait here for the last one to be let go, so that the token can be given."""

RENEW_WITHIN_S = 15.0
"""Locks that are held are renewed once they last no longer than this."""

_NAMED = 4
"""Files in one alert."""


class WorkUnderLocks(Protocol):
    """What was done under the locks of a file, and beside it: see locked_work.py."""

    def is_much(self, ino: InodeNo) -> bool:
        """Tell whether it takes longer than a moment to get to the bucket."""

    async def commit(self, ino: InodeNo) -> None:
        """Return once it is committed."""

    async def finish(self, ino: InodeNo) -> None:
        """Have it be on its way: what is done in the step in which this returns is behind it."""


class LockTokens:
    """The tokens of one mount, which is *device*. Keep `run` running."""

    def __init__(
        self,
        *,
        replica: Replica,
        device: DeviceId,
        locks: FileLocks,
        committer: Committer,
        work: WorkUnderLocks,
        settled: Callable[[], Coroutine[None, None, None]],
        alone_when_away: bool,
        recalls: Recalls,
        tasks: Tasks,
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        """Take what it works with.

        *work* is what was done under locks; *settled* returns once the kernel
        shows what others did. With *alone_when_away* locks are decided here while there is no bucket.
        """
        self._replica = replica
        self._device = device
        self._locks = locks
        self._committer = committer
        self._life = committer.life
        self._work = work
        self._settled = settled
        self._alone_when_away = alone_when_away
        self._tasks = tasks
        self._alerts = alerts
        self._clock = clock
        self._wanting: Counter[InodeNo] = Counter()
        """Files whose token somebody here waits for."""
        self._ready: set[InodeNo] = set()
        """Rows that we hold, and whose files the kernel shows as they were when we got them."""
        self._closed: set[InodeNo] = set()
        """Files that let nobody in who has no lock of them yet."""
        self._giving: set[InodeNo] = set()
        self._lost: set[InodeNo] = set()
        """Files with locks of programs here that another node has taken over."""
        self._busy: set[InodeNo] = set()
        """Files that another waits for until nobody here has a lock of them."""
        self._stays_until: dict[InodeNo, float] = {}
        self._rows = TokenRows(
            replica,
            device,
            committer,
            clock,
            own=LOCKS_LEASE,
            others=LOCKS_LEASE,
            recalls=recalls,
            claimed=lambda place: self._ready.discard(place.ino),
        )
        self._wake = asyncio.Event()
        self._stopped = False
        self._life.watch(self._decided)
        recalls.watch(self._told)
        locks.watch(self._unused)

    # -- who locks ---------------------------------------------------------------------------

    def admits(self, ino: InodeNo, owner: int) -> bool:
        """Tell whether locks of *ino* are decided here now, and *owner* may ask for one."""
        if not self._decides(ino):
            return self._decides_alone()
        return ino not in self._closed or self._locks.has_locks(ino, owner)

    async def admitted(
        self, ino: InodeNo, owner: int, given_up: asyncio.Future[None] | None, *, whole: bool
    ) -> None:
        """Return once `admits` holds, in the same step.

        Waits until *given_up* is done; with None, for ASK_S at most, and not for a lock that is held.
        Raises LockHeld, Interrupted, NoLocks, or Deadlock unless *whole* (`flock` knows none).
        """
        if self.admits(ino, owner):
            return
        begun_at = self._clock.boot()
        self._wanting[ino] += 1
        try:
            self._wake.set()
            while not self.admits(ino, owner):
                self._check_wait(ino, owner, begun_at, given_up, whole=whole)
                if self._rows.holds(ino) and self._rows.of(ino)[0].ino not in self._ready:
                    await self._get_ready(ino, given_up)
                else:
                    await self._hears(given_up)
        finally:
            self._wanting -= Counter([ino])

    def stop(self) -> None:
        """Let go of all who wait, now and later: the mount ends."""
        self._stopped = True
        self._told()

    def _check_wait(
        self,
        ino: InodeNo,
        owner: int,
        begun_at: float,
        given_up: asyncio.Future[None] | None,
        *,
        whole: bool,
    ) -> None:
        if self._stopped:
            raise NoLocks("the mount ends")
        waited_s = self._clock.boot() - begun_at
        if given_up is None:
            if self._rows.is_busy(ino) or waited_s >= ASK_S:
                raise LockHeld("another workstation has locks of this file")
        elif given_up.done():
            raise Interrupted("given up")
        elif not whole and waited_s >= DEADLOCK_S and self._locks.has_other_locks(ino, owner):
            raise Deadlock("another workstation may wait for a lock that is held here")

    async def _hears(self, *others: asyncio.Future[None] | None) -> None:
        """Return when there is news, when one of *others* is done, or after a tick."""
        async with asyncio.TaskGroup() as group:
            tick = group.create_task(self._rows.news())
            waits = [tick, *(each for each in others if each is not None)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            tick.cancel()

    async def _get_ready(self, ino: InodeNo, given_up: asyncio.Future[None] | None) -> None:
        """Have the kernel show what others did to *ino* before its token came here."""
        before = self._rows.of(ino)
        async with asyncio.TaskGroup() as group:
            settling = group.create_task(self._settled())
            while not settling.done() and not self._stopped:
                if given_up is not None and given_up.done():
                    break
                await self._hears(settling, given_up)
            is_done = settling.done()
            settling.cancel()
        if is_done and self._rows.holds(ino) and self._rows.of(ino) == before:
            self._ready.add(before[0].ino)
            self._stays_until[ino] = self._clock.boot() + HOLD_S

    def _decides(self, ino: InodeNo) -> bool:
        if self._rows.holds(ino):
            return self._rows.of(ino)[0].ino in self._ready
        # What has no name has no other users than ours.
        found = self._replica.tree.attributes(ino)
        return found is None or found.nlink == 0

    def _decides_alone(self) -> bool:
        """Tell whether locks are decided here without a token: there has been no bucket for long.

        Or nothing that is done under them can ever be committed.
        """
        if self._committer.stopped is not None:
            return True
        if not self._alone_when_away or self._life.away_for() < LEASE_TTL_S:
            return False
        self._alerts.begin(
            "locks",
            "The bucket is away, so file locks hold on this workstation only.",
            "Do not open shared databases or projects here that somebody else may have open.",
        )
        return True

    # -- what is done about it ---------------------------------------------------------------

    async def run(self) -> None:
        """Ask for tokens, renew what is in use, and give what others want, until cancelled."""
        while True:
            self._wake.clear()
            if self._life.away_for() < LEASE_TTL_S:
                self._alerts.end("locks")
            self._notice_what_was_taken()
            for ino in list(self._wanting):
                self._rows.ask_for(ino)
            self._renew()
            pause_s = self._give_what_is_wanted()
            await set_within(self._wake, pause_s, self._clock)

    def resign(self) -> None:
        """Say with the next entry that nothing is held here any more: the mount ends."""
        for ino, _ in self._replica.tree.leases():
            self._rows.resign(self._rows.own_place(ino))

    def _decided(self) -> None:
        """Note which rows are another's now: what is given back to us has to be shown by the kernel first."""
        self._told()
        if self._ready:
            rows = dict(self._replica.tree.leases())
            self._ready = {ino for ino in self._ready if self._is_ours(rows.get(ino))}

    def _is_ours(self, value: bytes | None) -> bool:
        row = decoded_lease(value)
        return row is not None and row.holder == self._device

    def _told(self) -> None:
        self._rows.told()
        self._wake.set()

    def _notice_what_was_taken(self) -> None:
        """Tell of locks that stand here and hold no more: another took their token."""
        lost = {
            ino
            for ino in self._locks.in_use()
            if (row := self._rows.of(ino)[1]) is not None
            and row.holder not in {NOBODY, self._device}
        }
        new, self._lost = sorted(lost - self._lost), lost
        if new:
            names = ", ".join(self._replica.tree.shown_path(ino) for ino in new[:_NAMED])
            more = f" and {len(new) - _NAMED} more" if len(new) > _NAMED else ""
            self._alerts.begin(
                "locks:taken",
                "This workstation was not heard of for half a minute, and another took over locks that "
                f"programs here believe to hold: {names}{more}.",
                "Close these files in the programs that have them open, and look for conflict copies.",
                lasts_s=EVENT_S,
            )

    def _unused(self) -> None:
        """Look again, now that a file has no locks: if anybody waits for that."""
        if self._busy or self._closed:
            self._told()

    def _renew(self) -> None:
        """Make an entry in time while locks are held: every entry renews all of them."""
        if self._life.ours_for() > RENEW_WITHIN_S:
            return
        for ino in self._locks.in_use():
            place, row = self._rows.of(ino)
            if row is None or row.holder != self._device:
                continue
            # What we lost and were given back since is not shown by the kernel yet.
            if row.given and place.ino not in self._ready:
                continue
            if self._rows.lasts_s(row) > RENEW_WITHIN_S:
                continue
            if not self._rows.is_changing(place):
                self._rows.change(place, row, row.renewed())
            return

    def _give_what_is_wanted(self) -> float:
        """Begin to give what others want; return after how many seconds to look again."""
        pause_s = TICK_S
        now = self._clock.boot()
        self._busy &= self._locks.in_use()
        for ino in self._wanted_by_others():
            if ino in self._busy:
                self._rows.say_busy(ino)
                continue
            if ino in self._giving:
                continue
            if (wait_s := self._stays_until.get(ino, now) - now) > 0:
                pause_s = min(pause_s, wait_s)
                continue
            self._giving.add(ino)
            _ = self._tasks.create_task(self._give(ino), name="giving locks away")
        return pause_s

    def _wanted_by_others(self) -> list[InodeNo]:
        """Return the files whose locks are decided here, and that others ask for: by the log, or over a link."""
        wanted = dict.fromkeys(self._rows.asked_for())
        for ino, value in self._replica.tree.leases():
            row = decoded_lease(value)
            if row is None or row.holder != self._device or row.wanted in (NOBODY, self._device):
                continue
            wanted[ino] = None
            if row.busy and self._locks.is_in_use(ino):
                self._busy.add(ino)
        return list(wanted)

    async def _give(self, ino: InodeNo) -> None:
        try:
            if self._work.is_much(ino):  # nobody here is kept out for as long as that takes
                await self._work.commit(ino)
            self._closed.add(ino)
            if await self._falls_into_disuse(ino):
                await self._work.finish(ino)
                self._stays_until.pop(ino, None)
                self._rows.give(ino)
                while self._rows.changes(ino):
                    await self._rows.news()
            else:
                self._say_that_it_is_busy(ino)
        except (FsError, NodeError, OSError) as error:
            log.warning("locks of inode %d stay here for now: %s", ino, error)
        finally:
            self._closed.discard(ino)
            self._giving.discard(ino)
            self._stays_until[ino] = self._clock.boot() + HOLD_S
            self._told()

    async def _falls_into_disuse(self, ino: InodeNo) -> bool:
        """Return whether the last lock of *ino* was let go within DRAIN_S."""
        ends_at = self._clock.boot() + DRAIN_S
        while self._locks.is_in_use(ino):
            left_s = ends_at - self._clock.boot()
            if left_s <= 0:
                return False
            await self._rows.news(left_s)
        return True

    def _say_that_it_is_busy(self, ino: InodeNo) -> None:
        self._busy.add(ino)
        self._rows.say_busy(ino)
        place, row = self._rows.of(ino)
        if row is None or row.holder != self._device or row.wanted in (NOBODY, self._device):
            return  # nobody has asked by an entry
        if place == self._rows.own_place(ino) and not row.busy:
            self._rows.change(place, row, row.renewed(busy=True))
