"""Looks whether this workstation's replica of a project is what the journal says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from lucidnode.fs.errors import ReplicaError
from lucidnode.fs.fsck.needed_blocks import path_of
from lucidnode.fs.history.past import Past
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.sqlite.connection import is_in_use
from lucidnode.fs.replica.sqlite.rows import KEY_COLUMNS, Row
from lucidnode.fs.replica.sqlite.snapshot import Snapshot

ReplicaVerdict = Literal["right", "differs", "lost", "unreadable", "mounted", "none"]
"""differs: rows of it are not the journal's. lost: it stands on entries that the bucket does not have.
mounted: it is in use, and was not looked at."""

_MOST = 1000
"""Rows that differ after which no more are looked for."""


def check_replica(past: Past, replica: Path, key: bytes) -> tuple[ReplicaVerdict, list[str]]:
    """Compare the file *replica*, under *key*, with *past*; return the paths of what differs.

    What waits there to be committed is no difference. Raises as `Past.at`.
    """
    if not replica.exists():
        return "none", []
    if is_in_use(replica):
        return "mounted", []
    try:
        with contextlib.closing(Snapshot(replica, key, lambda: None)) as ours:
            known = past.log.newest()
            if ours.seq > known or (ours.seq and past.log.link(ours.seq) != ours.link):
                return "lost", []
            with past.at(ours.seq):
                differing = _differing(past, ours)
    except ReplicaError:
        return "unreadable", []
    if not differing:
        return "right", []
    return "differs", sorted(filter(None, {path_of(past, ino) for ino in differing}))


def _differing(past: Past, ours: Snapshot) -> set[InodeNo]:
    """Return the files of rows that are not in both alike; 0 stands for what belongs to none."""
    found: set[InodeNo] = set()
    for table, keys in KEY_COLUMNS.items():
        for row in unlike(ours.table(table), past.rows(table), keys):
            file = row[2] if table == "name" else row[0]
            found.add(InodeNo(file if isinstance(file, int) else 0))
            if len(found) > _MOST:
                return found
    return found


def unlike(mine: Iterator[Row], true: Iterator[Row], keys: int) -> Iterator[Row]:
    """Yield what is not in both: rows in the order of their first *keys* columns. Pure."""
    one, other = next(mine, None), next(true, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[:keys] < other[:keys]):
            assert one is not None
            yield one
            one = next(mine, None)
        elif one is None or other[:keys] < one[:keys]:
            yield other
            other = next(true, None)
        else:
            if one != other:
                yield one
            one, other = next(mine, None), next(true, None)
