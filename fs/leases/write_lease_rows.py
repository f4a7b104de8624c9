"""The rows of write leases as one mount sees them, and the changes that it makes to them."""

from __future__ import annotations

from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.leases.lease_changes import LeaseChanges
from lucidnode.fs.leases.lease_row import NOBODY
from lucidnode.fs.leases.write_lease import WriteLease, decoded_write_lease
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import WRITE_LEASE, Lease
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import DeviceId

WRITE_TTL_S = 120.0
"""How long a device must be silent before another may take its write leases. Longer than for locks:
people hold these for hours, and each renewal is an entry. Who does not want to wait breaks them."""


class WriteLeaseRows:
    """The rows of one mount, which is *device*. Nothing here awaits but `news`."""

    def __init__(
        self, replica: Replica, device: DeviceId, committer: Committer, clock: Clock
    ) -> None:
        self._replica = replica
        self._device = device
        self._committer = committer
        self._clock = clock
        self._rows: dict[InodeNo, WriteLease] | None = None
        self._changes = LeaseChanges(replica, committer, clock)

    def all(self) -> dict[InodeNo, WriteLease]:
        """Return every row, those of changes that wait among them."""
        if self._rows is None:
            self._rows = {
                ino: row
                for ino, value in self._replica.tree.write_leases()
                if (row := decoded_write_lease(value)) is not None
            }
        return self._rows

    def of(self, ino: InodeNo) -> WriteLease | None:
        """Return the row of *ino*, None if nobody has it for himself, and nobody broke that."""
        return self.all().get(ino)

    def other(self, ino: InodeNo) -> WriteLease | None:
        """Return the row of *ino* if another device holds it, and is not silent for long."""
        row = self.of(ino)
        if row is None or row.holder in {NOBODY, self._device}:
            return None
        return None if self._committer.life.is_silent(row.holder, WRITE_TTL_S) else row

    def ours(self) -> dict[InodeNo, WriteLease]:
        """Return the rows that name this device, whether they may be used now or not."""
        return {ino: row for ino, row in self.all().items() if row.holder == self._device}

    def holds(self, ino: InodeNo) -> bool:
        """Tell whether the log says that we hold *ino*, and we were heard of not too long ago."""
        row = self.of(ino)
        return (
            row is not None
            and row.holder == self._device
            and not any(change.ino == ino and change.claims for change in self._pending())
            and self._committer.life.ours_for(WRITE_TTL_S) > 0
        )

    def changes(self, ino: InodeNo) -> bool:
        """Tell whether a change of the row of *ino* is not committed yet."""
        return any(change.ino == ino for change in self._pending())

    def ask_for(self, ino: InodeNo, *, taken: bool) -> None:
        """Do the next step towards holding *ino*, for a person if *taken*, unless one is under way."""
        if self.changes(ino):
            return
        row = self.of(ino)
        if row is None or row.holder != self._device:
            fence = 1 if row is None else row.fence + 1
            wanted = WriteLease(
                holder=self._device, fence=fence, taken=taken, since_ns=self._clock.wall_ns()
            )
            is_others = row is not None and row.holder != NOBODY
            self.change(ino, row, wanted, claims=True, alone=is_others)
        elif taken and not row.taken:
            self.change(ino, row, row.with_taken(taken=True))
        else:
            self.change(ino, row, row.renewed())

    def change(
        self,
        ino: InodeNo,
        row: WriteLease | None,
        wanted: WriteLease | None,
        *,
        claims: bool = False,
        alone: bool = False,
    ) -> None:
        """Change *row* of *ino*, as far as we know; whoever comes first in the log has it."""
        expected = None if row is None else row.encoded()
        if row is None:
            # A row that says nothing is in the place of one: it is replaced.
            expected = dict(self._replica.tree.write_leases()).get(ino)
        value = None if wanted is None else wanted.encoded()
        self._rows = None
        self._changes.change(Lease(ino, expected, value, claims, alone, WRITE_LEASE))

    def told(self) -> None:
        """Take note that a slot was decided, or that the end of the log was seen."""
        self._rows = None
        self._changes.told()

    def look_again(self) -> None:
        """Have whoever waits for news look now."""
        self._changes.look_again()

    async def news(self, within_s: float = 1.0) -> None:
        """Return when there is news, or after *within_s* seconds."""
        await self._changes.news(within_s)

    def _pending(self) -> list[Lease]:
        return self._changes.pending(WRITE_LEASE)
