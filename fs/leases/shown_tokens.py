"""Who decides the locks of which files, for people."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice

from lucidnode.fs.files.work_here import WorkHere
from lucidnode.fs.leases.lease_row import NOBODY, LeaseRow, decoded_lease
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.node.client import mount_messages
from lucidnode.node.client.ids import DeviceId

_MOST = 256
"""Files that are told of."""


class ShownTokens:
    """The tokens of one project; *in_use* returns the files that programs of this mount have locked."""

    def __init__(self, work: WorkHere, in_use: Callable[[], Collection[InodeNo]]) -> None:
        self._work = work
        self._in_use = in_use

    def tokens(self) -> list[mount_messages.FileToken]:
        """Return the files that were locked from several workstations, and those locked here.

        The first, without a path, stands for all others.
        """
        rows = {
            ino: row
            for ino, value in self._work.replica.tree.leases()
            if (row := decoded_lease(value)) is not None
        }
        others = rows.pop(ROOT, None)
        if others is None and not rows:
            return []
        in_use = set(self._in_use())
        shown = {} if others is None else dict.fromkeys(in_use - rows.keys(), others)
        shown |= rows
        first = [] if others is None else [self._token("", others, is_locked=False)]
        return first + [
            self._token(self._work.replica.tree.shown_path(ino), row, is_locked=ino in in_use)
            for ino, row in islice(shown.items(), _MOST)
        ]

    def _token(self, path: str, row: LeaseRow, *, is_locked: bool) -> mount_messages.FileToken:
        return mount_messages.FileToken(
            path, self._name(row.holder), self._name(row.wanted), is_locked
        )

    def _name(self, device: DeviceId) -> str | None:
        if device == NOBODY:
            return None
        return "" if device == self._work.device else self._work.device_name(device)
