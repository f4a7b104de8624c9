"""Who has which files for himself, for people."""

from __future__ import annotations

from lucidnode.fs.files.work_here import WorkHere
from lucidnode.fs.leases.lease_row import NOBODY
from lucidnode.fs.leases.write_lease import decoded_write_lease
from lucidnode.node.client import mount_messages

_MOST = 256
"""Files that are told of."""


class ShownLeases:
    """The write leases of one project."""

    def __init__(self, work: WorkHere) -> None:
        self._work = work

    def leases(self) -> list[mount_messages.FileLease]:
        """Return the files that a workstation has for itself, in the order of their paths."""
        shown = [
            mount_messages.FileLease(
                self._work.replica.tree.shown_path(ino),
                "" if row.holder == self._work.device else self._work.device_name(row.holder),
                row.taken,
                row.since_ns,
            )
            for ino, value in self._work.replica.tree.write_leases()
            if (row := decoded_write_lease(value)) is not None and row.holder != NOBODY
        ]
        return sorted(shown, key=lambda lease: lease.path)[:_MOST]
