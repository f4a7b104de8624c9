"""Where the bytes came from, as the daemons count them."""

from __future__ import annotations

import contextlib

import msgspec

from lab.errors import CommandFailed
from lab.patience import until
from lab.workstation import Workstation
from lucidnode.node.savings import NodeTotals

_REPORT = 4.0
"""Seconds to wait for a mount's totals: it tells its daemon about once a second."""


def totals(station: Workstation) -> NodeTotals:
    """Return what *station* has moved since its daemon started."""
    here = station.facts("savings")["here"]
    return NodeTotals(**{name: here[name] for name in NodeTotals.__struct_fields__})


def difference(before: NodeTotals, after: NodeTotals) -> NodeTotals:
    """Return what was moved between two counts."""
    then, now = msgspec.structs.asdict(before), msgspec.structs.asdict(after)
    return NodeTotals(**{name: now[name] - then[name] for name in now})


def delivered(count: NodeTotals) -> int:
    """Return the bytes handed to applications, wherever they came from."""
    return (
        count.read_memory
        + count.read_cache
        + count.read_peer
        + count.read_bucket
        + count.read_unsent
    )


def since(station: Workstation, before: NodeTotals, expected: int) -> NodeTotals:
    """Return what *station* moved since *before*, once at least *expected* bytes are counted.

    What the kernel served from its own pages is counted by nobody: after a while the count is
    returned as it is.
    """
    with contextlib.suppress(CommandFailed):
        until(
            lambda: delivered(difference(before, totals(station))) >= expected,
            within=_REPORT,
            what="the mount has not counted all",
        )
    return difference(before, totals(station))
