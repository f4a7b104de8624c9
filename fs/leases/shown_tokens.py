"""Who decides the locks of which files, for people."""

from __future__ import annotations

from itertools import islice

from lucidnode.fs.files.lock_table import LAST_BYTE
from lucidnode.fs.files.work_here import WorkHere
from lucidnode.fs.format.office_message import HeldRange
from lucidnode.fs.leases.lease_row import NOBODY, LeaseRow, decoded_lease
from lucidnode.fs.leases.lock_holders import LockHolders
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.node.client import mount_messages
from lucidnode.node.client.ids import DeviceId

_MOST = 256
"""Files that are told of."""


class ShownTokens:
    """The tokens of one project, and who has locks by them."""

    def __init__(self, work: WorkHere, holders: LockHolders) -> None:
        self._work = work
        self._holders = holders

    async def tokens(self) -> list[mount_messages.FileToken]:
        """Return the files that were locked from several workstations, and those locked now.

        The first, without a path, stands for all others. Others are asked who has locks there.
        """
        rows = {
            ino: row
            for ino, value in self._work.replica.tree.leases()
            if (row := decoded_lease(value)) is not None
        }
        others = rows.pop(ROOT, None)
        if others is None and not rows:
            return []
        here = self._work.device
        deciding = {row.holder for row in (*rows.values(), *([others] if others else []))}
        held = await self._holders.elsewhere(deciding - {here, NOBODY})
        held[here] = self._holders.here()
        of_file: dict[InodeNo, list[mount_messages.LockHolder]] = {}
        for device, ranges in held.items():
            for each in ranges:
                row = rows.get(InodeNo(each.ino), others)
                if row is not None and row.holder == device:
                    of_file.setdefault(InodeNo(each.ino), []).append(self._holder(device, each))
        shown = {} if others is None else dict.fromkeys(of_file.keys() - rows.keys(), others)
        shown |= rows
        in_use = {InodeNo(each.ino) for each in held[here]}
        first = [] if others is None else [self._token("", others, [], is_locked=False)]
        return first + [
            self._token(
                self._work.replica.tree.shown_path(ino),
                row,
                of_file.get(ino, []),
                is_locked=ino in in_use,
            )
            for ino, row in islice(shown.items(), _MOST)
        ]

    def _token(
        self, path: str, row: LeaseRow, holders: list[mount_messages.LockHolder], *, is_locked: bool
    ) -> mount_messages.FileToken:
        return mount_messages.FileToken(
            path, self._name(row.holder), self._name(row.wanted), is_locked, holders
        )

    def _holder(self, device: DeviceId, held: HeldRange) -> mount_messages.LockHolder:
        last = None if held.last >= LAST_BYTE else held.last
        name = self._name(device) or ""
        return mount_messages.LockHolder(
            name, held.program, held.pid, held.exclusive, held.start, last
        )

    def _name(self, device: DeviceId) -> str | None:
        if device == NOBODY:
            return None
        return "" if device == self._work.device else self._work.device_name(device)
