"""When to ask a second source while the first still works, and how often at most. Pure.

Hedging trades bandwidth for the slowest reads. The budget keeps the trade small: in an outage
every request is slow, and hedging each of them would double the load at the worst moment.
The race itself is run by `BlockSource` in fetch.py.
"""

from __future__ import annotations

from lucidnode.node.blocks.latency import Latency

MAX_HEDGED_SHARE = 0.01
"""Extra requests allowed for each ordinary one. Twice as many were planned; with each of three
nodes spending that, and what it saved up, the office could pass 1.05 GETs per block."""

BURST = 1.0
"""Extra requests that may be saved up."""

MIN_DELAY_S = 0.5
UNKNOWN_DELAY_S = 2.0
"""Seconds before a hedge: at the soonest, and while too little has been measured."""

MUCH_QUICKER_FACTOR = 3.0
"""How many times quicker than a peer's patience another source must be to say that the peer is at
fault. When the uplink is slow both are, and to blame the owner would have everyone fetch alone."""

DELAY_FACTOR = 3.0
"""A request is suspicious when it takes this many times what 95 of 100 take."""

MIN_BELIEVED_S = 4.0
MAX_BELIEVED_S = 20.0
"""Bounds of how long the office is believed that it is still fetching, when it is the bucket's usual
time here that says so. The least is well above a moment of crowding on the uplink: what is asked for
after it costs the office a second GET, and is not held back by the budget."""

UNMEASURED_BELIEVED_S = 10.0
"""How long it is believed while this node has read too little from the bucket itself."""


COPIES_AFTER_S = 8.0
"""How long the bucket alone is waited for: then whoever holds a copy is asked for it as well, which
causes no request to the bucket."""

COPIES_S = 10.0
"""How long a search for copies lasts, however many peers there are and whatever they do."""

NEXT_COPY_S = 0.5
"""How long one peer alone is waited for in such a search; less if there are many."""

PEERS_S = 40.0
"""How long a read waits for answers of peers in all. With the bucket away, MAX_BELIEVED_S,
COPIES_AFTER_S and COPIES_S come one after the other: that is less, and both are less than the 45 s
that a program waits (fs/read/block_fetcher.py)."""


class HedgePolicy:
    """The patience and the budget of one node."""

    def __init__(self) -> None:
        self._usual = Latency()
        self._bucket = Latency()
        self._saved = BURST

    def timeout_s(self) -> float:
        """Return how many seconds to wait for the first source before asking the next as well."""
        usual = self._usual.p95()
        return UNKNOWN_DELAY_S if usual is None else max(MIN_DELAY_S, DELAY_FACTOR * usual)

    def much_quicker(self) -> float:
        """Return within how many seconds another source must answer to say the first is at fault.

        A third of the patience, but of the shortest while nothing is known: when an office begins to
        read, every source is slow, and one lucky answer says little.
        """
        usual = self._usual.p95()
        return (MIN_DELAY_S if usual is None else self.timeout_s()) / MUCH_QUICKER_FACTOR

    def believed(self) -> float:
        """Return after how many seconds the bucket is asked, whatever the peers and the budget say.

        It follows what this node measured at the bucket itself: nothing that a peer says or does.
        """
        usual = self._bucket.p95()
        if usual is None:
            return UNMEASURED_BELIEVED_S
        return min(MAX_BELIEVED_S, max(MIN_BELIEVED_S, DELAY_FACTOR * usual))

    def bucket_took(self, seconds: float) -> None:
        """Learn that the bucket took *seconds* to give this node a block."""
        self._bucket.add(seconds)

    def finished(self, seconds: float) -> None:
        """Learn that an ordinary request took *seconds*; it earns its share of the budget."""
        self._usual.add(seconds)
        self._saved = min(BURST, self._saved + MAX_HEDGED_SHARE)

    def spend(self) -> bool:
        """Take one extra request out of the budget, if it is there."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True
