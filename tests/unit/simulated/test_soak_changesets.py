"""A hostile member's entries: no exception, no stall, one verdict, one sound tree."""

from __future__ import annotations

from collections import Counter

import pytest
from lab.soak_changesets import ENTRIES, STALL_S, run_seed

SEEDS_IN_A_TEST = 3

BUSY_STALL_S = 10 * STALL_S
"""Far from what a busy machine adds; `scripts/soak changesets` holds entries to the real limit."""


@pytest.mark.parametrize("part", range(4))
def test_replicas_agree_on_every_entry_whatever_waits_there(part: int) -> None:
    happened = sum(
        (
            run_seed(part * SEEDS_IN_A_TEST + seed, stall_s=BUSY_STALL_S)
            for seed in range(SEEDS_IN_A_TEST)
        ),
        Counter(),
    )
    refused = sum(count for what, count in happened.items() if what.startswith("refused"))
    assert happened["taken"] > ENTRIES * SEEDS_IN_A_TEST // 16
    assert refused > ENTRIES * SEEDS_IN_A_TEST // 4
    assert happened["not opened"]
