"""Makes the snapshots of a schedule, and takes them away, in every mount that may write.

No workstation has that job alone: each waits a while of its own into a slot, and finds that another
has made it. Where two do it at once, both give the same name, and only one has it.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from lucidnode.fs.errors import FileError
from lucidnode.fs.format.project_facts import COLLECTION, collection_turn_in
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import XATTR_CREATE, RemoveXattr, SetXattr
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.snapshots.schedule import (
    SLOT_S,
    schedule_of,
    slot_at,
    slot_name,
    surplus,
)
from lucidnode.fs.snapshots.snapshot_row import (
    SnapshotRow,
    attribute,
    attribute_of,
    snapshots_of,
)
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import DeviceId

_LOOK_INTERVAL_S = 30.0

_SPREAD_S = 120
"""Seconds over which the workstations of a studio are spread, so that mostly the first does it."""


class SnapshotMaker:
    """Does it for one mount."""

    def __init__(self, replica: Replica, device: DeviceId, clock: Clock) -> None:
        self._replica = replica
        self._clock = clock
        self._wait_s = int(device[:8], 16) % _SPREAD_S

    async def run(self) -> None:
        """Look every half minute, until cancelled."""
        while True:
            await self._clock.sleep(_LOOK_INTERVAL_S)
            # The project may be read-only now, the disk full: the next look tries again.
            with contextlib.suppress(FileError):
                self.look()

    def look(self) -> None:
        """Make the snapshot of this slot if it is due, and take away what does not stay.

        Nothing is made where nothing was committed since the newest. Raises a FileError.
        """
        tree, wall_ns = self._replica.tree, self._clock.wall_ns()
        schedule = schedule_of(tree)
        wall_s = wall_ns / 1e9
        snapshots = snapshots_of(tree)
        scheduled = [each for each in snapshots if each.row.scheduled]
        if schedule is None and not scheduled:
            return
        if wall_s % SLOT_S < self._wait_s:
            return
        name = slot_name(slot_at(wall_s))
        head = self._replica.pending.head().seq
        newest = max((each.row.seq for each in scheduled), default=-1)
        turn = collection_turn_in(tree.fact(COLLECTION))
        changed = head if turn is None else turn.last_change(head)
        # The entry behind the newest is the one that gave it its name.
        has_changed = newest < 0 or not newest <= changed <= newest + 1
        if schedule is not None and has_changed and all(each.name != name for each in snapshots):
            row = SnapshotRow(seq=head, wall_ns=wall_ns, scheduled=True)
            self._replica.apply(
                SetXattr(ROOT, attribute(name), row.encoded(), wall_ns, XATTR_CREATE)
            )
        for each in surplus(snapshots_of(tree), schedule, datetime.fromtimestamp(wall_s, UTC)):
            self._replica.apply(RemoveXattr(ROOT, attribute_of(each), wall_ns))
