"""What a peer says that it moved, as far as that can be true. Pure; times come in.

Nobody can check a workstation's counters but itself, and figures of savings are money. So a claim
counts up to what a workstation could have moved at most, and no name but ours gets through.
"""

from __future__ import annotations

from collections.abc import Mapping

from lucidnode.node.savings import NodeTotals

BURST_BYTES = 100 * 10**12
"""What a counter may show when a peer is first heard of: its daemon may have run for months."""

BYTES_PER_S = 10**9
"""What it may grow by from then on: more than a workstation reads for longer than minutes."""


class ClaimedTotals:
    """The claims of one peer since it was first heard of."""

    def __init__(self) -> None:
        self._since: float | None = None

    def plausible(self, totals: Mapping[str, int], now: float) -> dict[str, int]:
        """Return the counters of *totals*, said at the time *now* (seconds), that we know, clipped."""
        if self._since is None:
            self._since = now
        most = BURST_BYTES + int(max(0.0, now - self._since) * BYTES_PER_S)
        known = {name: totals[name] for name in NodeTotals.__struct_fields__ if name in totals}
        return {name: min(most, max(0, count)) for name, count in known.items()}
