"""How safe a file is, as the extended attribute `user.lucid.state` says it."""

from __future__ import annotations

from typing import Literal

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.replica import Replica

PREFIX = b"user.lucid."
XATTR = b"user.lucid.state"

State = Literal["dirty", "local", "cloud"]
"""dirty: a crash of this machine loses the latest bytes. local: they survive that, and wait for the
bucket. cloud: in the bucket, where every node sees them."""

_FORGET_AT = 65536
"""Marks kept before those of committed changes are dropped."""


class Pending:
    """Which files have changes that are not committed, by the replica's marks."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._marks: dict[InodeNo, int] = {}
        self._earlier = replica.newest()
        """What an earlier run left uncommitted may be of any file: each waits for all of it."""

    def changed(self, ino: InodeNo) -> None:
        """Note that the newest operation of the replica was about *ino*."""
        self._marks[ino] = self._replica.newest()
        if len(self._marks) > _FORGET_AT:
            self._marks = {
                ino: mark for ino, mark in self._marks.items() if not self._replica.is_settled(mark)
            }

    def state(self, ino: InodeNo, *, dirty: bool) -> State:
        """Return the state of *ino*; *dirty* says whether it has bytes in memory only."""
        if dirty:
            return "dirty"
        mark = self._marks.get(ino, self._earlier)
        if self._replica.tails_of(ino) or not self._replica.is_settled(mark):
            return "local"
        return "cloud"
