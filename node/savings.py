"""How much of the bucket's bandwidth the office did without. Pure arithmetic over counts.

Two things are told apart, and never added up:

- What the *office* did not download because a colleague had it: all blocks that programs needed and
  that were not on their own disk, less all that was downloaded, by whoever and for whatever. What
  was read ahead and not used yet is not needed.
- What a *workstation* did not download again because its own cache had it: what programs read from
  its disk, of blocks that came over the network. What was written there and is read back is not
  counted, nor what comes out of memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec

from lucidnode.node.prices import PriceList


class NodeTotals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one node has moved since its daemon started, in bytes.

    `read_*` are plaintext bytes handed to applications, by where their block came from; `unsent`
    were written here and not uploaded yet, so no bucket could have served them.
    """

    read_memory: int = 0
    read_cache: int = 0
    read_peer: int = 0
    read_bucket: int = 0
    read_unsent: int = 0
    read_again: int = 0
    """Of `read_cache`, that of blocks which had come over the network."""
    written: int = 0
    downloaded: int = 0
    """Block ciphertext from the bucket, for this node or for the office."""
    uploaded: int = 0
    received: int = 0
    """Block ciphertext from peers."""
    served: int = 0
    """Block ciphertext to peers."""
    wasted: int = 0
    """Fetched for nothing: asked for twice, corrupt, or broken off."""
    block_gets: int = 0
    """GET requests for blocks sent to the bucket."""
    from_office: int = 0
    """Ciphertext of blocks that mounts here needed, and peers had or fetched."""
    from_cloud: int = 0
    """The same of those that this node fetched from the bucket."""
    ahead: int = 0
    """Fetched before a program asked for it; part of the two above."""
    ahead_used: int = 0
    """Of that, what a program then read."""
    block_puts: int = 0
    """Requests that brought blocks to the bucket."""

    def __add__(self, other: NodeTotals) -> NodeTotals:
        return NodeTotals(*(a + b for a, b in zip(_fields(self), _fields(other), strict=True)))


class DayCounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What savings are reckoned from, of one node and one day, or in sum: as in `NodeTotals`."""

    from_office: int = 0
    from_cloud: int = 0
    ahead: int = 0
    ahead_used: int = 0
    read_again: int = 0
    downloaded: int = 0
    wasted: int = 0
    block_gets: int = 0
    block_puts: int = 0

    def __add__(self, other: DayCounts) -> DayCounts:
        return DayCounts(*(a + b for a, b in zip(_fields(self), _fields(other), strict=True)))


class Savings(msgspec.Struct, frozen=True):
    """The figures a producer asks for, in bytes; money in dollars."""

    needed: int
    """What programs needed and their workstation had not."""
    from_office: int
    downloaded: int
    saved_by_office: int
    percent: float
    """The part of what was needed that the office did not download."""
    saved_by_cache: int
    wasted: int
    """Fetched for nothing, what was read ahead and not used yet included."""
    not_used_yet: int
    """The part of `wasted` that is not final: a program may still read it."""
    block_gets: int
    block_puts: int
    requests_by_office: int
    requests_by_cache: int
    """GETs that what was saved would have taken, at least: in blocks of the largest size there is."""
    money_by_office: float
    money_by_cache: float
    money_spent: float
    """What was downloaded, and the requests for blocks both ways, cost."""


def day_counts(totals: NodeTotals) -> DayCounts:
    """Return the part of *totals* that savings are reckoned from."""
    return DayCounts(*(getattr(totals, name) for name in DayCounts.__struct_fields__))


def grown(before: DayCounts, now: DayCounts) -> DayCounts:
    """Return what was counted between two readings of counters that never fall."""
    pairs = zip(_fields(before), _fields(now), strict=True)
    return DayCounts(*(max(0, after - then) for then, after in pairs))


def savings(counts: DayCounts, prices: PriceList, block_bytes: int) -> Savings:
    """Return what *counts*, summed over the office, saved. Never below zero, nor above what was needed.

    *block_bytes* is the size of the studio's largest blocks.
    """
    unused = max(0, counts.ahead - counts.ahead_used)
    needed = max(0, counts.from_office + counts.from_cloud - unused)
    saved = max(0, needed - counts.downloaded)
    by_office, by_cache = saved // block_bytes, counts.read_again // block_bytes
    return Savings(
        needed=needed,
        from_office=counts.from_office,
        downloaded=counts.downloaded,
        saved_by_office=saved,
        percent=min(100.0, 100.0 * saved / needed) if needed else 0.0,
        saved_by_cache=counts.read_again,
        wasted=counts.wasted + unused,
        not_used_yet=unused,
        block_gets=counts.block_gets,
        block_puts=counts.block_puts,
        requests_by_office=by_office,
        requests_by_cache=by_cache,
        money_by_office=prices.downloads(saved, by_office),
        money_by_cache=prices.downloads(counts.read_again, by_cache),
        money_spent=prices.downloads(counts.downloaded, counts.block_gets)
        + prices.uploads(counts.block_puts),
    )


_OF_ONE_NODE = [
    name
    for name in Savings.__struct_fields__
    if name not in {"saved_by_office", "percent", "requests_by_office", "money_by_office"}
]
"""Who fetches for colleagues what they need has saved nothing by himself: only the sum says what an
office saved."""


def period(
    here: Mapping[date, DayCounts],
    office: Mapping[date, DayCounts],
    since: date,
    prices: PriceList,
    block_bytes: int,
    until: date = date.max,
) -> dict[str, Any]:
    """Return the savings from the day *since* on, to *until*, of one node and of the office, for JSON."""
    one, all_of_us = (
        savings(_within(days, since, until), prices, block_bytes) for days in (here, office)
    )
    return {
        "since": since.isoformat(),
        "here": {name: getattr(one, name) for name in _OF_ONE_NODE},
        "office": msgspec.structs.asdict(all_of_us),
    }


def _within(days: Mapping[date, DayCounts], first: date, last: date) -> DayCounts:
    return sum((counts for day, counts in days.items() if first <= day <= last), start=DayCounts())


def _fields(counts: NodeTotals | DayCounts) -> tuple[int, ...]:
    return tuple(getattr(counts, name) for name in counts.__struct_fields__)
