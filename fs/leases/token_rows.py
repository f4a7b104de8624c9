"""The rows of one kind of lease that two nodes hand to each other, as one mount sees and changes them.

One row stands for everything of its kind that has none of its own: that of the root. So who is alone
asks once. What two nodes want gets a row when the second asks for it. The rules are those of
docs/design/0012-leases.md.
"""

from __future__ import annotations

from collections.abc import Callable

from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.signs_of_life import LEASE_MARGIN_S, LEASE_TTL_S
from lucidnode.fs.leases.lease_changes import LeaseChanges
from lucidnode.fs.leases.lease_row import NOBODY, LeaseRow, RowPlace, decoded_lease
from lucidnode.fs.leases.recalls import Asker, Recalls
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.intents import Lease
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import DeviceId

TICK_S = 1.0
"""How often to look whether time alone has changed something."""

_REMEMBERED_ROWS = 1024


class TokenRows:
    """The rows *own* of each file or directory, and the root's *others* for all that have none.

    *claimed* is told of each place whose row is about to say something that is not so yet. Nothing here
    awaits but `news`.
    """

    def __init__(
        self,
        replica: Replica,
        device: DeviceId,
        committer: Committer,
        clock: Clock,
        *,
        own: bytes,
        others: bytes,
        recalls: Recalls,
        claimed: Callable[[RowPlace], object],
    ) -> None:
        self._replica = replica
        self._device = device
        self._committer = committer
        self._life = committer.life
        self._clock = clock
        self._own = own
        self._others = RowPlace(ROOT, others)
        self._recalls = recalls
        self._claimed = claimed
        self._given: dict[RowPlace, tuple[LeaseRow, float]] = {}
        """Since when this life has known of rows that their holders were given, and wants them."""
        self._rows: dict[InodeNo, tuple[RowPlace, LeaseRow | None]] = {}
        """What was read of rows since a slot was decided, while no change of ours waits."""
        self._changes = LeaseChanges(replica, committer, clock)

    # -- what the log says -------------------------------------------------------------------

    def of(self, ino: InodeNo) -> tuple[RowPlace, LeaseRow | None]:
        """Return the row that counts for *ino*, and where that is: its own, or the root's."""
        if self._pending():
            self._rows.clear()
            return self._read(ino)
        if ino not in self._rows:
            if len(self._rows) >= _REMEMBERED_ROWS:
                self._rows.clear()
            self._rows[ino] = self._read(ino)
        return self._rows[ino]

    def of_others(self) -> LeaseRow | None:
        """Return the row for all that have none of their own."""
        return self._at(self._others)

    def own_place(self, ino: InodeNo) -> RowPlace:
        """Return where *ino* has a row of its own, if it has one."""
        return RowPlace(ino, self._own)

    def holds(self, ino: InodeNo) -> bool:
        """Tell whether the log says so, and it is not too long ago that we were heard of."""
        place, row = self.of(ino)
        return (
            row is not None
            and row.holder == self._device
            and not any(RowPlace(of.ino, of.name) == place and of.claims for of in self._pending())
            and self.lasts_s(row) > 0
        )

    def lasts_s(self, row: LeaseRow) -> float:
        """Return for how many seconds yet what *row* is for may be used, if it is ours; not above zero: not at all.

        Others count from what they read later than we sent it: our newest entry, or the one that answers our word.
        """
        lasts_s = self._life.ours_for()
        if row.answers and (asked_at := self._recalls.asked_at(row.answers)) is not None:
            given_s = asked_at + LEASE_TTL_S - LEASE_MARGIN_S - self._clock.boot()
            lasts_s = max(lasts_s, given_s)
        return lasts_s

    def is_others(self, ino: InodeNo) -> bool:
        """Tell whether another holds it by the log, whatever changes of ours wait."""
        own = self.own_place(ino)
        row = decoded_lease(self._logged(own)) or decoded_lease(self._logged(self._others))
        return row is not None and row.holder not in {NOBODY, self._device}

    def _logged(self, place: RowPlace) -> bytes | None:
        changes = (of for of in self._pending() if RowPlace(of.ino, of.name) == place)
        first = next(changes, None)
        return self._replica.tree.lease(*place) if first is None else first.expected

    def is_busy(self, ino: InodeNo) -> bool:
        """Tell whether another holds it, and has said that it is in use there."""
        _, row = self.of(ino)
        if row is None or row.holder == self._device:
            return False
        return row.busy or self._recalls.is_busy(self.own_place(ino))

    def changes(self, ino: InodeNo) -> bool:
        """Tell whether a change of the own row of *ino* is not committed yet."""
        return self.is_changing(self.own_place(ino))

    def is_changing(self, place: RowPlace) -> bool:
        """Tell whether a change of the row at *place* is not committed yet."""
        return any(RowPlace(change.ino, change.name) == place for change in self._pending())

    def _read(self, ino: InodeNo) -> tuple[RowPlace, LeaseRow | None]:
        own = self.own_place(ino)
        row = self._at(own)
        return (self._others, self._at(self._others)) if row is None else (own, row)

    def _at(self, place: RowPlace) -> LeaseRow | None:
        return decoded_lease(self._replica.tree.lease(*place))

    def _pending(self) -> list[Lease]:
        return self._changes.pending(self._own, self._others.name)

    # -- what is done about it ---------------------------------------------------------------

    def ask_for(self, ino: InodeNo) -> None:
        """Do the next step towards the row of *ino*, unless one is under way."""
        place, row = self.of(ino)
        own = self.own_place(ino)
        if self.is_changing(own) or self.is_changing(place):
            return
        ours = self._device
        if row is None:
            self.change(place, None, LeaseRow(holder=ours, fence=1), claims=True)
        elif row.holder == ours:
            if self.lasts_s(row) <= 0:
                self.change(place, row, row.changed(wanted=row.wanted), claims=row.given)
        elif row.holder == NOBODY:
            self.change(place, row, row.changed(holder=ours), claims=True)
        elif self._is_silent(place, row):
            self.change(place, row, row.changed(holder=ours), claims=True, alone=True)
        elif self._recalls.asks(own, row.holder, row.fence if place == own else 0):
            pass  # he gives it by an entry, or this is not True any more
        elif place != own:
            # Who holds the root's row may change at any entry, and with it who holds this.
            self.change(own, None, LeaseRow(holder=row.holder, fence=1, wanted=ours), alone=True)
        elif row.wanted == NOBODY:
            self.change(place, row, row.renewed(wanted=ours))

    def _is_silent(self, place: RowPlace, row: LeaseRow) -> bool:
        """Tell whether who holds it has not been heard of for a TTL, nor since long who gave it to him."""
        if not row.given:
            self._given.pop(place, None)
            return self._life.is_silent(row.holder)
        known, since = self._given.get(place, (None, 0.0))
        if known != row:
            if len(self._given) >= _REMEMBERED_ROWS:
                self._given.clear()  # who is forgotten is waited for a little longer
            since = self._clock.boot()
            self._given[place] = (row, since)
        return self._life.is_silent(row.holder, since=since)

    # -- who asks for what is ours -----------------------------------------------------------

    def asked_for(self) -> list[InodeNo]:
        """Return what is ours and others have asked for over the links of the office, lately."""
        return [ino for ino in self._recalls.asked_for(self._own) if self._asker(ino) is not None]

    def say_busy(self, ino: InodeNo) -> None:
        """Tell who asked for *ino* over a link that it is in use here."""
        self._recalls.say_busy(self.own_place(ino))

    def _asker(self, ino: InodeNo) -> Asker | None:
        place, row = self.of(ino)
        if row is None or row.holder != self._device or self.is_changing(place):
            return None
        own = self.own_place(ino)
        return self._recalls.asker(own, row.fence if place == own else 0)

    def give(self, ino: InodeNo) -> None:
        """Give *ino* to who asks for it, if it is still ours: with what was done under the lease, or behind it.

        It is not held any more, unless `changes` ends and the log says that it is.
        """
        place, row = self.of(ino)
        own, asker = self.own_place(ino), self._asker(ino)
        if row is None or row.holder != self._device:
            return
        if place != own:
            if asker is None:
                return
            # It rests on the root's row as well: see `ask_for`.
            given = LeaseRow(holder=asker.device, fence=1, given=True, asking=asker.asking)
            self.change(own, None, given, claims=True, alone=True, behind=True)
        elif row.wanted not in {NOBODY, self._device}:
            answers = b"" if asker is None or asker.device != row.wanted else asker.asking
            given = row.changed(holder=row.wanted, given=True, asking=answers)
            self.change(own, row, given, claims=True, behind=True)
        elif asker is not None:
            given = row.changed(holder=asker.device, given=True, asking=asker.asking)
            self.change(own, row, given, claims=True, behind=True)

    def resign(self, place: RowPlace) -> None:
        """Say with the next entry that we do not hold the row at *place* any more, if we do."""
        row = self._at(place)
        if row is not None and row.holder == self._device:
            nobodys = row.changed(holder=row.wanted, given=row.wanted != NOBODY)
            self.change(place, row, nobodys, behind=True)

    def change(
        self,
        place: RowPlace,
        row: LeaseRow | None,
        wanted: LeaseRow,
        *,
        claims: bool = False,
        alone: bool = False,
        behind: bool = False,
    ) -> None:
        """Change *row* at *place*, as far as we know; whoever comes first in the log has it."""
        if claims:
            self._claimed(place)
        # A row that says nothing is in the place of one: it is replaced.
        expected = self._replica.tree.lease(*place) if row is None else row.encoded()
        change = Lease(place.ino, expected, wanted.encoded(), claims, alone, place.name, behind)
        self._changes.change(change)

    # -- news --------------------------------------------------------------------------------

    def told(self) -> None:
        """Take note that a slot was decided, that the end of the log was seen, or of any other news."""
        self._rows.clear()
        self._changes.told()

    async def news(self, within_s: float = TICK_S) -> None:
        """Return when there is news, or after *within_s* seconds."""
        await self._changes.news(within_s)
