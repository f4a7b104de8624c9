"""Makes the snapshots of a schedule, and takes them away, in every mount that may write.

No workstation has that job alone: each waits a while of its own into a slot, and finds that another
has made it. Where two do it at once, both give the same name, and only one has it. Whose clock is wrong
goes by the store's, and who has slept looks at the journal first: what has the name of a quarter of an hour is
a state of that quarter.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from lucidnode.fs.errors import FileError
from lucidnode.fs.format.project_facts import COLLECTION, collection_turn_in
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import XATTR_CREATE, RemoveXattr, SetXattr
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.snapshots.schedule import (
    SLOT_S,
    are_all_ahead,
    schedule_of,
    slot_at,
    slot_name,
    surplus,
)
from lucidnode.fs.snapshots.snapshot_row import (
    NamedRow,
    SnapshotRow,
    attribute,
    attribute_of,
    snapshots_of,
)
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import DeviceId

_LOOK_INTERVAL_S = 30.0

_MOST_APART_S = 24 * 3600
"""Where our clock and the store's differ by more, nothing is made and nothing taken away: neither is believed alone."""

_SPREAD_S = 120
"""Seconds over which the workstations of a studio are spread, so that mostly the first does it."""


class StoreClock(Protocol):
    """What is asked of the daemon (DaemonFacts)."""

    async def store_ahead_s(self) -> float | None:
        """Return by how many seconds the store's clock is ahead of ours, if it has one."""


class SnapshotMaker:
    """Does it for one mount. *end_seen_s* returns how long ago the end of the journal was seen, if ever."""

    def __init__(
        self,
        replica: Replica,
        device: DeviceId,
        store: StoreClock,
        end_seen_s: Callable[[], float | None],
        clock: Clock,
    ) -> None:
        self._replica = replica
        self._store = store
        self._end_seen_s = end_seen_s
        self._clock = clock
        self._wait_s = int(device[:8], 16) % _SPREAD_S

    async def run(self) -> None:
        """Look every half minute, until cancelled."""
        while True:
            await self._clock.sleep(_LOOK_INTERVAL_S)
            # The project may be read-only now, the disk full, the daemon away: the next look tries again.
            with contextlib.suppress(FileError, NodeError):
                await self.look()

    async def look(self) -> None:
        """Make the snapshot of this slot if it is due, and take away what does not stay.

        Nothing is made where nothing was committed since the newest. Raises a FileError or a NodeError.
        """
        tree = self._replica.tree
        if schedule_of(tree) is None and not any(each.row.scheduled for each in snapshots_of(tree)):
            return
        ahead_s = await self._store.store_ahead_s() or 0.0
        if abs(ahead_s) > _MOST_APART_S:
            return
        wall_ns = self._clock.wall_ns() + int(ahead_s * 1e9)
        wall_s = wall_ns / 1e9
        into_slot_s = wall_s % SLOT_S
        end_seen_s = self._end_seen_s()
        # What others did before the slot began may not be here yet: this machine may have slept.
        if into_slot_s < self._wait_s or end_seen_s is None or end_seen_s > into_slot_s:
            return
        schedule, snapshots = schedule_of(tree), snapshots_of(tree)
        scheduled = [each for each in snapshots if each.row.scheduled]
        now = datetime.fromtimestamp(wall_s, UTC)
        # A machine that lost its clock, at a store that has none, would take all of them away.
        if are_all_ahead(scheduled, now):
            return
        name = slot_name(slot_at(wall_s))
        head = self._replica.pending.head().seq
        newest = max((each.row.seq for each in scheduled), default=-1)
        turn = collection_turn_in(tree.fact(COLLECTION))
        changed = head if turn is None else turn.last_change(head)
        # The entry behind the newest is the one that gave it its name.
        has_changed = newest < 0 or not newest <= changed <= newest + 1
        new = NamedRow(name, SnapshotRow(seq=head, wall_ns=wall_ns, scheduled=True))
        if (
            has_changed
            and all(each.name != name for each in snapshots)
            and new not in surplus([*snapshots, new], schedule, now)
        ):
            self._replica.apply(
                SetXattr(ROOT, attribute(name), new.row.encoded(), wall_ns, XATTR_CREATE)
            )
        for each in surplus(snapshots_of(tree), schedule, now):
            self._replica.apply(RemoveXattr(ROOT, attribute_of(each), wall_ns))
