"""When a block may be listed, when a list is final, and what may be deleted. Pure.

docs/design/0016-collection.md says why these rules are enough, whatever crashes, sleeps or races.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from lucidnode.fs.format.geometry import MAX_PLAIN_BYTES, PAGE_BYTES, cipher_size
from lucidnode.fs.format.project_facts import (
    MIN_RETENTION_DAYS,
    STANDS_LONGER_NS,
    Condemned,
    listed,
)
from lucidnode.fs.write.other_block import MAX_OTHERS
from lucidnode.node.client.ids import BlockId, Seq

DAY_NS = 86_400 * 10**9

DEFAULT_RETENTION_DAYS = MIN_RETENTION_DAYS

GRACE_NS = DAY_NS
"""What a list is final before its objects go: a person, or a checkpoint, may still find a fault."""

MAX_OBJECT_BYTES = cipher_size(MAX_PLAIN_BYTES - MAX_OTHERS * PAGE_BYTES)
"""Objects above it stay: their content has no other block, should somebody save it again."""


KEPT_CHECKPOINTS = 6
"""The newest checkpoints stay, however old: newcomers try three, and some may be false."""


def outdated_checkpoints(made_ns: Mapping[Seq, int], now_ns: int, retention_days: int) -> list[Seq]:
    """Return which checkpoints nobody begins with any more; *made_ns* has the time of each one's entry.

    One within the retention stays, as who was away for so long may lay a part over it.
    """
    return [
        seq
        for seq in sorted(made_ns)[:-KEPT_CHECKPOINTS]
        if now_ns - made_ns[seq] >= _stands_ns(retention_days)
    ]


def may_be_condemned(
    in_bucket: Mapping[BlockId, int],
    needed: Collection[BlockId],
    lists: Iterable[Condemned],
) -> list[BlockId]:
    """Return what nothing refers to and no list has, of what lies *in_bucket* with its sizes."""
    known = {block for each in lists for block in each.blocks()}
    return sorted(
        block
        for block, size in in_bucket.items()
        if size <= MAX_OBJECT_BYTES and block not in needed and block not in known
    )


def is_due(found: Condemned, now_ns: int, retention_days: int) -> bool:
    """Tell whether *found* has stood for as long as the past is kept."""
    return not found.is_final and now_ns - found.wall_ns >= _stands_ns(retention_days)


def due_ns(found: Condemned, retention_days: int) -> int:
    """Return when *found* is due."""
    return found.wall_ns + _stands_ns(retention_days)


def next_step_ns(found: Condemned, retention_days: int) -> int:
    """Return when *found* is due, or if it is final when its objects may go."""
    return found.final_ns + GRACE_NS if found.is_final else due_ns(found, retention_days)


def final(
    found: Condemned, named: Collection[BlockId], needed: Collection[BlockId], now_ns: int
) -> Condemned | None:
    """Return *found* as the last word, without what was taken back; None if all of it was.

    *named* is all that entries named behind `found.seq`, also what they named only for a time.
    """
    left = [block for block in found.blocks() if block not in named and block not in needed]
    return Condemned(found.seq, found.wall_ns, now_ns, listed(left)) if left else None


def may_be_deleted(
    in_bucket: Collection[BlockId],
    lists: Iterable[Condemned],
    needed: Collection[BlockId],
    now_ns: int,
) -> list[BlockId]:
    """Return what lies *in_bucket* and is on a list that has been final for long enough.

    What is *needed* all the same was named by somebody who does not keep these rules, and stays.
    """
    gone = {
        block
        for each in lists
        if each.is_final and now_ns - each.final_ns >= GRACE_NS
        for block in each.blocks()
    }
    return sorted(block for block in gone if block in in_bucket and block not in needed)


def _stands_ns(retention_days: int) -> int:
    return max(retention_days, MIN_RETENTION_DAYS) * DAY_NS + STANDS_LONGER_NS
