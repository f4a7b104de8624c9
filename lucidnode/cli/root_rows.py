"""Commits what is said of a project as a whole: attributes of its root that are our own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lucidnode.cli.past_input import OpenPast
from lucidnode.cli.restoring import seen_here
from lucidnode.fs.errors import NotAllowed
from lucidnode.fs.history.restored_work import commit
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import RemoveXattr, SetXattr
from lucidnode.node.client.clock import SystemClock


async def commit_rows(
    opened: OpenPast, changes: Sequence[SetXattr | RemoveXattr]
) -> list[tuple[bytes, bytes]]:
    """Have *changes* committed; return the root's own attributes afterwards, by name.

    A change that no longer fits, since somebody was quicker, is not made. Raises NotAllowed, a
    FileError, Unavailable if the bucket takes nothing, another NodeError or FsError.
    """
    if not opened.access.may_write:
        raise NotAllowed("a viewer changes nothing: ask an editor to do it")
    clock = SystemClock()
    with opened.past.writable_copy(opened.access.device) as replica:

        def steps() -> Iterator[int]:
            for change in changes:
                replica.apply(change)
                yield 0

        await commit(
            replica, steps(), opened.client.journal, opened.access, clock, lambda _size: None
        )
        head, after = replica.pending.head().seq, replica.tree.own_xattrs(ROOT)
    await seen_here(opened, head, clock)
    return after
