"""One operation against all others on two nodes: nothing that a person put somewhere dies.

A seed is one operation, in one order, with or without open files and unsaved bytes; as many seeds
in a row as there are such pairs take them all.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from contested_pair import Pair
from contested_world import OPERATIONS

_OPENNESS = [(False, False), (True, False), (False, True), (True, True)]


def run_seed(seed: int) -> Counter[str]:
    """Let every operation win against the one of *seed*; raises AssertionError."""
    names = list(OPERATIONS)
    second = names[seed % len(names)]
    winner_holds_open, loser_is_late = _OPENNESS[seed // len(names) % len(_OPENNESS)]
    with tempfile.TemporaryDirectory(prefix="lucid-pairs-") as path:
        pair = Pair(Path(path))
        for first in names:
            pair.try_out(
                first, second, winner_holds_open=winner_holds_open, loser_is_late=loser_is_late
            )
        pair.finish()
    return Counter({"pairs": len(names)})
