"""Whose turn it is to collect, and since when. Pure.

Any number of rounds may run at once: a turn spares listings and decides nothing else. So it needs no
lease, and no clock that is right.
"""

from __future__ import annotations

import msgspec

from lucidnode.fs.format.project_facts import COLLECTION, CollectionTurn, collection_turn_in
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.ids import DeviceId, Seq

_SECOND_NS = 10**9
_HOUR_NS = 3600 * _SECOND_NS
_DAY_NS = 24 * _HOUR_NS

SPREAD_S = 3600
"""Seconds over which workstations are spread, so that mostly one finds that it is due."""

AGAIN_NS = _HOUR_NS
"""After which who began a round that has no end begins it again."""

ABANDONED_NS = 6 * _HOUR_NS
"""After which others do: longer than a round may take (MAX_ROUND_S)."""

OTHERS_LATER_NS = 2 * _HOUR_NS
"""What others wait longer than who did it the day before, and has read the journal already."""

NEWCOMERS_LATER_NS = 3 * _DAY_NS
"""What those wait who would have to read the whole journal first: a laptop, while the office is shut."""

STANDS_BACK_NS = 30 * _DAY_NS
"""For how long a workstation that could not, as one that may not delete, leaves it to others."""


def due_ns(
    turn: CollectionTurn | None, device: DeviceId, now_ns: int, head: Seq, *, has_past: bool
) -> int | None:
    """Return when *device* is to begin a round, if nothing else happens; at or before *now_ns*: now.

    None: not as long as *head* is the newest entry, for there is nothing to do. *has_past*: it has read
    the journal before.
    """
    if turn is None or turn.begun_ns > now_ns + _DAY_NS:  # by a clock that was wrong
        return now_ns
    spread_ns = int(device[:8], 16) % SPREAD_S * _SECOND_NS
    ours = turn.device == device
    if not turn.ended_ns:
        return turn.begun_ns + (AGAIN_NS if ours else ABANDONED_NS + spread_ns)
    if turn.refused:
        return turn.begun_ns + (STANDS_BACK_NS if ours else spread_ns)
    due = turn.begun_ns + _DAY_NS
    if not turn.after and head <= turn.seq + 1:
        if not turn.due_ns:
            return None
        due = max(due, turn.due_ns)
    if ours:
        return due
    return due + (OTHERS_LATER_NS if has_past else NEWCOMERS_LATER_NS) + spread_ns


class ShownTurn(msgspec.Struct, frozen=True):
    """The last round for people: times in seconds since 1970, *ended* 0 while it is at work."""

    begun: float
    ended: float
    by: DeviceId
    freed_bytes: int
    next: float


def shown_turn(tree: TreeReader) -> ShownTurn | None:
    """Return the round that *tree* tells of, None if there was none."""
    turn = collection_turn_in(tree.fact(COLLECTION))
    if turn is None:
        return None
    following = turn.begun_ns + (_DAY_NS if turn.ended_ns else ABANDONED_NS)
    return ShownTurn(
        turn.begun_ns / 1e9, turn.ended_ns / 1e9, turn.device, turn.freed_bytes, following / 1e9
    )
