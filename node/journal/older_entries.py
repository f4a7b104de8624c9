"""Which of the older journal entries that this node keeps are looked for in the bucket, and when.

Nobody who has an entry ever needs it from the bucket again, so that an old one is lost or spoiled
is noticed by who joins, perhaps when no workstation has it any more. So all that are kept come
round slowly: the names of a thousand by one listing, and the bytes of one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from lucidnode.node.client.ids import Seq

ROUNDS = 4
"""Rounds of half a minute of which one looks at older entries: at most 30 listings and 30 entries an
hour of each project."""

NAMES = 1000
"""Names of one listing: at 30 an hour, 10,000 entries are listed in 20 minutes. To read as many takes
two weeks."""

DOUBTFUL = 8
"""Entries of one listing that are read because it does not show them as they are kept; the others
have their turn in the next round."""


class OlderEntries:
    """Goes round the older entries of one project."""

    def __init__(self) -> None:
        self.unsettled: set[Seq] = set()
        """Those of which a look settled nothing: they are looked at in every round."""
        self._rounds = 0
        self._listed = Seq(0)
        self._read = Seq(0)

    def is_due(self) -> bool:
        """Count a round, and tell whether it looks at others than the unsettled."""
        self._rounds = (self._rounds + 1) % ROUNDS
        return self._rounds == 0 and not self.unsettled

    def to_list(self, older: Sequence[Seq]) -> Sequence[Seq]:
        """Return those of *older*, sorted and not empty, that the next listing begins with."""
        at = _behind(older, self._listed)
        return older[at : at + NAMES]

    def doubtful(
        self, listed: Sequence[Seq], kept: Mapping[Seq, int], shown: Mapping[Seq, int]
    ) -> list[Seq]:
        """Return those of *listed* that a listing showed with another size than they have, or not.

        It covered all of *listed*. Another listing begins behind them, or behind the last returned.
        """
        doubtful = [seq for seq in listed if shown.get(seq) != kept[seq]]
        self._listed = listed[-1] if len(doubtful) <= DOUBTFUL else doubtful[DOUBTFUL - 1]
        return doubtful[:DOUBTFUL]

    def read_next(self, older: Sequence[Seq]) -> Seq:
        """Return the one of *older*, sorted and not empty, that is read in this round."""
        self._read = older[_behind(older, self._read)]
        return self._read


def _behind(older: Sequence[Seq], seq: Seq) -> int:
    """Return the index of the first behind *seq*, round at the end."""
    return bisect_right(older, seq) % len(older)
